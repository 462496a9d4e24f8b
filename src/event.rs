//! An audit log entry: as it arrives, and as it is kept.
//!
//! The bytes upstream sent are the entry; everything else here is read from them, leniently, because upstream promises
//! no field (every one is optional, enumerations grow). An entry that cannot be understood is still an entry: it carries
//! the reason. This module does not know where entries come from, nor where they are kept.

mod bodies;
mod excerpt;
pub mod searchable;

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::clock::from_micros;
use crate::field::{self, Kind};
use crate::position::{Seq, Source, SourceKind, Window, rfc3339};
use orgtrail_cloudflare::json::{self, Scalar};

pub use self::excerpt::EntryPaths;
use self::searchable::UnsearchableParts;

/// By what an entry is known within its source, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// Upstream's id: opaque text.
    Id(String),
    /// An entry without an id is known by the SHA-256 of its canonical form.
    Content([u8; 32]),
}

/// An entry on its way in.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// By what it is known.
    pub identity: Identity,
    /// When it happened, to the microsecond; `None` when that cannot be read.
    pub time: Option<DateTime<Utc>>,
    /// Why it cannot be understood, or not wholly.
    pub problem: Option<String>,
    /// Whether it was made from a line of Logpush, and is not what the API sent.
    pub from_logpush: bool,
    /// Exactly what upstream sent.
    pub body: Box<RawValue>,
}

impl Arrival {
    /// Reads what must be known of an entry before it is kept. Every JSON text gives an arrival.
    #[must_use]
    pub fn read(body: Box<RawValue>) -> Self {
        let reading = Reading::of(body.get());
        let identity = match reading.id {
            Some(id) => Identity::Id(id),
            None => Identity::Content(sha256(json::canonical(body.get()).as_bytes())),
        };
        Self {
            identity,
            time: reading.time,
            problem: reading.problem,
            from_logpush: false,
            body,
        }
    }

    /// Whether a scan that goes on without a cursor, from the second `resumed` on, has shown it before: it asks for a second
    /// more than that. An entry from still earlier was not asked for; it states an odd time, and is shown for the first time.
    #[must_use]
    pub(crate) fn was_shown_before(&self, resumed: Option<DateTime<Utc>>) -> bool {
        let (Some(time), Some(resumed)) = (self.time, resumed) else {
            return false;
        };
        time < resumed && time >= Window::new(resumed, resumed).widened().since
    }
}

/// An entry in our log. Its JSON is the EVENT of the HTTP interface.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = StoredEvent)]
pub struct AuditEvent {
    /// Its place in our log.
    pub seq: Seq,
    /// The upstream log it came from.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    #[schema(value_type = String)]
    pub source: Source,
    /// Upstream's id, if the entry has one.
    pub id: Option<String>,
    /// How many times upstream had shown this id with other content before: 0 for the first.
    pub revision: u32,
    /// When it happened.
    #[serde(serialize_with = "as_optional_time")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub time: Option<DateTime<Utc>>,
    /// When it was kept.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub received_at: DateTime<Utc>,
    /// Why it cannot be understood, or not wholly.
    pub problem: Option<String>,
    /// Exactly what upstream sent; `null` when that can no longer be read.
    #[schema(value_type = serde_json::Value)]
    pub entry: Box<RawValue>,
    /// The SHA-256 of what upstream sent, as lower-case hexadecimal digits; `null` when its row cannot be read, and for those who may not see bodies.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// The problem of an event whose stored bytes are no longer those that upstream sent. Reading an entry never gives this problem.
pub const DAMAGED: &str = "damaged";

/// The problem of an event whose body was erased. No answer shows it: lists omit erased events, and `/v1/events/{seq}` answers
/// 410.
pub const ERASED: &str = "erased";

impl AuditEvent {
    /// Whether its body was erased: it keeps its place in the log, and is in no list, count or document.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.problem.as_deref() == Some(ERASED)
    }

    /// Whether its row or its body is damaged in the log.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.problem.as_deref() == Some(DAMAGED)
    }

    /// What it is ordered and filtered by: its time, or when it was received if it has none that can be read.
    #[must_use]
    pub fn ordered_at(&self) -> DateTime<Utc> {
        self.time.unwrap_or(self.received_at)
    }
}

fn as_text<S: Serializer>(source: &Source, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(source)
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Source, D::Error> {
    let name = String::deserialize(deserializer)?;
    name.parse().map_err(serde::de::Error::custom)
}

fn as_time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

fn as_optional_time<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}

