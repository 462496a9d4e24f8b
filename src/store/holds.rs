//! Legal holds: what must not be erased, whatever the policies say.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row, named_params};

use super::error::StoreError;
use super::handle::Store;
use super::{sources, steps};
use crate::clock::from_micros;
use crate::position::Source;

/// The number of a hold. None is given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId(pub i64);

/// What a new hold says. Entries are covered that fit all of it, also those that arrive later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHold {
    /// Its name. Of the holds in force, only one has it.
    pub name: String,
    /// The entries that it covers, as a question; `None`: all.
    pub query: Option<String>,
    /// Their sources; all if none is named.
    pub sources: Vec<Source>,
    /// Their times: from here on …
    pub since: Option<DateTime<Utc>>,
    /// … and before this.
    pub before: Option<DateTime<Utc>>,
    /// Why it is needed.
    pub reason: String,
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its number.
    pub id: HoldId,
    /// What it says.
    pub says: NewHold,
    /// The principal that created it.
    pub created_by: String,
    /// When. It is what `now` is in its question.
    pub created_at: DateTime<Utc>,
    /// When it was released; `None` while it is in force.
    pub released_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Creates a hold. Returns `None` when one of that name is in force.
    ///
    /// # Errors
    /// What the database says.
    pub fn create_hold(
        &self,
        new: &NewHold,
        created_by: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Hold>, StoreError> {
        let micros = |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp_micros());
        let sources: Vec<String> = new.sources.iter().map(ToString::to_string).collect();
        self.change(steps::CREATE_HOLD, |db| {
            let mut insert = db.prepare_cached(
                "INSERT INTO hold (name, query, sources, since_us, before_us, reason, created_by, created_us)
                 VALUES (:name, :query, :sources, :since, :before, :reason, :by, :now)
                 ON CONFLICT (name) WHERE released_us IS NULL DO NOTHING",
            )?;
            let inserted = insert.execute(named_params! {
                ":name": new.name,
                ":query": new.query,
                ":sources": sources.join("\n"),
                ":since": micros(new.since),
                ":before": micros(new.before),
                ":reason": new.reason,
                ":by": created_by,
                ":now": now.timestamp_micros(),
            })?;
            if inserted == 0 {
                return Ok(None);
            }
            let id = db.last_insert_rowid();
            let mut ask = db.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
            Ok(Some(ask.query_row([id], read)?))
        })
    }

    /// Releases the hold of that name that is in force. Says whether there was one.
    ///
    /// # Errors
    /// What the database says.
    pub fn release_hold(&self, name: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
        self.change(steps::RELEASE_HOLD, |db| {
            let mut update = db.prepare_cached(
                "UPDATE hold SET released_us = ?2 WHERE name = ?1 AND released_us IS NULL",
            )?;
            Ok(update.execute((name, now.timestamp_micros()))? == 1)
        })
    }

    /// All holds, the released ones included, in the order in which they were created.
    ///
    /// # Errors
    /// What the database says.
    pub fn holds(&self) -> Result<Vec<Hold>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(&format!("{SELECT} ORDER BY id"))?;
            let rows = ask.query_map([], read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The holds that are in force.
    ///
    /// # Errors
    /// What the database says.
    pub fn holds_in_force(&self) -> Result<Vec<Hold>, StoreError> {
        let mut holds = self.holds()?;
        holds.retain(|hold| hold.released_at.is_none());
        Ok(holds)
    }
}

const SELECT: &str = "SELECT id, name, query, sources, since_us, before_us, reason, created_by, created_us, released_us FROM hold";

/// The numbers of the holds that are in force, in order.
pub(super) fn ids_in_force(db: &Connection) -> Result<Vec<HoldId>, StoreError> {
    let mut ask = db.prepare_cached("SELECT id FROM hold WHERE released_us IS NULL ORDER BY id")?;
    let rows = ask.query_map([], |row| Ok(HoldId(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Hold> {
    let time = |at: usize| -> rusqlite::Result<Option<DateTime<Utc>>> {
        Ok(row.get::<_, Option<i64>>(at)?.map(from_micros))
    };
    let sources: String = row.get(3)?;
    let sources = sources.lines().map(sources::parse);
    Ok(Hold {
        id: HoldId(row.get(0)?),
        says: NewHold {
            name: row.get(1)?,
            query: row.get(2)?,
            sources: sources.collect::<Result<_, _>>()?,
            since: time(4)?,
            before: time(5)?,
            reason: row.get(6)?,
        },
        created_by: row.get(7)?,
        created_at: from_micros(row.get(8)?),
        released_at: time(9)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::Failpoints;

    #[test]
    fn a_name_is_free_again_after_its_release_and_holds_are_listed_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let beside = Store::open_beside(dir.path()).unwrap();
        let new = NewHold {
            name: "case-1".to_owned(),
            query: Some("actor.email:a@example.com".to_owned()),
            sources: vec![
                "accounts/a".parse().unwrap(),
                "organizations/b".parse().unwrap(),
            ],
            since: Some(from_micros(5)),
            before: None,
            reason: "a lawsuit".to_owned(),
        };
        let at = |second: i64| from_micros(second * 1_000_000);
        let first = beside
            .create_hold(&new, "system:a", at(1))
            .unwrap()
            .unwrap();
        assert_eq!(first.says, new);
        assert_eq!(
            store.holds_in_force().unwrap(),
            std::slice::from_ref(&first)
        );
        assert_eq!(store.create_hold(&new, "system:a", at(2)).unwrap(), None);
        assert!(store.release_hold("case-1", at(3)).unwrap());
        assert!(!store.release_hold("case-1", at(4)).unwrap());
        let second = store.create_hold(&new, "system:b", at(5)).unwrap().unwrap();
        let released = Hold {
            released_at: Some(at(3)),
            ..first
        };
        assert_eq!(store.holds().unwrap(), [released, second.clone()]);
        assert_eq!(store.ask(ids_in_force).unwrap(), [second.id]);
    }
}
