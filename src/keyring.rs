//! The public keys that sign the assertions of Cloudflare Access, fetched from where the team publishes them.
//!
//! One loop fetches ([`Keyring::keep`]); requests only look. A request whose key is not there asks the loop to fetch and waits
//! for that, at most once a minute for all of them together. When a fetch fails, the keys that are there are kept for a day.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

use crate::access::AssertionKey;
use crate::clock::Clock;
use crate::sync::lock;
use crate::wording::root_cause;

/// How long keys are used before they are fetched again.
const FETCH_EVERY: TimeDelta = TimeDelta::hours(1);

/// The least time between two fetches.
const FETCH_AT_MOST_EVERY: TimeDelta = TimeDelta::minutes(1);

/// How long keys are used when they cannot be fetched again.
const KEPT_FOR: TimeDelta = TimeDelta::days(1);

/// How long one fetch may take.
const FETCH_WITHIN: Duration = Duration::from_secs(5);

/// How long a request waits for a fetch.
const WAIT_WITHIN: Duration = Duration::from_secs(6);

/// How many requests may wait for a fetch at once. Others are refused.
const MAX_WAITING: usize = 32;

/// The most bytes of an answer that are read. Those of Access have about 6 KiB.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// The most keys of an answer that are used. Access has two.
const MAX_KEYS: usize = 64;

/// Why there is no key for an assertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// The keys were fetched, and this one is not among them.
    Unknown,
    /// There are no keys: they could not be fetched for too long.
    Unreachable,
}

/// Why the keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The call failed.
    #[error("{}", root_cause(.0))]
    Call(#[from] reqwest::Error),
    /// It took too long.
    #[error("no answer within {} seconds", FETCH_WITHIN.as_secs())]
    TooSlow,
    /// The answer has another status than 200.
    #[error("the answer was {0}")]
    Status(reqwest::StatusCode),
    /// The answer is too large.
    #[error("the answer has more than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
    /// The answer is not a key set.
    #[error("the answer is not a JSON Web Key Set")]
    Form,
    /// The answer has no key that can be used.
    #[error("the answer has no RSA key with a `kid`")]
    Empty,
}

/// The keys by their names.
type Keys = HashMap<String, AssertionKey>;

/// The public keys of a team. A clone is the same.
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Keyring")
            .field(&self.0.url.as_str())
            .finish()
    }
}

struct Inner {
    url: Url,
    http: reqwest::Client,
    clock: Clock,
    state: Mutex<KeyringState>,
    /// Notified when a request wants a fetch.
    wanted: Notify,
    /// Changes with the end of each fetch.
    fetched: watch::Sender<()>,
    waiting: Semaphore,
}

/// Times are the steady clock's.
#[derive(Default)]
struct KeyringState {
    keys: Keys,
    /// When the fetch began that brought the keys.
    fetched_at: Option<DateTime<Utc>>,
    /// When the last fetch began.
    began_at: Option<DateTime<Utc>>,
    is_fetching: bool,
}

enum KeyLookup {
    Found(AssertionKey),
    /// After a fetch it may be there.
    Wait,
    Missing(NoKey),
}

impl KeyringState {
    fn look(&self, key_id: &str, now: DateTime<Utc>) -> KeyLookup {
        let age = self.fetched_at.map(|at| now - at);
        let is_kept = age.is_some_and(|age| age <= KEPT_FOR);
        match self.keys.get(key_id).filter(|_| is_kept) {
            Some(key) => KeyLookup::Found(key.clone()),
            None if self.is_fetching || self.may_fetch(now) => KeyLookup::Wait,
            None if is_kept => KeyLookup::Missing(NoKey::Unknown),
            None => KeyLookup::Missing(NoKey::Unreachable),
        }
    }

    /// Whether another fetch may begin.
    fn may_fetch(&self, now: DateTime<Utc>) -> bool {
        let began_at = self.began_at;
        began_at.is_none_or(|at| now - at >= FETCH_AT_MOST_EVERY)
    }

    /// When the next fetch is due.
    fn due(&self) -> Option<DateTime<Utc>> {
        let began_at = self.began_at?;
        let is_good = self.fetched_at == Some(began_at);
        let after = if is_good {
            FETCH_EVERY
        } else {
            FETCH_AT_MOST_EVERY
        };
        Some(began_at + after)
    }
}

