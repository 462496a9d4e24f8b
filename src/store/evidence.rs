//! What transparency logs are made of, and which of their checkpoints were shown.
//!
//! A checkpoint is written down here before it is shown, in one transaction with how many events it speaks for. So what was
//! shown is never taken back, whenever the program is killed.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row};

use super::error::StoreError;
use super::handle::{Store, newest_seq};
use super::reading::is_damage;
use super::statements::{self, DayCounts};
use super::steps;
use crate::clock::from_micros;
use crate::event::hex;
use crate::position::Seq;

/// What a leaf says of an event: its row without its body. What cannot be read is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafRow {
    /// Its place.
    pub seq: Seq,
    /// The name of its source.
    pub source: Option<String>,
    /// Its revision.
    pub revision: Option<u32>,
    /// When it happened; `None` also when its entry does not say it.
    pub time: Option<DateTime<Utc>>,
    /// When it was received.
    pub received_at: Option<DateTime<Utc>>,
    /// The SHA-256 of its entry.
    pub sha256: Option<[u8; 32]>,
}

/// A transparency log as the log knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceRow {
    /// The name that its checkpoints have.
    pub origin: String,
    /// The id that the log had when they were signed.
    pub log_id: String,
    /// What the newest checkpoint speaks for.
    pub tree: ShownTree,
    /// That checkpoint.
    pub shown: String,
    /// The newest checkpoint that the quorum has signed.
    pub cosigned: Option<String>,
}

/// What a checkpoint speaks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShownTree {
    /// How many leaves it has.
    pub leaves: u64,
    /// The SHA-256 of the event of the last of them, as lower-case hexadecimal digits, where that is known.
    pub sha256: Option<String>,
    /// The program run that added that event, where that is known.
    pub run: Option<String>,
}

impl Store {
    /// The rows of at most `limit` events after a place, in order and without a gap.
    ///
    /// # Errors
    /// What the database says.
    pub fn leaf_rows_after(&self, seq: Seq, limit: usize) -> Result<Vec<LeafRow>, StoreError> {
        self.ask(|db| {
            let head = newest_seq(db)?;
            let last = seq.0.saturating_add(limit as u64).min(head.0);
            let places = seq.0.saturating_add(1)..=last;
            match scan(db, seq, limit) {
                Ok(rows) if rows.iter().map(|row| row.seq.0).eq(places.clone()) => Ok(rows),
                // Place by place, what can be read is read.
                Ok(_) | Err(StoreError::Damaged(_)) => {
                    places.map(|seq| row_at(db, Seq(seq))).collect()
                }
                Err(error) => Err(error),
            }
        })
    }

    /// The transparency logs of this log and of those that it was restored from, in the order of their beginning.
    ///
    /// # Errors
    /// What the database says.
    pub fn evidence_logs(&self) -> Result<Vec<EvidenceRow>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT origin, log_id, leaves, sha256, run, shown, cosigned FROM evidence_log ORDER BY number",
            )?;
            let rows = ask.query_map([], evidence_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Writes down that a checkpoint is shown from now on. `after` is how many leaves the one before it has; `None` for the first one. `days`
    /// is how many events it has of each day beyond that one; `None` where leaves are no events.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] when another one was shown meanwhile, or the name belongs to another log.
    pub fn show_checkpoint(
        &self,
        origin: &str,
        after: Option<u64>,
        tree: &ShownTree,
        note: &str,
        days: Option<&DayCounts>,
    ) -> Result<(), StoreError> {
        let log_id = self.log_id().to_string();
        self.change(steps::SHOW_CHECKPOINT, |db| {
            if let Some(days) = days {
                statements::count(db, days, after.is_none())?;
            }
            let (leaves, sha256, run) = (tree.leaves, &tree.sha256, &tree.run);
            let changed = match after {
                None => db.execute(
                    "INSERT INTO evidence_log (origin, log_id, leaves, sha256, run, shown)
                     VALUES (?1, ?2, ?3, unhex(?4), ?5, ?6) ON CONFLICT (origin) DO NOTHING",
                    (origin, &log_id, leaves, sha256, run, note),
                )?,
                Some(before) => db.execute(
                    "UPDATE evidence_log SET leaves = ?3, sha256 = unhex(?4), run = ?5, shown = ?6
                     WHERE origin = ?1 AND log_id = ?2 AND leaves = ?7 AND leaves < ?3",
                    (origin, &log_id, leaves, sha256, run, note, before),
                )?,
            };
            match changed {
                1 => Ok(()),
                _ => Err(StoreError::Overtaken(format!("evidence of {origin}"))),
            }
        })
    }

    /// Writes down the newest checkpoint that the quorum of witnesses has signed.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_cosigned(&self, origin: &str, note: &str) -> Result<(), StoreError> {
        let log_id = self.log_id().to_string();
        self.change(steps::SAVE_COSIGNED, |db| {
            db.execute(
                "UPDATE evidence_log SET cosigned = ?3 WHERE origin = ?1 AND log_id = ?2",
                (origin, &log_id, note),
            )?;
            Ok(())
        })
    }
}

const SELECT: &str =
    "SELECT event.seq, source.name, event.revision, event.time_us, event.received_us, event.sha256
    FROM event LEFT JOIN source ON source.id = event.source";

