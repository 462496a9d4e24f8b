//! What each credential has spent, and how long it was told to wait.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, named_params};

use super::{Store, StoreError};
use crate::clock::from_micros;
use crate::durable::Step;

/// A credential's budget as it was last saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaRow {
    /// Until when the requests so far have used up their pace.
    pub spent_until: DateTime<Utc>,
    /// No call before this.
    pub blocked_until: DateTime<Utc>,
}

impl Store {
    /// Writes a credential's budget down. Returns when it is on disk. Calls under way at once write in any order: the later
    /// moment holds.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_quota(&self, credential: &str, row: QuotaRow) -> Result<(), StoreError> {
        self.change(Step::SaveQuota, |db| {
            let mut save = db.prepare_cached(
                "INSERT INTO quota (credential, spent_us, blocked_us) VALUES (:credential, :spent, :blocked)
                 ON CONFLICT (credential) DO UPDATE SET
                     spent_us = max(spent_us, :spent), blocked_us = max(blocked_us, :blocked)",
            )?;
            save.execute(named_params! {
                ":credential": credential,
                ":spent": row.spent_until.timestamp_micros(),
                ":blocked": row.blocked_until.timestamp_micros(),
            })?;
            Ok(())
        })
    }

    /// A credential's budget as it was last saved.
    ///
    /// # Errors
    /// What the database says.
    pub fn quota(&self, credential: &str) -> Result<Option<QuotaRow>, StoreError> {
        self.ask(|db| {
            let mut ask =
                db.prepare_cached("SELECT spent_us, blocked_us FROM quota WHERE credential = ?1")?;
            let row = ask.query_row([credential], |row| {
                Ok(QuotaRow {
                    spent_until: from_micros(row.get(0)?),
                    blocked_until: from_micros(row.get(1)?),
                })
            });
            Ok(row.optional()?)
        })
    }
}
