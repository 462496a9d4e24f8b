//! An entry as rules see it, prepared once for all rules: its values by path, and what orgtrail says about the event beside them.

mod values;

use std::borrow::Cow;
use std::net::IpAddr;

use rsigma_eval::{Event, EventValue};
use serde_json::Value;

use self::values::{FactValue, PathValues, PathValuesBuilder};
use super::needed::{LiteralTest, NeededText};
use crate::event::{AuditEvent, searchable};
use orgtrail_cloudflare::json::{JsonToken, Scalar, Tokens, meaning};

/// Whether rules with `service: audit` or with `service: orgtrail` look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogService {
    /// An entry of an audit log.
    Audit,
    /// Something that this service found out about the logs themselves.
    Orgtrail,
}

impl LogService {
    /// Its name in `logsource`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Orgtrail => "orgtrail",
        }
    }
}

/// The members that stand beside an event's entry. An entry's own member of that name is not seen.
pub(super) const BESIDE: [&str; 5] = ["source", "revision", "received_at", "problem", FIRST_SEEN];

/// The field of what was not seen before.
pub(super) const FIRST_SEEN: &str = "first_seen";

/// The field of addresses. They are compared in one spelling.
const ADDRESS: &str = "actor.ip_address";

/// An address as it is written usually: an IPv4 address inside of IPv6 is the IPv4 address. Other texts stay as they are.
fn canonical(text: &str) -> Cow<'_, str> {
    match text.parse::<IpAddr>() {
        Ok(address) => Cow::Owned(address.to_canonical().to_string()),
        Err(_) => Cow::Borrowed(text),
    }
}

/// The most empty objects and lists of an entry that are seen, and the longest path to one, in bytes.
const MAX_EMPTY: usize = 1_000;
const MAX_EMPTY_PATH_LEN: usize = 500;

/// An entry's values by path, as rules see them. An array's items have the array's path, so that it matches if any of them does.
/// Its memory is in proportion to the entry; values that cannot be searched by their path have none here either.
#[derive(Debug, Clone)]
pub struct EntryFacts {
    service: LogService,
    values: PathValues,
}

impl EntryFacts {
    /// What rules see of an event.
    #[must_use]
    pub fn of(event: &AuditEvent) -> Self {
        let mut values = read(event.entry.get(), false);
        values.push("source", FactValue::Text(&event.source.to_string()));
        let received_at = crate::position::rfc3339(event.received_at);
        values.push("received_at", FactValue::Text(&received_at));
        values.push("revision", FactValue::Integer(event.revision.into()));
        if let Some(problem) = &event.problem {
            values.push("problem", FactValue::Text(problem));
        }
        Self {
            service: LogService::Audit,
            values: values.finish(),
        }
    }

    /// What rules see of something that the service itself found: a JSON object with `kind`, `time` and more.
    #[must_use]
    pub fn of_service(json: &str) -> Self {
        Self {
            service: LogService::Orgtrail,
            values: read(json, true).finish(),
        }
    }

    /// What rules see of an entry of a test: what stands beside the entry is among its own members.
    pub(super) fn of_case(service: LogService, entry: &Value) -> Self {
        Self {
            service,
            values: read(&entry.to_string(), true).finish(),
        }
    }

    /// With the pairs that had not occurred before in event time, such as `actor.ip_address`: the field `first_seen`.
    #[must_use]
    pub fn with_first_seen<'a>(mut self, pairs: impl IntoIterator<Item = &'a str>) -> Self {
        self.values.replace(FIRST_SEEN, pairs);
        self
    }

    pub(super) fn service(&self) -> LogService {
        self.service
    }

    /// The value of a field as a text, by which matches are grouped and counted: the value itself, or a JSON array of several different
    /// values in their order. `None` if it is missing or null.
    #[must_use]
    pub fn group_value(&self, field: &str) -> Option<String> {
        let mut texts: Vec<Cow<'_, str>> = Vec::new();
        for value in self.values.get(field) {
            texts.extend(text_of(value).filter(|text| !texts.contains(text)));
        }
        match texts.len() {
            0 | 1 => texts.pop().map(Cow::into_owned),
            _ => serde_json::to_string(&texts).ok(),
        }
    }

    /// Whether a value may have one of some texts. Case does not matter; a value that is no ASCII text may have any.
    pub(super) fn may_have(&self, needed: &NeededText) -> bool {
        let may_pass = |value: FactValue<'_>| match value {
            FactValue::Text(text) => may_pass(text, &needed.texts),
            // Keywords are looked for in texts alone.
            FactValue::Integer(_) | FactValue::Float(_) | FactValue::Bool(_) => {
                needed.field.is_some()
            }
            FactValue::Null | FactValue::Empty => false,
        };
        match &needed.field {
            Some(field) => self.values.get(field).any(may_pass),
            None => self.values.all().any(may_pass),
        }
    }

    /// Whether there is something below a path: it is an object.
    fn is_object(&self, path: &str) -> bool {
        self.values.has_beginning(&[path, "."].concat())
    }
}

