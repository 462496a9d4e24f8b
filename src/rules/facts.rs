//! An entry as rules see it, prepared once for all rules: its values by path, and what orgtrail says about the event beside them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;

use rsigma_eval::{Event, EventValue};
use serde_json::Value;

use crate::event::{AuditEvent, searchable};
use orgtrail_cloudflare::json::{JsonToken, Scalar, Tokens, meaning};

/// Whether rules with `service: audit` or with `service: orgtrail` look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogService {
    /// An entry of an audit log.
    Audit,
    /// What this service noticed about its sources and its log.
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

/// One value of an entry.
#[derive(Debug, Clone, PartialEq)]
enum FactValue {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Null,
    /// An object or a list without anything in it.
    Empty,
}

/// The field of addresses. They are compared in one spelling.
const ADDRESS: &str = "actor.ip_address";

/// An address as it is written usually: an IPv4 address inside of IPv6 is the IPv4 address. Other texts stay as they are.
fn canonical(text: String) -> String {
    match text.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => text,
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
    values: BTreeMap<String, Vec<FactValue>>,
}

impl EntryFacts {
    /// What rules see of an event.
    #[must_use]
    pub fn of(event: &AuditEvent) -> Self {
        let mut facts = Self::read(LogService::Audit, event.entry.get(), false);
        facts.set_text("source", event.source.to_string());
        facts.set_text("received_at", crate::position::rfc3339(event.received_at));
        facts.values.insert(
            "revision".to_owned(),
            vec![FactValue::Integer(event.revision.into())],
        );
        if let Some(problem) = &event.problem {
            facts.set_text("problem", problem.clone());
        }
        facts
    }

    /// What rules see of something that the service itself noticed: a JSON object with `kind`, `time` and more.
    #[must_use]
    pub fn of_service(json: &str) -> Self {
        Self::read(LogService::Orgtrail, json, true)
    }

    /// What rules see of an entry of a test: what stands beside the entry is among its own members.
    pub(super) fn of_case(service: LogService, entry: &Value) -> Self {
        Self::read(service, &entry.to_string(), true)
    }

    /// With the pairs that had not occurred before in event time, such as `actor.ip_address`: the field `first_seen`.
    #[must_use]
    pub fn with_first_seen<'a>(mut self, pairs: impl IntoIterator<Item = &'a str>) -> Self {
        let pairs: Vec<_> = pairs
            .into_iter()
            .map(|pair| FactValue::Text(pair.to_owned()))
            .collect();
        if pairs.is_empty() {
            self.values.remove(FIRST_SEEN);
        } else {
            self.values.insert(FIRST_SEEN.to_owned(), pairs);
        }
        self
    }

    fn read(service: LogService, json: &str, beside: bool) -> Self {
        let mut values: BTreeMap<String, Vec<FactValue>> = BTreeMap::new();
        searchable::walk(json, |path, scalar, has_room| {
            let is_beside = BESIDE.contains(&path.split('.').next().unwrap_or_default());
            if !has_room || is_beside && !beside {
                return;
            }
            let value = match FactValue::of(scalar) {
                FactValue::Text(text) if path == ADDRESS => FactValue::Text(canonical(text)),
                value => value,
            };
            match values.get_mut(path) {
                Some(of_path) => of_path.push(value),
                None => {
                    values.insert(path.to_owned(), vec![value]);
                }
            }
        });
        walk_empty(json, |path| {
            if !BESIDE.contains(&path.split('.').next().unwrap_or_default()) {
                values
                    .entry(path.to_owned())
                    .or_default()
                    .push(FactValue::Empty);
            }
        });
        Self { service, values }
    }

    fn set_text(&mut self, name: &str, text: String) {
        self.values
            .insert(name.to_owned(), vec![FactValue::Text(text)]);
    }

    pub(super) fn service(&self) -> LogService {
        self.service
    }

    /// The value of a field as a text, by which matches are grouped and counted: the value itself, or a JSON array of several different
    /// values in their order. `None` if it is missing or null.
    #[must_use]
    pub fn group_value(&self, field: &str) -> Option<String> {
        let mut texts: Vec<String> = Vec::new();
        for value in self.values.get(field)? {
            texts.extend(value.text().filter(|text| !texts.contains(text)));
        }
        match texts.len() {
            0 | 1 => texts.pop(),
            _ => serde_json::to_string(&texts).ok(),
        }
    }

    /// Whether there is something below a path: it is an object.
    fn is_object(&self, path: &str) -> bool {
        let below = [path, "."].concat();
        let from = (Bound::Included(below.as_str()), Bound::Unbounded);
        let mut after = self.values.range::<str, _>(from);
        after
            .next()
            .is_some_and(|(name, _)| name.starts_with(&below))
    }
}

impl FactValue {
    fn of(scalar: Scalar<'_>) -> Self {
        match scalar {
            Scalar::Text(text) => Self::Text(text.into_owned()),
            Scalar::Number(number) => match number.parse() {
                Ok(integer) => Self::Integer(integer),
                Err(_) => number
                    .parse()
                    .map_or_else(|_| Self::Text(number.to_owned()), Self::Float),
            },
            Scalar::Bool(value) => Self::Bool(value),
            Scalar::Null => Self::Null,
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Float(number) => Some(number.to_string()),
            Self::Bool(value) => Some(value.to_string()),
            Self::Null | Self::Empty => None,
        }
    }

    fn as_event_value(&self) -> EventValue<'_> {
        match self {
            Self::Text(text) => EventValue::Str(Cow::Borrowed(text)),
            Self::Integer(number) => EventValue::Int(*number),
            Self::Float(number) => EventValue::Float(*number),
            Self::Bool(value) => EventValue::Bool(*value),
            Self::Null => EventValue::Null,
            Self::Empty => EventValue::Map(Vec::new()),
        }
    }
}

impl Event for EntryFacts {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        match self.values.get(path).map(Vec::as_slice) {
            Some([value]) => Some(value.as_event_value()),
            Some(values) => {
                let values = values.iter().map(FactValue::as_event_value);
                Some(EventValue::Array(values.collect()))
            }
            None => self.is_object(path).then(|| EventValue::Map(Vec::new())),
        }
    }

    fn any_string_value(&self, pred: &dyn Fn(&str) -> bool) -> bool {
        let mut values = self.values.values().flatten();
        values.any(|value| matches!(value, FactValue::Text(text) if pred(text)))
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        let values = self.values.values().flatten();
        values
            .filter_map(|value| match value {
                FactValue::Text(text) => Some(Cow::Borrowed(text.as_str())),
                _ => None,
            })
            .collect()
    }

    fn to_json(&self) -> Value {
        // Only for results that contain the event; ours never do.
        Value::Null
    }
}

/// Calls `visit` with the path of each object and list that is empty: `{"everyone":{}}` says something although there is no value.
fn walk_empty(json: &str, mut visit: impl FnMut(&str)) {
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
