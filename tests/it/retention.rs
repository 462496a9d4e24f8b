//! Retention: bodies that are due are erased, unless a hold keeps them, and nothing of them remains on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::alert::{Alert, Level};
use orgtrail::clock::Clock;
use orgtrail::detect::Detect;
use orgtrail::durable::{Failpoints, StepFailure};
use orgtrail::engine::tantivy::Index;
use orgtrail::engine::{Hit, Order, Range};
use orgtrail::event::{Arrival, hex, sha256};
use orgtrail::follow::Follower as _;
use orgtrail::follow::index::{Indexing, open_index};
use orgtrail::metrics::Metrics;
use orgtrail::position::{Seq, rfc3339};
use orgtrail::query::Query;
use orgtrail::retention::{
    self, KeptFor, Retention, RetentionPlan, RetentionPolicies, SourcePolicy,
};
use orgtrail::rules::Rules;
use orgtrail::store::alerts::{AlertFilter, AlertReader};
use orgtrail::store::{
    AccessStore, Appended, FILE_NAME, Imported, NewHold, Store, Subscription, steps,
};
use orgtrail_simulator::SimConfig;
use proptest::prelude::*;
use reqwest::StatusCode;
use rusqlite::Connection;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::harness::{Service, Upstream, until};
use crate::reference;

/// What only the bodies of erased events have.
const MARKER: &str = "plantedmarker";

/// The present of these tests.
fn now() -> DateTime<Utc> {
    "2026-08-03T12:00:00Z".parse().unwrap()
}

/// A log with its index, and a clock that the test sets.
struct Log {
    data: PathBuf,
    store: Store,
    index: Index,
    indexing: Indexing,
    clock: Clock,
}

impl Log {
    fn open(data: &Path, failpoints: Failpoints) -> Self {
        let clock = Clock::manual(now());
        Self::open_at(data, failpoints, clock)
    }

    fn open_at(data: &Path, failpoints: Failpoints, clock: Clock) -> Self {
        let store = Store::open(data, failpoints.clone()).unwrap();
        let (index, _) = open_index(data, &store, failpoints).unwrap();
        Self {
            data: data.to_owned(),
            indexing: Indexing::new(store.clone(), index.clone(), clock.clone()),
            store,
            index,
            clock,
        }
    }

    fn import(&self, entries: &[(String, String)]) -> Appended {
        let imported: Vec<Imported> = entries
            .iter()
            .map(|(source, text)| Imported {
                source: source.parse().unwrap(),
                label: None,
                arrival: Arrival::read(RawValue::from_string(text.clone()).unwrap()),
            })
            .collect();
        self.store.begin_import().unwrap();
        self.store.import(&imported, self.clock.now()).unwrap()
    }

    fn retention(&self, policies: &RetentionPolicies) -> Retention {
        let access = AccessStore::open(&self.data).unwrap();
        Retention::new(
            self.store.clone(),
            access,
            policies.clone(),
            self.clock.clone(),
        )
    }

    /// Erases what is due, and removes its documents.
    fn erase(&mut self, policies: &RetentionPolicies) {
        self.retention(policies).catch_up().unwrap();
        self.indexing.catch_up().unwrap();
    }

    fn hold(&self, name: &str, query: Option<&str>, source: Option<&str>) {
        let new = NewHold {
            name: name.to_owned(),
            query: query.map(str::to_owned),
            sources: source.into_iter().map(|one| one.parse().unwrap()).collect(),
            since: None,
            before: None,
            reason: "a test".to_owned(),
        };
        assert_eq!(retention::mistake(&new, self.clock.now()), None);
        let created = self
            .store
            .create_hold(&new, "system:test", self.clock.now());
        assert!(created.unwrap().is_some());
    }

    fn erased(&self) -> Vec<u64> {
        let events = self.store.events_after(Seq::ZERO, 100_000, usize::MAX);
        let events = events.unwrap();
        let erased = events.iter().filter(|event| event.is_erased());
        erased.map(|event| event.seq.0).collect()
    }

    fn close(self) {
        self.index.close().unwrap();
        self.store.close().unwrap();
    }
}