impl Keyring {
    /// The keys at `url`; none are there yet.
    ///
    /// # Errors
    /// When the machine's TLS roots cannot be read.
    pub fn new(url: Url, clock: Clock) -> Result<Self, reqwest::Error> {
        Ok(Self(Arc::new(Inner {
            http: client()?,
            url,
            clock,
            state: Mutex::default(),
            wanted: Notify::new(),
            fetched: watch::Sender::new(()),
            waiting: Semaphore::new(MAX_WAITING),
        })))
    }

    /// Where the keys are.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0.url
    }

    /// The key with this name. Waits for a fetch only if the key is not there and a fetch may begin.
    ///
    /// # Errors
    /// [`NoKey`] if it is not there.
    pub async fn find(&self, key_id: &str) -> Result<AssertionKey, NoKey> {
        // Before the look: a fetch that ends after it is noticed.
        let mut fetched = self.0.fetched.subscribe();
        match self.look(key_id) {
            KeyLookup::Found(key) => return Ok(key),
            KeyLookup::Missing(why) => return Err(why),
            KeyLookup::Wait => {}
        }
        let Ok(_place) = self.0.waiting.try_acquire() else {
            return Err(NoKey::Unknown);
        };
        self.0.wanted.notify_one();
        // Without a fetch in time, it is as if it had failed.
        let in_time = tokio::time::timeout(WAIT_WITHIN, fetched.changed()).await;
        match self.look(key_id) {
            KeyLookup::Found(key) => Ok(key),
            KeyLookup::Missing(why) => Err(why),
            KeyLookup::Wait if in_time.is_ok() => Err(NoKey::Unknown),
            KeyLookup::Wait => Err(NoKey::Unreachable),
        }
    }

    fn look(&self, key_id: &str) -> KeyLookup {
        let now = self.0.clock.steady();
        let state = lock(&self.0.state);
        if state.due().is_some_and(|due| now >= due) {
            self.0.wanted.notify_one();
        }
        state.look(key_id, now)
    }

    /// Fetches the keys now, every hour, and when a request wants an unknown one, until `stop`.
    pub async fn keep(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.fetch_and_keep() => {}
            }
            while !self.is_next_fetch_wanted(&stop).await {
                if stop.is_cancelled() {
                    return;
                }
            }
        }
    }

    /// Waits until the next fetch is due or a request wants one; whether it may begin.
    async fn is_next_fetch_wanted(&self, stop: &CancellationToken) -> bool {
        let now = self.0.clock.steady();
        let due = lock(&self.0.state).due().unwrap_or(now);
        let wait = (due - now).to_std().unwrap_or_default();
        tokio::select! {
            () = stop.cancelled() => return false,
            () = self.0.wanted.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        lock(&self.0.state).may_fetch(self.0.clock.steady())
    }

    async fn fetch_and_keep(&self) {
        let began_at = self.0.clock.steady();
        {
            let mut state = lock(&self.0.state);
            state.began_at = Some(began_at);
            state.is_fetching = true;
        }
        let fetched = fetch(&self.0.http, &self.0.url).await;
        {
            let mut state = lock(&self.0.state);
            state.is_fetching = false;
            match fetched {
                Ok(keys) => {
                    if state.keys != keys {
                        info!(url = %self.0.url, keys = keys.len(), "Fetched the keys of Cloudflare Access.");
                    }
                    state.keys = keys;
                    state.fetched_at = Some(began_at);
                }
                Err(error) => warn!(
                    url = %self.0.url, error = %error, keys = state.keys.len(),
                    "The keys of Cloudflare Access could not be fetched; trying again in a minute. The keys that are there are used for a day."
                ),
            }
        }
        self.0.fetched.send_replace(());
    }
}

/// Fetches the keys once, for a check: their names.
///
/// # Errors
/// [`KeysError`] if there are none.
pub async fn key_names(url: &Url) -> Result<Vec<String>, KeysError> {
    let keys = fetch(&client()?, url).await?;
    let mut names: Vec<String> = keys.into_keys().collect();
    names.sort_unstable();
    Ok(names)
}

