//! Entries from files: kept by the same rules as those of a page, but in no window, because a file proves no coverage.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _};

use super::error::StoreError;
use super::handle::Store;
use super::writing::{Appended, EventWriter, WriteResult};
use super::{sources, steps};
use crate::event::{Arrival, Identity};
use crate::position::{Seq, Source};
use crate::sync::lock;

/// An entry from a file, ready to be kept.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The log it belongs to.
    pub source: Source,
    /// What that log is called, if the entry says so.
    pub label: Option<String>,
    /// The entry.
    pub arrival: Arrival,
}

impl Imported {
    /// Whether it was made from a line of Logpush without an id: then it cannot be known among the API's entries.
    #[must_use]
    pub fn is_logpush_without_id(&self) -> bool {
        self.arrival.from_logpush && matches!(self.arrival.identity, Identity::Content(_))
    }
}

impl Store {
    /// Begins with a file. Of equal entries without an id, as many are kept as one file shows: the count is of this file,
    /// and as its entries come from the start again after a crash, it need not outlive one.
    ///
    /// # Errors
    /// What the database says.
    pub fn begin_import(&self) -> Result<(), StoreError> {
        Ok(lock(&self.0.writer).execute_batch(
            "CREATE TEMP TABLE IF NOT EXISTS import_twin (
                 source    INTEGER NOT NULL,
                 identity  BLOB NOT NULL,
                 shown     INTEGER NOT NULL,
                 PRIMARY KEY (source, identity)
             ) STRICT, WITHOUT ROWID;
             DELETE FROM import_twin;",
        )?)
    }

    /// Keeps a file's next entries, all or nothing, each source's in their order; then announces the new head. Call
    /// [`Store::begin_import`] first. A source that was never written down is.
    ///
    /// # Errors
    /// What the database says.
    pub fn import(&self, entries: &[Imported], now: DateTime<Utc>) -> Result<Appended, StoreError> {
        let _packing = self.0.bodies.packing();
        // Outside the lock: questions are answered meanwhile.
        let bodies = entries.iter().map(|entry| entry.arrival.body.get());
        let packed = self.0.bodies.pack(bodies)?;
        let mut by_source: BTreeMap<&Source, Vec<_>> = BTreeMap::new();
        for (entry, packed) in entries.iter().zip(&packed) {
            let of_source = by_source.entry(&entry.source).or_default();
            of_source.push((entry, packed));
        }
        self.write(steps::APPEND_IMPORT, now, |db, held, head| {
            let mut total = WriteResult {
                appended: Appended::default(),
                head,
                to_put_back: Vec::new(),
            };
            for (&source, entries) in &by_source {
                let label = entries.iter().find_map(|(entry, _)| entry.label.as_deref());
                sources::mention(db, source, label, now)?;
                let source = sources::number(db, source)?;
                let mut writing = EventWriter::new(self, (db, held), source, total.head, now);
                writing.is_history = true;
                for (entry, packed) in entries {
                    let twin = match &entry.arrival.identity {
                        Identity::Id(_) => 1,
                        Identity::Content(hash) => count_twin(db, source, hash)?,
                    };
                    writing.keep(&entry.arrival, packed, twin)?;
                }
                total.add(writing.finish()?);
            }
            note_imported(db, head, total.head)?;
            Ok(total)
        })
    }
}

/// Writes down that the events after `before` up to `last` came from a file.
fn note_imported(db: &Connection, before: Seq, last: Seq) -> Result<(), StoreError> {
    if last == before {
        return Ok(());
    }
    let longer = db
        .prepare_cached("UPDATE imported SET last_seq = ?2 WHERE last_seq = ?1")?
        .execute((before.0, last.0))?;
    if longer == 0 {
        db.prepare_cached("INSERT INTO imported (first_seq, last_seq) VALUES (?1, ?2)")?
            .execute((before.next().0, last.0))?;
    }
    Ok(())
}