fn kept_for(text: &str) -> RetentionPolicies {
    RetentionPolicies {
        events: Some(KeptFor::read(text).unwrap()),
        sources: Vec::new(),
    }
}

/// An entry that happened so many days before the present.
fn entry(n: usize, days: i64, marker: &str) -> (String, String) {
    let at = now() - TimeDelta::days(days) - TimeDelta::seconds(i64::try_from(n).unwrap());
    let text = json!({
        "id": format!("id-{n}"),
        "action": {"time": rfc3339(at), "type": format!("type-{}", n % 7), "description": format!("{marker} did it {n}")},
        "actor": {"id": format!("u{}", n % 30), "email": format!("{marker}.{}@example.com", n % 30)},
        "resource": {"id": format!("{marker}-{n}"), "product": "dns",
            "request": {"content": format!("{marker}{n}{}", noise(n)), "ttl": n}},
    });
    ("accounts/a".to_owned(), text.to_string())
}

/// A text that cannot be compressed much: real entries have ids, addresses and tokens.
fn noise(n: usize) -> String {
    (0..5)
        .map(|part| hex(&sha256(format!("{n} {part}").as_bytes())))
        .collect()
}

/// The files below a directory that have a text in clear.
fn files_with(dir: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
            continue;
        }
        // A merge may remove it meanwhile.
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        if bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
        {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_erased_body_remains_on_disk_and_the_file_gives_its_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), Failpoints::default());
    let (old, new) = (3_000, 1_500);
    let mut entries: Vec<_> = (0..old).map(|n| entry(n, 100, MARKER)).collect();
    entries.extend((old..old + new).map(|n| entry(n, 1, "somebody")));
    for some in entries.chunks(500) {
        log.import(some);
        log.indexing.catch_up().unwrap();
    }
    assert!(
        !files_with(dir.path(), MARKER).is_empty(),
        "it is looked for rightly"
    );
    log.store.empty_write_ahead_log().unwrap();
    let path = dir.path().join(FILE_NAME);
    let size_before = path.metadata().unwrap().len();
    let policies = kept_for("30d");
    let plan = retention::plan(&log.store, &policies, now()).unwrap();
    let expect = RetentionPlan {
        due: 3_000,
        due_bytes: plan.due_bytes,
        held: 0,
        traces_left: false,
    };
    assert_eq!(plan, expect);

    log.erase(&policies);
    let begun = Instant::now();
    while log.indexing.steady_turn().unwrap().commit_in.is_some() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(files_with(dir.path(), MARKER), Vec::<PathBuf>::new());
    let given_back = size_before.saturating_sub(path.metadata().unwrap().len());
    assert!(
        given_back as f64 >= 0.6 * plan.due_bytes as f64,
        "{given_back} of {} bytes, of a file of {size_before}",
        plan.due_bytes
    );

    let plan = retention::plan(&log.store, &policies, now()).unwrap();
    assert_eq!(plan, RetentionPlan::default());
    assert_eq!(log.erased().len(), old);
    let snapshot = log.index.snapshot();
    let all = Range::default();
    assert_eq!(snapshot.documents(), new as u64);
    assert_eq!(snapshot.count(&Query::All, all).unwrap(), new as u64);
    assert_eq!(
        log.store
            .scrub(Seq::ZERO, 10_000, usize::MAX)
            .unwrap()
            .damaged,
        []
    );
    assert_eq!(log.store.sources().unwrap()[0].events, new as u64);
    // Polling or importing again brings nothing back, in other bytes either.
    let spaced: Vec<_> = entries[..50]
        .iter()
        .map(|(source, text)| (source.clone(), text.replace("\",\"", "\" , \"")))
        .collect();
    assert_eq!(log.import(&entries).new, 0);
    assert_eq!(log.import(&spaced).new, 0);
    log.store.check().unwrap();
    log.close();
    assert_eq!(
        files_with(dir.path(), MARKER),
        Vec::<PathBuf>::new(),
        "after a stop"
    );
    let mut log = Log::open(dir.path(), Failpoints::default());
    log.indexing.catch_up().unwrap();
    assert_eq!(log.index.snapshot().documents(), new as u64);
    let access = AccessStore::open(dir.path()).unwrap();
    let lines = access.access_entries(None, 10).unwrap().entries;
    let lines: Vec<_> = lines
        .iter()
        .filter(|line| line.action == "retention.erase")
        .collect();
    assert_eq!(lines.len(), 1, "one line for each run");
    assert_eq!(
        (lines[0].results, lines[0].parameters.as_str()),
        (Some(3_000), "events=30d")
    );
}

