//! The turn of a request's question, and the name of the principal that asks.

use std::sync::{Arc, Mutex};

use super::fair::FairPermit;
use super::long_turns::LongTurn;
use crate::sync::lock;

/// A turn, shared by the work and by the request that waits for it.
#[derive(Clone)]
pub(super) struct Turn(Arc<Mutex<HeldPermit>>);

/// What a turn is held by. It is returned when it is dropped.
pub(super) enum HeldPermit {
    Fair(#[expect(dead_code, reason = "held")] FairPermit),
    Long(#[expect(dead_code, reason = "held")] LongTurn),
}

impl Turn {
    pub(super) fn of(permit: HeldPermit) -> Self {
        Self(Arc::new(Mutex::new(permit)))
    }

    /// Releases its permit and holds `other` instead.
    pub(super) fn give_for(&self, other: HeldPermit) {
        let previous = std::mem::replace(&mut *lock(&self.0), other);
        drop(previous);
    }
}

tokio::task_local! {
    /// The turn of the question of the request that this task answers.
    static KEPT_TURN: Mutex<Option<Turn>>;

    /// The name of the principal whose request this task answers.
    static PRINCIPAL: Arc<str>;
}

/// Runs a request of a principal: its questions wait for their turns under this name.
pub(super) async fn of_principal<T>(name: &str, request: impl Future<Output = T>) -> T {
    PRINCIPAL.scope(name.into(), request).await
}

/// The name of the principal whose request this task answers; empty outside of one.
pub(super) fn principal() -> Arc<str> {
    PRINCIPAL
        .try_with(Arc::clone)
        .unwrap_or_else(|_| Arc::default())
}

/// The turn of a request's question, kept after the question is worked out: until its answer is written and counted.
pub(super) struct KeptTurn;

impl KeptTurn {
    /// Runs a request and what counts its answer. At the end the turn is given back.
    pub(super) async fn scope<T>(request: impl Future<Output = T>) -> T {
        KEPT_TURN.scope(Mutex::default(), request).await
    }

    /// Gives the turn back now.
    pub(super) fn give_back() {
        Self::replace(None);
    }

    pub(super) fn keep(turn: Turn) {
        Self::replace(Some(turn));
    }

    fn replace(turn: Option<Turn>) {
        // Outside of a request there is nothing to keep it for.
        let _previous = KEPT_TURN.try_with(|kept| std::mem::replace(&mut *lock(kept), turn));
    }
}
