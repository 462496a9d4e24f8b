//! What an answer lacks of a source's events: those that are not searchable yet, and those whose bodies are damaged.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension as _};

use super::error::StoreError;
use super::handle::Store;
use super::imports;
use super::reading::is_damage;
use crate::clock::from_micros;
use crate::position::{Seq, Source, Window};

impl Store {
    /// The earliest moment in `[since, before)` at which one of a source's events after a place stands. An event without a time
    /// stands where it was received.
    ///
    /// # Errors
    /// What the database says.
    pub fn earliest_after(
        &self,
        source: &Source,
        seq: Seq,
        (since, before): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT min(coalesce(time_us, received_us)) FROM event
                 WHERE seq > ?1 AND source = (SELECT id FROM source WHERE name = ?2)
                   AND coalesce(time_us, received_us) >= ?3 AND coalesce(time_us, received_us) < ?4",
            )?;
            let found: Option<i64> = ask.query_row(
                (
                    seq.0,
                    source.to_string(),
                    since.timestamp_micros(),
                    before.timestamp_micros(),
                ),
                |row| row.get(0),
            )?;
            Ok(found.map(from_micros))
        })
    }

    /// The seconds in `[since, before)` that have a source's damaged events, and the places of those damaged events whose rows do
    /// not tell their source or their time.
    ///
    /// # Errors
    /// What the database says.
    pub fn damaged_in(
        &self,
        source: &Source,
        (since, before): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<(Vec<Window>, Vec<Seq>), StoreError> {
        let seen = self.0.damage_seen.places();
        self.ask(|db| {
            let mut known = db.prepare_cached(
                "SELECT DISTINCT at_us FROM damaged
                 WHERE source = (SELECT id FROM source WHERE name = ?1) AND at_us >= ?2 AND at_us < ?3",
            )?;
            // A second that begins before may reach into it.
            let since = since.timestamp_micros() - 1_000_000;
            let asked = (source.to_string(), since, before.timestamp_micros());
            let known = known.query_map(asked, |row| row.get::<_, i64>(0))?;
            let mut stretches = Vec::new();
            for at in known {
                let at = at?;
                stretches.push(seconds(at, at));
            }
            let mut unknown = db.prepare_cached("SELECT seq FROM damaged WHERE source IS NULL")?;
            let unknown = unknown.query_map([], |row| row.get::<_, u64>(0))?;
            let mut places = unknown.collect::<Result<Vec<_>, _>>()?;
            places.extend(seen.iter().map(|seq| seq.0));
            places.sort_unstable();
            places.dedup();
            let mut unknown = Vec::new();
            for place in places {
                match stands(db, place, "seq = ?1")? {
                    Some((owner, received, time)) if owner == source.to_string() => {
                        let time = time.unwrap_or(received);
                        stretches.push(seconds(time, time));
                    }
                    Some(_) => {}
                    None => unknown.push(Seq(place)),
                }
            }
            Ok((stretches, unknown))
        })
    }

    /// When the first readable event after a place was received; `None` if there is none.
    ///
    /// # Errors
    /// What the database says.
    pub fn received_after(&self, place: Seq) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.ask(|db| {
            let later = stands(db, place.0, "seq > ?1 ORDER BY seq LIMIT 1")?;
            Ok(later.map(|(_, received, _)| from_micros(received)))
        })
    }

    /// The source of an event whose row is lost, or cannot be read, and the time in which it happened, by the rows beside it: it
    /// was between them if they came with one page of one source, whose entries are in order. Those of a file are not.
    ///
    /// # Errors
    /// What the database says.
    pub fn between_neighbours(&self, place: Seq) -> Result<Option<(String, Window)>, StoreError> {
        self.ask(|db| {
            if imports::is_imported(db, place)? {
                return Ok(None);
            }
            let earlier = stands(db, place.0, "seq < ?1 ORDER BY seq DESC LIMIT 1")?;
            let later = stands(db, place.0, "seq > ?1 ORDER BY seq LIMIT 1")?;
            let (Some((owner, received, Some(one))), Some((other, received_later, Some(two)))) =
                (earlier, later)
            else {
                return Ok(None);
            };
            let is_one_page = owner == other && received == received_later;
            Ok(is_one_page.then(|| (owner, seconds(one.min(two), one.max(two)))))
        })
    }
}

/// The source's name, when it was received and when it happened.
type Stands = (String, i64, Option<i64>);

/// The whole seconds from one time to another, both included.
fn seconds(first: i64, last: i64) -> Window {
    let last = from_micros(last) + TimeDelta::seconds(1);
    Window::new(from_micros(first), last)
}

/// What the first readable row says that a condition finds.
fn stands(db: &Connection, place: u64, found_by: &str) -> Result<Option<Stands>, StoreError> {
    let mut ask = db.prepare_cached(&format!(
        "SELECT (SELECT name FROM source WHERE id = event.source), received_us, time_us FROM event WHERE {found_by}"
    ))?;
    let found = ask.query_row([place], |row| {
        let owner: Option<String> = row.get(0)?;
        Ok(match owner {
            Some(owner) => Some((owner, row.get(1)?, row.get(2)?)),
            None => None,
        })
    });
    match found.optional() {
        Ok(found) => Ok(found.flatten()),
        Err(error) if is_damage(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
