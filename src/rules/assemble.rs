//! Makes rules from documents that were read: references resolved, hashes complete.

use std::collections::BTreeMap;

use super::document::{Document, RuleBody, hash_of};
use super::rule::{Rule, RuleHash, RuleId, RuleKind};
use super::set::Rules;
use super::yaml::{Fault, cut};

/// A rule over single events; nothing for a correlation.
pub(super) fn event_rule(file: String, is_built_in: bool, document: Document) -> Option<Rule> {
    let RuleBody::Event(detection, hash) = &document.body else {
        return None;
    };
    let (detection, hash) = (detection.clone(), *hash);
    let reads_bodies = detection.reads_bodies();
    Some(rule(
        file,
        is_built_in,
        document,
        hash,
        reads_bodies,
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
    let hashes: Vec<String> = named.iter().map(|rule| rule.hash.to_string()).collect();
    let decides = serde_json::json!({ "rules": hashes, "correlation": text });
    let hash = hash_of(&decides.to_string());
    let fields = correlation.fields();
    let reads_bodies = named.iter().any(|rule| rule.reads_bodies)
        || fields.iter().any(|field| crate::field::is_body(field));
    let kind = RuleKind::Correlation(correlation);
    Ok(Some(rule(
        file,
        is_built_in,
        document,
        hash,
        reads_bodies,
        kind,
    )))
}

fn rule(
    file: String,
    is_built_in: bool,
    document: Document,
    hash: RuleHash,
    reads_bodies: bool,
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
        reads_bodies,
        is_built_in,
        file,
        line: document.line,
        text: document.text,
        cases: document.cases,
        kind,
    }
}
