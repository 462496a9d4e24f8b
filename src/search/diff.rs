//! What an event changed of its resource: the state after it compared with the state before.
//!
//! A state is known from an event in up to three ways, the best first: `resource.value` is the resource itself; the response
//! is the resource as the change left it; the request is what was sent. Only states that are known in the same way are
//! compared: a response has members that no request has.
//!
//! * A failed action, and one that only reads, changes nothing.
//! * A successful delete leaves an empty state: everything that was last known is removed.
//! * Of a request alone only what was sent is known. A PUT or a create replaces what was sent before; any other request
//!   is added to it, and what it does not name stays.
//!
//! States are gathered by going through a resource's events in order ([`States::take`]); it does not know where they come
//! from.

use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::event::AuditEvent;
use crate::json::{self, Token, Tokens};
use crate::position::{Seq, rfc3339};

/// The most differences in one diff.
pub const MAX_DIFFERENCES: usize = 1_000;

/// The longest body that is compared, in bytes. The state that a longer one tells of counts as unknown.
const MAX_BODY_LEN: usize = 1024 * 1024;

/// The most bytes of paths and values that a state may have: names that stand above many values are repeated for each.
const MAX_STATE_BYTES: usize = 8 * 1024 * 1024;

/// The most objects and arrays in one another. The state that a deeper body tells of counts as unknown.
const MAX_DEPTH: usize = 64;

/// What an event changed of its resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// The event that tells of the state before; `None` when none is known.
    pub against: Option<Against>,
    /// How both states are known: `value`, `response` or `request`.
    pub basis: &'static str,
    /// `exact`, or `partial` when a state is not known as a whole, or other changes may lie between.
    pub status: &'static str,
    /// What the state after has at paths where the state before has nothing.
    pub added: Vec<Difference>,
    /// What the state before has at paths where the state after has nothing.
    pub removed: Vec<Difference>,
    /// Where both have something else.
    pub changed: Vec<Difference>,
    /// Whether there are more differences than are listed.
    pub more: bool,
}

/// The event that tells of a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Against {
    /// Its place in the log.
    pub seq: Seq,
    /// When it happened.
    #[serde(serialize_with = "as_optional_time")]
    pub time: Option<DateTime<Utc>>,
}

fn as_optional_time<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}

/// Where two states differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The dotted path within the resource; empty for a body that is a plain value.
    pub path: String,
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// What stood there before: `null` for nothing, a list where there are several.
    pub before: Shown,
    /// What stands there now.
    pub after: Shown,
}

/// What stands at a path: its values, as JSON texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown(Vec<String>);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = match self.0.as_slice() {
            [] => "null".to_owned(),
            [one] => one.clone(),
            several => format!("[{}]", several.join(",")),
        };
        RawValue::from_string(text)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

impl Diff {
    /// All differences, by path.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        let lists = [&self.added, &self.removed, &self.changed];
        let mut all: Vec<Difference> = lists.into_iter().flatten().cloned().collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }
}

/// What stands at each path, as JSON texts in order.
type Leaves = BTreeMap<String, Vec<String>>;

/// How a state is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    Value,
    Response,
    Request,
}

impl Basis {
    /// The best first.
    const ALL: [Self; 3] = [Self::Value, Self::Response, Self::Request];

    fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Response => "response",
            Self::Request => "request",
        }
    }
}

/// What an event does to its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Nothing,
    Creates,
    Replaces,
    Merges,
    Deletes,
}

/// The last state that is known in one way.
#[derive(Debug, Clone)]
struct Known {
    leaves: Arc<Leaves>,
    of: Against,
    /// Whether no later change could be told in this way.
    is_current: bool,
}

/// What is known of a resource after some of its events.
#[derive(Debug, Clone, Default)]
pub(super) struct States {
    now: State,
    /// The id of the last event, and what was known before it: another revision of it tells of the same change.
    before: Option<(String, Box<State>)>,
}

#[derive(Debug, Clone, Default)]
struct State {
    /// By [`Basis::ALL`].
    known: [Option<Known>; 3],
    /// The delete after which nothing was made again.
    gone: Option<Against>,
}

impl States {
    /// Takes the next event of the resource, and tells what it changed.
    pub(super) fn take(&mut self, event: &AuditEvent) -> Diff {
        match (&event.id, &self.before) {
            (Some(id), Some((last, before))) if id == last => self.now = State::clone(before),
            _ => self.before = event.id.clone().map(|id| (id, Box::new(self.now.clone()))),
        }
        self.now.take(event)
    }
}

impl State {
    fn take(&mut self, event: &AuditEvent) -> Diff {
        let entry = event.entry.get();
        let of = Against {
            seq: event.seq,
            time: event.time,
        };
        match effect_of(entry) {
            Effect::Nothing => {
                let last = self.last();
                Diff {
                    against: last
                        .map(|(_, known)| known.of.clone())
                        .or(self.gone.clone()),
                    status: "exact",
                    ..Diff::empty(last.map_or(Basis::Request, |(basis, _)| basis))
                }
            }
            Effect::Deletes => self.delete(of),
            effect => self.change(effect, entry, of),
        }
    }

