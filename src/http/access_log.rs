//! `/v1/access-log`: who asked what, the newest first.

use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::counted::{Counted, counted};
use super::openapi::{ParameterKind, Route, query as described_query};
use super::params::{Given, bad, number};
use super::problem::Problem;
use super::state::AppState;
use crate::position::rfc3339;
use crate::store::AccessEntry;

/// How many lines a page has unless asked otherwise, and at most.
const DEFAULT_LINES: usize = 100;
const MAX_LINES: usize = 1_000;

/// A page of the access log.
#[derive(Serialize, ToSchema)]
#[schema(as = AccessLog)]
pub(super) struct Lines {
    entries: Vec<Line>,
    next_cursor: Option<String>,
}

/// A line of the access log.
#[derive(Serialize, ToSchema)]
#[schema(as = AccessLogEntry)]
struct Line {
    #[schema(format = DateTime)]
    time: String,
    principal: String,
    address: Option<String>,
    action: String,
    route: String,
    parameters: String,
    results: Option<u64>,
    duration_ms: Option<u64>,
    status: Option<u16>,
}

impl From<AccessEntry> for Line {
    fn from(entry: AccessEntry) -> Self {
        Self {
            time: rfc3339(entry.time),
            principal: entry.principal,
            address: entry.address,
            action: entry.action,
            route: entry.route,
            parameters: entry.parameters,
            results: entry.results,
            duration_ms: entry.duration_ms,
            status: entry.status,
        }
    }
}

/// `GET /v1/access-log`: who asked what, the newest first.
pub(super) async fn list(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Counted<Lines>, Problem> {
    let given = Given::read(query.as_deref(), &["limit", "cursor"])?;
    let limit = match given.one("limit")? {
        None => DEFAULT_LINES,
        Some(text) => number("limit", text, MAX_LINES)?,
    };
    let before = match given.one("cursor")? {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            bad(
                "cursor",
                "this is no cursor of `/v1/access-log`; leave it out to begin at the newest line",
            )
        })?),
    };
    let page = app
        .access
        .work(move |store| Ok(store.access_entries(before, limit)?))
        .await?;
    let lines = Lines {
        entries: page.entries.into_iter().map(Line::from).collect(),
        next_cursor: page.next_before.map(|id| id.to_string()),
    };
    Ok(counted(lines.entries.len(), lines))
}

/// The description of the route here.
pub(super) fn describe() -> Vec<Route> {
    let limit = ParameterKind::Number {
        least: 1,
        most: MAX_LINES as u64,
        default: DEFAULT_LINES as u64,
    };
    vec![
        Route::get(
            "/v1/access-log",
            "list_access_log",
            "List who asked what, the newest first",
        )
        .with(described_query("limit", limit, "The most lines of a page."))
        .with(described_query(
            "cursor",
            ParameterKind::Text,
            "`next_cursor` of the page before.",
        ))
        .answers::<Lines>("A page of the access log.")
        .example("The newest line", "/v1/access-log", &[("limit", "1")]),
    ]
}
