//! Alerts read back: one, or a page of them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::codec::{json, state_of};
use crate::alert::{Alert, AlertChange, AlertId, AlertState, Level, RuleName};
use crate::clock::from_micros;
use crate::position::{Seq, Source};
use crate::store::error::StoreError;
use crate::store::handle::Store;

/// The most events that an alert has in a list.
const MAX_LISTED_EVENTS: usize = 100;

/// Who reads. An alert that is about a source that the reader may not see, or of a rule that reads bodies that it may not see,
/// does not exist for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertReader {
    /// The sources that it may see; `None`: all.
    pub sources: Option<Vec<Source>>,
    /// Whether it may see bodies.
    pub bodies: bool,
}

impl AlertReader {
    /// One that may see everything.
    #[must_use]
    pub fn of_everything() -> Self {
        Self {
            sources: None,
            bodies: true,
        }
    }
}

/// Which alerts a list has; `None` and empty lists do not limit it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Of these rules, by id.
    pub rules: Vec<String>,
    /// Of these levels.
    pub levels: Vec<Level>,
    /// In these states.
    pub states: Vec<AlertState>,
    /// With an event at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// With an event before this time.
    pub before: Option<DateTime<Utc>>,
}

impl AlertFilter {
    /// Whether a list with this filter has an alert.
    #[must_use]
    pub fn has(&self, alert: &Alert) -> bool {
        let is_wanted = |is_any: bool, is_among: bool| is_any || is_among;
        is_wanted(self.rules.is_empty(), self.rules.contains(&alert.rule.id))
            && is_wanted(
                self.levels.is_empty(),
                self.levels.contains(&alert.rule.level),
            )
            && is_wanted(self.states.is_empty(), self.states.contains(&alert.state))
            && self.since.is_none_or(|since| alert.last_time >= since)
            && self.before.is_none_or(|before| alert.first_time < before)
    }
}

/// Where a page of alerts goes on: after the alert that was raised then and has this id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertCursor {
    /// When it was raised, in microseconds since 1970.
    pub raised_us: i64,
    /// Its id.
    pub id: AlertId,
}

impl Store {
    /// An alert with all its events; `None` when there is none for that reader.
    ///
    /// # Errors
    /// What the database says.
    pub fn alert(&self, id: &AlertId, reader: &AlertReader) -> Result<Option<Alert>, StoreError> {
        self.ask(|db| {
            let number = visible_number(db, id, reader)?;
            number.map(|number| whole(db, number)).transpose()
        })
    }

    /// At most `limit` alerts, the ones raised last first, after `cursor`.
    ///
    /// # Errors
    /// What the database says.
    pub fn alerts(
        &self,
        filter: &AlertFilter,
        reader: &AlertReader,
        cursor: Option<&AlertCursor>,
        limit: usize,
    ) -> Result<Vec<Alert>, StoreError> {
        self.ask(|db| {
            let numbers = numbers(db, filter, reader, cursor, limit)?;
            let alerts = numbers.into_iter().map(|number| listed(db, number));
            alerts.collect()
        })
    }

    /// At most `limit` alerts, the ones raised last first, and when each was last changed.
    ///
    /// # Errors
    /// What the database says.
    pub fn alerts_with_changes(
        &self,
        filter: &AlertFilter,
        reader: &AlertReader,
        limit: usize,
    ) -> Result<Vec<(Alert, DateTime<Utc>)>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached("SELECT changed_us FROM alert WHERE number = ?1")?;
            let mut alerts = Vec::new();
            for number in numbers(db, filter, reader, None, limit)? {
                let changed = ask.query_row([number], |row| row.get(0))?;
                alerts.push((listed(db, number)?, from_micros(changed)));
            }
            Ok(alerts)
        })
    }
}

/// The numbers of a page of alerts.
fn numbers(
    db: &Connection,
    filter: &AlertFilter,
    reader: &AlertReader,
    cursor: Option<&AlertCursor>,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let mut ask = db.prepare_cached(&format!(
            "SELECT number FROM alert
             WHERE {VISIBLE}
                 AND (:rules = '[]' OR rule_id IN (SELECT value FROM json_each(:rules)))
                 AND (:levels = '[]' OR level IN (SELECT value FROM json_each(:levels)))
                 AND (:states = '[]' OR state IN (SELECT value FROM json_each(:states)))
                 AND (:since IS NULL OR last_us >= :since) AND (:before IS NULL OR first_us < :before)
                 AND (:raised IS NULL OR (raised_us, id) < (:raised, :id))
             ORDER BY raised_us DESC, id DESC LIMIT :limit"
        ))?;
    let numbers = ask.query_map(
        named_params! {
            ":sources": sources_of(reader)?,
            ":bodies": reader.bodies,
            ":rules": json(&filter.rules)?,
            ":levels": json(&filter.levels)?,
            ":states": json(&filter.states)?,
            ":since": filter.since.map(|at| at.timestamp_micros()),
            ":before": filter.before.map(|at| at.timestamp_micros()),
            ":raised": cursor.map(|cursor| cursor.raised_us),
            ":id": cursor.map(|cursor| &cursor.id.0),
            ":limit": limit,
        },
        |row| row.get(0),
    )?;
    Ok(numbers.collect::<Result<_, _>>()?)
}

