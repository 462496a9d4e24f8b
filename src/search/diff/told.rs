//! What one event tells of its resource: what its action does, and the state that its body tells of.

use std::sync::Arc;

use orgtrail_cloudflare::json;

use super::form::Against;
use super::leaves::{Leaves, TimeCheck};
use crate::event::AuditEvent;
use crate::search::error::SearchError;

/// The longest body that is compared, in bytes. The state that a longer one tells of counts as unknown.
pub(super) const MAX_BODY_LEN: usize = 1024 * 1024;

/// How a state is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    Value,
    Response,
    Request,
}

impl Basis {
    /// The best first.
    pub(super) const ALL: [Self; 3] = [Self::Value, Self::Response, Self::Request];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Response => "response",
            Self::Request => "request",
        }
    }
}

/// What an event does to its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    Creates,
    Replaces,
    Merges,
    Deletes,
}

/// What an event tells of its resource.
#[derive(Debug, Clone)]
pub(super) struct ToldChange {
    pub(super) effect: Effect,
    /// By [`Basis::ALL`].
    pub(super) own: [Option<Arc<Leaves>>; 3],
    pub(super) of: Against,
}

impl ToldChange {
    pub(super) fn read(event: &AuditEvent, clock: TimeCheck<'_>) -> Result<Self, SearchError> {
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

    pub(super) fn bytes(&self) -> usize {
        let own = self.own.iter().flatten();
        own.map(|leaves| leaves.bytes()).sum()
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
pub(super) fn stated(
    entry: &str,
    basis: Basis,
    clock: TimeCheck<'_>,
) -> Result<Option<Leaves>, SearchError> {
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
