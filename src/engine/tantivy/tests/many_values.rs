//! Facets of fields of which nearly each event has a value of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::engine::hit::ValueCount;
use crate::engine::ranking::{Rank, RankedValues};
use crate::engine::tantivy::value_hashes::AllValueHashes;

/// Which resource an event is about: some are in many events of all commits, most in one.
fn resource(seq: u64) -> String {
    match seq % 10 {
        0 => format!("often {}", seq % 70),
        1 => format!("twice {}", seq % 6_000),
        _ => format!("own {}", seq.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
    }
}

fn expected(wanted: &ValuesOf<'_>, n_events: u64) -> RankedValues {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for seq in 1..=n_events {
        let value = resource(seq);
        if wanted.passes(&value) {
            *counts.entry(value).or_default() += 1;
        }
    }
    let (distinct, total) = (counts.len() as u64, counts.values().sum());
    let counts = counts.into_iter();
    let mut values: Vec<ValueCount> = counts
        .map(|(value, count)| ValueCount { value, count })
        .collect();
    match wanted.rank {
        Rank::Frequent => values.sort_by_key(|found| u64::MAX - found.count),
        Rank::Rare => values.sort_by_key(|found| found.count),
    }
    values.truncate(wanted.size);
    RankedValues {
        values,
        distinct,
        total,
    }
}

#[test]
fn values_are_counted_alike_by_their_hashes_and_part_by_part() {
    const N_EVENTS: u64 = 14_000;
    let dir = tempfile::tempdir().unwrap();
    let events: Vec<AuditEvent> = (1..=N_EVENTS)
        .map(|seq| {
            let body = format!(r#"{{"resource":{{"id":"{}"}}}}"#, resource(seq));
            event(seq, seq.cast_signed(), &body)
        })
        .collect();
    let commits: Vec<Vec<AuditEvent>> = events.chunks(6_000).map(<[AuditEvent]>::to_vec).collect();
    let index = filled(dir.path(), &commits);
    let except = BTreeSet::from(["often 0".to_owned()]);
    for (most_bytes, how) in [(usize::MAX, "by hashes"), (0, "part by part")] {
        let mut snapshot = Snapshot::clone(&index.snapshot());
        snapshot.value_hashes = Arc::new(AllValueHashes::with_bytes(most_bytes));
        let matches = snapshot
            .matches(&Query::All, Range::default(), Seq(N_EVENTS))
            .unwrap();
        for rank in [Rank::Frequent, Rank::Rare] {
            for size in [0, 1, 10, 90, 2_000] {
                let all = ValuesOf::new("resource.id", size)
                    .ranked(rank)
                    .with_totals();
                for wanted in [
                    all.clone().containing("wn 1"),
                    all.clone().without(&except),
                    all,
                ] {
                    let found = matches.ranked(&wanted, None).unwrap();
                    let expect = expected(&wanted, N_EVENTS);
                    assert_eq!(found, Some(expect), "{how}: {wanted:?}");
                }
            }
        }
        let few = matches.ranked(&ValuesOf::new("resource.id", 10), Some(100));
        assert_eq!(few.unwrap(), None, "{how}: there are more values than that");
        assert_eq!(snapshot.value_hashes.len() > 0, most_bytes > 0, "{how}");
    }
}
