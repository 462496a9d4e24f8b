//! What becomes of the message at the head of a queue: sent, suppressed, in a digest, or retracted before it was sent.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension};

use super::digest;
use super::message::MessageKind;
use super::queue::{Head, SendPolicy, finish};
use super::suppress::Suppressing;
use crate::store::error::StoreError;

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is sent.
    Send,
    /// It is not sent: one of its rule and group was sent lately, or the receiver does not know its alert.
    Suppress,
    /// It is not sent: its alert was retracted before it was sent.
    Retract,
    /// A digest says it instead.
    JoinDigest,
}

/// Decides about the message at the head of a queue. Those before it are accepted or given up, so what was sent is known.
pub(super) fn decide(
    db: &Connection,
    destination: i64,
    head: &Head,
    policy: SendPolicy,
    now: DateTime<Utc>,
) -> Result<Decision, StoreError> {
    // It may have arrived, so it is sent until it is accepted.
    if head.attempts > 0 {
        return Ok(Decision::Send);
    }
    match head.kind {
        MessageKind::Digest if digest::is_empty(db, destination, head.id)? => Ok(Decision::Retract),
        MessageKind::Digest => Ok(Decision::Send),
        MessageKind::Raised => decide_raised(db, destination, head, policy),
        MessageKind::Updated | MessageKind::Retracted => decide_change(db, destination, head, now),
    }
}

fn decide_raised(
    db: &Connection,
    destination: i64,
    head: &Head,
    policy: SendPolicy,
) -> Result<Decision, StoreError> {
    if is_retracted_later(db, destination, head)? {
        return Ok(Decision::Retract);
    }
    let asked = Suppressing {
        destination,
        message: head.id,
        rule: &head.rule,
        group: &head.group,
        raised_us: head.raised_us,
    };
    if asked.is_suppressed(db, policy)? {
        return Ok(Decision::Suppress);
    }
    if digest::is_burst(db, destination, head, policy)? {
        return Ok(Decision::JoinDigest);
    }
    Ok(Decision::Send)
}

/// Whether the next that happens to the alert, beside updates, is that it is retracted.
fn is_retracted_later(db: &Connection, destination: i64, head: &Head) -> Result<bool, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT m.kind = 'retracted' FROM message m JOIN delivery d ON d.message = m.id AND d.destination = ?1
         WHERE m.alert = ?2 AND m.id > ?3 AND m.kind IN ('raised', 'retracted') AND d.state = 'pending' ORDER BY m.id LIMIT 1",
    )?;
    let next = ask.query_row((destination, &head.alert, head.id), |row| row.get(0));
    Ok(next.optional()?.unwrap_or(false))
}

/// An update or a retraction is sent if the receiver has, or may have, the alert.
fn decide_change(
    db: &Connection,
    destination: i64,
    head: &Head,
    now: DateTime<Utc>,
) -> Result<Decision, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT d.state, d.message, d.digest FROM message m JOIN delivery d ON d.message = m.id AND d.destination = ?1
         WHERE m.alert = ?2 AND m.id < ?3 AND m.kind = 'raised' ORDER BY m.id DESC LIMIT 1",
    )?;
    let raised = ask.query_row((destination, &head.alert, head.id), |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    });
    let raised: Option<(String, i64, Option<i64>)> = raised.optional()?;
    let Some((state, raised, digest)) = raised else {
        return Ok(Decision::Send);
    };
    let is_retraction = head.kind == MessageKind::Retracted;
    Ok(match (state.as_str(), digest) {
        ("suppressed", _) => Decision::Suppress,
        ("retracted", _) => Decision::Retract,
        ("in_digest", Some(digest)) if is_retraction => {
            if digest::is_unsent(db, destination, digest)? {
                finish(db, destination, raised, "retracted", now)?;
                Decision::Retract
            } else {
                Decision::Send
            }
        }
        // A digest has the ids alone, so there is nothing in it to update.
        ("in_digest", _) => Decision::Suppress,
        _ => Decision::Send,
    })
}
