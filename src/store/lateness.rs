//! How late entries were that came after their stretch was first sealed: a small histogram for each source.
//!
//! A bucket reaches from a lateness to a tenth more, so that two hundred buckets hold a second and ten years, and a figure that
//! is read from them is at most a tenth too long, and never too short.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use rusqlite::Connection;

use super::{Store, StoreError};
use crate::position::Source;

/// How much longer the end of a bucket is than its beginning.
const GROWTH: f64 = 1.1;

/// How late entries were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lateness {
    /// How many there were.
    pub entries: u64,
    /// Half of them were at most so late. This and the next two are at most a tenth too long.
    pub p50: TimeDelta,
    /// 95 in 100 were at most so late.
    pub p95: TimeDelta,
    /// 99 in 100 were at most so late.
    pub p99: TimeDelta,
    /// The latest, exactly.
    pub max: TimeDelta,
}

/// Entries that were late, before they are added to the histogram.
#[derive(Debug, Default)]
pub(super) struct Late(BTreeMap<i64, Bucket>);

#[derive(Debug, Default, Clone, Copy)]
struct Bucket {
    entries: u64,
    longest_us: i64,
}

impl Late {
    /// Counts an entry that was so late.
    pub(super) fn count(&mut self, lateness: TimeDelta) {
        let micros = lateness.num_microseconds().unwrap_or(i64::MAX).max(0);
        let bucket = self.0.entry(number(micros)).or_default();
        bucket.entries += 1;
        bucket.longest_us = bucket.longest_us.max(micros);
    }

    /// Adds what was counted to a source's histogram.
    pub(super) fn save(&self, db: &Connection, source: i64) -> Result<(), StoreError> {
        for (number, bucket) in &self.0 {
            let mut add = db.prepare_cached(
                "INSERT INTO lateness (source, bucket, entries, longest_us) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (source, bucket) DO UPDATE SET
                     entries = entries + excluded.entries, longest_us = max(longest_us, excluded.longest_us)",
            )?;
            add.execute((source, number, bucket.entries, bucket.longest_us))?;
        }
        Ok(())
    }
}

impl Store {
    /// How late the late entries of a source were; `None` when there were none.
    ///
    /// # Errors
    /// What the database says, also when the source was never written down.
    pub fn lateness(&self, source: &Source) -> Result<Option<Lateness>, StoreError> {
        let source = self.number_of(source)?;
        let buckets: Vec<Bucket> = self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT entries, longest_us FROM lateness WHERE source = ?1 ORDER BY bucket",
            )?;
            let found = ask.query_map([source], |row| {
                Ok(Bucket {
                    entries: row.get(0)?,
                    longest_us: row.get(1)?,
                })
            })?;
            found.map(|bucket| Ok(bucket?)).collect()
        })?;
        Ok(summary(&buckets))
    }
}

fn summary(buckets: &[Bucket]) -> Option<Lateness> {
    let last = buckets.last()?;
    let entries: u64 = buckets.iter().map(|bucket| bucket.entries).sum();
    let at = |hundredths: u64| {
        let rank = (entries * hundredths).div_ceil(100).max(1);
        let mut passed = 0;
        let found = buckets.iter().find(|bucket| {
            passed += bucket.entries;
            passed >= rank
        });
        TimeDelta::microseconds(found.unwrap_or(last).longest_us)
    };
    Some(Lateness {
        entries,
        p50: at(50),
        p95: at(95),
        p99: at(99),
        max: TimeDelta::microseconds(last.longest_us),
    })
}

/// The bucket of a lateness: 0 up to a second, then one for each tenth more.
fn number(micros: i64) -> i64 {
    let seconds = micros as f64 / 1e6;
    (seconds.max(1.0).ln() / GROWTH.ln()).floor() as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn figures_are_at_most_a_tenth_too_long(mut seconds in prop::collection::vec(1..5_000_000_i64, 1..300)) {
            let mut late = Late::default();
            seconds.iter().for_each(|seconds| late.count(TimeDelta::seconds(*seconds)));
            let told = summary(&late.0.into_values().collect::<Vec<_>>()).unwrap();
            seconds.sort_unstable();
            let exact = |hundredths: usize| seconds[(seconds.len() * hundredths).div_ceil(100).max(1) - 1] as f64;
            for (told, hundredths) in [(told.p50, 50), (told.p95, 95), (told.p99, 99)] {
                let told = told.num_seconds() as f64;
                prop_assert!(told >= exact(hundredths) && told <= exact(hundredths) * GROWTH, "{told}");
            }
            prop_assert_eq!(told.max.num_seconds() as f64, exact(100));
            prop_assert_eq!(told.entries as usize, seconds.len());
        }
    }
}
