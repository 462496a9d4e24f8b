//! The access log: who asked what, when, from where, and how much was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row, named_params};

use super::database::AccessStore;
use crate::clock::from_micros;
use crate::store::error::StoreError;

/// The most bytes of a request's parameters that are kept.
pub const MAX_PARAMETERS_LEN: usize = 32 * 1024;

/// How many old rows are deleted in one transaction: a question that is recorded meanwhile waits only briefly.
const DELETED_AT_ONCE: usize = 5_000;

/// One line of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessEntry {
    /// When the request began.
    pub time: DateTime<Utc>,
    /// Who asked: `token:ID`, `access:E-MAIL`, `local`, `system`, or `nobody`.
    pub principal: String,
    /// The client's address; `None` for commands.
    pub address: Option<String>,
    /// What was done: `search`, `export`, `token.create`, `refused` …
    pub action: String,
    /// The pattern of the route, or the command.
    pub route: String,
    /// The parameters as they were sent, credentials masked.
    pub parameters: String,
    /// How many things the answer has.
    pub results: Option<u64>,
    /// How long it took; `None` while an answer is streamed.
    pub duration_ms: Option<u64>,
    /// The status of HTTP; `None` for commands.
    pub status: Option<u16>,
}

/// Lines of the access log, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPage {
    /// The lines.
    pub entries: Vec<AccessEntry>,
    /// The id before which the next page begins; `None` at the end.
    pub next_before: Option<i64>,
}

/// Which lines of the access log are wanted: those that fit all that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessFilter {
    /// Who asked, as it is recorded.
    pub principal: Option<String>,
    /// Begun at this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// Begun before this moment.
    pub before: Option<DateTime<Utc>>,
}

/// The place of a line in the access log, known once the line is written. A clone is the same place.
#[derive(Debug, Clone, Default)]
pub struct AccessLine(Arc<AtomicI64>);

impl AccessLine {
    /// The id of the row; 0 if it is not written yet.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}

/// One change of the access log.
#[derive(Debug, Clone)]
pub enum AccessChange {
    /// Adds a line.
    Add(AccessEntry, AccessLine),
    /// Completes the line of a streamed answer, once. A line that was never written stays unwritten.
    Complete {
        /// Which line.
        line: AccessLine,
        /// How many things the answer had in all.
        results: u64,
        /// How long it took.
        duration_ms: u64,
    },
}

impl AccessStore {
    /// Makes changes in their order and in one transaction.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails; then no change is made. A question whose line cannot be written must not be
    /// answered.
    pub fn apply_changes<'a>(
        &self,
        changes: impl IntoIterator<Item = &'a AccessChange>,
    ) -> Result<(), StoreError> {
        self.write(|db| {
            for change in changes {
                match change {
                    // After a failure the same line is added again, and has another id then.
                    AccessChange::Add(entry, line) => {
                        line.0.store(add(db, entry)?, Ordering::Release);
                    }
                    AccessChange::Complete {
                        line,
                        results,
                        duration_ms,
                    } => complete(db, line.id(), *results, *duration_ms)?,
                }
            }
            Ok(())
        })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn record(&self, entry: &AccessEntry) -> Result<(), StoreError> {
        self.write(|db| add(db, entry).map(drop))
    }

    /// The newest lines, at most `limit`, of those with an id below `before`.
    ///
    /// # Errors
    /// What the database says.
    pub fn access_entries(
        &self,
        before: Option<i64>,
        limit: usize,
    ) -> Result<AccessPage, StoreError> {
        self.access_entries_of(&AccessFilter::default(), before, limit)
    }

    /// The same of the lines that a filter keeps.
    ///
    /// # Errors
    /// What the database says.
    pub fn access_entries_of(
        &self,
        filter: &AccessFilter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<AccessPage, StoreError> {
        let micros = |moment: Option<DateTime<Utc>>| moment.map(|moment| moment.timestamp_micros());
        self.read(|db| {
            let mut select = db.prepare_cached(
                "SELECT id, time_us, principal, address, action, route, parameters, results, duration_ms, status
                 FROM access
                 WHERE id < :before AND (:principal IS NULL OR principal = :principal)
                     AND (:since IS NULL OR time_us >= :since) AND (:until IS NULL OR time_us < :until)
                 ORDER BY id DESC LIMIT :limit",
            )?;
            // One more than asked for says whether there is another page.
            let wanted = named_params! {
                ":before": before.unwrap_or(i64::MAX),
                ":principal": filter.principal,
                ":since": micros(filter.since),
                ":until": micros(filter.before),
                ":limit": limit.saturating_add(1).min(i64::MAX as usize),
            };
            let rows = select.query_map(wanted, read_row)?;
            let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
            let has_more = rows.len() > limit;
            rows.truncate(limit);
            let last = rows.last().map(|(id, _)| *id).filter(|_| has_more);
            Ok(AccessPage {
                entries: rows.into_iter().map(|(_, entry)| entry).collect(),
                next_before: last,
            })
        })
    }

    /// Deletes some of the lines from before `time`. Returns whether there are more of them.
    ///
    /// # Errors
    /// What the database says.
    pub fn forget_entries_before(&self, time: DateTime<Utc>) -> Result<bool, StoreError> {
        self.write(|db| {
            let deleted = db.execute(
                "DELETE FROM access WHERE id IN (SELECT id FROM access WHERE time_us < ?1 ORDER BY time_us LIMIT ?2)",
                (time.timestamp_micros(), DELETED_AT_ONCE),
            )?;
            Ok(deleted == DELETED_AT_ONCE)
        })
    }
}

/// Adds a line, and returns its id.
pub(super) fn add(db: &Connection, entry: &AccessEntry) -> Result<i64, StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO access (time_us, principal, address, action, route, parameters, results, duration_ms, status)
         VALUES (:time, :principal, :address, :action, :route, :parameters, :results, :duration, :status)",
    )?;
    insert.execute(named_params! {
        ":time": entry.time.timestamp_micros(),
        ":principal": entry.principal,
        ":address": entry.address,
        ":action": entry.action,
        ":route": entry.route,
        ":parameters": cut(&entry.parameters),
        ":results": entry.results,
        ":duration": entry.duration_ms,
        ":status": entry.status,
    })?;
    Ok(db.last_insert_rowid())
}

