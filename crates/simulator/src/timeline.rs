//! When the n-th entry of a log happened, by arithmetic alone.
//!
//! History follows the week: busy in office hours, quiet at night and at weekends, with now and then a run of
//! entries in quick succession, as a deployment tool leaves them. Live entries come at a steady rate. Both ways a
//! time never runs ahead of the next number's, so a window is found by halving. What an entry says, and whether
//! it can be seen yet, is not known here.

use chrono::{DateTime, TimeDelta, Utc};

use super::chance::Seed;

/// The longest history, in days: a century keeps every sum below within its 128 bits.
pub(crate) const MAX_DAYS: u32 = 36_500;
/// The most entries of one history, for the same reason.
pub(crate) const MAX_HISTORY: u64 = 1 << 40;

/// Numbers are placed between whole ones in fixed point: this many bits after the point.
const FRACTION_BITS: u32 = 20;
const ONE: u64 = 1 << FRACTION_BITS;

/// Entries in a row that may turn out to be one tool's run.
const RUN_LEN: u64 = 16;
/// How many of those rows do.
const RUN_SHARE: f64 = 0.2;
/// Within a run, entries follow one another this much of the usual distance apart.
const RUN_STEP: u64 = ONE / 512;

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;
const HOURS_PER_WEEK: usize = 168;
/// Activity before each hour of the week, from Monday 00:00 UTC; the last is the whole week's.
const ACTIVITY_BEFORE: [u64; HOURS_PER_WEEK + 1] = activity_before();
const WEEK_ACTIVITY: u128 = ACTIVITY_BEFORE[HOURS_PER_WEEK] as u128 * HOUR as u128;
/// 1900-01-01, a Monday: weeks are counted from here.
const FIRST_MONDAY_SECONDS: i64 = -2_208_988_800;

/// The times of a log's entries by their number.
#[derive(Clone, Debug)]
pub(crate) enum Timeline {
    /// `count` entries spread over the activity between two moments.
    History {
        /// Which run of chance.
        seed: Seed,
        /// How many entries there are.
        count: u64,
        /// Activity before the first moment, since [`FIRST_MONDAY_SECONDS`].
        from: u128,
        /// Activity between the two moments.
        span: u128,
    },
    /// Entries without end from `start` on, one in every `period` nanoseconds.
    Live {
        /// Which run of chance.
        seed: Seed,
        /// When number 0's period begins.
        start: DateTime<Utc>,
        /// Nanoseconds for each entry, at least 1.
        period: u64,
    },
}

