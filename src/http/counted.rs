//! Answers with the number of their results, for the access log.

use axum::{Extension, Json};
use serde::Serialize;

use super::access::Results;

/// An answer with the number of its results.
pub(super) type Counted<T> = (Extension<Results>, Json<T>);

/// An answer with the number of its results.
pub(super) fn counted<T: Serialize>(results: impl TryInto<u64>, answer: T) -> Counted<T> {
    let results = results.try_into().unwrap_or(u64::MAX);
    (Extension(Results(results)), Json(answer))
}
