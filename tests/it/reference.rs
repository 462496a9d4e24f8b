//! What a question means, told once more: slow, simple, straight over the JSON, and sharing nothing with the index but the table
//! of fields. Whatever the index answers must equal what is said here.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::LazyLock;

use chrono::{DateTime, SecondsFormat, Utc};
use orgtrail::clock::from_micros;
use orgtrail::event::{AuditEvent, Reading};
use orgtrail::field::{self, Kind, Part};
use orgtrail::position::{Seq, Source};
use orgtrail::query::{Bound, Interval, Pattern, Piece, Query};
use regex::Regex;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An event with its values laid out.
pub(crate) struct Entry {
    pub(crate) event: AuditEvent,
    leaves: Vec<(String, Leaf)>,
    /// Whether a later revision of it is among the others.
    pub(crate) is_replaced: bool,
}

/// A value at the end of a path.
#[derive(Debug, Clone, PartialEq)]
enum Leaf {
    Null,
    Text(String),
    /// In its one spelling.
    Number(String),
    Bool(bool),
}

impl Entry {
    /// The event that an entry becomes at a place in the log of the account `a`.
    pub(crate) fn new(seq: u64, body: &str) -> Self {
        let reading = Reading::of(body);
        let event = AuditEvent {
            seq: Seq(seq),
            source: Source::account("a").unwrap(),
            id: reading.id,
            revision: 0,
            time: reading.time,
            // Among the times of the entries, so that those without a time stand between them.
            received_at: from_micros(1_785_744_000_000_000),
            problem: reading.problem,
            entry: RawValue::from_string(body.to_owned()).unwrap(),
            sha256: None,
        };
        Self::of(event)
    }

    /// An event that was kept.
    pub(crate) fn of(event: AuditEvent) -> Self {
        let tree = Tree::read(event.entry.get());
        let mut leaves = Vec::new();
        lay_out(&tree, String::new(), &mut leaves);
        Self {
            event,
            leaves,
            is_replaced: false,
        }
    }

    /// Each value of the entry itself with its path, as a text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, String)> {
        let texts = self.leaves.iter();
        texts.filter_map(|(path, leaf)| Some((path.as_str(), text_of(leaf)?)))
    }

    /// The values at a path, or those that orgtrail says itself.
    fn values_at(&self, path: &str) -> Vec<Leaf> {
        match path {
            "source" => vec![Leaf::Text(self.event.source.to_string())],
            "seq" => vec![Leaf::Text(self.event.seq.to_string())],
            "revision" => vec![Leaf::Text(self.event.revision.to_string())],
            "received_at" => vec![Leaf::Text(self.event.received_at.to_rfc3339())],
            "problem" => self
                .event
                .problem
                .clone()
                .map(Leaf::Text)
                .into_iter()
                .collect(),
            path => {
                let at_path = self.leaves.iter().filter(|(at, _)| at == path);
                at_path.map(|(_, leaf)| leaf.clone()).collect()
            }
        }
    }
}

/// What orgtrail says of an event.
const OWN: [&str; 5] = ["source", "seq", "revision", "received_at", "problem"];

/// Any JSON, duplicate keys included.
enum Tree {
    Leaf(Leaf),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

fn lay_out(tree: &Tree, path: String, leaves: &mut Vec<(String, Leaf)>) {
    match tree {
        Tree::Leaf(leaf) => leaves.push((path, leaf.clone())),
        Tree::Array(items) => items
            .iter()
            .for_each(|item| lay_out(item, path.clone(), leaves)),
        Tree::Object(members) => {
            for (key, member) in members {
                let below = match path.as_str() {
                    "" => fold(key),
                    path => format!("{path}.{}", fold(key)),
                };
                lay_out(member, below, leaves);
            }
        }
    }
}

impl Tree {
    fn read(text: &str) -> Self {
        let text = text.trim();
        match text.as_bytes()[0] {
            b'{' => {
                let members: Members = serde_json::from_str(text).unwrap();
                let members = members.0.into_iter();
                Self::Object(
                    members
                        .map(|(key, value)| (key, Self::read(value.get())))
                        .collect(),
                )
            }
            b'[' => {
                let items: Vec<Box<RawValue>> = serde_json::from_str(text).unwrap();
                Self::Array(items.iter().map(|item| Self::read(item.get())).collect())
            }
            b'"' => Self::Leaf(Leaf::Text(serde_json::from_str(text).unwrap())),
            b't' | b'f' => Self::Leaf(Leaf::Bool(text == "true")),
            b'n' => Self::Leaf(Leaf::Null),
            _ => Self::Leaf(Leaf::Number(written_out(text).unwrap().spelled())),
        }
    }
}

/// The members of an object, duplicate keys included.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyObject;
        impl<'de> Visitor<'de> for AnyObject {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Members, A::Error> {
                let mut object = Vec::new();
                while let Some(member) = members.next_entry()? {
                    object.push(member);
                }
                Ok(Members(object))
            }
        }
        deserializer.deserialize_map(AnyObject)
    }
}

