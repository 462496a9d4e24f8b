//! One alert, as it is stored, answered and delivered: the form ALERT of the API.
//!
//! Plain values. How an alert is found is in `detect`, where it is stored in `store`, and how it is sent in `deliver`.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;
use utoipa::ToSchema;

use crate::position::{Seq, rfc3339};

/// The most events that a link names.
const MAX_LINKED: usize = 20;

/// The fields of a group with their values; a missing value or null is `None`. Empty for rules without group-by.
pub type AlertGroup = BTreeMap<String, Option<String>>;

/// An alert's id: 32 lower-case hexadecimal digits, the beginning of a hash over the rule's id, the group, and the bucket, `seq` or notice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct AlertId(pub String);

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How serious a rule's author says its alerts are.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[schema(as = AlertLevel)]
pub enum Level {
    /// For the record.
    Informational,
    /// Worth a look now and then.
    Low,
    /// Worth a look on the same day.
    Medium,
    /// Worth a look now.
    High,
    /// Act now.
    Critical,
}

impl Level {
    /// All of them, the least serious first.
    pub const ALL: [Self; 5] = [
        Self::Informational,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Critical,
    ];

    /// Its name in rules, answers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The level of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What has become of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// A person has not looked at it yet.
    Open,
    /// A person is working on it.
    Acknowledged,
    /// A person has finished with it, for a reason.
    Closed,
    /// Entries that came late, or a new version of the rule, disproved it.
    Retracted,
}

impl AlertState {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Open,
        Self::Acknowledged,
        Self::Closed,
        Self::Retracted,
    ];

    /// Its name in answers and in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
            Self::Retracted => "retracted",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// The rule that raised an alert, as far as the alert shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleName {
    /// Its `id`.
    pub id: String,
    /// Its `title`.
    pub title: String,
    /// Its `level`.
    pub level: Level,
    /// Its `tags`, such as `attack.t1098`.
    pub tags: Vec<String>,
}

/// One change of an alert: what it was changed to, by whom and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertChange {
    /// When.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub at: DateTime<Utc>,
    /// The principal that changed it; `null` when the service did.
    pub who: Option<String>,
    /// The new state.
    pub state: AlertState,
    /// Why, in that person's words or the service's.
    pub reason: Option<String>,
    /// Who works on it from then on.
    pub assignee: Option<String>,
}

/// An alert: what was found, in which events, and what has become of it. Its JSON is the ALERT of the HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// The rule that raised it.
    pub rule: RuleName,
    /// The rule's group-by fields with the values that its events share.
    pub group: AlertGroup,
    /// What has become of it.
    pub state: AlertState,
    /// The least time of its events; of one without events, when the service noticed it.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub first_time: DateTime<Utc>,
    /// The greatest time of its events; of one without events, the same.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub last_time: DateTime<Utc>,
    /// When it was raised.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub raised_at: DateTime<Utc>,
    /// How many seconds after its time the latest of its events was received.
    pub late_by_seconds: i64,
    /// Its events, in the order of their times; the first 100 of them in lists. Empty for what the service noticed about its sources or its
    /// log.
    pub events: Vec<Seq>,
    /// How many events it has.
    pub events_total: u64,
    /// One plain sentence.
    pub summary: String,
    /// Who works on it.
    pub assignee: Option<String>,
    /// Its changes, the oldest first.
    pub history: Vec<AlertChange>,
}

impl Alert {
    /// Where a page goes on after it, as clients take it.
    #[must_use]
    pub fn cursor(&self) -> String {
        format!("{}_{}", self.raised_at.timestamp_micros(), self.id)
    }

    /// The alert in the search page, of a service whose page is at `page`.
    #[must_use]
    pub fn page(&self, page: &Url) -> Url {
        let mut url = page.clone();
        url.query_pairs_mut()
            .append_pair("view", "alerts")
            .append_pair("alert", &self.id.0);
        url
    }

    /// The search page at its events, of a service whose page is at `page`; `None` if it has no events.
    #[must_use]
    pub fn link(&self, page: &Url) -> Option<Url> {
        let events = self.events.iter().take(MAX_LINKED);
        let seqs: Vec<String> = events.map(ToString::to_string).collect();
        if seqs.is_empty() {
            return None;
        }
        let mut url = page.clone();
        let query = format!("seq:({})", seqs.join(" OR "));
        let after = self.last_time + TimeDelta::seconds(1);
        url.query_pairs_mut()
            .append_pair("q", &query)
            .append_pair("since", &rfc3339(self.first_time))
            .append_pair("before", &rfc3339(after));
        Some(url)
    }
}

fn as_time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}
