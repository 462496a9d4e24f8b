//! Digests: many alerts of one rule within a minute are said in one message.
//!
//! A digest is a message of its own. It is made with its first alert and takes more of them for a minute; meanwhile other messages
//! are sent.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, named_params};

use super::message::new_webhook_id;
use super::queue::{Head, SendPolicy};
use super::suppress::{NO_GROUP, Suppressing};
use crate::store::error::StoreError;

/// How close together the alerts of a digest are: a minute.
const WITHIN_US: i64 = 60_000_000;

/// The most alerts in one digest; more of them make another one.
const MAX_ALERTS: usize = 1_000;

/// The most alerts that are looked at to see whether there are many.
const MAX_LOOKED_AT: usize = 5_000;

/// Whether the first message belongs in a digest: its rule has an open digest, or more than `digest_above` alerts of the rule
/// were raised within a minute around it. Suppressed alerts do not count.
pub(super) fn is_burst(
    db: &Connection,
    destination: i64,
    head: &Head,
    policy: SendPolicy,
) -> Result<bool, StoreError> {
    if open(db, destination, head)?.is_some() {
        return Ok(true);
    }
    let near = near(db, destination, head)?;
    if near.len() <= policy.digest_above {
        return Ok(false);
    }
    let times = unsuppressed(db, destination, head, &near, policy)?;
    Ok(has_burst(&times, head.raised_us, policy.digest_above))
}

/// An alert that was raised within a minute of another one.
struct Near {
    message: i64,
    raised_us: i64,
    group: String,
    is_pending: bool,
}

/// The alerts of the head's rule within a minute of it that were sent, are in a digest, or wait.
fn near(db: &Connection, destination: i64, head: &Head) -> Result<Vec<Near>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT m.id, m.raised_us, m.grouped_by, d.state = 'pending'
         FROM message m JOIN delivery d ON d.message = m.id AND d.destination = :destination
         WHERE m.rule = :rule AND m.raised_us > :at - :within AND m.raised_us < :at + :within AND m.kind = 'raised'
               AND d.state IN ('pending', 'accepted', 'in_digest')
         ORDER BY m.raised_us, m.id LIMIT :most",
    )?;
    let params = named_params! {
        ":destination": destination,
        ":rule": head.rule,
        ":at": head.raised_us,
        ":within": WITHIN_US,
        ":most": MAX_LOOKED_AT,
    };
    let rows = ask.query_map(params, |row| {
        Ok(Near {
            message: row.get(0)?,
            raised_us: row.get(1)?,
            group: row.get(2)?,
            is_pending: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The times of those that are not suppressed, in order. Two of one group that wait count once where the second will be suppressed.
fn unsuppressed(
    db: &Connection,
    destination: i64,
    head: &Head,
    near: &[Near],
    policy: SendPolicy,
) -> Result<Vec<i64>, StoreError> {
    let span = policy.suppress.num_microseconds().unwrap_or(i64::MAX);
    let mut times = Vec::new();
    // When the last one of a group that counts was raised.
    let mut counted: HashMap<&str, i64> = HashMap::new();
    for one in near {
        if one.is_pending && one.message != head.id && one.group != NO_GROUP {
            let last = counted.get(one.group.as_str());
            let follows_one = last.is_some_and(|last| one.raised_us.saturating_sub(*last) < span);
            let asked = Suppressing {
                destination,
                message: one.message,
                rule: &head.rule,
                group: &one.group,
                raised_us: one.raised_us,
            };
            if follows_one || asked.is_suppressed(db, policy)? {
                continue;
            }
        }
        counted.insert(&one.group, one.raised_us);
        times.push(one.raised_us);
    }
    Ok(times)
}

/// Whether some minute that contains `at` has more than `above` of the times, which are in order.
fn has_burst(times: &[i64], at: i64, above: usize) -> bool {
    times.windows(above.saturating_add(1)).any(|run| {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return false;
        };
        last - first < WITHIN_US && at.max(*last) - at.min(*first) < WITHIN_US
    })
}

/// Puts the head into the digest of its rule that takes more alerts, or into a new one.
pub(super) fn join(
    db: &Connection,
    destination: i64,
    head: &Head,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let digest = match open(db, destination, head)? {
        Some(digest) => digest,
        None => make(db, destination, head, now)?,
    };
    let mut join = db.prepare_cached(
        "UPDATE delivery SET state = 'in_digest', digest = ?3, done_us = ?4 WHERE destination = ?1 AND message = ?2",
    )?;
    join.execute((destination, head.id, digest, now.timestamp_micros()))?;
    Ok(())
}

/// The digest of the head's rule whose minute the head is in, if it was not sent and is not full.
fn open(db: &Connection, destination: i64, head: &Head) -> Result<Option<i64>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT m.id FROM message m JOIN delivery d ON d.message = m.id AND d.destination = :destination
         WHERE m.rule = :rule AND m.raised_us > :at - :within AND m.raised_us < :at + :within AND m.kind = 'digest'
               AND d.state = 'pending' AND d.attempts = 0
               AND (SELECT count(*) FROM delivery i WHERE i.destination = :destination AND i.digest = m.id) < :most
         ORDER BY m.id DESC LIMIT 1",
    )?;
    let found = ask.query_row(
        named_params! {
            ":destination": destination,
            ":rule": head.rule,
            ":at": head.raised_us,
            ":within": WITHIN_US,
            ":most": MAX_ALERTS,
        },
        |row| row.get(0),
    );
    Ok(found.optional()?)
}

/// Makes a digest that takes alerts until a minute after the head was raised.
fn make(
    db: &Connection,
    destination: i64,
    head: &Head,
    now: DateTime<Utc>,
) -> Result<i64, StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO message (webhook_id, kind, rule, grouped_by, at_us, raised_us, content)
         VALUES (:webhook_id, 'digest', :rule, '{}', :now, :raised, '')",
    )?;
    let now = now.timestamp_micros();
    insert.execute(named_params! {
        ":webhook_id": new_webhook_id(),
        ":rule": head.rule,
        ":now": now,
        ":raised": head.raised_us,
    })?;
    let digest = db.last_insert_rowid();
    let mut insert = db.prepare_cached(
        "INSERT INTO delivery (destination, message, state, queued_us, not_before_us) VALUES (?1, ?2, 'pending', ?3, ?4)",
    )?;
    // An alert from the future was raised by a clock that was wrong.
    let complete = head.raised_us.min(now) + WITHIN_US;
    insert.execute((destination, digest, now, complete))?;
    Ok(digest)
}

