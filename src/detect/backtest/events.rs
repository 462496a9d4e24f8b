//! The alerts of a rule over single events: one for each event that matches.

use std::collections::HashMap;

use super::judged::JudgedRule;
use super::reading::{BacktestError, LogReading, ReadEvent};
use super::tally::AlertTally;
use crate::alert::AlertGroup;

/// Microseconds of a day: alerts are counted by day, so their time within it does not matter.
const DAY_US: i64 = 86_400_000_000;

/// Counts the alerts of a rule over single events.
pub(super) fn count(
    reading: &LogReading<'_>,
    judged: &JudgedRule<'_>,
    tally: &mut AlertTally,
) -> Result<(), BacktestError> {
    let range = tally.range();
    let find = |events: &[ReadEvent]| {
        let mut days: HashMap<i64, (i64, u64)> = HashMap::new();
        for one in events.iter().filter(|one| range.contains(one.at_us())) {
            if judged.matches(one) {
                let of_day = days.entry(one.at_us().div_euclid(DAY_US));
                of_day.or_insert((one.at_us(), 0)).1 += 1;
            }
        }
        days
    };
    reading.run(find, |days| {
        let mut days = days.into_values();
        days.try_for_each(|(at_us, alerts)| tally.add(&AlertGroup::new(), at_us, alerts))
    })
}
