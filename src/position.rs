//! Every way of saying "where": which log upstream, which stretch of it, which place in ours.
//!
//! Plain values with their one true spelling. They know nothing of how a place is reached, kept or searched.

use std::fmt;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use orgtrail_cloudflare::paging::Cursor;
pub use orgtrail_cloudflare::source::{BadSource, MAX_SOURCE_ID_LEN, Source, SourceKind};

/// An event's place in our log: given once, in the order of arrival, never reused. The first is 1.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The place before the first event: the head of an empty log, and where a follower starts.
    pub const ZERO: Self = Self(0);

    /// The place after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What derived data knows of the last event in it, where that is known: another state of the log has another event there, or
/// one that another run of the program added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastEvent {
    /// Its SHA-256.
    pub sha256: Option<String>,
    /// The run of the program that added it to the log.
    pub run: Option<String>,
}

/// A stretch of a source's time, `[since, before)`, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The first second in the window.
    pub since: DateTime<Utc>,
    /// The first second after it.
    pub before: DateTime<Utc>,
}

impl Window {
    /// The window between two moments, each cut down to its whole second.
    #[must_use]
    pub fn new(since: DateTime<Utc>, before: DateTime<Utc>) -> Self {
        Self {
            since: since.trunc_subsecs(0),
            before: before.trunc_subsecs(0),
        }
    }

    /// How much time it spans; never negative.
    #[must_use]
    pub fn span(self) -> TimeDelta {
        (self.before - self.since).max(TimeDelta::zero())
    }

    /// Whether it spans no time at all.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.before <= self.since
    }

    /// Whether a moment is in it: its first one is, and its last one not.
    #[must_use]
    pub fn contains(self, moment: DateTime<Utc>) -> bool {
        self.since <= moment && moment < self.before
    }

    /// What upstream is asked for: a second wider at both ends, because it is not known whether its bounds include.
    #[must_use]
    pub fn widened(self) -> Self {
        Self {
            since: self.since - TimeDelta::seconds(1),
            before: self.before + TimeDelta::seconds(1),
        }
    }

    /// The moment that halves the window, to the whole second; `None` when it spans a second or less.
    #[must_use]
    pub fn middle(self) -> Option<DateTime<Utc>> {
        let half = self.span().num_seconds() / 2;
        (half > 0).then(|| self.since + TimeDelta::seconds(half))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", rfc3339(self.since), rfc3339(self.before))
    }
}

/// Why a stretch is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WindowKind {
    /// What is new.
    Live,
    /// What was sealed before, again, for entries that came late.
    Sweep,
    /// What was there before the first live window, the newest first.
    Backfill,
}

impl WindowKind {
    /// All of them, the more urgent first.
    pub const ALL: [Self; 3] = [Self::Live, Self::Sweep, Self::Backfill];

    /// Its name in the ledger, in logs and in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Sweep => "sweep",
            Self::Backfill => "backfill",
        }
    }

    /// The kind of that name in the ledger.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A time as we write it everywhere: RFC 3339, UTC, `Z`, and only as many fraction digits as it has.
#[must_use]
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
