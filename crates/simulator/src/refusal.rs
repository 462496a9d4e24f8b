//! Requests that are not served: a status, and a failure in one of upstream's two forms.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use orgtrail_cloudflare::envelope::Envelope;
use orgtrail_cloudflare::error::{self, ApiError};
use serde_json::Value;

/// A request that is not served.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    /// Boxed, because most results hold none.
    body: Box<Envelope<Value>>,
}

impl Refusal {
    /// What the audit log's schema says of a 4xx: a message without a code, and no result.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            body: Box::new(Envelope::of_message(message)),
        }
    }

    /// The platform's usual form.
    pub(crate) fn coded(status: StatusCode, code: i64, message: impl Into<String>) -> Self {
        Self::with_error(status, ApiError::coded(code, message))
    }

    /// The platform's usual form, with the code that stands for a status.
    pub(crate) fn of_status(status: StatusCode, message: impl Into<String>) -> Self {
        Self::coded(status, error::of_status(status.as_u16()), message)
    }

    /// The platform's usual form, around any error.
    pub(crate) fn with_error(status: StatusCode, error: ApiError) -> Self {
        Self {
            status,
            body: Box::new(Envelope::of_error(error)),
        }
    }

    /// What is asked for is no part of what is there.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::coded(StatusCode::NOT_FOUND, error::NOT_FOUND, message)
    }

    /// The credential is good, but not for this.
    pub(crate) fn forbidden() -> Self {
        let message = "Authentication error";
        Self::coded(StatusCode::FORBIDDEN, error::AUTHENTICATION, message)
    }

    /// What is asked for is not there.
    pub(crate) fn no_route() -> Self {
        let message = "No route for the URI.";
        Self::coded(StatusCode::NOT_FOUND, error::NO_ROUTE, message)
    }

    /// Something failed inside the API.
    pub(crate) fn internal(status: StatusCode, message: impl Into<String>) -> Self {
        Self::coded(status, error::INTERNAL, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let content_type = [(header::CONTENT_TYPE, "application/json")];
        match serde_json::to_string(&self.body) {
            Ok(body) => (self.status, content_type, body).into_response(),
            Err(_) => self.status.into_response(),
        }
    }
}
