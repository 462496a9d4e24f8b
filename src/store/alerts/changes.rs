//! The changes of all alerts, in order, for those who follow them.
//!
//! A place in this order is a moment and an alert. Moments only advance, whatever the clock does, and one transaction has one. So a place
//! says when a change was made, and nothing about changes of alerts that a reader may not see.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, named_params};

use super::reading::{AlertReader, VISIBLE, listed, sources_of};
use crate::alert::Alert;
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::outbox::MessageKind;

/// The longest id of an alert, in characters.
const MAX_ID_LEN: usize = 64;

/// A place in the order of changes: after the change of this alert at this moment. As text it is `MOMENT_ALERT`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangePlace {
    /// In microseconds since 1970.
    pub moment_us: i64,
    /// The alert's id; empty: before all alerts of that moment.
    pub alert: String,
}

impl fmt::Display for ChangePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.moment_us, self.alert)
    }
}

impl FromStr for ChangePlace {
    type Err = ();

    /// Reads `MOMENT_ALERT`, or `0` for the beginning.
    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "0" {
            return Ok(Self::default());
        }
        let (moment, alert) = text.split_once('_').ok_or(())?;
        let is_number = !moment.is_empty() && moment.bytes().all(|byte| byte.is_ascii_digit());
        let is_id = alert.len() <= MAX_ID_LEN && alert.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_number || !is_id {
            return Err(());
        }
        Ok(Self {
            moment_us: moment.parse().map_err(|_| ())?,
            alert: alert.to_owned(),
        })
    }
}

/// A change of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedChange {
    /// Its place.
    pub place: ChangePlace,
    /// What happened.
    pub change: MessageKind,
    /// The alert as it is now.
    pub alert: Alert,
}

/// A part of the changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoggedChanges {
    /// Those that exist for the reader.
    pub changes: Vec<LoggedChange>,
    /// The place up to which was looked, whether the reader may see what is there or not.
    pub upto: ChangePlace,
    /// Whether there may be more after it.
    pub has_more: bool,
}

impl Store {
    /// Changes of alerts after a place, in their order; at most `limit` are looked at.
    ///
    /// # Errors
    /// What the database says.
    pub fn alert_changes_after(
        &self,
        after: &ChangePlace,
        reader: &AlertReader,
        limit: usize,
    ) -> Result<LoggedChanges, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(&format!(
                "SELECT log.moment_us, log.alert, log.change, alert.number, {VISIBLE}
                 FROM (SELECT * FROM alert_log WHERE (moment_us, alert) > (:moment, :alert) ORDER BY moment_us, alert LIMIT :limit) AS log
                 JOIN alert ON alert.id = log.alert ORDER BY log.moment_us, log.alert"
            ))?;
            let mut rows = ask.query(named_params! {
                ":moment": after.moment_us,
                ":alert": after.alert,
                ":limit": limit,
                ":sources": sources_of(reader)?,
                ":bodies": reader.bodies,
            })?;
            let mut found = LoggedChanges {
                upto: after.clone(),
                ..LoggedChanges::default()
            };
            let mut looked_at = 0;
            while let Some(row) = rows.next()? {
                looked_at += 1;
                found.upto = ChangePlace {
                    moment_us: row.get(0)?,
                    alert: row.get(1)?,
                };
                if row.get(4)? {
                    found.changes.push(LoggedChange {
                        place: found.upto.clone(),
                        change: MessageKind::by_name(&row.get::<_, String>(2)?)?,
                        alert: listed(db, row.get(3)?)?,
                    });
                }
            }
            found.has_more = looked_at == limit;
            Ok(found)
        })
    }

    /// The place of the newest change of all, and that of the newest one that exists for a reader.
    ///
    /// # Errors
    /// What the database says.
    pub fn newest_alert_change(
        &self,
        reader: &AlertReader,
    ) -> Result<(ChangePlace, ChangePlace), StoreError> {
        self.ask(|db| {
            let newest = newest(db)?;
            let mut ask = db.prepare_cached(&format!(
                "SELECT log.moment_us, log.alert FROM alert_log AS log JOIN alert ON alert.id = log.alert
                 WHERE {VISIBLE} ORDER BY log.moment_us DESC, log.alert DESC LIMIT 1"
            ))?;
            let params = named_params! {
                ":sources": sources_of(reader)?,
                ":bodies": reader.bodies,
            };
            let visible = ask.query_row(params, |row| {
                Ok(ChangePlace {
                    moment_us: row.get(0)?,
                    alert: row.get(1)?,
                })
            });
            Ok((newest, visible.optional()?.unwrap_or_default()))
        })
    }
}

fn newest(db: &Connection) -> Result<ChangePlace, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT moment_us, alert FROM alert_log ORDER BY moment_us DESC, alert DESC LIMIT 1",
    )?;
    let newest = ask.query_row([], |row| {
        Ok(ChangePlace {
            moment_us: row.get(0)?,
            alert: row.get(1)?,
        })
    });
    Ok(newest.optional()?.unwrap_or_default())
}

/// When a transaction changes alerts: by the clock, and its moment in the order of changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChangeTime {
    pub(super) at: DateTime<Utc>,
    moment_us: i64,
}

impl ChangeTime {
    /// Taken once at the beginning of a transaction.
    pub(super) fn take(db: &Connection, at: DateTime<Utc>) -> Result<Self, StoreError> {
        let after = newest(db)?.moment_us.saturating_add(1);
        Ok(Self {
            at,
            moment_us: at.timestamp_micros().max(after),
        })
    }
}

/// Notes the change of an alert, inside the transaction that makes it. Of several changes of an alert in one transaction the last counts.
pub(super) fn note(
    db: &Connection,
    number: i64,
    change: MessageKind,
    time: ChangeTime,
) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO alert_log (moment_us, alert, change) SELECT ?2, id, ?3 FROM alert WHERE number = ?1
         ON CONFLICT DO UPDATE SET change = excluded.change",
    )?;
    insert.execute((number, time.moment_us, change.as_str()))?;
    let mut update = db.prepare_cached("UPDATE alert SET changed_us = ?2 WHERE number = ?1")?;
    update.execute((number, time.moment_us))?;
    Ok(())
}
