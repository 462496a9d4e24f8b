//! Answers that a client may keep, and ask for again only if they have changed.

use axum::Extension;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::access::Results;
use super::problem::Problem;
use crate::event::{hex, sha256};

/// A client may keep the answer for itself, and asks each time whether it is still so.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// An answer with its tag; 304 without a body where the client has it already. The answer to POST is not one that clients keep.
pub(super) fn tagged<T: Serialize>(
    (method, request): (&Method, &HeaderMap),
    results: u64,
    answer: &T,
) -> Result<Response, Problem> {
    let body = serde_json::to_string(answer)?;
    let tag = tag_of(body.as_bytes());
    let is_known = *method != Method::POST && is_among(request, &tag);
    let tag = HeaderValue::from_str(&tag).map_err(|_| Problem::internal())?;
    let headers = [(header::ETAG, tag), (header::CACHE_CONTROL, PRIVATE)];
    let results = Extension(Results(results));
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, headers, results, Body::empty()).into_response());
    }
    let content_type = [(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    )];
    Ok((headers, content_type, results, body).into_response())
}

/// The tag of an answer. It is weak: the same answer may be compressed in another way.
pub(super) fn tag_of(answer: &[u8]) -> String {
    format!("W/\"{}\"", &hex(&sha256(answer))[..32])
}

/// Whether a request says that its client has the answer with a tag.
pub(super) fn is_among(request: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let known = request.get_all(header::IF_NONE_MATCH).iter();
    let known = known.filter_map(|value| value.to_str().ok());
    known
        .flat_map(|list| list.split(','))
        .any(|known| known.trim() == "*" || opaque(known) == opaque(tag))
}
