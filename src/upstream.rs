//! Cloudflare's API, as much of it as we read: one page of an audit log, one page of an organization's accounts or members.
//!
//! A call needs a [`Permit`] from the credential's [`Quota`], so none can be made outside it. Answers are taken as they may
//! come: the cursor in either of two places, `result: null`, a failure under a 200, HTML under a 5xx, a body cut short.
//! Errors are named by what the caller does about them. Entries are handed on as the bytes that came.
//!
//! It does not know windows' meaning, what is kept, or when to try again.

mod lists;
mod quota;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use crate::clock::Clock;
use crate::json;
use crate::position::{Cursor, Source, Window, rfc3339};
use crate::task;
use crate::wording::causes;

pub use self::lists::{AccountsPage, MembersPage};
pub use self::quota::{Permit, Quota, Spent};

/// The most that is read of one answer, in bytes, decompressed.
pub const MAX_PAGE_BYTES: usize = 64 * 1024 * 1024;

/// The most that is read of an answer that is an error, in bytes.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// How much of what upstream says is repeated in an error, in characters.
const MAX_SAID_CHARS: usize = 200;

/// How long to wait after a 429 that does not say: upstream blocks for five minutes.
const DEFAULT_RETRY_AFTER: TimeDelta = TimeDelta::seconds(300);

/// Error codes that mean the credential, whatever the status: malformed headers come as a 400.
const CREDENTIAL_CODES: [i64; 6] = [1000, 6003, 6103, 6111, 9109, 10000];

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

/// Why a call gave no page, by what the caller does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// Wait: no call of this credential before then. The quota knows already.
    #[error("rate limited until {}", rfc3339(*.until))]
    RateLimited {
        /// The end of the wait.
        until: DateTime<Utc>,
    },
    /// Back off and try the same again.
    #[error("{0}")]
    Transient(String),
    /// Start the window over: the cursor leads nowhere.
    #[error("the cursor was refused: {0}")]
    CursorRefused(String),
    /// Ask for fewer entries.
    #[error("the page has more than {} MiB", MAX_PAGE_BYTES / 1024 / 1024)]
    PageTooLarge,
    /// Stop this credential's sources and tell: somebody must act.
    #[error("the credential does not work: {0}")]
    Unauthorized(String),
    /// Record and try again much later: upstream answers, but not with what was asked.
    #[error("{0}")]
    Unexpected(String),
}

