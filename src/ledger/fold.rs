//! Merging: many sealed windows become few, and no claim becomes stronger.

use chrono::{DateTime, TimeDelta, Utc};

use super::sealed::{Sealed, profile, slack};
use crate::invariant;

/// Complete stretches are merged within so much of a source's time.
const COMPLETE_STRETCH: TimeDelta = TimeDelta::days(7);

/// Complete stretches are merged when their last scans began within so much time, counted from the stretch on: a week of
/// new entries, swept a week later, is one.
const COMPLETE_SPREAD: TimeDelta = TimeDelta::days(16);

/// What `sealed` proves, in fewer windows: none of them overlap, the earliest first.
#[must_use]
pub fn fold(sealed: &[Sealed], sweeps: &[TimeDelta]) -> Vec<Sealed> {
    let mut folded: Vec<Sealed> = Vec::new();
    let parts = profile(sealed);
    for piece in &parts {
        match folded.last_mut() {
            Some(last) if are_alike(last, piece, sweeps) => *last = last.followed_by(piece),
            _ => folded.push(piece.clone()),
        }
    }
    invariant!(
        MergedClaimsNoMore,
        claims_no_more(&parts, &folded),
        "{parts:?} became {folded:?}"
    );
    folded
}

/// Whether what is merged claims no more than its parts, which do not overlap: each moment is as claimed by its part, or
/// claimed less. Both have the earliest first.
fn claims_no_more(parts: &[Sealed], merged: &[Sealed]) -> bool {
    let mut parts = parts.iter().peekable();
    merged.iter().all(|whole| {
        // The parts follow each other from its beginning to its end.
        let mut at = whole.window.since;
        while let Some(part) = parts.next_if(|part| part.window.before <= whole.window.before) {
            let is_weaker = whole.first_sealed >= part.first_sealed
                && whole.scanned_at <= part.scanned_at
                && whole.waited <= part.waited
                && whole.settles >= part.settles;
            if part.window.since != at || !is_weaker {
                return false;
            }
            at = part.window.before;
        }
        at == whole.window.before
    })
}

/// Whether two neighbours can be merged into one claim.
fn are_alike(left: &Sealed, right: &Sealed, sweeps: &[TimeDelta]) -> bool {
    let is_other = left.kind != right.kind || left.settles != right.settles;
    if left.window.before != right.window.since || is_other {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{Window, WindowKind};

    #[test]
    fn a_merged_window_that_claims_more_is_noticed() {
        let at = |minutes| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        let part = |since, before, began| {
            let window = Window::new(at(since), at(before));
            Sealed::scan(WindowKind::Live, window, at(began), at(began + 1))
        };
        let parts = [part(0, 10, 20), part(10, 30, 40)];
        let whole = parts[0].followed_by(&parts[1]);
        let holds = |whole: Sealed| claims_no_more(&parts, &[whole]);
        assert!(holds(whole.clone()));
        assert!(claims_no_more(&parts, &parts));
        let changed = |change: fn(&mut Sealed)| {
            let mut whole = whole.clone();
            change(&mut whole);
            holds(whole)
        };
        assert!(!changed(|whole| whole.scanned_at += TimeDelta::seconds(1)));
        assert!(!changed(|whole| whole.first_sealed -= TimeDelta::seconds(1)));
        assert!(!changed(|whole| whole.waited = TimeDelta::hours(1)));
        assert!(!changed(
            |whole| whole.window.before += TimeDelta::seconds(1)
        ));
        assert!(!changed(|whole| whole.window.since -= TimeDelta::seconds(1)));
        assert!(!claims_no_more(
            &[parts[0].clone(), part(12, 30, 40)],
            &[whole]
        ));
    }
}
