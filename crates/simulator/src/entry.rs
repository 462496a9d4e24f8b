//! The wire form of an audit log entry, in upstream's order of members.
//!
//! Every member can be missing, as upstream's schema has it. The caller decides what an entry says.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};

use super::json_writer::{self, Object};
use super::timeline::TimePrecision;

/// How long an entry's text usually is at most, in bytes: what is set aside for one.
const USUAL_LEN: usize = 2_048;

/// One entry.
#[derive(Debug)]
pub(crate) struct WrittenEntry<'a> {
    pub(crate) id: String,
    pub(crate) account: Option<NamedObject<'a>>,
    pub(crate) action: Action,
    pub(crate) actor: Option<Actor<'a>>,
    pub(crate) organization: Option<NamedObject<'a>>,
    pub(crate) raw: Option<CallRecord<'a>>,
    pub(crate) resource: EntryResource,
    pub(crate) zone: Option<NamedObject<'a>>,
}

/// An account, a zone, or an organization, which goes without its name.
#[derive(Debug)]
pub(crate) struct NamedObject<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: Option<&'a str>,
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) description: String,
    pub(crate) result: &'static str,
    pub(crate) time: String,
    pub(crate) kind: &'static str,
}

/// Who did it.
#[derive(Debug, Default)]
pub(crate) struct Actor<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) context: Option<&'a str>,
    pub(crate) email: Option<&'a str>,
    pub(crate) ip_address: Option<&'a str>,
    pub(crate) token_id: Option<&'a str>,
    pub(crate) token_name: Option<&'a str>,
    pub(crate) kind: &'static str,
}

/// The call it was done with; `{}` where there was none.
#[derive(Debug, Default)]
pub(crate) struct CallRecord<'a> {
    pub(crate) cf_ray_id: Option<String>,
    pub(crate) method: Option<&'a str>,
    pub(crate) status_code: Option<u16>,
    pub(crate) uri: Option<String>,
    pub(crate) user_agent: Option<&'a str>,
}

/// JSON that is written already.
pub(crate) type Json = Cow<'static, [u8]>;

/// What it was done to.
#[derive(Debug)]
pub(crate) struct EntryResource {
    pub(crate) id: String,
    pub(crate) product: &'static str,
    pub(crate) request: Option<Json>,
    pub(crate) response: Option<Json>,
    pub(crate) scope: Scope,
    pub(crate) kind: &'static str,
    /// Whether `resource.value` is there, which no reference describes.
    pub(crate) has_value: bool,
}

/// `resource.scope`, which is a text in some places of upstream's reference and an object in others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope {
    /// The text.
    Text(&'static str),
    /// An object of the text and the resource's id.
    Object(&'static str),
    /// An object of nothing.
    Empty,
}

impl WrittenEntry<'_> {
    /// The entry's text, as it goes into a page.
    pub(crate) fn text(&self) -> String {
        let mut out = Vec::with_capacity(USUAL_LEN);
        let mut entry = Object::open(&mut out);
        entry.put("id", &self.id);
        if let Some(account) = &self.account {
            account.write(entry.member("account"));
        }
        self.action.write(entry.member("action"));
        if let Some(actor) = &self.actor {
            actor.write(entry.member("actor"));
        }
        if let Some(organization) = &self.organization {
            organization.write(entry.member("organization"));
        }
        if let Some(raw) = &self.raw {
            raw.write(entry.member("raw"));
        }
        self.resource.write(entry.member("resource"));
        if let Some(zone) = &self.zone {
            zone.write(entry.member("zone"));
        }
        entry.close();
        json_writer::into_text(out)
    }
}

impl NamedObject<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        object.put("id", self.id);
        object.put_some("name", self.name);
        object.close();
    }
}

impl Action {
    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        object.put("description", &self.description);
        object.put("result", self.result);
        object.put("time", &self.time);
        object.put("type", self.kind);
        object.close();
    }
}

impl Actor<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        object.put_some("id", self.id);
        object.put_some("context", self.context);
        object.put_some("email", self.email);
        object.put_some("ip_address", self.ip_address);
        object.put_some("token_id", self.token_id);
        object.put_some("token_name", self.token_name);
        object.put("type", self.kind);
        object.close();
    }
}

impl CallRecord<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        object.put_some("cf_ray_id", self.cf_ray_id.as_ref());
        object.put_some("method", self.method);
        object.put_some("status_code", self.status_code);
        object.put_some("uri", self.uri.as_ref());
        object.put_some("user_agent", self.user_agent);
        object.close();
    }
}

impl EntryResource {
    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        object.put("id", &self.id);
        object.put("product", self.product);
        if let Some(request) = &self.request {
            object.put_json("request", request);
        }
        if let Some(response) = &self.response {
            object.put_json("response", response);
        }
        self.write_scope(object.member("scope"));
        object.put("type", self.kind);
        if self.has_value {
            let mut value = Object::open(object.member("value"));
            value.put("name", &self.id);
            value.close();
        }
        object.close();
    }

    fn write_scope(&self, out: &mut Vec<u8>) {
        if let Scope::Text(name) = self.scope {
            json_writer::value(out, name);
            return;
        }
        let mut object = Object::open(out);
        if let Scope::Object(name) = self.scope {
            object.put("type", name);
            object.put("id", &self.id);
        }
        object.close();
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
pub(crate) fn write_time(time: DateTime<Utc>, digits: TimePrecision, offset: Offset) -> String {
    let form = match digits {
        TimePrecision::None => SecondsFormat::Secs,
        TimePrecision::Three => SecondsFormat::Millis,
        TimePrecision::Six => SecondsFormat::Micros,
        TimePrecision::Nine => SecondsFormat::Nanos,
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
        check(TimePrecision::None, Offset::Z, "2026-08-03T08:46:10Z");
        check(
            TimePrecision::Three,
            Offset::Zero,
            "2026-08-03T08:46:10.987+00:00",
        );
        check(
            TimePrecision::Six,
            Offset::Two,
            "2026-08-03T10:46:10.987654+02:00",
        );
        check(
            TimePrecision::Nine,
            Offset::Z,
            "2026-08-03T08:46:10.987654321Z",
        );
    }
}
