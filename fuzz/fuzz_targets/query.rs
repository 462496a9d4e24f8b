//! A text is a query or an error with its place; a query is answered, in the index and in memory alike.

#![no_main]

use std::sync::LazyLock;

use chrono::TimeDelta;
use libfuzzer_sys::fuzz_target;
use orgtrail::clock::{Clock, Deadline, from_micros};
use orgtrail::durable::Failpoints;
use orgtrail::engine::tantivy::Index;
use orgtrail::engine::{Ask, EngineError, Following, Range, Scope, View};
use orgtrail::event::{AuditEvent, Reading, hex, sha256};
use orgtrail::position::{Seq, Source};
use orgtrail::query::{Matcher, parse};
use serde_json::value::RawValue;
use uuid::Uuid;

const ENTRIES: [&str; 5] = [
    r#"{"id":"a","action":{"time":"2026-08-03T08:00:00Z","type":"create"},"actor":{"email":"alice@example.com","ip_address":"2001:db8::1"}}"#,
    r#"{"id":"b","action":{"time":"yesterday"},"n":1e-2147483648,"raw":{"status_code":404,"uri":"/zones/a"}}"#,
    r#"{"n":1e400,"list":["0300",300,"",null],"deep":{"deep":{"x.y":"evil corp"}}}"#,
    r#"{"note":"2dc5cb28-f5e7-4c0c-ade0-bf58fbc3c103","resource":{"id":"7fdbafab9bbb2e9f9f94738212edfd85"}}"#,
    r#"["not an object"]"#,
];

static INDEX: LazyLock<(Index, Following, tempfile::TempDir)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (index, _) =
        Index::open(dir.path(), Uuid::nil(), Seq::ZERO, Failpoints::default()).expect("an index");
    let following = index.recent().follow();
    for (seq, body) in (1..).zip(ENTRIES) {
        let reading = Reading::of(body);
        let event = AuditEvent {
            seq: Seq(seq),
            source: Source::account("a").expect("a source"),
            id: reading.id,
            revision: 0,
            time: reading.time,
            received_at: from_micros(0),
            problem: reading.problem,
            entry: RawValue::from_string(body.to_owned()).expect("JSON"),
            sha256: Some(hex(&sha256(body.as_bytes()))),
        };
        index.add(&[event]).expect("the index takes it");
    }
    index.commit().expect("the index commits it");
    (index, following, dir)
});

fuzz_target!(|text: &str| {
    let query = match parse(text, from_micros(1_785_800_000_000_000)) {
        Ok(query) => query,
        Err(error) => {
            assert!(error.at <= text.chars().count(), "{error:?}");
            return;
        }
    };
    let index = &INDEX.0;
    let deadline = Deadline::after(&Clock::system(), TimeDelta::seconds(5));
    let view = View::from(index.snapshot());
    let caller = view.caller(Scope::everything(), Some(deadline));
    let ask = Ask {
        query: &query,
        range: Range::default(),
        caller: &caller,
    };
    let found = match view.count(&ask) {
        Ok(found) => found,
        Err(EngineError::Question(_)) => return,
        Err(error) => panic!("{error}"),
    };
    if let Ok(matcher) = Matcher::of(&query, true) {
        let (range, upto) = (Range::default(), view.seq());
        let recent = index.recent();
        let in_memory = recent.arrivals(&matcher, range, &caller, Seq::ZERO, upto);
        let in_memory = in_memory
            .expect("an answer")
            .map(|found| found.len() as u64);
        assert_eq!(in_memory, Some(found), "in memory and in the index");
    }
});
