//! Cloudflare's API, as much of it as we read: one page of an audit log, one page of an organization's accounts or members.
//!
//! A call needs a [`Permit`] from the credential's [`Quota`], so none can be made outside it. Answers are taken as they may
//! come: the cursor in either of two places, `result: null`, a failure under a 200, HTML under a 5xx, a body cut short.
//! Errors are named by what the caller does about them. Entries are handed on as the bytes that came; every other text of
//! upstream's passes a mask first, which hides credentials.
//!
//! It does not know windows' meaning, what is kept, or when to try again.

mod envelope;
mod error;
mod fullness;
mod lists;
mod quota;
mod recent_calls;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail_cloudflare::coverage::{self, Covered};
use orgtrail_cloudflare::error::CREDENTIAL_CODES;
use orgtrail_cloudflare::request::{Direction, LogRequest};
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::clock::Clock;
use crate::mask::Mask;
use crate::metrics::{Metrics, RequestOutcome};
use crate::position::{Cursor, Source, SourceKind, Window};
use crate::task;
use crate::wording::{causes, root_cause};

use self::envelope::{Envelope, Errors};
pub use self::error::UpstreamError;
pub use self::fullness::Fullness;
use self::fullness::Longest;
pub use self::lists::{AccountsPage, MembersPage};
pub use self::quota::{Permit, Quota, Saved, Spent};

/// The most that is read of one answer, in bytes, decompressed.
pub const MAX_PAGE_BYTES: usize = 64 * 1024 * 1024;

/// The most that is read of an answer that is an error, in bytes.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// How long is waited for upstream.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes.
    pub idle: Duration,
    /// For the whole answer.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(300),
        }
    }
}

/// One page of an audit log.
#[derive(Debug)]
pub struct LogPage {
    /// Its entries, in upstream's order, as the bytes that came.
    pub entries: Vec<Box<RawValue>>,
    /// Where it goes on. An empty page may have a cursor too, and more entries may follow.
    pub next: Option<Cursor>,
    /// Whether more may follow although it has no cursor.
    pub fullness: Fullness,
    /// Upstream's present when it answered.
    pub date: Option<DateTime<Utc>>,
    /// How far the answer is proven, where upstream is another orgtrail.
    pub covered: Option<Covered>,
}

/// Reads the credential, each time it is needed: its file may have changed.
pub type ReadToken = Arc<dyn Fn() -> Result<SecretString, String> + Send + Sync>;

/// Upstream, seen with one credential. A clone shares its connections and its quota.
#[derive(Clone)]
pub struct Upstream {
    http: reqwest::Client,
    base_url: Url,
    token: ReadToken,
    quota: Quota,
    clock: Clock,
    max_page_bytes: usize,
    /// Of accounts' logs and of organizations': one may be cut shorter than the other.
    longest: Arc<[Longest; 2]>,
    metrics: Metrics,
    /// Hides the token of the latest call.
    mask: Arc<Mutex<Mask>>,
    /// Cancelled when its calls are given up.
    given_up: CancellationToken,
}

/// An answer with status 200.
struct Answer {
    body: Vec<u8>,
    /// Upstream's present.
    date: Option<DateTime<Utc>>,
    covered: Option<Covered>,
    mask: Mask,
}

impl Answer {
    fn envelope(&self) -> Result<Envelope<'_>, UpstreamError> {
        Envelope::read(&self.body, &self.mask)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("base_url", &self.base_url.as_str())
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// Upstream at `base_url`, for calls inside `quota`.
    ///
    /// # Errors
    /// When the machine's TLS roots cannot be read.
    pub fn new(
        base_url: Url,
        token: ReadToken,
        quota: Quota,
        clock: Clock,
        timeouts: Timeouts,
    ) -> Result<Self, UpstreamError> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("orgtrail/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(timeouts.connect)
            .read_timeout(timeouts.idle)
            .timeout(timeouts.total)
            .build()
            .map_err(|error| {
                UpstreamError::Unexpected(format!(
                    "could not prepare for HTTPS: {}",
                    causes(&error)
                ))
            })?;
        Ok(Self {
            http,
            base_url,
            token,
            quota,
            clock,
            max_page_bytes: MAX_PAGE_BYTES,
            longest: Arc::default(),
            metrics: Metrics::default(),
            mask: Arc::default(),
            given_up: CancellationToken::new(),
        })
    }

    /// The same, whose calls fail once `given_up` is cancelled.
    #[must_use]
    pub fn given_up_by(self, given_up: CancellationToken) -> Self {
        Self { given_up, ..self }
    }

    /// What is cancelled when its calls are given up.
    #[must_use]
    pub fn given_up(&self) -> CancellationToken {
        self.given_up.clone()
    }

    /// The same, which reads at most so much of one answer: less than [`MAX_PAGE_BYTES`].
    #[must_use]
    pub fn taking_at_most(self, max_page_bytes: usize) -> Self {
        Self {
            max_page_bytes,
            ..self
        }
    }

