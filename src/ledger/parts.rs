//! The parts of a range of time that are not proven.

use chrono::{DateTime, Utc};

use super::sealed::Sealed;
use crate::position::Window;

/// The parts of a passed stretch that no scan has read since it was passed, the earliest first. `proven` is a [`profile`](super::profile).
#[must_use]
pub fn unread_parts(proven: &[Sealed], passed: Window, at: DateTime<Utc>) -> Vec<Window> {
    let since_then = overlapping(proven, passed)
        .iter()
        .filter(|piece| piece.scanned_at >= at);
    parts_between(since_then.map(|piece| piece.window), passed)
}

/// The parts of `range` that `proven` leaves open, the earliest first.
#[must_use]
pub fn open_parts(proven: &[Sealed], range: Window) -> Vec<Window> {
    let inside = overlapping(proven, range).iter();
    parts_between(inside.map(|piece| piece.window), range)
}

/// Those pieces of a [`profile`](super::profile) that overlap a range.
pub(super) fn overlapping(proven: &[Sealed], range: Window) -> &[Sealed] {
    let from = proven.partition_point(|piece| piece.window.before <= range.since);
    let rest = &proven[from..];
    &rest[..rest.partition_point(|piece| piece.window.since < range.before)]
}

/// The parts of `range` that are in none of `windows`, which do not overlap and have the earliest first.
#[must_use]
pub fn parts_between(windows: impl Iterator<Item = Window>, range: Window) -> Vec<Window> {
    let mut parts = Vec::new();
    let mut from = range.since;
    for window in windows {
        if window.before <= from {
            continue;
        }
        if window.since >= range.before {
            break;
        }
        if window.since > from {
            parts.push(Window {
                since: from,
                before: window.since,
            });
        }
        from = window.before;
    }
    if from < range.before {
        parts.push(Window {
            since: from,
            before: range.before,
        });
    }
    parts
}