/// The SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A hash as lower-case hexadecimal digits.
#[must_use]
pub fn hex(hash: &[u8]) -> String {
    hash.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

/// The members of an entry that are objects, by upstream's reference.
const SECTIONS: [&str; 7] = [
    "action",
    "actor",
    "organization",
    "account",
    "zone",
    "raw",
    "resource",
];

/// The `problem` in answers of an event whose document could not be made: it is searched by what its row says.
pub const NOT_INDEXED: &str = "not_indexed";

/// How much of the reasons is kept, in bytes.
const MAX_PROBLEM_LEN: usize = 500;

/// How much of a strange value a reason repeats, in characters.
const MAX_QUOTED_CHARS: usize = 60;

/// What is read from an entry apart from its bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Upstream's id; `None` when it is missing, empty or not text.
    pub id: Option<String>,
    /// `action.time`, to the microsecond.
    pub time: Option<DateTime<Utc>>,
    /// What is wrong with the entry, for a person.
    pub problem: Option<String>,
}

impl Reading {
    /// Reads a JSON text as an entry. Of duplicate keys the last counts.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut reading = Self::default();
        if !text.trim_start().starts_with('{') {
            let left_out = searchable::walk(text, |_, _, _| {});
            reading.complain_of_left_out(left_out);
            reading.complain("the entry is not an object");
            return reading;
        }
        let mut has_time = false;
        let left_out = searchable::walk(text, |path, value, _| match (path, value) {
            ("id", Scalar::Text(id)) => {
                reading.id = Some(id.into_owned()).filter(|id| !id.is_empty())
            }
            ("id", Scalar::Null) => reading.id = None,
            ("id", value) => {
                reading.id = None;
                reading.complain_of_type("id", &value, "text");
            }
            ("action.time", Scalar::Text(text)) => {
                has_time = true;
                reading.read_time(&text);
            }
            (_, Scalar::Null) => {}
            (path, value) => reading.check_type(path, &value),
        });
        if !has_time {
            reading.complain("the entry has no `action.time`");
        }
        let others = reading.problem.take();
        reading.complain_of_left_out(left_out);
        reading.problem = match (reading.problem.take(), others) {
            (Some(left_out), Some(others)) => Some(format!("{left_out}; {others}")),
            (left_out, others) => left_out.or(others),
        };
        reading
    }

    /// Complains of what cannot be searched by its path. It comes first, so that there is room for it.
    fn complain_of_left_out(&mut self, left_out: UnsearchableParts) {
        if left_out.values > 0 {
            self.complain(&format!(
                "the entry has too many or too long paths: {} of its values can be searched by their words only",
                left_out.values
            ));
        }
        if left_out.has_cut_paths {
            self.complain(&format!(
                "names deeper than {} levels, or beyond {} bytes of a path, cannot be searched",
                json::MAX_DEPTH,
                json::MAX_PATH_LEN
            ));
        }
    }

    fn read_time(&mut self, text: &str) {
        match DateTime::parse_from_rfc3339(text) {
            Ok(time) => self.time = Some(from_micros(time.timestamp_micros())),
            Err(_) => {
                self.time = None;
                let quoted: String = text.chars().take(MAX_QUOTED_CHARS).collect();
                self.complain(&format!(
                    "`action.time` is not an RFC 3339 time: {quoted:?}"
                ));
            }
        }
    }

    /// Records a problem when a leaf has another type than upstream's reference says.
    fn check_type(&mut self, path: &str, value: &Scalar<'_>) {
        let Some((section, below)) = path.split_once('.') else {
            if SECTIONS.contains(&path) {
                self.complain_of_type(path, value, "an object");
            }
            return;
        };
        // A leaf below a name that should be a leaf itself: `actor.email.x`.
        if let Some((name, _)) = below.split_once('.') {
            let parent = &path[..section.len() + 1 + name.len()];
            if field::by_name(parent).is_some_and(|field| field.kind != Kind::Any) {
                self.complain(&format!("`{parent}` is an object, not a plain value"));
            }
            return;
        }
        if matches!(value, Scalar::Number(_) | Scalar::Bool(_))
            && field::by_name(path)
                .is_some_and(|field| !matches!(field.kind, Kind::Any | Kind::Number))
        {
            self.complain_of_type(path, value, "text");
        }
    }

    fn complain_of_type(&mut self, path: &str, value: &Scalar<'_>, expected: &str) {
        let found = match value {
            Scalar::Text(_) => "text",
            Scalar::Number(_) => "a number",
            Scalar::Bool(_) => "true or false",
            Scalar::Null => "null",
        };
        self.complain(&format!("`{path}` is {found}, not {expected}"));
    }

    fn complain(&mut self, reason: &str) {
        let problem = self.problem.get_or_insert_default();
        if problem.is_empty() || problem.len() + reason.len() <= MAX_PROBLEM_LEN {
            let separator = if problem.is_empty() { "" } else { "; " };
            write!(problem, "{separator}{reason}").unwrap_or_default();
        }
    }
}

