//! Tests of the index: what questions find in it, and how it is opened, rebuilt and merged.

mod column_words;
mod many_values;

use std::fs;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::runs::WordRun;
use super::terms::Terms;
use super::*;
use crate::clock::from_micros;
use crate::engine::budget::{Budget, MemoryBudget};
use crate::engine::error::EngineError;
use crate::engine::hit::{Order, Range};
use crate::engine::ranking::ValuesOf;
use crate::event::Reading;
use crate::position::Source;
use crate::query::automaton::Automaton;
use crate::query::value_test::ValueTest;
use crate::query::{Query, QueryError};

fn parse(text: &str) -> Result<Query, QueryError> {
    crate::query::parse(text, from_micros(0))
}

fn event(seq: u64, at_us: i64, body: &str) -> AuditEvent {
    AuditEvent {
        seq: Seq(seq),
        source: Source::account("a").unwrap(),
        id: Reading::of(body).id,
        revision: 0,
        time: Some(from_micros(at_us)),
        received_at: from_micros(0),
        problem: None,
        entry: RawValue::from_string(body.to_owned()).unwrap(),
        sha256: None,
    }
}

fn filled(dir: &Path, commits: &[Vec<AuditEvent>]) -> Index {
    let (index, _) = Index::open(dir, Uuid::nil(), Seq::ZERO, Failpoints::default()).unwrap();
    for events in commits {
        index.add(events).unwrap();
        index.commit().unwrap();
    }
    index
}

#[test]
fn entries_are_found_by_their_words_values_and_ids() {
    let dir = tempfile::tempdir().unwrap();
    let body = r#"{"id":"2dc5cb28-f5e7-4c0c-ade0-bf58fbc3c103",
        "action":{"description":"Add Member","type":"create","time":"2026-08-03T08:00:00+00:00"},
        "actor":{"email":"José@Bücher.example","ip_address":"2001:DB8::1","token_name":"terraform-prod"},
        "raw":{"status_code":200,"uri":"/zones/9b2e4d6f8a0c1e3f5a7b9c1d3e5f7a90/dns_records"},
        "resource":{"id":"7fdbafab9bbb2e9f9f94738212edfd85","scope":"zones","request":{"list":[{"Name":"www"},17]},
            "response":"{\"token\":true}"}}"#;
    let index = filled(dir.path(), &[vec![event(1, 5, body)]]);
    let snapshot = index.snapshot();
    let check = |question: &str, expect: u64| {
        let query = parse(question).unwrap();
        assert_eq!(
            snapshot.count(&query, Range::default()).unwrap(),
            expect,
            "{question}"
        );
    };
    for found in [
        "",
        "member",
        "\"add member\"",
        "josé@bücher.example",
        "BÜCHER",
        "www",
        "17",
        "token",
        "dns_records",
        "terraform",
        "2dc5cb28-f5e7-4c0c-ade0-bf58fbc3c103",
        "7FDBAFAB9BBB2E9F9F94738212EDFD85",
        "9b2e4d6f8a0c1e3f5a7b9c1d3e5f7a90",
        "actor.email:JOSÉ@bücher.example",
        "actor.ip_address:2001:db8:0::1",
        "raw.status_code:200",
        "action.time:2026-08-03T08:00:00Z",
        "resource.request.list.name:www",
        "resource.request.list:17",
        "resource.scope:zones",
        "source:accounts/a",
        "www member",
    ] {
        check(found, 1);
    }
    for missed in [
        "membe",
        "\"member add\"",
        "\"example terraform\"",
        "actor.email:josé",
        "zones.name:www",
        "2dc5cb28",
        "08",
        "www nothing",
    ] {
        check(missed, 0);
    }
    assert!(snapshot.knows_path("Resource.Request.List.name").unwrap());
    assert!(!snapshot.knows_path("resource.request.lis").unwrap());
}

