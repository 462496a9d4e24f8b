//! Events as a caller may see them: the only way from the log to an answer.

use crate::engine::Scope;
use crate::event::AuditEvent;
use crate::position::Seq;
use crate::store::{self, Store, StoreError};

/// The event at a place; `None` when there is none that the caller may see, as far as its row tells.
///
/// # Errors
/// When the log cannot be read.
pub fn event(store: &Store, scope: &Scope, place: Seq) -> Result<Option<AuditEvent>, StoreError> {
    let event = store.event(place)?;
    let event = event.filter(|event| scope.has_source(&event.source));
    event.map(|event| shown(scope, event)).transpose()
}

/// As [`Store::events_at`], for places that the index gave for what the caller may see, without the bodies that they may not see.
///
/// Each place has its event: where the row does not tell a source of the caller, nothing is shown but the place.
pub(super) fn events(
    store: &Store,
    scope: &Scope,
    places: &[Seq],
    max_bytes: usize,
) -> Result<(Vec<AuditEvent>, usize), StoreError> {
    store.events_at(places, max_bytes, |event| shown(scope, event))
}

fn shown(scope: &Scope, event: AuditEvent) -> Result<AuditEvent, StoreError> {
    match scope.has_source(&event.source) {
        false => store::unreadable(event.seq),
        true if scope.has_bodies() => Ok(event),
        true => Ok(event.without_bodies()),
    }
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
