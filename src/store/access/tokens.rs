//! API tokens: created, listed, found by their hash, revoked.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::database::AccessStore;
use super::entries::{AccessEntry, add};
use crate::access::{Grant, SecretHash};
use crate::clock::from_micros;
use crate::store::error::StoreError;

/// How exact the time of the last use is: a row is written at most this often.
const LAST_USE_WITHIN: TimeDelta = TimeDelta::minutes(1);

/// A token that is to be stored.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What its creator calls it.
    pub name: String,
    /// The hash of the secret.
    pub hash: SecretHash,
    /// What it may do and see.
    pub grant: Grant,
    /// When it ends; `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A token as it is stored, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its public id.
    pub id: String,
    /// What its creator called it.
    pub name: String,
    /// What it may do and see.
    pub grant: Grant,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl TokenRow {
    /// Whether requests with it are answered at `now`.
    #[must_use]
    pub fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

impl AccessStore {
    /// Stores a token together with its line in the access log, and returns it with its new id.
    ///
    /// # Errors
    /// What the database says.
    pub fn create_token(
        &self,
        token: &NewToken,
        now: DateTime<Utc>,
        line: impl FnOnce(&TokenRow) -> AccessEntry,
    ) -> Result<TokenRow, StoreError> {
        let id = new_id();
        let sources: Vec<String> = token
            .grant
            .sources
            .iter()
            .map(ToString::to_string)
            .collect();
        self.write(|db| {
            let mut insert = db.prepare_cached(
                "INSERT INTO token (id, name, hash, permissions, sources, bodies, created_us, expires_us)
                 VALUES (:id, :name, :hash, :permissions, :sources, :bodies, :created, :expires)",
            )?;
            insert.execute(named_params! {
                ":id": id,
                ":name": token.name,
                ":hash": token.hash.as_bytes(),
                ":permissions": token.grant.permissions.to_string(),
                ":sources": sources.join("\n"),
                ":bodies": token.grant.bodies,
                ":created": now.timestamp_micros(),
                ":expires": token.expires_at.map(|end| end.timestamp_micros()),
            })?;
            let stored = find(db, "id = ?1", &id)?;
            let stored = stored.ok_or_else(|| StoreError::Damaged("a token is missing that was just stored".into()))?;
            add(db, &line(&stored))?;
            Ok(stored)
        })
    }

    /// All tokens, in the order in which they were created; revoked and expired ones too.
    ///
    /// # Errors
    /// What the database says.
    pub fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        self.read(|db| {
            let mut select = db.prepare_cached(&format!("{SELECT} ORDER BY created_us, id"))?;
            let rows = select.query_map([], read_row)?;
            rows.map(|row| row?.parsed()).collect()
        })
    }

    /// The token with this id, valid or not.
    ///
    /// # Errors
    /// What the database says.
    pub fn token(&self, id: &str) -> Result<Option<TokenRow>, StoreError> {
        self.read(|db| find(db, "id = ?1", id))
    }

    /// The token whose secret has this hash, valid or not.
    ///
    /// # Errors
    /// What the database says.
    pub fn token_by_hash(&self, hash: &SecretHash) -> Result<Option<TokenRow>, StoreError> {
        self.read(|db| find(db, "hash = ?1", hash.as_bytes().as_slice()))
    }

    /// Revokes a token, ends its sessions, deletes its searches, and adds the line to the access log. Returns false if there is
    /// no such token, or if it was revoked before.
    ///
    /// # Errors
    /// What the database says.
    pub fn revoke_token(
        &self,
        id: &str,
        now: DateTime<Utc>,
        line: &AccessEntry,
    ) -> Result<bool, StoreError> {
        self.write(|db| {
            let revoked = db.execute(
                "UPDATE token SET revoked_us = ?2 WHERE id = ?1 AND revoked_us IS NULL",
                (id, now.timestamp_micros()),
            )?;
            if revoked == 0 {
                return Ok(false);
            }
            db.execute("DELETE FROM session WHERE token = ?1", [id])?;
            let searches = "DELETE FROM saved_search WHERE principal = 'token:' || ?1";
            db.execute(searches, [id])?;
            add(db, line)?;
            Ok(true)
        })
    }

    /// [`AccessStore::revoke_token`]; on a full disk it uses the room that is kept for it.
    ///
    /// # Errors
    /// What the database says.
    pub fn revoke_with_reserve(
        &self,
        id: &str,
        now: DateTime<Utc>,
        line: &AccessEntry,
    ) -> Result<bool, StoreError> {
        self.reserve()
            .with_room(|| self.revoke_token(id, now, line))
    }

    /// Saves that a token was used. Writes at most once a minute for each token, because it would cost every request a write.
    ///
    /// # Errors
    /// What the database says.
    pub fn note_use(&self, token: &TokenRow, now: DateTime<Utc>) -> Result<(), StoreError> {
        let is_recent = |last: DateTime<Utc>| last <= now && now - last < LAST_USE_WITHIN;
        if token.last_used_at.is_some_and(is_recent) {
            return Ok(());
        }
        self.write(|db| {
            db.execute(
                "UPDATE token SET last_used_us = ?2 WHERE id = ?1",
                (&token.id, now.timestamp_micros()),
            )?;
            Ok(())
        })
    }
}

