//! Errors of the API: their codes, and how an answer lists them.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The API token is not known.
pub const INVALID_TOKEN: i64 = 1000;
/// A request header is malformed; a cause in `error_chain` says which one.
pub const INVALID_HEADERS: i64 = 6003;
/// The value of `X-Auth-Key` is malformed.
pub const INVALID_KEY_HEADER: i64 = 6103;
/// The value of `Authorization` is malformed.
pub const INVALID_AUTHORIZATION_HEADER: i64 = 6111;
/// The access token cannot be used.
pub const INVALID_ACCESS_TOKEN: i64 = 9109;
/// The credential may not do that, or does not work.
pub const AUTHENTICATION: i64 = 10_000;

/// The codes that speak of the credential, whatever the status: malformed headers are answered with a 400.
pub const CREDENTIAL_CODES: [i64; 6] = [
    INVALID_TOKEN,
    INVALID_HEADERS,
    INVALID_KEY_HEADER,
    INVALID_AUTHORIZATION_HEADER,
    INVALID_ACCESS_TOKEN,
    AUTHENTICATION,
];

/// The call is over the rate limit.
pub const RATE_LIMITED: i64 = 971;
/// Something failed inside the API.
pub const INTERNAL: i64 = 1001;
/// The object does not exist.
pub const NOT_FOUND: i64 = 1003;
/// No route has that path.
pub const NO_ROUTE: i64 = 7003;

/// The message of a 405.
pub const METHOD_NOT_ALLOWED: &str = "Method not allowed for this endpoint";

/// The code of an error that is of the status alone.
#[must_use]
pub fn of_status(status: u16) -> i64 {
    10_000 + i64::from(status)
}

/// The message of a call that is over the rate limit of so many requests in so many seconds.
#[must_use]
pub fn rate_limited_message(limit: u32, seconds: u32) -> String {
    format!(
        "More than {limit} requests per {seconds} seconds reached. Please wait and consider throttling your request speed"
    )
}

/// One error of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CloudflareError)]
pub struct ApiError {
    /// Missing in the audit log's own form of a 4xx.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false)]
    pub code: Option<i64>,
    /// The causes of a malformed header.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub error_chain: Vec<ApiError>,
    /// What happened, for a person.
    pub message: Option<String>,
}

impl ApiError {
    /// An error without a code.
    #[must_use]
    pub fn of_message(message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            ..Self::default()
        }
    }

    /// An error with its code.
    #[must_use]
    pub fn coded(code: i64, message: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            ..Self::of_message(message)
        }
    }

    /// Reads the `errors` of an answer. What is not a list has no errors that can be read; members of another type count as
    /// missing.
    #[must_use]
    pub fn read_list(errors: &str) -> Vec<Self> {
        let list: Vec<Value> = serde_json::from_str(errors).unwrap_or_default();
        list.iter().map(Self::read).collect()
    }

    fn read(error: &Value) -> Self {
        let chain = error["error_chain"].as_array().into_iter().flatten();
        Self {
            error_chain: chain.map(Self::read_alone).collect(),
            ..Self::read_alone(error)
        }
    }

    /// Reads an error without its causes.
    fn read_alone(error: &Value) -> Self {
        Self {
            code: error["code"].as_i64(),
            error_chain: Vec::new(),
            message: error["message"].as_str().map(str::to_owned),
        }
    }

    /// The error and its causes, in order.
    pub fn with_causes(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.error_chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_strange_errors_are_read_as_far_as_they_go() {
        let error = ApiError {
            error_chain: vec![ApiError::coded(
                INVALID_AUTHORIZATION_HEADER,
                "Invalid format",
            )],
            ..ApiError::coded(INVALID_HEADERS, "Invalid request headers")
        };
        let text = serde_json::to_string(&[&error]).unwrap();
        assert_eq!(
            text,
            r#"[{"code":6003,"error_chain":[{"code":6111,"message":"Invalid format"}],"message":"Invalid request headers"}]"#
        );
        assert_eq!(ApiError::read_list(&text), [error]);
        assert_eq!(
            ApiError::read_list(
                r#"[7, {"code":"x","message":[]}, {"error_chain":{},"message":"m"}]"#
            ),
            [
                ApiError::default(),
                ApiError::default(),
                ApiError::of_message("m")
            ]
        );
        for text in ["", "null", "{}", r#""timeout""#, "[1e999]"] {
            assert_eq!(ApiError::read_list(text), [], "{text}");
        }
    }
}
