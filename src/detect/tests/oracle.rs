//! What should be found, said a second time: one pass over all entries in the order of their times, by the definition and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::{Alert, AlertGroup, AlertState};
use crate::event::AuditEvent;
use crate::position::Seq;
use crate::rules::{Correlation, CorrelationTest, EntryFacts, RuleId, RuleKind, Rules};

/// An alert, its id and what people did with it aside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Standing {
    pub(super) rule: String,
    pub(super) group: AlertGroup,
    pub(super) events: BTreeSet<Seq>,
    times: (i64, i64),
}

/// The alerts that are not retracted.
pub(super) fn standing(alerts: &[Alert]) -> BTreeSet<Standing> {
    let standing = alerts
        .iter()
        .filter(|alert| alert.state != AlertState::Retracted);
    let standing = standing.map(|alert| Standing {
        rule: alert.rule.id.clone(),
        group: alert.group.clone(),
        events: alert.events.iter().copied().collect(),
        times: (
            alert.first_time.timestamp_micros(),
            alert.last_time.timestamp_micros(),
        ),
    });
    standing.collect()
}

struct SeenEvent {
    event: AuditEvent,
    facts: EntryFacts,
    at_us: i64,
}

/// What one pass over the events finds.
pub(super) fn expected(events: &[AuditEvent], rules: &Rules) -> BTreeSet<Standing> {
    let firsts = first_times(events);
    let mut seen: Vec<SeenEvent> = events
        .iter()
        .map(|event| SeenEvent {
            facts: with_first_seen(event, &firsts),
            at_us: event.ordered_at().timestamp_micros(),
            event: event.clone(),
        })
        .collect();
    seen.sort_by_key(|seen| {
        let event = &seen.event;
        (
            seen.at_us,
            event.source.to_string(),
            event.id.clone(),
            event.sha256.clone(),
        )
    });
    let mut found = BTreeSet::new();
    for rule in rules.iter() {
        match &rule.kind {
            RuleKind::Event(_) if rules.generates(&rule.id) => {
                for seen in seen.iter().filter(|seen| is_match(rules, &rule.id, seen)) {
                    let events = BTreeSet::from([seen.event.seq]);
                    found.insert(alert_of(&rule.id, AlertGroup::new(), events, &[seen]));
                }
            }
            RuleKind::Event(_) => {}
            RuleKind::Correlation(correlation) => {
                found.extend(of_correlation(rules, &rule.id, correlation, &seen));
            }
        }
    }
    found
}

/// Of each name, actor and value: the least time at which they occur together.
type FirstTimes = BTreeMap<(&'static str, String, String), i64>;

/// The pairs of `first_seen` that the entries of these tests have.
fn pairs_of(facts: &EntryFacts) -> Vec<(&'static str, String, String)> {
    let actor = facts.group_value("actor.id");
    let names = ["actor.ip_address", "action.type", "account.id"];
    let pairs = names.into_iter().filter_map(|name| {
        let value = facts.group_value(name)?;
        Some((name, actor.clone()?, value))
    });
    pairs.collect()
}

fn first_times(events: &[AuditEvent]) -> FirstTimes {
    let mut firsts = FirstTimes::new();
    for event in events {
        let at_us = event.ordered_at().timestamp_micros();
        for pair in pairs_of(&EntryFacts::of(event)) {
            let least = firsts.entry(pair).or_insert(at_us);
            *least = at_us.min(*least);
        }
    }
    firsts
}

fn with_first_seen(event: &AuditEvent, firsts: &FirstTimes) -> EntryFacts {
    let facts = EntryFacts::of(event);
    let at_us = event.ordered_at().timestamp_micros();
    let pairs = pairs_of(&facts).into_iter();
    let first = pairs.filter(|pair| firsts[pair] == at_us);
    let names: Vec<&str> = first.map(|(name, ..)| name).collect();
    facts.with_first_seen(names)
}

fn is_match(rules: &Rules, id: &RuleId, seen: &SeenEvent) -> bool {
    match &rules.get(id).unwrap().kind {
        RuleKind::Event(detection) => detection.matches(&seen.facts),
        RuleKind::Correlation(_) => false,
    }
}

fn alert_of(
    rule: &RuleId,
    group: AlertGroup,
    events: BTreeSet<Seq>,
    seen: &[&SeenEvent],
) -> Standing {
    let times = seen
        .iter()
        .filter(|seen| events.contains(&seen.event.seq))
        .map(|seen| seen.at_us);
    Standing {
        rule: rule.0.clone(),
        group,
        times: (times.clone().min().unwrap(), times.max().unwrap()),
        events,
    }
}

fn of_correlation(
    rules: &Rules,
    id: &RuleId,
    correlation: &Correlation,
    seen: &[SeenEvent],
) -> Vec<Standing> {
    let mut groups: BTreeMap<AlertGroup, Vec<(usize, &SeenEvent)>> = BTreeMap::new();
    for seen in seen {
        for (named, base) in correlation.rules.iter().enumerate() {
            if is_match(rules, base, seen) {
                let value = |name: &String| (name.clone(), seen.facts.group_value(name));
                let group = correlation.group_by.iter().map(value).collect();
                groups.entry(group).or_default().push((named, seen));
            }
        }
    }
    let timespan = correlation.timespan.num_microseconds().unwrap();
    let mut alerts = Vec::new();
    for (group, matches) in groups {
        let mut buckets: BTreeMap<i64, BTreeSet<Seq>> = BTreeMap::new();
        for (place, (_, last)) in matches.iter().enumerate() {
            let window: Vec<_> = matches[..=place]
                .iter()
                .filter(|(_, seen)| seen.at_us > last.at_us - timespan)
                .collect();
            if fires(correlation, &window) {
                let bucket = last.at_us.div_euclid(timespan);
                buckets
                    .entry(bucket)
                    .or_default()
                    .extend(window.iter().map(|(_, seen)| seen.event.seq));
            }
        }
        let of_group: Vec<&SeenEvent> = matches.iter().map(|(_, seen)| *seen).collect();
        alerts.extend(
            buckets
                .into_values()
                .map(|events| alert_of(id, group.clone(), events, &of_group)),
        );
    }
    alerts
}

fn fires(correlation: &Correlation, window: &[&(usize, &SeenEvent)]) -> bool {
    let has = |named: usize| window.iter().any(|(other, _)| *other == named);
    match &correlation.test {
        CorrelationTest::EventCount(threshold) => threshold.is_met_by(window.len() as u64),
        CorrelationTest::ValueCount(field, threshold) => {
            let values = window
                .iter()
                .filter_map(|(_, seen)| seen.facts.group_value(field));
            threshold.is_met_by(values.collect::<BTreeSet<_>>().len() as u64)
        }
        CorrelationTest::Temporal => (0..correlation.rules.len()).all(has),
        CorrelationTest::TemporalOrdered => chain(correlation.rules.len(), 0, i64::MIN, window),
    }
}

/// Whether the matches have a chain from a rule on, at `from` or later. By trying all of them.
fn chain(rules: usize, named: usize, from: i64, window: &[&(usize, &SeenEvent)]) -> bool {
    named == rules
        || window.iter().any(|(other, seen)| {
            *other == named && seen.at_us >= from && chain(rules, named + 1, seen.at_us, window)
        })
}