    /// The same, which counts its calls there.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// SHA-256 of the credential's current token, to notice when it changes; `None` when there is none.
    #[must_use]
    pub fn token_mark(&self) -> Option<[u8; 32]> {
        let token = (self.token)().ok()?;
        Some(Sha256::digest(token.expose_secret().as_bytes()).into())
    }

    /// The credential's budget.
    #[must_use]
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// One page of a source's log, oldest first: at most `limit` entries between the window's bounds as they are given.
    ///
    /// # Errors
    /// [`UpstreamError`], named by what to do.
    pub async fn fetch_log_page(
        &self,
        permit: Permit,
        source: &Source,
        window: Window,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<LogPage, UpstreamError> {
        let page = self.log_page(permit, source, window, cursor, limit).await;
        self.count(&page);
        page
    }

    async fn log_page(
        &self,
        permit: Permit,
        source: &Source,
        window: Window,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<LogPage, UpstreamError> {
        let mut url = self.url(&[source.kind().as_str(), source.id(), "logs", "audit"]);
        let request = LogRequest {
            since: window.since,
            before: window.before,
            direction: Direction::Ascending,
            limit,
            cursor,
        };
        url.query_pairs_mut().extend_pairs(request.parameters());
        let answer = self.get(permit, url, cursor.is_some()).await?;
        let envelope = answer.envelope()?;
        let entries: Vec<Box<RawValue>> = envelope
            .result()?
            .into_iter()
            .map(ToOwned::to_owned)
            .collect();
        let next = envelope.cursor()?;
        // The cursors of another orgtrail are reliable: without one, nothing follows.
        let fullness = match (&answer.covered, &next) {
            (Some(_), None) => Fullness::NotFull,
            _ => self
                .longest(source.kind())
                .fullness(entries.len(), limit, next.is_some()),
        };
        Ok(LogPage {
            next,
            fullness,
            entries,
            date: answer.date,
            covered: answer.covered,
        })
    }

    /// Counts a call by how it ended. A 429 is counted where it comes in: a call that is not made because of an earlier one ends
    /// with the same error.
    fn count<T>(&self, ended: &Result<T, UpstreamError>) {
        let outcome = match ended {
            Ok(_) => RequestOutcome::Ok,
            Err(UpstreamError::RateLimited { .. } | UpstreamError::NoToken(_)) => return,
            Err(UpstreamError::Transient(_)) => RequestOutcome::Failed,
            Err(UpstreamError::Unreadable(_) | UpstreamError::PageTooLarge) => {
                RequestOutcome::Unreadable
            }
            Err(UpstreamError::Unauthorized(_)) => RequestOutcome::CredentialRefused,
            Err(UpstreamError::Forbidden(_)) => RequestOutcome::Forbidden,
            Err(UpstreamError::CursorRefused(_) | UpstreamError::WindowRefused(_)) => {
                RequestOutcome::Rejected
            }
            Err(UpstreamError::Unexpected(_)) => RequestOutcome::Unexpected,
        };
        self.metrics.requested(outcome);
    }

    /// The longest pages of such logs.
    fn longest(&self, kind: SourceKind) -> &Longest {
        let [accounts, organizations] = &*self.longest;
        match kind {
            SourceKind::Account => accounts,
            SourceKind::Organization => organizations,
        }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// A text of upstream's that is not one of its errors, as it may be shown: without the credential of the latest call.
    #[must_use]
    pub fn hide_credentials(&self, text: &str) -> String {
        let mask = self.mask.lock().unwrap_or_else(PoisonError::into_inner);
        mask.hide(text)
    }

    /// Makes the call; gives the answer if it is a 200. No error has a credential in its text.
    async fn get(
        &self,
        permit: Permit,
        url: Url,
        has_cursor: bool,
    ) -> Result<Answer, UpstreamError> {
        let token = self.read_token().await?;
        let mask = Mask::new(token.expose_secret());
        *self.mask.lock().unwrap_or_else(PoisonError::into_inner) = mask.clone();
        let answer = tokio::select! {
            answer = self.call(permit, url, has_cursor, &token, &mask) => answer,
            () = self.given_up.cancelled() => {
                let why = "the answer was slow, and other calls needed its place";
                Err(UpstreamError::Transient(why.to_owned()))
            }
        };
        match answer {
            Ok((date, covered, body)) => Ok(Answer {
                body,
                date,
                covered,
                mask,
            }),
            Err(error) => Err(error.hidden_by(&mask)),
        }
    }

    async fn call(
        &self,
        permit: Permit,
        url: Url,
        has_cursor: bool,
        token: &SecretString,
        mask: &Mask,
    ) -> Result<(Option<DateTime<Utc>>, Option<Covered>, Vec<u8>), UpstreamError> {
        let request = self.http.get(url).header(AUTHORIZATION, bearer(token)?);
        let asked_at = self.clock.steady();
        permit
            .check(asked_at)
            .map_err(|until| UpstreamError::RateLimited { until })?;
        let response = request
            .send()
            .await
            .map_err(|error| UpstreamError::Transient(self.unreached(error)))?;
        let headers = response.headers();
        self.quota.heard(headers, self.clock.steady());
        let date = date(headers);
        let covered = headers
            .get(coverage::HEADER)
            .and_then(|value| value.to_str().ok());
        let covered = covered.and_then(Covered::read);
        if response.status() != StatusCode::TOO_MANY_REQUESTS {
            self.quota.answered();
        }
        match response.status() {
            StatusCode::OK => {
                let body = read_body(response, self.max_page_bytes).await?;
                drop(permit);
                Ok((date, covered, body))
            }
            StatusCode::TOO_MANY_REQUESTS => {
                self.metrics.requested(RequestOutcome::RateLimited);
                let said = retry_after(headers, date.unwrap_or_else(|| self.clock.now()));
                let until = self.quota.refused(said, asked_at, self.clock.steady());
                Err(UpstreamError::RateLimited { until })
            }
            status => Err(failure(status, response, has_cursor, mask).await),
        }
    }

    /// That no answer came, with the host that was called: a failed lookup of its name does not say it.
    fn unreached(&self, error: reqwest::Error) -> String {
        let host = self.base_url.host_str().unwrap_or_default();
        let port = self.base_url.port();
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        if error.is_connect() {
            format!("could not reach {host}{port}: {}", root_cause(&error))
        } else {
            format!(
                "no answer from {host}{port}: {}",
                causes(&error.without_url())
            )
        }
    }

    async fn read_token(&self) -> Result<SecretString, UpstreamError> {
        let read = Arc::clone(&self.token);
        let token = task::blocking(move || read()).await;
        token.map_err(UpstreamError::NoToken)
    }
}

fn bearer(token: &SecretString) -> Result<HeaderValue, UpstreamError> {
    let value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
    let mut value = value.map_err(|_| {
        let why = "the token holds characters that no header can carry";
        UpstreamError::NoToken(why.to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, UpstreamError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                return Err(UpstreamError::PageTooLarge);
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => {
                return Err(UpstreamError::Transient(format!(
                    "the answer broke off: {}",
                    causes(&error.without_url())
                )));
            }
        }
    }
}

/// What an answer that is neither 200 nor 429 means.
async fn failure(
    status: StatusCode,
    response: Response,
    has_cursor: bool,
    mask: &Mask,
) -> UpstreamError {
    let body = read_body(response, MAX_ERROR_BYTES)
        .await
        .unwrap_or_default();
    let said = Errors::read(&body, mask);
    let message = format!("upstream answered {status}{said}");
    let is_credential = said
        .codes
        .iter()
        .any(|code| CREDENTIAL_CODES.contains(code));
    match status {
        StatusCode::UNAUTHORIZED => UpstreamError::Unauthorized(message),
        // What such a credential may read is not known of the others.
        StatusCode::FORBIDDEN => UpstreamError::Forbidden(message),
        StatusCode::BAD_REQUEST if is_credential => UpstreamError::Unauthorized(message),
        StatusCode::BAD_REQUEST | StatusCode::GONE if has_cursor => {
            UpstreamError::CursorRefused(message)
        }
        StatusCode::BAD_REQUEST => UpstreamError::WindowRefused(message),
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => UpstreamError::Transient(message),
        status if status.is_server_error() => UpstreamError::Transient(message),
        _ => UpstreamError::Unexpected(message),
    }
}

fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}

fn http_date(text: &str) -> Option<DateTime<Utc>> {
    httpdate::parse_http_date(text)
        .ok()
        .map(DateTime::<Utc>::from)
}

/// How long a 429 says to wait, in seconds or until a date by upstream's own clock; `None` when it says neither.
fn retry_after(headers: &HeaderMap, upstream_now: DateTime<Utc>) -> Option<TimeDelta> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than fits is more than is obeyed, too.
        return Some(TimeDelta::seconds(
            text.parse::<u32>().unwrap_or(u32::MAX).into(),
        ));
    }
    Some(http_date(text)? - upstream_now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_in_seconds_or_by_a_date() {
        let now = http_date("Mon, 03 Aug 2026 08:00:00 GMT").unwrap();
        let check = |text: &'static str, seconds: Option<i64>| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            let found = retry_after(&headers, now).map(|wait| wait.num_seconds());
            assert_eq!(found, seconds, "{text}");
        };
        check("187", Some(187));
        check(" 0 ", Some(0));
        check("Mon, 03 Aug 2026 08:01:00 GMT", Some(60));
        check("Mon, 03 Aug 2026 07:00:00 GMT", Some(-3_600));
        check("99999999999999999999", Some(u32::MAX.into()));
        for text in ["soon", "-5", "1.5", "NaN", ""] {
            check(text, None);
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
