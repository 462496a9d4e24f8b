//! What a destination's worker does next: it decides about the messages at the head of the queue, and takes one to send.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Row};

use super::decide::{self, Decision};
use super::digest;
use super::message::MessageKind;
use super::queue::{Content, Head, Outgoing, SendPolicy, finish};
use crate::clock::from_micros;
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::steps;

/// The most messages that one transaction decides about. More of them wait for the next one, and other writers come between.
const MAX_DECISIONS: usize = 200;

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum NextDelivery {
    /// Nothing waits.
    Idle,
    /// Nothing is due for this long.
    Wait(TimeDelta),
    /// Call again: there is more to decide.
    Again,
    /// Send this. It is counted as an attempt already.
    Send(Box<Outgoing>),
}

/// How many messages were decided about without sending them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decided {
    /// An alert of their rule and group was sent lately.
    pub suppressed: u64,
    /// It is in a digest instead.
    pub in_digest: u64,
    /// The alert was retracted before it was sent.
    pub retracted: u64,
}

/// A destination's row.
struct QueueState {
    id: i64,
    failures: u32,
    /// How long nothing is tried from now on.
    wait: TimeDelta,
}

impl Store {
    /// Decides what a destination's worker does next. A message to send is counted as an attempt before this returns.
    ///
    /// # Errors
    /// What the database says.
    pub fn next_delivery(
        &self,
        destination: &str,
        policy: SendPolicy,
        now: DateTime<Utc>,
    ) -> Result<(NextDelivery, Decided), StoreError> {
        // Most calls find nothing to do, and need no place among the writers.
        let idle = self.ask(|db| match queue(db, destination, now)? {
            None => Ok(Some(NextDelivery::Idle)),
            Some(queue) => waiting(db, &queue, now),
        })?;
        if let Some(idle) = idle {
            return Ok((idle, Decided::default()));
        }
        self.change(steps::BEGIN_DELIVERY, |db| {
            let mut decided = Decided::default();
            let Some(queue) = queue(db, destination, now)? else {
                return Ok((NextDelivery::Idle, decided));
            };
            for _ in 0..MAX_DECISIONS {
                if let Some(idle) = waiting(db, &queue, now)? {
                    return Ok((idle, decided));
                }
                let Some(head) = head(db, queue.id, now)? else {
                    continue;
                };
                match decide::decide(db, queue.id, &head, policy, now)? {
                    Decision::Send => {
                        let outgoing = begin(db, &queue, head, now)?;
                        return Ok((NextDelivery::Send(Box::new(outgoing)), decided));
                    }
                    Decision::Suppress => {
                        finish(db, queue.id, head.id, "suppressed", now)?;
                        decided.suppressed += 1;
                    }
                    Decision::Retract => {
                        finish(db, queue.id, head.id, "retracted", now)?;
                        decided.retracted += 1;
                    }
                    Decision::JoinDigest => {
                        digest::join(db, queue.id, &head, now)?;
                        decided.in_digest += 1;
                    }
                }
            }
            Ok((NextDelivery::Again, decided))
        })
    }
}

fn queue(
    db: &Connection,
    destination: &str,
    now: DateTime<Utc>,
) -> Result<Option<QueueState>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT id, failures, failed_us, wait_us FROM destination WHERE name = ?1",
    )?;
    let found = ask.query_row([destination], |row| {
        let failed: Option<i64> = row.get(2)?;
        let wait = TimeDelta::microseconds(row.get(3)?);
        // A failure in the future was noted by a clock that was wrong.
        let passed = failed.map(|failed| now - from_micros(failed));
        let wait = match passed {
            Some(passed) if passed >= TimeDelta::zero() => wait - passed,
            _ => TimeDelta::zero(),
        };
        Ok(QueueState {
            id: row.get(0)?,
            failures: row.get(1)?,
            wait,
        })
    });
    Ok(found.optional()?)
}

/// Why nothing is to be done now; `None` when something is.
fn waiting(
    db: &Connection,
    queue: &QueueState,
    now: DateTime<Utc>,
) -> Result<Option<NextDelivery>, StoreError> {
    let Some(due) = first_due(db, queue.id)? else {
        return Ok(Some(NextDelivery::Idle));
    };
    let wait = (from_micros(due) - now).max(queue.wait);
    Ok((wait > TimeDelta::zero()).then_some(NextDelivery::Wait(wait)))
}

/// When the first of the waiting messages may be sent. Only digests have such a time, and there are few of them.
fn first_due(db: &Connection, destination: i64) -> Result<Option<i64>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM delivery WHERE destination = ?1 AND state = 'pending' AND not_before_us IS NULL)",
    )?;
    if ask.query_row([destination], |row| row.get(0))? {
        return Ok(Some(0));
    }
    let mut ask = db.prepare_cached(
        "SELECT min(not_before_us) FROM delivery WHERE destination = ?1 AND state = 'pending'",
    )?;
    Ok(ask.query_row([destination], |row| row.get(0))?)
}

/// The first message that is due.
fn head(db: &Connection, destination: i64, now: DateTime<Utc>) -> Result<Option<Head>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT m.id, m.webhook_id, m.kind, coalesce(m.alert, ''), m.rule, m.grouped_by, m.at_us, m.raised_us, d.attempts, m.content
         FROM delivery d JOIN message m ON m.id = d.message
         WHERE d.destination = ?1 AND d.state = 'pending' AND coalesce(d.not_before_us, 0) <= ?2
         ORDER BY d.message LIMIT 1",
    )?;
    let found = ask.query_row((destination, now.timestamp_micros()), |row| {
        Ok((row.get::<_, String>(2)?, read_head(row)?))
    });
    let Some((kind, head)) = found.optional()? else {
        return Ok(None);
    };
    let kind = MessageKind::by_name(&kind)?;
    Ok(Some(Head { kind, ..head }))
}

fn read_head(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head {
        id: row.get(0)?,
        webhook_id: row.get(1)?,
        kind: MessageKind::Raised,
        alert: row.get(3)?,
        rule: row.get(4)?,
        group: row.get(5)?,
        at_us: row.get(6)?,
        raised_us: row.get(7)?,
        attempts: row.get(8)?,
        content: row.get(9)?,
    })
}

/// Counts an attempt, and reads what is to be sent.
fn begin(
    db: &Connection,
    queue: &QueueState,
    head: Head,
    now: DateTime<Utc>,
) -> Result<Outgoing, StoreError> {
    let mut count = db.prepare_cached(
        "UPDATE delivery SET attempts = attempts + 1, tried_us = ?3 WHERE destination = ?1 AND message = ?2",
    )?;
    count.execute((queue.id, head.id, now.timestamp_micros()))?;
    let content = match head.kind {
        MessageKind::Digest => Content::Digest {
            level: digest::greatest_level(db, queue.id, head.id)?,
            alerts: digest::alerts(db, queue.id, head.id)?,
            rule: head.rule,
        },
        change => Content::Alert {
            change,
            alert: serde_json::from_str(&head.content).map_err(|error| {
                StoreError::Damaged(format!("message {}: {error}", head.webhook_id))
            })?,
        },
    };
    Ok(Outgoing {
        id: head.id,
        webhook_id: head.webhook_id,
        content,
        at: from_micros(head.at_us),
        raised_at: from_micros(head.raised_us),
        attempts: head.attempts,
        failures: queue.failures,
    })
}