#[test]
fn a_hold_keeps_what_it_covers_also_what_arrives_later_until_it_is_released() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), Failpoints::default());
    log.import(&(0..30).map(|n| entry(n, 100, "x")).collect::<Vec<_>>());
    log.hold("case", Some("actor.id:u7 OR action.type:type-3"), None);
    let policies = kept_for("30d");
    log.erase(&policies);
    let is_kept = |n: &u64| (n - 1) % 7 == 3 || (n - 1) % 30 == 7;
    let expect: Vec<u64> = (1..=30).filter(|n| !is_kept(n)).collect();
    assert_eq!(log.erased(), expect);
    let plan = retention::plan(&log.store, &policies, now()).unwrap();
    assert_eq!((plan.due, plan.held), (0, 30 - expect.len() as u64));

    log.import(&[entry(37, 200, "x"), entry(36, 200, "x")]);
    let mut retention = log.retention(&policies);
    retention.catch_up().unwrap();
    assert!(!log.erased().contains(&31), "it is covered");
    assert!(log.erased().contains(&32));
    assert!(log.store.release_hold("case", now()).unwrap());
    retention.catch_up().unwrap();
    assert_eq!(log.erased(), (1..=32).collect::<Vec<_>>());
}

#[test]
fn a_hold_that_is_created_while_events_are_judged_keeps_them() {
    let dir = tempfile::tempdir().unwrap();
    let beside = Arc::new(std::sync::Mutex::new(None::<Store>));
    let created = Arc::clone(&beside);
    // Just before the first bodies are erased, another process creates a hold.
    let failpoints = Failpoints::new(move |step| {
        if step == steps::ERASE
            && let Some(store) = created.lock().unwrap().take()
        {
            let new = NewHold {
                name: "late".to_owned(),
                query: None,
                sources: Vec::new(),
                since: None,
                before: None,
                reason: "a test".to_owned(),
            };
            store.create_hold(&new, "system:test", now()).unwrap();
        }
        None
    });
    let mut log = Log::open(dir.path(), failpoints);
    log.import(&(0..30).map(|n| entry(n, 100, "x")).collect::<Vec<_>>());
    *beside.lock().unwrap() = Some(Store::open_beside(dir.path()).unwrap());
    log.erase(&kept_for("30d"));
    assert_eq!(log.erased(), Vec::<u64>::new());
}

#[test]
fn a_damaged_body_stays_under_every_hold_that_could_cover_it_and_is_erased_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), Failpoints::default());
    log.import(&(0..4).map(|n| entry(n, 100, "x")).collect::<Vec<_>>());
    let db = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    db.execute("UPDATE event SET body = x'00' WHERE seq = 2", [])
        .unwrap();
    log.hold("other", None, Some("accounts/b"));
    log.hold("case", Some("actor.id:u3"), Some("accounts/a"));
    log.erase(&kept_for("30d"));
    assert_eq!(log.erased(), [1, 3], "4 is held, and 2 may be");
    log.store.release_hold("case", now()).unwrap();
    log.erase(&kept_for("30d"));
    assert_eq!(log.erased(), [1, 2, 3, 4]);
}

#[test]
fn a_clock_that_is_years_ahead_erases_nothing_that_was_not_due() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), Failpoints::default());
    log.import(&[entry(1, 100, MARKER), entry(2, 1, "somebody")]);
    log.close();
    let db = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    let end = now().timestamp();
    db.execute(
        "INSERT INTO window (source, kind, since_s, before_s, began_us, sealed_us, outcome)
         VALUES (1, 'live', ?1 - 3600, ?1, ?1 * 1000000, ?1 * 1000000, 'sealed')",
        [end],
    )
    .unwrap();
    drop(db);

    let clock = Clock::manual(now() + TimeDelta::days(1_500));
    let log = Log::open_at(dir.path(), Failpoints::default(), clock.clone());
    let mut retention = log.retention(&kept_for("30d"));
    retention.catch_up().unwrap();
    assert_eq!(log.erased(), [1]);
    // Time that passes counts all the same: the service runs, and Cloudflare does not answer.
    clock.advance(TimeDelta::days(40));
    retention.catch_up().unwrap();
    assert_eq!(log.erased(), [1, 2]);
}

