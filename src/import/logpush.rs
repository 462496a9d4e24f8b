//! Converts a line of Logpush's dataset `audit_logs_v2` to an entry of the API.
//!
//! Each value is copied as it is written, to the place where the API has it. Only two are respelled: the time, which a job
//! may write in five ways, becomes RFC 3339; and the token's details become `actor.token_id` and `actor.token_name`.
//! What has no place in an entry is put under `logpush`, as written, beside the dataset's name: that is how such an
//! entry is told from one that the API sent.
//!
//! It does not know where lines come from, nor whether an entry is held.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use crate::position::rfc3339;
use orgtrail_cloudflare::json;

/// The dataset's name upstream.
const DATASET: &str = "audit_logs_v2";

/// The member of an entry that only lines of Logpush have.
pub(super) const MARK: &str = "logpush";

/// The section of an entry, the name in it, and the member of the line. The rows of a section are adjacent.
const PLACES: [(&str, &str, &str); 24] = [
    ("", "id", "AuditLogID"),
    ("account", "id", "AccountID"),
    ("account", "name", "AccountName"),
    ("action", "description", "ActionDescription"),
    ("action", "result", "ActionResult"),
    ("action", "time", TIME),
    ("action", "type", "ActionType"),
    ("actor", "context", "ActorContext"),
    ("actor", "email", "ActorEmail"),
    ("actor", "id", "ActorID"),
    ("actor", "ip_address", "ActorIPAddress"),
    ("actor", "token_id", TOKEN),
    ("actor", "token_name", TOKEN),
    ("actor", "type", "ActorType"),
    ("", "raw", "Raw"),
    ("resource", "id", "ResourceID"),
    ("resource", "product", "ResourceProduct"),
    ("resource", "request", "ResourceRequest"),
    ("resource", "response", "ResourceResponse"),
    ("resource", "scope", "ResourceScope"),
    ("resource", "type", "ResourceType"),
    ("resource", "value", "ResourceValue"),
    ("zone", "id", "ZoneID"),
    ("zone", "name", "ZoneName"),
];

const TIME: &str = "ActionTimestamp";
const TOKEN: &str = "ActorTokenDetails";

/// Members that lines of the dataset's first version have, and this one's do not.
const FIRST_VERSION: [&str; 8] = [
    "ActorIP",
    "ID",
    "Interface",
    "Metadata",
    "NewValue",
    "OldValue",
    "OwnerID",
    "When",
];

/// Members that lines of both versions have.
const BOTH_VERSIONS: [&str; 7] = [
    "ActionResult",
    "ActionType",
    "ActorEmail",
    "ActorID",
    "ActorType",
    "ResourceID",
    "ResourceType",
];

/// Which version of the dataset a line is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// `audit_logs`
    First,
    /// `audit_logs_v2`
    Second,
}

/// Which version alone has a member of this name.
pub(super) fn version_of(name: &str) -> Option<Version> {
    let is_second = PLACES.iter().any(|(_, _, member)| *member == name);
    if FIRST_VERSION.contains(&name) {
        Some(Version::First)
    } else if is_second && !BOTH_VERSIONS.contains(&name) {
        Some(Version::Second)
    } else {
        None
    }
}

/// Whether an entry's member `logpush` says that [`entry`] made it, here or elsewhere.
pub(super) fn is_marked(mark: &str) -> bool {
    last(mark, "dataset").and_then(json::text).as_deref() == Some(DATASET)
}

/// The entry of a line. Of duplicate members the last counts. A line that is no object gives an entry with
/// nothing but its mark.
pub(super) fn entry(line: &str) -> String {
    let values = values(line);
    let mut out = Out::new(line.len());
    for (at, (section, name, _)) in PLACES.iter().enumerate() {
        if let Some(value) = &values[at] {
            out.member(section, name, value);
        }
    }
    for (name, value) in json::members(line) {
        if !has_its_place(&name, value) {
            out.member(MARK, &name, value);
        }
    }
    out.member(MARK, "dataset", &quoted(DATASET));
    out.finish()
}

/// The values of a line, each at its row of [`PLACES`].
fn values(line: &str) -> [Option<Cow<'_, str>>; PLACES.len()] {
    let mut values = [const { None }; PLACES.len()];
    for (name, value) in json::members(line) {
        for (at, (_, inner, _)) in PLACES.iter().enumerate().filter(|(_, row)| row.2 == name) {
            values[at] = match row_kind(&name) {
                ColumnKind::Time => Some(match time(value) {
                    Some(time) => Cow::Owned(quoted(&rfc3339(time))),
                    None => Cow::Borrowed(value),
                }),
                ColumnKind::Token => last(value, &inner["token_".len()..]).map(Cow::Borrowed),
                ColumnKind::AsItIs => Some(Cow::Borrowed(value)),
            };
        }
    }
    values
}

enum ColumnKind {
    AsItIs,
    Time,
    Token,
}

fn row_kind(member: &str) -> ColumnKind {
    match member {
        TIME => ColumnKind::Time,
        TOKEN => ColumnKind::Token,
        _ => ColumnKind::AsItIs,
    }
}

