//! The part of the events' time in which nearly all of them are. A lone event of the year 1970 or 9999 is outside: a scale that is
//! chosen for all of the time would show everything else as one stretch.

use crate::engine::Matches;

/// Events that are less than a year away from the others are not outside. In microseconds.
const YEAR_US: i64 = 364 * 86_400_000_000;

/// Of so many events, one may be outside at either end.
const EVENTS_PER_OUTLIER: u64 = 100;

/// How many times shorter the part must be than the whole.
const MIN_RATIO: i64 = 10;

/// From the first to the last event, in microseconds since 1970, without those that are very far from all others. `(oldest, newest)`
/// are the first and the last of all.
pub(super) fn main_part(matches: &Matches, (oldest, newest): (i64, i64)) -> (i64, i64) {
    let whole = newest.saturating_sub(oldest);
    let n_events = matches.count();
    let n_outside = (n_events / EVENTS_PER_OUTLIER).max(1);
    if whole <= YEAR_US || n_events < 3 {
        return (oldest, newest);
    }
    let times = EventTimes {
        matches,
        oldest,
        newest,
    };
    // These are inside for sure.
    let low = times.of_rank(n_outside);
    let high = times.of_rank(n_events - 1 - n_outside);
    // Whatever is not much farther away is inside as well.
    let near = high.saturating_sub(low).max(YEAR_US);
    let first = times.of_rank(times.before(low.saturating_sub(near)));
    let after = times.before(high.saturating_add(near).saturating_add(1));
    let last = times.of_rank(after.saturating_sub(1));
    let first = if first - oldest > YEAR_US {
        first
    } else {
        oldest
    };
    let last = if newest - last > YEAR_US {
        last
    } else {
        newest
    };
    if (last - first).saturating_mul(MIN_RATIO) < whole {
        (first, last)
    } else {
        (oldest, newest)
    }
}

/// The times of events, in order.
struct EventTimes<'a> {
    matches: &'a Matches,
    oldest: i64,
    newest: i64,
}

impl EventTimes<'_> {
    /// How many events are before a time.
    fn before(&self, time: i64) -> u64 {
        if time <= self.oldest {
            0
        } else {
            self.matches.histogram(&[self.oldest, time]).iter().sum()
        }
    }

    /// The time of the event before which there are so many.
    fn of_rank(&self, rank: u64) -> i64 {
        let (mut low, mut high) = (self.oldest, self.newest);
        // The latest time before which there are at most so many.
        while low < high {
            let middle = low + (high - low) / 2 + 1;
            if self.before(middle) <= rank {
                low = middle
            } else {
                high = middle - 1
            }
        }
        low
    }
}