#[test]
fn a_hold_that_an_entry_alone_cannot_decide_is_refused() {
    let refused = |query: &str| {
        let new = NewHold {
            name: "case".to_owned(),
            query: Some(query.to_owned()),
            sources: Vec::new(),
            since: None,
            before: None,
            reason: "a test".to_owned(),
        };
        retention::mistake(&new, now())
    };
    for query in [
        "actor.known.name:Alice",
        "account.name:x",
        "NOT (a OR actor.known:*)",
        "first_seen:actor.ip_address AND actor.email:a@example.com",
    ] {
        let why = refused(query).unwrap();
        assert!(
            why.contains("does not depend on the entry alone"),
            "{query}: {why}"
        );
    }
    assert!(refused("(").unwrap().contains("cannot be read"));
    assert_eq!(
        refused("actor.email:a@example.com resource.request.ttl:300"),
        None
    );
}

/// The steps of retention, each of which a crash may cut off.
const STEPS: [orgtrail::durable::Step; 7] = [
    steps::ERASE,
    steps::FORGET_ERASED,
    steps::RECOMPRESS,
    steps::DROP_DICTIONARY,
    steps::COMPACT,
    steps::SHRINK,
    orgtrail::engine::tantivy::steps::COMMIT,
];

#[test]
fn after_a_kill_at_any_step_everything_due_is_erased_and_nothing_else() {
    for step in STEPS {
        for how in [StepFailure::Before, StepFailure::After] {
            let dir = tempfile::tempdir().unwrap();
            let log = Log::open(dir.path(), Failpoints::default());
            let mut entries: Vec<_> = (0..700).map(|n| entry(n, 100, MARKER)).collect();
            entries.extend((700..1_400).map(|n| entry(n, 1, "somebody")));
            for some in entries.chunks(200) {
                log.import(some);
            }
            log.hold("case", Some("actor.id:u3"), None);
            let mut log = log;
            log.indexing.catch_up().unwrap();
            log.close();

            let met = AtomicUsize::new(0);
            let failpoints = Failpoints::new(move |now| {
                let is_it = now == step && met.fetch_add(1, Ordering::SeqCst) == 0;
                is_it.then_some(how)
            });
            let mut log = Log::open(dir.path(), failpoints);
            let policies = kept_for("30d");
            let killed =
                log.retention(&policies).catch_up().is_err() | log.indexing.index_once().is_err();
            assert!(killed, "{step:?}");
            drop(log);

            let mut log = Log::open(dir.path(), Failpoints::default());
            log.erase(&policies);
            let expect: Vec<u64> = (1..=700).filter(|seq| (seq - 1) % 30 != 3).collect();
            assert_eq!(log.erased(), expect, "{step:?} {how:?}");
            let left = 1_400 - expect.len() as u64;
            assert_eq!(log.index.snapshot().documents(), left, "{step:?} {how:?}");
            assert_eq!(log.store.sources().unwrap()[0].events, left);
            let scrubbed = log.store.scrub(Seq::ZERO, 10_000, usize::MAX).unwrap();
            assert_eq!(scrubbed.damaged, [], "{step:?} {how:?}");
            assert!(!log.store.has_traces().unwrap(), "{step:?} {how:?}");
            log.store.check().unwrap();
        }
    }
}

#[test]
fn a_file_of_an_earlier_version_is_rewritten_once_and_gives_space_back_then() {
    let dir = tempfile::tempdir().unwrap();
    let kept = include_bytes!("../data/version_1/orgtrail.db");
    std::fs::write(dir.path().join(FILE_NAME), kept).unwrap();
    let mut log = Log::open(dir.path(), Failpoints::default());
    log.erase(&RetentionPolicies::default());
    assert!(
        !log.store.can_shrink().unwrap(),
        "nothing is rewritten without a policy"
    );
    assert!(!log.store.rewrite(|| true).unwrap() || log.store.can_shrink().unwrap());
    log.erase(&kept_for("36500d"));
    assert!(log.store.can_shrink().unwrap());
    assert_eq!(log.erased(), Vec::<u64>::new());
    log.store.check().unwrap();
    log.erase(&kept_for("1s"));
    assert_eq!(log.erased().len(), 12);
}

