//! The outbox as a whole: what is sent, in which order, and what is not.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;
use crate::alert::{Alert, AlertId, AlertState, Level, RuleName};
use crate::clock::from_micros;
use crate::durable::Failpoints;
use crate::store::Store;

const POLICY: SendPolicy = SendPolicy {
    suppress: TimeDelta::minutes(10),
    digest_above: 3,
};

fn seconds(seconds: i64) -> DateTime<Utc> {
    from_micros(1_750_000_000_000_000 + seconds * 1_000_000)
}

fn alert(id: &str, rule: &str, group: Option<&str>, at: i64) -> Alert {
    let group = group.map(|value| ("actor.email".to_owned(), Some(value.to_owned())));
    Alert {
        id: AlertId(id.to_owned()),
        rule: RuleName {
            id: rule.to_owned(),
            title: "A rule".to_owned(),
            level: Level::High,
            tags: Vec::new(),
        },
        group: group.into_iter().collect(),
        state: AlertState::Open,
        first_time: seconds(at),
        last_time: seconds(at),
        raised_at: seconds(at),
        late_by_seconds: 0,
        events: Vec::new(),
        events_total: 1,
        summary: "It happened.".to_owned(),
        assignee: None,
        history: Vec::new(),
    }
}

/// A log with one destination, `d`, that takes everything.
struct Outbox {
    store: Store,
    _dir: tempfile::TempDir,
}

impl Outbox {
    fn new(destinations: &[Subscription]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        store.save_destinations(destinations).unwrap();
        Self { store, _dir: dir }
    }

    fn of_one() -> Self {
        Self::new(&[destination("d")])
    }

    fn add(&self, alert: &Alert, change: MessageKind, at: i64) {
        let message = Message {
            alert: alert.clone(),
            change,
            at: seconds(at),
            history: false,
        };
        self.store.enqueue(&message).unwrap();
    }

    fn raise(&self, id: &str, rule: &str, group: Option<&str>, at: i64) {
        self.add(&alert(id, rule, group, at), MessageKind::Raised, at);
    }

    /// What is next; decisions are made until there is something to send, or nothing.
    fn next(&self, at: i64) -> Option<Outgoing> {
        loop {
            match self
                .store
                .next_delivery("d", POLICY, seconds(at))
                .unwrap()
                .0
            {
                NextDelivery::Send(message) => return Some(*message),
                NextDelivery::Again => {}
                NextDelivery::Idle | NextDelivery::Wait(_) => return None,
            }
        }
    }

    fn save(&self, message: &Outgoing, attempt: &Attempt, at: i64) -> AttemptSaved {
        let give_up_after = TimeDelta::hours(1);
        let saved = self
            .store
            .save_attempt("d", message, attempt, give_up_after, seconds(at));
        saved.unwrap()
    }

    /// Sends everything that can be sent now. What was sent, in words.
    fn flush(&self, at: i64) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some(message) = self.next(at) {
            self.save(&message, &Attempt::Accepted, at);
            sent.push(words(&message));
        }
        sent
    }
}

fn destination(name: &str) -> Subscription {
    Subscription {
        name: name.to_owned(),
        level: Level::Informational,
        rules: Vec::new(),
        history: false,
    }
}

fn words(message: &Outgoing) -> String {
    match &message.content {
        Content::Alert { change, alert } => format!("{} {}", change.as_str(), alert.id),
        Content::Digest { rule, alerts, .. } => format!("digest {rule}: {}", alerts.join(" ")),
    }
}

fn failed() -> Attempt {
    Attempt::Failed {
        error: "no".to_owned(),
        wait: TimeDelta::zero(),
    }
}

