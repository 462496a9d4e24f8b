//! What a question about coverage is about.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use crate::position::{Source, Window};

/// What is asked about. Moments are widened to whole seconds.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Start of the range; default: the beginning of each source.
    pub since: Option<DateTime<Utc>>,
    /// End of the range; default: now. What comes after now is a gap.
    pub before: Option<DateTime<Utc>>,
    /// Which sources; all if none is named.
    pub sources: Vec<Source>,
}

/// The whole seconds that some stretch of time touches.
pub(super) fn whole_seconds(since: DateTime<Utc>, before: DateTime<Utc>) -> Window {
    let second = TimeDelta::seconds(1);
    let up = before.duration_trunc(second).unwrap_or(before);
    let before = if up < before { up + second } else { before };
    Window::new(since, before)
}
