//! What each credential has spent of its budget, and how long it must wait.
//!
//! Both are stored as lengths from the time of saving, never as moments in the future. A clock that was wrong once then
//! costs at most the length itself.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, named_params};

use super::error::StoreError;
use super::handle::Store;
use super::steps;
use crate::clock::from_micros;

/// A credential's budget as it was last saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaRow {
    /// When it was saved, by the wall clock.
    pub saved_at: DateTime<Utc>,
    /// For how long from then on the requests so far use up their pace.
    pub spent_for: TimeDelta,
    /// For how long from then on no call may be made.
    pub wait: TimeDelta,
}

impl QuotaRow {
    /// What is left of both at `now`. A row from the future was saved by a clock that was wrong: its lengths then count
    /// from `now`.
    #[must_use]
    pub fn as_of(self, now: DateTime<Utc>) -> Self {
        let passed = (now - self.saved_at).max(TimeDelta::zero());
        let left = |length: TimeDelta| (length - passed).max(TimeDelta::zero());
        Self {
            saved_at: now,
            spent_for: left(self.spent_for),
            wait: left(self.wait),
        }
    }

    /// Both rows as one that is saved at the time of `self`: the longer lengths count. A row from the future is replaced,
    /// because the writer has read it before and includes it.
    fn merged_with(self, stored: Self) -> Self {
        if stored.saved_at > self.saved_at {
            return self;
        }
        let stored = stored.as_of(self.saved_at);
        Self {
            saved_at: self.saved_at,
            spent_for: self.spent_for.max(stored.spent_for),
            wait: self.wait.max(stored.wait),
        }
    }
}

impl Store {
    /// Saves a credential's budget. Returns when it is on disk, with what is saved now: turns and processes save in any
    /// order, and the longer wait counts.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_quota(&self, credential: &str, row: QuotaRow) -> Result<QuotaRow, StoreError> {
        self.change(steps::SAVE_QUOTA, |db| {
            let row = match read(db, credential)? {
                Some(stored) => row.merged_with(stored),
                None => row,
            };
            let mut save = db.prepare_cached(
                "INSERT INTO quota (credential, saved_us, spent_us, wait_us) VALUES (:credential, :saved, :spent, :wait)
                 ON CONFLICT (credential) DO UPDATE SET saved_us = :saved, spent_us = :spent, wait_us = :wait",
            )?;
            save.execute(named_params! {
                ":credential": credential,
                ":saved": row.saved_at.timestamp_micros(),
                ":spent": micros(row.spent_for),
                ":wait": micros(row.wait),
            })?;
            Ok(row)
        })
    }

    /// A credential's budget as it was last saved.
    ///
    /// # Errors
    /// What the database says.
    pub fn quota(&self, credential: &str) -> Result<Option<QuotaRow>, StoreError> {
        self.ask(|db| read(db, credential))
    }
}

fn read(db: &Connection, credential: &str) -> Result<Option<QuotaRow>, StoreError> {
    let mut ask =
        db.prepare_cached("SELECT saved_us, spent_us, wait_us FROM quota WHERE credential = ?1")?;
    let row = ask.query_row([credential], |row| {
        Ok(QuotaRow {
            saved_at: from_micros(row.get(0)?),
            spent_for: TimeDelta::microseconds(row.get(1)?),
            wait: TimeDelta::microseconds(row.get(2)?),
        })
    });
    Ok(row.optional()?)
}

fn micros(length: TimeDelta) -> i64 {
    length.num_microseconds().unwrap_or(i64::MAX).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::Failpoints;

    fn row(saved_at: DateTime<Utc>, spent: i64, wait: i64) -> QuotaRow {
        QuotaRow {
            saved_at,
            spent_for: TimeDelta::seconds(spent),
            wait: TimeDelta::seconds(wait),
        }
    }

    #[test]
    fn the_longer_wait_is_kept_and_one_from_the_future_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let now = from_micros(1_785_000_000_000_000);
        let later = now + TimeDelta::seconds(100);
        store.save_quota("a", row(now, 5, 300)).unwrap();
        store.save_quota("a", row(later, 7, 0)).unwrap();
        assert_eq!(store.quota("a").unwrap(), Some(row(later, 7, 200)));
        store.save_quota("a", row(now, 1, 2)).unwrap();
        assert_eq!(store.quota("a").unwrap(), Some(row(now, 1, 2)));
        assert_eq!(store.quota("b").unwrap(), None);
    }

    #[test]
    fn what_is_left_is_never_longer_than_what_was_saved() {
        let now = from_micros(1_785_000_000_000_000);
        let saved = row(now + TimeDelta::days(3_650), 60, 300);
        assert_eq!(saved.as_of(now), row(now, 60, 300));
        let saved = row(now - TimeDelta::seconds(100), 60, 300);
        assert_eq!(saved.as_of(now), row(now, 0, 200));
    }
}
