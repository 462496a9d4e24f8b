//! Words of values that have a column: they are looked up among the values, and not in the index.

use std::collections::HashSet;

use tantivy::Term;

use super::*;
use crate::engine::tantivy::word_maps::WordMaps;
use crate::engine::values::entry_of;
use crate::query::Matcher;

const N_EVENTS: u64 = 600;

/// Events whose columns have few values, many, and some that nearly no other event has.
fn events() -> Vec<AuditEvent> {
    let long = "long ".repeat(500);
    (1..=N_EVENTS)
        .map(|seq| {
            let address = match seq % 50 {
                0 => "2001:DB8:0:0::7".to_owned(),
                1 => format!("::ffff:10.0.0.{}", seq % 20),
                n => format!("10.0.{}.{}", n % 2, seq % 20),
            };
            let agent = match seq % 90 {
                0 => format!("{long}{seq} end"),
                n if n < 45 => format!("terraform/1.{n}.2 (linux) rare{seq}"),
                n => format!("curl/8.{}", n % 3),
            };
            let status = if seq.is_multiple_of(40) { "\"0200\"" } else { "200" };
            let text = if seq.is_multiple_of(70) { "linux terraform curl 8" } else { "other" };
            let body = format!(
                r#"{{"source":"named as a column","actor":{{"email":["User{}@Example.com","x@y{}.org"],"ip_address":"{address}"}},
                "raw":{{"user_agent":"{agent}","status_code":{status}}},"resource":{{"id":"{text}","request":{{"a":"{text}"}}}}}}"#,
                seq % 60,
                seq % 3,
            );
            event(seq, seq.cast_signed() / 3, &body)
        })
        .collect()
}

const QUESTIONS: [&str; 28] = [
    "\"named as\"",
    "column",
    "user7",
    "example",
    "com",
    "terraform",
    "linux",
    "rare100",
    "curl",
    "\"curl 8\"",
    "\"terraform 1\"",
    "\"1 terraform\"",
    "\"linux rare100\"",
    "\"linux terraform curl\"",
    "long",
    "end",
    "\"long end\"",
    "rare*",
    "*are1*",
    "terr*/1.2*",
    "/user[12]./",
    "*-example",
    "db8",
    "\"db8 7\"",
    "\"0 0\"",
    "ffff OR 0200",
    "200 10 curl",
    "terraform NOT linux",
];

fn check(snapshot: &Snapshot, events: &[AuditEvent], how: &str) {
    for question in QUESTIONS {
        let query = parse(question).unwrap();
        let matcher = Matcher::of(&query, true).unwrap();
        let is_found = |event: &&AuditEvent| matcher.matches(&entry_of(event), &|| false);
        let mut expect: Vec<Seq> = events
            .iter()
            .filter(is_found)
            .map(|event| event.seq)
            .collect();
        for order in [Order::Ascending, Order::Descending] {
            let hits = snapshot
                .hits(&query, Range::default(), order, None, Seq(u64::MAX), 10_000)
                .unwrap();
            let found: Vec<Seq> = hits.iter().map(|hit| hit.seq).collect();
            assert_eq!(found, expect, "{how}: {question}");
            expect.reverse();
        }
        let count = snapshot.count(&query, Range::default()).unwrap();
        assert_eq!(count, expect.len() as u64, "{how}: {question}");
    }
}

#[test]
fn words_of_columns_are_found_with_a_map_of_all_values_of_some_and_of_none() {
    let dir = tempfile::tempdir().unwrap();
    let events = events();
    let commits: Vec<Vec<AuditEvent>> = events.chunks(400).map(<[AuditEvent]>::to_vec).collect();
    let index = filled(dir.path(), &commits);
    for (most_words, how) in [(usize::MAX, "all"), (700, "some"), (0, "none")] {
        let mut snapshot = Snapshot::clone(&index.snapshot());
        snapshot.word_maps = Arc::new(WordMaps::with_limits(usize::MAX, most_words));
        check(&snapshot, &events, how);
        assert_eq!(snapshot.word_maps.len(), snapshot.segments.len(), "{how}");
    }
    let mut snapshot = Snapshot::clone(&index.snapshot());
    snapshot.word_maps = Arc::new(WordMaps::with_limits(1, usize::MAX));
    check(&snapshot, &events, "one map at a time");
    assert_eq!(snapshot.word_maps.len(), 1);
    snapshot.word_maps.retain(&HashSet::new());
    assert_eq!(snapshot.word_maps.len(), 0, "its segment is gone");
}

#[test]
fn words_of_columns_are_not_stored_a_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = filled(dir.path(), &[events()]).snapshot();
    let inverted = snapshot
        .dictionaries(snapshot.shape.words_at("actor").several)
        .unwrap();
    let words: usize = inverted
        .iter()
        .map(|inverted| inverted.terms().num_terms())
        .sum();
    // Those of the addresses and numbers that are spelled in another way than in the index.
    assert!(words < 63, "{words}");
    let all = Term::from_field_text(snapshot.shape.words_at("raw").one, "terraform");
    assert_eq!(snapshot.searcher.doc_freq(&all).unwrap(), 0);
    let sizes = snapshot.sizes().unwrap();
    let bytes = |name: &str| {
        sizes
            .iter()
            .find(|(at, _)| at == name)
            .map(|(_, bytes)| *bytes)
    };
    assert!(bytes("raw.user_agent dictionary") > bytes("_words_body dictionary"));
    assert!(bytes("  of _path documents: respelled") > Some(0));
    assert_eq!(bytes("_word positions").unwrap_or_default(), 0);
}