    /// The state that is known best: of those that are current, or of all.
    fn last(&self) -> Option<(Basis, &Known)> {
        let all = || Basis::ALL.into_iter().zip(&self.known);
        let known = |(basis, known): (Basis, &'_ Option<Known>)| -> Option<Basis> {
            known.as_ref().map(|_| basis)
        };
        let current = all().filter(|(_, known)| known.as_ref().is_some_and(|it| it.is_current));
        let basis = current.filter_map(known).next();
        let basis = basis.or_else(|| all().filter_map(known).next())?;
        Some((basis, self.known[basis as usize].as_ref()?))
    }

    fn delete(&mut self, of: Against) -> Diff {
        let diff = match self.last() {
            Some((basis, known)) => Diff {
                against: Some(known.of.clone()),
                status: status(basis, known.is_current),
                ..Diff::empty(basis)
            }
            .with(&known.leaves, &Leaves::new()),
            // What there was is not known, or was gone already.
            None => Diff {
                against: self.gone.clone(),
                status: status(Basis::Value, self.gone.is_some()),
                ..Diff::empty(Basis::Request)
            },
        };
        *self = Self {
            gone: Some(of),
            ..Self::default()
        };
        diff
    }

    fn change(&mut self, effect: Effect, entry: &str, of: Against) -> Diff {
        let own = Basis::ALL.map(|basis| stated(entry, basis));
        let is_new = self.gone.is_some() || effect == Effect::Creates;
        let has = |basis: Basis| own[basis as usize].is_some();
        let comparable = |basis: &Basis| self.known[*basis as usize].is_some() || is_new;
        let mut bases = Basis::ALL.into_iter().filter(|basis| has(*basis));
        let first = bases.clone().next();
        let basis = bases.find(comparable).or(first);

        let diff = match basis {
            None => Diff {
                against: self.last().map(|(_, known)| known.of.clone()),
                ..Diff::empty(Basis::Request)
            },
            Some(basis) => {
                let before = self.known[basis as usize].as_ref();
                let is_whole = before.map_or(is_new, |known| known.is_current);
                let empty = Leaves::new();
                let leaves = before.map_or(&empty, |known| &*known.leaves);
                let after = own[basis as usize].as_ref().unwrap_or(&empty);
                let after = match merges(effect, basis) {
                    true => &merged(leaves, after),
                    false => after,
                };
                Diff {
                    against: before.map(|known| known.of.clone()).or(self.gone.clone()),
                    status: status(basis, is_whole),
                    ..Diff::empty(basis)
                }
                .with(leaves, after)
            }
        };
        for ((basis, known), own) in Basis::ALL.into_iter().zip(&mut self.known).zip(own) {
            let Some(own) = own else {
                if let Some(known) = known {
                    known.is_current = false;
                }
                continue;
            };
            let leaves = match known.as_ref().filter(|_| merges(effect, basis)) {
                Some(known) => merged(&known.leaves, &own),
                None => own,
            };
            *known = Some(Known {
                leaves: Arc::new(leaves),
                of: of.clone(),
                is_current: true,
            });
        }
        self.gone = None;
        diff
    }
}

/// Whether a state is what was known and what is told now: so it is of a request that does not send everything.
fn merges(effect: Effect, basis: Basis) -> bool {
    basis == Basis::Request && effect == Effect::Merges
}

fn status(basis: Basis, is_whole: bool) -> &'static str {
    match basis {
        Basis::Value | Basis::Response if is_whole => "exact",
        _ => "partial",
    }
}

impl Diff {
    fn empty(basis: Basis) -> Self {
        Self {
            against: None,
            basis: basis.name(),
            status: "partial",
            added: Vec::new(),
            removed: Vec::new(),
            changed: Vec::new(),
            more: false,
        }
    }

    /// With the differences of two states, at most [`MAX_DIFFERENCES`].
    fn with(mut self, before: &Leaves, after: &Leaves) -> Self {
        let nothing = Vec::new();
        let paths = before.keys().filter(|path| !after.contains_key(*path));
        let mut n_found = 0;
        for path in after.keys().chain(paths) {
            let was = before.get(path).unwrap_or(&nothing);
            let is = after.get(path).unwrap_or(&nothing);
            if was == is {
                continue;
            }
            n_found += 1;
            if n_found > MAX_DIFFERENCES {
                self.more = true;
                break;
            }
            let (change, list) = match (was.is_empty(), is.is_empty()) {
                (true, _) => ("added", &mut self.added),
                (_, true) => ("removed", &mut self.removed),
                _ => ("changed", &mut self.changed),
            };
            list.push(Difference {
                path: path.clone(),
                change,
                before: Shown(was.clone()),
                after: Shown(is.clone()),
            });
        }
        self
    }
}

