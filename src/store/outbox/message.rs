//! What is sent: the kinds of messages, and a change of an alert that becomes one.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::alert::Alert;
use crate::store::error::StoreError;

/// How long it is remembered what became of a message. A later change of its alert is sent to every destination that takes it.
pub(super) const REMEMBERED: TimeDelta = TimeDelta::days(90);

/// What happened to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// It was raised.
    Raised,
    /// It has other events, or a person changed its state.
    Updated,
    /// It was disproved.
    Retracted,
    /// Many alerts of one rule were raised. Only the outbox makes these messages.
    Digest,
}

impl MessageKind {
    /// Its name in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Updated => "updated",
            Self::Retracted => "retracted",
            Self::Digest => "digest",
        }
    }

    pub(in crate::store) fn by_name(name: &str) -> Result<Self, StoreError> {
        let all = [Self::Raised, Self::Updated, Self::Retracted, Self::Digest];
        let found = all.into_iter().find(|kind| kind.as_str() == name);
        found.ok_or_else(|| StoreError::Damaged(format!("an unknown kind of message: `{name}`")))
    }
}

/// A change of an alert that destinations may have to know.
#[derive(Debug, Clone)]
pub struct Message {
    /// The alert as it is after the change.
    pub alert: Alert,
    /// What happened to it.
    pub change: MessageKind,
    /// When.
    pub at: DateTime<Utc>,
    /// Whether it is about history: entries that were backfilled or imported.
    pub history: bool,
}

pub(super) fn new_webhook_id() -> String {
    format!("msg_{}", Uuid::new_v4().simple())
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| {
        StoreError::Damaged(format!("an alert cannot be written as JSON: {error}"))
    })
}
