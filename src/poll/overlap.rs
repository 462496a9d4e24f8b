//! How far a live window reaches back over the one before it, so that entries that became visible late are still shown.
//!
//! By itself it follows the source: from the time of an entry to the scan that first showed it, 99 in 100 entries take at most so
//! long, and the overlap is half as much again. Entries found by live scans set it. An entry that is later than the overlap is
//! found by a sweep only, so what sweeps found can raise it, and never lower it. The price of a long overlap is paid by the
//! interval, which grows when the quota is short (`pace`); the overlap does not shrink.

use chrono::TimeDelta;

use crate::store::Visibility;

/// The overlap of a source of which too little is known. The only public measurement of this log saw entries up to 450 s late.
const FIRST: TimeDelta = TimeDelta::minutes(15);

/// The shortest overlap that follows from measurements.
const SHORTEST: TimeDelta = TimeDelta::minutes(5);

/// The longest: what is later still is for sweeps to find.
const LONGEST: TimeDelta = TimeDelta::minutes(30);

/// So many entries found by live scans say how late a source is; fewer say too little of its 99th percentile.
const ENOUGH: u64 = 100;

/// How far each live window reaches back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// As far as each source's lateness asks for.
    Auto,
    /// Always as far as this.
    Span(TimeDelta),
}

impl Overlap {
    /// The overlap of a source whose entries became visible like this.
    #[must_use]
    pub fn of(self, visibility: &Visibility) -> TimeDelta {
        let half_as_much_again = |lateness: TimeDelta| lateness + lateness / 2;
        match self {
            Self::Span(span) => span,
            Self::Auto => {
                let live = visibility.live.filter(|live| live.entries >= ENOUGH);
                let live = live.map_or(FIRST, |live| half_as_much_again(live.p99));
                let swept = visibility.all.filter(|_| visibility.is_swept);
                let swept = swept.map_or(TimeDelta::zero(), |all| half_as_much_again(all.p99));
                live.max(swept).clamp(SHORTEST, LONGEST)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Lateness;

    fn lateness(entries: u64, p99: i64) -> Option<Lateness> {
        let p99 = TimeDelta::seconds(p99);
        Some(Lateness {
            entries,
            p50: p99 / 2,
            p95: p99,
            p99,
            max: p99 * 2,
        })
    }

    #[test]
    fn the_overlap_follows_live_scans_and_sweeps_can_only_raise_it() {
        let seconds = |live, all, is_swept| {
            let visibility = Visibility {
                live,
                all,
                is_swept,
            };
            Overlap::Auto.of(&visibility).num_seconds()
        };
        assert_eq!(seconds(None, None, false), 900);
        assert_eq!(seconds(lateness(99, 60), lateness(99, 60), false), 900);
        assert_eq!(seconds(lateness(100, 400), lateness(100, 400), false), 600);
        assert_eq!(seconds(lateness(100, 60), lateness(100, 60), false), 300);
        assert_eq!(seconds(lateness(100, 9_000), None, false), 1_800);
        // Found by a sweep.
        assert_eq!(seconds(lateness(500, 400), lateness(520, 800), true), 1_200);
        assert_eq!(seconds(lateness(500, 400), lateness(501, 300), true), 600);
        assert_eq!(seconds(None, lateness(1, 3_600), true), 1_800);
        assert_eq!(seconds(None, lateness(1, 10), true), 900);
        let span = Overlap::Span(TimeDelta::seconds(7));
        assert_eq!(span.of(&Visibility::default()).num_seconds(), 7);
    }
}
