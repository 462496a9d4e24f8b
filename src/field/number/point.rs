//! The place of a number's point: an integer that may have as many digits as an exponent in JSON, which is any number.
//!
//! Does not know what a number is; it adds a length to an exponent, and compares the sums.

use std::cmp::Reverse;

/// From here on, either way, a place is kept as its digits: 10 to the power of [`NEAR_DIGITS`].
const FAR: i64 = 10_i64.pow(NEAR_DIGITS as u32);

/// How many digits a near place has at most. The sum of two near places fits an `i64`.
const NEAR_DIGITS: usize = 18;

/// An integer, positive or negative, of any length. The order of the variants is that of their values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Point {
    /// Below `-FAR`, or equal to it.
    FarBelow(Reverse<Digits>),
    /// Between.
    Near(i64),
    /// Above `FAR`, or equal to it.
    FarAbove(Digits),
}

/// The digits of a positive integer, without leading zeros. The longer one is the larger one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Digits {
    len: usize,
    text: String,
}

impl Default for Point {
    fn default() -> Self {
        Self::Near(0)
    }
}

impl Point {
    /// The sum of an exponent as it is written, 0 when it is empty, and a near place; `None` when it is no exponent.
    pub(super) fn of(exponent: &str, places: i64) -> Option<Self> {
        let (is_negative, digits) = match exponent.as_bytes().first() {
            None => return Some(Self::near_or_far(places)),
            Some(b'-') => (true, &exponent[1..]),
            Some(b'+') => (false, &exponent[1..]),
            Some(_) => (false, exponent),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = digits.trim_start_matches('0');
        if digits.len() <= NEAR_DIGITS {
            let size: i64 = if digits.is_empty() {
                0
            } else {
                digits.parse().ok()?
            };
            let signed = if is_negative { -size } else { size };
            return Some(Self::near_or_far(signed.saturating_add(places)));
        }
        let sum = far_sum(digits, if is_negative { -places } else { places });
        Some(Self::far(is_negative, sum))
    }

    /// The place, when it is near.
    pub(super) fn near(&self) -> Option<i64> {
        match self {
            Self::Near(place) => Some(*place),
            Self::FarBelow(_) | Self::FarAbove(_) => None,
        }
    }

    /// The exponent of a number whose first digit is before its point, with its sign.
    pub(super) fn exponent(&self) -> String {
        let (is_negative, size) = match self {
            Self::Near(place) => (*place < 1, (place - 1).unsigned_abs().to_string()),
            Self::FarAbove(digits) => (false, far_sum(&digits.text, -1)),
            Self::FarBelow(Reverse(digits)) => (true, far_sum(&digits.text, 1)),
        };
        format!("{}{size}", if is_negative { '-' } else { '+' })
    }

    fn near_or_far(place: i64) -> Self {
        if place.abs() < FAR {
            return Self::Near(place);
        }
        Self::far(place < 0, place.unsigned_abs().to_string())
    }

    fn far(is_negative: bool, digits: String) -> Self {
        if digits.len() <= NEAR_DIGITS {
            let size: i64 = digits.parse().unwrap_or(0);
            return Self::Near(if is_negative { -size } else { size });
        }
        let digits = Digits {
            len: digits.len(),
            text: digits,
        };
        if is_negative {
            Self::FarBelow(Reverse(digits))
        } else {
            Self::FarAbove(digits)
        }
    }
}

/// The sum of a positive integer of more than [`NEAR_DIGITS`] digits, without leading zeros, and a near one.
fn far_sum(digits: &str, places: i64) -> String {
    let (head, low) = digits.split_at(digits.len() - NEAR_DIGITS);
    let mut low: i64 = low.parse().unwrap_or(0);
    low += places;
    let head = if low >= FAR {
        low -= FAR;
        stepped(head, b'9', |digit| digit + 1)
    } else if low < 0 {
        low += FAR;
        stepped(head, b'0', |digit| digit - 1)
    } else {
        head.to_owned()
    };
    let sum = format!("{head}{low:0NEAR_DIGITS$}");
    let leading = sum.len() - sum.trim_start_matches('0').len();
    sum[leading..].to_owned()
}

/// The integer after or before a positive one: the last digit that is not `turning` takes the step, and those behind it turn
/// over.
fn stepped(digits: &str, turning: u8, step: impl Fn(u8) -> u8) -> String {
    let over = if turning == b'9' { '0' } else { '9' };
    let kept = digits.trim_end_matches(char::from(turning));
    let turned = over.to_string().repeat(digits.len() - kept.len());
    match kept.as_bytes().last() {
        Some(last) => {
            let before = &kept[..kept.len() - 1];
            format!("{before}{}{turned}", char::from(step(*last)))
        }
        // Only nines: one digit more.
        None => format!("1{turned}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_add_and_compare_as_integers_do(
            a in any::<i64>(), shift in -1_000_000_i64..1_000_000, b in any::<i64>(), scale in 1_i128..100_000,
        ) {
            let exact = |exponent: i64, shift: i64| i128::from(exponent) * scale + i128::from(shift);
            let place = |exponent: i64, shift: i64| Point::of(&(i128::from(exponent) * scale).to_string(), shift).unwrap();
            prop_assert_eq!(place(a, shift), Point::of(&exact(a, shift).to_string(), 0).unwrap());
            prop_assert_eq!(place(a, shift).cmp(&place(b, 0)), exact(a, shift).cmp(&exact(b, 0)));
            let exponent = exact(a, shift) - 1;
            prop_assert_eq!(place(a, shift).exponent(), format!("{exponent:+}"));
        }
    }

    #[test]
    fn places_turn_over_where_they_grow_or_shrink_by_a_digit() {
        let check = |exponent: &str, places, expect: &str| {
            let place = Point::of(exponent, places).unwrap();
            assert_eq!(
                place,
                Point::of(expect, 0).unwrap(),
                "{exponent} and {places}"
            );
        };
        check("999999999999999999", 1, "1000000000000000000");
        check("1000000000000000000", -1, "999999999999999999");
        check("-1000000000000000000", 1, "-999999999999999999");
        check(
            "99999999999999999999999999",
            1,
            "100000000000000000000000000",
        );
        check(
            "100000000000000000000000000",
            -1,
            "99999999999999999999999999",
        );
        check("000000000000000000000000000007", -7, "0");
        check("+5", -6, "-1");
        assert_eq!(Point::of("", 3), Some(Point::Near(3)));
        for wrong in ["+", "-", "1.5", "x", "--1", "٣"] {
            assert_eq!(Point::of(wrong, 0), None, "{wrong}");
        }
    }
}
