//! How late entries were, in small histograms for each source: those that came after their stretch was first sealed; and, of
//! late, those that live scans and sweeps were the first to show.
//!
//! A bucket reaches from a lateness to a tenth more, so that two hundred buckets hold a second and ten years, and a figure that
//! is read from them is at most a tenth too long, and never too short.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, named_params};

use super::error::StoreError;
use super::handle::Store;
use super::visibility::{Lateness, Visibility};
use super::window_id::WindowId;
use crate::clock::from_micros;
use crate::position::Source;
use crate::position::WindowKind;

/// How much longer the end of a bucket is than its beginning.
const GROWTH: f64 = 1.1;

/// About how many of a source's latest entries say how late it is now. Beyond that all weights are halved, so that what was
/// long ago counts less and less.
const REMEMBERED: f64 = 2_000.0;

/// A weight below this counts no more: a single entry after seven halvings. All of a source's buckets together then lose less than a
/// hundredth of what is remembered.
const FORGOTTEN: f64 = 0.01;

/// When what was read ends longer ago than this, how late an entry was cannot be told from how late we are.
const LONGEST_PAUSE: TimeDelta = TimeDelta::minutes(2);

/// Entries that one scan is the first to show.
#[derive(Debug)]
pub(super) struct FirstSightings {
    /// `live` or `sweep`.
    found: WindowKind,
    /// From here on no scan before this one has looked; nothing when that is not known.
    new_since: Option<DateTime<Utc>>,
    late: Late,
}

impl FirstSightings {
    /// What a scan can tell of lateness; nothing when it reads history, or comes after too long a pause.
    pub(super) fn by(db: &Connection, window: WindowId) -> Result<Option<Self>, StoreError> {
        let mut ask = db.prepare_cached("SELECT kind, began_us FROM window WHERE id = ?1")?;
        let (kind, began_us): (String, i64) =
            ask.query_row([window.number], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let shown = |found, new_since| Self {
            found,
            new_since,
            late: Late::default(),
        };
        match WindowKind::by_name(&kind) {
            Some(WindowKind::Sweep) => Ok(Some(shown(WindowKind::Sweep, None))),
            Some(WindowKind::Live) => {
                let mut ask = db.prepare_cached(
                    // The last one may have ended where a passed stretch begins.
                    "SELECT max(before_s) FROM window WHERE source = ?1 AND kind = 'live' AND sealed_us IS NOT NULL",
                )?;
                let end: Option<i64> = ask.query_row([window.source], |row| row.get(0))?;
                let end = end.and_then(|end| DateTime::from_timestamp(end, 0));
                // After a pause, also while it is made good piece by piece, the delay is ours.
                let end = end.filter(|end| from_micros(began_us) - *end <= LONGEST_PAUSE);
                Ok(end.map(|end| shown(WindowKind::Live, Some(end))))
            }
            _ => Ok(None),
        }
    }

    /// Counts a new entry of that time. Where no scan has looked before, and none could have, it says nothing.
    pub(super) fn count(&mut self, time: DateTime<Utc>, was_sealed: bool, lateness: TimeDelta) {
        if was_sealed || self.new_since.is_some_and(|since| time >= since) {
            self.late.count(lateness);
        }
    }

    /// How late the counted entries were, and how many.
    pub(super) fn lags(&self) -> Vec<(TimeDelta, u64)> {
        let buckets = self.late.0.values();
        buckets
            .map(|bucket| (TimeDelta::microseconds(bucket.longest_us), bucket.entries))
            .collect()
    }

    /// Adds what was counted to a source's histograms.
    pub(super) fn save(&self, db: &Connection, source: i64) -> Result<(), StoreError> {
        for (number, bucket) in &self.late.0 {
            let mut add = db.prepare_cached(
                "INSERT INTO visibility (source, found, bucket, entries, longest_us)
                 VALUES (:source, :found, :bucket, :entries, :longest)
                 ON CONFLICT (source, found, bucket) DO UPDATE SET
                     entries = entries + excluded.entries, longest_us = max(longest_us, excluded.longest_us)",
            )?;
            add.execute(named_params! {
                ":source": source,
                ":found": self.found.as_str(),
                ":bucket": number,
                ":entries": bucket.entries,
                ":longest": bucket.longest_us,
            })?;
        }
        if self.late.0.is_empty() {
            return Ok(());
        }
        let mut ask = db.prepare_cached("SELECT sum(entries) FROM visibility WHERE source = ?1")?;
        let entries: f64 = ask.query_row([source], |row| row.get(0))?;
        if entries > REMEMBERED {
            db.prepare_cached("UPDATE visibility SET entries = entries / 2.0 WHERE source = ?1")?
                .execute([source])?;
            db.prepare_cached("DELETE FROM visibility WHERE source = ?1 AND entries < ?2")?
                .execute((source, FORGOTTEN))?;
        }
        Ok(())
    }
}

/// How late a source's entries were of late.
pub(super) fn visibility(db: &Connection, source: i64) -> Result<Visibility, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT found, entries, longest_us FROM visibility WHERE source = ?1 ORDER BY bucket",
    )?;
    let found = ask.query_map([source], |row| {
        let bucket = Weighted {
            weight: row.get(1)?,
            longest_us: row.get(2)?,
        };
        Ok((row.get::<_, String>(0)?, bucket))
    })?;
    let (mut live, mut all, mut is_swept) = (Vec::new(), Vec::new(), false);
    for row in found {
        let (found, bucket) = row?;
        all.push(bucket);
        if found == WindowKind::Live.as_str() {
            live.push(bucket);
        } else {
            is_swept = true;
        }
    }
    Ok(Visibility {
        live: summary(&live),
        all: summary(&all),
        is_swept,
    })
}

