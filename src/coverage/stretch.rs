//! Stretches of time: whole seconds, and what is proven inside them.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use crate::ledger::Sealed;
use crate::position::Window;

/// The proven stretches inside a range.
pub(super) fn cut(proven: &[Sealed], range: Window) -> Vec<Sealed> {
    let first = proven.partition_point(|piece| piece.window.before <= range.since);
    proven[first..]
        .iter()
        .take_while(|piece| piece.window.since < range.before)
        .map(|piece| Sealed {
            window: Window {
                since: piece.window.since.max(range.since),
                before: piece.window.before.min(range.before),
            },
            ..piece.clone()
        })
        .collect()
}

/// The whole seconds that some stretch of time touches.
pub(super) fn whole_seconds(since: DateTime<Utc>, before: DateTime<Utc>) -> Window {
    let second = TimeDelta::seconds(1);
    let up = before.duration_trunc(second).unwrap_or(before);
    let before = if up < before { up + second } else { before };
    Window::new(since, before)
}