fn scan(db: &Connection, seq: Seq, limit: usize) -> Result<Vec<LeafRow>, StoreError> {
    let mut ask = db.prepare_cached(&format!(
        "{SELECT} WHERE event.seq > ?1 ORDER BY event.seq LIMIT ?2"
    ))?;
    let rows = ask.query_map((seq.0, limit), |row| Ok(leaf_row(row)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn row_at(db: &Connection, seq: Seq) -> Result<LeafRow, StoreError> {
    let mut ask = db.prepare_cached(&format!("{SELECT} WHERE event.seq = ?1"))?;
    let row = match ask.query_row([seq.0], |row| Ok(leaf_row(row))).optional() {
        Ok(row) => row,
        Err(error) if is_damage(&error) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(row.unwrap_or(LeafRow {
        seq,
        source: None,
        revision: None,
        time: None,
        received_at: None,
        sha256: None,
    }))
}

fn leaf_row(row: &Row<'_>) -> LeafRow {
    let time = |at| row.get(at).ok().flatten().map(from_micros);
    LeafRow {
        seq: Seq(row.get(0).unwrap_or(0)),
        source: row.get(1).ok().flatten(),
        revision: row.get(2).ok(),
        time: time(3),
        received_at: time(4),
        sha256: row.get(5).ok(),
    }
}

fn evidence_row(row: &Row<'_>) -> rusqlite::Result<EvidenceRow> {
    let sha256: Option<[u8; 32]> = row.get(3)?;
    Ok(EvidenceRow {
        origin: row.get(0)?,
        log_id: row.get(1)?,
        tree: ShownTree {
            leaves: row.get(2)?,
            sha256: sha256.map(|hash| hex(&hash)),
            run: row.get(4)?,
        },
        shown: row.get(5)?,
        cosigned: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::durable::Failpoints;
    use crate::event::Arrival;
    use crate::position::Source;
    use crate::store::{FILE_NAME, Imported};

    fn tree(leaves: u64) -> ShownTree {
        ShownTree {
            leaves,
            sha256: Some("ab".repeat(32)),
            run: Some("run".to_owned()),
        }
    }

    #[test]
    fn a_shown_checkpoint_is_only_followed_by_a_larger_one_of_the_same_log() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        assert_eq!(store.evidence_logs().unwrap(), []);
        store
            .show_checkpoint("a", None, &tree(3), "three", None)
            .unwrap();
        for (after, leaves) in [
            (None, 9),
            (Some(2), 9),
            (Some(4), 9),
            (Some(3), 3),
            (Some(3), 2),
        ] {
            let shown = store.show_checkpoint("a", after, &tree(leaves), "x", None);
            assert!(
                matches!(shown, Err(StoreError::Overtaken(_))),
                "{after:?} {leaves}"
            );
        }
        store
            .show_checkpoint("a", Some(3), &tree(5), "five", None)
            .unwrap();
        store.save_cosigned("a", "three, signed").unwrap();
        store
            .show_checkpoint("b", None, &tree(1), "one", None)
            .unwrap();
        let rows = store.evidence_logs().unwrap();
        assert_eq!((rows[0].shown.as_str(), &rows[0].tree), ("five", &tree(5)));
        assert_eq!(rows[0].cosigned.as_deref(), Some("three, signed"));
        assert_eq!(
            (rows[1].origin.as_str(), rows[1].cosigned.as_ref()),
            ("b", None)
        );

        // A restored copy has another id, and does not sign under the names of the log that it was copied from.
        store
            .become_another(from_micros(1_785_000_000_000_000))
            .unwrap();
        store.close().unwrap();
        drop(store);
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        assert!(
            store
                .show_checkpoint("a", Some(5), &tree(6), "six", None)
                .is_err()
        );
        assert!(
            store
                .show_checkpoint("a", None, &tree(6), "six", None)
                .is_err()
        );
        assert_eq!(store.evidence_logs().unwrap(), rows);
    }

    #[test]
    fn each_place_has_a_row_for_its_leaf_whatever_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let entry = |n: u32| Imported {
            source: Source::account("a").unwrap(),
            label: None,
            arrival: Arrival::read(
                RawValue::from_string(format!(
                    r#"{{"id":"{n}","action":{{"time":"2026-07-01T00:00:0{n}.5Z"}}}}"#
                ))
                .unwrap(),
            ),
        };
        let now = from_micros(1_785_000_000_000_001);
        store.begin_import().unwrap();
        store
            .import(&(0..9).map(entry).collect::<Vec<_>>(), now)
            .unwrap();
        let rows = store.leaf_rows_after(Seq(2), 3).unwrap();
        let event = store.event(Seq(3)).unwrap().unwrap();
        assert_eq!(
            rows.iter().map(|row| row.seq.0).collect::<Vec<_>>(),
            [3, 4, 5]
        );
        assert_eq!(rows[0].source.as_deref(), Some("accounts/a"));
        assert_eq!((rows[0].revision, rows[0].time), (Some(0), event.time));
        assert_eq!(rows[0].received_at, Some(now));
        assert_eq!(rows[0].sha256.map(|hash| hex(&hash)), event.sha256);

        let other = rusqlite::Connection::open(dir.path().join(FILE_NAME)).unwrap();
        other
            .execute("DELETE FROM event WHERE seq = 4", [])
            .unwrap();
        other
            .execute("UPDATE event SET body = x'00' WHERE seq = 5", [])
            .unwrap();
        let damaged = store.leaf_rows_after(Seq(2), 3).unwrap();
        assert_eq!((&damaged[0], &damaged[2]), (&rows[0], &rows[2]));
        assert_eq!((damaged[1].seq, damaged[1].sha256), (Seq(4), None));
        assert_eq!(store.leaf_rows_after(Seq(7), 100).unwrap().len(), 2);
        assert_eq!(store.leaf_rows_after(Seq(9), 100).unwrap(), []);
    }
}