/// Entries that were late, before they are added to the histogram.
#[derive(Debug, Default)]
pub(super) struct Late(BTreeMap<i64, LatenessBucket>);

#[derive(Debug, Default, Clone, Copy)]
struct LatenessBucket {
    entries: u64,
    longest_us: i64,
}

/// A bucket of a histogram in which older entries may count less than one.
#[derive(Debug, Clone, Copy)]
struct Weighted {
    weight: f64,
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
        let buckets: Vec<Weighted> = self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT entries, longest_us FROM lateness WHERE source = ?1 ORDER BY bucket",
            )?;
            let found = ask.query_map([source], |row| {
                Ok(Weighted {
                    weight: row.get(0)?,
                    longest_us: row.get(1)?,
                })
            })?;
            found.map(|bucket| Ok(bucket?)).collect()
        })?;
        Ok(summary(&buckets))
    }
}

fn summary(buckets: &[Weighted]) -> Option<Lateness> {
    let last = buckets.last()?;
    let total: f64 = buckets.iter().map(|bucket| bucket.weight).sum();
    let at = |hundredths: f64| {
        let rank = total * hundredths / 100.0;
        let mut passed = 0.0;
        let found = buckets.iter().find(|bucket| {
            passed += bucket.weight;
            passed >= rank
        });
        TimeDelta::microseconds(found.unwrap_or(last).longest_us)
    };
    Some(Lateness {
        entries: total.round() as u64,
        p50: at(50.0),
        p95: at(95.0),
        p99: at(99.0),
        max: TimeDelta::microseconds(buckets.iter().map(|one| one.longest_us).max()?),
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
            let buckets = late.0.into_values().map(|bucket| Weighted {
                weight: bucket.entries as f64,
                longest_us: bucket.longest_us,
            });
            let told = summary(&buckets.collect::<Vec<_>>()).unwrap();
            seconds.sort_unstable();
            let exact = |hundredths: usize| seconds[(seconds.len() * hundredths).div_ceil(100).max(1) - 1] as f64;
            for (told, hundredths) in [(told.p50, 50), (told.p95, 95), (told.p99, 99)] {
                let told = told.num_seconds() as f64;
                prop_assert!(told >= exact(hundredths) && told <= exact(hundredths) * GROWTH, "{told}");
            }
            prop_assert_eq!(told.max.num_seconds() as f64, exact(100));
            prop_assert_eq!(told.entries as usize, seconds.len());
        }

        #[test]
        fn a_late_tail_is_not_forgotten_while_it_stays_the_same(
            spread in 1..12_i32, share in 11..40_usize, swept in any::<bool>(),
        ) {
            let db = Connection::open_in_memory().unwrap();
            db.execute_batch(
                "CREATE TABLE visibility (source INTEGER, found TEXT, bucket INTEGER, entries REAL, longest_us INTEGER,
                     PRIMARY KEY (source, found, bucket)) STRICT",
            )
            .unwrap();
            // In each thousand entries, `share` are late: by about an hour, in `spread` buckets.
            let tail = |n: usize| 3_600.0 * GROWTH.powi(n as i32 % spread);
            let shortest = TimeDelta::seconds(3_600);
            for _ in 0..55 {
                let shown = |found| FirstSightings { found, new_since: None, late: Late::default() };
                let (mut live, mut late) = (shown(WindowKind::Live), shown(WindowKind::Sweep));
                (share..1_000).for_each(|_| live.late.count(TimeDelta::seconds(5)));
                for n in 0..share {
                    let found = if swept { &mut late } else { &mut live };
                    found.late.count(TimeDelta::seconds(tail(n) as i64));
                }
                live.save(&db, 1).unwrap();
                late.save(&db, 1).unwrap();
                let told = visibility(&db, 1).unwrap();
                let p99 = told.all.unwrap().p99;
                prop_assert!(p99 >= shortest, "{p99}");
                prop_assert_eq!(told.is_swept, swept);
            }
        }
    }
}
