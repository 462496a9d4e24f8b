//! How often each source is asked for what is new, when one quota does not let all be asked as often as they should.
//!
//! An entry waits half of its source's interval on average, so the sum over all entries is least when intervals are as
//! one over the square root of how many come (the gain of the last call is then the same everywhere). No interval is shorter
//! than what the source wants, or longer than the longest, as long as the quota allows that; where it does not, all are
//! asked in turn, evenly.

use chrono::TimeDelta;

/// A source without entries is taken for one with so many a second: one in a day.
const LEAST_RATE: f64 = 1.0 / 86_400.0;

/// Halvings of the search for the pace; each is a pass over the sources.
const SEARCH_STEPS: u32 = 50;

/// What a source wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    /// The wait between its live windows, if it were alone.
    pub(super) wanted: TimeDelta,
    /// How many new entries it shows a second.
    pub(super) rate: f64,
}

/// What the quota allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    /// The interval of a source with one new entry a second; zero when all get what they want.
    scale: f64,
    /// How much longer than the longest all intervals are: 1 while the quota allows for that.
    stretch: f64,
    longest: TimeDelta,
}

impl Pace {
    /// The pace at which `needs` cost no more than `windows_a_second`.
    pub(super) fn new(needs: &[Need], longest: TimeDelta, windows_a_second: f64) -> Self {
        let pace = |scale| Self {
            scale,
            stretch: 1.0,
            longest,
        };
        let cost = |pace: Self| -> f64 {
            needs
                .iter()
                .map(|need| 1.0 / seconds(pace.interval(*need)))
                .sum()
        };
        if cost(pace(0.0)) <= windows_a_second {
            return pace(0.0);
        }
        // At this scale even the busiest is asked at the longest interval only.
        let busiest = needs
            .iter()
            .map(|need| need.rate)
            .fold(LEAST_RATE, f64::max);
        let (mut low, mut high) = (0.0, seconds(longest) * busiest.sqrt());
        let slowest = cost(pace(high));
        if slowest > windows_a_second {
            return Self {
                stretch: slowest / windows_a_second,
                ..pace(high)
            };
        }
        for _ in 0..SEARCH_STEPS {
            let middle = f64::midpoint(low, high);
            if cost(pace(middle)) > windows_a_second {
                low = middle;
            } else {
                high = middle;
            }
        }
        pace(high)
    }

    /// How long a source waits between its live windows.
    pub(super) fn interval(self, need: Need) -> TimeDelta {
        let fair = self.scale / need.rate.max(LEAST_RATE).sqrt();
        let within = fair.max(seconds(need.wanted)).min(seconds(self.longest));
        TimeDelta::milliseconds((within * self.stretch * 1_000.0) as i64)
    }

    /// Whether no source can be asked as often as the longest interval says.
    pub(super) fn is_too_slow(self) -> bool {
        self.stretch > 1.0
    }

    /// The interval of all sources when the quota is too small.
    pub(super) fn longest(self) -> TimeDelta {
        TimeDelta::milliseconds((seconds(self.longest) * self.stretch * 1_000.0) as i64)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            scale: 0.0,
            stretch: 1.0,
            longest: TimeDelta::days(1),
        }
    }
}

/// At least a millisecond.
fn seconds(span: TimeDelta) -> f64 {
    (span.num_milliseconds() as f64 / 1_000.0).max(0.001)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONGEST: TimeDelta = TimeDelta::minutes(10);

    fn need(wanted: i64, rate: f64) -> Need {
        Need {
            wanted: TimeDelta::seconds(wanted),
            rate,
        }
    }

    fn intervals(needs: &[Need], windows_a_second: f64) -> Vec<i64> {
        let pace = Pace::new(needs, LONGEST, windows_a_second);
        needs
            .iter()
            .map(|need| pace.interval(*need).num_seconds())
            .collect()
    }

    #[test]
    fn all_get_what_they_want_when_there_is_enough() {
        let needs = [need(60, 5.0), need(60, 0.1), need(600, 0.0)];
        assert_eq!(intervals(&needs, 1.0), [60, 60, 600]);
    }

    #[test]
    fn busy_sources_are_asked_more_often_and_none_less_than_the_longest_interval() {
        let needs: Vec<Need> = (0..100).map(|n| need(60, 4.0 / f64::from(n + 1))).collect();
        let found = intervals(&needs, 0.5);
        assert!(found[0] < found[24] && found[24] < found[99], "{found:?}");
        assert!(found.iter().all(|interval| (60..=600).contains(interval)));
        // A quarter of the entries, twice the interval.
        assert_eq!(found[99] / found[24], 2);
    }

    #[test]
    fn when_there_is_too_little_all_are_asked_evenly() {
        let needs = [need(60, 5.0), need(60, 0.1), need(600, 0.0), need(600, 0.0)];
        assert_eq!(intervals(&needs, 4.0 / 1_200.0), [1_200; 4]);
        assert!(Pace::new(&needs, LONGEST, 4.0 / 1_200.0).is_too_slow());
    }

    proptest! {
        #[test]
        fn the_quota_is_never_passed_and_used_when_it_is_short(
            rates in prop::collection::vec(0.0..10.0_f64, 1..200),
            windows_a_second in 0.01..5.0_f64,
        ) {
            let needs: Vec<Need> = rates.iter().map(|rate| need(60, *rate)).collect();
            let pace = Pace::new(&needs, LONGEST, windows_a_second);
            let cost: f64 = needs.iter().map(|need| 1.0 / seconds(pace.interval(*need))).sum();
            prop_assert!(cost <= windows_a_second * 1.01);
            let wanted = needs.len() as f64 / 60.0;
            prop_assert!(cost >= windows_a_second.min(wanted) * 0.99);
        }
    }
}
