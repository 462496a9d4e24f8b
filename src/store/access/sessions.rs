//! Sessions of browsers: a cookie in place of a token.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension};

use super::database::AccessStore;
use super::tokens::{TokenRow, find};
use crate::access::SecretHash;
use crate::store::error::StoreError;

/// How long a session lasts, in hours: a working day. Whoever works on signs in again.
pub const SESSION_HOURS: i64 = 12;

/// The most sessions of one token: a further one ends the oldest.
const MAX_SESSIONS: usize = 20;

impl AccessStore {
    /// Begins a session for a token, and returns when it ends: with its token, or after [`SESSION_HOURS`]. Ends the oldest
    /// sessions of the token when it has too many.
    ///
    /// # Errors
    /// What the database says.
    pub fn begin_session(
        &self,
        token: &TokenRow,
        key: &SecretHash,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, StoreError> {
        let longest = now + TimeDelta::hours(SESSION_HOURS);
        let end = token.expires_at.map_or(longest, |end| end.min(longest));
        self.write(|db| {
            forget_ended(db, now)?;
            db.execute(
                "DELETE FROM session WHERE hash IN
                 (SELECT hash FROM session WHERE token = ?1 ORDER BY created_us DESC, hash LIMIT -1 OFFSET ?2)",
                (&token.id, MAX_SESSIONS - 1),
            )?;
            db.execute(
                "INSERT INTO session (hash, token, created_us, expires_us) VALUES (?1, ?2, ?3, ?4)",
                (
                    key.as_bytes().as_slice(),
                    &token.id,
                    now.timestamp_micros(),
                    end.timestamp_micros(),
                ),
            )?;
            Ok(end)
        })
    }

    /// The token that the session stands for; `None` if the session is unknown or has ended.
    ///
    /// # Errors
    /// What the database says.
    pub fn token_of_session(
        &self,
        key: &SecretHash,
        now: DateTime<Utc>,
    ) -> Result<Option<TokenRow>, StoreError> {
        self.read(|db| {
            let mut select =
                db.prepare_cached("SELECT token FROM session WHERE hash = ?1 AND expires_us > ?2")?;
            let id: Option<String> = select
                .query_row((key.as_bytes().as_slice(), now.timestamp_micros()), |row| {
                    row.get(0)
                })
                .optional()?;
            match id {
                Some(id) => find(db, "id = ?1", id),
                None => Ok(None),
            }
        })
    }

    /// Deletes the sessions that have ended.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub fn forget_ended_sessions(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.write(|db| forget_ended(db, now))
    }

    /// Ends a session. Nothing happens if there is none.
    ///
    /// # Errors
    /// What the database says.
    pub fn end_session(&self, key: &SecretHash) -> Result<(), StoreError> {
        self.write(|db| {
            db.execute(
                "DELETE FROM session WHERE hash = ?1",
                [key.as_bytes().as_slice()],
            )?;
            Ok(())
        })
    }
}

fn forget_ended(db: &Connection, now: DateTime<Utc>) -> Result<(), StoreError> {
    db.execute(
        "DELETE FROM session WHERE expires_us <= ?1",
        [now.timestamp_micros()],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{ApiToken, Grant, SessionKey};
    use crate::clock::from_micros;
    use crate::store::access::{AccessEntry, NewToken};

    #[test]
    fn a_session_ends_by_itself_when_it_is_ended_and_with_its_token() {
        let dir = tempfile::tempdir().unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        let now = from_micros(1_000_000_000);
        let new = NewToken {
            name: "page".into(),
            hash: ApiToken::generate().unwrap().hash(),
            grant: Grant::everything(),
            expires_at: None,
        };
        let token = store
            .create_token(&new, now, |_| AccessEntry::any())
            .unwrap();
        let key = SessionKey::generate().unwrap().hash();
        let is_open = |at| store.token_of_session(&key, at).unwrap().is_some();
        assert!(!is_open(now));
        let end = store.begin_session(&token, &key, now).unwrap();
        assert!(is_open(now) && is_open(end - TimeDelta::seconds(1)) && !is_open(end));
        store.end_session(&key).unwrap();
        assert!(!is_open(now));
        store.begin_session(&token, &key, now).unwrap();
        store
            .revoke_token(&token.id, now, &AccessEntry::any())
            .unwrap();
        assert!(!is_open(now));
    }

    #[test]
    fn the_oldest_of_too_many_sessions_ends_and_ended_ones_are_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        let begin = from_micros(1_000_000_000);
        let new = || NewToken {
            name: "page".into(),
            hash: ApiToken::generate().unwrap().hash(),
            grant: Grant::everything(),
            expires_at: None,
        };
        let other = store
            .create_token(&new(), begin, |_| AccessEntry::any())
            .unwrap();
        let token = store
            .create_token(&new(), begin, |_| AccessEntry::any())
            .unwrap();
        let key = || SessionKey::generate().unwrap().hash();
        let of_other = key();
        store.begin_session(&other, &of_other, begin).unwrap();
        let keys: Vec<_> = (0..=MAX_SESSIONS).map(|_| key()).collect();
        for (n, key) in keys.iter().enumerate() {
            let at = begin + TimeDelta::seconds(n as i64);
            store.begin_session(&token, key, at).unwrap();
        }
        let is_open = |key| store.token_of_session(key, begin).unwrap().is_some();
        assert!(!is_open(&keys[0]) && is_open(&of_other));
        assert!(keys[1..].iter().all(is_open));
        let end = begin + TimeDelta::hours(SESSION_HOURS + 1);
        store.forget_ended_sessions(end).unwrap();
        assert!(keys.iter().all(|key| !is_open(key)));
    }
}
