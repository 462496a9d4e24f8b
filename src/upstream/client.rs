//! One call with a credential: inside the quota, with a bound on bytes and time, and without the credential in any text that comes of it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use orgtrail_cloudflare::coverage::{self, Covered};
use reqwest::header::AUTHORIZATION;
use reqwest::{StatusCode, redirect};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::answer::{bearer, date, failure, read_body, retry_after};
use super::envelope::Envelope;
use super::error::UpstreamError;
use super::fullness::Longest;
use super::quota::{Permit, Quota};
use crate::clock::Clock;
use crate::mask::Mask;
use crate::metrics::{Metrics, RequestOutcome};
use crate::position::SourceKind;
use crate::task;
use crate::wording::{causes, root_cause};

/// The most that is read of one answer, in bytes, decompressed.
pub const MAX_PAGE_BYTES: usize = 64 * 1024 * 1024;

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
pub(super) struct OkResponse {
    body: Vec<u8>,
    /// Upstream's present.
    pub(super) date: Option<DateTime<Utc>>,
    pub(super) covered: Option<Covered>,
    pub(super) mask: Mask,
}

impl OkResponse {
    pub(super) fn envelope(&self) -> Result<Envelope<'_>, UpstreamError> {
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

    /// Counts a call by how it ended. A 429 is counted where it comes in: a call that is not made because of an earlier one ends
    /// with the same error.
    pub(super) fn count<T>(&self, ended: &Result<T, UpstreamError>) {
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
    pub(super) fn longest(&self, kind: SourceKind) -> &Longest {
        let [accounts, organizations] = &*self.longest;
        match kind {
            SourceKind::Account => accounts,
            SourceKind::Organization => organizations,
        }
    }

    pub(super) fn url(&self, path: &[&str]) -> Url {
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
    pub(super) async fn get(
        &self,
        permit: Permit,
        url: Url,
        has_cursor: bool,
    ) -> Result<OkResponse, UpstreamError> {
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
            Ok((date, covered, body)) => Ok(OkResponse {
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
