//! What an operator wants of the ledger, as the last service saved it.

use chrono::TimeDelta;
use rusqlite::Connection;

use super::error::StoreError;
use super::handle::Store;
use crate::ledger::{Aims, BackfillSince};
use crate::span;

impl Store {
    /// The saved sweeps and backfill; `None` when no service has run yet.
    ///
    /// # Errors
    /// What the database says, also when what it holds is not what was written.
    pub fn aims(&self) -> Result<Option<Aims>, StoreError> {
        let read = |db: &Connection, name: &str| -> Result<Option<String>, StoreError> {
            let mut ask = db.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
            let mut rows = ask.query([name])?;
            Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
        };
        let found = self.ask(|db| Ok((read(db, "sweeps")?, read(db, "backfill_since")?)))?;
        let (Some(sweeps), Some(since)) = found else {
            return Ok(None);
        };
        let damaged = || StoreError::Damaged("its aims cannot be read".into());
        let sweeps: Result<Vec<TimeDelta>, _> =
            sweeps.split_whitespace().map(span::parse).collect();
        let since = match (span::parse(&since), since.parse()) {
            (Ok(span), _) => BackfillSince::Span(span),
            (_, Ok(date)) => BackfillSince::Date(date),
            _ => return Err(damaged()),
        };
        Ok(Some(Aims {
            sweeps: sweeps.map_err(|_| damaged())?,
            backfill_since: since,
        }))
    }
}

/// Saves the configured sweeps and backfill, which define when a range is complete.
pub(super) fn save_aims(db: &Connection, aims: &Aims) -> Result<(), StoreError> {
    let sweeps: Vec<String> = aims
        .sweeps
        .iter()
        .map(|sweep| span::format(*sweep))
        .collect();
    let backfill_since = match aims.backfill_since {
        BackfillSince::Span(span) => span::format(span),
        BackfillSince::Date(date) => date.to_string(),
    };
    let mut save = db.prepare_cached(
        "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
    )?;
    save.execute(("sweeps", sweeps.join(" ")))?;
    save.execute(("backfill_since", backfill_since))?;
    Ok(())
}