#[test]
fn revisions_that_stay_are_the_latest_when_those_after_them_are_erased() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), Failpoints::default());
    let (source, first) = entry(1, 100, "x");
    let second = first.replace("dns", "zones");
    log.import(&[(source.clone(), first)]);
    log.indexing.catch_up().unwrap();
    log.import(&[(source, second)]);
    log.indexing.catch_up().unwrap();
    let latest = |log: &Log| -> Vec<Seq> {
        let snapshot = log.index.snapshot();
        let page = snapshot.hits(
            &Query::Latest,
            Range::default(),
            Order::Descending,
            None,
            Seq(100),
            10,
        );
        page.unwrap().iter().map(|hit: &Hit| hit.seq).collect()
    };
    assert_eq!(latest(&log), [Seq(2)]);
    log.hold("first", Some("resource.product:dns"), None);
    log.erase(&kept_for("30d"));
    assert_eq!(log.erased(), [2]);
    assert_eq!(latest(&log), [Seq(1)]);
}

/// One that raises an alert for each entry of `type-1`, and a correlation of those of one person.
const RULES: &str = "
title: Type one
id: one
name: one
status: stable
level: medium
logsource: {product: cloudflare, service: audit}
detection: {s: {action.type: type-1}, condition: s}
---
title: Two of one person
id: two
level: medium
correlation: {type: event_count, rules: [one], group-by: [actor.email], timespan: 31d, condition: {gte: 2}, generate: true}
";

#[test]
fn alerts_and_their_messages_lose_what_came_from_erased_bodies() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), Failpoints::default());
    let subscription = Subscription {
        name: "security".to_owned(),
        level: Level::Informational,
        rules: Vec::new(),
        history: true,
    };
    log.store.save_destinations(&[subscription]).unwrap();
    let mut entries: Vec<_> = [1, 211, 421]
        .iter()
        .map(|n| entry(*n, 100, MARKER))
        .collect();
    entries.extend([631, 841].iter().map(|n| entry(*n, 1, "somebody")));
    log.import(&entries);
    let (rules, errors) = Rules::parse("test.yml", RULES);
    assert!(errors.is_empty(), "{errors:?}");
    let clock = log.clock.clone();
    let mut detect = Detect::new(log.store.clone(), rules, Metrics::default(), clock);
    while detect.turn_once().unwrap().has_more {}
    let reader = AlertReader {
        sources: None,
        bodies: true,
    };
    let alerts = |log: &Log| {
        let alerts = log
            .store
            .alerts(&AlertFilter::default(), &reader, None, 100);
        let mut alerts = alerts.unwrap();
        alerts.sort_by_key(|alert| alert.id.to_string());
        alerts
    };
    let before = alerts(&log);
    let says = |alerts: &[Alert], text: &str| {
        let shown = serde_json::to_string(alerts).unwrap();
        shown.matches(text).count()
    };
    assert!(
        says(&before, MARKER) > 0 && says(&before, "somebody") > 0,
        "{before:?}"
    );

    log.erase(&kept_for("30d"));
    let after = alerts(&log);
    assert_eq!(after.len(), before.len());
    assert_eq!(says(&after, MARKER), 0, "{after:?}");
    assert_eq!(says(&after, "somebody"), says(&before, "somebody"));
    assert!(says(&after, "its events were erased by retention") > 0);
    assert!(files_with(dir.path(), "somebody").contains(&dir.path().join(FILE_NAME)));
    assert_eq!(files_with(dir.path(), MARKER), Vec::<PathBuf>::new());
}

