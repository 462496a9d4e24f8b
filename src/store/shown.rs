//! What an answer lacks of a source's events: those that are not searchable yet, and those whose bodies are damaged.

use chrono::{DateTime, Utc};
use rusqlite::OptionalExtension as _;

use super::error::StoreError;
use super::handle::Store;
use super::reading::is_damage;
use crate::clock::from_micros;
use crate::position::{Seq, Source};

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

    /// The moments at which a source's events stand that are known to be damaged. A row that cannot be read has none.
    ///
    /// # Errors
    /// What the database says.
    pub fn damaged_at(&self, source: &Source) -> Result<Vec<DateTime<Utc>>, StoreError> {
        let seen = self.0.damage_seen.places();
        self.ask(|db| {
            let mut written = db.prepare_cached("SELECT seq FROM damaged")?;
            let written = written.query_map([], |row| row.get::<_, u64>(0))?;
            let mut places = written.collect::<Result<Vec<_>, _>>()?;
            places.extend(seen.iter().map(|seq| seq.0));
            let mut ask = db.prepare_cached(
                "SELECT coalesce(time_us, received_us) FROM event
                 WHERE seq = ?1 AND source = (SELECT id FROM source WHERE name = ?2)",
            )?;
            let mut moments = Vec::new();
            for place in places {
                let found = ask.query_row((place, source.to_string()), |row| row.get(0));
                match found.optional() {
                    Ok(found) => moments.extend(found.map(from_micros)),
                    Err(error) if is_damage(&error) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            moments.sort_unstable();
            moments.dedup();
            Ok(moments)
        })
    }
}