/// A client that follows no redirect: the keys are where the configuration says, or nowhere.
fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .connect_timeout(FETCH_WITHIN)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

async fn fetch(http: &reqwest::Client, url: &Url) -> Result<Keys, KeysError> {
    let fetched = tokio::time::timeout(FETCH_WITHIN, fetch_slowly(http, url)).await;
    fetched.unwrap_or(Err(KeysError::TooSlow))
}

async fn fetch_slowly(http: &reqwest::Client, url: &Url) -> Result<Keys, KeysError> {
    let mut answer = http.get(url.clone()).send().await?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(KeysError::Status(answer.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(KeysError::TooLarge);
        }
    }
    read(&body)
}

/// Reads a JSON Web Key Set (RFC 7517). Keys of another kind, for another use or without a name are left out.
fn read(body: &[u8]) -> Result<Keys, KeysError> {
    #[derive(Deserialize)]
    struct PublishedKeys {
        keys: Vec<serde_json::Value>,
    }
    #[derive(Deserialize)]
    struct PublishedKey {
        kty: String,
        kid: String,
        n: String,
        e: String,
        alg: Option<String>,
        #[serde(rename = "use")]
        usage: Option<String>,
    }
    let set: PublishedKeys = serde_json::from_slice(body).map_err(|_| KeysError::Form)?;
    let keys = set
        .keys
        .into_iter()
        .filter_map(|key| serde_json::from_value::<PublishedKey>(key).ok());
    let ours = keys.filter(|key| {
        key.kty == "RSA"
            && key.alg.as_deref().is_none_or(|alg| alg == "RS256")
            && key.usage.as_deref().is_none_or(|usage| usage == "sig")
    });
    let named =
        ours.filter_map(|key| Some((key.kid, AssertionKey::from_base64url(&key.n, &key.e)?)));
    let keys: Keys = named.take(MAX_KEYS).collect();
    match keys.is_empty() {
        true => Err(KeysError::Empty),
        false => Ok(keys),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    #[test]
    fn keys_of_other_kinds_are_left_out() {
        let set = r#"{"keys":[
            {"kid":"a","kty":"RSA","alg":"RS256","use":"sig","e":"AQAB","n":"AQAB"},
            {"kid":"b","kty":"RSA","e":"AQAB","n":"AQAB"},
            {"kid":"c","kty":"EC","crv":"P-256","x":"","y":""},
            {"kid":"d","kty":"RSA","alg":"RS512","e":"AQAB","n":"AQAB"},
            {"kid":"e","kty":"RSA","use":"enc","e":"AQAB","n":"AQAB"},
            {"kty":"RSA","e":"AQAB","n":"AQAB"}, 1, null],
            "public_cert":{"kid":"a","cert":""}}"#;
        let keys = read(set.as_bytes()).unwrap();
        let mut names: Vec<_> = keys.keys().collect();
        names.sort_unstable();
        assert_eq!(names, ["a", "b"]);
        for (text, wanted) in [
            ("", "not a JSON Web Key Set"),
            ("{}", "not a JSON Web Key Set"),
            (r#"{"keys":[]}"#, "no RSA key"),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn keys_are_kept_for_a_day_when_they_cannot_be_fetched() {
        let at = from_micros(0);
        let key = AssertionKey::from_base64url("AQAB", "AQAB").unwrap();
        let state = KeyringState {
            keys: HashMap::from([("a".to_owned(), key)]),
            fetched_at: Some(at),
            began_at: Some(at + KEPT_FOR),
            is_fetching: false,
        };
        let look = |key: &str, now| state.look(key, now);
        let (last, after) = (at + KEPT_FOR, at + KEPT_FOR + TimeDelta::seconds(1));
        assert!(matches!(look("a", last), KeyLookup::Found(_)));
        assert!(matches!(
            look("b", last),
            KeyLookup::Missing(NoKey::Unknown)
        ));
        assert!(matches!(
            look("a", after),
            KeyLookup::Missing(NoKey::Unreachable)
        ));
        let later = last + FETCH_AT_MOST_EVERY;
        assert!(matches!(look("a", later), KeyLookup::Wait));
        assert_eq!(state.due(), Some(later));
    }
}
