//! Puts messages into the outbox.

use rusqlite::{Connection, named_params};

use super::destinations;
use super::message::{Message, MessageKind, REMEMBERED, json, new_webhook_id};
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::steps;

/// The most events that a message lists; `events_total` says how many there are.
const MAX_EVENTS: usize = 100;

impl Store {
    /// Puts a message into the outbox, in a transaction of its own.
    ///
    /// # Errors
    /// What the database says.
    pub fn enqueue(&self, message: &Message) -> Result<(), StoreError> {
        self.change(steps::ENQUEUE_MESSAGE, |db| enqueue(db, message))
    }
}

/// Puts a message into the outbox, inside the transaction of the change. Messages are sent in the order of these calls.
///
/// A change of an alert goes to the destinations to which the alert went.
pub(in crate::store) fn enqueue(db: &Connection, message: &Message) -> Result<(), StoreError> {
    let takers = takers(db, message)?;
    if takers.is_empty() {
        return Ok(());
    }
    let id = insert_message(db, message)?;
    let mut insert = db.prepare_cached(
        "INSERT INTO delivery (destination, message, state, queued_us) VALUES (?1, ?2, 'pending', ?3)",
    )?;
    for destination in takers {
        insert.execute((destination, id, message.at.timestamp_micros()))?;
    }
    Ok(())
}

/// The destinations that take a message.
fn takers(db: &Connection, message: &Message) -> Result<Vec<i64>, StoreError> {
    let mut takers = Vec::new();
    let is_forgotten = message.at - message.alert.raised_at > REMEMBERED;
    for (id, destination) in destinations::active(db)? {
        let takes = destination.takes(&message.alert, message.history);
        let is_taken = match message.change {
            MessageKind::Raised | MessageKind::Digest => takes,
            MessageKind::Updated | MessageKind::Retracted => {
                was_queued(db, id, message)? || (is_forgotten && takes)
            }
        };
        if is_taken {
            takers.push(id);
        }
    }
    Ok(takers)
}

/// Whether the alert's raising was queued for a destination.
fn was_queued(db: &Connection, destination: i64, message: &Message) -> Result<bool, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM message m JOIN delivery d ON d.message = m.id AND d.destination = ?1
                        WHERE m.alert = ?2 AND m.kind = 'raised')",
    )?;
    Ok(ask.query_row((destination, &message.alert.id.0), |row| row.get(0))?)
}

fn insert_message(db: &Connection, message: &Message) -> Result<i64, StoreError> {
    let mut alert = message.alert.clone();
    alert.events.truncate(MAX_EVENTS);
    let mut insert = db.prepare_cached(
        "INSERT INTO message (webhook_id, kind, alert, rule, grouped_by, at_us, raised_us, content)
         VALUES (:webhook_id, :kind, :alert, :rule, :group, :at, :raised, :content)",
    )?;
    insert.execute(named_params! {
        ":webhook_id": new_webhook_id(),
        ":kind": message.change.as_str(),
        ":alert": alert.id.0,
        ":rule": alert.rule.id,
        ":group": json(&alert.group)?,
        ":at": message.at.timestamp_micros(),
        ":raised": alert.raised_at.timestamp_micros(),
        ":content": json(&alert)?,
    })?;
    Ok(db.last_insert_rowid())
}