/// One page of an audit log.
#[derive(Debug)]
pub struct LogPage {
    /// Its entries, in upstream's order, as the bytes that came.
    pub entries: Vec<Box<RawValue>>,
    /// Where it goes on. Upstream's own clients stop at an empty page, whatever its cursor says, and so do we.
    pub next: Option<Cursor>,
    /// Upstream's present when it answered.
    pub date: Option<DateTime<Utc>>,
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
        })
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
        let mut url = self.url(&[source.kind().as_str(), source.id(), "logs", "audit"]);
        url.query_pairs_mut()
            .append_pair("since", &rfc3339(window.since))
            .append_pair("before", &rfc3339(window.before))
            .append_pair("direction", "asc")
            .append_pair("limit", &limit.to_string());
        if let Some(Cursor(cursor)) = cursor {
            url.query_pairs_mut().append_pair("cursor", cursor);
        }
        let (date, body) = self.get(permit, url, cursor.is_some()).await?;
        let envelope = Envelope::read(&body)?;
        let entries: Vec<Box<RawValue>> = envelope
            .result()?
            .into_iter()
            .map(ToOwned::to_owned)
            .collect();
        let next = if entries.is_empty() {
            None
        } else {
            envelope.cursor()?.map(Cursor)
        };
        Ok(LogPage {
            entries,
            next,
            date,
        })
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Makes the call; gives the body of a 200, and upstream's present.
    async fn get(
        &self,
        permit: Permit,
        url: Url,
        has_cursor: bool,
    ) -> Result<(Option<DateTime<Utc>>, Vec<u8>), UpstreamError> {
        let request = self
            .http
            .get(url)
            .header(AUTHORIZATION, self.authorization().await?);
        permit
            .check(self.clock.steady())
            .map_err(|until| UpstreamError::RateLimited { until })?;
        let response = request
            .send()
            .await
            .map_err(|error| UpstreamError::Transient(causes(&error.without_url())))?;
        let headers = response.headers();
        self.quota.heard(headers, self.clock.steady());
        let date = date(headers);
        match response.status() {
            StatusCode::OK => {
                let body = read_body(response, MAX_PAGE_BYTES).await?;
                drop(permit);
                Ok((date, body))
            }
            StatusCode::TOO_MANY_REQUESTS => {
                let until = self.clock.steady()
                    + retry_after(headers, date.unwrap_or_else(|| self.clock.now()));
                self.quota.block(until);
                Err(UpstreamError::RateLimited { until })
            }
            status => Err(failure(status, response, has_cursor).await),
        }
    }

    async fn authorization(&self) -> Result<HeaderValue, UpstreamError> {
        let read = Arc::clone(&self.token);
        let token = task::blocking(move || read())
            .await
            .map_err(UpstreamError::Unauthorized)?;
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
            .map_err(|_| {
                UpstreamError::Unauthorized(
                    "the token holds characters that no header can carry".into(),
                )
            })?;
        value.set_sensitive(true);
        Ok(value)
    }
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
async fn failure(status: StatusCode, response: Response, has_cursor: bool) -> UpstreamError {
    let body = read_body(response, MAX_ERROR_BYTES)
        .await
        .unwrap_or_default();
    let said = Errors::read(&body);
    let message = format!("upstream answered {status}{said}");
    let is_credential = said
        .codes
        .iter()
        .any(|code| CREDENTIAL_CODES.contains(code));
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => UpstreamError::Unauthorized(message),
        StatusCode::BAD_REQUEST if is_credential => UpstreamError::Unauthorized(message),
        StatusCode::BAD_REQUEST | StatusCode::GONE if has_cursor => {
            UpstreamError::CursorRefused(message)
        }
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

/// How long a 429 says to wait, in seconds or until a date by upstream's own clock.
fn retry_after(headers: &HeaderMap, upstream_now: DateTime<Utc>) -> TimeDelta {
    let said = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .map(str::trim);
    let seconds = said
        .and_then(|text| text.parse::<u32>().ok())
        .map(|seconds| TimeDelta::seconds(seconds.into()));
    let until = || {
        said.and_then(http_date)
            .map(|until| (until - upstream_now).max(TimeDelta::zero()))
    };
    seconds.or_else(until).unwrap_or(DEFAULT_RETRY_AFTER)
}

/// The envelope around every result. Members may be missing, null, or of another type; only `success: false` fails.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result_info: Option<&'a RawValue>,
    #[serde(borrow, default)]
    success: Option<&'a RawValue>,
    #[serde(borrow, default)]
    errors: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    fn read(body: &'a [u8]) -> Result<Self, UpstreamError> {
        let envelope: Self = serde_json::from_slice(body).map_err(|error| {
            UpstreamError::Transient(format!(
                "the answer is not whole, or not JSON: {error}{}",
                Beginning(body)
            ))
        })?;
        if envelope
            .success
            .is_some_and(|success| success.get() == "false")
        {
            let said = envelope.errors.map_or_else(Errors::default, |errors| {
                Errors::of(errors.get().as_bytes())
            });
            return Err(UpstreamError::Transient(format!(
                "upstream answered 200 with `success: false`{said}"
            )));
        }
        Ok(envelope)
    }

    fn result(&self) -> Result<Vec<&'a RawValue>, UpstreamError> {
        let Some(result) = self.result else {
            return Ok(Vec::new());
        };
        let list: Option<Vec<&RawValue>> = serde_json::from_str(result.get())
            .map_err(|_| UpstreamError::Unexpected("the answer's `result` is not a list".into()))?;
        Ok(list.unwrap_or_default())
    }

    /// The cursor, where the reference has it or where the official clients look for it.
    fn cursor(&self) -> Result<Option<String>, UpstreamError> {
        match self.what_follows(&["cursor"])? {
            None => self.what_follows(&["cursors", "after"]),
            found => Ok(found),
        }
    }

    fn next_page_token(&self) -> Result<Option<String>, UpstreamError> {
        self.what_follows(&["next_page_token"])
    }

    /// A text in `result_info` that leads on. One that cannot be read is an error: taken for none, a page in the middle
    /// would pass for the last one.
    fn what_follows(&self, path: &[&str]) -> Result<Option<String>, UpstreamError> {
        let info = self.result_info.map_or("", RawValue::get);
        let Some(value) = json::member(info, path).filter(|value| *value != "null") else {
            return Ok(None);
        };
        match serde_json::from_str::<String>(value) {
            Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            Err(_) => Err(UpstreamError::Unexpected(format!(
                "the answer's `result_info.{}` is not text",
                path.join(".")
            ))),
        }
    }
}

/// What upstream said went wrong.
#[derive(Default)]
struct Errors {
    codes: Vec<i64>,
    messages: Vec<String>,
}

impl Errors {
    fn read(body: &[u8]) -> Self {
        match serde_json::from_slice::<Envelope<'_>>(body) {
            Ok(envelope) => envelope
                .errors
                .map_or_else(Self::default, |errors| Self::of(errors.get().as_bytes())),
            Err(_) => Self {
                codes: Vec::new(),
                messages: vec![plain(&String::from_utf8_lossy(body))],
            },
        }
    }

    fn of(errors: &[u8]) -> Self {
        let list: Vec<serde_json::Value> = serde_json::from_slice(errors).unwrap_or_default();
        let mut said = Self::default();
        for error in &list {
            let chain = error["error_chain"].as_array().into_iter().flatten();
            for error in std::iter::once(error).chain(chain) {
                said.codes.extend(error["code"].as_i64());
                said.messages.extend(error["message"].as_str().map(plain));
            }
        }
        said
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<&str> = self
            .messages
            .iter()
            .map(String::as_str)
            .filter(|said| !said.is_empty())
            .collect();
        if messages.is_empty() {
            return Ok(());
        }
        let said: String = messages.join(": ").chars().take(MAX_SAID_CHARS).collect();
        write!(f, ": {said}")?;
        self.codes
            .first()
            .map_or(Ok(()), |code| write!(f, " (code {code})"))
    }
}

