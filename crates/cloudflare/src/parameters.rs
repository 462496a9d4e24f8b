//! A query string as names and values, within limits. What they mean is known to those who read them.
//!
//! As upstream does, a reader takes the names that it knows and ignores the others.

use url::form_urlencoded;

/// The longest query string, in bytes.
pub const MAX_QUERY_LEN: usize = 16 * 1024;
/// The most parameters in it.
pub const MAX_PARAMETERS: usize = 600;

/// The parameters of a request: names and values, in their order.
pub type Parameters = [(String, String)];

/// A query string that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    /// It has too many bytes.
    #[error("The query is too long")]
    TooLong,
    /// It has too many parameters.
    #[error("more than {MAX_PARAMETERS} parameters")]
    TooMany,
}

/// Takes a query string apart.
///
/// # Errors
/// When it is longer than the limits allow.
pub fn parse(query: Option<&str>) -> Result<Vec<(String, String)>, BadQuery> {
    let query = query.unwrap_or_default();
    if query.len() > MAX_QUERY_LEN {
        return Err(BadQuery::TooLong);
    }
    let parameters: Vec<_> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .take(MAX_PARAMETERS + 1)
        .collect();
    if parameters.len() <= MAX_PARAMETERS {
        Ok(parameters)
    } else {
        Err(BadQuery::TooMany)
    }
}

/// The value of a parameter of which one is wanted: the last, unless it is empty.
#[must_use]
pub fn last<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    let found = parameters.iter().rev().find(|(given, _)| given == name);
    found
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

/// All values of a parameter that can be repeated, without empty ones.
pub fn all<'a>(
    parameters: &'a Parameters,
    name: &'static str,
) -> impl Iterator<Item = &'a str> + use<'a> {
    parameters
        .iter()
        .filter(move |(given, value)| given == name && !value.is_empty())
        .map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_string_is_taken_apart_within_limits() {
        let given = parse(Some("a=1&b=%20&a=2&a=&c")).unwrap();
        assert_eq!(last(&given, "b"), Some(" "));
        assert_eq!(last(&given, "a"), None);
        assert_eq!(last(&given, "d"), None);
        assert_eq!(all(&given, "a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(parse(None), Ok(Vec::new()));
        let long = "a".repeat(MAX_QUERY_LEN + 1);
        assert_eq!(parse(Some(&long)), Err(BadQuery::TooLong));
        let many = "a&".repeat(MAX_PARAMETERS + 1);
        assert_eq!(parse(Some(&many)), Err(BadQuery::TooMany));
    }
}
