//! A log with entries that rules match.

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use serde_json::value::RawValue;

use crate::clock::{Clock, from_micros};
use crate::detect::Detect;
use crate::durable::Failpoints;
use crate::event::{Arrival, AuditEvent};
use crate::follow::Follower as _;
use crate::metrics::Metrics;
use crate::position::{Seq, Source, Window, WindowKind, rfc3339};
use crate::rules::Rules;
use crate::store::{FILE_NAME, Page, SourceSeen, Store, Then};

/// A rule over single events, and correlations of every kind. The rules `a` and `b` are named with `generate` and without.
pub(super) const RULES: &str = r"
title: Single
id: single
logsource: {product: cloudflare, service: audit}
detection: {s: {action.type: a}, condition: s}
level: high
---
title: A
id: a
logsource: {product: cloudflare, service: audit}
detection: {s: {action.type: a}, condition: s}
---
title: B
id: b
logsource: {product: cloudflare, service: audit}
detection: {s: {action.type: b}, condition: s}
---
title: C
id: c
logsource: {product: cloudflare, service: audit}
detection: {s: {action.type: c}, condition: s}
---
title: Count
id: count
correlation: {type: event_count, rules: [b], group-by: [actor.id], timespan: 10s, condition: {gte: 3}}
---
title: Pair
id: pair
correlation: {type: event_count, rules: [b], group-by: [actor.id], timespan: 10s, condition: {eq: 2}}
---
title: Addresses
id: addresses
correlation: {type: value_count, rules: [a, b], timespan: 7s, condition: {field: actor.ip_address, gte: 2}}
---
title: Together
id: together
correlation: {type: temporal, rules: [a, b], group-by: [actor.id], timespan: 10s}
---
title: In order
id: ordered
correlation: {type: temporal_ordered, rules: [c, b, a], timespan: 10s, generate: true}
---
title: New address
id: new
logsource: {product: cloudflare, service: audit}
detection: {s: {first_seen: actor.ip_address}, condition: s}
---
title: New act
id: act
logsource: {product: cloudflare, service: audit}
detection: {s: {first_seen: action.type, action.type: [a, b]}, condition: s}
---
title: New acts
id: acts
correlation: {type: event_count, rules: [act], group-by: [actor.id], timespan: 30s, condition: {gte: 2}}
";

pub(super) fn rules(text: &str) -> Rules {
    let (rules, errors) = Rules::parse("test.yml", text);
    assert!(errors.is_empty(), "{errors:?}");
    rules
}

/// An entry that upstream sends.
#[derive(Debug, Clone)]
pub(super) struct SentEntry {
    source: &'static str,
    text: String,
    has_time: bool,
}

impl SentEntry {
    /// One of actor `x` with an address of its own, so many seconds after 1970.
    pub(super) fn plain(id: u32, kind: &str, at_s: i64) -> Self {
        let time = rfc3339(from_micros(at_s * 1_000_000));
        Self {
            source: "a",
            text: format!(
                r#"{{"id":"{id}","action":{{"time":"{time}","type":"{kind}"}},"actor":{{"id":"x"}}}}"#
            ),
            has_time: true,
        }
    }

    pub(super) fn has_time(&self) -> bool {
        self.has_time
    }
}

/// Any entry: of few actors and addresses, at few times around 1970, so that much is equal.
pub(super) fn sent(id: u32, rng: &mut Rng) -> SentEntry {
    let kind = ["a", "b", "c", "other"][rng.usize(0..4)];
    let at_us = rng.i64(-25..60) * 1_000_000 + [0, 0, 500_000][rng.usize(0..3)];
    let has_time = rng.u8(0..20) > 0;
    let time = if has_time {
        rfc3339(from_micros(at_us))
    } else {
        "soon".to_owned()
    };
    let actor = [
        r#""id":"x""#,
        r#""id":"y""#,
        r#""id":null"#,
        r#""email":"z""#,
    ][rng.usize(0..4)];
    let address = [
        r#","ip_address":"192.0.2.1""#,
        r#","ip_address":"192.0.2.2""#,
        "",
    ][rng.usize(0..3)];
    SentEntry {
        source: ["a", "b"][rng.usize(0..2)],
        text: format!(
            r#"{{"id":"{id}","action":{{"time":"{time}","type":"{kind}"}},"actor":{{{actor}{address}}}}}"#
        ),
        has_time,
    }
}

