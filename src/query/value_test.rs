//! A test of one value in its indexed form: folded, and cut where it is very long.

use std::net::IpAddr;
use std::sync::Arc;

use super::automaton::Automaton;
use super::tree::{Bound, Interval};
use super::words;
use crate::field::{Number, folded, instant_us};

/// What a value has to be.
#[derive(Debug, Clone)]
pub(crate) enum ValueTest {
    /// Anything.
    Any,
    /// One of which the whole is known, and not just its beginning.
    Whole,
    /// An opaque id.
    Opaque,
    /// Between two ends.
    Between(End, End),
    /// An address from one to another, both included.
    Addresses(IpAddr, IpAddr),
    /// A time, from one on, before another.
    Time(Option<i64>, Option<i64>),
    /// These words are side by side in it.
    Words(Arc<[String]>),
    /// One of its words matches as a whole.
    AnyWord(Arc<Automaton>),
}

/// An end of what values are between, and whether it belongs to it.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Open,
    Number(Number, bool),
    Text(String, bool),
}

impl End {
    pub(crate) fn of(bound: &Bound) -> Self {
        let (text, is_included) = match bound {
            Bound::Open => return Self::Open,
            Bound::Including(text) => (text, true),
            Bound::Excluding(text) => (text, false),
        };
        match Number::with_exponent(text) {
            Some(number) => Self::Number(number, is_included),
            None => Self::Text(folded(text), is_included),
        }
    }

    /// Whether a value lies on the side of this end that `side` is.
    fn lets_pass(&self, value: &str, is_cut: bool, side: std::cmp::Ordering) -> bool {
        let (found, is_included) = match self {
            Self::Open => return true,
            Self::Number(end, is_included) => match number_of(value, is_cut) {
                Some(number) => (number.cmp(end), *is_included),
                None => return false,
            },
            Self::Text(end, is_included) => (value.cmp(end.as_str()), *is_included),
        };
        found == side || (is_included && found.is_eq())
    }
}

/// The number that a value is. A long one that was cut is one only if its exponent was kept.
fn number_of(value: &str, is_cut: bool) -> Option<Number> {
    match is_cut {
        false => Number::plain(value),
        true if value.contains("e+") || value.contains("e-") => Number::with_exponent(value),
        true => None,
    }
}

impl ValueTest {
    /// That a value is in an interval.
    pub(crate) fn within(interval: &Interval) -> Self {
        match interval {
            Interval::Time {
                since_us,
                before_us,
            } => Self::Time(*since_us, *before_us),
            Interval::Addresses { first, last } => Self::Addresses(*first, *last),
            Interval::Values { lower, upper } => Self::Between(End::of(lower), End::of(upper)),
        }
    }

    pub(crate) fn passes(&self, value: &str, is_cut: bool) -> bool {
        use std::cmp::Ordering::{Greater, Less};
        match self {
            Self::Any => true,
            Self::Whole => !is_cut,
            Self::Opaque => !is_cut && words::is_opaque(value),
            Self::Between(lower, upper) => {
                lower.lets_pass(value, is_cut, Greater) && upper.lets_pass(value, is_cut, Less)
            }
            Self::Addresses(first, last) => value
                .parse::<IpAddr>()
                // Addresses of another family are never within: all of IPv4 comes before IPv6.
                .is_ok_and(|address| (*first..=*last).contains(&address)),
            Self::Time(since, before) => instant_us(value).is_some_and(|time| {
                since.is_none_or(|since| since <= time) && before.is_none_or(|before| time < before)
            }),
            Self::Words(asked) => has_run(&words::of(value), asked),
            Self::AnyWord(automaton) => words::of(value).iter().any(|word| automaton.matches(word)),
        }
    }
}

/// Whether some words are side by side among others.
fn has_run(found: &[String], asked: &[String]) -> bool {
    !asked.is_empty() && found.windows(asked.len()).any(|run| run == asked)
}
