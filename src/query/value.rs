//! What a text means as the value of a field: by the field's kind, in the table of fields.

use std::net::IpAddr;

use uuid::Uuid;

use super::moment::{Moment, When};
use super::pattern::Pattern;
use super::print::moment_text;
use super::tree::{Bound, Interval, Query, QueryError};
use crate::field::{self, FIRST_SEEN, FIRST_SEEN_NAMES, Kind, Number, Origin, TWO_FACTOR, folded};
use crate::position::Source;
use crate::wording::quoted;

/// A field's name and its position in the question.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) path: String,
    pub(super) at: usize,
}

/// An end of a range as it was written.
#[derive(Debug, Clone)]
pub(super) struct WrittenEnd {
    /// `None` for `*`.
    pub(super) text: Option<String>,
    pub(super) at: usize,
    pub(super) is_included: bool,
    /// Whether any of it was in quotes.
    pub(super) is_quoted: bool,
}

impl WrittenEnd {
    /// No end.
    pub(super) fn open(at: usize) -> Self {
        Self {
            text: None,
            at,
            is_included: true,
            is_quoted: false,
        }
    }
}

impl Name {
    fn kind(&self) -> Kind {
        field::by_name(&self.path).map_or(Kind::Any, |field| field.kind)
    }

    /// The field has any value.
    pub(super) fn exists(&self) -> Query {
        let Self { path, at } = self.clone();
        Query::Exists { path, at }
    }

    /// The field matches an expression.
    pub(super) fn matches(&self, regex: String) -> Query {
        let Self { path, at } = self.clone();
        Query::Matches { path, regex, at }
    }

    /// Whether the table says that words of its values are found.
    pub(super) fn has_words(&self) -> bool {
        field::has_words(&self.path)
    }

    /// The field equals this text, or matches it as a pattern; in quotes the text is the whole value. `value_at` is its position.
    pub(super) fn is(
        &self,
        pattern: Pattern,
        value_at: usize,
        is_quoted: bool,
        when: When,
    ) -> Result<Query, QueryError> {
        if pattern.is_anything() {
            return Ok(self.exists());
        }
        let Some(value) = pattern.as_text() else {
            let Self { path, at } = self.clone();
            return Ok(Query::Like { path, pattern, at });
        };
        if is_quoted || value.is_empty() {
            self.is_exactly(value, value_at)
        } else {
            self.meant(value, value_at, when)
        }
    }

    /// The field has this value as a whole: a date is no day there, and a network no addresses. An entry may have any text.
    fn is_exactly(&self, value: &str, value_at: usize) -> Result<Query, QueryError> {
        if !value.is_empty() && !may_have_any_text(&self.path) {
            check_value(&self.path, value).map_err(|message| QueryError::new(value_at, message))?;
        }
        Ok(self.equals(value))
    }

    /// As [`Name::is`], for a text without quotes and wildcards.
    fn meant(&self, value: &str, value_at: usize, when: When) -> Result<Query, QueryError> {
        let wrong = |message| QueryError::new(value_at, message);
        match self.kind() {
            Kind::Time => self.happened(value, value_at, when),
            Kind::Address if value.contains('/') => {
                let network =
                    network(value).map_err(|message| wrong(or_in_quotes(&self.path, message)))?;
                Ok(self.within(network))
            }
            _ if self.has_words() && is_one_word(value) => {
                let (Self { path, at }, text) = (self.clone(), value.to_owned());
                Ok(Query::Contains { path, text, at })
            }
            Kind::Any => Ok(self.is_text_or_number(value)),
            _ => {
                check_value(&self.path, value).map_err(wrong)?;
                Ok(self.equals(value))
            }
        }
    }

    /// The field is this text; or, where it is a number with an exponent, that number. A text in an entry is none then: an id
    /// such as `12e45` stays itself.
    fn is_text_or_number(&self, value: &str) -> Query {
        let as_written = self.equals(value);
        match (Number::plain(value), Number::with_exponent(value)) {
            (None, Some(number)) => Query::Or(vec![as_written, self.equals(&number.to_string())]),
            _ => as_written,
        }
    }