/// The ids of the alerts in a digest, in the order in which they were raised.
pub(super) fn alerts(
    db: &Connection,
    destination: i64,
    digest: i64,
) -> Result<Vec<String>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT m.alert FROM delivery d JOIN message m ON m.id = d.message
         WHERE d.destination = ?1 AND d.digest = ?2 AND d.state = 'in_digest' ORDER BY m.id",
    )?;
    let ids = ask.query_map((destination, digest), |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Takes alerts out of a digest whose retraction waits behind it.
pub(super) fn drop_retracted(
    db: &Connection,
    destination: i64,
    digest: i64,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut drop = db.prepare_cached(
        "UPDATE delivery SET state = 'retracted', done_us = :now
         WHERE destination = :destination AND digest = :digest AND state = 'in_digest' AND EXISTS (
             SELECT 1 FROM message m JOIN message r ON r.alert = m.alert AND r.id > m.id AND r.kind = 'retracted'
                    JOIN delivery d ON d.message = r.id AND d.destination = :destination AND d.state = 'pending'
             WHERE m.id = delivery.message)",
    )?;
    drop.execute(named_params! {
        ":destination": destination,
        ":digest": digest,
        ":now": now.timestamp_micros(),
    })?;
    Ok(())
}

/// Whether each of its alerts was retracted.
pub(super) fn is_empty(db: &Connection, destination: i64, digest: i64) -> Result<bool, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT NOT EXISTS (SELECT 1 FROM delivery WHERE destination = ?1 AND digest = ?2 AND state = 'in_digest')",
    )?;
    Ok(ask.query_row((destination, digest), |row| row.get(0))?)
}

/// Whether no attempt was made to send it.
pub(super) fn is_unsent(
    db: &Connection,
    destination: i64,
    digest: i64,
) -> Result<bool, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM delivery WHERE destination = ?1 AND message = ?2 AND attempts = 0)",
    )?;
    Ok(ask.query_row((destination, digest), |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_more_than_so_many_within_a_minute_that_contains_the_moment() {
        let seconds = |times: &[i64]| -> Vec<i64> { times.iter().map(|t| t * 1_000_000).collect() };
        let check = |times: &[i64], at: i64, above: usize, expect: bool| {
            let found = has_burst(&seconds(times), at * 1_000_000, above);
            assert_eq!(found, expect, "{times:?} {at} {above}");
        };
        check(&[0, 1, 2], 0, 2, true);
        check(&[0, 1, 2], 0, 3, false);
        check(&[0, 30, 60], 0, 2, false);
        check(&[0, 30, 59], 30, 2, true);
        // The three are close together, and the moment is not within a minute of them all.
        check(&[0, 40, 50, 62], 0, 2, true);
        check(&[0, 40, 55, 62], 0, 3, false);
        check(&[0, 40, 55, 62], 62, 2, true);
        check(&[5], 5, 1, false);
    }
}