/// A number written out: its digits before and after the point, without needless zeros.
#[derive(Debug, Clone, PartialEq)]
struct Number {
    is_negative: bool,
    whole: String,
    fraction: String,
}

/// The number that a text is, with an exponent or without; the point is moved one digit at a time.
fn written_out(text: &str) -> Option<Number> {
    static FORM: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^([+-]?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,3}))?$").unwrap()
    });
    let parts = FORM.captures(text)?;
    let mut whole = parts[2].to_owned();
    let mut fraction = parts.get(3).map_or("", |part| part.as_str()).to_owned();
    let exponent: i32 = parts
        .get(4)
        .map_or(0, |part| part.as_str().parse().unwrap());
    for _ in 0..exponent {
        whole.push(if fraction.is_empty() {
            '0'
        } else {
            fraction.remove(0)
        });
    }
    for _ in exponent..0 {
        fraction.insert(0, whole.pop().unwrap_or('0'));
    }
    let whole = whole.trim_start_matches('0').to_owned();
    let fraction = fraction.trim_end_matches('0').to_owned();
    Some(Number {
        is_negative: &parts[1] == "-" && !(whole.is_empty() && fraction.is_empty()),
        whole,
        fraction,
    })
}

impl Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = |number: &Self| {
            (
                number.whole.len(),
                number.whole.clone(),
                number.fraction.clone(),
            )
        };
        match (self.is_negative, other.is_negative) {
            (false, false) => size(self).cmp(&size(other)),
            (true, true) => size(other).cmp(&size(self)),
            (is_negative, _) => other.is_negative.cmp(&is_negative),
        }
    }

    /// In plain digits; with an exponent, where these have more than forty zeros beside the point.
    fn spelled(&self) -> String {
        let sign = if self.is_negative { "-" } else { "" };
        let (whole, fraction) = (self.whole.as_str(), self.fraction.as_str());
        let zeros = match (whole, fraction) {
            ("", _) => fraction.len() - fraction.trim_start_matches('0').len(),
            (_, "") => whole.len() - whole.trim_end_matches('0').len(),
            _ => 0,
        };
        if zeros <= 40 {
            let whole = if whole.is_empty() { "0" } else { whole };
            let point = if fraction.is_empty() { "" } else { "." };
            return format!("{sign}{whole}{point}{fraction}");
        }
        let digits = format!("{whole}{fraction}");
        let (first, others) = digits.trim_matches('0').split_at(1);
        let point = if others.is_empty() { "" } else { "." };
        let exponent = match whole.len() as i64 {
            0 => -(zeros as i64) - 1,
            len => len - 1,
        };
        format!("{sign}{first}{point}{others}e{exponent:+}")
    }
}

