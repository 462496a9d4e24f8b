//! What is said of a question that reaches beyond the present: the present of our clock, or what was read while it was ahead of that.

use chrono::{DateTime, TimeDelta, Utc};

use super::asked::{Asked, whole_seconds};
use super::found::FoundGap;
use super::known::Known;
use super::reason::Reason;
use crate::health::State;
use crate::position::{Window, rfc3339};

/// Our clock may be so far behind what was read before it counts as wrong: upstream's may be a little ahead.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(1);

impl Known<'_> {
    /// How far the source was read, if our clock is behind that.
    pub(super) fn read_beyond_our_clock(&self) -> Option<DateTime<Utc>> {
        let read_to = self.progress.live_before?;
        let is_reported = self
            .health
            .is_some_and(|health| health.state == State::Clock);
        let behind = if is_reported {
            TimeDelta::zero()
        } else {
            CLOCKS_DIFFER
        };
        (read_to - self.now > behind).then_some(read_to)
    }

    /// The gap at the end of a question about more than the past up to our present: nothing is known of what comes after.
    /// `range` is what the question has of the past.
    pub(super) fn beyond_the_present(
        &self,
        asked: &Asked,
        range: Window,
        gaps: &[FoundGap],
    ) -> Option<FoundGap> {
        let second = TimeDelta::seconds(1);
        let end = asked
            .before
            .map(|before| whole_seconds(before, before).before);
        if let Some(read_to) = self.read_beyond_our_clock() {
            let since = range.since.max(Window::new(read_to, read_to).since);
            // How far the clock is behind is not known, but it is at least this.
            let known = since + (read_to - self.now).max(second);
            return end.is_none_or(|end| end > since).then(|| FoundGap {
                window: whole_seconds(since, end.unwrap_or(known)),
                has_end: end.is_some(),
                reason: Reason::Clock,
                detail: Some(format!(
                    "the clock is behind what was read up to {}",
                    rfc3339(read_to)
                )),
            });
        }
        let since = range.since.max(range.before);
        let is_open = gaps.last().is_some_and(|gap| gap.window.before >= since);
        let is_about_later = range.is_empty() || end.is_some_and(|end| end > since);
        if is_open || !is_about_later {
            return None;
        }
        let before = end.filter(|end| *end > since);
        let window = Window::new(since, before.unwrap_or(since + second));
        let (reason, detail) = self.reason(window);
        Some(FoundGap {
            window,
            has_end: end.is_some(),
            reason,
            detail,
        })
    }
}
