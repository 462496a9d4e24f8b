//! The forms of answers: what is proven of each source and what is not, page by page.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::reason::Reason;
use crate::ledger::Sealed;
use crate::position::Source;

/// What is proven of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceCoverage {
    /// `organizations/ID` or `accounts/ID`.
    pub source: String,
    /// What is proven, the earliest first.
    pub intervals: Vec<Interval>,
    /// What is not, the earliest first.
    pub gaps: Vec<Gap>,
}

/// A stretch that is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Interval {
    /// Its first moment.
    #[schema(format = DateTime)]
    pub since: String,
    /// The first moment after it.
    #[schema(format = DateTime)]
    pub before: String,
    /// Whether its last sweep has been made.
    pub state: Proof,
    /// As of when: what upstream showed then is held.
    #[schema(format = DateTime)]
    pub scanned_at: String,
    /// Entries its scans showed, as often as they did.
    pub entries: u64,
    /// Of those, entries that were not held before.
    pub new: u64,
}

/// How far a stretch is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Scanned, and scanned again after the last of the configured sweeps.
    Complete,
    /// Scanned, and due to be scanned again.
    Settling,
}

impl Proof {
    /// That of a piece, of a source with these sweeps.
    pub(super) fn of(piece: &Sealed, sweeps: &[TimeDelta]) -> Self {
        if piece.is_complete(sweeps) {
            Self::Complete
        } else {
            Self::Settling
        }
    }
}

/// A stretch of which nothing is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gap {
    /// Its first moment.
    #[schema(format = DateTime)]
    pub since: String,
    /// The first moment after it; `null` when it has no end: the clock is behind what was read, and the present is not known.
    #[schema(format = DateTime)]
    pub before: Option<String>,
    /// Why.
    pub reason: Reason,
    /// More of the reason, for a person.
    pub detail: Option<String>,
}

/// Where a page of the answer begins: with what this source has from that moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The source.
    pub source: Source,
    /// The moment; `None` for all that was asked about.
    pub since: Option<DateTime<Utc>>,
}

/// A page of what is proven of each source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Sources in the order of their names. One that does not fit on the page goes on on the next.
    pub sources: Vec<SourceCoverage>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<Start>,
}

impl Gap {
    /// When it is, in words.
    #[must_use]
    pub fn stretch(&self) -> String {
        match &self.before {
            Some(before) => format!("from {} to {before}", self.since),
            None => format!("from {} on", self.since),
        }
    }
}

impl From<Source> for Start {
    fn from(source: Source) -> Self {
        Self {
            source,
            since: None,
        }
    }
}
