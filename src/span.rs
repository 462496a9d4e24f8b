//! Spans of time as people write them: `500ms`, `5s`, `10m`, `24h`, `7d`.
//!
//! A whole number and one unit, nothing else: no fractions, no sums, no months. A day is 24 hours. The module does not
//! know where the text is from or what the span is for; the caller adds that to the error.

use chrono::TimeDelta;

/// The longest span that is taken, a hundred years of 365 days: far from where adding it to a date could overflow.
pub const LONGEST: TimeDelta = TimeDelta::days(36_500);

/// Every unit and its milliseconds, the largest first.
const UNITS: [(&str, i64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is no span. The messages do not repeat the text, which can be of any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSpan {
    /// It is something else altogether.
    #[error("a span is a whole number and one unit, such as `500ms`, `5s`, `10m`, `24h` or `7d`")]
    Malformed,
    /// It is a number alone.
    #[error("a span needs a unit after its number: `ms`, `s`, `m`, `h` or `d`")]
    NoUnit,
    /// It is longer than [`LONGEST`].
    #[error("a span is at most `{}`", format(LONGEST))]
    TooLong,
}

/// Reads a span.
///
/// # Errors
/// When `text` is anything but a whole number and a unit, or longer than [`LONGEST`].
pub fn parse(text: &str) -> Result<TimeDelta, BadSpan> {
    let unit_starts = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_starts);
    if number.is_empty() {
        return Err(BadSpan::Malformed);
    }
    if unit.is_empty() {
        return Err(BadSpan::NoUnit);
    }
    let (_, unit_ms) = UNITS
        .into_iter()
        .find(|(name, _)| *name == unit)
        .ok_or(BadSpan::Malformed)?;

    // The number is all digits, so only its size can be wrong.
    let count: i64 = number.parse().map_err(|_| BadSpan::TooLong)?;
    count
        .checked_mul(unit_ms)
        .and_then(TimeDelta::try_milliseconds)
        .filter(|span| *span <= LONGEST)
        .ok_or(BadSpan::TooLong)
}

/// Writes a span in the largest unit that says it exactly: what [`parse`] reads back.
///
/// What is less than a millisecond is left out. A negative span gets a `-`, which [`parse`] does not take.
#[must_use]
pub fn format(span: TimeDelta) -> String {
    let total_ms = span.num_milliseconds();
    if total_ms == 0 {
        return "0s".to_owned();
    }
    let (name, unit_ms) = UNITS
        .into_iter()
        .find(|(_, unit_ms)| total_ms % unit_ms == 0)
        .expect("every whole number is a multiple of the last unit, 1 ms");
    format!("{}{name}", total_ms / unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_unit_is_read() {
        let check = |text, expect| assert_eq!(parse(text), Ok(expect), "{text}");
        check("500ms", TimeDelta::milliseconds(500));
        check("5s", TimeDelta::seconds(5));
        check("10m", TimeDelta::minutes(10));
        check("24h", TimeDelta::hours(24));
        check("7d", TimeDelta::days(7));
        check("0s", TimeDelta::zero());
        check("007d", TimeDelta::days(7));
        check("36500d", LONGEST);
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        let check = |text, expect| assert_eq!(parse(text), Err(expect), "{text}");
        for text in [
            "", "m", "-5m", "+5m", "1.5h", "1h30m", "5 m", " 5m", "5m ", "5M", "5min", "1w", "٣d",
        ] {
            check(text, BadSpan::Malformed);
        }
        check("60", BadSpan::NoUnit);
        check("36501d", BadSpan::TooLong);
        check("9223372036854775807d", BadSpan::TooLong);
        check("99999999999999999999999ms", BadSpan::TooLong);
    }

    #[test]
    fn the_largest_exact_unit_is_written() {
        let check = |span, expect: &str| assert_eq!(format(span), expect);
        check(TimeDelta::hours(24), "1d");
        check(TimeDelta::minutes(90), "90m");
        check(TimeDelta::milliseconds(60_001), "60001ms");
        check(TimeDelta::zero(), "0s");
        check(TimeDelta::seconds(-90), "-90s");
        check(TimeDelta::MAX, "9223372036854775807ms");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in 0..=LONGEST.num_milliseconds()) {
            let span = TimeDelta::milliseconds(ms);
            prop_assert_eq!(parse(&format(span)), Ok(span));
        }

        #[test]
        fn what_is_read_is_in_bounds(text in "[0-9]{0,20}(ms|s|m|h|d|w)?|.*") {
            if let Ok(span) = parse(&text) {
                prop_assert!(span >= TimeDelta::zero() && span <= LONGEST);
                prop_assert_eq!(parse(&format(span)), Ok(span));
            }
        }
    }
}