/// What was known, with what is told now in its place. A path that is told anew replaces what was above and below it.
fn merged(known: &Leaves, told: &Leaves) -> Leaves {
    let is_above = |above: &str, path: &str| {
        path.len() > above.len() && path.starts_with(above) && path.as_bytes()[above.len()] == b'.'
    };
    let mut merged: Leaves = known
        .iter()
        .filter(|(path, _)| {
            let from_path = (Included(path.as_str()), Unbounded);
            let below = told.range::<str, _>(from_path).map(|(told, _)| told);
            let replaced = below.take_while(|told| told.starts_with(path.as_str()));
            // Few paths begin with another one that is not above them.
            !replaced
                .take(MAX_DIFFERENCES)
                .any(|told| is_above(path, told))
                && !ancestors(path).any(|above| told.contains_key(above))
        })
        .map(|(path, values)| (path.clone(), values.clone()))
        .collect();
    merged.extend(
        told.iter()
            .map(|(path, values)| (path.clone(), values.clone())),
    );
    merged
}

/// The paths above a path.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('.').map(|(at, _)| &path[..at])
}

/// What an entry's action does, by its result, its type and its method.
fn effect_of(entry: &str) -> Effect {
    let text = |path: &[&str]| {
        let text = json::member(entry, path).and_then(json::text);
        text.map(|text| text.to_lowercase()).unwrap_or_default()
    };
    let status = json::member(entry, &["raw", "status_code"]).and_then(|code| {
        let digits = code.trim_matches('"');
        digits.parse::<u16>().ok()
    });
    let has_failed = match text(&["action", "result"]).as_str() {
        "" => status.is_some_and(|code| code >= 400),
        result => result != "success",
    };
    if has_failed {
        return Effect::Nothing;
    }
    let method = text(&["raw", "method"]);
    match (text(&["action", "type"]).as_str(), method.as_str()) {
        ("delete", _) | ("", "delete") => Effect::Deletes,
        ("view" | "login" | "logout", _) | (_, "get" | "head" | "options") => Effect::Nothing,
        ("create", _) | ("", "post") => Effect::Creates,
        (_, "put") => Effect::Replaces,
        _ => Effect::Merges,
    }
}

/// The state that an entry tells of in one way; `None` when it does not, or at too great a length.
fn stated(entry: &str, basis: Basis) -> Option<Leaves> {
    let body = json::member(entry, &["resource", basis.name()])?;
    // Cloudflare wraps what it answers.
    let body = match basis {
        Basis::Response if json::member(body, &["success"]).is_some() => {
            json::member(body, &["result"]).unwrap_or("null")
        }
        _ => body,
    };
    if body.len() > MAX_BODY_LEN || body == "null" {
        return None;
    }
    let is_object = body.starts_with('{');
    let leaves = leaves(body)?;
    match basis {
        Basis::Request => Some(leaves),
        // An answer that only names the resource tells nothing of its state.
        Basis::Value | Basis::Response => {
            let tells = leaves.keys().any(|path| !path.is_empty() && path != "id");
            (is_object && tells).then_some(leaves)
        }
    }
}

/// What stands at each path; `None` when that is too much.
fn leaves(text: &str) -> Option<Leaves> {
    let mut leaves = Leaves::new();
    let mut n_bytes = 0;
    let mut path = String::new();
    // For each open object or array: how long the path was outside it, and whether it has anything in it.
    let mut open: Vec<(usize, bool)> = Vec::new();
    for token in Tokens::new(text) {
        let is_end = matches!(token, Token::EndObject | Token::EndArray);
        if !is_end && let Some((_, has_any)) = open.last_mut() {
            *has_any = true;
        }
        let shown = match token {
            Token::BeginObject | Token::BeginArray => {
                open.push((path.len(), false));
                if open.len() > MAX_DEPTH {
                    return None;
                }
                continue;
            }
            Token::Key(key) => {
                let outer = open.last().map_or(0, |(outer, _)| *outer);
                path.truncate(outer);
                if outer > 0 {
                    path.push('.');
                }
                path.push_str(&json::meaning(key));
                continue;
            }
            Token::EndObject | Token::EndArray => {
                let (outer, has_any) = open.pop().unwrap_or_default();
                path.truncate(outer);
                // What is all there is of the body says nothing when it is empty.
                if has_any || open.is_empty() {
                    continue;
                }
                match token {
                    Token::EndObject => "{}".to_owned(),
                    _ => "[]".to_owned(),
                }
            }
            Token::Text(raw) => serde_json::Value::from(json::meaning(raw).as_ref()).to_string(),
            Token::Number(number) => number.to_owned(),
            Token::Bool(value) => value.to_string(),
            Token::Null => "null".to_owned(),
        };
        n_bytes += path.len() + shown.len();
        if n_bytes > MAX_STATE_BYTES {
            return None;
        }
        leaves.entry(path.clone()).or_default().push(shown);
    }
    Some(leaves)
}

#[cfg(test)]
mod tests;