/// Whether a question says yes to an entry.
pub(crate) fn matches(query: &Query, entry: &Entry) -> bool {
    match query {
        Query::All => true,
        Query::And(parts) => parts.iter().all(|part| matches(part, entry)),
        Query::Or(parts) => parts.iter().any(|part| matches(part, entry)),
        Query::Not(inner) => !matches(inner, entry),
        Query::OneOf { path, values } => values.iter().any(|value| is_value(entry, path, value)),
        Query::At(places) => places.contains(entry.event.seq),
        Query::Latest => !entry.is_replaced,
        Query::Words { part: None, text } => {
            let asked: Vec<String> = words(text);
            let is = |(asked, word): (&String, &String)| asked == word;
            any_text(entry, |found| has_run(found, &asked, is))
        }
        // A value of the part as a whole, or words of its fields that have words.
        Query::Words {
            part: Some(part),
            text,
        } => {
            let paths: BTreeSet<&str> = entry.leaves.iter().map(|(path, _)| &**path).collect();
            let mut of_part = paths.into_iter().filter(|path| part_of(path) == *part);
            of_part.any(|path| {
                is_value(entry, path, text)
                    || is_number(entry, path, number_asked(text))
                    || (has_words(path) && contains(entry, path, text))
            })
        }
        Query::Contains { path, text, .. } => {
            is_value(entry, path, text) || contains(entry, path, text)
        }
        Query::WordsLike { pattern, .. } => {
            let pieces = pattern.words();
            let looks = |(piece, word): (&Pattern, &String)| is_like(piece, word);
            any_text(entry, |found| {
                found.iter().any(|word| is_like(pattern, word)) || has_run(found, &pieces, looks)
            })
        }
        Query::WordMatches { regex, .. } => {
            let regex = whole(regex);
            any_text(entry, |found| found.iter().any(|word| regex.is_match(word)))
        }
        Query::Equals { path, value, .. } if value.is_empty() => {
            let empty = Leaf::Text(String::new());
            entry
                .leaves
                .iter()
                .any(|(at, leaf)| *at == fold(path) && *leaf == empty)
        }
        Query::Equals { path, value, .. } => is_value(entry, path, value),
        Query::Like { path, pattern, .. } => any_value(entry, path, |found| {
            let in_words = || words(found).iter().any(|word| is_like(pattern, word));
            is_like(pattern, found) || (has_words(path) && in_words())
        }),
        Query::Matches { path, regex, .. } => {
            let regex = whole(regex);
            any_value(entry, path, |found| regex.is_match(found))
        }
        Query::Within { path, interval, .. } => {
            any_value(entry, path, |found| is_within(interval, found))
        }
        Query::Exists { path, .. } => {
            let path = fold(path);
            let is_value = |leaf: &Leaf| text_of(leaf).is_some_and(|text| !text.is_empty());
            if OWN.contains(&path.as_str()) {
                return entry.values_at(&path).iter().any(is_value);
            }
            let below = format!("{path}.");
            entry
                .leaves
                .iter()
                .any(|(at, leaf)| (*at == path || at.starts_with(&below)) && is_value(leaf))
        }
    }
}

/// Whether some value at a path is this one.
fn is_value(entry: &Entry, path: &str, value: &str) -> bool {
    let kind = kind(path);
    any_value(entry, path, |found| found == normal(kind, value))
        || is_number(entry, path, number(value))
}

/// Whether some value at a path that the table of fields does not know is this number.
fn is_number(entry: &Entry, path: &str, asked: Option<Number>) -> bool {
    kind(path) == Kind::Any
        && asked.is_some()
        && any_value(entry, path, |found| number(found) == asked)
}

/// Whether the words of a text are side by side in some value at a path, both in lower case.
fn contains(entry: &Entry, path: &str, text: &str) -> bool {
    let asked = words(&fold(text));
    let is = |(asked, word): (&String, &String)| asked == word;
    any_value(entry, path, |found| has_run(&words(found), &asked, is))
}

/// Whether the words of a field's values are found by themselves.
fn has_words(path: &str) -> bool {
    field::by_name(path).is_some_and(|field| field.words)
}

fn part_of(path: &str) -> Part {
    match path.split('.').next() {
        Some("actor") => Part::Actor,
        Some("action") => Part::Action,
        Some("resource") => Part::Resource,
        _ => Part::Other,
    }
}

fn text_of(leaf: &Leaf) -> Option<String> {
    match leaf {
        Leaf::Null => None,
        Leaf::Text(text) | Leaf::Number(text) => Some(text.clone()),
        Leaf::Bool(value) => Some(value.to_string()),
    }
}

fn kind(path: &str) -> Kind {
    field::by_name(path).map_or(Kind::Any, |field| field.kind)
}

/// The different values at a path, in their normal form.
pub(crate) fn values(entry: &Entry, path: &str) -> BTreeSet<String> {
    let values = entry.values_at(&fold(path));
    let texts = values.iter().filter_map(text_of);
    texts
        .filter(|text| !text.is_empty())
        .map(|text| normal(kind(path), &text))
        .collect()
}

/// The different values at a path as they are counted: a number has one spelling, also where the table of fields does not know it.
pub(crate) fn counted_values(entry: &Entry, path: &str) -> BTreeSet<String> {
    let values = values(entry, path).into_iter();
    let counted = values.map(|value| match kind(path) {
        Kind::Any => number(&value).map_or(value, |number| number.spelled()),
        _ => value,
    });
    counted.collect()
}

/// Whether some value at a path, in its normal form, is as asked.
fn any_value(entry: &Entry, path: &str, is_asked: impl Fn(&str) -> bool) -> bool {
    values(entry, path).iter().any(|value| is_asked(value))
}

/// Whether the words of some value are as asked.
fn any_text(entry: &Entry, is_asked: impl Fn(&[String]) -> bool) -> bool {
    entry
        .leaves
        .iter()
        .filter(|(path, _)| path != "action.time")
        .filter_map(|(_, leaf)| text_of(leaf))
        .any(|text| is_asked(&words(&text)))
}

