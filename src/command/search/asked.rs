//! What `orgtrail search` was asked, as a server and as the engine take it.

use anyhow::Result;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::ValueEnum;

use super::found::with_place;
use crate::engine::{Order, Range};
use crate::position::{Source, rfc3339};
use crate::query::{self, Query, When};
use crate::search::Question;

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Colors {
    Auto,
    Always,
    Never,
}

/// What is asked, wherever the answer comes from.
#[derive(Debug)]
pub(super) struct SearchRequest {
    /// When: what `now` is in the query, where it is read here, and the time zone of its dates.
    pub(super) when: When,
    pub(super) query: String,
    /// Only these sources; all if none is named.
    pub(super) sources: Vec<Source>,
    pub(super) since: Option<DateTime<Utc>>,
    pub(super) before: Option<DateTime<Utc>>,
    pub(super) order: Order,
    pub(super) limit: usize,
}

impl SearchRequest {
    /// The filters, as a server takes them.
    pub(super) fn filters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("q", self.query.clone())];
        let sources = self.sources.iter();
        parameters.extend(sources.map(|source| ("source", source.to_string())));
        parameters.extend(self.since.map(|since| ("since", rfc3339(since))));
        parameters.extend(self.before.map(|before| ("before", rfc3339(before))));
        if self.when.zone != Tz::UTC {
            parameters.push(("tz", self.when.zone.name().to_owned()));
        }
        parameters
    }

    pub(super) fn order(&self) -> Option<(&'static str, String)> {
        (self.order == Order::Ascending).then(|| ("order", "asc".to_owned()))
    }

    pub(super) fn question(&self) -> Result<Question> {
        let range = Range {
            since_us: self.since.map(|time| time.timestamp_micros()),
            before_us: self.before.map(|time| time.timestamp_micros()),
        };
        let mut parts = vec![query::parse(&self.query, self.when).map_err(with_place)?];
        if !self.sources.is_empty() {
            parts.push(Query::or(self.sources.iter().map(of_source).collect()));
        }
        Ok(Question {
            query: Query::and(parts),
            range,
            order: self.order,
        })
    }
}

fn of_source(source: &Source) -> Query {
    Query::Equals {
        path: "source".into(),
        value: source.to_string(),
        at: 0,
    }
}
