//! What a text means as the value of a field: by the field's kind, in the table of fields.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use super::moment::Moment;
use super::print::moment_text;
use super::{Bound, Interval, Pattern, Query, QueryError};
use crate::field::{self, Kind, Number};
use crate::wording::quoted;

/// A field's name, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) path: String,
    pub(super) at: usize,
}

/// An end of a range as it was written.
#[derive(Debug, Clone)]
pub(super) struct End {
    /// `None` for `*`.
    pub(super) text: Option<String>,
    pub(super) at: usize,
    pub(super) is_included: bool,
}

impl End {
    /// No end.
    pub(super) fn open(at: usize) -> Self {
        Self {
            text: None,
            at,
            is_included: true,
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

    /// The field is as this text, which stands at `value_at`, or looks like it.
    pub(super) fn is(
        &self,
        pattern: Pattern,
        value_at: usize,
        now: DateTime<Utc>,
    ) -> Result<Query, QueryError> {
        if pattern.is_anything() {
            return Ok(self.exists());
        }
        let Some(value) = pattern.as_text() else {
            let Self { path, at } = self.clone();
            return Ok(Query::Like { path, pattern, at });
        };
        match self.kind() {
            Kind::Time => {
                if let Some(moment) = Moment::read(value, now).filter(|moment| !moment.is_instant) {
                    return Ok(self.within(time(Some(moment.since_us), Some(moment.before_us))));
                }
            }
            Kind::Address => {
                if let Some((address, bits)) = network(value) {
                    return Ok(self.within(network_interval(address, bits).ok_or_else(|| {
                        QueryError::new(
                            value_at,
                            format!("{address} has no network of {bits} bits"),
                        )
                    })?));
                }
            }
            _ => {}
        }
        let (Self { path, at }, value) = (self.clone(), value.to_owned());
        Ok(Query::Equals { path, value, at })
    }

    /// The field is between two ends.
    pub(super) fn between(
        &self,
        lower: End,
        upper: End,
        now: DateTime<Utc>,
    ) -> Result<Query, QueryError> {
        if lower.text.is_none() && upper.text.is_none() {
            return Ok(self.exists());
        }
        let interval = match self.kind() {
            Kind::Time => time_interval(&lower, &upper, now)?,
            Kind::Address => address_interval(&lower, &upper)?,
            kind => Interval::Values {
                lower: bound(lower, kind, now)?,
                upper: bound(upper, kind, now)?,
            },
        };
        Ok(self.within(interval))
    }

    fn within(&self, interval: Interval) -> Query {
        let Self { path, at } = self.clone();
        Query::Within { path, interval, at }
    }
}

fn time(since_us: Option<i64>, before_us: Option<i64>) -> Interval {
    // No readable time is later than this: RFC 3339 has no year after it.
    const END_US: i64 = 253_402_300_800_000_000;
    Interval::Time {
        since_us,
        before_us: before_us.filter(|before| *before < END_US),
    }
}

fn time_interval(lower: &End, upper: &End, now: DateTime<Utc>) -> Result<Interval, QueryError> {
    let moment = |end: &End| -> Result<Option<Moment>, QueryError> {
        let Some(text) = &end.text else {
            return Ok(None);
        };
        let wanted = "is no time: write `2026-08-03T08:00:00Z`, `2026-08-03` or `now-7d`";
        match Moment::read(text, now) {
            Some(moment) => Ok(Some(moment)),
            None => Err(QueryError::new(
                end.at,
                format!("{} {wanted}", quoted(text)),
            )),
        }
    };
    let since_us = moment(lower)?.map(|moment| match lower.is_included {
        true => moment.since_us,
        false => moment.before_us,
    });
    let before_us = moment(upper)?.map(|moment| match upper.is_included {
        true => moment.before_us,
        false => moment.since_us,
    });
    Ok(time(since_us, before_us))
}

/// The address and the length of a network, `203.0.113.0/24`.
fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.trim().split_once('/')?;
    Some((address.parse().ok()?, bits.parse().ok()?))
}

fn network_interval(address: IpAddr, bits: u32) -> Option<Interval> {
    let (address, bits) = match (address, address.to_canonical()) {
        // One of IPv4 in IPv6's clothes.
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

fn address_interval(lower: &End, upper: &End) -> Result<Interval, QueryError> {
    let address = |end: &End| -> Result<Option<IpAddr>, QueryError> {
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

fn bound(end: End, kind: Kind, now: DateTime<Utc>) -> Result<Bound, QueryError> {
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
    let text = match Moment::is_relative(&text, now) {
        true => Moment::read(&text, now).map_or(text, |moment| moment_text(moment.since_us)),
        false => text,
    };
    Ok(match end.is_included {
        true => Bound::Including(text),
        false => Bound::Excluding(text),
    })
}