/// What happens to a log in the property test.
#[derive(Debug, Clone)]
enum Act {
    /// Entries arrive: each of a source, so many days old, with a value.
    Arrive(Vec<(u8, i64, u8)>),
    /// A hold is created, over a value, a source or both.
    Hold(u8, Option<u8>, Option<u8>),
    /// A hold is released.
    Release(u8),
    /// Days pass.
    Pass(i64),
    /// What is due is erased; perhaps the process is killed at a step.
    Erase(Option<(usize, usize, bool)>),
    /// The process is restarted, perhaps without its index.
    Restart(bool),
}

fn act() -> impl Strategy<Value = Act> {
    let entries = prop::collection::vec((0..3_u8, 0..60_i64, 0..4_u8), 1..12);
    prop_oneof![
        4 => entries.prop_map(Act::Arrive),
        2 => (0..3_u8, prop::option::of(0..4_u8), prop::option::of(0..3_u8))
            .prop_map(|(name, value, source)| Act::Hold(name, value, source)),
        1 => (0..3_u8).prop_map(Act::Release),
        1 => (1..20_i64).prop_map(Act::Pass),
        4 => prop::option::of((0..STEPS.len(), 0..2_usize, any::<bool>())).prop_map(Act::Erase),
        1 => any::<bool>().prop_map(Act::Restart),
    ]
}

fn policies() -> impl Strategy<Value = RetentionPolicies> {
    let span = || {
        prop::option::of(1..40_u8)
            .prop_map(|days| days.map(|days| KeptFor::read(&format!("{days}d")).unwrap()))
    };
    (span(), prop::collection::btree_map(0..3_u8, span(), 0..3)).prop_map(|(events, own)| {
        RetentionPolicies {
            events,
            sources: own
                .into_iter()
                .map(|(source, events)| SourcePolicy {
                    source: format!("accounts/{source}").parse().unwrap(),
                    events,
                })
                .collect(),
        }
    })
}

/// A hold as the model sees it.
struct ModelHold {
    name: String,
    query: Option<Query>,
    source: Option<String>,
}

/// An event as the model sees it.
struct ModelEvent {
    entry: reference::Entry,
    is_erased: bool,
}

/// What must be true of the log, by definition.
struct Model {
    policies: RetentionPolicies,
    events: Vec<ModelEvent>,
    holds: Vec<ModelHold>,
}

impl Model {
    fn is_held(&self, entry: &reference::Entry) -> bool {
        self.holds.iter().any(|hold| {
            let source = entry.event.source.to_string();
            hold.source.as_ref().is_none_or(|of| *of == source)
                && hold
                    .query
                    .as_ref()
                    .is_none_or(|query| reference::matches(query, entry))
        })
    }

    fn is_due(&self, entry: &reference::Entry, now: DateTime<Utc>) -> bool {
        let policy = self.policies.of(&entry.event.source);
        policy.is_some_and(|policy| entry.event.ordered_at() < policy.cutoff(now))
    }

    fn erase(&mut self, now: DateTime<Utc>) {
        let erased: Vec<bool> = self
            .events
            .iter()
            .map(|event| {
                event.is_erased || (self.is_due(&event.entry, now) && !self.is_held(&event.entry))
            })
            .collect();
        for (event, is_erased) in self.events.iter_mut().zip(erased) {
            event.is_erased = is_erased;
        }
    }

    /// The events that have their bodies, the newest first.
    fn listed(&self, query: &Query) -> Vec<Seq> {
        let mut hits: Vec<(i64, Seq)> = self
            .events
            .iter()
            .filter(|event| !event.is_erased && reference::matches(query, &event.entry))
            .map(|event| {
                let event = &event.entry.event;
                (event.ordered_at().timestamp_micros(), event.seq)
            })
            .collect();
        hits.sort_unstable_by(|a, b| b.cmp(a));
        hits.into_iter().map(|(_, seq)| seq).collect()
    }

