//! Statements about the days of sources, and what they count: the leaves of the second transparency log.
//!
//! A statement that was added is never changed; a new one takes its place beside it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::Transaction;

use super::error::StoreError;
use super::handle::Store;
use super::steps;
use crate::clock::from_micros;

/// Days are counted from 1970 on, in UTC.
pub type Day = i64;

/// How many events of each source and day were added.
pub type DayCounts = BTreeMap<(String, Day), u64>;

/// The newest statement about a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementRow {
    /// Its leaf.
    pub leaf: Vec<u8>,
    /// When it was added.
    pub added_at: DateTime<Utc>,
}

impl Store {
    /// How many events of each day of a source the transparency log has.
    ///
    /// # Errors
    /// What the database says.
    pub fn signed_days(&self, source: &str) -> Result<BTreeMap<Day, u64>, StoreError> {
        self.ask(|db| {
            let mut ask =
                db.prepare_cached("SELECT day, entries FROM evidence_day WHERE source = ?1")?;
            let days = ask.query_map([source], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(days.collect::<Result<_, _>>()?)
        })
    }

    /// The newest statement about each day of a source.
    ///
    /// # Errors
    /// What the database says.
    pub fn newest_statements(
        &self,
        source: &str,
    ) -> Result<BTreeMap<Day, StatementRow>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT day, leaf, added_us FROM statement WHERE number IN
                     (SELECT max(number) FROM statement WHERE source = ?1 GROUP BY day)",
            )?;
            let rows = ask.query_map([source], |row| {
                let statement = StatementRow {
                    leaf: row.get(1)?,
                    added_at: from_micros(row.get(2)?),
                };
                Ok((row.get(0)?, statement))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Adds statements about days of a source.
    ///
    /// # Errors
    /// What the database says.
    pub fn add_statements(
        &self,
        source: &str,
        statements: &[(Day, Vec<u8>)],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.change(steps::ADD_STATEMENTS, |db| {
            let mut add = db.prepare_cached(
                "INSERT INTO statement (source, day, added_us, leaf) VALUES (?1, ?2, ?3, ?4)",
            )?;
            for (day, leaf) in statements {
                add.execute((source, day, now.timestamp_micros(), leaf))?;
            }
            Ok(())
        })
    }

    /// The leaves of at most `limit` statements after the one with this number, in order.
    ///
    /// # Errors
    /// What the database says.
    pub fn statements_after(&self, number: u64, limit: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT leaf FROM statement WHERE number > ?1 ORDER BY number LIMIT ?2",
            )?;
            let leaves = ask.query_map((number, limit), |row| row.get(0))?;
            Ok(leaves.collect::<Result<_, _>>()?)
        })
    }
}

/// Adds to the counts of days. With `anew` they begin at 0.
pub(super) fn count(db: &Transaction<'_>, days: &DayCounts, anew: bool) -> Result<(), StoreError> {
    if anew {
        db.execute("DELETE FROM evidence_day", [])?;
    }
    let mut add = db.prepare_cached(
        "INSERT INTO evidence_day (source, day, entries) VALUES (?1, ?2, ?3)
         ON CONFLICT (source, day) DO UPDATE SET entries = entries + excluded.entries",
    )?;
    for ((source, day), entries) in days {
        add.execute((source, day, entries))?;
    }
    Ok(())
}
