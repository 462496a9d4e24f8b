//! A moment as it is written on a command line: in the forms of `since` and `before` over HTTP.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::query::{When, read_time};

/// A moment as it was written, which names a time.
#[derive(Debug, Clone)]
pub(super) struct MomentArg(String);

/// As it was written.
impl fmt::Display for MomentArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl MomentArg {
    /// Reads a span, a date, a time or `now-7d`: for `value_parser`, so that anything else is wrong usage.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        // Far enough from the ends of the calendar that what can be read then can be read now.
        let some_day = DateTime::from_timestamp(1_800_000_000, 0).unwrap_or_default();
        read_time(text, some_day)?;
        Ok(Self(text.to_owned()))
    }

    /// The time that is meant, for a given present and time zone.
    pub(super) fn seen_from(&self, when: impl Into<When>) -> Result<DateTime<Utc>, String> {
        read_time(&self.0, when)
    }
}