    fn equals(&self, value: &str) -> Query {
        let (Self { path, at }, value) = (self.clone(), value.to_owned());
        Query::Equals { path, value, at }
    }

    /// The field of a time is this, or within it.
    fn happened(&self, value: &str, value_at: usize, when: When) -> Result<Query, QueryError> {
        let Some(moment) = Moment::read(value, when) else {
            let message = or_in_quotes(&self.path, no_time(value));
            return Err(QueryError::new(value_at, message));
        };
        if crate::span::parse(value).is_ok() {
            let message = format!(
                "{} is a span before now: write `>={value}` for what happened since then",
                quoted(value)
            );
            return Err(QueryError::new(value_at, message));
        }
        if moment.is_instant {
            return Ok(self.equals(&moment_text(moment.since_us)));
        }
        let interval = time(Some(moment.since_us), Some(moment.before_us));
        refuse_empty(&interval, value_at)?;
        Ok(self.within(interval))
    }

    /// The field is between the two ends of the range at position `range_at`.
    pub(super) fn between(
        &self,
        lower: WrittenEnd,
        upper: WrittenEnd,
        range_at: usize,
        when: When,
    ) -> Result<Query, QueryError> {
        if lower.text.is_none() && upper.text.is_none() {
            return Ok(self.exists());
        }
        let interval = match self.kind() {
            Kind::Time => time_interval(&lower, &upper, when)?,
            Kind::Address => address_interval(&lower, &upper)?,
            kind => Interval::Values {
                lower: bound(lower, kind, when)?,
                upper: bound(upper, kind, when)?,
            },
        };
        refuse_empty(&interval, range_at)?;
        Ok(self.within(interval))
    }

    fn within(&self, interval: Interval) -> Query {
        let Self { path, at } = self.clone();
        Query::Within { path, interval, at }
    }
}

/// Whether a field should have a value, compared as a whole; what is wrong with it otherwise, for a person.
///
/// # Errors
/// The message.
pub fn check_value(path: &str, value: &str) -> Result<(), String> {
    let Some(field) = field::by_name(path) else {
        return Ok(());
    };
    let value_is_right = match field.kind {
        Kind::Address => field::address(value).is_some(),
        Kind::Number => Number::with_exponent(value.trim()).is_some(),
        Kind::Time => field::instant_us(value).is_some(),
        Kind::Id if field.name == SOURCE => folded(value).parse::<Source>().is_ok(),
        Kind::Id if field.name == FIRST_SEEN => FIRST_SEEN_NAMES.contains(&&*folded(value)),
        Kind::Text if field.name == TWO_FACTOR => {
            matches!(folded(value).as_str(), "true" | "false")
        }
        Kind::Id | Kind::Text | Kind::Any => true,
    };
    if value_is_right {
        return Ok(());
    }
    let message = match field.kind {
        Kind::Address => format!("{} is no IP address", quoted(value)),
        Kind::Number => format!(
            "{} is no number, and this field holds numbers",
            quoted(value)
        ),
        Kind::Time => no_time(value),
        Kind::Text => format!("{} is neither `true` nor `false`", quoted(value)),
        Kind::Id if field.name == FIRST_SEEN => format!(
            "{} is nothing that is noted: write {}",
            quoted(value),
            FIRST_SEEN_NAMES.map(quoted).join(", ")
        ),
        Kind::Id | Kind::Any => format!(
            "{} names no source: write `organizations/ID` or `accounts/ID`",
            quoted(value)
        ),
    };
    Err(or_in_quotes(path, message))
}

/// Whether a field may have a value that it should not: upstream writes the entries.
fn may_have_any_text(path: &str) -> bool {
    field::by_name(path).is_none_or(|field| field.origin == Origin::Entry)
}

/// A message about a value that a field should not have, with how entries that have it are found all the same.
fn or_in_quotes(path: &str, message: String) -> String {
    if may_have_any_text(path) {
        format!("{message}; a query finds it as a text in quotes: `{path}:\"…\"`")
    } else {
        message
    }
}