/// Whether all that a member says is in the entry already.
fn has_its_place(name: &str, value: &str) -> bool {
    match row_kind(name) {
        ColumnKind::Token => {
            let is_object = value.starts_with('{');
            let said = |name: &str| name == "id" || name == "name";
            (is_object && json::members(value).all(|(name, _)| said(&name)))
                || matches!(value, "null" | "\"\"")
        }
        _ => PLACES.iter().any(|(_, _, member)| *member == name),
    }
}

/// The value of an object's last member of that name.
fn last<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    json::members(object)
        .filter(|(found, _)| found == name)
        .last()
        .map(|(_, value)| value)
}

/// The moment a line names: RFC 3339, seconds or nanoseconds since 1970, as a number or as text.
fn time(value: &str) -> Option<DateTime<Utc>> {
    let text = json::text(value).unwrap_or(Cow::Borrowed(value));
    if let Ok(time) = DateTime::parse_from_rfc3339(&text) {
        return Some(time.to_utc());
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let count: i64 = whole.parse().ok()?;
    // Between 1974 and the year 5138 the count alone tells its unit. Upstream documents the first and the last.
    let per_second = match count.unsigned_abs().checked_ilog10() {
        None | Some(..11) => 1,
        Some(11..14) => 1_000,
        Some(14..17) => 1_000_000,
        Some(17..) => NANOS_PER_SECOND,
    };
    let nanos = match fraction {
        "" => count.rem_euclid(per_second) * (NANOS_PER_SECOND / per_second),
        fraction if per_second == 1 && count >= 0 => fraction_nanos(fraction)?,
        _ => return None,
    };
    DateTime::from_timestamp(count.div_euclid(per_second), u32::try_from(nanos).ok()?)
}

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// The digits after a decimal point, in nanoseconds. What is less than one is cut off.
fn fraction_nanos(digits: &str) -> Option<i64> {
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    let nine = is_number.then(|| format!("{:0<9}", &digits[..digits.len().min(9)]))?;
    nine.parse().ok()
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A JSON object being written, with sections one after another.
struct Out {
    text: String,
    section: &'static str,
}

impl Out {
    fn new(len: usize) -> Self {
        let mut text = String::with_capacity(len + 64);
        text.push('{');
        Self { text, section: "" }
    }

    fn member(&mut self, section: &'static str, name: &str, value: &str) {
        if section != self.section {
            self.end_section();
            if !section.is_empty() {
                self.begin(section);
                self.text.push('{');
            }
            self.section = section;
        }
        self.begin(name);
        self.text.push_str(value);
    }

    fn begin(&mut self, name: &str) {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        self.text.push_str(&quoted(name));
        self.text.push(':');
    }

    fn end_section(&mut self) {
        if !self.section.is_empty() {
            self.text.push('}');
        }
    }

    fn finish(mut self) -> String {
        self.end_section();
        self.text.push('}');
        self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;
    use crate::event::Reading;

    #[test]
    fn every_member_has_its_place_in_the_entry() {
        let line = r#"{"AccountID":"a1","AccountName":"An","ActionDescription":"Ad","ActionResult":"success","ActionTimestamp":1785748201000000000,"ActionType":"create","ActorContext":"dash","ActorEmail":"a\u0040example.com","ActorID":"u1","ActorIPAddress":"192.0.2.1","ActorTokenDetails":{"id":"t1","name":"Tn"},"ActorType":"user","AuditLogID":"e1","Raw":{"status_code":200.0},"ResourceID":"r1","ResourceProduct":"dns","ResourceRequest":{"n": 1},"ResourceResponse":[],"ResourceScope":"zones","ResourceType":"record","ResourceValue":{"v":2},"ZoneID":"","ZoneName":null,"New":[1]}"#;
        insta::assert_snapshot!(entry(line), @r#"{"id":"e1","account":{"id":"a1","name":"An"},"action":{"description":"Ad","result":"success","time":"2026-08-03T09:10:01Z","type":"create"},"actor":{"context":"dash","email":"a\u0040example.com","id":"u1","ip_address":"192.0.2.1","token_id":"t1","token_name":"Tn","type":"user"},"raw":{"status_code":200.0},"resource":{"id":"r1","product":"dns","request":{"n": 1},"response":[],"scope":"zones","type":"record","value":{"v":2}},"zone":{"id":"","name":null},"logpush":{"New":[1],"dataset":"audit_logs_v2"}}"#);
    }

    #[test]
    fn an_absent_member_is_absent_and_the_last_of_two_counts() {
        insta::assert_snapshot!(
            entry(r#"{"AuditLogID":"a","ActorTokenDetails":{"id":"t","scopes":["x"]},"AuditLogID":"b"}"#),
            @r#"{"id":"b","actor":{"token_id":"t"},"logpush":{"ActorTokenDetails":{"id":"t","scopes":["x"]},"dataset":"audit_logs_v2"}}"#
        );
        insta::assert_snapshot!(entry("[]"), @r#"{"logpush":{"dataset":"audit_logs_v2"}}"#);
    }

    #[test]
    fn times_are_read_however_a_job_writes_them() {
        let check = |value: &str, expect: &str| {
            let read = time(value).map(rfc3339);
            assert_eq!(
                read.as_deref(),
                Some(expect).filter(|text| !text.is_empty()),
                "{value}"
            );
        };
        // The five formats of a job, and numbers written as text.
        check("1785748290", "2026-08-03T09:11:30Z");
        check("1785748201000000000", "2026-08-03T09:10:01Z");
        check("1785748201123456789", "2026-08-03T09:10:01.123456789Z");
        check("\"2026-08-03T09:10:00Z\"", "2026-08-03T09:10:00Z");
        check("\"2026-08-03T09:10:00.000Z\"", "2026-08-03T09:10:00Z");
        check(
            "\"2026-08-03T09:10:00.000000001Z\"",
            "2026-08-03T09:10:00.000000001Z",
        );
        check("\"2026-08-03T11:10:00+02:00\"", "2026-08-03T09:10:00Z");
        check("\"1785748290\"", "2026-08-03T09:11:30Z");
        check("\"1785748201000000000\"", "2026-08-03T09:10:01Z");
        // Units that the count tells.
        check("1785748201123", "2026-08-03T09:10:01.123Z");
        check("1785748201123456", "2026-08-03T09:10:01.123456Z");
        check("1785748290.25", "2026-08-03T09:11:30.250Z");
        check("1785748290.1234567891", "2026-08-03T09:11:30.123456789Z");
        check("0", "1970-01-01T00:00:00Z");
        check("-1", "1969-12-31T23:59:59Z");
        for not_a_time in [
            "1.7e9",
            "\"\"",
            "null",
            "true",
            "{}",
            "\"yesterday\"",
            "99999999999999999999",
            "1.-5",
            "-1.5",
        ] {
            check(not_a_time, "");
        }
    }

    #[test]
    fn a_time_that_cannot_be_read_is_kept_and_told() {
        let entry = entry(r#"{"AuditLogID":"a","ActionTimestamp":1.7e9}"#);
        let reading = Reading::of(&entry);
        assert_eq!(reading.id.as_deref(), Some("a"));
        assert!(
            reading
                .problem
                .unwrap()
                .contains("`action.time` is a number")
        );
    }

    #[test]
    fn entries_are_known_again_by_their_mark() {
        let mark = |entry: &str| last(entry, MARK).is_some_and(is_marked);
        assert!(mark(&entry("{}")));
        assert!(mark(&entry(r#"{"dataset":"mine"}"#)));
        assert!(!mark(r#"{"id":"a","logpush":{"dataset":"http_requests"}}"#));
        assert!(!mark(r#"{"id":"a","logpush":true}"#));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(Value::from(0.5)),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let name = prop_oneof![".{0,4}", Just("id".to_owned()), Just("name".to_owned())];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_object_gives_an_entry_that_holds_all_its_values(
            members in prop::collection::btree_map(
                prop_oneof![
                    prop::sample::select(PLACES.map(|(_, _, member)| member).to_vec()).prop_map(str::to_owned),
                    ".{0,6}",
                ],
                any_json(),
                0..12,
            ),
        ) {
            let line = Value::Object(members.clone().into_iter().collect()).to_string();
            let entry = entry(&line);
            prop_assert!(RawValue::from_string(entry.clone()).is_ok(), "{}", entry);
            let entry: Value = serde_json::from_str(&entry).unwrap();
            for (name, value) in members {
                let place = PLACES.iter().find(|(_, _, member)| *member == name);
                let found = match place {
                    Some((_, _, TIME)) if time(&value.to_string()).is_some() => continue,
                    Some((_, _, TOKEN)) if has_its_place(&name, &value.to_string()) => {
                        prop_assert_eq!(&entry["actor"]["token_id"], &value["id"]);
                        prop_assert_eq!(&entry["actor"]["token_name"], &value["name"]);
                        continue;
                    }
                    Some((_, _, TOKEN)) | None => &entry[MARK][&name],
                    Some(("", inner, _)) => &entry[*inner],
                    Some((section, inner, _)) => &entry[*section][*inner],
                };
                prop_assert_eq!(found, &value, "{}", name);
            }
        }

        #[test]
        fn any_moment_is_read_in_every_unit(nanos in 130_000_000_000_000_000_i64..4_000_000_000_000_000_000) {
            let moment = DateTime::from_timestamp_nanos(nanos);
            prop_assert_eq!(time(&nanos.to_string()), Some(moment));
            let text = quoted(&rfc3339(moment));
            prop_assert_eq!(time(&text), Some(moment));
            let seconds = moment.timestamp().to_string();
            prop_assert_eq!(time(&seconds).map(|time| time.timestamp()), Some(moment.timestamp()));
        }

        #[test]
        fn any_text_is_a_time_or_none(text in "\\PC{0,30}") {
            time(&text);
            time(&quoted(&text));
        }
    }
}