#[test]
fn messages_are_sent_in_order_and_none_before_the_one_before_it_is_done() {
    let outbox = Outbox::of_one();
    outbox.raise("a", "r", None, 0);
    outbox.raise("b", "s", None, 1);
    let first = outbox.next(2).unwrap();
    assert_eq!((words(&first).as_str(), first.attempts), ("raised a", 0));
    // A crash comes here: nothing is saved. The same message is next, under the same id.
    let again = outbox.next(3).unwrap();
    assert_eq!((&again.webhook_id, again.attempts), (&first.webhook_id, 1));
    assert_eq!(outbox.save(&again, &failed(), 3), AttemptSaved::Retry);
    let again = outbox.next(4).unwrap();
    assert_eq!((&again.webhook_id, again.failures), (&first.webhook_id, 1));
    assert_eq!(
        outbox.save(&again, &Attempt::Accepted, 4),
        AttemptSaved::Accepted
    );
    let second = outbox.next(5).unwrap();
    assert_eq!((words(&second).as_str(), second.failures), ("raised b", 0));
}

#[test]
fn nothing_is_tried_during_a_wait_and_a_wrong_clock_makes_none() {
    let outbox = Outbox::of_one();
    outbox.raise("a", "r", None, 0);
    let message = outbox.next(1).unwrap();
    let attempt = Attempt::Failed {
        error: "no".to_owned(),
        wait: TimeDelta::seconds(30),
    };
    outbox.save(&message, &attempt, 1);
    let (next, _) = outbox
        .store
        .next_delivery("d", POLICY, seconds(11))
        .unwrap();
    assert_eq!(next, NextDelivery::Wait(TimeDelta::seconds(20)));
    assert!(outbox.next(31).is_some());
    outbox.save(&message, &attempt, 3_000);
    assert!(
        outbox.next(32).is_some(),
        "the failure was noted in the future"
    );
}

#[test]
fn a_message_that_fails_for_long_is_given_up_and_can_be_replayed() {
    let outbox = Outbox::of_one();
    outbox.raise("a", "r", None, 0);
    outbox.raise("b", "s", None, 0);
    let message = outbox.next(10).unwrap();
    assert_eq!(outbox.save(&message, &failed(), 10), AttemptSaved::Retry);
    let message = outbox.next(3_610).unwrap();
    assert_eq!(
        outbox.save(&message, &failed(), 3_610),
        AttemptSaved::GivenUp
    );
    // The next one has waited as long behind it, and is tried before it is given up.
    let second = outbox.next(3_611).unwrap();
    assert_eq!(words(&second), "raised b");
    outbox.save(&second, &Attempt::Accepted, 3_611);
    let letters = outbox.store.dead_letters(Some("d")).unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].alert.as_deref(), Some("a"));
    assert_eq!(
        (letters[0].attempts, letters[0].error.as_deref()),
        (2, Some("no"))
    );
    outbox.raise("c", "t", None, 4_000);
    let unknown = outbox
        .store
        .replay("d", &["msg_x".to_owned()], seconds(4_001));
    assert_eq!(unknown.unwrap(), 0);
    let replayed = outbox
        .store
        .replay("d", &[letters[0].id.clone()], seconds(4_001));
    assert_eq!(replayed.unwrap(), 1);
    let again = outbox.next(4_002).unwrap();
    assert_eq!(
        (words(&again).as_str(), &again.webhook_id),
        ("raised a", &letters[0].id)
    );
    assert_eq!(
        outbox.save(&again, &failed(), 4_003),
        AttemptSaved::Retry,
        "the time to give up begins again"
    );
    assert_eq!(outbox.flush(4_004), ["raised a", "raised c"]);
}

#[test]
fn alerts_of_one_group_are_suppressed_after_one_was_sent() {
    let outbox = Outbox::of_one();
    outbox.raise("a", "r", Some("x"), 0);
    outbox.raise("b", "r", Some("x"), 61);
    outbox.raise("c", "r", Some("y"), 62);
    outbox.raise("d", "s", Some("x"), 63);
    outbox.raise("e", "r", None, 300);
    outbox.raise("f", "r", None, 500);
    outbox.raise("g", "r", Some("x"), 599);
    outbox.raise("h", "r", Some("x"), 600);
    assert_eq!(
        outbox.flush(700),
        [
            "raised a", "raised c", "raised d", "raised e", "raised f", "raised h"
        ]
    );
    // The receiver does not know the alert that was suppressed.
    outbox.add(&alert("b", "r", Some("x"), 61), MessageKind::Updated, 701);
    outbox.add(&alert("b", "r", Some("x"), 61), MessageKind::Retracted, 702);
    outbox.add(&alert("c", "r", Some("y"), 62), MessageKind::Retracted, 703);
    assert_eq!(outbox.flush(704), ["retracted c"]);
}

