//! The tests of a rule, which are in its file under `tests`: entries that must match and entries that must not. A correlation's are
//! sequences of entries.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::yaml::{Fault, YamlNode, cut};
use crate::span;

/// The most tests of a rule.
const MAX_CASES: usize = 100;

/// The most entries of a test, each as often as it is repeated.
const MAX_ENTRIES: usize = 1_000;

/// One test.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What it shows, in its author's words.
    pub name: String,
    /// Its line, from 1.
    pub line: usize,
    /// Whether the rule must match.
    pub must_match: bool,
    /// The entries: each by itself for a rule with a detection, together for a correlation.
    pub entries: Vec<Value>,
}

/// Reads the list under `tests`.
pub(super) fn read(node: &YamlNode) -> Result<Vec<Case>, Fault> {
    let items = node
        .as_list()
        .ok_or_else(|| Fault::new(node.line, "`tests` must be a list"))?;
    if items.len() > MAX_CASES {
        return Err(Fault::new(
            node.line,
            format!("more than {MAX_CASES} tests"),
        ));
    }
    items.iter().map(case).collect()
}

fn case(node: &YamlNode) -> Result<Case, Fault> {
    let members = node.as_mapping().unwrap_or_default();
    for member in members {
        if !["name", "match", "no_match"].contains(&member.key.as_str()) {
            let reason = format!("unknown key `{}` in a test", cut(&member.key));
            return Err(Fault::new(member.line, reason));
        }
    }
    let name = node.get("name").and_then(YamlNode::as_text);
    let name = name.ok_or_else(|| Fault::new(node.line, "a test has a `name`"))?;
    let (must_match, entries) = match (node.get("match"), node.get("no_match")) {
        (Some(entries), None) => (true, entries),
        (None, Some(entries)) => (false, entries),
        _ => {
            let reason = "a test has either `match` or `no_match`";
            return Err(Fault::new(node.line, reason));
        }
    };
    Ok(Case {
        name: name.to_owned(),
        line: node.line,
        must_match,
        entries: read_entries(entries)?,
    })
}

fn read_entries(node: &YamlNode) -> Result<Vec<Value>, Fault> {
    let mut entries = Vec::new();
    for item in node.as_list().unwrap_or(std::slice::from_ref(node)) {
        if item.as_mapping().is_none() {
            return Err(Fault::new(item.line, "an entry must be a mapping"));
        }
        match item.get("repeat") {
            Some(times) => repeated(item, times, &mut entries)?,
            None => entries.push(item.to_json()),
        }
        if entries.len() > MAX_ENTRIES {
            let reason = format!("a test has at most {MAX_ENTRIES} entries");
            return Err(Fault::new(item.line, reason));
        }
    }
    if entries.is_empty() {
        return Err(Fault::new(node.line, "a test needs an entry"));
    }
    Ok(entries)
}

/// An entry again and again, `every` so much later. `{n}` in its texts is the number of the repetition, from 1.
fn repeated(item: &YamlNode, times: &YamlNode, entries: &mut Vec<Value>) -> Result<(), Fault> {
    let number = times.as_scalar().and_then(Value::as_u64);
    let number = number.filter(|number| (1..=MAX_ENTRIES as u64).contains(number));
    let number = number
        .ok_or_else(|| Fault::new(times.line, format!("`repeat` is from 1 to {MAX_ENTRIES}")))?;
    let every = match item.get("every") {
        None => TimeDelta::zero(),
        Some(every) => every
            .as_text()
            .and_then(|text| span::parse(text).ok())
            .ok_or_else(|| Fault::new(every.line, "`every` is a span such as `10s`"))?,
    };
    let entry = item
        .get("entry")
        .ok_or_else(|| Fault::new(item.line, "what is repeated is the `entry`"))?;
    let first = entry.to_json();
    let mut later = TimeDelta::zero();
    for n in 1..=number {
        let text = first.to_string().replace("{n}", &n.to_string());
        let mut entry: Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(time) = time_of(&first) {
            let time = time.checked_add_signed(later).unwrap_or(time);
            set_time(&mut entry, time);
        }
        entries.push(entry);
        later = later.checked_add(&every).unwrap_or(later);
    }
    Ok(())
}

/// When an entry of a test happened: `action.time`, or `time` of what the service noticed.
pub(super) fn time_of(entry: &Value) -> Option<DateTime<Utc>> {
    let time = entry
        .pointer("/action/time")
        .or_else(|| entry.get("time"))?;
    let time = DateTime::parse_from_rfc3339(time.as_str()?).ok()?;
    Some(time.to_utc())
}

fn set_time(entry: &mut Value, time: DateTime<Utc>) {
    let text = Value::String(crate::position::rfc3339(time));
    if let Some(place) = entry.pointer_mut("/action/time") {
        *place = text;
    } else if let Some(place) = entry.get_mut("time") {
        *place = text;
    }
}