/// The id of the organization or account whose log the entry belongs to, if the entry names it.
#[must_use]
pub fn owner(text: &str, kind: SourceKind) -> Option<String> {
    let wanted = match kind {
        SourceKind::Organization => "organization.id",
        SourceKind::Account => "account.id",
    };
    let mut found = None;
    if text.trim_start().starts_with('{') {
        json::walk(text, |path, value| {
            if path == wanted
                && let Scalar::Text(id) = value
            {
                found = Some(id.into_owned()).filter(|id| !id.is_empty());
            }
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problem(text: &str) -> Option<String> {
        Reading::of(text).problem
    }

    #[test]
    fn times_are_read_with_any_precision_and_offset() {
        let check = |text: &str, micros: i64| {
            let entry = format!(r#"{{"action":{{"time":"{text}"}}}}"#);
            assert_eq!(
                Reading::of(&entry).time.map(|time| time.timestamp_micros()),
                Some(micros),
                "{text}"
            );
        };
        check("1970-01-01T00:00:01Z", 1_000_000);
        check("1970-01-01T00:00:01.5Z", 1_500_000);
        check("1970-01-01T00:00:00.987654321+00:00", 987_654);
        check("1970-01-01T02:00:00+02:00", 0);
        check("1969-12-31T23:59:59.9999999Z", -1);
    }

    #[test]
    fn ids_are_opaque_text_and_read_whatever_else_is_wrong() {
        let id = |text| Reading::of(text).id;
        assert_eq!(id(r#"{"id":"A b/ü","action":7}"#).as_deref(), Some("A b/ü"));
        assert_eq!(id(r#"{"id":""}"#), None);
        assert_eq!(id(r#"{"id":17}"#), None);
        assert_eq!(id(r#"{"resource":{"id":"x"}}"#), None);
        assert_eq!(id(r#"{"id":"a","id":"b"}"#).as_deref(), Some("b"));
    }

    #[test]
    fn what_cannot_be_understood_says_why() {
        insta::assert_debug_snapshot!(
            [
                r#"{"action":{"time":"2026-01-01T00:00:00Z","type":null},"actor":null,"resource":{"scope":{"a":1}}}"#,
                r#"["a"]"#,
                r"{}",
                r#"{"action":"login"}"#,
                r#"{"action":{"time":1785748201}}"#,
                r#"{"action":{"time":"yesterday\u001b[2J"}}"#,
                r#"{"id":17,"action":{"time":"2026-01-01T00:00:00Z"},"actor":{"email":{"a":"b"},"id":5},"raw":true}"#,
            ]
            .map(problem),
            @r#"
        [
            None,
            Some(
                "the entry is not an object",
            ),
            Some(
                "the entry has no `action.time`",
            ),
            Some(
                "`action` is text, not an object; the entry has no `action.time`",
            ),
            Some(
                "`action.time` is a number, not text; the entry has no `action.time`",
            ),
            Some(
                "`action.time` is not an RFC 3339 time: \"yesterday\\u{1b}[2J\"",
            ),
            Some(
                "`id` is a number, not text; `actor.email` is an object, not a plain value; `actor.id` is a number, not text; `raw` is true or false, not an object",
            ),
        ]
        "#
        );
    }

    #[test]
    fn entries_without_an_id_are_known_by_what_they_say() {
        let identity =
            |text: &str| Arrival::read(RawValue::from_string(text.to_owned()).unwrap()).identity;
        assert_eq!(
            identity(r#"{"b":1,"a":"é"}"#),
            identity(r#"{ "a":"\u00e9", "b":1 }"#)
        );
        assert_ne!(identity(r#"{"a":1}"#), identity(r#"{"a":1.0}"#));
    }

    proptest! {
        #[test]
        fn any_json_gives_an_arrival_with_its_bytes(text in r#"(\{"(id|action|actor)": ?("[a-z]{0,4}"|[1-9][0-9]{0,2}|null|\{"time": ?"[0-9T:Z-]{0,20}"\})\}|"x"|[1-9][0-9]{0,4}|null)"#) {
            let arrival = Arrival::read(RawValue::from_string(text.clone()).unwrap());
            prop_assert_eq!(arrival.body.get(), text);
        }
    }
}
