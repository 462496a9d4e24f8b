//! Events whose bodies were erased: the row stays, with when that was and by which policy.

use chrono::{DateTime, Utc};
use rusqlite::OptionalExtension;

use super::error::StoreError;
use super::handle::Store;
use crate::clock::from_micros;
use crate::position::Seq;

/// When and why a body was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// When.
    pub at: DateTime<Utc>,
    /// The source that the policy is for; `None` when it is for every source without one of its own.
    pub source: Option<String>,
    /// How long the policy keeps bodies, as configured: `30d`. `None` when it is not known.
    pub events: Option<String>,
}

impl Store {
    /// When and why the body of an event was erased; `None` when it was not.
    ///
    /// # Errors
    /// What the database says.
    pub fn erased(&self, seq: Seq) -> Result<Option<Erased>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT event.erased_us, policy.source, policy.events
                 FROM event LEFT JOIN erasure_policy AS policy ON policy.id = event.erased_by
                 WHERE event.seq = ?1 AND event.erased_us IS NOT NULL",
            )?;
            let found = ask.query_row([seq.0], |row| {
                Ok(Erased {
                    at: from_micros(row.get(0)?),
                    source: row.get(1)?,
                    events: row.get(2)?,
                })
            });
            Ok(found.optional()?)
        })
    }
}