    fn check(&self, log: &Log) {
        let erased: Vec<u64> = self
            .events
            .iter()
            .filter(|event| event.is_erased)
            .map(|event| event.entry.event.seq.0)
            .collect();
        assert_eq!(log.erased(), erased);
        let snapshot = log.index.snapshot();
        for text in [
            "",
            "v1",
            "actor.id:v2",
            "NOT actor.id:v0",
            "source:\"accounts/1\"",
        ] {
            let query = orgtrail::query::parse(text, now()).unwrap();
            let expect = self.listed(&query);
            let range = Range::default();
            let found = snapshot.hits(&query, range, Order::Descending, None, Seq(100_000), 10_000);
            let found: Vec<Seq> = found.unwrap().iter().map(|hit: &Hit| hit.seq).collect();
            assert_eq!(found, expect, "{text}");
            let count = snapshot.count(&query, range).unwrap();
            assert_eq!(count, expect.len() as u64, "{text}");
        }
        let held: u64 = log
            .store
            .sources()
            .unwrap()
            .iter()
            .map(|row| row.events)
            .sum();
        assert_eq!(held, (self.events.len() - erased.len()) as u64);
    }
}

/// One log, as long as the acts go.
struct Play {
    dir: tempfile::TempDir,
    clock: Clock,
    log: Option<Log>,
    model: Model,
    arrived: usize,
}

impl Play {
    fn new(policies: RetentionPolicies) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(now()));
        let log = Log::open_at(dir.path(), Failpoints::default(), clock.clone());
        Self {
            dir,
            clock,
            log: Some(log),
            model: Model {
                policies,
                events: Vec::new(),
                holds: Vec::new(),
            },
            arrived: 0,
        }
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    fn restart(&mut self, failpoints: Failpoints) {
        drop(self.log.take());
        let log = Log::open_at(self.dir.path(), failpoints, self.clock.clone());
        self.log = Some(log);
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Arrive(entries) => self.arrive(entries),
            Act::Hold(name, value, source) => {
                let name = format!("h{name}");
                if self.model.holds.iter().any(|hold| hold.name == name) {
                    return;
                }
                let query = value.map(|value| format!("actor.id:v{value}"));
                let source = source.map(|source| format!("accounts/{source}"));
                self.log().hold(&name, query.as_deref(), source.as_deref());
                let query = query.map(|text| orgtrail::query::parse(&text, now()).unwrap());
                self.model.holds.push(ModelHold {
                    name,
                    query,
                    source,
                });
            }
            Act::Release(name) => {
                let (name, now) = (format!("h{name}"), self.clock.now());
                let released = self.log().store.release_hold(&name, now).unwrap();
                let before = self.model.holds.len();
                self.model.holds.retain(|hold| hold.name != name);
                assert_eq!(released, self.model.holds.len() < before);
            }
            Act::Pass(days) => self.clock.advance(TimeDelta::days(*days)),
            Act::Erase(kill) => self.erase(*kill),
            Act::Restart(loses_index) => {
                drop(self.log.take());
                if *loses_index {
                    std::fs::remove_dir_all(self.dir.path().join("index")).unwrap();
                }
                self.restart(Failpoints::default());
            }
        }
    }

    fn arrive(&mut self, entries: &[(u8, i64, u8)]) {
        let mut texts = Vec::new();
        for (source, days, value) in entries {
            self.arrived += 1;
            let at = self.clock.now() - TimeDelta::days(*days);
            let text = json!({"id": format!("e{}", self.arrived), "action": {"time": rfc3339(at)},
                "actor": {"id": format!("v{value}")}});
            texts.push((format!("accounts/{source}"), text.to_string()));
        }
        let before = self.log().store.head();
        self.log().import(&texts);
        let new = self.log().store.events_after(before, 1_000, usize::MAX);
        let new = new.unwrap().into_iter().map(|event| ModelEvent {
            entry: reference::Entry::of(event),
            is_erased: false,
        });
        self.model.events.extend(new);
        // What was erased stays so, whatever comes again.
        let new = self.log().import(&texts).new;
        assert_eq!(new, 0);
    }

    fn erase(&mut self, kill: Option<(usize, usize, bool)>) {
        let policies = self.model.policies.clone();
        if let Some((step, skipped, takes_effect)) = kill {
            let (step, met) = (STEPS[step], AtomicUsize::new(0));
            let how = if takes_effect {
                StepFailure::After
            } else {
                StepFailure::Before
            };
            self.restart(Failpoints::new(move |now| {
                let is_it = now == step && met.fetch_add(1, Ordering::SeqCst) == skipped;
                is_it.then_some(how)
            }));
            let log = self.log();
            // The first that fails is the kill.
            let _killed = log.indexing.index_once().is_err()
                || log.retention(&policies).catch_up().is_err()
                || log.indexing.index_once().is_err();
            self.restart(Failpoints::default());
        }
        self.log().indexing.catch_up().unwrap();
        self.log().erase(&policies);
        self.model.erase(self.clock.now());
        let log = self.log.as_ref().unwrap();
        self.model.check(log);
    }
}

