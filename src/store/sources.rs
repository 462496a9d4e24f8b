//! The sources ever followed.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{Store, StoreError, people};
use crate::clock::from_micros;
use crate::durable::Step;
use crate::position::Source;

/// A source as it was just seen: in the configuration, or in an organization's list of accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSeen {
    /// Which.
    pub source: Source,
    /// The id of the organization that lists it.
    pub organization: Option<String>,
    /// What upstream calls it, if it said so.
    pub label: Option<String>,
    /// When upstream says that the account was made.
    pub created_at: Option<DateTime<Utc>>,
}

/// A source as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// Which.
    pub source: Source,
    /// The id of the organization that lists or listed it.
    pub organization: Option<String>,
    /// What upstream calls it.
    pub label: Option<String>,
    /// When it was first seen.
    pub first_seen_at: DateTime<Utc>,
    /// When upstream says that the account was made.
    pub created_at: Option<DateTime<Utc>>,
    /// When its organization no longer listed it.
    pub left_at: Option<DateTime<Utc>>,
    /// When the latest of its events happened.
    pub newest_event: Option<DateTime<Utc>>,
    /// How many of its events are held, revisions included.
    pub events: u64,
}

impl Store {
    /// Writes down sources that were seen now.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_sources(&self, seen: &[SourceSeen], now: DateTime<Utc>) -> Result<(), StoreError> {
        self.change(Step::SaveSources, |db| {
            seen.iter().try_for_each(|seen| save(db, seen, now))
        })
    }

    /// Writes down an organization's whole list of accounts: those that it no longer has are marked as left.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_accounts(
        &self,
        organization: &str,
        listed: &[SourceSeen],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.change(Step::SaveSources, |db| {
            let mut mark = db.prepare_cached(
                "UPDATE source SET left_us = coalesce(left_us, :now)
                 WHERE organization = :organization AND name LIKE 'accounts/%'",
            )?;
            mark.execute(
                named_params! { ":now": now.timestamp_micros(), ":organization": organization },
            )?;
            // Whoever is listed has not left: `save` takes the mark off again.
            listed.iter().try_for_each(|seen| save(db, seen, now))
        })
    }

    /// All sources, in the order of their names.
    ///
    /// # Errors
    /// What the database says.
    pub fn sources(&self) -> Result<Vec<SourceRow>, StoreError> {
        self.ask(|db| {
            let mut rows = db.prepare_cached(
                "SELECT name, organization, label, first_seen_us, left_us, newest_us, events, created_us FROM source ORDER BY name",
            )?;
            let rows = rows.query_map([], source_row)?;
            rows.map(|row| Ok(row?)).collect()
        })
    }
}

fn save(db: &Connection, seen: &SourceSeen, now: DateTime<Utc>) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO source (name, organization, label, first_seen_us, created_us)
         VALUES (:name, :organization, :label, :now, :created)
         ON CONFLICT (name) DO UPDATE SET
             created_us = coalesce(excluded.created_us, created_us),
             organization = coalesce(excluded.organization, organization),
             label = coalesce(excluded.label, label),
             left_us = NULL",
    )?;
    insert.execute(named_params! {
        ":name": seen.source.to_string(),
        ":organization": seen.organization,
        ":label": seen.label,
        ":created": seen.created_at.map(|at| at.timestamp_micros()),
        ":now": now.timestamp_micros(),
    })?;
    match &seen.label {
        Some(label) => people::note_label(db, &seen.source, label, now),
        None => Ok(()),
    }
}

/// Writes a source down that was only heard of, in a file; one that is written down stays as it is.
pub(super) fn mention(
    db: &Connection,
    source: &Source,
    label: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO source (name, label, first_seen_us) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING",
    )?;
    insert.execute((source.to_string(), label, now.timestamp_micros()))?;
    Ok(())
}

fn source_row(row: &Row<'_>) -> rusqlite::Result<SourceRow> {
    Ok(SourceRow {
        source: parse(&row.get::<_, String>(0)?)?,
        organization: row.get(1)?,
        label: row.get(2)?,
        first_seen_at: from_micros(row.get(3)?),
        left_at: row.get::<_, Option<i64>>(4)?.map(from_micros),
        newest_event: row.get::<_, Option<i64>>(5)?.map(from_micros),
        events: row.get(6)?,
        created_at: row.get::<_, Option<i64>>(7)?.map(from_micros),
    })
}

/// Counts new events of a source, the latest of which happened at `newest_us`.
pub(super) fn count_events(
    db: &Connection,
    source: i64,
    new: usize,
    newest_us: Option<i64>,
) -> Result<(), StoreError> {
    let mut count = db.prepare_cached(
        "UPDATE source SET events = events + :new, newest_us = max(coalesce(newest_us, :newest), coalesce(:newest, newest_us))
         WHERE id = :source",
    )?;
    count.execute(named_params! { ":source": source, ":new": new, ":newest": newest_us })?;
    Ok(())
}

/// The number of a source that was written down.
pub(super) fn number(db: &Connection, source: &Source) -> Result<i64, StoreError> {
    let mut ask = db.prepare_cached("SELECT id FROM source WHERE name = ?1")?;
    let found = ask
        .query_row([source.to_string()], |row| row.get(0))
        .optional()?;
    found.ok_or_else(|| StoreError::Damaged(format!("the source {source} is not written down")))
}

/// A source's name as it was written down.
pub(super) fn parse(name: &str) -> rusqlite::Result<Source> {
    name.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            0,
            rusqlite::types::Type::Text,
            Box::<crate::position::BadSource>::new(error),
        )
    })
}
