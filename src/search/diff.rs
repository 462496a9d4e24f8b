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

mod leaves;

use std::collections::VecDeque;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType};
use utoipa::{PartialSchema, ToSchema};

use self::leaves::Leaves;
use super::error::SearchError;
use crate::event::AuditEvent;
use crate::position::{Seq, rfc3339};
use orgtrail_cloudflare::json;

pub(super) use self::leaves::TimeCheck;

/// The most differences in one diff.
pub const MAX_DIFFERENCES: usize = 1_000;

/// The longest body that is compared, in bytes. The state that a longer one tells of counts as unknown.
const MAX_BODY_LEN: usize = 1024 * 1024;

/// The most bytes of paths and values that a state may have: names that stand above many values are repeated for each. A
/// larger state counts as unknown, be it of one body or merged of several.
const MAX_STATE_BYTES: usize = 8 * 1024 * 1024;

/// About the most bytes of paths and values in one diff. Any difference alone is smaller: no body is over [`MAX_BODY_LEN`].
const MAX_DIFF_BYTES: usize = 8 * 1024 * 1024;

/// The most objects and arrays in one another, and the most dots in a path. The state that a deeper body tells of counts
/// as unknown, and so does one with a path over [`json::MAX_PATH_LEN`].
const MAX_DEPTH: usize = 64;

/// The most events of one time among which an earlier revision is recognised.
const MAX_RECENT: usize = 32;

/// About the most bytes of states that these may tell of.
const MAX_RECENT_BYTES: usize = 8 * 1024 * 1024;

/// What an event changed of its resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Diff {
    /// The event that tells of the state before; `null` when none is known.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Against {
    /// Its place in the log.
    pub seq: Seq,
    /// When it happened.
    #[serde(serialize_with = "as_optional_time")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub time: Option<DateTime<Utc>>,
}

fn as_optional_time<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}

/// Where two states differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
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
pub struct Shown(Arc<Vec<String>>);

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

impl PartialSchema for Shown {
    fn schema() -> RefOr<Schema> {
        let anything = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
        let description =
            "The value at the path; `null` for nothing, a list where there are several.";
        anything.description(Some(description)).into()
    }
}

impl ToSchema for Shown {}

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

/// What an event tells of its resource.
#[derive(Debug, Clone)]
struct Told {
    effect: Effect,
    /// By [`Basis::ALL`].
    own: [Option<Arc<Leaves>>; 3],
    of: Against,
}

impl Told {
    fn read(event: &AuditEvent, clock: TimeCheck<'_>) -> Result<Self, SearchError> {
        let entry = event.entry.get();
        let effect = effect_of(entry);
        let mut own = [const { None }; 3];
        if !matches!(effect, Effect::Nothing | Effect::Deletes) {
            for (basis, own) in Basis::ALL.into_iter().zip(&mut own) {
                *own = stated(entry, basis, clock)?.map(Arc::new);
            }
        }
        let of = Against {
            seq: event.seq,
            time: event.time,
        };
        Ok(Self { effect, own, of })
    }

    fn bytes(&self) -> usize {
        let own = self.own.iter().flatten();
        own.map(|leaves| leaves.bytes()).sum()
    }
}

/// What is known of a resource after some of its events.
#[derive(Debug, Clone, Default)]
pub(super) struct States {
    now: State,
    /// The last events, all of one time, and their ids: another revision of one of them tells of the same change. Events of
    /// one time are in the order of the log, so a late revision comes after the changes that followed its first one.
    recent: VecDeque<(Option<String>, Told)>,
    /// What was known before these.
    before: State,
    /// The time of the recent events.
    time: Option<DateTime<Utc>>,
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
    ///
    /// # Errors
    /// When `clock` says that the time is up: what is known is then not whole.
    pub(super) fn take(
        &mut self,
        event: &AuditEvent,
        clock: TimeCheck<'_>,
    ) -> Result<Diff, SearchError> {
        let told = Told::read(event, clock)?;
        let is_same = |(id, _): &(Option<String>, Told)| id.is_some() && *id == event.id;
        if let Some(at) = self.recent.iter().position(is_same) {
            self.recent[at].1 = told;
            return self.replay(at, clock);
        }
        let time = Some(event.ordered_at());
        if time != self.time {
            self.recent.clear();
            self.before = self.now.clone();
            self.time = time;
        }
        let after = self.now.after(&told, clock)?;
        let diff = self.now.diff(&told, &after, clock)?;
        self.now = after;
        self.recent.push_back((event.id.clone(), told));
        self.forget(clock)?;
        Ok(diff)
    }

    /// Goes through the recent events again, and tells what the one at that place changed.
    fn replay(&mut self, place: usize, clock: TimeCheck<'_>) -> Result<Diff, SearchError> {
        let mut diff = Diff::empty(Basis::Request);
        let mut now = self.before.clone();
        for (at, (_, told)) in self.recent.iter().enumerate() {
            let after = now.after(told, clock)?;
            if at == place {
                diff = now.diff(told, &after, clock)?;
            }
            now = after;
        }
        self.now = now;
        self.forget(clock)?;
        Ok(diff)
    }

