//! What is held, beside what upstream shows now: entry by entry, and all that is held of a stretch.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Rows, named_params};

use super::bodies::Unpacker;
use super::error::StoreError;
use super::handle::Store;
use super::identity;
use super::reading::{has_form, hash_and_origin, is_damage};
use crate::clock::from_micros;
use crate::event::{Arrival, Identity, sha256};
use crate::position::{Seq, Source, Window};
use orgtrail_cloudflare::json::canonical;

/// Tells an entry of a source from all others: the beginning of a SHA-256 of what it is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryKey([u8; 16]);

impl EntryKey {
    /// The key of an identity. Of entries without an id, the `twin`-th equal one (from 1) has its own.
    #[must_use]
    pub fn of(known_by: &Identity, twin: u32) -> Self {
        Self::of_column(&identity::key(known_by, twin))
    }

    /// The key of an entry with just that body.
    #[must_use]
    pub fn with_body(self, body: &str) -> Self {
        let both = [self.0.as_slice(), &sha256(body.as_bytes())].concat();
        Self::of_column(&both)
    }

    fn of_column(column: &[u8]) -> Self {
        let mut beginning = [0; 16];
        beginning.copy_from_slice(&sha256(column)[..16]);
        Self(beginning)
    }
}

/// Whether an entry that upstream shows is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// With this content.
    Same,
    /// With other content only, last at this place.
    Other(Seq),
    /// Not at all.
    Nothing,
}

/// An entry that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// What it is known by.
    pub key: EntryKey,
    /// The place of its last revision.
    pub seq: Seq,
    /// When that happened.
    pub time: DateTime<Utc>,
}

impl Store {
    /// Whether each of some entries of a source is held; each with its number among equal ones that have no id.
    ///
    /// # Errors
    /// What the database says.
    pub fn holdings(
        &self,
        source: &Source,
        shown: &[(&Arrival, u32)],
    ) -> Result<Vec<Holding>, StoreError> {
        let source = self.number_of(source)?;
        self.ask(|db| {
            let holding = |(arrival, twin): &(&Arrival, u32)| {
                let key = identity::key(&arrival.identity, *twin);
                self.holding(db, source, &key, arrival.body.get())
            };
            shown.iter().map(holding).collect()
        })
    }

    fn holding(
        &self,
        db: &Connection,
        source: i64,
        key: &[u8],
        body: &str,
    ) -> Result<Holding, StoreError> {
        // From the index alone: a row that cannot be read must not be in the way of the others.
        let mut ask = db.prepare_cached(
            "SELECT seq FROM event WHERE source = ?1 AND identity = ?2 ORDER BY revision",
        )?;
        let mut rows = ask.query((source, key))?;
        let decoders = self.0.bodies.decoders();
        let mut unpacker = Unpacker::new(&decoders);
        let hash = sha256(body.as_bytes());
        let (mut found, mut form) = (Holding::Nothing, None);
        while let Some(row) = rows.next()? {
            let seq = Seq(row.get(0)?);
            found = Holding::Other(seq);
            // A damaged row or body does not tell.
            let Some((held, _)) = hash_and_origin(db, seq)? else {
                continue;
            };
            // Other bytes may say the same: only the content counts.
            let form = form.get_or_insert_with(|| canonical(body));
            if held == hash || has_form(db, &mut unpacker, seq, form)? {
                return Ok(Holding::Same);
            }
        }
        Ok(found)
    }

    /// Hands over each entry of a source whose last revision was sent by the API, happened within `window`, and stands no later
    /// than `upto`. Those made from lines of Logpush are left out: the API need not know them.
    ///
    /// # Errors
    /// What the database says.
    pub fn held_within(
        &self,
        source: &Source,
        window: Window,
        upto: Seq,
        mut each: impl FnMut(Held),
    ) -> Result<(), StoreError> {
        let source = self.number_of(source)?;
        self.ask(|db| {
            // `+` keeps the index out of it, which would fetch the rows of a large source one by one from all over the file. In
            // their own order a million rows take a tenth of a second.
            let mut ask = db.prepare_cached(
                "SELECT seq, identity, time_us FROM event
                 WHERE +source = :source AND time_us >= :since AND time_us < :before AND seq > :after AND seq <= :upto
                     AND from_logpush = 0
                     AND NOT EXISTS (
                         SELECT 1 FROM event AS later WHERE later.source = event.source
                             AND later.identity = event.identity AND later.revision > event.revision AND later.seq <= :upto)
                 ORDER BY seq",
            )?;
            let mut after = Seq::ZERO;
            while after < upto {
                let mut rows = ask.query(named_params! {
                    ":source": source,
                    ":since": window.since.timestamp_micros(),
                    ":before": window.before.timestamp_micros(),
                    ":after": after.0,
                    ":upto": upto.0,
                })?;
                match next_held(&mut rows, &mut after, &mut each) {
                    Ok(()) => break,
                    // The next place cannot be read: on with the one after it.
                    Err(error) if is_damage(&error) => after = after.next(),
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        })
    }
}

/// Hands over each entry of some rows; `after` is the last one.
fn next_held(
    rows: &mut Rows<'_>,
    after: &mut Seq,
    each: &mut impl FnMut(Held),
) -> rusqlite::Result<()> {
    while let Some(row) = rows.next()? {
        let held = Held {
            key: EntryKey::of_column(row.get_ref(1)?.as_bytes().unwrap_or_default()),
            seq: Seq(row.get(0)?),
            time: from_micros(row.get(2)?),
        };
        *after = held.seq;
        each(held);
    }
    Ok(())
}
