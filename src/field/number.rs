//! Numbers in JSON and in texts, compared exactly for any length and exponent.
//!
//! A text is a number when it is written in plain digits, with a sign and a fraction if it likes: `200`, `0200`, `-1.50`.
//! What has an exponent is one only where JSON or a person means a number by it: an id such as `12e45` must stay itself.
//!
//! Each number has one spelling. It is in plain digits unless these would need more than [`MAX_ZEROS`] zeros that only give
//! the place of the point, or are more than [`MAX_PLAIN_DIGITS`]: then it is one digit, a fraction and a signed exponent,
//! `1.25e+400`. So `1e400` and `10e399` are both `1e+400`, and a text that is exactly such a spelling is a number too.
//! Nothing is ever written out to the length of an exponent: `1e-2147483648` costs its own length.

mod point;

use std::cmp::Ordering;
use std::fmt;

use self::point::Point;
use super::limits::MAX_VALUE_LEN;

/// The most zeros that plain digits may add between a number's own digits and its point.
const MAX_ZEROS: usize = 40;

/// The most digits of its own that a number in plain digits may have.
const MAX_PLAIN_DIGITS: usize = 1_000;

/// A decimal number of any length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    is_negative: bool,
    /// The digits without zeros at either end; empty for zero.
    digits: String,
    /// Where the point is, counted from before the first digit.
    point: Point,
}

impl Number {
    /// Reads a number in plain digits, or in its one spelling.
    #[must_use]
    pub fn plain(text: &str) -> Option<Self> {
        match text.split_once('e') {
            None => Self::read(text, ""),
            Some((digits, exponent)) => {
                let number = Self::read(digits, exponent).filter(|_| !exponent.is_empty())?;
                (number.to_string() == text).then_some(number)
            }
        }
    }

    /// Reads a number that may have an exponent.
    #[must_use]
    pub fn with_exponent(text: &str) -> Option<Self> {
        match text.split_once(['e', 'E']) {
            None => Self::read(text, ""),
            Some((digits, exponent)) => {
                Self::read(digits, exponent).filter(|_| !exponent.is_empty())
            }
        }
    }

