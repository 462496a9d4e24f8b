//! The follower over real files: alerts do not depend on the order in which entries come, on kills, or on reloads.

mod backtests;
mod log;
mod oracle;

use std::collections::BTreeSet;
use std::sync::Mutex;

use fastrand::Rng;

use self::log::{RULES, RuleLog, SentEntry, drain, rules, sent};
use self::oracle::{Standing, expected, standing};
use super::*;
use crate::alert::AlertState;
use crate::clock::from_micros;
use crate::durable::{Failpoints, StepFailure};
use crate::position::{Source, WindowKind};
use crate::store::alerts::{AlertFilter, AlertReader};
use crate::store::{NewNotice, NoticeKind, steps};

const SECOND: i64 = 1_000_000;

fn alerts_of(log: &RuleLog) -> Vec<crate::alert::Alert> {
    let (filter, reader) = (AlertFilter::default(), AlertReader::of_everything());
    log.store.alerts(&filter, &reader, None, 10_000).unwrap()
}

fn states(log: &RuleLog, rule: &str) -> Vec<(AlertState, u64)> {
    let alerts = alerts_of(log).into_iter();
    let alerts = alerts.filter(|alert| alert.rule.id == rule);
    alerts
        .map(|alert| (alert.state, alert.events_total))
        .collect()
}

/// Rules with one of them changed, left out, or as they are at the end.
fn any_rules(rng: &mut Rng) -> String {
    match rng.u8(0..6) {
        0 => RULES.replace("gte: 3", "gte: 2"),
        1 => RULES.replace("eq: 2", "gte: 1"),
        2 => RULES.replace("action.type: a", "action.type: [a, c]"),
        3 => RULES.replace("generate: true", "generate: false"),
        4 => {
            let documents = RULES.split("---");
            let without = documents.filter(|text| !text.contains("title: Pair"));
            without.collect::<Vec<_>>().join("---")
        }
        _ => RULES.to_owned(),
    }
}

/// One log that grows in a random order, with kills and reloads; at the end its alerts are those of one pass in order of time.
fn agrees_with_one_pass(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let chance = Mutex::new(rng.fork());
    let armed = Arc::new(Mutex::new(true));
    let is_armed = Arc::clone(&armed);
    let failpoints = Failpoints::new(move |step| {
        let mut chance = chance.lock().unwrap();
        let is_ours = [steps::JUDGE, steps::USE_RULES, steps::DROP_OLD_RULE].contains(&step);
        if !is_ours || !*is_armed.lock().unwrap() || chance.f64() > 0.2 {
            return None;
        }
        Some(if chance.bool() {
            StepFailure::Before
        } else {
            StepFailure::After
        })
    });
    let log = RuleLog::new(failpoints);
    let mut detect = log.detect(RULES);
    let mut entries: Vec<SentEntry> = (0..rng.u32(1..40)).map(|n| sent(n, &mut rng)).collect();
    rng.shuffle(&mut entries);
    while !entries.is_empty() {
        let batch: Vec<SentEntry> = entries
            .drain(..rng.usize(1..=entries.len().min(8)))
            .collect();
        let kind = [WindowKind::Live, WindowKind::Sweep, WindowKind::Backfill][rng.usize(0..3)];
        log.arrive(kind, &batch, from_micros(rng.i64(40..90) * SECOND));
        match rng.u8(0..5) {
            0 => detect.reload().replace(rules(&any_rules(&mut rng))),
            1 => detect = log.detect(&any_rules(&mut rng)),
            _ => {}
        }
        detect.max_events = rng.usize(1..6);
        for _ in 0..rng.usize(0..6) {
            if let Err(error) = detect.turn_once() {
                if rng.bool() {
                    detect.recover(error);
                } else {
                    detect = log.detect(RULES);
                }
            }
        }
    }
    *armed.lock().unwrap() = false;
    detect = log.detect(RULES);
    drain(&mut detect);
    let expected = expected(&log.events(), &rules(RULES));
    assert_eq!(standing(&alerts_of(&log)), expected, "seed {seed}");
}