/// An entry's values. `beside` says whether what stands beside an entry is among its members.
fn read(json: &str, beside: bool) -> PathValuesBuilder {
    let mut values = PathValuesBuilder::for_len(json.len());
    searchable::walk(json, |path, scalar, has_room| {
        if !has_room || !beside && is_beside(path) {
            return;
        }
        match scalar {
            Scalar::Text(text) if path == ADDRESS => {
                values.push(path, FactValue::Text(&canonical(&text)));
            }
            Scalar::Text(text) => values.push(path, FactValue::Text(&text)),
            Scalar::Number(number) => values.push(path, number_of(number)),
            Scalar::Bool(value) => values.push(path, FactValue::Bool(value)),
            Scalar::Null => values.push(path, FactValue::Null),
        }
    });
    walk_empty(json, |path| {
        if !is_beside(path) {
            values.push(path, FactValue::Empty);
        }
    });
    values
}

fn is_beside(path: &str) -> bool {
    BESIDE.contains(&path.split('.').next().unwrap_or_default())
}

fn number_of(number: &str) -> FactValue<'_> {
    match number.parse() {
        Ok(integer) => FactValue::Integer(integer),
        Err(_) => number
            .parse()
            .map_or(FactValue::Text(number), FactValue::Float),
    }
}

fn text_of(value: FactValue<'_>) -> Option<Cow<'_, str>> {
    match value {
        FactValue::Text(text) => Some(Cow::Borrowed(text)),
        FactValue::Integer(number) => Some(Cow::Owned(number.to_string())),
        FactValue::Float(number) => Some(Cow::Owned(number.to_string())),
        FactValue::Bool(value) => Some(Cow::Owned(value.to_string())),
        FactValue::Null | FactValue::Empty => None,
    }
}

fn as_event_value(value: FactValue<'_>) -> EventValue<'_> {
    match value {
        FactValue::Text(text) => EventValue::Str(Cow::Borrowed(text)),
        FactValue::Integer(number) => EventValue::Int(number),
        FactValue::Float(number) => EventValue::Float(number),
        FactValue::Bool(value) => EventValue::Bool(value),
        FactValue::Null => EventValue::Null,
        FactValue::Empty => EventValue::Map(Vec::new()),
    }
}

/// Whether a text may pass one of some tests.
fn may_pass(text: &str, tests: &[LiteralTest]) -> bool {
    let passes = |test: &LiteralTest| {
        if test.is_whole {
            text.eq_ignore_ascii_case(&test.text)
        } else {
            has_ignoring_case(text.as_bytes(), test.text.as_bytes())
        }
    };
    !text.is_ascii() || tests.iter().any(passes)
}

/// Whether a text has another one in it, which is not empty and in small letters.
fn has_ignoring_case(text: &[u8], small: &[u8]) -> bool {
    let Some((first, rest)) = small.split_first() else {
        return true;
    };
    let mut begins = memchr::memchr2_iter(*first, first.to_ascii_uppercase(), text);
    begins.any(|at| {
        let after = &text[at + 1..];
        after.len() >= rest.len() && after[..rest.len()].eq_ignore_ascii_case(rest)
    })
}

impl Event for EntryFacts {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        let mut values = self.values.get(path);
        match values.len() {
            0 => self.is_object(path).then(|| EventValue::Map(Vec::new())),
            1 => values.next().map(as_event_value),
            _ => Some(EventValue::Array(values.map(as_event_value).collect())),
        }
    }

    fn any_string_value(&self, pred: &dyn Fn(&str) -> bool) -> bool {
        let mut values = self.values.all();
        values.any(|value| matches!(value, FactValue::Text(text) if pred(text)))
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        let values = self.values.all();
        values
            .filter_map(|value| match value {
                FactValue::Text(text) => Some(Cow::Borrowed(text)),
                _ => None,
            })
            .collect()
    }

    fn to_json(&self) -> Value {
        // Only for results that contain the event; ours never do.
        Value::Null
    }
}

/// Whether an object or a list may be empty: most entries have none, which is seen without reading their tokens.
fn may_have_empty(json: &[u8]) -> bool {
    let mut ends = memchr::memchr2_iter(b'}', b']', json);
    ends.any(|at| {
        let mut before = json[..at].iter().rev();
        let last = before.find(|byte| !byte.is_ascii_whitespace());
        matches!(last, Some(b'{' | b'['))
    })
}

/// Calls `visit` with the path of each object and list that is empty: `{"everyone":{}}` says something although there is no value.
fn walk_empty(json: &str, mut visit: impl FnMut(&str)) {
    if !may_have_empty(json.as_bytes()) {
        return;
    }
    let mut path = String::new();
    let mut outer_lens = Vec::new();
    let mut found = 0;
    let mut has_just_begun = false;
    for token in Tokens::new(json) {
        match token {
            JsonToken::BeginObject | JsonToken::BeginArray => outer_lens.push(path.len()),
            JsonToken::EndObject | JsonToken::EndArray => {
                path.truncate(outer_lens.pop().unwrap_or(0));
                if has_just_begun && !path.is_empty() && path.len() <= MAX_EMPTY_PATH_LEN {
                    visit(&path);
                    found += 1;
                    if found == MAX_EMPTY {
                        return;
                    }
                }
            }
            JsonToken::Key(key) => {
                let outer = outer_lens.last().copied().unwrap_or(0);
                path.truncate(outer);
                if outer <= MAX_EMPTY_PATH_LEN {
                    path.push_str(if outer > 0 { "." } else { "" });
                    path.push_str(&meaning(key));
                }
            }
            _ => {}
        }
        has_just_begun = matches!(token, JsonToken::BeginObject | JsonToken::BeginArray);
    }
}
