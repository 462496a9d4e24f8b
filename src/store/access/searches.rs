//! Saved searches: added, listed, found, deleted.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Row, named_params};
use uuid::Uuid;

use super::database::AccessStore;
use crate::clock::from_micros;
use crate::store::error::StoreError;

/// The most saved searches of one principal.
pub const MAX_SEARCHES: u64 = 500;

/// The most saved searches in all.
pub const MAX_ALL_SEARCHES: u64 = 20_000;

/// A search that is to be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSearch {
    /// The principal that saves it.
    pub principal: String,
    /// Its name.
    pub name: String,
    /// The query.
    pub query: Option<String>,
    /// What the search page restores.
    pub state: Option<String>,
    /// Whether others see it.
    pub shared: bool,
}

impl NewSearch {
    /// About how many bytes it takes as JSON.
    fn bytes(&self) -> usize {
        let texts = [&self.query, &self.state].into_iter().flatten();
        self.name.len() + texts.map(String::len).sum::<usize>()
    }
}

/// A saved search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSearch {
    /// Its id.
    pub id: String,
    /// What was saved.
    pub search: NewSearch,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Whose searches are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchesOf {
    /// Those of this principal.
    pub principal: String,
    /// The shared ones of others as well.
    pub shared: bool,
    /// All those of others as well.
    pub all: bool,
}

/// About how many bytes of searches are read at once.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// The place of a saved search in a list: when it was saved, and its id.
pub type SearchPlace = (i64, String);

impl AccessStore {
    /// Saves a search; `None` when the principal has as many as it may have, or all of them together.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_search(
        &self,
        search: &NewSearch,
        now: DateTime<Utc>,
    ) -> Result<Option<SavedSearch>, StoreError> {
        let id = Uuid::new_v4().simple().to_string();
        self.write(|db| {
            let (own, all): (u64, u64) = db.query_row(
                "SELECT count(*) FILTER (WHERE principal = ?1), count(*) FROM saved_search",
                [&search.principal],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            if own >= MAX_SEARCHES || all >= MAX_ALL_SEARCHES {
                return Ok(None);
            }
            let mut insert = db.prepare_cached(
                "INSERT INTO saved_search (id, principal, name, query, state, shared, created_us)
                 VALUES (:id, :principal, :name, :query, :state, :shared, :created)",
            )?;
            insert.execute(named_params! {
                ":id": id,
                ":principal": search.principal,
                ":name": search.name,
                ":query": search.query,
                ":state": search.state,
                ":shared": search.shared,
                ":created": now.timestamp_micros(),
            })?;
            find(db, &id)
        })
    }

    /// The first `limit` searches after a place, the newest first; fewer when these are large. Says whether there are more.
    ///
    /// # Errors
    /// What the database says.
    pub fn searches(
        &self,
        of: &SearchesOf,
        after: Option<&SearchPlace>,
        limit: usize,
    ) -> Result<(Vec<SavedSearch>, bool), StoreError> {
        let (created_us, id) = after.map_or((i64::MAX, ""), |(at, id)| (*at, id.as_str()));
        self.read(|db| {
            let mut select = db.prepare_cached(&format!(
                "{SELECT} WHERE (principal = :principal OR (shared AND :shared) OR :all)
                 AND (created_us < :created OR (created_us = :created AND id > :id))
                 ORDER BY created_us DESC, id LIMIT :limit"
            ))?;
            let rows = select.query_map(
                named_params! {
                    ":principal": of.principal,
                    ":shared": of.shared,
                    ":all": of.all,
                    ":created": created_us,
                    ":id": id,
                    // One more than asked for tells whether there are more.
                    ":limit": i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX),
                },
                read_row,
            )?;
            let (mut found, mut bytes): (Vec<SavedSearch>, usize) = (Vec::new(), 0);
            for row in rows {
                let row = row?;
                bytes += row.search.bytes();
                if found.len() == limit || (bytes > MAX_PAGE_BYTES && !found.is_empty()) {
                    return Ok((found, true));
                }
                found.push(row);
            }
            Ok((found, false))
        })
    }

    /// The search with this id, whoever saved it.
    ///
    /// # Errors
    /// What the database says.
    pub fn search(&self, id: &str) -> Result<Option<SavedSearch>, StoreError> {
        self.read(|db| find(db, id))
    }

    /// Deletes a search; says whether it was there.
    ///
    /// # Errors
    /// What the database says.
    pub fn delete_search(&self, id: &str) -> Result<bool, StoreError> {
        self.write(|db| Ok(db.execute("DELETE FROM saved_search WHERE id = ?1", [id])? > 0))
    }

    /// Deletes the searches of tokens that have ended, and those from before a time of identities that the access log does not
    /// know any more.
    ///
    /// # Errors
    /// What the database says.
    pub fn forget_searches_of_ended(
        &self,
        now: DateTime<Utc>,
        before: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.write(|db| {
            let ended =
                "DELETE FROM saved_search WHERE principal IN (SELECT 'token:' || id FROM token
                         WHERE revoked_us IS NOT NULL OR expires_us <= ?1)";
            Ok(db.execute(ended, [now.timestamp_micros()]).map(drop)?)
        })?;
        let gone: Vec<String> = self.read(|db| {
            let mut select = db.prepare_cached(
                "SELECT DISTINCT principal FROM saved_search
                 WHERE principal LIKE 'access:%' AND created_us < ?1
                 AND principal NOT IN (SELECT principal FROM access)",
            )?;
            let gone = select.query_map([before.timestamp_micros()], |row| row.get(0))?;
            Ok(gone.collect::<Result<_, _>>()?)
        })?;
        for principal in gone {
            self.write(|db| {
                let delete = "DELETE FROM saved_search WHERE principal = ?1 AND created_us < ?2";
                Ok(db
                    .execute(delete, (principal, before.timestamp_micros()))
                    .map(drop)?)
            })?;
        }
        Ok(())
    }
}

