//! How long an attempt may take, and how it fails.

use std::time::Duration;

use chrono::TimeDelta;

/// How long an attempt may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);

/// Why an attempt failed, in our own words: those of the HTTP client may contain the URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SendFailure {
    pub(super) error: String,
    /// How long the receiver asked to wait.
    pub(super) asked: Option<TimeDelta>,
}

impl SendFailure {
    pub(super) fn new(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            asked: None,
        }
    }
}