#[test]
fn alerts_do_not_depend_on_the_order_of_arrival_on_kills_or_on_reloads() {
    let first = std::env::var("ORGTRAIL_DETECT_SEED").ok();
    let first: Option<u64> = first.and_then(|seed| seed.parse().ok());
    let (from, cases) = match first {
        Some(seed) => (seed, 1),
        None => (Rng::new().u64(..1 << 32), 60),
    };
    for seed in from..from + cases {
        let checked = std::panic::catch_unwind(|| agrees_with_one_pass(seed));
        assert!(
            checked.is_ok(),
            "repeat it with ORGTRAIL_DETECT_SEED={seed}"
        );
    }
}

#[test]
fn two_orders_of_arrival_give_the_same_alerts() {
    let mut rng = Rng::with_seed(7);
    let mut entries: Vec<SentEntry> = (0..200)
        .map(|n| sent(n, &mut rng))
        .filter(|sent| sent.has_time())
        .collect();
    let mut seen: Option<BTreeSet<(String, BTreeSet<String>)>> = None;
    for _ in 0..3 {
        rng.shuffle(&mut entries);
        let log = RuleLog::new(Failpoints::default());
        let mut detect = log.detect(RULES);
        for batch in entries.chunks(17) {
            log.arrive(WindowKind::Live, batch, from_micros(90 * SECOND));
            drain(&mut detect);
        }
        let ids: Vec<String> = log
            .events()
            .iter()
            .map(|event| event.id.clone().unwrap_or_default())
            .collect();
        let by_id = |alert: &Standing| {
            let events = alert
                .events
                .iter()
                .map(|seq| ids[usize::try_from(seq.0 - 1).unwrap()].clone());
            (
                format!("{} {:?}", alert.rule, alert.group),
                events.collect(),
            )
        };
        let found: BTreeSet<_> = standing(&alerts_of(&log)).iter().map(by_id).collect();
        assert!(found.len() > 20, "{}", found.len());
        let before = seen.get_or_insert_with(|| found.clone());
        assert_eq!(*before, found);
    }
}

#[test]
fn late_entries_raise_extend_and_retract_an_alert_and_say_how_late() {
    let log = RuleLog::new(Failpoints::default());
    let mut detect = log.detect(RULES);
    drain(&mut detect);
    let b = |n, at| SentEntry::plain(n, "b", at);
    log.arrive(
        WindowKind::Live,
        &[b(1, 12), b(2, 13)],
        from_micros(20 * SECOND),
    );
    drain(&mut detect);
    assert_eq!(states(&log, "count"), []);
    assert_eq!(states(&log, "pair"), [(AlertState::Open, 2)]);
    // The third within ten seconds, which came an hour late.
    log.arrive(
        WindowKind::Sweep,
        &[b(3, 11)],
        from_micros((11 + 3_600) * SECOND),
    );
    drain(&mut detect);
    assert_eq!(states(&log, "count"), [(AlertState::Open, 3)]);
    let late = alerts_of(&log)
        .into_iter()
        .find(|alert| alert.rule.id == "count");
    assert_eq!(late.unwrap().late_by_seconds, 3_600);
    // Two of four are not exactly two any more, wherever one looks; but the second one was.
    log.arrive(WindowKind::Sweep, &[b(4, 10)], from_micros(5_000 * SECOND));
    drain(&mut detect);
    assert_eq!(states(&log, "count"), [(AlertState::Open, 4)]);
    assert_eq!(
        standing(&alerts_of(&log)),
        expected(&log.events(), &rules(RULES))
    );
}

