//! Events as a caller may see them: the only way from the log to an answer.

use crate::engine::Scope;
use crate::event::AuditEvent;
use crate::position::Seq;
use crate::store::{Store, StoreError};

/// The event at a place; `None` when there is none that the caller may see.
///
/// # Errors
/// When the log cannot be read.
pub fn event(store: &Store, scope: &Scope, place: Seq) -> Result<Option<AuditEvent>, StoreError> {
    Ok(events(store, scope, &[place], usize::MAX)?.pop())
}

/// As [`Store::events`], without the events and the bodies that the caller may not see.
pub(super) fn events(
    store: &Store,
    scope: &Scope,
    places: &[Seq],
    max_bytes: usize,
) -> Result<Vec<AuditEvent>, StoreError> {
    let mut events = store.events(places, max_bytes)?;
    events.retain(|event| scope.has_source(&event.source));
    if scope.has_bodies() {
        return Ok(events);
    }
    Ok(events.into_iter().map(AuditEvent::without_bodies).collect())
}

/// The newest event in the log that the caller may see; 0 when there is none.
///
/// # Errors
/// When the log cannot be read.
pub fn newest_held(store: &Store, scope: &Scope) -> Result<Seq, StoreError> {
    match scope.sources() {
        None => Ok(store.head()),
        Some(sources) => store.newest_of(sources),
    }
}