const SELECT: &str = "SELECT id, name, permissions, sources, bodies, created_us, expires_us, last_used_us, revoked_us FROM token";

/// A row as SQLite gives it.
struct Stored {
    row: TokenRow,
    permissions: String,
    sources: String,
}

impl Stored {
    /// Fails if a text in it is not one that this program writes: such a token must not be answered as if it had no limits.
    fn parsed(self) -> Result<TokenRow, StoreError> {
        let damaged = |what: &str| {
            StoreError::Damaged(format!("token `{}` has unreadable {what}", self.row.id))
        };
        let permissions = self.permissions.parse().map_err(|_| damaged("scopes"))?;
        let sources = self
            .sources
            .lines()
            .map(str::parse)
            .collect::<Result<_, _>>();
        let sources = sources.map_err(|_| damaged("sources"))?;
        let grant = Grant {
            permissions,
            sources,
            bodies: self.row.grant.bodies,
        };
        Ok(TokenRow { grant, ..self.row })
    }
}

pub(super) fn find(
    db: &Connection,
    condition: &str,
    value: impl rusqlite::ToSql,
) -> Result<Option<TokenRow>, StoreError> {
    let mut select = db.prepare_cached(&format!("{SELECT} WHERE {condition}"))?;
    let stored = select.query_row([value], read_row).optional()?;
    stored.map(Stored::parsed).transpose()
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let time = |at: Option<i64>| at.map(from_micros);
    Ok(Stored {
        permissions: row.get(2)?,
        sources: row.get(3)?,
        row: TokenRow {
            id: row.get(0)?,
            name: row.get(1)?,
            grant: Grant {
                permissions: crate::access::Permissions::default(),
                sources: Vec::new(),
                bodies: row.get(4)?,
            },
            created_at: from_micros(row.get(5)?),
            expires_at: time(row.get(6)?),
            last_used_at: time(row.get(7)?),
            revoked_at: time(row.get(8)?),
        },
    })
}

/// A new public id: 12 hexadecimal digits.
fn new_id() -> String {
    let mut id = uuid::Uuid::new_v4().simple().to_string();
    id.truncate(12);
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{ApiToken, Permission};
    use crate::position::Source;

    fn new_token(secret: &ApiToken) -> NewToken {
        NewToken {
            name: "search page".into(),
            hash: secret.hash(),
            grant: Grant {
                permissions: [Permission::Search].into_iter().collect(),
                sources: vec![
                    Source::account("a").unwrap(),
                    Source::organization("o").unwrap(),
                ],
                bodies: false,
            },
            expires_at: Some(from_micros(2_000_000_000)),
        }
    }

    #[test]
    fn a_token_is_found_by_its_secret_until_it_is_revoked_or_expires() {
        let dir = tempfile::tempdir().unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        let secret = ApiToken::generate().unwrap();
        let now = from_micros(1_000_000_000);
        let new = new_token(&secret);
        let created = store
            .create_token(&new, now, |_| AccessEntry::any())
            .unwrap();
        // Another process sees it at once.
        let beside = AccessStore::open(dir.path()).unwrap();
        let found = beside.token_by_hash(&secret.hash()).unwrap().unwrap();
        assert_eq!(found, created);
        assert_eq!(found.grant, new.grant);
        assert!(found.is_valid(now) && !found.is_valid(from_micros(2_000_000_000)));

        assert!(
            beside
                .revoke_token(&created.id, now, &AccessEntry::any())
                .unwrap()
        );
        assert!(
            !beside
                .revoke_token(&created.id, now, &AccessEntry::any())
                .unwrap()
        );
        assert!(
            !beside
                .revoke_token("unknown", now, &AccessEntry::any())
                .unwrap()
        );
        let revoked = store.token_by_hash(&secret.hash()).unwrap().unwrap();
        assert!(!revoked.is_valid(now));
        let unknown = ApiToken::generate().unwrap();
        assert_eq!(store.token_by_hash(&unknown.hash()).unwrap(), None);
    }

    #[test]
    fn the_last_use_is_written_at_most_once_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        let secret = ApiToken::generate().unwrap();
        let first = from_micros(1_000_000_000);
        let created = store
            .create_token(&new_token(&secret), first, |_| AccessEntry::any())
            .unwrap();
        let mut token = created;
        let mut seen = Vec::new();
        for seconds in [0, 59, 61] {
            store
                .note_use(&token, first + TimeDelta::seconds(seconds))
                .unwrap();
            token = store.tokens().unwrap().remove(0);
            seen.push((token.last_used_at.unwrap() - first).num_seconds());
        }
        assert_eq!(seen, [0, 0, 61]);
    }

    #[test]
    fn a_token_whose_limits_cannot_be_read_is_an_error_and_not_a_token_without_limits() {
        let dir = tempfile::tempdir().unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        let secret = ApiToken::generate().unwrap();
        store
            .create_token(&new_token(&secret), from_micros(0), |_| AccessEntry::any())
            .unwrap();
        store
            .write(|db| Ok(db.execute("UPDATE token SET sources = 'everything'", [])?))
            .unwrap();
        let error = store.token_by_hash(&secret.hash()).unwrap_err();
        assert!(error.to_string().contains("unreadable sources"), "{error}");
    }
}