fn cases() -> u32 {
    match std::env::var_os("ORGTRAIL_SLOW_TESTS") {
        Some(_) => 200,
        None => 12,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_on_hold_is_erased_and_everything_due_is(
        policies in policies(),
        acts in prop::collection::vec(act(), 1..14),
    ) {
        let mut play = Play::new(policies);
        for act in &acts {
            play.act(act);
        }
        play.erase(None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_erases_what_is_due_and_answers_as_if_it_had_never_been_there() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = Upstream::new(SimConfig {
        events: 600,
        accounts: 1,
        days: 30,
        ..SimConfig::default()
    })
    .await;
    let configuration = upstream.configuration(dir.path());
    let service = Service::start(&configuration).await;
    service.settle(2).await;
    let all = service.count("").await;
    let old = service.count("before=now-10d").await;
    assert!(old > 0 && old < all);
    service.stop().await.unwrap();

    let configuration = format!("{configuration}[retention]\nevents = \"10d\"\n");
    let service = Service::start(&configuration).await;
    let is_erased = |answer: &Value| answer["count"].as_u64().unwrap() == 0;
    service.until("/v1/count?before=now-10d", is_erased).await;
    let sources = service
        .until("/v1/sources", |sources| {
            let sources = sources["sources"].as_array().unwrap();
            let events = sources.iter().map(|one| one["events"].as_u64().unwrap());
            events.sum::<u64>() <= all - old
        })
        .await;
    assert!(!sources["sources"].as_array().unwrap().is_empty());
    let gone = service.ask("/v1/events/1").await;
    let gone_or_kept = [StatusCode::GONE, StatusCode::OK].contains(&gone.0);
    assert!(gone_or_kept, "{}", gone.1);
    let coverage = service.get("/v1/coverage").await;
    let gaps: Vec<&Value> = coverage["sources"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|source| source["gaps"].as_array().unwrap())
        .filter(|gap| gap["reason"] == "erased")
        .collect();
    assert!(!gaps.is_empty(), "{coverage}");
    let log = service.get("/v1/access-log?limit=1000").await;
    let lines = log["entries"].as_array().unwrap();
    assert!(
        lines.iter().any(|line| line["action"] == "retention.erase"),
        "{log}"
    );

    // Beside the running service.
    let orgtrail = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_orgtrail"));
        command
            .args(args)
            .arg("--data-dir")
            .arg(dir.path().join("data"));
        command.output().unwrap()
    };
    let created = orgtrail(&[
        "hold",
        "create",
        "case-1",
        "--reason",
        "a lawsuit",
        "--query",
        "dns",
        "--json",
    ]);
    assert!(created.status.success(), "{created:?}");
    let again = orgtrail(&["hold", "create", "case-1", "--reason", "another"]);
    assert_eq!(again.status.code(), Some(1));
    let holds = service.get("/v1/holds").await;
    assert_eq!(holds["holds"][0]["name"], "case-1");
    let listed = orgtrail(&["hold", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed, holds);
    assert!(orgtrail(&["hold", "release", "case-1"]).status.success());
    let holds = service.get("/v1/holds").await;
    assert!(holds["holds"][0]["released_at"].is_string());
    let log = service.get("/v1/access-log?limit=1000").await;
    let lines = log["entries"].as_array().unwrap();
    for action in ["hold.create", "hold.release"] {
        assert!(
            lines.iter().any(|line| line["action"] == action),
            "{action}"
        );
    }
    service.stop().await.unwrap();
    until("the write-ahead log is gone", || {
        let ahead = dir.path().join("data/orgtrail.db-wal");
        ahead.metadata().map_or(0, |file| file.len()) == 0
    })
    .await;
}