#[test]
fn an_alert_that_was_not_sent_suppresses_nothing() {
    let outbox = Outbox::of_one();
    outbox.raise("a", "r", Some("x"), 0);
    outbox.raise("b", "r", Some("x"), 1);
    outbox.add(&alert("a", "r", Some("x"), 0), MessageKind::Retracted, 2);
    assert_eq!(outbox.flush(3), ["raised b"]);
}

#[test]
fn an_alert_that_may_have_arrived_is_sent_although_it_was_retracted_meanwhile() {
    let outbox = Outbox::of_one();
    outbox.raise("a", "r", None, 0);
    let message = outbox.next(1).unwrap();
    outbox.save(&message, &failed(), 2);
    outbox.add(&alert("a", "r", None, 0), MessageKind::Retracted, 3);
    outbox.add(&alert("a", "r", None, 4), MessageKind::Raised, 4);
    assert_eq!(outbox.flush(5), ["raised a", "retracted a", "raised a"]);
}

#[test]
fn many_alerts_of_one_rule_become_one_digest_and_others_do_not_wait() {
    let outbox = Outbox::of_one();
    for n in 0..6 {
        outbox.raise(&format!("a{n}"), "r", Some(&format!("g{n}")), n);
    }
    outbox.raise("b", "s", None, 6);
    assert_eq!(outbox.flush(7), ["raised b"]);
    outbox.raise("a6", "r", None, 30);
    // One of its group is in the digest already, but not sent yet.
    outbox.raise("a7", "r", Some("g0"), 31);
    outbox.add(&alert("a1", "r", Some("g1"), 1), MessageKind::Retracted, 32);
    outbox.add(&alert("a2", "r", Some("g2"), 2), MessageKind::Updated, 33);
    assert_eq!(outbox.flush(40), Vec::<String>::new());
    assert_eq!(outbox.flush(60), ["digest r: a0 a2 a3 a4 a5 a6 a7"]);
    outbox.add(&alert("a2", "r", Some("g2"), 2), MessageKind::Retracted, 70);
    assert_eq!(outbox.flush(71), ["retracted a2"]);
    outbox.raise("z", "r", None, 200);
    assert_eq!(outbox.flush(200), ["raised z"]);
}

#[test]
fn an_alert_that_leaves_its_digest_suppresses_nothing() {
    let outbox = Outbox::of_one();
    for n in 0..4 {
        outbox.raise(&format!("a{n}"), "r", Some(&format!("g{n}")), n);
    }
    assert_eq!(outbox.flush(5), Vec::<String>::new());
    outbox.raise("b", "r", Some("g0"), 10);
    assert_eq!(outbox.flush(11), Vec::<String>::new());
    outbox.add(&alert("a0", "r", Some("g0"), 0), MessageKind::Retracted, 20);
    assert_eq!(outbox.flush(70), ["digest r: a1 a2 a3 b"]);
}

#[test]
fn an_alert_whose_retraction_was_sent_suppresses_nothing() {
    let outbox = Outbox::of_one();
    outbox.raise("a", "r", Some("x"), 0);
    assert_eq!(outbox.flush(1), ["raised a"]);
    outbox.add(&alert("a", "r", Some("x"), 0), MessageKind::Retracted, 2);
    outbox.add(&alert("a", "r", Some("x"), 3), MessageKind::Raised, 3);
    outbox.raise("b", "r", Some("x"), 4);
    assert_eq!(outbox.flush(5), ["retracted a", "raised a"]);
}

#[test]
fn a_clock_that_was_wrong_once_neither_suppresses_for_years_nor_deletes_what_waits() {
    let outbox = Outbox::of_one();
    outbox.raise("future", "r", Some("x"), 100_000_000);
    assert_eq!(outbox.flush(0), ["raised future"]);
    outbox.raise("a", "r", Some("x"), 1);
    outbox.raise("b", "s", Some("x"), 2);
    let year = 365 * 24 * 3600;
    while outbox.store.forget_deliveries(seconds(10 * year)).unwrap() {}
    assert_eq!(outbox.flush(3), ["raised a", "raised b"]);
}

