//! What a request says in its query string and in its body; what it means is known to the routes.

use axum::http::StatusCode;
use orgtrail_cloudflare::parameters::{self, BadQuery};
pub(crate) use orgtrail_cloudflare::parameters::{all, last};
use serde::de::DeserializeOwned;

use super::refusal::Refusal;

/// Takes a query string apart.
pub(crate) fn parse(query: Option<&str>) -> Result<Vec<(String, String)>, Refusal> {
    parameters::parse(query).map_err(|error| match error {
        BadQuery::TooLong => Refusal::of_status(StatusCode::URI_TOO_LONG, error.to_string()),
        BadQuery::TooMany => Refusal::invalid(error.to_string()),
    })
}

/// Reads a body that is to be `what`.
pub(crate) fn body<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, Refusal> {
    let refuse = |reason: &dyn std::fmt::Display| {
        Refusal::invalid(format!("the body is not {what} in JSON: {reason}"))
    };
    let text = std::str::from_utf8(body).map_err(|error| refuse(&error))?;
    serde_json::from_str(text).map_err(|error| refuse(&error))
}
