//! Events read back, by their place.
//!
//! Whatever is damaged on disk, each place that the log has given out yields an event: what cannot be read is left out of it,
//! and its problem is [`DAMAGED`]. One whose body was erased has the problem [`ERASED`]. Who reads a page, an export or the next events to index is never stopped by one of them.

use std::cell::Cell;
use std::collections::HashSet;

use chrono::{DateTime, Utc};
use rusqlite::types::FromSql;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row};
use serde_json::value::RawValue;

use super::bodies::Unpacker;
use super::damage::Damage;
use super::error::StoreError;
use super::handle::{Store, newest_seq};
use super::{identity, sources};
use crate::clock::from_micros;
use crate::event::{AuditEvent, DAMAGED, ERASED, Reading, hex, sha256};
use crate::position::{Seq, Source};
use orgtrail_cloudflare::json::canonical;

/// The account id of events whose source cannot be read.
const UNKNOWN_SOURCE: &str = "unknown";

/// An event as it is stored, and what is wrong with it.
pub(super) struct StoredEvent {
    pub(super) event: AuditEvent,
    pub(super) damage: Option<Damage>,
}

impl Store {
    /// The event at a place; `None` when the log has not given that place out.
    ///
    /// # Errors
    /// What the database says.
    pub fn event(&self, seq: Seq) -> Result<Option<AuditEvent>, StoreError> {
        Ok(self.events(&[seq], usize::MAX)?.pop())
    }

    /// The events at some places, in that order, and at most about `max_bytes` of them (but at least one). A place
    /// that the log has not given out is left out.
    ///
    /// # Errors
    /// What the database says.
    pub fn events(&self, seqs: &[Seq], max_bytes: usize) -> Result<Vec<AuditEvent>, StoreError> {
        Ok(self.events_at(seqs, max_bytes, Ok)?.0)
    }

    /// As [`Store::events`], each as `shown` makes it, and of how many of the places these are. The bytes are counted of what is
    /// shown.
    ///
    /// # Errors
    /// What the database says.
    pub fn events_at(
        &self,
        seqs: &[Seq],
        max_bytes: usize,
        shown: impl Fn(AuditEvent) -> Result<AuditEvent, StoreError>,
    ) -> Result<(Vec<AuditEvent>, usize), StoreError> {
        let taken = Cell::new(0);
        let stored = self.ask(|db| {
            let mut newest = None;
            let rows = seqs.iter().filter_map(|seq| {
                taken.set(taken.get() + 1);
                row_at(db, *seq, &mut newest).transpose()
            });
            self.stored_of(rows, max_bytes, shown)
        })?;
        self.note_damage(&stored);
        let events = stored.into_iter().map(|stored| stored.event);
        Ok((events.collect(), taken.get()))
    }

    /// At most `limit` events after a place, in order and without a gap, and at most about `max_bytes` of them (but at
    /// least one).
    ///
    /// # Errors
    /// What the database says.
    pub fn events_after(
        &self,
        seq: Seq,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let stored = self.ask(|db| self.stored_after(db, seq, limit, max_bytes))?;
        self.note_damage(&stored);
        Ok(stored.into_iter().map(|stored| stored.event).collect())
    }