#[test]
fn a_changed_rule_judges_the_log_again_and_retracts_what_only_the_old_one_raised() {
    let log = RuleLog::new(Failpoints::default());
    let mut detect = log.detect(RULES);
    let entries: Vec<SentEntry> = (0..3)
        .map(|n| SentEntry::plain(n, "b", i64::from(n)))
        .collect();
    drain(&mut detect);
    log.arrive(WindowKind::Live, &entries, from_micros(20 * SECOND));
    drain(&mut detect);
    assert_eq!(states(&log, "count"), [(AlertState::Open, 3)]);
    detect
        .reload()
        .replace(rules(&RULES.replace("gte: 3", "gte: 4")));
    drain(&mut detect);
    assert_eq!(states(&log, "count"), [(AlertState::Retracted, 3)]);
    let rules_in_use = log.store.rules_in_use().unwrap();
    assert!(rules_in_use.iter().all(|rule| !rule.is_behind()));
    detect.reload().replace(rules(RULES));
    drain(&mut detect);
    assert_eq!(states(&log, "count"), [(AlertState::Open, 3)]);
    let alert = alerts_of(&log)
        .into_iter()
        .find(|alert| alert.rule.id == "count");
    let history: Vec<AlertState> = alert
        .unwrap()
        .history
        .iter()
        .map(|change| change.state)
        .collect();
    assert_eq!(
        history,
        [AlertState::Open, AlertState::Retracted, AlertState::Open]
    );
}

#[test]
fn what_is_in_the_log_before_the_first_start_is_history() {
    let log = RuleLog::new(Failpoints::default());
    log.arrive(
        WindowKind::Live,
        &[SentEntry::plain(1, "a", 5)],
        from_micros(20 * SECOND),
    );
    let mut detect = log.detect(RULES);
    drain(&mut detect);
    let levels = |history: bool| log.alerts_with_history(history);
    assert_eq!((levels(true), levels(false)), (1, 0));
    log.arrive(
        WindowKind::Live,
        &[SentEntry::plain(2, "a", 6)],
        from_micros(20 * SECOND),
    );
    log.arrive(
        WindowKind::Sweep,
        &[SentEntry::plain(3, "a", 7)],
        from_micros(20 * SECOND),
    );
    log.arrive(
        WindowKind::Backfill,
        &[SentEntry::plain(4, "a", 8)],
        from_micros(20 * SECOND),
    );
    drain(&mut detect);
    assert_eq!((levels(true), levels(false)), (2, 2));
}

/// Events of one actor with one type of act, the newest first in the log.
fn newest_first(log: &RuleLog) {
    let entries: Vec<SentEntry> = (0..9)
        .map(|n| SentEntry::plain(n, "a", 40 - i64::from(n)))
        .collect();
    for entry in entries {
        log.arrive(WindowKind::Backfill, &[entry], from_micros(90 * SECOND));
    }
}

/// The rules without one that keeps `act` from raising alerts.
fn rules_with_act() -> String {
    let documents = RULES.split("---");
    let others = documents.filter(|text| !text.contains("title: New acts"));
    others.collect::<Vec<_>>().join("---")
}

fn was_retracted(alert: &crate::alert::Alert) -> bool {
    let mut history = alert.history.iter();
    history.any(|change| change.state == AlertState::Retracted)
}

#[test]
fn what_occurred_first_is_read_before_rules_look_at_it() {
    let log = RuleLog::new(Failpoints::default());
    newest_first(&log);
    let mut detect = log.detect(&rules_with_act());
    detect.max_events = 2;
    drain(&mut detect);
    let alerts = alerts_of(&log);
    assert_eq!(states(&log, "act").len(), 1);
    assert!(!alerts.iter().any(was_retracted), "{alerts:#?}");
}

#[test]
fn new_events_wait_until_it_is_known_what_occurred_before_them() {
    let log = RuleLog::new(Failpoints::default());
    newest_first(&log);
    drain(&mut log.detect(&rules_with_act()));
    log.forget_pairs();
    log.arrive(
        WindowKind::Live,
        &[SentEntry::plain(20, "a", 50), SentEntry::plain(21, "b", 51)],
        from_micros(60 * SECOND),
    );
    let mut detect = log.detect(&rules_with_act());
    detect.max_events = 2;
    let before = alerts_of(&log).len();
    while detect.turn_once().unwrap().has_more {
        let is_unread = detect.has_unread_pairs();
        assert!(!is_unread || alerts_of(&log).len() == before);
        // The end of the program does not hurry it.
        if is_unread {
            assert!(!detect.last_turn().unwrap().has_more);
            assert_eq!(alerts_of(&log).len(), before);
        }
    }
    let alerts = alerts_of(&log);
    assert!(!alerts.iter().any(was_retracted), "{alerts:#?}");
    assert_eq!(
        standing(&alerts),
        expected(&log.events(), &rules(&rules_with_act()))
    );
}