/// Whether a text is one word, as people write words: letters and digits with their combining marks, apostrophes between
/// them, or a UUID. In the index it may be several words side by side.
fn is_one_word(text: &str) -> bool {
    if text.len() == 36 && Uuid::try_parse(text).is_ok() {
        return true;
    }
    text.split(APOSTROPHES).all(|piece| {
        piece.contains(char::is_alphanumeric)
            && piece
                .chars()
                .all(|c| c.is_alphanumeric() || is_mark_or_joiner(c))
    })
}

/// A character inside a word, such as the apostrophe of `don't`.
const APOSTROPHES: [char; 2] = ['\'', '’'];

/// Characters that join words to one identifier, as `_` does; they are no part of a written word.
const CONNECTORS: [char; 10] = ['_', '‿', '⁀', '⁔', '︳', '︴', '﹍', '﹎', '﹏', '＿'];

/// Whether a character is no letter and no digit, but belongs to the one before it: a combining mark, or one of the invisible
/// joiners.
pub(super) fn is_mark_or_joiner(c: char) -> bool {
    !c.is_alphanumeric()
        && !CONNECTORS.contains(&c)
        && regex_syntax::try_is_word_character(c).unwrap_or(false)
}

/// The field whose values are sources.
const SOURCE: &str = "source";

fn no_time(text: &str) -> String {
    format!(
        "{} is no time: write `2026-08-03T08:00:00Z`, `2026-08-03` or `now-7d`",
        quoted(text)
    )
}

/// Refuses an interval in which there can be nothing.
fn refuse_empty(interval: &Interval, at: usize) -> Result<(), QueryError> {
    let is_empty = match interval {
        Interval::Time {
            since_us,
            before_us,
        } => {
            let before = before_us.unwrap_or(END_US);
            since_us.is_some_and(|since| since >= before)
                || before_us.is_some_and(|before| before <= BEGIN_US)
        }
        Interval::Addresses { first, last } => first > last,
        Interval::Values { lower, upper } => are_apart(lower, upper),
    };
    if is_empty {
        let message = "nothing can be in this range: its end is not after its beginning";
        return Err(QueryError::new(at, message));
    }
    Ok(())
}

/// Whether no value is on the right side of both bounds. A number and a text are never apart: a value can be beyond both.
fn are_apart(lower: &Bound, upper: &Bound) -> bool {
    let end = |bound: &Bound| match bound {
        Bound::Open => None,
        Bound::Including(text) => Some((text.clone(), true)),
        Bound::Excluding(text) => Some((text.clone(), false)),
    };
    let Some((upper, with_upper)) = end(upper) else {
        return false;
    };
    // An empty text is no value, and the first of all texts.
    if upper.is_empty() {
        return true;
    }
    let Some((lower, with_lower)) = end(lower) else {
        return false;
    };
    let numbers = (Number::with_exponent(&lower), Number::with_exponent(&upper));
    let order = match numbers {
        (Some(lower), Some(upper)) => lower.cmp(&upper),
        (None, None) => folded(&lower).cmp(&folded(&upper)),
        _ => return false,
    };
    order.is_gt() || (order.is_eq() && !(with_lower && with_upper))
}

/// The first moment that RFC 3339 can say, and the first after the last, in microseconds since 1970.
const BEGIN_US: i64 = -62_167_219_200_000_000;
const END_US: i64 = 253_402_300_800_000_000;

fn time(since_us: Option<i64>, before_us: Option<i64>) -> Interval {
    Interval::Time {
        since_us,
        // No readable time is later.
        before_us: before_us.filter(|before| *before < END_US),
    }
}

fn time_interval(
    lower: &WrittenEnd,
    upper: &WrittenEnd,
    when: When,
) -> Result<Interval, QueryError> {
    let moment = |end: &WrittenEnd| -> Result<Option<Moment>, QueryError> {
        let Some(text) = &end.text else {
            return Ok(None);
        };
        match Moment::read(text, when) {
            Some(moment) => Ok(Some(moment)),
            None => Err(QueryError::new(end.at, no_time(text))),
        }
    };
    let since_us = moment(lower)?.map(|moment| {
        if lower.is_included {
            moment.since_us
        } else {
            moment.before_us
        }
    });
    let before_us = moment(upper)?.map(|moment| {
        if upper.is_included {
            moment.before_us
        } else {
            moment.since_us
        }
    });
    Ok(time(since_us, before_us))
}