pub(super) struct RuleLog {
    pub(super) store: Store,
    pub(super) clock: Clock,
    dir: tempfile::TempDir,
}

impl RuleLog {
    pub(super) fn new(failpoints: Failpoints) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), failpoints).unwrap();
        let seen = ["a", "b"].map(|id| SourceSeen {
            source: Source::account(id).unwrap(),
            organization: None,
            label: None,
            created_at: None,
        });
        store.save_sources(&seen, from_micros(0)).unwrap();
        let clock = Clock::manual(from_micros(100_000_000));
        Self { store, clock, dir }
    }

    pub(super) fn detect(&self, text: &str) -> Detect {
        Detect::new(
            self.store.clone(),
            rules(text),
            Metrics::default(),
            self.clock.clone(),
        )
    }

    /// Entries come in by a scan of such a kind.
    pub(super) fn arrive(&self, kind: WindowKind, entries: &[SentEntry], at: DateTime<Utc>) {
        for source in ["a", "b"] {
            let of_source = entries.iter().filter(|sent| sent.source == source);
            let arrivals: Vec<Arrival> = of_source
                .map(|sent| Arrival::read(RawValue::from_string(sent.text.clone()).unwrap()))
                .collect();
            let until = from_micros(10_000_000_000);
            let window = Window::new(until - TimeDelta::hours(1), until);
            let source = Source::account(source).unwrap();
            let opened = self.store.begin_window(&source, kind, window, at).unwrap();
            let page = Page {
                window: opened.id,
                asked: None,
                resumed: None,
                limit: None,
                arrivals,
                then: Then::Seal,
                claim_since: DateTime::UNIX_EPOCH,
                claim_before: until,
                received_at: at,
                sealed_at: until,
            };
            self.store.append(&page).unwrap();
        }
    }

    pub(super) fn events(&self) -> Vec<AuditEvent> {
        self.store
            .events_after(Seq::ZERO, usize::MAX >> 1, usize::MAX)
            .unwrap()
    }

    fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.dir.path().join(FILE_NAME)).unwrap()
    }

    pub(super) fn alerts_with_history(&self, history: bool) -> usize {
        let count = "SELECT count(*) FROM alert WHERE is_history = ?1 AND rule_id = 'single'";
        self.sql()
            .query_row(count, [history], |row| row.get(0))
            .unwrap()
    }

    /// Of each alert of a rule in the order in which they were raised: whether it is history.
    pub(super) fn history_of(&self, rule: &str) -> Vec<bool> {
        let db = self.sql();
        let ask = "SELECT is_history FROM alert WHERE rule_id = ?1 ORDER BY number";
        let mut ask = db.prepare(ask).unwrap();
        let rows = ask.query_map([rule], |row| row.get(0)).unwrap();
        rows.map(|row| row.unwrap()).collect()
    }

    /// As a version that did not note pairs has left it.
    pub(super) fn forget_pairs(&self) {
        let forget = "DELETE FROM first_seen; DELETE FROM alert_rule WHERE id LIKE 'first_seen%';";
        self.sql().execute_batch(forget).unwrap();
    }

    /// Changes the stored hash of an event; gives what it was.
    pub(super) fn damage(&self, seq: u64) -> Vec<u8> {
        let db = self.sql();
        let ask = "SELECT sha256 FROM event WHERE seq = ?1";
        let whole = db.query_row(ask, [seq], |row| row.get(0)).unwrap();
        self.repair(seq, &[7; 32]);
        whole
    }

    pub(super) fn repair(&self, seq: u64, sha256: &[u8]) {
        let set = "UPDATE event SET sha256 = ?2 WHERE seq = ?1";
        self.sql().execute(set, (seq, sha256)).unwrap();
    }
}

/// Takes turns until there is nothing more to do.
pub(super) fn drain(detect: &mut Detect) {
    while detect.turn_once().unwrap().has_more {}
}
