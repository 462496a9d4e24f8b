//! The routes of the document and of its page. They say nothing of the log, and need no credential.

use axum::Router;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::IntoResponse;
use axum::routing::get;

use super::super::fixed_answer::FixedAnswer;
use super::document::document;
use super::group::RouteGroup;
use super::page::{self, render};
use super::route::Route;

/// The document and its page, as they are sent.
pub(crate) struct Description {
    document: FixedAnswer,
    page: FixedAnswer,
}

impl Description {
    /// Of all routes.
    pub(crate) fn of(groups: Vec<(RouteGroup, Vec<Route>)>) -> Self {
        let document = document(groups);
        let page = render(&document).unwrap_or_default();
        Self {
            page: FixedAnswer::new("text/html; charset=utf-8", page),
            document: FixedAnswer::new("application/json", format!("{document:#}\n")),
        }
    }
}

/// The routes. The description is made when it is first asked for.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(
    description: fn() -> &'static Description,
) -> Router<S> {
    let document = move |headers: HeaderMap| async move { description().document.answer(&headers) };
    let page = move |headers: HeaderMap| async move {
        let policy = [(
            CONTENT_SECURITY_POLICY,
            page::CONTENT_SECURITY_POLICY.as_str(),
        )];
        (policy, description().page.answer(&headers)).into_response()
    };
    Router::new()
        .route("/openapi.json", get(document))
        .route("/docs", get(page))
}

/// The description of the routes here.
pub(crate) fn describe() -> Vec<Route> {
    vec![
        Route::get(
            "/openapi.json",
            "read_openapi",
            "Read this description as an OpenAPI 3.1 document",
        )
        .answers_object("The document.")
        .example("The document", "/openapi.json", &[]),
        Route::get("/docs", "read_docs", "Read this description as a page")
            .answers_text("text/html; charset=utf-8", "The page.")
            .header("Content-Security-Policy")
            .example("The page", "/docs", &[]),
    ]
}
