//! What a feed says, in any form.

use chrono::{DateTime, Utc};
use url::Url;

use crate::alert::Alert;
use crate::position::rfc3339;

/// A feed of alerts.
pub(super) struct Feed {
    /// Its id, a URN: the same for ever.
    pub(super) id: String,
    pub(super) title: String,
    /// Where it was read from.
    pub(super) url: Option<Url>,
    /// The search page.
    pub(super) home: Option<Url>,
    pub(super) updated: DateTime<Utc>,
    pub(super) entries: Vec<FeedEntry>,
}

/// An alert in a feed.
pub(super) struct FeedEntry {
    pub(super) id: String,
    pub(super) title: String,
    /// The alert in the search page.
    pub(super) url: Option<Url>,
    pub(super) updated: DateTime<Utc>,
    pub(super) alert: Alert,
}

impl FeedEntry {
    /// What it says, line by line.
    pub(super) fn text(&self) -> String {
        let alert = &self.alert;
        let mut lines = vec![alert.summary.clone()];
        for (field, value) in &alert.group {
            let value = value.as_deref().unwrap_or("(none)");
            lines.push(format!("{field}: {value}"));
        }
        let (first, last) = (rfc3339(alert.first_time), rfc3339(alert.last_time));
        lines.push(format!("Time: {first} to {last}"));
        lines.push(format!("Events: {}", alert.events_total));
        let state = alert.state.as_str();
        lines.push(format!("State: {state}. Rule: {}", alert.rule.id));
        lines.join("\n")
    }
}