    /// Keeps no more recent events than may be kept, and the last one in any case.
    fn forget(&mut self, clock: TimeCheck<'_>) -> Result<(), SearchError> {
        let mut n_bytes: usize = self.recent.iter().map(|(_, told)| told.bytes()).sum();
        while self.recent.len() > 1
            && (self.recent.len() > MAX_RECENT || n_bytes > MAX_RECENT_BYTES)
        {
            let Some((_, first)) = self.recent.pop_front() else {
                break;
            };
            n_bytes -= first.bytes();
            self.before = self.before.after(&first, clock)?;
        }
        Ok(())
    }
}

impl State {
    /// What is known after an event.
    fn after(&self, told: &Told, clock: TimeCheck<'_>) -> Result<Self, SearchError> {
        let mut after = self.clone();
        match told.effect {
            Effect::Nothing => return Ok(after),
            Effect::Deletes => {
                return Ok(Self {
                    gone: Some(told.of.clone()),
                    ..Self::default()
                });
            }
            _ => after.gone = None,
        }
        let places = Basis::ALL.into_iter().zip(&mut after.known);
        for ((basis, known), own) in places.zip(&told.own) {
            let Some(own) = own else {
                if let Some(known) = known {
                    known.is_current = false;
                }
                continue;
            };
            let leaves = match known.as_ref().filter(|_| merges(told.effect, basis)) {
                Some(known) => known.leaves.merged(own, clock)?.map(Arc::new),
                None => Some(own.clone()),
            };
            *known = leaves.map(|leaves| Known {
                leaves,
                of: told.of.clone(),
                is_current: true,
            });
        }
        Ok(after)
    }

    /// What an event changed, after which that is known.
    fn diff(&self, told: &Told, after: &Self, clock: TimeCheck<'_>) -> Result<Diff, SearchError> {
        match told.effect {
            Effect::Nothing => {
                let last = self.last();
                Ok(Diff {
                    against: last
                        .map(|(_, known)| known.of.clone())
                        .or(self.gone.clone()),
                    status: "exact",
                    ..Diff::empty(last.map_or(Basis::Request, |(basis, _)| basis))
                })
            }
            Effect::Deletes => self.deleted(clock),
            _ => self.changed(told, after, clock),
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

    fn deleted(&self, clock: TimeCheck<'_>) -> Result<Diff, SearchError> {
        match self.last() {
            Some((basis, known)) => Diff {
                against: Some(known.of.clone()),
                status: status(basis, known.is_current),
                ..Diff::empty(basis)
            }
            .with(&known.leaves, &Leaves::default(), clock),
            // What there was is not known, or was gone already.
            None => Ok(Diff {
                against: self.gone.clone(),
                status: status(Basis::Value, self.gone.is_some()),
                ..Diff::empty(Basis::Request)
            }),
        }
    }

    fn changed(
        &self,
        told: &Told,
        after: &Self,
        clock: TimeCheck<'_>,
    ) -> Result<Diff, SearchError> {
        let is_new = self.gone.is_some() || told.effect == Effect::Creates;
        let has = |basis: Basis| told.own[basis as usize].is_some();
        let comparable = |basis: &Basis| self.known[*basis as usize].is_some() || is_new;
        let mut bases = Basis::ALL.into_iter().filter(|basis| has(*basis));
        let first = bases.clone().next();
        let Some(basis) = bases.find(comparable).or(first) else {
            return Ok(Diff {
                against: self.last().map(|(_, known)| known.of.clone()),
                ..Diff::empty(Basis::Request)
            });
        };
        let before = self.known[basis as usize].as_ref();
        let is_whole = before.map_or(is_new, |known| known.is_current);
        let diff = Diff {
            against: before.map(|known| known.of.clone()).or(self.gone.clone()),
            status: status(basis, is_whole),
            ..Diff::empty(basis)
        };
        let empty = Leaves::default();
        let before = before.map_or(&empty, |known| &known.leaves);
        match &after.known[basis as usize] {
            Some(after) => diff.with(before, &after.leaves, clock),
            // It is too large to be known.
            None => Ok(Diff {
                status: "partial",
                more: true,
                ..diff
            }),
        }
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
fn stated(entry: &str, basis: Basis, clock: TimeCheck<'_>) -> Result<Option<Leaves>, SearchError> {
    let Some(body) = json::member(entry, &["resource", basis.name()]) else {
        return Ok(None);
    };
    // Cloudflare wraps what it answers.
    let body = match basis {
        Basis::Response if json::member(body, &["success"]).is_some() => {
            json::member(body, &["result"]).unwrap_or("null")
        }
        _ => body,
    };
    if body.len() > MAX_BODY_LEN || body == "null" {
        return Ok(None);
    }
    let is_object = body.starts_with('{');
    let leaves = Leaves::read(body, clock)?;
    Ok(match basis {
        Basis::Request => leaves,
        // An answer that only names the resource tells nothing of its state.
        Basis::Value | Basis::Response => {
            let says = |path: &str| !path.is_empty() && path != "id";
            leaves.filter(|leaves| is_object && leaves.paths().any(says))
        }
    })
}

#[cfg(test)]
mod tests;