#[test]
fn a_damaged_event_is_judged_when_it_can_be_read_again() {
    let log = RuleLog::new(Failpoints::default());
    let mut detect = log.detect(RULES);
    drain(&mut detect);
    log.arrive(
        WindowKind::Live,
        &[SentEntry::plain(1, "a", 5)],
        from_micros(20 * SECOND),
    );
    let whole = log.damage(1);
    drain(&mut detect);
    assert_eq!(states(&log, "single"), []);
    assert_eq!(log.store.skipped_by_rules(Seq::ZERO, 9).unwrap(), [Seq(1)]);
    log.repair(1, &whole);
    log.clock.advance(RETRY_DAMAGED_EVERY);
    drain(&mut detect);
    assert_eq!(states(&log, "single"), [(AlertState::Open, 1)]);
    assert_eq!(log.store.skipped_by_rules(Seq::ZERO, 9).unwrap(), []);
}

#[test]
fn pairs_have_their_least_time_whatever_the_order() {
    let mut rng = Rng::with_seed(11);
    for _ in 0..10 {
        let log = RuleLog::new(Failpoints::default());
        let mut entries: Vec<SentEntry> = (0..40).map(|n| sent(n, &mut rng)).collect();
        rng.shuffle(&mut entries);
        let mut detect = log.detect(RULES);
        for batch in entries.chunks(rng.usize(1..9)) {
            log.arrive(WindowKind::Backfill, batch, from_micros(90 * SECOND));
            drain(&mut detect);
        }
        let key = log
            .store
            .use_rules(&units::versions(&units::raising(&rules(RULES))))
            .unwrap()
            .key;
        let mut first = std::collections::BTreeMap::new();
        for event in log.events() {
            let facts = crate::rules::EntryFacts::of(&event);
            for pair in pairs::pairs_of(&facts, &key) {
                let at_us = event.ordered_at().timestamp_micros();
                let least = first.entry(pair).or_insert(at_us);
                *least = at_us.min(*least);
            }
        }
        assert!(!first.is_empty());
        for (pair, at_us) in first {
            let found = log.store.first_seen([pair]).unwrap();
            assert_eq!(found[&pair].at_us, at_us);
        }
    }
}

/// Rules over notices: two of the same kind, and one that matches none.
const NOTICE_RULES: &str = r"
title: Damage
id: damage
logsource: {product: cloudflare, service: orgtrail}
detection: {s: {kind: log_damaged}, condition: s}
level: high
---
title: Silence
id: silence
logsource: {product: cloudflare, service: orgtrail}
detection: {s: {kind: source_silent, reason: failing}, condition: s}
---
title: Audit
id: audit
logsource: {product: cloudflare, service: audit}
detection: {s: {kind: log_damaged}, condition: s}
";

fn damage_notice(source: &str, subject: u32) -> NewNotice {
    NewNotice {
        kind: NoticeKind::LogDamaged,
        source: source.to_owned(),
        subject: subject.to_string(),
        facts: serde_json::Map::new(),
        summary: format!("event {subject} (hash_mismatch)"),
    }
}