fn has_run<A>(found: &[String], asked: &[A], is: impl Fn((&A, &String)) -> bool) -> bool {
    !asked.is_empty()
        && found
            .windows(asked.len())
            .any(|run| asked.iter().zip(run).all(&is))
}

/// The words of a text, in lower case.
fn words(text: &str) -> Vec<String> {
    static UUID: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").unwrap()
    });
    // The dot above, in the lower case of `İ`, belongs to its `i`.
    static RUN: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^(i\x{307}|[\p{Alphabetic}\p{N}])+").unwrap());
    let mut words = Vec::new();
    let text = fold(text);
    let mut rest = text.as_str();
    while let Some(start) = rest.find(char::is_alphanumeric) {
        rest = &rest[start..];
        let run_len = RUN.find(rest).map_or(rest.len(), |run| run.end());
        let len = match UUID.find(rest) {
            Some(id) if !rest[id.end()..].starts_with(char::is_alphanumeric) => id.end(),
            _ => run_len,
        };
        words.push(fold(&rest[..len]));
        rest = &rest[len..];
    }
    words
}

fn fold(text: &str) -> String {
    let lower = text.chars().flat_map(char::to_lowercase);
    lower.map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

fn normal(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Address => match value.trim().parse::<IpAddr>() {
            Ok(address) => address.to_canonical().to_string(),
            Err(_) => fold(value),
        },
        Kind::Number => match number_asked(value.trim()) {
            Some(number) => number.spelled(),
            None => fold(value),
        },
        Kind::Time => match DateTime::parse_from_rfc3339(value) {
            Ok(time) => {
                from_micros(time.timestamp_micros()).to_rfc3339_opts(SecondsFormat::AutoSi, true)
            }
            Err(_) => fold(value),
        },
        Kind::Id | Kind::Text | Kind::Any => fold(value),
    }
}

/// A value's number: only plain digits make one, and the one spelling of a number.
fn number(value: &str) -> Option<Number> {
    let has_exponent = value.contains(['e', 'E']);
    written_out(value).filter(|number| !has_exponent || number.spelled() == value)
}

/// An asked number, which may have an exponent.
fn number_asked(value: &str) -> Option<Number> {
    written_out(value)
}

/// Whether a pattern is the whole of a text, tried character by character.
fn is_like(pattern: &Pattern, text: &str) -> bool {
    fn go(pieces: &[Piece], text: &str) -> bool {
        match pieces.split_first() {
            None => text.is_empty(),
            Some((Piece::Text(piece), rest)) => text
                .strip_prefix(&fold(piece))
                .is_some_and(|text| go(rest, text)),
            Some((Piece::AnyCharacter, rest)) => {
                let mut chars = text.chars();
                chars.next().is_some() && go(rest, chars.as_str())
            }
            Some((Piece::AnyText, rest)) => {
                let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
                ends.into_iter().any(|at| go(rest, &text[at..]))
            }
        }
    }
    go(pattern.pieces(), text)
}

fn whole(regex: &str) -> Regex {
    Regex::new(&format!("^(?is:{regex})$")).unwrap()
}

fn is_within(interval: &Interval, value: &str) -> bool {
    match interval {
        Interval::Time {
            since_us,
            before_us,
        } => DateTime::parse_from_rfc3339(value).is_ok_and(|time| {
            let time = time.timestamp_micros();
            since_us.is_none_or(|since| time >= since)
                && before_us.is_none_or(|before| time < before)
        }),
        Interval::Addresses { first, last } => value.parse::<IpAddr>().is_ok_and(|address| {
            address.is_ipv4() == first.is_ipv4() && address >= *first && address <= *last
        }),
        Interval::Values { lower, upper } => {
            let sides = |bound: &Bound| match bound {
                Bound::Open => None,
                Bound::Including(end) => Some((end.clone(), true)),
                Bound::Excluding(end) => Some((end.clone(), false)),
            };
            let passes = |bound: &Bound, is_lower: bool| {
                let Some((end, with_end)) = sides(bound) else {
                    return true;
                };
                let found = match number_asked(&end) {
                    Some(end) => number(value).map(|value| value.cmp(&end)),
                    None => Some(value.cmp(&fold(&end))),
                };
                found.is_some_and(|found| {
                    if is_lower {
                        found.is_gt() || (with_end && found.is_eq())
                    } else {
                        found.is_lt() || (with_end && found.is_eq())
                    }
                })
            };
            passes(lower, true) && passes(upper, false)
        }
    }
}

/// The moment for which the tests' questions are read.
pub(crate) fn now() -> DateTime<Utc> {
    from_micros(1_785_800_000_000_000)
}