const SELECT: &str =
    "SELECT id, principal, name, query, state, shared, created_us FROM saved_search";

fn find(db: &Connection, id: &str) -> Result<Option<SavedSearch>, StoreError> {
    let mut select = db.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
    Ok(select.query_row([id], read_row).optional()?)
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<SavedSearch> {
    Ok(SavedSearch {
        id: row.get(0)?,
        search: NewSearch {
            principal: row.get(1)?,
            name: row.get(2)?,
            query: row.get(3)?,
            state: row.get(4)?,
            shared: row.get(5)?,
        },
        created_at: from_micros(row.get(6)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::access::AccessEntry;

    fn search(principal: &str, name: &str, shared: bool) -> NewSearch {
        NewSearch {
            principal: principal.to_owned(),
            name: name.to_owned(),
            query: Some("a:b".to_owned()),
            state: None,
            shared,
        }
    }

    #[test]
    fn searches_are_paged_newest_first_and_each_principal_has_so_many() {
        let dir = tempfile::tempdir().unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        for n in 0..7_i64 {
            let (principal, shared) = if n % 2 == 0 {
                ("a", false)
            } else {
                ("b", n == 5)
            };
            let new = search(principal, &n.to_string(), shared);
            store
                .save_search(&new, from_micros(n / 2))
                .unwrap()
                .unwrap();
        }
        let names = |shared: bool| {
            let of = SearchesOf {
                principal: "a".to_owned(),
                shared,
                all: false,
            };
            let (mut names, mut after) = (Vec::new(), None);
            loop {
                let (page, _) = store.searches(&of, after.as_ref(), 2).unwrap();
                let Some(last) = page.last() else { break };
                after = Some((last.created_at.timestamp_micros(), last.id.clone()));
                names.extend(page.into_iter().map(|found| found.search.name));
            }
            names.sort_unstable();
            names
        };
        assert_eq!(names(false), ["0", "2", "4", "6"]);
        assert_eq!(names(true), ["0", "2", "4", "5", "6"]);
        for n in 0..MAX_SEARCHES {
            let saved = store.save_search(&search("c", "x", false), from_micros(9));
            assert!(saved.unwrap().is_some(), "{n}");
        }
        let one_more = store.save_search(&search("c", "x", false), from_micros(9));
        assert_eq!(one_more.unwrap(), None);
    }

    #[test]
    fn searches_of_ended_tokens_and_forgotten_identities_are_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        let now = from_micros(9_000);
        for (principal, at) in [
            ("access:gone@example.com", 1),
            ("access:gone@example.com", 8_000),
            ("access:here@example.com", 1),
            ("local", 1),
        ] {
            let new = search(principal, &format!("{principal} {at}"), false);
            store.save_search(&new, from_micros(at)).unwrap().unwrap();
        }
        let here = AccessEntry {
            principal: "access:here@example.com".to_owned(),
            ..AccessEntry::any()
        };
        store.record(&here).unwrap();
        store
            .forget_searches_of_ended(now, from_micros(5_000))
            .unwrap();
        let of = SearchesOf {
            principal: String::new(),
            shared: false,
            all: true,
        };
        let (left, _) = store.searches(&of, None, 10).unwrap();
        let mut left: Vec<_> = left.into_iter().map(|found| found.search.name).collect();
        left.sort_unstable();
        let wanted = [
            "access:gone@example.com 8000",
            "access:here@example.com 1",
            "local 1",
        ];
        assert_eq!(left, wanted);
    }
}
