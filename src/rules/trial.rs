//! Runs the tests of a rule: its detection over single entries, its correlation over a whole sequence that is sorted by time. It follows the
//! definition of a verdict word by word, without a state.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::cases::{Case, time_of};
use super::detection::Detection;
use super::facts::EntryFacts;
use super::rule::{Correlation, CorrelationTest, Rule, RuleId, RuleKind};
use super::set::Rules;

/// A test that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: rule {rule} ({title}), test \"{name}\": {reason}")]
pub struct FailedCase {
    /// The rule's file.
    pub file: String,
    /// The test's line.
    pub line: usize,
    /// The rule.
    pub rule: RuleId,
    /// Its title.
    pub title: String,
    /// The test's name.
    pub name: String,
    /// What was found instead.
    pub reason: String,
}

impl Rules {
    /// Runs the tests of a rule.
    #[must_use]
    pub fn failed_cases(&self, rule: &Rule) -> Vec<FailedCase> {
        let failed = rule.cases.iter().filter_map(|case| {
            let reason = match &rule.kind {
                RuleKind::Event(detection) => of_detection(detection, case),
                RuleKind::Correlation(correlation) => self.of_correlation(correlation, case),
            };
            Some((case, reason?))
        });
        failed
            .map(|(case, reason)| FailedCase {
                file: rule.file.clone(),
                line: case.line,
                rule: rule.id.clone(),
                title: rule.title.clone(),
                name: case.name.clone(),
                reason,
            })
            .collect()
    }

    fn of_correlation(&self, correlation: &Correlation, case: &Case) -> Option<String> {
        let mut entries = case.entries.iter();
        if let Some(number) = entries.position(|entry| time_of(entry).is_none()) {
            return Some(format!("entry {} has no `action.time`", number + 1));
        }
        let fires = self.fires(correlation, &case.entries);
        (fires != case.must_match).then(|| verdict_text(fires).to_owned())
    }

    /// Whether a rule finds anything in some entries, each with `first_seen`, `revision` and the like among its members. A correlation leaves
    /// out those without a time.
    #[must_use]
    pub fn raises(&self, rule: &Rule, entries: &[Value]) -> bool {
        match &rule.kind {
            RuleKind::Event(detection) => entries
                .iter()
                .any(|entry| detection.matches(&EntryFacts::of_case(detection.service(), entry))),
            RuleKind::Correlation(correlation) => self.fires(correlation, entries),
        }
    }

    fn fires(&self, correlation: &Correlation, entries: &[Value]) -> bool {
        let mut matches = Vec::new();
        for entry in entries {
            let Some(time) = time_of(entry) else {
                continue;
            };
            for id in &correlation.rules {
                if let Some(RuleKind::Event(detection)) = self.get(id).map(|rule| &rule.kind) {
                    let facts = EntryFacts::of_case(detection.service(), entry);
                    if detection.matches(&facts) {
                        matches.push(SequenceMatch::of(correlation, id, time, &facts));
                    }
                }
            }
        }
        matches.sort_by_key(|found| found.time);
        (0..matches.len()).any(|last| fires_at(correlation, &matches[..=last]))
    }
}

fn of_detection(detection: &Detection, case: &Case) -> Option<String> {
    let matches = |entry| detection.matches(&EntryFacts::of_case(detection.service(), entry));
    let mut entries = case.entries.iter();
    let wrong = entries.position(|entry| matches(entry) != case.must_match)?;
    let reason = verdict_text(!case.must_match);
    if case.entries.len() == 1 {
        return Some(reason.to_owned());
    }
    Some(format!("entry {}: {reason}", wrong + 1))
}

fn verdict_text(has_matched: bool) -> &'static str {
    if has_matched {
        "matches, and must not"
    } else {
        "does not match, and must"
    }
}

/// A match of one of a correlation's rules.
#[derive(Debug)]
struct SequenceMatch {
    rule: RuleId,
    time: DateTime<Utc>,
    group: Vec<Option<String>>,
    counted: Option<String>,
}

impl SequenceMatch {
    fn of(
        correlation: &Correlation,
        rule: &RuleId,
        time: DateTime<Utc>,
        facts: &EntryFacts,
    ) -> Self {
        let value = |name: &str| facts.group_value(correlation.field_of(name, rule)?);
        Self {
            rule: rule.clone(),
            time,
            group: correlation
                .group_by
                .iter()
                .map(|name| value(name))
                .collect(),
            counted: match &correlation.test {
                CorrelationTest::ValueCount(field, _) => value(field),
                _ => None,
            },
        }
    }
}

/// The verdict at the last of some matches, which are sorted by time.
fn fires_at(correlation: &Correlation, matches: &[SequenceMatch]) -> bool {
    let Some(last) = matches.last() else {
        return false;
    };
    let is_in_window = |found: &&SequenceMatch| {
        found.group == last.group && last.time - found.time < correlation.timespan
    };
    let window: Vec<&SequenceMatch> = matches.iter().filter(is_in_window).collect();
    match &correlation.test {
        CorrelationTest::EventCount(threshold) => threshold.is_met_by(window.len() as u64),
        CorrelationTest::ValueCount(_, threshold) => {
            let values = window.iter().filter_map(|found| found.counted.as_ref());
            threshold.is_met_by(values.collect::<BTreeSet<_>>().len() as u64)
        }
        CorrelationTest::Temporal => correlation
            .rules
            .iter()
            .all(|rule| window.iter().any(|found| found.rule == *rule)),
        CorrelationTest::TemporalOrdered => has_chain(correlation, &window),
    }
}

/// Whether the rules matched in the order in which they are named, at times that do not decrease.
fn has_chain(correlation: &Correlation, window: &[&SequenceMatch]) -> bool {
    let mut not_before = DateTime::<Utc>::MIN_UTC;
    for rule in &correlation.rules {
        let mut later = window
            .iter()
            .filter(|found| found.rule == *rule && found.time >= not_before);
        let Some(next) = later.next() else {
            return false;
        };
        not_before = next.time;
    }
    true
}