fn complete(db: &Connection, id: i64, results: u64, duration_ms: u64) -> Result<(), StoreError> {
    let mut update = db.prepare_cached(
        "UPDATE access SET results = ?2, duration_ms = ?3 WHERE id = ?1 AND duration_ms IS NULL",
    )?;
    update.execute((id, results, duration_ms))?;
    Ok(())
}

/// The beginning of a text, at most [`MAX_PARAMETERS_LEN`] bytes of it.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_PARAMETERS_LEN)]
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<(i64, AccessEntry)> {
    let entry = AccessEntry {
        time: from_micros(row.get(1)?),
        principal: row.get(2)?,
        address: row.get(3)?,
        action: row.get(4)?,
        route: row.get(5)?,
        parameters: row.get(6)?,
        results: row.get(7)?,
        duration_ms: row.get(8)?,
        status: row.get(9)?,
    };
    Ok((row.get(0)?, entry))
}

#[cfg(test)]
impl AccessEntry {
    /// Any line.
    pub(super) fn any() -> Self {
        Self {
            time: from_micros(0),
            principal: "system".into(),
            address: None,
            action: "token.create".into(),
            route: "orgtrail token".into(),
            parameters: String::new(),
            results: None,
            duration_ms: None,
            status: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u32) -> AccessEntry {
        AccessEntry {
            time: from_micros(i64::from(n) * 1_000_000),
            principal: "token:0123456789ab".into(),
            address: Some("192.0.2.1".into()),
            action: "search".into(),
            route: "/v1/events".into(),
            parameters: format!("q=number:{n}"),
            results: Some(n.into()),
            duration_ms: Some(1),
            status: Some(200),
        }
    }

    #[test]
    fn lines_are_paged_newest_first_while_others_are_added() {
        let dir = tempfile::tempdir().unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        for n in 0..7 {
            store.record(&entry(n)).unwrap();
        }
        let mut before = None;
        let mut seen = Vec::new();
        loop {
            let page = store.access_entries(before, 3).unwrap();
            seen.extend(page.entries);
            store.record(&entry(100)).unwrap();
            before = page.next_before;
            if before.is_none() {
                break;
            }
        }
        let expected: Vec<_> = (0..7).rev().map(entry).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn lines_are_found_by_principal_and_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        for n in 0..6 {
            let principal = format!("token:{}", n % 2);
            let line = AccessEntry {
                principal,
                ..entry(n)
            };
            store.record(&line).unwrap();
        }
        let found = |principal: Option<&str>, since: Option<i64>, before: Option<i64>| {
            let second = |second: i64| from_micros(second * 1_000_000);
            let filter = AccessFilter {
                principal: principal.map(ToOwned::to_owned),
                since: since.map(second),
                before: before.map(second),
            };
            let page = store.access_entries_of(&filter, None, 2).unwrap();
            let numbers = page.entries.iter().map(|entry| entry.results.unwrap());
            (numbers.collect::<Vec<_>>(), page.next_before.is_some())
        };
        assert_eq!(found(None, None, None), (vec![5, 4], true));
        assert_eq!(found(Some("token:1"), None, None), (vec![5, 3], true));
        assert_eq!(found(Some("token:1"), None, Some(5)), (vec![3, 1], false));
        assert_eq!(found(Some("token:0"), Some(4), None), (vec![4], false));
        assert_eq!(found(Some("token:2"), None, None), (vec![], false));
    }

    #[test]
    fn old_lines_are_deleted_and_a_streamed_answer_is_completed_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        for n in 0..4 {
            store.record(&entry(n)).unwrap();
        }
        let streamed = AccessEntry {
            results: None,
            duration_ms: None,
            parameters: "ü".repeat(MAX_PARAMETERS_LEN),
            ..entry(9)
        };
        let line = AccessLine::default();
        let complete = |results, duration_ms| AccessChange::Complete {
            line: line.clone(),
            results,
            duration_ms,
        };
        let changes = [
            AccessChange::Add(streamed, line.clone()),
            complete(12, 34),
            complete(99, 99),
        ];
        store.apply_changes(&changes).unwrap();
        assert!(!store.forget_entries_before(from_micros(3_000_000)).unwrap());
        let left = store.access_entries(None, 10).unwrap().entries;
        assert_eq!(left.len(), 2);
        assert_eq!((left[0].results, left[0].duration_ms), (Some(12), Some(34)));
        assert!(left[0].parameters.len() <= MAX_PARAMETERS_LEN);
    }
}
