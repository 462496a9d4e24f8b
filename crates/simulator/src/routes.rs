//! The API's routes, and how it is served.

use std::future::Future;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, middleware};
use orgtrail_cloudflare::error;
use orgtrail_cloudflare::request::BASE_PATH;
use tokio::net::TcpListener;

use super::refusal::Refusal;
use super::simulator::Simulator;
use super::{accounts, audit, changes, members, organizations, request_layer};

/// The largest request body, in bytes.
pub(crate) const MAX_BODY_LEN: usize = 64 * 1024;

impl Simulator {
    /// The API, under `/client/v4`.
    pub fn router(&self) -> Router {
        let api = Router::new()
            // Organizations and what is in them.
            .route(
                "/organizations",
                get(organizations::list).post(organizations::create),
            )
            .route(
                "/organizations/{organization_id}",
                get(organizations::get)
                    .put(organizations::modify)
                    .delete(organizations::delete),
            )
            .route(
                "/organizations/{organization_id}/profile",
                get(organizations::get_profile).put(organizations::modify_profile),
            )
            .route(
                "/organizations/{organization_id}/accounts",
                get(accounts::list),
            )
            .route(
                "/organizations/{organization_id}/members",
                get(members::list).post(members::create),
            )
            .route(
                "/organizations/{organization_id}/members:batchCreate",
                post(members::create_several),
            )
            .route(
                "/organizations/{organization_id}/members/{member_id}",
                get(members::get).delete(members::delete),
            )
            .route(
                "/accounts/{account_id}",
                get(accounts::get).fallback(changes::record),
            )
            // The audit logs.
            .route(
                "/organizations/{organization_id}/logs/audit",
                get(audit::list_organization),
            )
            .route(
                "/organizations/{organization_id}/logs/audit/{id}/history",
                get(audit::organization_history),
            )
            .route(
                "/accounts/{account_id}/logs/audit",
                get(audit::list_account),
            )
            .route(
                "/accounts/{account_id}/logs/audit/{id}/history",
                get(audit::account_history),
            )
            .route(
                "/accounts/{account_id}/logs/audit/product_categories",
                get(audit::product_categories),
            );
        Router::new()
            .nest(BASE_PATH, api)
            .fallback(changes::record)
            .method_not_allowed_fallback(async || {
                let status = StatusCode::METHOD_NOT_ALLOWED;
                Refusal::of_status(status, error::METHOD_NOT_ALLOWED)
            })
            .layer(DefaultBodyLimit::max(MAX_BODY_LEN))
            .layer(middleware::from_fn_with_state(
                self.clone(),
                request_layer::handle,
            ))
            .with_state(self.clone())
    }

    /// Answers on `listener` until `shutdown` is done, then ends what is under way.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        axum::serve(listener, self.router())
            .with_graceful_shutdown(shutdown)
            .await
    }
}