    /// The SHA-256 of the event at a place, as its row has it; `None` when that cannot be read.
    ///
    /// # Errors
    /// What the database says.
    pub fn hash_at(&self, seq: Seq) -> Result<Option<String>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached("SELECT sha256 FROM event WHERE seq = ?1")?;
            let found = ask.query_row([seq.0], |row| row.get::<_, [u8; 32]>(0));
            match found.optional() {
                Ok(hash) => Ok(hash.map(|hash| hex(&hash))),
                Err(error) if is_damage(&error) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// The events after a place as they are stored, as [`Store::events_after`] gives them.
    pub(super) fn stored_after(
        &self,
        db: &Connection,
        seq: Seq,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        match self.scan_after(db, seq, limit, max_bytes) {
            Ok(stored) if has_no_gap(&stored, seq) => return Ok(stored),
            // Place by place, what can be read is read.
            Ok(_) | Err(StoreError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
        let head = newest_seq(db)?;
        let last = seq.0.saturating_add(limit as u64).min(head.0);
        let mut newest = Some(head);
        let rows = (seq.0.saturating_add(1)..=last)
            .filter_map(|seq| row_at(db, Seq(seq), &mut newest).transpose());
        self.stored_of(rows, max_bytes, Ok)
    }

    fn scan_after(
        &self,
        db: &Connection,
        seq: Seq,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut ask = db.prepare_cached(&format!(
            "{} WHERE event.seq > ?1 ORDER BY event.seq LIMIT ?2",
            select("event.body")
        ))?;
        let rows = ask.query_map((seq.0, limit), |row| Ok(EventRow::read(row)))?;
        self.stored_of(rows.map(|row| Ok(row?)), max_bytes, Ok)
    }

    /// For each of these events that is a later revision: its place, and the place and order of the one before it.
    ///
    /// # Errors
    /// What the database says.
    pub fn replaced(&self, seqs: &[Seq]) -> Result<Vec<(Seq, Seq, DateTime<Utc>)>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT older.seq, coalesce(older.time_us, older.received_us)
                 FROM event JOIN event AS older ON older.source = event.source AND older.identity = event.identity
                     AND older.revision = event.revision - 1
                 WHERE event.seq = ?1",
            )?;
            let mut replaced = Vec::new();
            for seq in seqs {
                match ask.query_row([seq.0], |row| Ok((row.get(0)?, row.get(1)?))).optional() {
                    Ok(older) => {
                        replaced.extend(older.map(|(older, at_us)| (*seq, Seq(older), from_micros(at_us))));
                    }
                    // What it replaced is not known any more.
                    Err(error) if is_damage(&error) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(replaced)
        })
    }

    /// The events of some rows, as `shown` makes them.
    fn stored_of(
        &self,
        rows: impl Iterator<Item = Result<EventRow, StoreError>>,
        max_bytes: usize,
        shown: impl Fn(AuditEvent) -> Result<AuditEvent, StoreError>,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        // The snapshot begins with its first row: taken after it, the dictionaries are all that it can need.
        let mut rows = rows.peekable();
        rows.peek();
        let mut looked_for = HashSet::new();
        let mut found = Vec::new();
        let mut bytes = 0;
        'learned: loop {
            let decoders = self.0.bodies.decoders();
            let mut unpacker = Unpacker::new(&decoders);
            while bytes < max_bytes || found.is_empty() {
                // Another process may have trained a dictionary meanwhile.
                if let Some(Ok(row)) = rows.peek()
                    && !unpacker.knows(row.dictionary)
                    && looked_for.insert(row.dictionary)
                {
                    self.learn_dictionaries()?;
                    continue 'learned;
                }
                let Some(row) = rows.next() else {
                    return Ok(found);
                };
                let StoredEvent { event, damage } = stored_of_row(row?, &mut unpacker)?;
                let stored = StoredEvent {
                    event: shown(event)?,
                    damage,
                };
                bytes += stored.event.entry.get().len();
                found.push(stored);
            }
            return Ok(found);
        }
    }
}

/// Whether events follow `seq` one by one.
fn has_no_gap(stored: &[StoredEvent], seq: Seq) -> bool {
    let expected = seq.0.saturating_add(1)..;
    let mut found = stored.iter().zip(expected);
    found.all(|(stored, expected)| stored.event.seq.0 == expected)
}

/// Whether an error says that what is on disk is not what was written there.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error;

    let is_column = matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..)
    );
    is_column || error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
}

