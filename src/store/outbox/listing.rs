//! Messages that were given up, how they are sent again, and what is forgotten.

use chrono::{DateTime, Utc};
use rusqlite::named_params;

use super::message::REMEMBERED;
use crate::clock::from_micros;
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::steps;

/// The most messages that one listing has.
pub const MAX_DEAD_LETTERS: usize = 1_000;

/// The most rows that are forgotten in one transaction.
const MAX_FORGOTTEN: usize = 1_000;

/// A message that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The destination's name.
    pub destination: String,
    /// The message's id, as receivers know it.
    pub id: String,
    /// What it is about: `raised`, `updated`, `retracted` or `digest`.
    pub kind: String,
    /// The alert's id; `None` for a digest.
    pub alert: Option<String>,
    /// The id of the rule.
    pub rule: String,
    /// When the change was made.
    pub at: DateTime<Utc>,
    /// When it was given up.
    pub given_up_at: DateTime<Utc>,
    /// How many attempts were made.
    pub attempts: u32,
    /// Why the last one failed.
    pub error: Option<String>,
}

impl Store {
    /// The messages that were given up, of one destination or of all, the oldest first: at most [`MAX_DEAD_LETTERS`].
    ///
    /// # Errors
    /// What the database says.
    pub fn dead_letters(&self, destination: Option<&str>) -> Result<Vec<DeadLetter>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT t.name, m.webhook_id, m.kind, m.alert, m.rule, m.at_us, d.done_us, d.attempts, d.error
                 FROM delivery d JOIN destination t ON t.id = d.destination JOIN message m ON m.id = d.message
                 WHERE d.state = 'given_up' AND (:destination IS NULL OR t.name = :destination)
                 ORDER BY m.id, t.id LIMIT :most",
            )?;
            let params = named_params! { ":destination": destination, ":most": MAX_DEAD_LETTERS };
            let rows = ask.query_map(params, |row| {
                Ok(DeadLetter {
                    destination: row.get(0)?,
                    id: row.get(1)?,
                    kind: row.get(2)?,
                    alert: row.get(3)?,
                    rule: row.get(4)?,
                    at: from_micros(row.get(5)?),
                    given_up_at: from_micros(row.get(6)?),
                    attempts: row.get(7)?,
                    error: row.get(8)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Puts messages that were given up back into the queue of their destination, in their old order: those with these ids,
    /// or all. Returns how many there were.
    ///
    /// # Errors
    /// What the database says.
    pub fn replay(
        &self,
        destination: &str,
        ids: &[String],
        now: DateTime<Utc>,
    ) -> Result<usize, StoreError> {
        let ids = serde_json::to_string(ids).unwrap_or_default();
        self.change(steps::REPLAY, |db| {
            let replayed = db.execute(
                "UPDATE delivery SET state = 'pending', queued_us = :now, done_us = NULL, not_before_us = NULL
                 WHERE state = 'given_up' AND destination = (SELECT id FROM destination WHERE name = :destination)
                       AND (json_array_length(:ids) = 0 OR message IN
                            (SELECT id FROM message WHERE webhook_id IN (SELECT value FROM json_each(:ids))))",
                named_params! { ":now": now.timestamp_micros(), ":destination": destination, ":ids": ids },
            )?;
            // It was asked for, so it is tried now.
            db.execute(
                "UPDATE destination SET wait_us = 0, failing_us = NULL, failures = 0 WHERE name = ?1",
                [destination],
            )?;
            Ok(replayed)
        })
    }

    /// Forgets what became of messages long ago, but none that waits. Returns whether there may be more to forget.
    ///
    /// # Errors
    /// What the database says.
    pub fn forget_deliveries(&self, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let before = (now - REMEMBERED).timestamp_micros();
        self.change(steps::FORGET_DELIVERIES, |db| {
            let old = "SELECT id FROM message WHERE at_us < ?1 ORDER BY id LIMIT ?2";
            let forgotten = db.execute(
                &format!("DELETE FROM delivery WHERE message IN ({old}) AND done_us < ?1"),
                (before, MAX_FORGOTTEN),
            )?;
            db.execute(
                "DELETE FROM message WHERE id IN (SELECT id FROM message WHERE at_us < ?1 ORDER BY id LIMIT ?2)
                 AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.message = message.id OR delivery.digest = message.id)",
                (before, MAX_FORGOTTEN),
            )?;
            Ok(forgotten >= MAX_FORGOTTEN)
        })
    }
}
