//! What a question means, told once more: slow, simple, straight over the JSON, and sharing nothing with the index but the table
//! of fields. Whatever the index answers must equal what is said here.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use chrono::{DateTime, SecondsFormat, Utc};
use orgtrail::clock::from_micros;
use orgtrail::event::{AuditEvent, Reading};
use orgtrail::field::{self, Kind, Part};
use orgtrail::position::{Seq, Source};
use orgtrail::query::{Bound, Interval, Pattern, Piece, Query};
use regex::Regex;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
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
    /// In plain digits.
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
        let tree: Tree = serde_json::from_str(event.entry.get()).unwrap();
        let mut leaves = Vec::new();
        lay_out(&tree, String::new(), &mut leaves);
        Self {
            event,
            leaves,
            is_replaced: false,
        }
    }

    /// The values at a path, or those that orgtrail says itself.
    fn values_at(&self, path: &str) -> Vec<Leaf> {
        match path {
            "source" => vec![Leaf::Text(self.event.source.to_string())],
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

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyJson;
        impl<'de> Visitor<'de> for AnyJson {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }
            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Leaf(Leaf::Null))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Leaf(Leaf::Bool(value)))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Leaf(Leaf::Number(value.to_string())))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree::Leaf(Leaf::Number(value.to_string())))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
                // There is one zero.
                Ok(Tree::Leaf(Leaf::Number((value + 0.0).to_string())))
            }
            fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
                Ok(Tree::Leaf(Leaf::Text(value.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
                let mut array = Vec::new();
                while let Some(item) = items.next_element()? {
                    array.push(item);
                }
                Ok(Tree::Array(array))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
                let mut object = Vec::new();
                while let Some(member) = members.next_entry()? {
                    object.push(member);
                }
                Ok(Tree::Object(object))
            }
        }
        deserializer.deserialize_any(AnyJson)
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
                is_value(entry, path, text) || (has_words(path) && contains(entry, path, text))
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
            if path == "source" || path == "problem" {
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
    any_value(entry, path, |found| {
        found == normal(kind, value)
            || (kind == Kind::Any
                && number(found).is_some()
                && number(found) == number_asked(value))
    })
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
    let uuid = Regex::new(r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").unwrap();
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(char::is_alphanumeric) {
        rest = &rest[start..];
        let run_len = rest
            .find(|c: char| !c.is_alphanumeric())
            .unwrap_or(rest.len());
        let len = match uuid.find(rest) {
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
            Some(number) => (number + 0.0).to_string(),
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

/// A value's number: only plain digits make one.
fn number(value: &str) -> Option<f64> {
    let plain = Regex::new(r"^[+-]?[0-9]+(\.[0-9]+)?$").unwrap();
    plain.is_match(value).then(|| value.parse().unwrap())
}

/// An asked number, which may have an exponent.
fn number_asked(value: &str) -> Option<f64> {
    let number_like = Regex::new(r"^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$").unwrap();
    number_like.is_match(value).then(|| value.parse().unwrap())
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
                    Some(end) => number(value).and_then(|value| value.partial_cmp(&end)),
                    None => Some(value.cmp(&fold(&end))),
                };
                found.is_some_and(|found| match is_lower {
                    true => found.is_gt() || (with_end && found.is_eq()),
                    false => found.is_lt() || (with_end && found.is_eq()),
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