#[test]
fn a_digest_whose_alerts_were_all_retracted_is_not_sent() {
    let outbox = Outbox::of_one();
    for n in 0..4 {
        outbox.raise(&format!("a{n}"), "r", None, n);
    }
    assert_eq!(outbox.flush(5), Vec::<String>::new());
    for n in 0..4 {
        outbox.add(
            &alert(&format!("a{n}"), "r", None, n),
            MessageKind::Retracted,
            10,
        );
    }
    assert_eq!(outbox.flush(70), Vec::<String>::new());
    assert_eq!(outbox.store.destinations().unwrap()[0].pending, 0);
}

#[test]
fn a_destination_takes_its_levels_and_rules_and_history_only_if_it_is_wanted() {
    let picky = Subscription {
        level: Level::Critical,
        ..destination("picky")
    };
    let tokens = Subscription {
        rules: vec!["cf-token-*".to_owned()],
        ..destination("tokens")
    };
    let history = Subscription {
        history: true,
        ..destination("history")
    };
    let outbox = Outbox::new(&[destination("d"), picky, tokens, history]);
    let send = |rule: &str, history| {
        let message = Message {
            alert: alert(&format!("{rule}{history}"), rule, None, 0),
            change: MessageKind::Raised,
            at: seconds(0),
            history,
        };
        outbox.store.enqueue(&message).unwrap();
    };
    send("cf-token-made", false);
    send("cf-zone-gone", false);
    send("cf-token-made", true);
    let waiting = || -> BTreeMap<String, u64> {
        let states = outbox.store.destinations().unwrap().into_iter();
        states.map(|state| (state.name, state.pending)).collect()
    };
    let expect = [("d", 2), ("picky", 0), ("tokens", 1), ("history", 3)];
    assert_eq!(
        waiting(),
        expect.map(|(name, count)| (name.to_owned(), count)).into()
    );
    // An update goes to where the alert went, and nothing goes to a destination that was taken out.
    outbox.store.save_destinations(&[destination("d")]).unwrap();
    outbox.add(
        &alert("cf-token-madetrue", "cf-token-made", None, 0),
        MessageKind::Updated,
        1,
    );
    outbox.add(
        &alert("cf-zone-gonefalse", "cf-zone-gone", None, 0),
        MessageKind::Updated,
        1,
    );
    let expect = [("d", 3), ("picky", 0), ("tokens", 1), ("history", 3)];
    assert_eq!(
        waiting(),
        expect.map(|(name, count)| (name.to_owned(), count)).into()
    );
}

#[test]
fn old_messages_are_forgotten_and_their_alerts_can_still_be_retracted() {
    let outbox = Outbox::of_one();
    outbox.raise("a", "r", None, 0);
    outbox.flush(1);
    let later = 91 * 24 * 3_600;
    assert!(!outbox.store.forget_deliveries(seconds(later)).unwrap());
    outbox.add(&alert("a", "r", None, 0), MessageKind::Retracted, later);
    assert_eq!(outbox.flush(later), ["retracted a"]);
}

/// What happens in a run: an alert is raised or retracted, an attempt succeeds or fails, a worker is killed.
#[derive(Debug, Clone)]
enum Happening {
    Raise { rule: u8, group: u8, after: i64 },
    Retract { which: usize },
    Attempt { succeeds: bool, is_saved: bool },
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0..2_u8, 0..4_u8, 0..40_i64).prop_map(|(rule, group, after)| Happening::Raise {
            rule,
            group,
            after
        }),
        (0..40_usize).prop_map(|which| Happening::Retract { which }),
        (any::<bool>(), prop::bool::weighted(0.8))
            .prop_map(|(succeeds, is_saved)| Happening::Attempt { succeeds, is_saved }),
    ]
}