#[test]
fn each_notice_raises_one_alert_whatever_is_killed_or_reloaded() {
    let mut rng = Rng::with_seed(5);
    let chance = Mutex::new(rng.fork());
    let failpoints = Failpoints::new(move |step| {
        let mut chance = chance.lock().unwrap();
        let fails = [steps::JUDGE, steps::USE_RULES].contains(&step) && chance.f64() < 0.3;
        let failure = [StepFailure::Before, StepFailure::After][chance.usize(0..2)];
        fails.then_some(failure)
    });
    let log = RuleLog::new(failpoints);
    let mut detect = log.detect(NOTICE_RULES);
    for subject in 0..30 {
        let notice = damage_notice("accounts/a", subject);
        log.store
            .save_notices(&[notice], &[], from_micros(7))
            .unwrap();
        for _ in 0..rng.usize(0..5) {
            match detect.turn_once() {
                Ok(_) => {}
                Err(error) if rng.bool() => detect.recover(error),
                Err(_) => detect = log.detect(NOTICE_RULES),
            }
        }
    }
    while detect.turn_once().map_or(true, |turned| turned.has_more) {
        detect = log.detect(NOTICE_RULES);
    }
    let alerts = alerts_of(&log);
    let summaries: BTreeSet<&str> = alerts.iter().map(|alert| alert.summary.as_str()).collect();
    assert_eq!((alerts.len(), summaries.len()), (30, 30));
    for alert in &alerts {
        assert_eq!(
            (&alert.rule.id[..], alert.state),
            ("damage", AlertState::Open)
        );
        assert_eq!((alert.events.len(), alert.events_total), (0, 0));
        assert_eq!(
            (alert.first_time, alert.last_time),
            (from_micros(7), from_micros(7))
        );
        assert_eq!((alert.history.len(), alert.late_by_seconds), (1, 0));
    }
}

#[test]
fn alerts_without_events_exist_for_those_that_may_see_their_source() {
    let log = RuleLog::new(Failpoints::default());
    let mut detect = log.detect(NOTICE_RULES);
    drain(&mut detect);
    let notices = ["accounts/a", "accounts/b", ""].map(|source| damage_notice(source, 1));
    log.store
        .save_notices(&notices, &[], from_micros(7))
        .unwrap();
    drain(&mut detect);
    let seen_by = |source: &str| {
        let reader = AlertReader {
            sources: Some(vec![Source::account(source).unwrap()]),
            bodies: false,
        };
        let alerts = log.store.alerts(&AlertFilter::default(), &reader, None, 9);
        alerts.unwrap().len()
    };
    assert_eq!(
        (alerts_of(&log).len(), seen_by("a"), seen_by("c")),
        (3, 1, 0)
    );
    // Times without an event count all the same.
    let filter = AlertFilter {
        since: Some(from_micros(7)),
        before: Some(from_micros(8)),
        ..AlertFilter::default()
    };
    let found = log
        .store
        .alerts(&filter, &AlertReader::of_everything(), None, 9);
    assert_eq!(found.unwrap().len(), 3);
}

#[test]
fn notices_before_a_rule_are_history_and_a_changed_rule_retracts_its_alerts() {
    let log = RuleLog::new(Failpoints::default());
    drain(&mut log.detect(RULES));
    log.store
        .save_notices(&[damage_notice("accounts/a", 1)], &[], from_micros(7))
        .unwrap();
    let mut detect = log.detect(NOTICE_RULES);
    drain(&mut detect);
    log.store
        .save_notices(&[damage_notice("accounts/a", 2)], &[], from_micros(8))
        .unwrap();
    drain(&mut detect);
    assert_eq!(log.history_of("damage"), [true, false]);
    detect.reload().replace(rules(
        &NOTICE_RULES.replace("kind: log_damaged", "kind: other"),
    ));
    drain(&mut detect);
    assert!(
        states(&log, "damage")
            .iter()
            .all(|(state, _)| *state == AlertState::Retracted)
    );
    detect.reload().replace(rules(NOTICE_RULES));
    drain(&mut detect);
    assert!(
        states(&log, "damage")
            .iter()
            .all(|(state, _)| *state == AlertState::Open)
    );
    assert_eq!(states(&log, "damage").len(), 2);
}

#[test]
fn a_correlation_cannot_name_a_rule_over_notices() {
    let text = "---\ntitle: Much\nid: much\ncorrelation: {type: event_count, rules: [damage], timespan: 1h, condition: {gte: 2}}\n";
    let (rules, errors) = Rules::parse("test.yml", &[NOTICE_RULES, text].concat());
    assert_eq!((rules.iter().count(), errors.len()), (3, 1));
    assert!(errors[0].reason.contains("notice"), "{}", errors[0].reason);
}
