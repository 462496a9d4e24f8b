//! Checkpoints of the followers that keep theirs in the log's file.
//!
//! A follower's effect and its checkpoint are one transaction: a method of the store that writes the effect calls [`advance`] in
//! it. That moves the checkpoint from where the follower read it, so the same events never take effect twice.

use rusqlite::{Connection, OptionalExtension};

use super::error::StoreError;
use super::handle::Store;
use super::steps;
use crate::event::{AuditEvent, hex};
use crate::position::Seq;

/// How far a follower has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last event that it has finished; 0 before the first.
    pub seq: Seq,
    /// The SHA-256 of that event, as lower-case hexadecimal digits, where its row could be read.
    pub sha256: Option<String>,
}

impl Checkpoint {
    /// The checkpoint of a follower that has finished `event` and all before it.
    #[must_use]
    pub fn after(event: &AuditEvent) -> Self {
        Self {
            seq: event.seq,
            sha256: event.sha256.clone(),
        }
    }
}

impl Store {
    /// The checkpoint of a follower; the beginning of the log when it has none yet.
    ///
    /// # Errors
    /// What the database says.
    pub fn checkpoint(&self, follower: &str) -> Result<Checkpoint, StoreError> {
        self.ask(|db| Ok(saved(db, follower)?.unwrap_or_default()))
    }

    /// Moves a follower's checkpoint, for one whose effect is elsewhere and may be repeated, as a file under the same name.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] when its checkpoint is not `from`; otherwise what the database says.
    pub fn advance_follower(
        &self,
        follower: &str,
        from: Seq,
        to: &Checkpoint,
    ) -> Result<(), StoreError> {
        self.change(steps::ADVANCE_FOLLOWER, |db| {
            advance(db, follower, from, to)
        })
    }
}

/// The saved checkpoint of a follower; `None` when it has none yet.
pub(super) fn saved(db: &Connection, follower: &str) -> Result<Option<Checkpoint>, StoreError> {
    let mut ask = db.prepare_cached("SELECT seq, sha256 FROM follower WHERE name = ?1")?;
    let found = ask.query_row([follower], |row| {
        let sha256: Option<[u8; 32]> = row.get(1)?;
        Ok(Checkpoint {
            seq: Seq(row.get(0)?),
            sha256: sha256.map(|hash| hex(&hash)),
        })
    });
    Ok(found.optional()?)
}

/// Moves a follower's checkpoint inside the transaction of its effect.
pub(super) fn advance(
    db: &Connection,
    follower: &str,
    from: Seq,
    to: &Checkpoint,
) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO follower (name, seq) SELECT ?1, 0 WHERE ?2 = 0 ON CONFLICT (name) DO NOTHING",
    )?;
    insert.execute((follower, from.0))?;
    let mut update = db.prepare_cached(
        "UPDATE follower SET seq = ?3, sha256 = unhex(?4) WHERE name = ?1 AND seq = ?2",
    )?;
    match update.execute((follower, from.0, to.seq.0, &to.sha256))? {
        1 => Ok(()),
        _ => Err(StoreError::Overtaken(follower.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::Failpoints;

    /// The effect of a follower in the tests: a list of the events that it was given.
    impl Store {
        pub(crate) fn begin_list(&self) {
            let list = "CREATE TABLE IF NOT EXISTS list (seq INTEGER NOT NULL) STRICT";
            self.change(steps::ADVANCE_FOLLOWER, |db| Ok(db.execute_batch(list)?))
                .unwrap();
        }

        pub(crate) fn append_to_list(
            &self,
            events: &[AuditEvent],
            from: Seq,
            to: &Checkpoint,
        ) -> Result<(), StoreError> {
            self.change(steps::ADVANCE_FOLLOWER, |db| {
                for event in events {
                    db.execute("INSERT INTO list (seq) VALUES (?1)", [event.seq.0])?;
                }
                advance(db, "list", from, to)
            })
        }

        pub(crate) fn list(&self) -> Vec<u64> {
            let listed = self.ask(|db| {
                let mut ask = db.prepare("SELECT seq FROM list ORDER BY rowid")?;
                let seqs = ask.query_map([], |row| row.get(0))?;
                Ok(seqs.collect::<Result<_, _>>()?)
            });
            listed.unwrap()
        }
    }

    #[test]
    fn a_checkpoint_moves_only_from_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let at = |seq| Checkpoint {
            seq: Seq(seq),
            sha256: Some("ab".repeat(32)),
        };
        assert_eq!(store.checkpoint("a").unwrap(), Checkpoint::default());
        store.advance_follower("a", Seq(0), &at(3)).unwrap();
        for from in [0, 2, 4] {
            let moved = store.advance_follower("a", Seq(from), &at(9));
            assert!(matches!(moved, Err(StoreError::Overtaken(name)) if name == "a"));
        }
        let unknown = store.advance_follower("b", Seq(3), &at(9));
        assert!(matches!(unknown, Err(StoreError::Overtaken(_))));
        store.advance_follower("a", Seq(3), &at(5)).unwrap();
        assert_eq!(store.checkpoint("a").unwrap(), at(5));
        assert_eq!(store.checkpoint("b").unwrap(), Checkpoint::default());
    }
}
