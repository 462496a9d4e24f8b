//! Alerts about events whose bodies were erased: what they say that came from the bodies goes, in the alerts and in the messages
//! about them. What people wrote stays.

use std::collections::BTreeSet;

use rusqlite::Connection;
use serde_json::Value;

use super::codec::json;
use crate::alert::AlertGroup;
use crate::position::Seq;
use crate::store::error::StoreError;

/// Hides what the alerts about these events say of them; they have just been erased.
pub(in crate::store) fn hide_events(db: &Connection, erased: &[Seq]) -> Result<(), StoreError> {
    let mut ask = db.prepare_cached("SELECT alert FROM alert_event WHERE seq = ?1")?;
    let mut alerts = BTreeSet::new();
    for seq in erased {
        for alert in ask.query_map([seq.0], |row| row.get::<_, i64>(0))? {
            alerts.insert(alert?);
        }
    }
    alerts.into_iter().try_for_each(|alert| hide(db, alert))
}

/// Hides what an alert says of erased events, if it has any.
pub(super) fn hide_if_erased(db: &Connection, alert: i64) -> Result<(), StoreError> {
    if has_event(db, alert, true)? {
        hide(db, alert)?;
    }
    Ok(())
}

/// Whether an alert has events that were erased, or events that were not.
fn has_event(db: &Connection, alert: i64, is_erased: bool) -> Result<bool, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM alert_event JOIN event ON event.seq = alert_event.seq
                        WHERE alert_event.alert = ?1 AND (event.erased_us IS NOT NULL) = ?2)",
    )?;
    Ok(ask.query_row((alert, is_erased), |row| row.get(0))?)
}

fn hide(db: &Connection, alert: i64) -> Result<(), StoreError> {
    // The events of a group have its values in common: while one of them has its body, they are its values too.
    let keeps_group = has_event(db, alert, false)?;
    let mut ask = db.prepare_cached("SELECT id, title, grouped_by FROM alert WHERE number = ?1")?;
    let (id, title, group): (String, String, String) =
        ask.query_row([alert], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let group = if keeps_group {
        group
    } else {
        json(&without_values(&group))?
    };
    let what = if keeps_group {
        "some of its events were erased by retention"
    } else {
        "its events were erased by retention"
    };
    let summary = format!("{title}: {what}");
    let mut update =
        db.prepare_cached("UPDATE alert SET summary = ?2, grouped_by = ?3 WHERE number = ?1")?;
    update.execute((alert, &summary, &group))?;
    hide_messages(db, &id, &summary, &group)
}

/// Hides the same in the messages about an alert, the sent ones included.
fn hide_messages(
    db: &Connection,
    alert: &str,
    summary: &str,
    group: &str,
) -> Result<(), StoreError> {
    let mut ask = db.prepare_cached("SELECT id, content FROM message WHERE alert = ?1")?;
    let messages = ask.query_map([alert], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let messages: Vec<(i64, String)> = messages.collect::<Result<_, _>>()?;
    let mut update =
        db.prepare_cached("UPDATE message SET grouped_by = ?2, content = ?3 WHERE id = ?1")?;
    for (message, content) in messages {
        let content = match serde_json::from_str(&content) {
            Ok(Value::Object(mut members)) => {
                members.insert("summary".to_owned(), summary.into());
                let group: Value = serde_json::from_str(group).unwrap_or(Value::Null);
                members.insert("group".to_owned(), group);
                json(&members)?
            }
            // Nothing that this version wrote.
            _ => {
                return Err(StoreError::Damaged(format!(
                    "message {message} is not JSON, and cannot be changed"
                )));
            }
        };
        update.execute((message, group, content))?;
    }
    Ok(())
}

/// The fields of a group, without their values.
fn without_values(group: &str) -> AlertGroup {
    let group: AlertGroup = serde_json::from_str(group).unwrap_or_default();
    group.into_keys().map(|field| (field, None)).collect()
}