/// What a receiver saw of a run, and what was raised and retracted in it.
#[derive(Default)]
struct Seen {
    /// Each alert with its rule, its group and its time, in order.
    raised: Vec<(Alert, i64)>,
    retracted: BTreeMap<String, i64>,
    /// Each message that arrived: its id, what it says, when.
    arrived: Vec<(String, Content, i64)>,
}

impl Seen {
    /// Whether the receiver has the alert, alone or in a digest.
    fn has(&self, id: &str) -> bool {
        self.arrived.iter().any(|(_, content, _)| match content {
            Content::Alert {
                change: MessageKind::Raised,
                alert,
            } => alert.id.0 == id,
            Content::Digest { alerts, .. } => alerts.iter().any(|one| one == id),
            Content::Alert { .. } => false,
        })
    }

    /// Whether another alert of its rule and group, raised within the span before it, arrived.
    fn is_suppressed(&self, index: usize) -> bool {
        let (alert, at) = &self.raised[index];
        let span = POLICY.suppress.num_seconds();
        !alert.group.is_empty()
            && self.raised[..index].iter().any(|(other, before)| {
                let is_same = other.rule == alert.rule && other.group == alert.group;
                is_same && at - before < span && self.has(&other.id.0)
            })
    }

    fn check(&self) {
        for (index, (alert, _)) in self.raised.iter().enumerate() {
            let is_explained = self.has(&alert.id.0)
                || self.retracted.contains_key(&alert.id.0)
                || self.is_suppressed(index);
            assert!(is_explained, "{} did not arrive", alert.id);
        }
        // In order, repetitions aside.
        let mut known = BTreeSet::new();
        let firsts = self
            .arrived
            .iter()
            .filter(|(id, ..)| known.insert(id.clone()));
        let order: Vec<DateTime<Utc>> = firsts
            .filter_map(|(_, content, _)| match content {
                Content::Alert {
                    change: MessageKind::Raised,
                    alert,
                } => Some(alert.raised_at),
                _ => None,
            })
            .collect();
        assert!(order.is_sorted(), "{order:?}");
        for (id, content, _) in &self.arrived {
            if let Content::Alert {
                change: MessageKind::Retracted,
                alert,
            } = content
            {
                assert!(
                    self.has(&alert.id.0),
                    "{id}: the receiver does not know the alert"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_every_alert_arrives_in_order_or_was_suppressed_or_retracted_first(
        happenings in prop::collection::vec(happening(), 1..80)
    ) {
        let outbox = Outbox::of_one();
        let mut seen = Seen::default();
        let mut now = 0;
        for happening in happenings {
            match happening {
                Happening::Raise { rule, group, after } => {
                    now += after;
                    let group = (group > 0).then(|| format!("g{group}"));
                    let id = format!("a{}", seen.raised.len());
                    let alert = alert(&id, &format!("r{rule}"), group.as_deref(), now);
                    outbox.add(&alert, MessageKind::Raised, now);
                    seen.raised.push((alert, now));
                }
                Happening::Retract { which } => {
                    let found = seen.raised.get(which).map(|(alert, _)| alert.clone());
                    if let Some(alert) = found.filter(|alert| !seen.retracted.contains_key(&alert.id.0)) {
                        outbox.add(&alert, MessageKind::Retracted, now);
                        seen.retracted.insert(alert.id.0, now);
                    }
                }
                Happening::Attempt { succeeds, is_saved } => {
                    now += 1;
                    if let Some(message) = outbox.next(now) {
                        if succeeds {
                            seen.arrived.push((message.webhook_id.clone(), message.content.clone(), now));
                        }
                        let attempt = if succeeds { Attempt::Accepted } else { failed() };
                        if is_saved {
                            outbox.save(&message, &attempt, now);
                        }
                    }
                }
            }
        }
        now += 120;
        while let Some(message) = outbox.next(now) {
            outbox.save(&message, &Attempt::Accepted, now);
            seen.arrived.push((message.webhook_id.clone(), message.content.clone(), now));
        }
        let waiting = outbox.store.destinations().unwrap()[0].pending;
        prop_assert_eq!(waiting, 0);
        seen.check();
    }
}