    /// The number of some plain digits and an exponent, which is 0 when it is empty.
    fn read(digits: &str, exponent: &str) -> Option<Self> {
        let (is_negative, digits) = match digits.as_bytes().first()? {
            b'-' => (true, &digits[1..]),
            b'+' => (false, &digits[1..]),
            _ => (false, digits),
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
        let mut significant = whole.trim_start_matches('0').to_owned();
        let mut places = i64::try_from(significant.len()).ok()?;
        if significant.is_empty() {
            let below_one = fraction.trim_start_matches('0');
            places = -i64::try_from(fraction.len() - below_one.len()).ok()?;
            significant.push_str(below_one);
        } else {
            significant.push_str(fraction);
        }
        significant.truncate(significant.trim_end_matches('0').len());
        let point = Point::of(exponent, places)?;
        if significant.is_empty() {
            return Some(Self::zero());
        }
        Some(Self {
            is_negative,
            digits: significant,
            point,
        })
    }

    fn zero() -> Self {
        Self {
            is_negative: false,
            digits: String::new(),
            point: Point::default(),
        }
    }

    /// A regular expression of every text, of at most [`MAX_VALUE_LEN`] bytes, that [`Number::plain`] reads as this number.
    #[must_use]
    pub fn spellings(&self) -> String {
        let sign = match (self.is_negative, self.digits.is_empty()) {
            (true, _) => "-",
            (false, true) => "[+-]?",
            (false, false) => r"\+?",
        };
        let own = self.to_string();
        let own = own
            .contains('e')
            .then(|| own.replace('+', r"\+").replace('.', r"\."));
        let plain = self.in_plain_digits().map(|(whole, fraction)| {
            // A number below one has at least one zero before the point.
            let zeros = if whole.is_empty() { "0+" } else { "0*" };
            let fraction = match fraction.as_str() {
                "" => r"(\.0+)?".to_owned(),
                digits => format!(r"\.{digits}0*"),
            };
            format!("{sign}{zeros}{whole}{fraction}")
        });
        let ways: Vec<String> = plain.into_iter().chain(own).collect();
        ways.join("|")
    }

    /// The digits before and after the point, unless they are more than a value's text may have.
    fn in_plain_digits(&self) -> Option<(String, String)> {
        let point = self.point.near()?;
        let n_digits = i64::try_from(self.digits.len()).ok()?;
        let zeros = usize::try_from((-point).max(point - n_digits).max(0)).ok()?;
        if zeros.saturating_add(self.digits.len()) > MAX_VALUE_LEN {
            return None;
        }
        let zeros = "0".repeat(zeros);
        Some(match usize::try_from(point) {
            Ok(point) if point < self.digits.len() => {
                let (whole, fraction) = self.digits.split_at(point);
                (whole.to_owned(), fraction.to_owned())
            }
            Ok(_) if self.digits.is_empty() => Default::default(),
            Ok(_) => (format!("{}{zeros}", self.digits), String::new()),
            Err(_) => (String::new(), format!("{zeros}{}", self.digits)),
        })
    }

    /// Whether its one spelling is in plain digits.
    fn is_spelled_plainly(&self) -> bool {
        let n_digits = self.digits.len();
        self.point.near().is_some_and(|point| {
            let at_least = -i64::try_from(MAX_ZEROS).unwrap_or(i64::MAX);
            let at_most = i64::try_from(n_digits + MAX_ZEROS).unwrap_or(i64::MAX);
            n_digits <= MAX_PLAIN_DIGITS && (at_least..=at_most).contains(&point)
        })
    }

    fn signum(&self) -> i8 {
        match (self.digits.is_empty(), self.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    fn compare_size(&self, other: &Self) -> Ordering {
        let points = self.point.cmp(&other.point);
        points.then_with(|| self.digits.cmp(&other.digits))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let signs = self.signum().cmp(&other.signum());
        signs.then_with(|| match self.signum() {
            0 => Ordering::Equal,
            1 => self.compare_size(other),
            _ => other.compare_size(self),
        })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    /// The one spelling: no plus before it, no needless zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        if self.is_spelled_plainly()
            && let Some((whole, fraction)) = self.in_plain_digits()
        {
            let whole = if whole.is_empty() { "0" } else { &whole };
            let point = if fraction.is_empty() { "" } else { "." };
            return write!(f, "{sign}{whole}{point}{fraction}");
        }
        let (first, others) = self.digits.split_at(1.min(self.digits.len()));
        let point = if others.is_empty() { "" } else { "." };
        write!(f, "{sign}{first}{point}{others}e{}", self.point.exponent())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spelled(text: &str) -> Option<String> {
        Number::with_exponent(text).map(|number| number.to_string())
    }

    #[test]
    fn numbers_have_one_spelling() {
        let check = |text: &str, expect: &str| {
            assert_eq!(spelled(text).as_deref(), Some(expect), "{text}");
            assert_eq!(spelled(expect).as_deref(), Some(expect), "{text}");
            assert_eq!(
                Number::plain(expect),
                Number::with_exponent(text),
                "the spelling of {text} is a number by itself"
            );
        };
        check("0200", "200");
        check("+200.00", "200");
        check("-1.50", "-1.5");
        check("-0.0", "0");
        check("0e999999999999999999999", "0");
        check("3e2", "300");
        check("1.25E1", "12.5");
        check("125e-4", "0.0125");
        check("1e40", &format!("1{}", "0".repeat(40)));
        check("1e41", "1e+41");
        check("1e400", "1e+400");
        check("10e399", "1e+400");
        check("-0.0125e+500", "-1.25e+498");
        check(&format!("1{}", "0".repeat(400)), "1e+400");
        check("1e-41", &format!("0.{}1", "0".repeat(40)));
        check("1e-42", "1e-42");
        check("1e-2147483648", "1e-2147483648");
        check("1e2147483648", "1e+2147483648");
        check("10e-9223372036854775808", "1e-9223372036854775807");
        check(
            "1e-170141183460469231731687303715884105729",
            "1e-170141183460469231731687303715884105729",
        );
        check(
            "12e45678901234567890123456789012",
            "1.2e+45678901234567890123456789013",
        );
        check("0.1e0000000000000000000000000000000000000001", "1");
        for text in [
            "", "-", "1.", ".5", "1.2.3", "٣", "1e", "1e+", "e5", "1e1.5", "1e1e1", "--1", "1e--1",
        ] {
            assert_eq!(spelled(text), None, "{text}");
        }
        for id in ["3e2", "12e45", "1E+400", "1.0e+400", "1e400", "01e+400"] {
            assert_eq!(Number::plain(id), None, "an id may look like this: {id}");
        }
    }

    #[test]
    fn numbers_of_any_exponent_are_in_order_and_cost_their_own_length() {
        let far = format!("1e{}", "9".repeat(100_000));
        let in_order = [
            &format!("-1e{}", "9".repeat(100_000)),
            "-1e2147483649",
            "-1e2147483648",
            "-1e400",
            "-9.9e399",
            "-1",
            "-1e-400",
            "-1e-2147483648",
            "0",
            "1e-99999999999999999999999",
            "1e-99999999999999999999998",
            "1e-2147483649",
            "1e-2147483648",
            "0.001",
            "1",
            "9e399",
            "99e399",
            "1e401",
            "1e2147483648",
            "1e99999999999999999999999",
            &far,
        ];
        let numbers: Vec<Number> = in_order
            .iter()
            .map(|text| Number::with_exponent(text).unwrap())
            .collect();
        for (i, a) in numbers.iter().enumerate() {
            for (j, b) in numbers.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{i} and {j}");
            }
            let (spelled, spellings) = (a.to_string(), a.spellings());
            assert!(spelled.len() <= in_order[i].len() + MAX_ZEROS + 3, "{i}");
            assert!(
                spellings.len() < 2 * (in_order[i].len() + MAX_VALUE_LEN),
                "{i}"
            );
        }
    }

    proptest! {
        #[test]
        fn order_is_that_of_numbers(a in -2000_i64..2000, b in -2000_i64..2000) {
            // Hundredths, so that fractions are compared too.
            let number = |n: i64| Number::plain(&format!("{:.2}", n as f64 / 100.0)).unwrap();
            prop_assert_eq!(number(a).cmp(&number(b)), a.cmp(&b));
        }

        #[test]
        fn a_point_may_be_moved_by_the_exponent(
            whole in "[0-9]{1,60}", fraction in "[0-9]{1,60}", exponent in -3_000_i64..3_000, moved in 0..60_i64,
        ) {
            let number = Number::with_exponent(&format!("{whole}.{fraction}e{exponent}")).unwrap();
            let zeros = "0".repeat(usize::try_from(moved).unwrap());
            let lower = Number::with_exponent(&format!("{whole}{fraction}{zeros}e{}", exponent - moved - fraction.len() as i64));
            prop_assert_eq!(lower.as_ref(), Some(&number));
            let higher = Number::with_exponent(&format!("0.{zeros}{whole}{fraction}E{:+}", exponent + moved + whole.len() as i64));
            prop_assert_eq!(higher.as_ref(), Some(&number));
            prop_assert_eq!(Number::plain(&number.to_string()), Some(number));
        }

        #[test]
        fn spellings_are_those_of_the_same_number(
            a in r"[+-]?0?0?[0-9]{1,2}(\.[0-9]{1,2}0?)?|-?[1-9](\.[0-9])?e\+4[12]|1(0{40}|0{41}|0{42})",
            b in r"[+-]?0?[0-9]{1,2}(\.[0-9]{1,2})?(e\+4[0-2])?",
        ) {
            let (a, number) = (a.as_str(), Number::with_exponent(&b).unwrap());
            let spellings = regex::Regex::new(&format!("^(?:{})$", number.spellings())).unwrap();
            prop_assert!(spellings.is_match(&number.to_string()), "{}", number);
            prop_assert_eq!(spellings.is_match(a), Number::plain(a) == Some(number), "{} and {}", a, b);
        }
    }
}
