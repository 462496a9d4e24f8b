//! Why a call gave no page.

use chrono::{DateTime, Utc};

use crate::mask::Mask;
use crate::position::rfc3339;

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
    /// Try the same again, and when it stays so, request a shorter range of time: the answer is complete and is not JSON.
    #[error("{0}")]
    Unreadable(String),
    /// Start the window over: the cursor leads nowhere.
    #[error("the cursor was refused: {0}")]
    CursorRefused(String),
    /// Ask for a shorter window: this one was refused before it had a cursor.
    #[error("{0}")]
    WindowRefused(String),
    /// Back off and try again: this machine could not read the credential. Upstream was not asked.
    #[error("{0}")]
    NoToken(String),
    /// Ask for fewer entries.
    #[error("a page has more bytes than are taken")]
    PageTooLarge,
    /// Stop this credential's sources and tell: somebody must act.
    #[error("the credential does not work: {0}")]
    Unauthorized(String),
    /// Stop this source and tell: the credential may not read it.
    #[error("the credential may not read this log: {0}")]
    Forbidden(String),
    /// Record and try again much later: upstream answers, but not with what was asked.
    #[error("{0}")]
    Unexpected(String),
}

impl UpstreamError {
    /// The same without credentials in its text.
    pub(super) fn hidden_by(self, mask: &Mask) -> Self {
        match self {
            Self::Transient(text) => Self::Transient(mask.hide(&text)),
            Self::Unreadable(text) => Self::Unreadable(mask.hide(&text)),
            Self::CursorRefused(text) => Self::CursorRefused(mask.hide(&text)),
            Self::Unauthorized(text) => Self::Unauthorized(mask.hide(&text)),
            Self::WindowRefused(text) => Self::WindowRefused(mask.hide(&text)),
            Self::NoToken(text) => Self::NoToken(mask.hide(&text)),
            Self::Forbidden(text) => Self::Forbidden(mask.hide(&text)),
            Self::Unexpected(text) => Self::Unexpected(mask.hide(&text)),
            error @ (Self::RateLimited { .. } | Self::PageTooLarge) => error,
        }
    }
}
