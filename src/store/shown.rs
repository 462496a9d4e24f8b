//! What an answer lacks of a source's events: those that are not searchable yet, and those whose bodies are damaged.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension as _};

use super::error::StoreError;
use super::handle::Store;
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

    /// The stretches that have a source's damaged events, the earliest first, and the places of those damaged events whose
    /// source or time is not known. A row that is lost, or cannot be read, was between its neighbours if they came with one page
    /// of one source, whose entries are in order.
    ///
    /// # Errors
    /// What the database says.
    pub fn damaged_in(&self, source: &Source) -> Result<(Vec<Window>, Vec<Seq>), StoreError> {
        let seen = self.0.damage_seen.places();
        self.ask(|db| {
            let mut written = db.prepare_cached("SELECT seq FROM damaged")?;
            let written = written.query_map([], |row| row.get::<_, u64>(0))?;
            let mut places = written.collect::<Result<Vec<_>, _>>()?;
            places.extend(seen.iter().map(|seq| seq.0));
            places.sort_unstable();
            places.dedup();
            let (mut stretches, mut unknown) = (Vec::new(), Vec::new());
            for place in places {
                match stands_in(db, place)? {
                    Some((owner, stretch)) if owner == source.to_string() => {
                        stretches.push(stretch);
                    }
                    Some(_) => {}
                    None => unknown.push(Seq(place)),
                }
            }
            stretches.sort_unstable_by_key(|stretch| (stretch.since, stretch.before));
            stretches.dedup();
            Ok((stretches, unknown))
        })
    }
}

/// The source's name, when it was received and when it happened.
type Stands = (String, i64, Option<i64>);

/// Whose a damaged event is, and the seconds in which it happened, as far as its row or its neighbours tell.
fn stands_in(db: &Connection, place: u64) -> Result<Option<(String, Window)>, StoreError> {
    let seconds = |first: i64, last: i64| {
        let last = from_micros(last) + TimeDelta::seconds(1);
        Window::new(from_micros(first), last)
    };
    if let Some((owner, received, time)) = stands(db, place, "seq = ?1")? {
        let time = time.unwrap_or(received);
        return Ok(Some((owner, seconds(time, time))));
    }
    let earlier = stands(db, place, "seq < ?1 ORDER BY seq DESC LIMIT 1")?;
    let later = stands(db, place, "seq > ?1 ORDER BY seq LIMIT 1")?;
    let (Some((owner, received, Some(one))), Some((other, received_later, Some(two)))) =
        (earlier, later)
    else {
        return Ok(None);
    };
    let is_one_page = owner == other && received == received_later;
    Ok(is_one_page.then(|| (owner, seconds(one.min(two), one.max(two)))))
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
