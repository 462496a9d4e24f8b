//! What a request says in its query string and in its body, within limits; what it means is known to the routes.

use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use super::refusal::Refusal;

/// The longest query string, in bytes.
const MAX_QUERY_LEN: usize = 16 * 1024;
/// The most parameters in it.
const MAX_PARAMETERS: usize = 600;

/// Takes a query string apart.
pub(crate) fn parse(query: Option<&str>) -> Result<Vec<(String, String)>, Refusal> {
    let query = query.unwrap_or_default();
    if query.len() > MAX_QUERY_LEN {
        let status = StatusCode::URI_TOO_LONG;
        return Err(Refusal::coded(status, 10_414, "The query is too long"));
    }
    let parameters: Vec<_> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .take(MAX_PARAMETERS + 1)
        .collect();
    if parameters.len() > MAX_PARAMETERS {
        return Err(Refusal::invalid(format!(
            "more than {MAX_PARAMETERS} parameters"
        )));
    }
    Ok(parameters)
}

/// The value of a parameter of which one is wanted: the last, unless it is empty.
pub(crate) fn last<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = parameters.iter().rev().find(|(given, _)| given == name);
    found
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

/// All values of a parameter that can be repeated; empty ones say nothing.
pub(crate) fn all<'a>(
    parameters: &'a [(String, String)],
    name: &'static str,
) -> impl Iterator<Item = &'a str> + use<'a> {
    parameters
        .iter()
        .filter(move |(given, value)| given == name && !value.is_empty())
        .map(|(_, value)| value.as_str())
}

/// Reads a body that is to be `what`.
pub(crate) fn body<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, Refusal> {
    let refuse = |reason: &dyn std::fmt::Display| {
        Refusal::invalid(format!("the body is not {what} in JSON: {reason}"))
    };
    let text = std::str::from_utf8(body).map_err(|error| refuse(&error))?;
    serde_json::from_str(text).map_err(|error| refuse(&error))
}
