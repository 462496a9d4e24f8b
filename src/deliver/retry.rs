//! How long nothing is sent to a destination after a failed attempt.

use chrono::{DateTime, TimeDelta, Utc};

use crate::backoff;

/// The wait after the first failure.
const FIRST: TimeDelta = TimeDelta::seconds(1);

/// What it doubles to.
const LONGEST: TimeDelta = TimeDelta::seconds(60);

/// The longest wait that a receiver can ask for.
const LONGEST_ASKED: TimeDelta = TimeDelta::hours(1);

/// The wait after so many failures in a row. `chance` is from 0 to 1: the wait is up to a fifth shorter or longer, so that
/// destinations which failed together are not tried together. `asked` is the receiver's `Retry-After`.
pub(super) fn wait(failures: u32, chance: f64, asked: Option<TimeDelta>) -> TimeDelta {
    let wait = backoff::wait_after(failures, FIRST, LONGEST);
    let share = 0.8 + 0.4 * chance.clamp(0.0, 1.0);
    let millis = wait.num_milliseconds() as f64 * share;
    let wait = TimeDelta::milliseconds(millis as i64).min(LONGEST);
    wait.max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

/// Reads `Retry-After`: seconds or a date.
pub(super) fn asked(header: &str, now: DateTime<Utc>) -> Option<TimeDelta> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u32>() {
        return Some(TimeDelta::seconds(seconds.into()));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some((DateTime::<Utc>::from(date) - now).max(TimeDelta::zero()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_begin_at_about_a_second_and_double_to_a_minute() {
        let waits: Vec<i64> = (1..=8)
            .map(|failures| wait(failures, 0.5, None).num_seconds())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        for failures in [1, 5, 7, 1_000] {
            let (short, long) = (wait(failures, 0.0, None), wait(failures, 1.0, None));
            assert!(short < long || failures > 6, "{failures}");
            assert!(short >= TimeDelta::milliseconds(800) && long <= LONGEST);
        }
    }

    #[test]
    fn a_receiver_can_ask_for_a_longer_wait_and_not_for_ever() {
        let now = DateTime::from_timestamp(784_111_777, 0).unwrap();
        let check = |header: &str, expect: Option<i64>| {
            let asked = asked(header, now);
            assert_eq!(
                asked.map(|asked| wait(1, 0.5, Some(asked)).num_seconds()),
                expect
            );
        };
        check("30", Some(30));
        check(" 0 ", Some(1));
        check("4294967295", Some(3_600));
        check("99999999999", None);
        check("soon", None);
        check("Sun, 06 Nov 1994 08:49:47 GMT", Some(10));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(1));
    }
}
