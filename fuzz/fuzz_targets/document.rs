//! An entry becomes an event, a document and an answer. Any JSON text can be indexed, and is found.

#![no_main]

use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use orgtrail::clock::from_micros;
use orgtrail::durable::Failpoints;
use orgtrail::engine::tantivy::Index;
use orgtrail::engine::{Ask, Hit, Range, Scope, View};
use orgtrail::event::{Arrival, AuditEvent, Identity, hex, sha256};
use orgtrail::position::{Seq, Source};
use orgtrail::query::Query;
use orgtrail::search::csv;
use serde_json::value::RawValue;
use uuid::Uuid;

/// After so many events the index is made anew.
const MAX_EVENTS: u64 = 500;

struct Log {
    index: Index,
    seq: Seq,
    _dir: tempfile::TempDir,
}

impl Log {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (index, _) =
            Index::open(dir.path(), Uuid::nil(), Seq::ZERO, Failpoints::default()).expect("an index");
        Self {
            index,
            seq: Seq::ZERO,
            _dir: dir,
        }
    }
}

static LOG: LazyLock<Mutex<Log>> = LazyLock::new(|| Mutex::new(Log::new()));

fuzz_target!(|text: &str| {
    let Ok(body) = serde_json::from_str::<Box<RawValue>>(text) else {
        return;
    };
    let mut log = LOG.lock().expect("the index");
    if log.seq.0 >= MAX_EVENTS {
        *log = Log::new();
    }
    let arrival = Arrival::read(body);
    log.seq = log.seq.next();
    let event = AuditEvent {
        seq: log.seq,
        source: Source::account("a").expect("a source"),
        id: match arrival.identity {
            Identity::Id(id) => Some(id),
            Identity::Content(_) => None,
        },
        revision: 0,
        time: arrival.time,
        received_at: from_micros(0),
        problem: arrival.problem,
        sha256: Some(hex(&sha256(arrival.body.get().as_bytes()))),
        entry: arrival.body,
    };
    let hit = Hit {
        at_us: event.ordered_at().timestamp_micros(),
        seq: event.seq,
    };
    log.index
        .add(std::slice::from_ref(&event))
        .expect("the index takes it");
    log.index.commit().expect("the index commits it");
    let view = View::from(log.index.snapshot());
    assert!(view.not_indexed([hit]).expect("an answer").is_empty());
    assert_eq!(
        view.count(&Ask {
            query: &Query::All,
            range: Range::default(),
            caller: &view.caller(Scope::everything(), None),
        })
        .expect("a number"),
        log.seq.0
    );
    csv::rows([&event]).expect("a row");
});
