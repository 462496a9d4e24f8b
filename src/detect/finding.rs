//! What an alert says: its id, its events and its sentence. Credentials are masked in all of it.

use std::collections::BTreeSet;

use super::verdict::Correlated;
use crate::alert::{AlertGroup, AlertId, RuleName};
use crate::event::{AuditEvent, hex, sha256};
use crate::mask::Mask;
use crate::position::Seq;
use crate::rules::{Rule, RuleKind};
use crate::span;
use crate::store::Notice;
use crate::store::alerts::{AlertedEvent, Finding};
use crate::summary::summary;

/// The longest value of a group that an alert shows, in characters.
const MAX_VALUE_CHARS: usize = 256;

/// The longest sentence, in characters.
const MAX_SUMMARY_CHARS: usize = 1_000;

/// How many bytes of the hash are an alert's id.
const ID_BYTES: usize = 16;

/// The id of a rule's alert about one event.
pub(super) fn id_of_event(rule: &Rule, seq: Seq) -> AlertId {
    id(&serde_json::json!([rule.id.0, {}, {"seq": seq.0}]))
}

/// The id of a correlation's alert about a group in a bucket.
pub(super) fn id_of_bucket(rule: &Rule, group: &AlertGroup, bucket: i64) -> AlertId {
    id(&serde_json::json!([rule.id.0, group, {"bucket": bucket}]))
}

fn id(of: &serde_json::Value) -> AlertId {
    AlertId(hex(&sha256(of.to_string().as_bytes())[..ID_BYTES]))
}

/// How many seconds after its time an event was received; 0 if it has no time, or one that was still to come.
pub(super) fn lateness(event: &AuditEvent) -> i64 {
    (event.received_at - event.ordered_at())
        .num_seconds()
        .max(0)
}

/// What a rule over single events found.
pub(super) fn of_event(rule: &Rule, event: &AuditEvent, mask: &Mask) -> Finding {
    // A reader without bodies sees the alert unless the rule reads them.
    let sentence = summary(event.clone().without_bodies().entry.get(), None);
    Finding {
        rule: name_of(rule),
        reads_bodies: rule.reads_bodies,
        group: AlertGroup::new(),
        summary: format!(
            "{}: {}",
            rule.title,
            shown(&sentence, MAX_SUMMARY_CHARS, mask)
        ),
        late_s: lateness(event),
        events: vec![AlertedEvent {
            at_us: event.ordered_at().timestamp_micros(),
            seq: event.seq,
        }],
        noticed_us: None,
        sources: BTreeSet::from([event.source.to_string()]),
    }
}

/// The id of a rule's alert about something that the service noticed.
pub(super) fn id_of_notice(rule: &Rule, notice: &Notice) -> AlertId {
    id(&serde_json::json!([rule.id.0, {}, {"notice": notice.number}]))
}

/// What a rule found in something that the service noticed.
pub(super) fn of_notice(rule: &Rule, notice: &Notice, mask: &Mask) -> Finding {
    let source = Some(notice.source.clone()).filter(|source| !source.is_empty());
    Finding {
        rule: name_of(rule),
        reads_bodies: false,
        group: AlertGroup::new(),
        summary: format!(
            "{}: {}",
            rule.title,
            shown(&notice.summary, MAX_SUMMARY_CHARS, mask)
        ),
        late_s: 0,
        events: Vec::new(),
        noticed_us: Some(notice.at.timestamp_micros()),
        sources: source.into_iter().collect(),
    }
}

/// What a correlation found in a group.
pub(super) fn of_group(rule: &Rule, group: &AlertGroup, found: Correlated, mask: &Mask) -> Finding {
    let group = shown_group(group, mask);
    Finding {
        rule: name_of(rule),
        reads_bodies: rule.reads_bodies,
        summary: sentence(rule, &group, found.events.len()),
        group,
        late_s: found.late_s,
        events: found.events.into_iter().collect(),
        noticed_us: None,
        sources: found.sources,
    }
}

/// A group as it is shown.
pub(super) fn shown_group(group: &AlertGroup, mask: &Mask) -> AlertGroup {
    let shown_value = |value: &String| shown(value, MAX_VALUE_CHARS, mask);
    let values = group.iter();
    values
        .map(|(name, value)| (name.clone(), value.as_ref().map(shown_value)))
        .collect()
}

/// `Burst of sign-ins: 12 events within 10m, actor.id a1b2`.
fn sentence(rule: &Rule, group: &AlertGroup, events: usize) -> String {
    let plural = if events == 1 { "event" } else { "events" };
    let mut sentence = format!("{}: {events} {plural}", rule.title);
    if let RuleKind::Correlation(correlation) = &rule.kind {
        sentence.push_str(" within ");
        sentence.push_str(&span::format(correlation.timespan));
    }
    for (name, value) in group {
        let value = value.as_deref().unwrap_or("unknown");
        sentence.push_str(&format!(", {name} {value}"));
    }
    sentence
}

fn name_of(rule: &Rule) -> RuleName {
    RuleName {
        id: rule.id.0.clone(),
        title: rule.title.clone(),
        level: rule.level,
        tags: rule.tags.clone(),
    }
}

/// A text as an alert shows it: without credentials, and cut.
fn shown(text: &str, max_chars: usize, mask: &Mask) -> String {
    let masked = mask.hide(text);
    match masked.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &masked[..end]),
        None => masked,
    }
}
