//! Pages of other origins that the configuration allows to ask (`http.cors_origins`).

use axum::http::StatusCode;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderMap, HeaderName, HeaderValue,
    VARY,
};
use axum::response::{IntoResponse, Response};

/// What such a page may send, and may read of an answer's headers. Cookies are not sent: such a page has a token.
const METHODS: &str = "GET, HEAD, POST, PATCH, DELETE";
const REQUEST_HEADERS: &str = "authorization, content-type, last-event-id";
const ANSWER_HEADERS: &str = "ratelimit, ratelimit-policy, retry-after, etag";

/// How long a browser may keep the answer, in seconds.
const MAX_AGE: &str = "3600";

/// The answer to a browser that asks whether a page of this origin may send a request.
pub(super) fn preflight(origin: Option<&str>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    allow(origin, headers);
    set(headers, ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    set(headers, ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
    set(headers, ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    response
}

/// Lets pages of this origin read an answer.
pub(super) fn allow(origin: Option<&str>, headers: &mut HeaderMap) {
    let Some(origin) = origin.and_then(|origin| HeaderValue::from_str(origin).ok()) else {
        return;
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    set(headers, ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
    headers.append(VARY, HeaderValue::from_static("origin"));
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
