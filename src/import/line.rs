//! One line of a file: which kind it is, which log it belongs to, and the entry in it.
//!
//! A line is an entry as the API sends it, a line of Logpush's `audit_logs_v2`, or an event as `/v1/events` gives it. Anything
//! else is refused with the reason: a page of a log must be kept whatever it holds, because it will not be asked for again,
//! but a file stays where it is.

use serde_json::value::RawValue;

use super::logpush::{self, Version};
use crate::event::{Arrival, DAMAGED};
use crate::position::{Source, SourceKind};
use crate::store::Imported;
use crate::wording::quoted;
use orgtrail_cloudflare::json;

/// Members of the API's entry. Every one is optional; an entry has at least one of them.
const ENTRY_MEMBERS: [&str; 8] = [
    "id",
    "action",
    "actor",
    "account",
    "organization",
    "raw",
    "resource",
    "zone",
];

/// Of a line of CSV.
const CSV: &str =
    "CSV, which does not keep entries as they were: export NDJSON, whose lines can be imported";

/// Reads a line, whose entry is of the log `fallback` when it does not say of which. `None` for a blank line.
///
/// # Errors
/// Why it cannot be kept, for a person.
pub(super) fn read(line: &[u8], fallback: Option<&Source>) -> Result<Option<Imported>, String> {
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to() + 1))?
        .trim_matches(is_white_space);
    if text.is_empty() {
        return Ok(None);
    }
    let body: &RawValue = serde_json::from_str(text).map_err(|error| {
        if is_csv(text) {
            CSV.to_owned()
        } else {
            not_json(&error)
        }
    })?;
    let kept = match LineForm::of(text)? {
        LineForm::Entry => entry(body.to_owned(), None, fallback),
        LineForm::Event => event(text, fallback),
        LineForm::Logpush => logpush(text, fallback),
    };
    kept.map(Some)
}

fn is_white_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn not_json(error: &serde_json::Error) -> String {
    // Its own words name a line too, which is always the first.
    let words = error.to_string();
    let what = words.split(" at line").next().unwrap_or_default();
    format!("not JSON: {what} at byte {}", error.column())
}