/// The addresses of a network, `203.0.113.0/24`.
fn network(text: &str) -> Result<Interval, String> {
    let written = text.trim().split_once('/').and_then(|(address, bits)| {
        let is_number = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        Some((address.parse::<IpAddr>().ok()?, is_number.then_some(bits)?))
    });
    let Some((address, bits)) = written else {
        return Err(format!(
            "{} is no network: write one such as `203.0.113.0/24`",
            quoted(text)
        ));
    };
    let found = bits.parse().ok();
    found
        .and_then(|bits| network_interval(address, bits))
        .ok_or_else(|| format!("{address} has no network of {} bits", quoted(bits)))
}

fn network_interval(address: IpAddr, bits: u32) -> Option<Interval> {
    let (address, bits) = match (address, address.to_canonical()) {
        // An IPv4-mapped IPv6 address.
        (IpAddr::V6(_), IpAddr::V4(inner)) if bits >= 96 => (IpAddr::V4(inner), bits - 96),
        _ => (address, bits),
    };
    let is_v4 = address.is_ipv4();
    if bits > if is_v4 { 32 } else { 128 } {
        return None;
    }
    let host = highest(is_v4).checked_shr(bits).unwrap_or(0);
    let first = number_of(address) & !host;
    Some(addresses(is_v4, first, first | host))
}

/// The highest address of a family, as a number.
fn highest(is_v4: bool) -> u128 {
    if is_v4 { u32::MAX.into() } else { u128::MAX }
}

fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The addresses of a family from one number to another.
fn addresses(is_v4: bool, first: u128, last: u128) -> Interval {
    let address = |number: u128| match u32::try_from(number) {
        Ok(number) if is_v4 => IpAddr::V4(number.into()),
        _ => IpAddr::V6(number.into()),
    };
    Interval::Addresses {
        first: address(first),
        last: address(last),
    }
}

fn address_interval(lower: &WrittenEnd, upper: &WrittenEnd) -> Result<Interval, QueryError> {
    let address = |end: &WrittenEnd| -> Result<Option<IpAddr>, QueryError> {
        let Some(text) = &end.text else {
            return Ok(None);
        };
        match field::address(text) {
            Some(address) => Ok(Some(address)),
            None => Err(QueryError::new(
                end.at,
                format!("{} is no IP address", quoted(text)),
            )),
        }
    };
    let (first, last) = (address(lower)?, address(upper)?);
    let is_v4 = match (first, last) {
        (Some(first), Some(last)) if first.is_ipv4() != last.is_ipv4() => {
            return Err(QueryError::new(
                upper.at,
                "nothing is between an IPv4 and an IPv6 address: ask for two ranges",
            ));
        }
        (Some(address), _) | (_, Some(address)) => address.is_ipv4(),
        (None, None) => true,
    };
    let first = first.map_or(Some(0), |first| {
        number_of(first).checked_add(u128::from(!lower.is_included))
    });
    let last = last.map_or(Some(highest(is_v4)), |last| {
        number_of(last).checked_sub(u128::from(!upper.is_included))
    });
    // Beyond an end there may be nothing.
    let within = first
        .zip(last)
        .filter(|(first, _)| *first <= highest(is_v4));
    let (first, last) = within.unwrap_or((1, 0));
    Ok(addresses(is_v4, first, last))
}

fn bound(end: WrittenEnd, kind: Kind, when: When) -> Result<Bound, QueryError> {
    let Some(text) = end.text else {
        return Ok(Bound::Open);
    };
    if kind == Kind::Number && Number::with_exponent(&text).is_none() {
        return Err(QueryError::new(
            end.at,
            format!(
                "{} is no number, and this field holds numbers",
                quoted(&text)
            ),
        ));
    }
    let text = if !end.is_quoted && Moment::is_relative(&text, when) {
        Moment::read(&text, when).map_or(text, |moment| moment_text(moment.since_us))
    } else {
        text
    };
    Ok(if end.is_included {
        Bound::Including(text)
    } else {
        Bound::Excluding(text)
    })
}
