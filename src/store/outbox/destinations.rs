//! Destinations as the outbox knows them: what each one takes, and how sending to it goes.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, named_params};

use super::message::json;
use super::pattern::fits;
use crate::alert::{Alert, Level};
use crate::clock::from_micros;
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::steps;

/// What a destination takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Its name in the configuration.
    pub name: String,
    /// Alerts of this level and above.
    pub level: Level,
    /// The ids of its rules, with wildcards; empty: all.
    pub rules: Vec<String>,
    /// Whether it takes history, too.
    pub history: bool,
}

impl Destination {
    /// Whether it takes an alert.
    #[must_use]
    pub fn takes(&self, alert: &Alert, is_history: bool) -> bool {
        let mut patterns = self.rules.iter();
        let is_named = self.rules.is_empty() || patterns.any(|one| fits(one, &alert.rule.id));
        is_named && alert.rule.level >= self.level && (self.history || !is_history)
    }
}

/// How sending to a destination goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationState {
    /// Its name in the configuration.
    pub name: String,
    /// Whether it is in the configuration that the service used last.
    pub active: bool,
    /// How many messages wait.
    pub pending: u64,
    /// When the one that has waited longest began to wait.
    pub waiting_since: Option<DateTime<Utc>>,
    /// How many messages were given up.
    pub given_up: u64,
    /// How many attempts failed in a row.
    pub failures: u32,
    /// When the first of them began.
    pub failing_since: Option<DateTime<Utc>>,
    /// Why the last attempt failed; `None` after a success.
    pub error: Option<String>,
    /// When a message was last accepted.
    pub accepted_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Saves the destinations of the configuration. Those that it no longer has get no further messages.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_destinations(&self, destinations: &[Destination]) -> Result<(), StoreError> {
        self.change(steps::SAVE_DESTINATIONS, |db| {
            db.execute("UPDATE destination SET active = 0", [])?;
            for destination in destinations {
                save(db, destination)?;
            }
            Ok(())
        })
    }

    /// How sending to each destination goes, those of the configuration first.
    ///
    /// # Errors
    /// What the database says.
    pub fn destinations(&self) -> Result<Vec<DestinationState>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT name, active, failures, failing_us, error,
                        (SELECT count(*) FROM delivery WHERE destination = id AND state = 'pending'),
                        (SELECT min(queued_us) FROM delivery WHERE destination = id AND state = 'pending'),
                        (SELECT count(*) FROM delivery WHERE destination = id AND state = 'given_up'),
                        (SELECT max(done_us) FROM delivery WHERE destination = id AND state = 'accepted')
                 FROM destination ORDER BY active DESC, id",
            )?;
            let rows = ask.query_map([], |row| {
                let time = |column: usize| -> rusqlite::Result<Option<DateTime<Utc>>> {
                    Ok(row.get::<_, Option<i64>>(column)?.map(from_micros))
                };
                Ok(DestinationState {
                    name: row.get(0)?,
                    active: row.get(1)?,
                    failures: row.get(2)?,
                    failing_since: time(3)?,
                    error: row.get(4)?,
                    pending: row.get(5)?,
                    waiting_since: time(6)?,
                    given_up: row.get(7)?,
                    accepted_at: time(8)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// When the message that has waited longest at any destination of the configuration began to wait.
    ///
    /// # Errors
    /// What the database says.
    pub fn waiting_since(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT min(d.queued_us) FROM destination JOIN delivery d ON d.destination = destination.id
                 WHERE destination.active = 1 AND d.state = 'pending'",
            )?;
            let since: Option<i64> = ask.query_row([], |row| row.get(0))?;
            Ok(since.map(from_micros))
        })
    }
}

fn save(db: &Connection, destination: &Destination) -> Result<(), StoreError> {
    let mut save = db.prepare_cached(
        "INSERT INTO destination (name, level, rules, history, active) VALUES (:name, :level, :rules, :history, 1)
         ON CONFLICT (name) DO UPDATE SET level = :level, rules = :rules, history = :history, active = 1",
    )?;
    let level = Level::ALL
        .iter()
        .position(|level| *level == destination.level);
    save.execute(named_params! {
        ":name": destination.name,
        ":level": level.unwrap_or_default() as i64,
        ":rules": json(&destination.rules)?,
        ":history": destination.history,
    })?;
    Ok(())
}

/// The destinations of the configuration, by their numbers.
pub(super) fn active(db: &Connection) -> Result<Vec<(i64, Destination)>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT id, name, level, rules, history FROM destination WHERE active = 1 ORDER BY id",
    )?;
    let rows = ask.query_map([], |row| {
        let level: usize = row.get(2)?;
        let rules: String = row.get(3)?;
        let destination = Destination {
            name: row.get(1)?,
            level: Level::ALL.get(level).copied().unwrap_or(Level::Critical),
            // Only this module writes it.
            rules: serde_json::from_str(&rules).unwrap_or_default(),
            history: row.get(4)?,
        };
        Ok((row.get(0)?, destination))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
