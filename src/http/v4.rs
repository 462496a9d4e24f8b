//! `/client/v4`: Cloudflare's own API over the log, as far as it is about audit logs.
//!
//! Parameters, answers and errors have the forms of [`orgtrail_cloudflare`], so that a client of Cloudflare's reads the log
//! with another base URL and one of our tokens.

mod describe;
mod envelope;
mod lists;
mod logs;
mod proven;

use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::routing::{MethodRouter, get};
use orgtrail_cloudflare::request::BASE_PATH;

use super::AppState;
use super::problem::Problem;
use super::scoped::ScopedApp;
use crate::position::{Source, SourceKind};

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

/// The source that a path names, if it is known and may be seen; anything else is no route.
fn known_source(app: &ScopedApp, kind: SourceKind, id: &str) -> Result<Source, Problem> {
    let source = match kind {
        SourceKind::Organization => Source::organization(id),
        SourceKind::Account => Source::account(id),
    };
    let source = source.map_err(|_| Problem::no_route())?;
    let is_known = app.store.sources()?.iter().any(|row| row.source == source);
    match is_known && app.scope().has_source(&source) {
        true => Ok(source),
        false => Err(Problem::no_route()),
    }
}
