//! Compression dictionaries that were trained from bodies which were erased since. Such a dictionary has parts of these bodies in
//! plain text, so it is replaced: another one is trained from what remains, the bodies that need the old one are compressed anew,
//! and then it is deleted.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params_from_iter};

use super::bodies::{NO_DICTIONARY, Packed, Unpacker};
use super::error::StoreError;
use super::handle::{Store, newest_seq};
use super::reading::is_damage;
use super::steps;
use crate::position::{Seq, Source};

/// How many events are looked at in one step.
const STEP_EVENTS: u64 = 1_000;

/// Dictionaries that are being replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// The dictionaries.
    old: Vec<i64>,
    /// All events up to this one were looked at.
    upto: Seq,
}

impl Store {
    /// Begins to replace the dictionaries that have parts of erased bodies; `None` when there are none. From then on no body is
    /// compressed with them. The next dictionary is trained from bodies that are not before the time that `cutoffs` has for their
    /// source: they are erased last.
    ///
    /// # Errors
    /// What the database says.
    pub fn begin_replacement(
        &self,
        cutoffs: &HashMap<Source, DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Option<Replacement>, StoreError> {
        let mut old = self.ask(with_erased)?;
        // One that cannot be loaded may be put right some day, and the bodies that need it with it.
        old.retain(|id| self.0.bodies.knows(*id));
        if old.is_empty() {
            return Ok(None);
        }
        self.0.bodies.retire(&old);
        if !self.0.bodies.has_current() {
            self.train_dictionary_from(cutoffs, now)?;
        }
        Ok(Some(Replacement {
            old,
            upto: Seq::ZERO,
        }))
    }

    /// Whether something of erased bodies is still to be removed: documents of the index, or dictionaries.
    ///
    /// # Errors
    /// What the database says.
    pub fn has_traces(&self) -> Result<bool, StoreError> {
        self.ask(|db| {
            let has_documents: bool =
                db.query_row("SELECT EXISTS (SELECT 1 FROM erased_document)", [], |row| {
                    row.get(0)
                })?;
            Ok(has_documents || !with_erased(db)?.is_empty())
        })
    }

    /// Compresses some more bodies anew. At the end it deletes the old dictionaries. Says whether there is more to do.
    ///
    /// # Errors
    /// What the database says.
    pub fn go_on_replacing(&self, replacement: &mut Replacement) -> Result<bool, StoreError> {
        if replacement.upto < self.head() {
            let upto = Seq((replacement.upto.0 + STEP_EVENTS).min(self.head().0));
            self.recompress(replacement, upto)?;
            return Ok(true);
        }
        // What is being compressed now may still use an old one: it is waited for, and looked at too.
        let _no_packing = self.0.bodies.no_packing();
        let head = self.ask(newest_seq)?;
        self.recompress(replacement, head)?;
        self.change(steps::DROP_DICTIONARY, |db| {
            for id in &replacement.old {
                for sql in [
                    "DELETE FROM dictionary_sample WHERE dictionary = ?1",
                    "DELETE FROM dictionary WHERE id = ?1",
                ] {
                    db.prepare_cached(sql)?.execute([id])?;
                }
            }
            Ok(())
        })?;
        tracing::info!(
            dictionaries = replacement.old.len(),
            "Deleted compression dictionaries that had parts of erased bodies."
        );
        Ok(false)
    }

    /// Compresses the bodies up to `upto` anew that need an old dictionary.
    fn recompress(&self, replacement: &mut Replacement, upto: Seq) -> Result<(), StoreError> {
        if upto <= replacement.upto {
            return Ok(());
        }
        let found = self.ask(|db| needing(db, replacement, upto))?;
        let decoders = self.0.bodies.decoders();
        let mut unpacker = Unpacker::new(&decoders);
        let mut bodies: Vec<(Seq, i64, String)> = Vec::new();
        for (seq, packed) in found {
            // A damaged body stays as it is: it cannot be read with any dictionary.
            if let Ok(body) = unpacker.unpack(packed.dictionary, &packed.frame)
                && let Ok(body) = String::from_utf8(body)
            {
                bodies.push((seq, packed.dictionary, body));
            }
        }
        if !bodies.is_empty() {
            let packed = self
                .0
                .bodies
                .pack_again(bodies.iter().map(|(_, _, body)| body.as_str()))?;
            self.change(steps::RECOMPRESS, |db| {
                let mut update = db.prepare_cached(
                    "UPDATE event SET dictionary = ?3, body = ?4
                     WHERE seq = ?1 AND dictionary = ?2 AND erased_us IS NULL",
                )?;
                for ((seq, old, _), packed) in bodies.iter().zip(&packed) {
                    update.execute((seq.0, old, packed.dictionary, &packed.frame))?;
                }
                Ok(())
            })?;
        }
        replacement.upto = upto;
        Ok(())
    }
}

/// The bodies that need an old dictionary, of the events after those that were looked at, up to `upto`.
fn needing(
    db: &Connection,
    replacement: &Replacement,
    upto: Seq,
) -> Result<Vec<(Seq, Packed)>, StoreError> {
    let places = vec!["?"; replacement.old.len()].join(", ");
    let mut ask = db.prepare(&format!(
        "SELECT seq, dictionary, body FROM event
         WHERE seq > ? AND seq <= ? AND erased_us IS NULL AND dictionary IN ({places}) ORDER BY seq"
    ))?;
    let mut read = |after: u64, upto: u64| -> rusqlite::Result<Vec<(Seq, Packed)>> {
        let bounds = [i64::try_from(after), i64::try_from(upto)];
        let bounds = bounds.map(|bound| bound.unwrap_or(i64::MAX));
        let given = bounds.into_iter().chain(replacement.old.iter().copied());
        let rows = ask.query_map(params_from_iter(given), |row| {
            let packed = Packed {
                dictionary: row.get(1)?,
                frame: row.get(2)?,
            };
            Ok((Seq(row.get(0)?), packed))
        })?;
        rows.collect()
    };
    match read(replacement.upto.0, upto.0) {
        Ok(found) => return Ok(found),
        Err(error) if is_damage(&error) => {}
        Err(error) => return Err(error.into()),
    }
    let mut found = Vec::new();
    for place in replacement.upto.0..upto.0 {
        match read(place, place + 1) {
            Ok(one) => found.extend(one),
            Err(error) if is_damage(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// The dictionaries that have parts of erased bodies: those trained from one, and, once anything was erased, those of which it is
/// not known what they were trained from.
fn with_erased(db: &Connection) -> Result<Vec<i64>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT id FROM dictionary WHERE
             EXISTS (SELECT 1 FROM dictionary_sample AS sample JOIN event ON event.seq = sample.seq
                     WHERE sample.dictionary = dictionary.id AND event.erased_us IS NOT NULL)
             OR (EXISTS (SELECT 1 FROM erasure_policy)
                 AND NOT EXISTS (SELECT 1 FROM dictionary_sample WHERE dictionary = dictionary.id))
         ORDER BY id",
    )?;
    let rows = ask.query_map([], |row| row.get(0))?;
    let ids: Vec<i64> = rows.collect::<Result<_, _>>()?;
    Ok(ids.into_iter().filter(|id| *id != NO_DICTIONARY).collect())
}