/// The beginning of a body that could not be read, for a person.
struct Beginning<'a>(&'a [u8]);

impl fmt::Display for Beginning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.0[..self.0.len().min(4 * MAX_SAID_CHARS)]);
        if text.trim_start().starts_with(['{', '[']) {
            return Ok(());
        }
        write!(f, "; it begins `{}`", plain(&text))
    }
}

/// Upstream's text on one line, without its tags and control characters, cut to a length.
fn plain(text: &str) -> String {
    let mut in_tag = false;
    let visible = text.chars().filter(|&c| {
        let keep = !in_tag && c != '<';
        in_tag = (in_tag || c == '<') && c != '>';
        keep
    });
    let spaced: String = visible
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    spaced
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(MAX_SAID_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(body: &str) -> Option<String> {
        Envelope::read(body.as_bytes()).unwrap().cursor().unwrap()
    }

    #[test]
    fn the_cursor_is_found_in_both_places() {
        assert_eq!(
            cursor(r#"{"result_info":{"count":"1","cursor":"a="}}"#).as_deref(),
            Some("a=")
        );
        assert_eq!(
            cursor(r#"{"result_info":{"count":1,"cursors":{"after":"b"}}}"#).as_deref(),
            Some("b")
        );
        assert_eq!(
            cursor(r#"{"result_info":{"cursor":"","cursors":{"after":"b"}}}"#).as_deref(),
            Some("b")
        );
        assert_eq!(cursor(r#"{"result_info":{"cursor":""}}"#), None);
        assert_eq!(
            cursor(r#"{"result_info":{"cursor":null,"cursors":[]}}"#),
            None
        );
        assert_eq!(cursor(r#"{"result_info":null}"#), None);
        assert_eq!(cursor("{}"), None);
    }

    #[test]
    fn a_page_that_leads_on_is_never_taken_for_the_last() {
        // What else stands beside it may be as strange as it likes.
        let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
        for beside in [r#""\ud800""#, "1e999", &deep] {
            let body = format!(r#"{{"result_info":{{"count":{beside},"cursor":"a"}}}}"#);
            assert_eq!(cursor(&body).as_deref(), Some("a"), "{beside}");
        }
        for strange in ["17", "{}", r#""\ud800""#] {
            let body =
                format!(r#"{{"result_info":{{"cursor":{strange},"next_page_token":{strange}}}}}"#);
            let envelope = Envelope::read(body.as_bytes()).unwrap();
            assert!(envelope.cursor().is_err(), "{strange}");
            assert!(envelope.next_page_token().is_err(), "{strange}");
        }
    }

    #[test]
    fn results_may_be_null_or_missing_but_are_lists() {
        let len = |body: &str| {
            Envelope::read(body.as_bytes())
                .unwrap()
                .result()
                .map(|list| list.len())
        };
        assert_eq!(len(r#"{"result":null,"success":true}"#), Ok(0));
        assert_eq!(len("{}"), Ok(0));
        assert_eq!(len(r#"{"result":[{},7]}"#), Ok(2));
        assert!(matches!(
            len(r#"{"result":{}}"#),
            Err(UpstreamError::Unexpected(_))
        ));
    }

    #[test]
    fn bodies_that_are_no_answer_are_told_shortly() {
        let told = |body: &str| Envelope::read(body.as_bytes()).err().unwrap().to_string();
        insta::assert_debug_snapshot!(
            [
                told(r#"{"errors":[],"result":[{"id":"6b3e"#),
                told("<html>\n<head><title>502 Bad Gateway</title></head>\x1b[2J</html>"),
                told(r#"{"success":false,"errors":[{"code":null,"message":"partial failure"}],"result":[]}"#),
                Errors::read(br#"{"success":false,"errors":[{"code":6003,"message":"Invalid request headers","error_chain":[{"code":6111,"message":"Invalid format"}]}]}"#).to_string(),
                Errors::read(b"").to_string(),
            ],
            @r#"
        [
            "the answer is not whole, or not JSON: EOF while parsing a string at line 1 column 34",
            "the answer is not whole, or not JSON: expected value at line 1 column 1; it begins `502 Bad Gateway [2J`",
            "upstream answered 200 with `success: false`: partial failure",
            ": Invalid request headers: Invalid format (code 6003)",
            "",
        ]
        "#
        );
    }

    #[test]
    fn waits_are_told_in_seconds_or_by_a_date() {
        let now = http_date("Mon, 03 Aug 2026 08:00:00 GMT").unwrap();
        let check = |text: &'static str, seconds: i64| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(retry_after(&headers, now).num_seconds(), seconds, "{text}");
        };
        check("187", 187);
        check(" 0 ", 0);
        check("Mon, 03 Aug 2026 08:01:00 GMT", 60);
        check("Mon, 03 Aug 2026 07:00:00 GMT", 0);
        check("soon", 300);
        check("-5", 300);
        assert_eq!(retry_after(&HeaderMap::new(), now).num_seconds(), 300);
    }
}