/// Whether a line looks like one of CSV, as our own export writes it or another program: cells in quotes with commas between them, or a line
/// of names.
fn is_csv(text: &str) -> bool {
    let is_name = |cell: &str| {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        !cell.is_empty() && cell.chars().all(is_of_name)
    };
    let is_row = text.starts_with('"') && text.ends_with('"') && text.contains("\",\"");
    is_row || (text.split(',').count() > 2 && text.split(',').all(is_name))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineForm {
    Entry,
    Event,
    Logpush,
}

impl LineForm {
    fn of(text: &str) -> Result<Self, String> {
        if !text.starts_with('{') {
            return Err("a JSON value, but not an object".into());
        }
        let (mut is_entry, mut is_first, mut is_second) = (false, false, false);
        let (mut event_members, mut page_members) = (0, 0);
        for (name, value) in json::members(text) {
            let name = &*name;
            is_entry |= ENTRY_MEMBERS.contains(&name);
            event_members += usize::from(matches!(name, "seq" | "source" | "entry"));
            page_members += usize::from(matches!(name, "success" | "result" | "errors"));
            is_second |= logpush::version_of(name) == Some(Version::Second);
            // The members of both versions do not tell, but this one's type does.
            is_first |= logpush::version_of(name) == Some(Version::First)
                || (name == "ActionResult" && matches!(value, "true" | "false"));
        }
        if event_members >= 3 {
            Ok(Self::Event)
        } else if is_entry {
            Ok(Self::Entry)
        } else if is_second {
            Ok(Self::Logpush)
        } else if is_first {
            Err("a line of Logpush's first dataset `audit_logs`, whose entries have other ids and fields: \
                 only `audit_logs_v2` can be imported"
                .into())
        } else if page_members >= 2 {
            Err(
                "an answer of the API without entries: its `result` is not a list, or comes after members that the API \
                 does not have"
                    .into(),
            )
        } else {
            Err(
                "neither an entry of the API, nor a line of Logpush's `audit_logs_v2`, nor an event of `/v1/events`"
                    .into(),
            )
        }
    }
}

/// An entry as the API sent it, of the log it names or `said`.
fn entry(
    body: Box<RawValue>,
    said: Option<Source>,
    fallback: Option<&Source>,
) -> Result<Imported, String> {
    let (mut account, mut organization, mut label) = (None, None, None);
    let mut from_logpush = false;
    for (name, value) in json::members(body.get()) {
        match &*name {
            "account" => {
                account = json::text_of(value, "id");
                label = json::text_of(value, "name");
            }
            "organization" => organization = json::text_of(value, "id"),
            logpush::MARK => from_logpush = logpush::is_marked(value),
            _ => {}
        }
    }
    let named = match (said, account, organization) {
        (Some(source), ..) => Some(source),
        (None, Some(id), None) => Some(account_log(&id)?),
        (None, None, Some(id)) => Some(Source::organization(&id).map_err(|_| no_id(&id))?),
        (None, None, None) => None,
        (None, Some(_), Some(_)) if fallback.is_some() => None,
        (None, Some(_), Some(_)) => {
            return Err(
                "it names both an account and an organization: say whose log it is from \
                        with `--source`"
                    .into(),
            );
        }
    };
    let source = or_fallback(named, fallback, "`account.id` or `organization.id`")?;
    Ok(Imported {
        label: label.filter(|_| source.kind() == SourceKind::Account),
        source,
        arrival: Arrival {
            from_logpush,
            ..Arrival::read(body)
        },
    })
}

/// An event as `/v1/events` gives it.
fn event(text: &str, fallback: Option<&Source>) -> Result<Imported, String> {
    let (mut source, mut body) = (None, None);
    for (name, value) in json::members(text) {
        match &*name {
            "problem" if json::text(value).as_deref() == Some(DAMAGED) => {
                return Err("an event whose entry was damaged when it was exported".into());
            }
            "source" => source = json::text(value),
            "entry" => body = Some(value),
            _ => {}
        }
    }
    let source = source.unwrap_or_default();
    let source = source
        .parse()
        .map_err(|error| format!("`source`: {error}"))?;
    let body = RawValue::from_string(body.unwrap_or("null").to_owned());
    entry(
        body.map_err(|error| not_json(&error))?,
        Some(source),
        fallback,
    )
}

fn logpush(text: &str, fallback: Option<&Source>) -> Result<Imported, String> {
    let account = json::text_of(text, "AccountID").map(|id| account_log(&id));
    let source = or_fallback(account.transpose()?, fallback, "`AccountID`")?;
    let body = RawValue::from_string(logpush::entry(text));
    Ok(Imported {
        source,
        label: json::text_of(text, "AccountName"),
        arrival: Arrival {
            from_logpush: true,
            ..Arrival::read(body.map_err(|error| not_json(&error))?)
        },
    })
}

/// The account's log.
fn account_log(id: &str) -> Result<Source, String> {
    Source::account(id).map_err(|_| no_id(id))
}

fn no_id(id: &str) -> String {
    format!("{} is no account's or organization's id", quoted(id))
}

/// The log an entry is from is never guessed.
fn or_fallback(
    named: Option<Source>,
    fallback: Option<&Source>,
    member: &str,
) -> Result<Source, String> {
    named
        .or_else(|| fallback.cloned())
        .ok_or_else(|| format!("it has no {member}: say whose log it is from with `--source`"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Identity;

    const ENTRY: &str =
        r#"{"id":"e1","account":{"id":"a1","name":"An"},"action":{"time":"2026-08-03T09:10:00Z"}}"#;

    fn fallback() -> Source {
        "accounts/f".parse().unwrap()
    }

    #[test]
    fn an_entry_keeps_its_bytes_and_names_its_log() {
        let check = |line: &str, source: &str, body: &str| {
            let read = super::read(line.as_bytes(), Some(&fallback()))
                .unwrap()
                .unwrap();
            assert_eq!(read.source.to_string(), source, "{line}");
            assert_eq!(read.arrival.body.get(), body, "{line}");
        };
        check(ENTRY, "accounts/a1", ENTRY);
        check(&format!(" \t{ENTRY}\r"), "accounts/a1", ENTRY);
        check(
            r#"{"organization":{"id":"o1"}}"#,
            "organizations/o1",
            r#"{"organization":{"id":"o1"}}"#,
        );
        check(
            r#"{"id":"x","zone":{"id":"z"}}"#,
            "accounts/f",
            r#"{"id":"x","zone":{"id":"z"}}"#,
        );
        check(
            r#"{"id":"x","account":{"id":""}}"#,
            "accounts/f",
            r#"{"id":"x","account":{"id":""}}"#,
        );
        check(
            &format!(r#"{{"seq":7,"source":"organizations/o2","id":"e1","entry":{ENTRY}}}"#),
            "organizations/o2",
            ENTRY,
        );
    }

    #[test]
    fn a_line_of_logpush_becomes_an_entry_and_stays_known_as_one() {
        let line = r#"{"AuditLogID":"e1","AccountID":"a1","AccountName":"An","ActionTimestamp":1785748290}"#;
        let read = super::read(line.as_bytes(), None).unwrap().unwrap();
        assert_eq!(read.source.to_string(), "accounts/a1");
        assert_eq!(read.label.as_deref(), Some("An"));
        assert_eq!(read.arrival.identity, Identity::Id("e1".into()));
        assert!(read.arrival.from_logpush && read.arrival.problem.is_none());

        let again = super::read(read.arrival.body.get().as_bytes(), None)
            .unwrap()
            .unwrap();
        assert!(again.arrival.from_logpush);
        assert_eq!(again.arrival.body.get(), read.arrival.body.get());
    }

    #[test]
    fn what_cannot_be_kept_says_why() {
        let told = [
            "{\"id\":\"x\"",
            "[1]",
            "\"text\"",
            "not json",
            "{}",
            r#"{"id":"x"}"#,
            r#"{"AuditLogID":"x"}"#,
            r#"{"id":"x","account":{"id":"a/../b"}}"#,
            r#"{"id":"x","account":{"id":"a"},"organization":{"id":"o"}}"#,
            r#"{"result":[],"success":true,"errors":[]}"#,
            r#"{"ActionResult":true,"ActionType":"login","When":1785748860123456789}"#,
            r#"{"ActionResult":true,"ActionType":"login"}"#,
            r#"{"seq":1,"source":"elsewhere","entry":{}}"#,
        ]
        .map(|line| super::read(line.as_bytes(), None).unwrap_err());
        insta::assert_snapshot!(told.join("\n"), @r#"
        not JSON: EOF while parsing an object at byte 9
        a JSON value, but not an object
        a JSON value, but not an object
        not JSON: expected ident at byte 2
        neither an entry of the API, nor a line of Logpush's `audit_logs_v2`, nor an event of `/v1/events`
        it has no `account.id` or `organization.id`: say whose log it is from with `--source`
        it has no `AccountID`: say whose log it is from with `--source`
        `a/../b` is no account's or organization's id
        it names both an account and an organization: say whose log it is from with `--source`
        an answer of the API without entries: its `result` is not a list, or comes after members that the API does not have
        a line of Logpush's first dataset `audit_logs`, whose entries have other ids and fields: only `audit_logs_v2` can be imported
        a line of Logpush's first dataset `audit_logs`, whose entries have other ids and fields: only `audit_logs_v2` can be imported
        `source`: "elsewhere" names no source: write `organizations/ID` or `accounts/ID`, the id 1 to 64 letters, digits, `-` or `_`
        "#);
        assert_eq!(
            super::read(b"{\"id\":\"\xff\"}", None).unwrap_err(),
            "not UTF-8 at byte 8"
        );
        assert!(super::read(b" \t\r", None).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_entry_or_a_reason(line in prop::collection::vec(any::<u8>(), 0..60)) {
            drop(super::read(&line, Some(&fallback())));
        }

        #[test]
        fn any_json_is_an_entry_or_a_reason(
            name in "id|account|ActionTimestamp|AuditLogID|source|\\PC{0,5}",
            value in r#""\PC{0,10}"|[0-9]{1,20}|null|true|\{"id": ?"[a-z/]{0,3}"\}|\[\]"#,
        ) {
            let line = format!(r#"{{{}:{value},"seq":1}}"#, serde_json::Value::from(name));
            drop(super::read(line.as_bytes(), Some(&fallback())));
        }
    }
}
