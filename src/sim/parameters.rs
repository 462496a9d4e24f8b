//! A query string's parameters, within limits; what they mean is known to the routes.

use axum::http::StatusCode;

use super::envelope::Refusal;

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
