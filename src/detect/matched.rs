//! One match of a correlation's rule in an event: its group, and what the verdicts look at.

use super::finding;
use super::pairs::beginning;
use crate::alert::AlertGroup;
use crate::event::{AuditEvent, sha256};
use crate::rules::{Correlation, CorrelationTest, EntryFacts, RuleId};
use crate::store::alerts::{GroupHash, MatchRow};

/// A match of one of a correlation's rules.
pub(super) struct CorrelationMatch {
    pub(super) group: AlertGroup,
    pub(super) hash: GroupHash,
    pub(super) row: MatchRow,
}

impl CorrelationMatch {
    /// The match of the rule `named`, which the correlation names at that place, from 0. Hashes are made with `key`.
    pub(super) fn of(
        correlation: &Correlation,
        (place, named): (u32, &RuleId),
        event: &AuditEvent,
        facts: &EntryFacts,
        key: &[u8; 32],
    ) -> Self {
        let value_of = |name: &str| facts.group_value(correlation.field_of(name, named)?);
        let names = correlation.group_by.iter();
        let group: AlertGroup = names.map(|name| (name.clone(), value_of(name))).collect();
        let counted = match &correlation.test {
            CorrelationTest::ValueCount(name, _) => value_of(name),
            _ => None,
        };
        let text = serde_json::to_string(&group).unwrap_or_default();
        let row = MatchRow {
            at_us: event.ordered_at().timestamp_micros(),
            tie: tie(event),
            seq: event.seq,
            named: place,
            value: counted.map(|value| hash(key, &[b"value\0", value.as_bytes()])),
            late_s: finding::lateness(event),
        };
        Self {
            hash: hash(key, &[b"group\0", text.as_bytes()]),
            group,
            row,
        }
    }
}

fn hash(key: &[u8; 32], parts: &[&[u8]]) -> GroupHash {
    beginning(&sha256(&[&key[..], &parts.concat()].concat()))
}

/// What orders matches of one time.
fn tie(event: &AuditEvent) -> Vec<u8> {
    let (id, sha256) = (event.id.as_deref(), event.sha256.as_deref());
    MatchRow::tie(
        &event.source.to_string(),
        id.unwrap_or_default(),
        sha256.unwrap_or_default(),
    )
}
