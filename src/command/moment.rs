//! A moment as it is written on a command line.

use chrono::{DateTime, TimeDelta, Utc};

use crate::search::parse_moment;
use crate::span;

/// A moment, or how long ago it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    At(DateTime<Utc>),
    Ago(TimeDelta),
}

impl Moment {
    /// Reads a span, a date or a time: for `value_parser`, so that anything else is wrong usage.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let ago = span::parse(text).map(Self::Ago).ok();
        ago.or_else(|| parse_moment(text).map(Self::At))
            .ok_or_else(|| {
                "write a span, `7d`, or a time, `2026-08-03` or `2026-08-03T08:00:00Z`".to_owned()
            })
    }

    /// Which moment it is for somebody whose present is `now`.
    pub(super) fn seen_from(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(moment) => moment,
            Self::Ago(span) => now - span,
        }
    }
}