/// Whether an event came from a file, or may have.
pub(super) fn is_imported(db: &Connection, place: Seq) -> Result<bool, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT last_seq >= ?1 FROM imported WHERE first_seq <= ?1 ORDER BY first_seq DESC LIMIT 1",
    )?;
    let found = ask.query_row([place.0], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(false))
}

/// Counts an entry without an id that the file shows; says how many equal ones it has shown with this.
fn count_twin(db: &Connection, source: i64, identity: &[u8]) -> Result<u32, StoreError> {
    let mut count = db.prepare_cached(
        "INSERT INTO import_twin (source, identity, shown) VALUES (?1, ?2, 1)
         ON CONFLICT (source, identity) DO UPDATE SET shown = shown + 1 RETURNING shown",
    )?;
    Ok(count.query_row((source, identity), |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::clock::from_micros;
    use crate::durable::Failpoints;

    fn imported(source: &str, entry: &str, from_logpush: bool) -> Imported {
        let body = RawValue::from_string(entry.to_owned()).unwrap();
        Imported {
            source: source.parse().unwrap(),
            label: None,
            arrival: Arrival {
                from_logpush,
                ..Arrival::read(body)
            },
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        (dir, store)
    }

    /// One whole file: (new, revisions, held).
    fn import(store: &Store, entries: &[Imported]) -> (usize, usize, usize) {
        store.begin_import().unwrap();
        let appended = store.import(entries, from_micros(0)).unwrap();
        (appended.new, appended.revisions, appended.held)
    }

    #[test]
    fn sources_are_kept_apart_and_written_down() {
        let (_dir, store) = store();
        let (a, b) = ("accounts/a", "organizations/b");
        let file = [
            imported(a, r#"{"id":"1"}"#, false),
            imported(b, r#"{"id":"1"}"#, false),
            imported(a, r#"{"id":"2"}"#, false),
        ];
        assert_eq!(import(&store, &file), (3, 0, 0));
        assert_eq!(import(&store, &file), (0, 0, 3));
        let held: Vec<(String, u64)> = store
            .sources()
            .unwrap()
            .into_iter()
            .map(|row| (row.source.to_string(), row.events))
            .collect();
        assert_eq!(held, [(a.to_owned(), 2), (b.to_owned(), 1)]);
        assert_eq!(store.head(), Seq(3));
    }

    #[test]
    fn what_logpush_says_adds_nothing_to_what_the_api_sent() {
        let (_dir, store) = store();
        let api = imported("accounts/a", r#"{"id":"1","by":"api"}"#, false);
        let line = imported("accounts/a", r#"{"id":"1","by":"line"}"#, true);
        let other_line = imported("accounts/a", r#"{"id":"1","by":"other"}"#, true);

        // Among lines the rule is the usual one, and the API's bytes are always kept.
        assert_eq!(import(&store, &[line.clone(), line.clone()]), (1, 0, 1));
        assert_eq!(import(&store, std::slice::from_ref(&other_line)), (1, 1, 0));
        assert_eq!(import(&store, std::slice::from_ref(&api)), (1, 1, 0));

        let third_line = imported("accounts/a", r#"{"id":"1","by":"third"}"#, true);
        assert_eq!(import(&store, &[line, other_line, third_line]), (0, 0, 3));
        assert_eq!(import(&store, &[api]), (0, 0, 1));
    }

    #[test]
    fn of_equal_entries_without_an_id_as_many_are_kept_as_one_file_showed() {
        let (_dir, store) = store();
        let entry = imported("accounts/a", r#"{"x":1}"#, false);
        let twice = [entry.clone(), entry.clone()];
        assert_eq!(import(&store, &twice), (2, 0, 0));
        assert_eq!(import(&store, &twice), (0, 0, 2));

        // One file in two batches.
        store.begin_import().unwrap();
        assert_eq!(store.import(&twice, from_micros(0)).unwrap().new, 0);
        assert_eq!(store.import(&twice, from_micros(0)).unwrap().new, 2);
    }
}