#[test]
fn words_by_their_looks_are_found_side_by_side_however_few_documents_are_looked_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let names = [
        "evil corp",
        "corp evil",
        "evils corps evil corp",
        "evil",
        "x evil-corporation",
    ];
    let events: Vec<AuditEvent> = (1..=40)
        .map(|seq| {
            let name = names[seq as usize % names.len()];
            event(seq, 0, &format!(r#"{{"actor":{{"note":"{name}"}}}}"#))
        })
        .collect();
    let snapshot = filled(dir.path(), &[events]).snapshot();
    let reader = snapshot.searcher.segment_reader(0);
    let word = |looks: &str| Terms {
        field: snapshot.shape.words_at("actor").several,
        prefix: String::new(),
        kept_len: crate::query::words::MAX_TERM_LEN,
        automata: vec![Automaton::of_regex(looks, usize::MAX).unwrap()].into(),
        test: ValueTest::Any,
        budget: Budget::default(),
    };
    let found = |at_once| {
        let run = WordRun {
            words: vec![word(".*vil"), word("corp.*")],
            at_once,
            budget: Budget::default(),
        };
        run.docs(reader).unwrap().unwrap().len()
    };
    assert_eq!([1, 2, 3, 7, 1_000].map(found), [24; 5]);
}

#[test]
fn however_many_wildcards_a_question_has_it_takes_the_memory_of_a_few_sets() {
    let dir = tempfile::tempdir().unwrap();
    let event = |seq: u64| {
        let kind = if seq.is_multiple_of(2) {
            "view"
        } else {
            "create"
        };
        let body = format!(
            r#"{{"action":{{"type":"{kind}"}},"note":"ax{}b","n":{seq}}}"#,
            seq % 64
        );
        event(seq, 0, &body)
    };
    let n_docs = 6_400;
    let index = filled(dir.path(), &[(1..=n_docs).map(event).collect()]);
    let set = usize::try_from(n_docs).unwrap() / 8;
    let ask = |question: &str, n_sets: usize| {
        let memory = MemoryBudget::of(n_sets * set);
        let snapshot = Snapshot {
            budget: Budget::with_memory(memory.clone()),
            ..Snapshot::clone(&index.snapshot())
        };
        let (query, range) = (parse(question).unwrap(), Range::default());
        let count = snapshot.count(&query, range);
        for order in [Order::Descending, Order::Ascending] {
            let hits = snapshot.hits(&query, range, order, None, Seq(u64::MAX), 10_000);
            match (&count, hits) {
                (Ok(count), Ok(hits)) => assert_eq!(hits.len() as u64, *count, "{question}"),
                (Err(_), Err(EngineError::TooLarge)) => {}
                (count, hits) => {
                    panic!("{question}: {count:?}, {:?}", hits.map(|hits| hits.len()))
                }
            }
        }
        assert_eq!(memory.used(), 0, "all of it is given back");
        count
    };
    let some = |n: usize, join: &str, part: &dyn Fn(usize) -> String| {
        (0..n).map(part).collect::<Vec<_>>().join(join)
    };
    let word = |i| format!("*x{i}b*");
    let any = some(64, " OR ", &word);
    assert_eq!(ask(&any, 3).unwrap(), 6_400);
    assert_eq!(ask(&format!("-({any})"), 3).unwrap(), 0);
    let none_of = some(60, " ", &|i| format!("-*x{i}b*"));
    assert_eq!(ask(&none_of, 3).unwrap(), 400);
    // In one another, and beside terms that are not gathered.
    let mixed = some(32, " AND ", &|i| {
        format!("(view OR *x{i}b* OR -*x{}b*)", i + 1)
    });
    let expect = 3_200 + 3_200 - 1_600;
    assert_eq!(ask(&mixed, 6).unwrap(), expect);
    assert!(matches!(ask(&any, 0), Err(EngineError::TooLarge)));
}

#[test]
fn what_a_segment_says_of_replaced_events_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let index = filled(dir.path(), &[]);
    let at = |seq: u64| Hit {
        at_us: 7,
        seq: Seq(seq),
    };
    let commit = |seqs: std::ops::Range<u64>| {
        // Each event but the first ten replaces the one ten before it.
        let replaced = seqs.clone().filter(|seq| *seq > 10);
        let replaced = replaced.map(|seq| (Seq(seq), at(seq - 10))).collect();
        let events: Vec<AuditEvent> = seqs.map(|seq| event(seq, 7, r#"{"a":"b"}"#)).collect();
        index.add_revisions(&events, &replaced).unwrap();
        index.commit().unwrap();
    };
    let latest = |upto: u64| {
        let (range, order) = (Range::default(), Order::Descending);
        let snapshot = index.snapshot();
        let hits = snapshot.hits(&Query::Latest, range, order, None, Seq(upto), 100);
        let mut found: Vec<u64> = hits.unwrap().iter().map(|hit| hit.seq.0).collect();
        found.sort_unstable();
        (found, snapshot.replacements.n_pairs())
    };
    commit(1..16);
    commit(16..31);
    let (found, n_pairs) = latest(30);
    assert_eq!(found, (21..=30).collect::<Vec<_>>());
    assert_eq!(latest(30), (found, n_pairs), "nothing is read again");
    assert_eq!(latest(27).0, (18..=27).collect::<Vec<_>>());
    commit(31..41);
    let (found, n_pairs_after) = latest(40);
    assert_eq!(found, (31..=40).collect::<Vec<_>>());
    assert!(n_pairs_after > n_pairs, "what was known is known still");
    assert_eq!(latest(30).0, (21..=30).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_used_is_emptied_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let events: Vec<AuditEvent> = (1..=9).map(|seq| event(seq, 7, r#"{"a":"b"}"#)).collect();
    drop(filled(dir.path(), &[events]));
    let reopen = |log_id, head| {
        let (index, why) =
            Index::open(dir.path(), log_id, Seq(head), Failpoints::default()).unwrap();
        (
            index.checkpoint().0,
            index.is_rebuilding(),
            why.unwrap_or_default(),
        )
    };
    assert_eq!(reopen(Uuid::nil(), 9), (9, false, String::new()));
    assert_eq!(reopen(Uuid::nil(), 12), (9, false, String::new()));
    assert_eq!(
        reopen(Uuid::nil(), 8),
        (
            0,
            true,
            "the index is ahead of the log: it holds 9 events, the log 8".into()
        )
    );
    let of_another = "the index is of another log, 00000000-0000-0000-0000-000000000000";
    assert_eq!(reopen(Uuid::max(), 8), (0, true, of_another.into()));
    let interrupted = "the last rebuild was interrupted";
    assert_eq!(reopen(Uuid::max(), 8), (0, true, interrupted.into()));
    let (current, new) = (dir.path().join(DIR_NAME), dir.path().join(folder::NEW_NAME));
    fs::write(current.join("meta.json"), "{").unwrap();
    assert!(
        reopen(Uuid::max(), 8)
            .2
            .starts_with("the index is damaged: ")
    );
    fs::remove_dir_all(&current).unwrap();
    let missing = (0, true, "the index is missing".into());
    assert_eq!(reopen(Uuid::max(), 8), missing);
    assert!(!new.exists(), "a disk has no room for two indexes");
}

fn some(count: u64) -> Vec<AuditEvent> {
    (1..=count)
        .map(|seq| event(seq, 7, r#"{"a":"b"}"#))
        .collect()
}

/// The file names in a directory that belong to segments, sorted.
fn segment_files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.len() > 32).collect();
    names.sort();
    names
}

#[test]
fn an_unusable_index_is_removed_before_the_new_one_is_built_and_what_else_is_there_stays() {
    let dir = tempfile::tempdir().unwrap();
    let current = dir.path().join(DIR_NAME);
    drop(filled(dir.path(), &[some(9)]));
    let old = segment_files(&current);
    assert!(!old.is_empty());
    fs::write(current.join("lost+found"), "").unwrap();
    let open = || Index::open(dir.path(), Uuid::max(), Seq(9), Failpoints::default()).unwrap();
    let (index, why) = open();
    assert!(why.unwrap().contains("of another log"));
    assert!(!dir.path().join(folder::NEW_NAME).exists());
    assert!(
        old.iter().all(|name| !current.join(name).exists()),
        "the old index takes room"
    );
    assert!(current.join("lost+found").exists());
    index.add(&some(9)[..4]).unwrap();
    index.commit().unwrap();
    drop(index);
    // Until it is whole, each start knows that it is not.
    let (index, why) = open();
    assert_eq!(why.as_deref(), Some("the last rebuild was interrupted"));
    assert!(index.is_rebuilding());
    index.add(&some(9)[4..]).unwrap();
    index.commit().unwrap();
    assert!(!index.is_rebuilding());
    drop(index);
    let (index, why) = open();
    assert_eq!((why, index.is_rebuilding()), (None, false));
    assert_eq!(index.checkpoint(), Seq(9));
}

#[test]
fn after_a_kill_while_an_empty_index_is_made_the_next_start_knows_that_it_is_not_whole() {
    use crate::durable::StepFailure;

    for how in [StepFailure::Before, StepFailure::After] {
        let dir = tempfile::tempdir().unwrap();
        let failpoints = Failpoints::new(move |step| (step == steps::MAKE_EMPTY).then_some(how));
        let killed = Index::open(dir.path(), Uuid::nil(), Seq(9), failpoints);
        assert!(
            matches!(killed, Err(IndexError::InjectedFailure(_))),
            "{how:?}"
        );
        let (index, why) =
            Index::open(dir.path(), Uuid::nil(), Seq(9), Failpoints::default()).unwrap();
        assert!(index.is_rebuilding() && why.is_some(), "{how:?}");
        index.add(&some(9)).unwrap();
        index.commit().unwrap();
        assert!(!index.is_rebuilding(), "{how:?}");
    }
}

#[test]
fn a_full_disk_makes_room_of_an_unusable_index_and_keeps_a_usable_one() {
    let dir = tempfile::tempdir().unwrap();
    let current = dir.path().join(DIR_NAME);
    let index = filled(dir.path(), &[some(9)]);
    index.clear(Seq(9)).unwrap();
    index.add(&some(4)).unwrap();
    index.commit().unwrap();
    assert!(!index.remove_unusable(Seq(9)).unwrap());
    assert!(!segment_files(&current).is_empty());
    // Nothing is left of the rebuild, and the index before it answers.
    assert!(index.give_up_rebuild().unwrap());
    assert!(!dir.path().join(folder::NEW_NAME).exists());
    assert_eq!(index.reopen(Seq(9)).unwrap(), None);
    assert_eq!((index.checkpoint(), index.is_rebuilding()), (Seq(9), false));
    assert!(!index.give_up_rebuild().unwrap());

    index.clear(Seq(9)).unwrap();
    fs::write(current.join("meta.json"), "{").unwrap();
    assert!(index.remove_unusable(Seq(9)).unwrap());
    assert!(segment_files(&current).is_empty());
    index.add(&some(9)).unwrap();
    index.commit().unwrap();
    assert_eq!((index.checkpoint(), index.is_rebuilding()), (Seq(9), false));

    let full = || std::io::Error::from_raw_os_error(28);
    let engine = IndexError::Engine(full().into());
    let io = IndexError::Io {
        path: current,
        source: full(),
    };
    assert!(index.is_disk_full(&engine) && index.is_disk_full(&io));
    assert!(!index.is_disk_full(&IndexError::Unavailable));
    let of_a_thread = tantivy::TantivyError::ErrorInThread("a thread failed".into());
    assert!(!index.is_disk_full(&IndexError::Engine(of_a_thread)));
}

#[test]
fn an_index_that_cannot_be_put_in_its_place_answers_from_where_it_is() {
    // Something is in the way of one of the two renames, as a mount point would be.
    for (at, name) in [(0, "index.old"), (1, DIR_NAME)] {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(dir.path(), &[some(9)]));
        let (step, in_the_way) = (AtomicU64::new(0), dir.path().join(name).join("x"));
        let failpoints = Failpoints::new(move |this| {
            if this == steps::SWAP && step.fetch_add(1, Ordering::SeqCst) == at {
                fs::create_dir_all(&in_the_way).unwrap();
            }
            None
        });
        let (index, _) = Index::open(dir.path(), Uuid::nil(), Seq(9), failpoints).unwrap();
        index.clear(Seq(9)).unwrap();
        index.add(&some(9)).unwrap();
        index.commit().unwrap();
        let count = |snapshot: &Snapshot| snapshot.count(&Query::All, Range::default()).unwrap();
        assert_eq!(count(&index.snapshot()), 9);
        assert!(!index.is_rebuilding());
        assert!(dir.path().join(folder::NEW_NAME).exists());
        index.add(&[event(10, 7, "{}")]).unwrap();
        index.commit().unwrap();
        assert_eq!(count(&index.snapshot()), 10);
        index.close().unwrap();
        drop(index);
        let beside = Index::open_beside(dir.path(), Uuid::nil()).unwrap();
        assert_eq!(count(&beside), 10);
        assert_eq!(verify_beside(dir.path(), Uuid::nil()).unwrap(), Seq(10));

        let (index, why) =
            Index::open(dir.path(), Uuid::nil(), Seq(10), Failpoints::default()).unwrap();
        assert_eq!((why, count(&index.snapshot())), (None, 10));
        assert!(!dir.path().join(folder::NEW_NAME).exists());
    }
}

#[test]
fn a_merge_that_panics_is_counted_and_the_index_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let current = dir.path().join(DIR_NAME);
    let commits: Vec<Vec<AuditEvent>> = (1..=7)
        .map(|seq| {
            let words: Vec<String> = (0..2_000).map(|n| format!("w{}", n * seq % 977)).collect();
            let body = format!(r#"{{"a":"{}"}}"#, words.join(" "));
            vec![event(seq, 7, &body)]
        })
        .collect();
    drop(filled(dir.path(), &commits));
    for name in segment_files(&current) {
        let path = current.join(&name);
        if name.ends_with(".pos") {
            let mut bytes = fs::read(&path).unwrap();
            let (begin, end) = (bytes.len() / 20, bytes.len() / 2);
            bytes[begin..end].fill(0xff);
            fs::write(&path, bytes).unwrap();
        }
    }
    crate::task::watch_threads(ENGINE_THREADS);
    let before = crate::task::panics();
    let open = |head| Index::open(dir.path(), Uuid::nil(), Seq(head), Failpoints::default());
    let (index, why) = open(7).unwrap();
    assert_eq!(why, None);
    for seq in 8..=9 {
        index.add(&[event(seq, 7, r#"{"a":"b"}"#)]).unwrap();
        index.commit().unwrap();
    }
    index.close().unwrap();
    assert!(crate::task::panics() > before);
    let (index, why) = open(9).unwrap();
    assert_eq!((why, index.checkpoint()), (None, Seq(9)));
}

#[test]
fn deleted_documents_are_in_no_answer_and_a_commit_counts_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let body = |seq: u64| format!(r#"{{"action":{{"type":"t{seq}"}},"n":"all"}}"#);
    let events: Vec<AuditEvent> = (1..=6)
        .map(|seq| event(seq, i64::try_from(seq).unwrap(), &body(seq)))
        .collect();
    let index = filled(dir.path(), &[events]);
    {
        let mut slot = lock(&index.0.writing);
        let writing = open(&mut slot).unwrap();
        let shape = &index.0.shape;
        let third = shape.value_term("action.type", "t3");
        writing.writer.delete_term(third);
        writing.documents -= 1;
    }
    index.commit().unwrap();
    let check = |snapshot: &Snapshot| {
        let (all, range) = (Query::All, Range::default());
        for query in [all, parse("all").unwrap()] {
            assert_eq!(snapshot.count(&query, range).unwrap(), 5);
            let matches = snapshot.matches(&query, range, Seq(6)).unwrap();
            assert_eq!(matches.count(), 5);
            assert_eq!(matches.histogram(&[3, 4, 5]), [0, 1]);
            for order in [Order::Ascending, Order::Descending] {
                assert_eq!(pages(snapshot, &query, range, order, 2).len(), 5);
            }
            let arrivals = snapshot.arrivals(&query, range, Seq::ZERO, 10).unwrap();
            assert_eq!(arrivals, [1, 2, 4, 5, 6].map(Seq));
            let values = matches.ranked(&ValuesOf::new("action.type", 10), None);
            let values = values.unwrap().unwrap().values;
            let values = values.into_iter().map(|found| found.value);
            let mut values: Vec<String> = values.collect();
            values.sort_unstable();
            assert_eq!(values, ["t1", "t2", "t4", "t5", "t6"]);
        }
    };
    check(&index.snapshot());
    check(&Index::open_beside(dir.path(), Uuid::nil()).unwrap());
    drop(index);
    let (index, why) = Index::open(dir.path(), Uuid::nil(), Seq(6), Failpoints::default()).unwrap();
    assert_eq!(why, None, "it is whole");
    check(&index.snapshot());
}

#[test]
fn a_flipped_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let index = filled(dir.path(), &[vec![event(1, 7, r#"{"a":"b"}"#)]]);
    index.verify().unwrap();
    let postings = fs::read_dir(dir.path().join(DIR_NAME))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let file = postings
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "term"))
        .unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[3] ^= 1;
    // The file is mapped, so it is replaced, not written over.
    fs::remove_file(&file).unwrap();
    fs::write(&file, bytes).unwrap();
    assert!(matches!(index.verify(), Err(IndexError::Unusable(_))));
}

/// Pages of a question, as a client walks them.
fn pages(snapshot: &Snapshot, query: &Query, range: Range, order: Order, size: usize) -> Vec<Hit> {
    let mut found: Vec<Hit> = Vec::new();
    loop {
        let page = snapshot
            .hits(
                query,
                range,
                order,
                found.last().copied(),
                Seq(u64::MAX),
                size,
            )
            .unwrap();
        if page.is_empty() {
            return found;
        }
        found.extend(page);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn pages_in_both_orders_are_the_sorted_matches(
        times in prop::collection::vec((0..12_i64, 0..3_u8), 1..60),
        cuts in prop::collection::vec(1..20_usize, 1..6),
        (since, span, size) in (0..12_i64, 0..12_i64, 1..9_usize),
    ) {
        let words = ["red", "green", "blue"];
        let events: Vec<AuditEvent> = times.iter().enumerate().map(|(i, (at, word))| {
            event(i as u64 + 1, *at, &format!(r#"{{"actor":{{"x":"{}"}}}}"#, words[usize::from(*word)]))
        }).collect();
        let mut rest = events.as_slice();
        let mut commits = Vec::new();
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            commits.push(now.to_vec());
            rest = later;
        }
        commits.push(rest.to_vec());
        let dir = tempfile::tempdir().unwrap();
        let snapshot = filled(dir.path(), &commits).snapshot();

        let range = Range { since_us: Some(since), before_us: Some(since + span) };
        for (query, word) in [(Query::All, None), (parse("green").unwrap(), Some(1)), (parse("red").unwrap(), Some(0))] {
            let matches = |(at, found): &(i64, u8)| {
                (since..since + span).contains(at) && word.is_none_or(|word| word == *found)
            };
            let mut expect: Vec<Hit> = times.iter().enumerate().filter(|(_, event)| matches(event))
                .map(|(i, (at, _))| Hit { at_us: *at, seq: Seq(i as u64 + 1) }).collect();
            expect.sort_by_key(|hit| (hit.at_us, hit.seq));
            prop_assert_eq!(&pages(&snapshot, &query, range, Order::Ascending, size), &expect);
            prop_assert_eq!(snapshot.count(&query, range).unwrap(), expect.len() as u64);
            expect.reverse();
            prop_assert_eq!(&pages(&snapshot, &query, range, Order::Descending, size), &expect);
        }
    }
}
