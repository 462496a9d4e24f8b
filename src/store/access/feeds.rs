//! Feeds of alerts: created, listed, found by the secret in their URLs, revoked.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Row, named_params};
use serde::de::DeserializeOwned;

use super::database::AccessStore;
use super::entries::{AccessEntry, add};
use crate::access::{Grant, Permission, SecretHash};
use crate::alert::{AlertState, Level};
use crate::clock::from_micros;
use crate::store::error::StoreError;

/// The most feeds. Each request with a secret compares it with all of them.
pub const MAX_FEEDS: usize = 100;

/// How exact the time of the last use is: a row is written at most this often.
const LAST_USE_WITHIN: TimeDelta = TimeDelta::minutes(1);

/// A feed that is to be stored.
#[derive(Debug, Clone)]
pub struct NewFeed {
    /// Its name.
    pub name: String,
    /// The hash of the secret in its URLs.
    pub hash: SecretHash,
    /// Alerts of these rules; empty: all.
    pub rules: Vec<String>,
    /// Alerts of these levels; empty: all.
    pub levels: Vec<Level>,
    /// Alerts in these states; empty: all.
    pub states: Vec<AlertState>,
    /// What it may see. Its permissions are not stored: it may search.
    pub grant: Grant,
}

/// A feed as it is stored, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRow {
    /// Its name.
    pub name: String,
    /// Alerts of these rules; empty: all.
    pub rules: Vec<String>,
    /// Alerts of these levels; empty: all.
    pub levels: Vec<Level>,
    /// Alerts in these states; empty: all.
    pub states: Vec<AlertState>,
    /// What it may see.
    pub grant: Grant,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last read, to about a minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Why a feed is not created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedRefusal {
    /// There is one with this name.
    Exists,
    /// There are as many as there may be.
    TooMany,
}

