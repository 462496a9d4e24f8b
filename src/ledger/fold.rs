//! Merging: many sealed windows become few, and no claim becomes stronger.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Sealed, profile, slack};

/// Complete stretches are merged within so much of a source's time.
const COMPLETE_STRETCH: TimeDelta = TimeDelta::days(7);

/// Complete stretches are merged when their last scans began within so much time, counted from the stretch on: a week of
/// new entries, swept a week later, is one.
const COMPLETE_SPREAD: TimeDelta = TimeDelta::days(16);

/// What `sealed` proves, in fewer windows: none of them overlap, the earliest first.
#[must_use]
pub fn fold(sealed: &[Sealed], sweeps: &[TimeDelta]) -> Vec<Sealed> {
    let mut folded: Vec<Sealed> = Vec::new();
    for piece in profile(sealed) {
        match folded.last_mut() {
            Some(last) if are_alike(last, &piece, sweeps) => *last = last.followed_by(&piece),
            _ => folded.push(piece),
        }
    }
    folded
}

/// Whether two neighbours may speak with one voice.
fn are_alike(left: &Sealed, right: &Sealed, sweeps: &[TimeDelta]) -> bool {
    if left.window.before != right.window.since || left.kind != right.kind {
        return false;
    }
    match (left.next_sweep(sweeps), right.next_sweep(sweeps)) {
        (None, None) => {
            let stretch = bucket(left.window.since, COMPLETE_STRETCH);
            let begin = TimeDelta::days(COMPLETE_STRETCH.num_days() * stretch);
            let spread = |piece: &Sealed| bucket(piece.scanned_at - begin, COMPLETE_SPREAD);
            stretch == bucket(right.window.since, COMPLETE_STRETCH) && spread(left) == spread(right)
        }
        (Some(next), Some(other)) => {
            let number = |time| bucket(time, slack(next));
            next == other
                && number(left.first_sealed) == number(right.first_sealed)
                && number(left.scanned_at) == number(right.scanned_at)
        }
        _ => false,
    }
}

/// Which of the equal spans since 1970 a moment is in. A chain of neighbours ends with its span.
fn bucket(time: DateTime<Utc>, span: TimeDelta) -> i64 {
    time.timestamp_millis()
        .div_euclid(span.num_milliseconds().max(1))
}
