//! How an attempt ended, and what follows from it for the message and its destination.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, named_params};

use super::queue::{Outgoing, finish};
use crate::clock::from_micros;
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::steps;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The receiver has the message.
    Accepted,
    /// It does not, or it is not known.
    Failed {
        /// Why, without secrets.
        error: String,
        /// How long nothing is sent to the destination.
        wait: TimeDelta,
    },
}

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptSaved {
    /// The next message is next.
    Accepted,
    /// The message is tried again.
    Retry,
    /// The message is given up: the next one is next.
    GivenUp,
}

impl Store {
    /// Saves how an attempt ended. A message is given up when it, and every attempt of its destination, has failed for
    /// `give_up_after`.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_attempt(
        &self,
        destination: &str,
        message: &Outgoing,
        attempt: &Attempt,
        give_up_after: TimeDelta,
        now: DateTime<Utc>,
    ) -> Result<AttemptSaved, StoreError> {
        self.change(steps::SAVE_DELIVERY, |db| {
            let id: i64 = db.query_row(
                "SELECT id FROM destination WHERE name = ?1",
                [destination],
                |row| row.get(0),
            )?;
            match attempt {
                Attempt::Accepted => accept(db, id, message.id, now),
                Attempt::Failed { error, wait } => {
                    fail(db, id, message.id, error, *wait, now)?;
                    if failing_for(db, id, message.id, now)? < give_up_after {
                        return Ok(AttemptSaved::Retry);
                    }
                    finish(db, id, message.id, "given_up", now)?;
                    Ok(AttemptSaved::GivenUp)
                }
            }
        })
    }
}

fn accept(
    db: &Connection,
    destination: i64,
    message: i64,
    now: DateTime<Utc>,
) -> Result<AttemptSaved, StoreError> {
    finish(db, destination, message, "accepted", now)?;
    let mut reset = db.prepare_cached(
        "UPDATE destination SET failures = 0, failing_us = NULL, failed_us = NULL, wait_us = 0, error = NULL WHERE id = ?1",
    )?;
    reset.execute([destination])?;
    Ok(AttemptSaved::Accepted)
}

fn fail(
    db: &Connection,
    destination: i64,
    message: i64,
    error: &str,
    wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut note = db
        .prepare_cached("UPDATE delivery SET error = ?3 WHERE destination = ?1 AND message = ?2")?;
    note.execute((destination, message, error))?;
    let mut count = db.prepare_cached(
        "UPDATE destination SET failures = failures + 1, failed_us = :now, wait_us = :wait, error = :error,
                failing_us = coalesce(failing_us, (SELECT tried_us FROM delivery WHERE destination = :destination AND message = :message))
         WHERE id = :destination",
    )?;
    count.execute(named_params! {
        ":destination": destination,
        ":message": message,
        ":now": now.timestamp_micros(),
        ":wait": wait.num_microseconds().unwrap_or(i64::MAX),
        ":error": error,
    })?;
    Ok(())
}

/// How long a message has waited while its destination failed.
fn failing_for(
    db: &Connection,
    destination: i64,
    message: i64,
    now: DateTime<Utc>,
) -> Result<TimeDelta, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT max(d.queued_us, coalesce(destination.failing_us, d.queued_us))
         FROM delivery d JOIN destination ON destination.id = d.destination
         WHERE d.destination = ?1 AND d.message = ?2",
    )?;
    let since: i64 = ask.query_row((destination, message), |row| row.get(0))?;
    Ok(now - from_micros(since))
}
