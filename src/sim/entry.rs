//! The wire form of an audit log entry, in upstream's order of members.
//!
//! Every member can be missing, as upstream's schema has it. What an entry says is decided by whoever builds one.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;

use super::timeline::Digits;

/// One entry.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'a> {
    pub(crate) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<Named<'a>>,
    pub(crate) action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<Actor<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) organization: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) raw: Option<Raw<'a>>,
    pub(crate) resource: Resource,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) zone: Option<Named<'a>>,
}

/// An account, a zone, or an organization, which goes without its name.
#[derive(Debug, Serialize)]
pub(crate) struct Named<'a> {
    pub(crate) id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
}

/// What was done.
#[derive(Debug, Serialize)]
pub(crate) struct Action {
    pub(crate) description: String,
    pub(crate) result: &'static str,
    pub(crate) time: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

/// Who did it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Actor<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ip_address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_name: Option<&'a str>,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

/// The call it was done with; `{}` where there was none.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Raw<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cf_ray_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_agent: Option<&'a str>,
}

/// What it was done to.
#[derive(Debug, Serialize)]
pub(crate) struct Resource {
    pub(crate) id: String,
    pub(crate) product: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response: Option<Value>,
    pub(crate) scope: Value,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Value>,
}

impl Entry<'_> {
    /// The entry's text, as it goes into a page.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self)
            .expect("strings, numbers and JSON values under text keys become JSON")
    }
}

/// The offsets a time may be written with; all but the first are rare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offset {
    /// `Z`.
    Z,
    /// `+00:00`.
    Zero,
    /// `+02:00`, which moves the digits of the hour too.
    Two,
}

/// A time as entries write it.
pub(crate) fn write_time(time: DateTime<Utc>, digits: Digits, offset: Offset) -> String {
    let form = match digits {
        Digits::None => SecondsFormat::Secs,
        Digits::Three => SecondsFormat::Millis,
        Digits::Six => SecondsFormat::Micros,
        Digits::Nine => SecondsFormat::Nanos,
    };
    let two_hours = chrono::FixedOffset::east_opt(2 * 3_600);
    match (offset, two_hours) {
        (Offset::Two, Some(zone)) => time.with_timezone(&zone).to_rfc3339_opts(form, false),
        (Offset::Zero, _) => time.to_rfc3339_opts(form, false),
        _ => time.to_rfc3339_opts(form, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_every_form_upstream_has() {
        let time = "2026-08-03T08:46:10.987654321Z".parse().unwrap();
        let check = |digits, offset, expect: &str| {
            assert_eq!(write_time(time, digits, offset), expect);
        };
        check(Digits::None, Offset::Z, "2026-08-03T08:46:10Z");
        check(Digits::Three, Offset::Zero, "2026-08-03T08:46:10.987+00:00");
        check(Digits::Six, Offset::Two, "2026-08-03T10:46:10.987654+02:00");
        check(Digits::Nine, Offset::Z, "2026-08-03T08:46:10.987654321Z");
    }
}