impl Timeline {
    /// `count` entries from `begin` to `end`, in the rhythm of the week.
    pub(crate) fn history(
        seed: Seed,
        count: u64,
        begin: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> Self {
        let from = activity_until(begin);
        Self::History {
            seed,
            count: count.min(MAX_HISTORY),
            from,
            span: activity_until(end).saturating_sub(from),
        }
    }

    /// Entries from `start` on, `per_minute` of them each minute; none when that is not above 0.
    pub(crate) fn live(seed: Seed, start: DateTime<Utc>, per_minute: f64) -> Self {
        if per_minute.is_nan() || per_minute <= 0.0 {
            return Self::history(seed, 0, start, start);
        }
        let period = (60.0 * SECOND as f64 / per_minute) as u64;
        Self::Live {
            seed,
            start,
            period: period.max(1),
        }
    }

    /// When number `n` happened, as its entry tells it.
    pub(crate) fn time(&self, n: u64) -> DateTime<Utc> {
        let moment = self.moment(n);
        TimePrecision::of(self.seed(), moment).cut(moment)
    }

    /// When number `n` happened exactly: up to a second later than its entry tells.
    pub(crate) fn moment(&self, n: u64) -> DateTime<Utc> {
        match self {
            Self::History {
                count, from, span, ..
            } => {
                let places = u128::from(*count) << FRACTION_BITS;
                moment_of(from + span * self.place(n) / places.max(1))
            }
            Self::Live { start, period, .. } => {
                let passed = (u128::from(*period) * self.place(n)) >> FRACTION_BITS;
                let nanos = i64::try_from(passed).unwrap_or(i64::MAX);
                let moment = start.checked_add_signed(TimeDelta::nanoseconds(nanos));
                moment.unwrap_or(DateTime::<Utc>::MAX_UTC)
            }
        }
    }

    /// With how many decimals a time is written.
    pub(crate) fn digits(&self, time: DateTime<Utc>) -> TimePrecision {
        TimePrecision::of(self.seed(), time)
    }

    /// The chance that a whole run of entries shares, when `n` is one of a run.
    pub(crate) fn run(&self, n: u64) -> Option<Seed> {
        let Self::History { seed, count, .. } = self else {
            return None;
        };
        let row = n / RUN_LEN;
        let row_seed = seed.named("run").child(row);
        // A row cut short by the end of the log could run past that end.
        let is_whole = (row + 1) * RUN_LEN <= *count;
        (is_whole && row_seed.happens(RUN_SHARE)).then_some(row_seed)
    }

    /// The first number for which `reached` holds, given that it then holds for every later one. `latest` is a moment
    /// by which it holds or from which nothing is wanted.
    pub(crate) fn first(&self, latest: DateTime<Utc>, reached: impl Fn(u64) -> bool) -> u64 {
        let mut low = 0;
        let mut high = self.count_until(latest);
        while low < high {
            let middle = low + (high - low) / 2;
            if reached(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    fn seed(&self) -> Seed {
        match self {
            Self::History { seed, .. } | Self::Live { seed, .. } => *seed,
        }
    }

    /// A number that nothing up to `moment` exceeds.
    fn count_until(&self, moment: DateTime<Utc>) -> u64 {
        match self {
            Self::History { count, .. } => *count,
            Self::Live { start, period, .. } => {
                let passed = (moment - start).num_nanoseconds();
                match passed {
                    // A second more, because times are cut down to their second.
                    Some(nanos) if nanos < 0 && nanos.unsigned_abs() > SECOND => 0,
                    Some(nanos) => nanos.saturating_add_unsigned(SECOND).max(0) as u64 / period + 1,
                    None if moment < *start => 0,
                    None => i64::MAX as u64 / period,
                }
            }
        }
    }

    /// The position of entry `n` between `n` and `n + 1`, or within its run, in fixed point.
    fn place(&self, n: u64) -> u128 {
        let (whole, part) = match self.run(n) {
            Some(run) => {
                // The last step of the run must still fall into its row.
                let start = run.child(0).below((RUN_LEN - 1) * ONE);
                (n - n % RUN_LEN, start + (n % RUN_LEN) * RUN_STEP)
            }
            None => (n, self.seed().named("jitter").child(n).below(ONE)),
        };
        (u128::from(whole) << FRACTION_BITS) + u128::from(part)
    }
}

/// With how many decimals a time is written.
///
/// It is decided for each second and not for each entry: cutting every time of a second alike keeps their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimePrecision {
    /// Whole seconds.
    None,
    /// Milliseconds.
    Three,
    /// Microseconds.
    Six,
    /// Nanoseconds.
    Nine,
}

impl TimePrecision {
    /// The form for the second that `moment` falls in.
    pub(crate) fn of(seed: Seed, moment: DateTime<Utc>) -> Self {
        let second = seed.named("digits").child(moment.timestamp() as u64);
        match second.below(100) {
            0..45 => Self::None,
            45..65 => Self::Three,
            65..94 => Self::Six,
            _ => Self::Nine,
        }
    }

    fn cut(self, moment: DateTime<Utc>) -> DateTime<Utc> {
        let unit = match self {
            Self::None => 1_000_000_000,
            Self::Three => 1_000_000,
            Self::Six => 1_000,
            Self::Nine => 1,
        };
        let nanos = moment.timestamp_subsec_nanos();
        moment - TimeDelta::nanoseconds(i64::from(nanos % unit))
    }
}

/// How busy each hour of the week is, in no particular unit. Some of it is work in other time zones.
const fn busyness(hour_of_week: usize) -> u64 {
    let is_weekend = hour_of_week >= 5 * 24;
    match (is_weekend, hour_of_week % 24) {
        (false, 8..=11 | 13..=16) => 12,
        (false, 7 | 12 | 17..=20) => 7,
        (false, _) => 2,
        (true, 9..=17) => 2,
        (true, _) => 1,
    }
}

const fn activity_before() -> [u64; HOURS_PER_WEEK + 1] {
    let mut before = [0; HOURS_PER_WEEK + 1];
    let mut hour = 0;
    while hour < HOURS_PER_WEEK {
        before[hour + 1] = before[hour] + busyness(hour);
        hour += 1;
    }
    before
}

/// Busyness times nanoseconds from the first Monday until `moment`.
fn activity_until(moment: DateTime<Utc>) -> u128 {
    let seconds = moment
        .timestamp()
        .saturating_sub(FIRST_MONDAY_SECONDS)
        .max(0) as u128;
    let nanos = seconds * u128::from(SECOND) + u128::from(moment.timestamp_subsec_nanos());
    let hours = nanos / u128::from(HOUR);
    let hour_of_week = (hours % HOURS_PER_WEEK as u128) as usize;
    let weeks = hours / HOURS_PER_WEEK as u128;
    weeks * WEEK_ACTIVITY
        + u128::from(ACTIVITY_BEFORE[hour_of_week]) * u128::from(HOUR)
        + u128::from(busyness(hour_of_week)) * (nanos % u128::from(HOUR))
}

/// The moment at which that much activity has passed: the other way of [`activity_until`].
fn moment_of(activity: u128) -> DateTime<Utc> {
    let weeks = activity / WEEK_ACTIVITY;
    let rest = activity % WEEK_ACTIVITY;
    let whole_hours = (rest / u128::from(HOUR)) as u64;
    let hour_of_week = ACTIVITY_BEFORE.partition_point(|&before| before <= whole_hours) - 1;
    let in_hour = rest - u128::from(ACTIVITY_BEFORE[hour_of_week]) * u128::from(HOUR);
    let nanos = (weeks * HOURS_PER_WEEK as u128 + hour_of_week as u128) * u128::from(HOUR)
        + in_hour / u128::from(busyness(hour_of_week));
    let seconds = FIRST_MONDAY_SECONDS + (nanos / u128::from(SECOND)) as i64;
    let subsec = (nanos % u128::from(SECOND)) as u32;
    DateTime::from_timestamp(seconds, subsec).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn timelines() -> [Timeline; 3] {
        let (begin, end) = (at("2026-01-01T05:30:00Z"), at("2026-08-03T12:00:00.5Z"));
        [
            Timeline::history(Seed(3), 50_003, begin, end),
            Timeline::history(Seed(4), 3, begin, end),
            Timeline::live(Seed(5), end, 700.0),
        ]
    }

    #[test]
    fn times_never_run_backwards() {
        for line in timelines() {
            let count = line.count_until(at("2026-08-03T13:00:00Z"));
            let times: Vec<_> = (0..count).map(|n| line.time(n)).collect();
            assert!(times.is_sorted(), "{line:?}");
        }
    }

    #[test]
    fn history_stays_between_its_ends() {
        let line = &timelines()[0];
        assert!(line.time(0) >= at("2026-01-01T05:30:00Z"));
        assert!(line.time(50_002) < at("2026-08-03T12:00:00.5Z"));
    }

    #[test]
    fn halving_finds_the_first_number_of_a_moment() {
        for line in timelines() {
            for moment in [
                "2026-01-01T00:00:00Z",
                "2026-05-05T10:10:10Z",
                "2026-08-03T12:30:00Z",
            ] {
                let moment = at(moment);
                let first = line.first(moment, |n| line.time(n) >= moment);
                let slow = (0..line.count_until(moment)).find(|&n| line.time(n) >= moment);
                assert_eq!(first, slow.unwrap_or(line.count_until(moment)), "{line:?}");
            }
        }
    }

    #[test]
    fn work_is_done_in_office_hours_and_in_runs() {
        let line = &timelines()[0];
        let at_night = (0..50_000).filter(|&n| line.time(n).format("%H").to_string() == "03");
        assert!((500..1_500).contains(&at_night.count()));
        let in_runs = (0..50_000).filter(|&n| line.run(n).is_some()).count();
        assert!((8_000..12_000).contains(&in_runs), "{in_runs}");
    }

    #[test]
    fn a_live_line_keeps_its_rate() {
        let start = at("2026-08-03T12:00:00Z");
        let line = Timeline::live(Seed(1), start, 30.0);
        let end = start + TimeDelta::minutes(10);
        assert_eq!(line.first(end, |n| line.time(n) >= end).abs_diff(300), 0);
        assert_eq!(Timeline::live(Seed(1), start, 0.0).first(end, |_| false), 0);
    }

    #[test]
    fn activity_is_undone_exactly() {
        for text in [
            "2026-08-03T00:00:00Z",
            "2026-08-08T23:59:59.999999999Z",
            "1970-01-01T00:00:00Z",
        ] {
            assert_eq!(moment_of(activity_until(at(text))), at(text));
        }
    }
}
