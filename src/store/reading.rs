//! Events read back, by their place.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Row};
use serde_json::value::RawValue;

use super::bodies::Unpacker;
use super::{Store, StoreError, sources};
use crate::clock::from_micros;
use crate::event::{AuditEvent, Reading, sha256};
use crate::position::{Seq, Source};

impl Store {
    /// The event at a place.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when its body is not the one that was kept; what the database says.
    pub fn event(&self, seq: Seq) -> Result<Option<AuditEvent>, StoreError> {
        Ok(self.events(&[seq], usize::MAX)?.pop())
    }

    /// The events at some places, in that order, and at most about `max_bytes` of them (but at least one). A place
    /// without an event is left out.
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn events(&self, seqs: &[Seq], max_bytes: usize) -> Result<Vec<AuditEvent>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(&format!("{SELECT_EVENT} WHERE event.seq = ?1"))?;
            let rows = seqs.iter().filter_map(|seq| {
                ask.query_row([seq.0], EventRow::read)
                    .optional()
                    .transpose()
            });
            self.events_of(rows, max_bytes)
        })
    }

    /// At most `limit` events after a place, in order, and at most about `max_bytes` of them (but at least one).
    ///
    /// # Errors
    /// As [`Store::event`].
    pub fn events_after(
        &self,
        seq: Seq,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(&format!(
                "{SELECT_EVENT} WHERE event.seq > ?1 ORDER BY event.seq LIMIT ?2"
            ))?;
            self.events_of(ask.query_map((seq.0, limit), EventRow::read)?, max_bytes)
        })
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
                let older = ask.query_row([seq.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                replaced.extend(older.map(|(older, at_us)| (*seq, Seq(older), from_micros(at_us))));
            }
            Ok(replaced)
        })
    }

    fn events_of(
        &self,
        rows: impl Iterator<Item = rusqlite::Result<EventRow>>,
        max_bytes: usize,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        // The snapshot begins with its first row: taken after it, the dictionaries are all that it can need.
        let mut rows = rows.peekable();
        rows.peek();
        let decoders = self.0.bodies.decoders();
        let mut unpacker = Unpacker::new(&decoders);
        let mut events = Vec::new();
        let mut bytes = 0;
        for row in rows {
            let event = event_of(row?, &mut unpacker)?;
            bytes += event.entry.get().len();
            events.push(event);
            if bytes >= max_bytes {
                break;
            }
        }
        Ok(events)
    }
}

const SELECT_EVENT: &str = "SELECT event.seq, source.name, event.revision, event.time_us, event.received_us, event.problem,
        event.sha256, event.dictionary, event.body
    FROM event JOIN source ON source.id = event.source";

/// A row of [`SELECT_EVENT`].
struct EventRow {
    seq: Seq,
    source: Source,
    revision: u32,
    time_us: Option<i64>,
    received_us: i64,
    problem: Option<String>,
    sha256: Vec<u8>,
    dictionary: i64,
    body: Vec<u8>,
}

impl EventRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: Seq(row.get(0)?),
            source: sources::parse(&row.get::<_, String>(1)?)?,
            revision: row.get(2)?,
            time_us: row.get(3)?,
            received_us: row.get(4)?,
            problem: row.get(5)?,
            sha256: row.get(6)?,
            dictionary: row.get(7)?,
            body: row.get(8)?,
        })
    }
}

/// The event that a row stands for, compared with its hash.
fn event_of(row: EventRow, unpacker: &mut Unpacker<'_>) -> Result<AuditEvent, StoreError> {
    let seq = row.seq;
    let damaged = |what: &str| StoreError::Damaged(format!("event {seq}: {what}"));
    let bytes = unpacker.unpack(row.dictionary, &row.body)?;
    if sha256(&bytes).as_slice() != row.sha256 {
        return Err(damaged("its body is not the one that was kept"));
    }
    let text = String::from_utf8(bytes).map_err(|_| damaged("its body is not text"))?;
    let entry = RawValue::from_string(text).map_err(|_| damaged("its body is not JSON"))?;
    Ok(AuditEvent {
        seq,
        source: row.source,
        id: Reading::of(entry.get()).id,
        revision: row.revision,
        time: row.time_us.map(from_micros),
        received_at: from_micros(row.received_us),
        problem: row.problem,
        entry,
    })
}
