//! Answers in Cloudflare's envelope, those included that were refused before a route saw the request.

use axum::Extension;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use orgtrail_cloudflare::envelope::Envelope;
use orgtrail_cloudflare::error::{self, ApiError};
use orgtrail_cloudflare::parameters;
use orgtrail_cloudflare::request::BASE_PATH;
use serde::Serialize;
use serde_json::Value;

use crate::http::access::Results;
use crate::http::problem::{NO_ROUTE, Problem, ProblemParts};

/// The parameters of a request.
pub(super) fn parameters_of(query: Option<&str>) -> Result<Vec<(String, String)>, Problem> {
    parameters::parse(query).map_err(|error| bad(error.to_string()))
}

/// A parameter is wrong.
pub(super) fn bad(message: impl Into<String>) -> Problem {
    Problem::parameter("query", message)
}

/// A result in its envelope, with how many things it has.
pub(super) fn answer(results: usize, body: &impl Serialize) -> Result<Response, Problem> {
    Ok(json(results, serde_json::to_string(body)?))
}

/// As [`answer`], of a body that is written already.
pub(super) fn json(results: usize, body: String) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    let results = Extension(Results(results as u64));
    (results, content_type, body).into_response()
}

/// A layer for all routes: gives errors under `/client/v4` the form that Cloudflare's clients read.
pub(in crate::http) async fn wrap_errors(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let rest = path.strip_prefix(BASE_PATH);
    let is_ours = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let mut response = next.run(request).await;
    let status = response.status();
    if !is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let told = response.extensions_mut().remove::<ProblemParts>();
    let Ok(body) = serde_json::to_string(&failure(status, told)) else {
        return response;
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let value = header::HeaderValue::from_static("application/json");
    parts.headers.insert(header::CONTENT_TYPE, value);
    Response::from_parts(parts, body.into())
}

/// The envelope of an error. What the framework itself refuses has no words of ours.
fn failure(status: StatusCode, told: Option<ProblemParts>) -> Envelope<Value> {
    let reason = status.canonical_reason().unwrap_or_default();
    let (kind, detail) = told.map_or(("", reason.to_owned()), |told| (told.kind, told.detail));
    let code = match status {
        StatusCode::BAD_REQUEST => return Envelope::of_message(detail),
        StatusCode::UNAUTHORIZED => error::INVALID_TOKEN,
        StatusCode::FORBIDDEN => error::AUTHENTICATION,
        StatusCode::NOT_FOUND if kind == NO_ROUTE => error::NO_ROUTE,
        StatusCode::NOT_FOUND => error::NOT_FOUND,
        StatusCode::TOO_MANY_REQUESTS => error::RATE_LIMITED,
        StatusCode::METHOD_NOT_ALLOWED => {
            let code = error::of_status(status.as_u16());
            return Envelope::of_error(ApiError::coded(code, error::METHOD_NOT_ALLOWED));
        }
        status if status.is_server_error() => error::INTERNAL,
        status => error::of_status(status.as_u16()),
    };
    Envelope::of_error(ApiError::coded(code, detail))
}
