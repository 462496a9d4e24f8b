//! Messages in the queue of a destination.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, named_params};

use super::message::MessageKind;
use crate::alert::{Alert, Level};
use crate::store::error::StoreError;

/// How a destination wants its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendPolicy {
    /// After an alert was sent, others of the same rule and group are not sent for this long; zero: all are sent.
    pub suppress: TimeDelta,
    /// More alerts of one rule than this within a minute become one digest.
    pub digest_above: usize,
}

/// A message to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// Its place in the outbox.
    pub(super) id: i64,
    /// The same through retries and restarts.
    pub webhook_id: String,
    /// What it says.
    pub content: Content,
    /// When the change was made that it is about.
    pub at: DateTime<Utc>,
    /// When the alert was raised; of a digest: its first one.
    pub raised_at: DateTime<Utc>,
    /// How many attempts were made before this one.
    pub attempts: u32,
    /// How many attempts of this destination failed in a row before this one.
    pub failures: u32,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A change of an alert.
    Alert {
        /// What happened to it.
        change: MessageKind,
        /// The alert as it was then.
        alert: Box<Alert>,
    },
    /// Many alerts of one rule.
    Digest {
        /// The greatest level of its alerts.
        level: Level,
        /// The id of the rule.
        rule: String,
        /// The ids of the alerts.
        alerts: Vec<String>,
    },
}

/// A message at the head of a queue.
pub(super) struct Head {
    pub(super) id: i64,
    pub(super) webhook_id: String,
    pub(super) kind: MessageKind,
    pub(super) alert: String,
    pub(super) rule: String,
    pub(super) group: String,
    pub(super) at_us: i64,
    pub(super) raised_us: i64,
    pub(super) attempts: u32,
    pub(super) content: String,
}

/// Ends a delivery.
pub(super) fn finish(
    db: &Connection,
    destination: i64,
    message: i64,
    state: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut finish = db.prepare_cached(
        "UPDATE delivery SET state = :state, done_us = :now WHERE destination = :destination AND message = :message",
    )?;
    finish.execute(named_params! {
        ":destination": destination,
        ":message": message,
        ":state": state,
        ":now": now.timestamp_micros(),
    })?;
    Ok(())
}
