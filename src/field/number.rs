//! Numbers as they stand in JSON and in texts: compared exactly, whatever their length.
//!
//! A text is a number when it is written in plain digits, with a sign and a fraction if it likes: `200`, `0200`, `-1.50`.
//! What has an exponent is one only where JSON or a person means a number by it: an id such as `12e45` must stay itself.

use std::cmp::Ordering;
use std::fmt;

/// The largest exponent that is written out in plain digits.
const MAX_EXPONENT: i32 = 40;

/// A decimal number of any length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    is_negative: bool,
    /// Without leading zeros: empty below one.
    whole: String,
    /// Without trailing zeros.
    fraction: String,
}

impl Number {
    /// Reads a number in plain digits.
    #[must_use]
    pub fn plain(text: &str) -> Option<Self> {
        let (is_negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some((whole, fraction)) => (whole, fraction),
            None => (digits, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Self {
            is_negative: is_negative && !is_zero,
            whole,
            fraction,
        })
    }

    /// Reads a number that may have an exponent, up to forty places either way.
    #[must_use]
    pub fn with_exponent(text: &str) -> Option<Self> {
        let Some((digits, exponent)) = text.split_once(['e', 'E']) else {
            return Self::plain(text);
        };
        let exponent: i32 = exponent.parse().ok()?;
        if exponent.abs() > MAX_EXPONENT {
            return None;
        }
        let number = Self::plain(digits)?;
        let places = usize::try_from(exponent.unsigned_abs()).ok()?;
        let (whole, fraction) = if exponent >= 0 {
            let mut fraction = number.fraction;
            while fraction.len() < places {
                fraction.push('0');
            }
            let rest = fraction.split_off(places);
            (number.whole + &fraction, rest)
        } else {
            let padded = format!("{:0>places$}", number.whole);
            let (whole, moved) = padded.split_at(padded.len() - places);
            (whole.to_owned(), moved.to_owned() + &number.fraction)
        };
        let sign = if number.is_negative { "-" } else { "" };
        Self::plain(&match fraction.is_empty() {
            true => format!("{sign}0{whole}"),
            false => format!("{sign}0{whole}.{fraction}"),
        })
    }

    /// A regular expression of every text that [`Number::plain`] reads as this number.
    #[must_use]
    pub fn spellings(&self) -> String {
        let sign = match (self.is_negative, self.is_zero()) {
            (true, _) => "-",
            (false, true) => "[+-]?",
            (false, false) => r"\+?",
        };
        // A number below one has at least one zero before the point.
        let zeros = if self.whole.is_empty() { "0+" } else { "0*" };
        let fraction = match self.fraction.as_str() {
            "" => r"(\.0+)?".to_owned(),
            digits => format!(r"\.{digits}0*"),
        };
        format!("{sign}{zeros}{}{fraction}", self.whole)
    }

    fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.is_empty()
    }

    fn compare_size(&self, other: &Self) -> Ordering {
        let lens = self.whole.len().cmp(&other.whole.len());
        lens.then_with(|| self.whole.cmp(&other.whole))
            .then_with(|| self.fraction.cmp(&other.fraction))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.compare_size(other),
            (true, true) => other.compare_size(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    /// The one spelling: no plus, no needless zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        let whole = match self.whole.as_str() {
            "" => "0",
            whole => whole,
        };
        let point = if self.fraction.is_empty() { "" } else { "." };
        write!(f, "{sign}{whole}{point}{}", self.fraction)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spelled(number: Option<Number>) -> Option<String> {
        number.map(|number| number.to_string())
    }

    #[test]
    fn numbers_have_one_spelling() {
        let check = |text, expect: Option<&str>| {
            assert_eq!(
                spelled(Number::with_exponent(text)).as_deref(),
                expect,
                "{text}"
            );
        };
        check("0200", Some("200"));
        check("+200.00", Some("200"));
        check("-1.50", Some("-1.5"));
        check("-0.0", Some("0"));
        check("3e2", Some("300"));
        check("1.25E1", Some("12.5"));
        check("125e-4", Some("0.0125"));
        check("1e41", None);
        check("12e45678901234567890123456789012", None);
        check("", None);
        check("-", None);
        check("1.", None);
        check(".5", None);
        check("1.2.3", None);
        check("٣", None);
        assert_eq!(Number::plain("3e2"), None, "an id may look like this");
    }

    proptest! {
        #[test]
        fn order_is_that_of_numbers(a in -2000_i64..2000, b in -2000_i64..2000) {
            // Hundredths, so that fractions are compared too.
            let number = |n: i64| Number::plain(&format!("{:.2}", n as f64 / 100.0)).unwrap();
            prop_assert_eq!(number(a).cmp(&number(b)), a.cmp(&b));
        }

        #[test]
        fn spellings_are_those_of_the_same_number(a in r"[+-]?0?0?[0-9]{1,2}(\.[0-9]{1,2}0?)?", b in r"[+-]?0?[0-9]{1,2}(\.[0-9]{1,2})?") {
            let (a, number) = (a.as_str(), Number::plain(&b).unwrap());
            let spellings = regex::Regex::new(&format!("^(?:{})$", number.spellings())).unwrap();
            prop_assert!(spellings.is_match(&b));
            prop_assert_eq!(spellings.is_match(a), Number::plain(a) == Some(number), "{} and {}", a, b);
        }
    }
}