impl Store {
    /// How many alerts of each rule, by its id, were raised from `since` on and not retracted.
    ///
    /// # Errors
    /// What the database says.
    pub fn alerts_by_rule(
        &self,
        since: DateTime<Utc>,
        reader: &AlertReader,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(&format!(
                "SELECT rule_id, count(*) FROM alert
                 WHERE raised_us >= :since AND state <> 'retracted' AND {VISIBLE} GROUP BY rule_id"
            ))?;
            let counts = ask.query_map(
                named_params! {
                    ":since": since.timestamp_micros(),
                    ":sources": sources_of(reader)?,
                    ":bodies": reader.bodies,
                },
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            Ok(counts.collect::<Result<_, _>>()?)
        })
    }
}

/// Whether an alert exists for a reader: `:sources` is a JSON array of their names, or NULL for all. One of which no source is known
/// exists for those that may see all.
pub(super) const VISIBLE: &str = "(:bodies OR NOT reads_bodies)
    AND (:sources IS NULL OR (
        EXISTS (SELECT 1 FROM alert_source WHERE alert = alert.number)
        AND NOT EXISTS (
            SELECT 1 FROM alert_source
            WHERE alert = alert.number AND source NOT IN (SELECT value FROM json_each(:sources)))))";

pub(super) fn sources_of(reader: &AlertReader) -> Result<Option<String>, StoreError> {
    let names = reader.sources.as_ref().map(|sources| {
        let names = sources.iter().map(Source::to_string);
        names.collect::<Vec<_>>()
    });
    names.map(|names| json(&names)).transpose()
}

/// The number of an alert, if it exists for a reader.
pub(super) fn visible_number(
    db: &Connection,
    id: &AlertId,
    reader: &AlertReader,
) -> Result<Option<i64>, StoreError> {
    let mut ask = db.prepare_cached(&format!(
        "SELECT number FROM alert WHERE id = :id AND {VISIBLE}"
    ))?;
    let found = ask.query_row(
        named_params! {
            ":id": id.0,
            ":sources": sources_of(reader)?,
            ":bodies": reader.bodies,
        },
        |row| row.get(0),
    );
    Ok(found.optional()?)
}

/// An alert with all its events.
pub(super) fn whole(db: &Connection, number: i64) -> Result<Alert, StoreError> {
    read(db, number, usize::MAX)
}

/// An alert with the first of its events.
pub(super) fn listed(db: &Connection, number: i64) -> Result<Alert, StoreError> {
    read(db, number, MAX_LISTED_EVENTS)
}

fn read(db: &Connection, number: i64, max_events: usize) -> Result<Alert, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT id, rule_id, title, level, tags, grouped_by, state, first_us, last_us, raised_us, late_s, events, summary, assignee
         FROM alert WHERE number = ?1",
    )?;
    let mut rows = ask.query([number])?;
    let Some(row) = rows.next()? else {
        return Err(StoreError::Damaged(format!("alert {number} is missing")));
    };
    let mut alert = alert_of(row)?;
    let mut ask = db.prepare_cached(
        "SELECT seq FROM alert_event WHERE alert = ?1 ORDER BY time_us, seq LIMIT ?2",
    )?;
    let limit = i64::try_from(max_events).unwrap_or(-1);
    let events = ask.query_map((number, limit), |row| Ok(Seq(row.get(0)?)))?;
    alert.events = events.collect::<Result<_, _>>()?;
    alert.history = history(db, number)?;
    Ok(alert)
}

fn alert_of(row: &Row<'_>) -> Result<Alert, StoreError> {
    let level: String = row.get(3)?;
    let level = Level::by_name(&level)
        .ok_or_else(|| StoreError::Damaged(format!("an alert has the unknown level `{level}`")));
    Ok(Alert {
        id: AlertId(row.get(0)?),
        rule: RuleName {
            id: row.get(1)?,
            title: row.get(2)?,
            level: level?,
            tags: parsed(&row.get::<_, String>(4)?)?,
        },
        group: parsed(&row.get::<_, String>(5)?)?,
        state: state_of(&row.get::<_, String>(6)?)?,
        first_time: from_micros(row.get(7)?),
        last_time: from_micros(row.get(8)?),
        raised_at: from_micros(row.get(9)?),
        late_by_seconds: row.get(10)?,
        events: Vec::new(),
        events_total: row.get(11)?,
        summary: row.get(12)?,
        assignee: row.get(13)?,
        history: Vec::new(),
    })
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Damaged(format!("an alert cannot be read: {error}")))
}

fn history(db: &Connection, number: i64) -> Result<Vec<AlertChange>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT at_us, who, state, reason, assignee FROM alert_change WHERE alert = ?1 ORDER BY number",
    )?;
    let mut rows = ask.query([number])?;
    let mut history = Vec::new();
    while let Some(row) = rows.next()? {
        history.push(AlertChange {
            at: from_micros(row.get(0)?),
            who: row.get(1)?,
            state: state_of(&row.get::<_, String>(2)?)?,
            reason: row.get(3)?,
            assignee: row.get(4)?,
        });
    }
    Ok(history)
}