impl AccessStore {
    /// Stores a feed together with its line in the access log.
    ///
    /// # Errors
    /// What the database says.
    pub fn create_feed(
        &self,
        feed: &NewFeed,
        now: DateTime<Utc>,
        line: &AccessEntry,
    ) -> Result<Result<(), FeedRefusal>, StoreError> {
        self.write(|db| {
            let (same, all): (usize, usize) = db.query_row(
                "SELECT count(*) FILTER (WHERE name = ?1), count(*) FROM feed",
                [&feed.name],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            if same > 0 {
                return Ok(Err(FeedRefusal::Exists));
            }
            if all >= MAX_FEEDS {
                return Ok(Err(FeedRefusal::TooMany));
            }
            let sources = feed.grant.sources.iter().map(ToString::to_string);
            let mut insert = db.prepare_cached(
                "INSERT INTO feed (name, hash, rules, levels, states, sources, bodies, created_us)
                 VALUES (:name, :hash, :rules, :levels, :states, :sources, :bodies, :created)",
            )?;
            insert.execute(named_params! {
                ":name": feed.name,
                ":hash": feed.hash.as_bytes(),
                ":rules": json(&feed.rules)?,
                ":levels": json(&feed.levels)?,
                ":states": json(&feed.states)?,
                ":sources": sources.collect::<Vec<_>>().join("\n"),
                ":bodies": feed.grant.bodies,
                ":created": now.timestamp_micros(),
            })?;
            add(db, line)?;
            Ok(Ok(()))
        })
    }

    /// All feeds, by name.
    ///
    /// # Errors
    /// What the database says.
    pub fn feeds(&self) -> Result<Vec<FeedRow>, StoreError> {
        let feeds = self.feeds_with_hashes()?;
        Ok(feeds.into_iter().map(|(_, feed)| feed).collect())
    }

    /// The feed whose secret has this hash. It is compared with those of all feeds, and how long that takes does not depend on where
    /// they differ.
    ///
    /// # Errors
    /// What the database says.
    pub fn feed_by_hash(&self, hash: &SecretHash) -> Result<Option<FeedRow>, StoreError> {
        let mut found = None;
        for (known, feed) in self.feeds_with_hashes()? {
            if known.matches(hash) {
                found = Some(feed);
            }
        }
        Ok(found)
    }

    /// Removes a feed and adds the line to the access log. Returns false if there is no such feed. On a full disk it uses the room that
    /// is kept for it.
    ///
    /// # Errors
    /// What the database says.
    pub fn revoke_feed(&self, name: &str, line: &AccessEntry) -> Result<bool, StoreError> {
        self.reserve().with_room(|| {
            self.write(|db| {
                if db.execute("DELETE FROM feed WHERE name = ?1", [name])? == 0 {
                    return Ok(false);
                }
                add(db, line)?;
                Ok(true)
            })
        })
    }

    /// Saves that a feed was read. Writes at most once a minute for each feed.
    ///
    /// # Errors
    /// What the database says.
    pub fn note_feed_use(&self, feed: &FeedRow, now: DateTime<Utc>) -> Result<(), StoreError> {
        let is_recent = |last: DateTime<Utc>| last <= now && now - last < LAST_USE_WITHIN;
        if feed.last_used_at.is_some_and(is_recent) {
            return Ok(());
        }
        self.write(|db| {
            db.execute(
                "UPDATE feed SET last_used_us = ?2 WHERE name = ?1",
                (&feed.name, now.timestamp_micros()),
            )?;
            Ok(())
        })
    }

    fn feeds_with_hashes(&self) -> Result<Vec<(SecretHash, FeedRow)>, StoreError> {
        self.read(|db| {
            let mut select = db.prepare_cached(
                "SELECT name, hash, rules, levels, states, sources, bodies, created_us, last_used_us FROM feed ORDER BY name",
            )?;
            let mut rows = select.query([])?;
            let mut feeds = Vec::new();
            while let Some(row) = rows.next()? {
                feeds.push(read_row(row)?);
            }
            Ok(feeds)
        })
    }
}

/// Fails if something in it is not what this program writes: such a feed must not be answered as if it had no limits.
fn read_row(row: &Row<'_>) -> Result<(SecretHash, FeedRow), StoreError> {
    let name: String = row.get(0)?;
    let damaged = |what: &str| StoreError::Damaged(format!("feed `{name}` has unreadable {what}"));
    let hash: Vec<u8> = row.get(1)?;
    let hash = SecretHash::from_bytes(&hash).ok_or_else(|| damaged("hash"))?;
    let sources: String = row.get(5)?;
    let sources = sources.lines().map(str::parse).collect::<Result<_, _>>();
    let feed = FeedRow {
        rules: list(row, 2)?.ok_or_else(|| damaged("rules"))?,
        levels: list(row, 3)?.ok_or_else(|| damaged("levels"))?,
        states: list(row, 4)?.ok_or_else(|| damaged("states"))?,
        grant: Grant {
            permissions: [Permission::Search].into_iter().collect(),
            sources: sources.map_err(|_| damaged("sources"))?,
            bodies: row.get(6)?,
        },
        created_at: from_micros(row.get(7)?),
        last_used_at: row.get::<_, Option<i64>>(8)?.map(from_micros),
        name,
    };
    Ok((hash, feed))
}

/// A list in JSON; `None` if it is none.
fn list<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> Result<Option<Vec<T>>, rusqlite::Error> {
    let text: String = row.get(column)?;
    Ok(serde_json::from_str(&text).ok())
}

fn json(list: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(list)
        .map_err(|error| StoreError::Damaged(format!("a list cannot be written as JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::FeedKey;

    fn new_feed(name: &str, key: &FeedKey) -> NewFeed {
        NewFeed {
            name: name.to_owned(),
            hash: key.hash(),
            rules: vec!["a".to_owned()],
            levels: vec![Level::High],
            states: vec![AlertState::Open],
            grant: Grant {
                permissions: [Permission::Search].into_iter().collect(),
                sources: vec!["accounts/a".parse().unwrap()],
                bodies: false,
            },
        }
    }

    #[test]
    fn a_feed_is_found_by_its_secret_until_it_is_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        let (key, other) = (FeedKey::generate().unwrap(), FeedKey::generate().unwrap());
        let (now, line) = (from_micros(1_000_000), AccessEntry::any());
        let new = new_feed("ops", &key);
        assert_eq!(store.create_feed(&new, now, &line).unwrap(), Ok(()));
        let again = store.create_feed(&new_feed("ops", &other), now, &line);
        assert_eq!(again.unwrap(), Err(FeedRefusal::Exists));
        // Another process sees it at once.
        let beside = AccessStore::open(dir.path()).unwrap();
        let found = beside.feed_by_hash(&key.hash()).unwrap().unwrap();
        assert_eq!((found.name.as_str(), &found.grant), ("ops", &new.grant));
        assert_eq!((found.levels, found.states), (new.levels, new.states));
        assert_eq!(beside.feed_by_hash(&other.hash()).unwrap(), None);
        assert!(beside.revoke_feed("ops", &line).unwrap());
        assert!(!beside.revoke_feed("ops", &line).unwrap());
        assert_eq!(store.feed_by_hash(&key.hash()).unwrap(), None);
    }

    #[test]
    fn there_are_only_so_many_feeds_and_one_that_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        let (key, now) = (FeedKey::generate().unwrap(), from_micros(0));
        for n in 0..=MAX_FEEDS {
            let made = store.create_feed(&new_feed(&n.to_string(), &key), now, &AccessEntry::any());
            assert_eq!(made.unwrap().is_ok(), n < MAX_FEEDS, "{n}");
        }
        store
            .write(|db| Ok(db.execute("UPDATE feed SET levels = 'loud' WHERE name = '7'", [])?))
            .unwrap();
        let error = store.feed_by_hash(&key.hash()).unwrap_err();
        assert!(error.to_string().contains("unreadable levels"), "{error}");
    }
}
