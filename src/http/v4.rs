//! `/client/v4`: Cloudflare's own API over the log, as far as it is about audit logs.
//!
//! Parameters, answers and errors have the forms of [`orgtrail_cloudflare`], so that a client of Cloudflare's reads the log
//! with another base URL and one of our tokens.

mod describe;
mod envelope;
mod known_source;
mod left_out;
mod lists;
mod logs;
mod proven;

use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::routing::{MethodRouter, get};
use orgtrail_cloudflare::request::BASE_PATH;

use super::scoped::ScopedApp;
use super::state::AppState;
use crate::position::SourceKind;

pub(super) use self::describe::describe;
pub(super) use self::envelope::wrap_errors;

/// The routes.
pub(super) fn routes() -> Router<AppState> {
    let (organization, account) = (SourceKind::Organization, SourceKind::Account);
    let api = Router::new()
        .route("/organizations/{id}/logs/audit", log(organization))
        .route("/accounts/{id}/logs/audit", log(account))
        .route(
            "/organizations/{id}/logs/audit/{entry}/history",
            history(organization),
        )
        .route(
            "/accounts/{id}/logs/audit/{entry}/history",
            history(account),
        )
        .route(
            "/accounts/{id}/logs/audit/product_categories",
            get(logs::categories),
        )
        .route("/organizations/{id}/accounts", get(lists::accounts))
        .route("/organizations/{id}/members", get(lists::members))
        .route("/organizations/{id}/members/{member}", get(lists::member))
        .route("/accounts/{id}", get(lists::account))
        .route("/user/tokens/verify", get(lists::verify_token));
    Router::new().nest(BASE_PATH, api)
}

fn log(kind: SourceKind) -> MethodRouter<AppState> {
    get(
        move |app: ScopedApp, Path(id): Path<String>, RawQuery(query): RawQuery| {
            logs::list(app, kind, id, query)
        },
    )
}

fn history(kind: SourceKind) -> MethodRouter<AppState> {
    get(
        move |app: ScopedApp,
              Path((id, entry)): Path<(String, String)>,
              RawQuery(query): RawQuery| { logs::history(app, kind, id, entry, query) },
    )
}
