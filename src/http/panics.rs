//! Counts the requests that ended with a panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::response::{IntoResponse, Response};
use tokio::task::JoinError;
use tracing::error;

use super::problem::Problem;

/// Counts the panics that ended a request. A clone is the same count.
#[derive(Debug, Clone, Default)]
pub(super) struct Panics(Arc<AtomicU64>);

impl Panics {
    /// Counts and logs a panic; gives what its request is answered. The panic itself has been written to standard error.
    pub(super) fn count(&self) -> Problem {
        let panics = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        error!(
            panics,
            "A request handler panicked. This is a bug; please report it."
        );
        Problem::internal()
    }

    /// As [`Panics::count`], as the whole answer.
    pub(super) fn answer(&self) -> Response {
        self.count().into_response()
    }

    /// Counts it if a task ended with a panic.
    pub(super) fn count_if<T>(&self, ended: &Result<T, JoinError>) {
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            self.count();
        }
    }

    /// How many there have been since the start.
    pub(super) fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
