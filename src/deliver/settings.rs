//! The destinations as they are configured.

use std::path::PathBuf;

use chrono::TimeDelta;
use url::Url;

use super::secret::SecretSource;
use crate::alert::Level;

/// `[alerts]`, as far as it is about sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverySettings {
    /// Whether alerts of backfilled and imported entries are sent.
    pub alert_on_history: bool,
    /// Whether messages may go to private networks, and in clear.
    pub allow_private_networks: bool,
    /// More alerts of one rule than this within a minute become one digest.
    pub digest_above: u32,
    /// `[[alerts.destinations]]`. Their names differ.
    pub destinations: Vec<DestinationSettings>,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            alert_on_history: false,
            allow_private_networks: false,
            digest_above: 10,
            destinations: Vec::new(),
        }
    }
}

/// One of `[[alerts.destinations]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationSettings {
    /// Its name.
    pub name: String,
    /// What it is, and where.
    pub target: DestinationTarget,
    /// Alerts of this level and above.
    pub level: Level,
    /// The ids of its rules, with wildcards; empty: all.
    pub rules: Vec<String>,
    /// After an alert was sent, others of the same rule and group are not sent for this long.
    pub suppress: TimeDelta,
    /// How long a message is tried.
    pub give_up_after: TimeDelta,
}

/// What a destination is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DestinationTarget {
    /// A receiver of Standard Webhooks.
    Webhook {
        /// Where its URL is.
        url: SecretSource,
        /// Where the keys are that sign: at least one.
        keys: Vec<SecretSource>,
    },
    /// An incoming webhook of Slack, or of a compatible service.
    Slack {
        /// Where its URL is.
        url: SecretSource,
    },
    /// The Events API v2 of PagerDuty, or of a compatible service.
    PagerDuty {
        /// Where its URL is; `None`: PagerDuty's own.
        url: Option<SecretSource>,
        /// Where the integration's routing key is.
        key: SecretSource,
    },
    /// E-mail, by SMTP.
    Email {
        /// Where the URL of the server is, with user and password: `smtps://USER:PASSWORD@HOST`.
        url: SecretSource,
        /// The sender.
        from: String,
        /// The receivers; at least one.
        to: Vec<String>,
    },
    /// Lines of JSON in a file.
    File {
        /// The file.
        path: PathBuf,
    },
}

impl DestinationTarget {
    /// Its `kind` in the configuration.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Email { .. } => "email",
            Self::File { .. } => "file",
        }
    }
}

/// What messages say of the service that sends them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The id of the log.
    pub log_id: String,
    /// The address that people use, if there is one.
    pub public_url: Option<Url>,
}

impl Sender {
    /// A sender for what is not sent.
    pub(super) fn unknown() -> Self {
        Self {
            log_id: String::new(),
            public_url: None,
        }
    }
}
