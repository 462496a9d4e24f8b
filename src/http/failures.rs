//! Failures of the parts behind the routes, as problems.
//!
//! A wrong request becomes a problem with its place. Our own failures end here: they are logged whole, and answered in a few
//! words.

use axum::http::StatusCode;
use tracing::error;

use super::problem::Problem;
use crate::engine::EngineError;
use crate::search::SearchError;
use crate::store::StoreError;

impl Problem {
    /// The log cannot be read now.
    pub(super) fn log_unreadable(error: &StoreError) -> Self {
        error!(error = %error, "The log cannot be read.");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "urn:orgtrail:problem:log-unreadable",
            "The log cannot be read",
            "the reason is in the log of the service",
        )
    }
}

impl From<SearchError> for Problem {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Query(error) => Self::parameter("q", error.message).at(Some(error.at)),
            SearchError::UnknownField {
                parameter,
                at,
                message,
            } => Self::parameter(parameter, message)
                .of_unknown_field()
                .at(at),
            SearchError::Counting { parameter, message } => Self::parameter(parameter, message),
            SearchError::Cursor(message) => Self::parameter("cursor", message),
            SearchError::Behind { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "urn:orgtrail:problem:rebuilding",
                "The index is being rebuilt",
                error.to_string(),
            ),
            SearchError::NotKnownYet { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "urn:orgtrail:problem:detection-behind",
                "The detection is behind",
                error.to_string(),
            ),
            SearchError::Engine(error) => error.into(),
            SearchError::Store(error) => error.into(),
        }
    }
}

impl From<csv::Error> for Problem {
    fn from(error: csv::Error) -> Self {
        error!(error = %error, "A request failed at its CSV.");
        Self::internal()
    }
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        error!(error = %error, "A request failed at its JSON.");
        Self::internal()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::CutOff) {
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "urn:orgtrail:problem:too-slow",
                "Too slow",
                error.to_string(),
            );
        }
        error!(error = %error, "A request failed at the log.");
        if matches!(error, StoreError::Full) {
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "urn:orgtrail:problem:disk-full",
                "The disk is full",
                "nothing more can be stored until there is room; what is stored can be asked for",
            );
        }
        Self::internal()
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Question(error) => SearchError::Query(error).into(),
            EngineError::Parameter { parameter, message } => Self::parameter(parameter, message),
            EngineError::Unavailable => Self::unavailable(),
            EngineError::TooLarge => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "urn:orgtrail:problem:too-large",
                "Too much memory",
                error.to_string(),
            ),
            EngineError::CutOff { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "urn:orgtrail:problem:too-slow",
                "Too slow",
                error.to_string(),
            ),
            error => {
                error!(error = %error, "A request failed at the index.");
                Self::internal()
            }
        }
    }
}