/// The SHA-256 in the row at a place, and whether its entry was made from a line of Logpush; `None` when the row cannot be read.
pub(super) fn hash_and_origin(
    db: &Connection,
    seq: Seq,
) -> Result<Option<([u8; 32], bool)>, StoreError> {
    let mut ask = db.prepare_cached("SELECT sha256, from_logpush FROM event WHERE seq = ?1")?;
    let read = ask.query_row([seq.0], |row| Ok((row.get(0)?, row.get(1)?)));
    match read.optional() {
        Ok(read) => Ok(read),
        Err(error) if is_damage(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the body at a place has this canonical form, or had it before it was erased. A body that cannot be read has not.
pub(super) fn has_form(
    db: &Connection,
    unpacker: &mut Unpacker<'_>,
    seq: Seq,
    form: &str,
) -> Result<bool, StoreError> {
    let mut ask =
        db.prepare_cached("SELECT dictionary, body, canonical_sha256 FROM event WHERE seq = ?1")?;
    let read = ask.query_row([seq.0], |row| {
        let erased: Option<Vec<u8>> = row.get(2)?;
        Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?, erased))
    });
    let (dictionary, body) = match read.optional() {
        Ok(Some((.., Some(hash)))) => return Ok(hash == sha256(form.as_bytes())),
        Ok(Some((dictionary, body, None))) => (dictionary, body),
        Ok(None) => return Ok(false),
        Err(error) if is_damage(&error) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    match unpacker.unpack(dictionary, &body) {
        Ok(body) => Ok(canonical(&String::from_utf8_lossy(&body)) == form),
        Err(StoreError::Damaged(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Events with the columns of an [`EventRow`], the last of which is `body`.
fn select(body: &str) -> String {
    format!(
        "SELECT event.seq, source.name, event.identity, event.revision, event.time_us, event.received_us, event.problem,
             event.sha256, event.dictionary, event.erased_us, {body}
         FROM event LEFT JOIN source ON source.id = event.source"
    )
}

/// The row at a place, as far as it can be read; `None` when the log has not given that place out. `newest` is the head, once
/// it was needed.
fn row_at(
    db: &Connection,
    seq: Seq,
    newest: &mut Option<Seq>,
) -> Result<Option<EventRow>, StoreError> {
    let mut is_unreadable = false;
    // A long body has pages of its own: where these are damaged, the other columns can still be read.
    for body in ["event.body", "NULL"] {
        let mut ask = db.prepare_cached(&format!("{} WHERE event.seq = ?1", select(body)))?;
        match ask
            .query_row([seq.0], |row| Ok(EventRow::read(row)))
            .optional()
        {
            Ok(Some(row)) => return Ok(Some(row)),
            Ok(None) => break,
            Err(error) if is_damage(&error) => is_unreadable = true,
            Err(error) => return Err(error.into()),
        }
    }
    let newest = match newest {
        Some(newest) => *newest,
        None => *newest.insert(newest_seq(db)?),
    };
    Ok(match is_unreadable {
        true => Some(EventRow::lost(seq, Damage::RowUnreadable)),
        false if seq > Seq::ZERO && seq <= newest => Some(EventRow::lost(seq, Damage::RowMissing)),
        false => None,
    })
}

/// A row of [`select`], as far as it can be read.
struct EventRow {
    seq: Seq,
    source: Option<Source>,
    identity: Vec<u8>,
    revision: u32,
    time_us: Option<i64>,
    received_us: i64,
    problem: Option<String>,
    sha256: Option<[u8; 32]>,
    dictionary: i64,
    is_erased: bool,
    body: Option<Vec<u8>>,
    damage: Option<Damage>,
}

impl EventRow {
    fn read(row: &Row<'_>) -> Self {
        let mut is_whole = true;
        let seq = column(row, 0, &mut is_whole);
        let source = column::<String>(row, 1, &mut is_whole);
        let source = source.and_then(|name| sources::parse(&name).ok());
        is_whole &= source.is_some();
        let read = Self {
            seq: Seq(seq.unwrap_or(0)),
            source,
            identity: column(row, 2, &mut is_whole).unwrap_or_default(),
            revision: column(row, 3, &mut is_whole).unwrap_or(0),
            time_us: column(row, 4, &mut is_whole).flatten(),
            received_us: column(row, 5, &mut is_whole).unwrap_or(0),
            problem: column(row, 6, &mut is_whole).flatten(),
            sha256: column(row, 7, &mut is_whole),
            dictionary: column(row, 8, &mut is_whole).unwrap_or(0),
            is_erased: column::<Option<i64>>(row, 9, &mut is_whole)
                .flatten()
                .is_some(),
            body: row.get(10).ok(),
            damage: None,
        };
        Self {
            damage: (!is_whole).then_some(Damage::RowUnreadable),
            ..read
        }
    }

    /// A row of which nothing is known but its place.
    fn lost(seq: Seq, damage: Damage) -> Self {
        Self {
            seq,
            source: None,
            identity: Vec::new(),
            revision: 0,
            time_us: None,
            received_us: 0,
            problem: None,
            sha256: None,
            dictionary: 0,
            is_erased: false,
            body: None,
            damage: Some(damage),
        }
    }
}

/// A column's value; notes it when it cannot be read.
fn column<T: FromSql>(row: &Row<'_>, at: usize, is_whole: &mut bool) -> Option<T> {
    let value = row.get(at).ok();
    *is_whole &= value.is_some();
    value
}

fn unknown_source(seq: Seq) -> Result<Source, StoreError> {
    Source::account(UNKNOWN_SOURCE)
        .map_err(|_| StoreError::Damaged(format!("event {seq}: its source")))
}

/// An event of which nothing is known but its place.
///
/// # Errors
/// None in practice: the name of its source is ours.
pub fn unreadable(seq: Seq) -> Result<AuditEvent, StoreError> {
    Ok(AuditEvent {
        seq,
        source: unknown_source(seq)?,
        id: None,
        revision: 0,
        time: None,
        received_at: from_micros(0),
        problem: Some(DAMAGED.to_owned()),
        entry: RawValue::NULL.to_owned(),
        sha256: None,
    })
}

/// The event of a row, after its hash was checked.
fn stored_of_row(row: EventRow, unpacker: &mut Unpacker<'_>) -> Result<StoredEvent, StoreError> {
    let (entry, damage) = match row.is_erased {
        // Without a body there is nothing to compare.
        true => (RawValue::NULL.to_owned(), row.damage),
        false => match entry_of(&row, unpacker)? {
            Ok(entry) => (entry, row.damage),
            Err(damage) => (RawValue::NULL.to_owned(), row.damage.or(Some(damage))),
        },
    };
    let source = match row.source {
        Some(source) => source,
        None => unknown_source(row.seq)?,
    };
    let event = AuditEvent {
        seq: row.seq,
        source,
        id: match damage {
            None if !row.is_erased => id_of(&row.identity, entry.get()),
            _ => identity::id(&row.identity),
        },
        revision: row.revision,
        time: row.time_us.map(from_micros),
        received_at: from_micros(row.received_us),
        problem: match damage {
            _ if row.is_erased => Some(ERASED.to_owned()),
            None => row.problem,
            Some(_) => Some(DAMAGED.to_owned()),
        },
        entry,
        sha256: row.sha256.map(|hash| hex(&hash)),
    };
    Ok(StoredEvent { event, damage })
}

/// Upstream's id of an entry that is known by `key`.
fn id_of(key: &[u8], entry: &str) -> Option<String> {
    // The bytes were compared with their hash, the key was not: an id that is not in them is not believed. Looking for it takes a
    // twentieth of the time that reading all values does.
    identity::id(key)
        .filter(|id| entry.contains(id.as_str()))
        .or_else(|| Reading::of(entry).id)
}

/// The entry in a row, or why it cannot be given.
fn entry_of(
    row: &EventRow,
    unpacker: &mut Unpacker<'_>,
) -> Result<Result<Box<RawValue>, Damage>, StoreError> {
    let (Some(body), Some(hash)) = (&row.body, &row.sha256) else {
        return Ok(Err(Damage::BodyUnreadable));
    };
    if !unpacker.knows(row.dictionary) {
        return Ok(Err(Damage::DictionaryMissing));
    }
    let bytes = match unpacker.unpack(row.dictionary, body) {
        Ok(bytes) => bytes,
        Err(StoreError::Damaged(_)) => return Ok(Err(Damage::BodyUnreadable)),
        Err(error) => return Err(error),
    };
    if sha256(&bytes) != *hash {
        return Ok(Err(Damage::HashMismatch));
    }
    let text = String::from_utf8(bytes).map_err(|_| Damage::BodyUnreadable);
    Ok(text.and_then(|text| RawValue::from_string(text).map_err(|_| Damage::BodyUnreadable)))
}
