//! Makes rules from documents that were read: references resolved, hashes complete.

use std::collections::BTreeMap;

use super::document::{Document, RuleBody, hash_of};
use super::facts::{FIRST_SEEN, LogService};
use super::rule::{Rule, RuleHash, RuleId, RuleKind};
use super::set::Rules;
use super::yaml::{Fault, cut};

/// A rule over single events; nothing for a correlation.
pub(super) fn event_rule(file: String, is_built_in: bool, document: Document) -> Option<Rule> {
    let RuleBody::Event(detection, hash) = &document.body else {
        return None;
    };
    let (detection, hash) = (detection.clone(), *hash);
    let reads = Reads {
        bodies: detection.reads_bodies(),
        first_seen: detection.reads_first_seen(),
    };
    Some(rule(
        file,
        is_built_in,
        document,
        hash,
        reads,
        RuleKind::Event(detection),
    ))
}

/// A correlation, with the ids that its references mean; nothing for a rule over single events.
pub(super) fn correlation_rule(
    file: String,
    is_built_in: bool,
    document: Document,
    references: &BTreeMap<String, RuleId>,
    rules: &Rules,
) -> Result<Option<Rule>, Fault> {
    let RuleBody::Correlation(unresolved, text) = &document.body else {
        return Ok(None);
    };
    let correlation = unresolved.clone().resolve(|line, reference| {
        references.get(reference).cloned().ok_or_else(|| {
            let reason = format!(
                "`{}` is not the id or name of a rule with a detection",
                cut(reference)
            );
            Fault::new(line, reason)
        })
    })?;
    let named: Vec<&Rule> = correlation
        .rules
        .iter()
        .filter_map(|id| rules.get(id))
        .collect();
    let is_over_notices = |rule: &&&Rule| matches!(&rule.kind, RuleKind::Event(detection) if detection.service() == LogService::Orgtrail);
    if let Some(rule) = named.iter().find(is_over_notices) {
        let reason = format!(
            "a correlation looks at entries, and `{}` looks at what the service noticed",
            cut(rule.id.as_str())
        );
        return Err(Fault::new(document.line, reason));
    }
    let hashes: Vec<String> = named.iter().map(|rule| rule.hash.to_string()).collect();
    let decides = serde_json::json!({ "rules": hashes, "correlation": text });
    let hash = hash_of(&decides.to_string());
    let fields = correlation.fields();
    if fields.iter().any(|field| *field == FIRST_SEEN) {
        let reason =
            "a correlation cannot group or count by `first_seen`: its rules can select by it";
        return Err(Fault::new(document.line, reason));
    }
    let reads = Reads {
        bodies: named.iter().any(|rule| rule.reads_bodies)
            || fields.iter().any(|field| crate::field::is_body(field)),
        first_seen: named.iter().any(|rule| rule.reads_first_seen),
    };
    let kind = RuleKind::Correlation(correlation);
    Ok(Some(rule(file, is_built_in, document, hash, reads, kind)))
}

/// What a rule reads that matters elsewhere.
struct Reads {
    bodies: bool,
    first_seen: bool,
}

fn rule(
    file: String,
    is_built_in: bool,
    document: Document,
    hash: RuleHash,
    reads: Reads,
    kind: RuleKind,
) -> Rule {
    Rule {
        id: document.id,
        name: document.name,
        hash,
        title: document.title,
        level: document.level,
        status: document.status,
        tags: document.tags,
        description: document.description,
        falsepositives: document.falsepositives,
        reads_bodies: reads.bodies,
        reads_first_seen: reads.first_seen,
        is_built_in,
        file,
        line: document.line,
        text: document.text,
        cases: document.cases,
        kind,
    }
}
