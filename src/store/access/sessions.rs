//! Sessions of browsers: a cookie in place of a token.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::OptionalExtension;

use super::database::AccessStore;
use super::tokens::{TokenRow, find};
use crate::access::SecretHash;
use crate::store::error::StoreError;

/// How long a session lasts, in hours: a working day. Whoever works on signs in again.
pub const SESSION_HOURS: i64 = 12;

impl AccessStore {
    /// Begins a session for a token, and returns when it ends: with its token, or after [`SESSION_HOURS`]. Sessions that have
    /// ended are removed on this occasion.
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
            db.execute(
                "DELETE FROM session WHERE expires_us <= ?1",
                [now.timestamp_micros()],
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{ApiToken, Grant, SessionKey};
    use crate::clock::from_micros;
    use crate::store::access::NewToken;

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
        let token = store.create_token(&new, now).unwrap();
        let key = SessionKey::generate().unwrap().hash();
        let is_open = |at| store.token_of_session(&key, at).unwrap().is_some();
        assert!(!is_open(now));
        let end = store.begin_session(&token, &key, now).unwrap();
        assert!(is_open(now) && is_open(end - TimeDelta::seconds(1)) && !is_open(end));
        store.end_session(&key).unwrap();
        assert!(!is_open(now));
        store.begin_session(&token, &key, now).unwrap();
        store.revoke_token(&token.id, now).unwrap();
        assert!(!is_open(now));
    }
}
