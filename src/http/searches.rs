//! `/v1/searches`: questions under a name. Each principal has its own, and those who may see the whole log see shared ones.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Results;
use super::counted::{Counted, counted};
use super::openapi::{ParameterKind, Route, path, query as described_query};
use super::params::{Given, Named, bad, number};
use super::principal::Principal;
use super::problem::Problem;
use super::scoped::ScopedApp;
use super::state::AppState;
use crate::access::Permission;
use crate::position::rfc3339;
use crate::query;
use crate::search::{self, SearchError};
use crate::store::{AccessStore, NewSearch, SavedSearch, SearchPlace, SearchesOf};
use crate::wording;

/// How many searches a page has unless asked otherwise, and at most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// The longest name, in characters.
const MAX_NAME_LEN: usize = 200;

/// The longest state of a page, in bytes.
const MAX_STATE_LEN: usize = 16 * 1024;

/// The body of `POST /v1/searches`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SearchBody {
    name: String,
    #[serde(default)]
    q: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    shared: bool,
}

/// A saved search.
#[derive(Serialize, ToSchema)]
#[schema(as = SavedSearch)]
struct Search {
    id: String,
    name: String,
    q: Option<String>,
    state: Option<String>,
    shared: bool,
    /// Whether it is of the principal that asks.
    own: bool,
    principal: String,
    created_at: String,
}

impl Search {
    fn of(found: SavedSearch, principal: &Principal) -> Self {
        let SavedSearch {
            id,
            search,
            created_at,
        } = found;
        Self {
            id,
            name: search.name,
            q: search.query,
            state: search.state,
            shared: search.shared,
            own: search.principal == principal.name(),
            principal: search.principal,
            created_at: rfc3339(created_at),
        }
    }
}

/// A page of saved searches.
#[derive(Serialize, ToSchema)]
pub(super) struct Searches {
    searches: Vec<Search>,
    next_cursor: Option<String>,
}

/// `GET /v1/searches`: the newest first.
pub(super) async fn list(
    State(app): State<AppState>,
    Extension(principal): Extension<Principal>,
    RawQuery(query): RawQuery,
) -> Result<Counted<Searches>, Problem> {
    let given = Given::read(query.as_deref(), &["limit", "cursor"])?;
    let limit = match given.one("limit")? {
        None => DEFAULT_LIMIT,
        Some(text) => number("limit", text, MAX_LIMIT)?,
    };
    let after = given.one("cursor")?.map(place).transpose()?;
    let of = visible_to(&principal);
    // In the turn of a question: a page may be large, and is held until it is written.
    let found = app.ask(move |app| {
        let store = app.access.store();
        Ok(store.searches(&of, after.as_ref(), limit)?)
    });
    let (found, has_more) = found.await?;
    let next_cursor = found.last().filter(|_| has_more).map(cursor);
    let searches = found
        .into_iter()
        .map(|one| Search::of(one, &principal))
        .collect::<Vec<_>>();
    Ok(counted(
        searches.len(),
        Searches {
            searches,
            next_cursor,
        },
    ))
}

/// The searches that a principal sees; with the scope `admin`, all of them. One that sees a part of the log only sees its own: those of others may tell of the rest.
fn visible_to(principal: &Principal) -> SearchesOf {
    SearchesOf {
        principal: principal.name().to_owned(),
        shared: principal.grant().sees_everything(),
        all: principal.require(Permission::Admin).is_ok(),
    }
}

fn cursor(last: &SavedSearch) -> String {
    format!("{}-{}", last.created_at.timestamp_micros(), last.id)
}

fn place(cursor: &str) -> Result<SearchPlace, Problem> {
    let place = cursor.split_once('-');
    let place = place.and_then(|(at, id)| Some((at.parse().ok()?, id.to_owned())));
    place.ok_or_else(|| {
        bad(
            "cursor",
            "this is no cursor of `/v1/searches`: take `next_cursor` as it is, or leave it out",
        )
    })
}

/// `POST /v1/searches`: saves one.
pub(super) async fn save(
    app: ScopedApp,
    Extension(principal): Extension<Principal>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    Given::read(query.as_deref(), &[])?;
    if !is_json(&headers) {
        return Err(Problem::no_json());
    }
    let now = app.clock.now();
    let search = read(&body, &principal, now)?;
    if let Some(text) = search.query.clone() {
        app.ask(move |app| check_names(app, &text, now)).await?;
    }
    let saved = app
        .access
        .work(move |store| Ok(store.save_search(&search, now)?))
        .await?;
    let saved = saved.ok_or_else(Problem::too_many_searches)?;
    let body = Json(Search::of(saved, &principal));
    Ok((StatusCode::CREATED, Extension(Results(1)), body).into_response())
}

/// Refuses a query with a field that no entry has, as it is refused when it is asked.
fn check_names(app: &ScopedApp, text: &str, now: DateTime<Utc>) -> Result<(), Problem> {
    let query =
        query::parse(text, now).map_err(|error| Problem::from(SearchError::Query(error)))?;
    let (view, caller) = app.asking();
    Ok(search::check_names(&query, &view, &caller)?)
}

/// Whether a body is said to be JSON. A page of another site cannot say so without asking first.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

/// What is wrong with a body that cannot be read, with the member that it is about.
fn unreadable(body: &[u8], error: &serde_json::Error) -> Problem {
    let members: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let texts = ["name", "q", "state"];
    let is_wrong = |name: &str| {
        members
            .get(name)
            .is_some_and(|it| !it.is_string() && !it.is_null())
    };
    let no_name = members.is_object() && members.get("name").is_none();
    if let Some(name) = texts.into_iter().find(|name| is_wrong(name)) {
        return bad(name, format!("`{name}` is a text"));
    }
    let why = wording::quoted(&error.to_string());
    bad(
        if no_name { "name" } else { "body" },
        format!(
            "{why}: the body is `{{\"name\": …, \"q\": …, \"state\": …, \"shared\": false}}` in JSON; all but `shared` are texts, and `q`, `state` and `shared` may be left out"
        ),
    )
}

/// Reads the body of a request that saves a search.
fn read(body: &[u8], principal: &Principal, now: DateTime<Utc>) -> Result<NewSearch, Problem> {
    let wanted: SearchBody =
        serde_json::from_slice(body).map_err(|error| unreadable(body, &error))?;
    let name = wanted.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > MAX_NAME_LEN || name.contains(char::is_control) {
        let detail = format!("a name has 1 to {MAX_NAME_LEN} characters");
        return Err(bad("name", detail));
    }
    if let Some(q) = &wanted.q {
        query::parse(q, now).map_err(|error| {
            let at = Some(error.at);
            bad("q", error.message).at(at)
        })?;
    }
    let state = wanted.state.as_deref().unwrap_or_default();
    if state.len() > MAX_STATE_LEN || state.contains(char::is_control) {
        let detail =
            format!("a state has at most {MAX_STATE_LEN} bytes, and no control characters");
        return Err(bad("state", detail));
    }
    if wanted.q.is_none() && wanted.state.is_none() {
        return Err(bad(
            "q",
            "write the query (`q`), what the page shows (`state`), or both",
        ));
    }
    Ok(NewSearch {
        principal: principal.name().to_owned(),
        name,
        query: wanted.q,
        state: wanted.state,
        shared: wanted.shared,
    })
}

/// `DELETE /v1/searches/{id}`: one's own; one of another principal with the scope `admin`.
pub(super) async fn delete(
    State(app): State<AppState>,
    Extension(principal): Extension<Principal>,
    Named(id): Named,
    RawQuery(query): RawQuery,
) -> Result<(StatusCode, Extension<Results>), Problem> {
    Given::read(query.as_deref(), &[])?;
    app.access
        .work(move |store| delete_visible(store, &principal, &id))
        .await?;
    Ok((StatusCode::NO_CONTENT, Extension(Results(1))))
}

fn delete_visible(store: &AccessStore, principal: &Principal, id: &str) -> Result<(), Problem> {
    let unknown = || Problem::not_found("there is no such saved search");
    let of = visible_to(principal);
    let found = store.search(id)?.ok_or_else(unknown)?.search;
    let is_own = found.principal == of.principal;
    if !is_own {
        let is_visible = of.all || (of.shared && found.shared);
        if !is_visible {
            return Err(unknown());
        }
        principal.require(Permission::Admin)?;
    }
    if store.delete_search(id)? {
        Ok(())
    } else {
        Err(unknown())
    }
}

/// The description of the routes here.
pub(super) fn describe() -> Vec<Route> {
    let limit = ParameterKind::Number {
        least: 1,
        most: MAX_LIMIT as u64,
        default: DEFAULT_LIMIT as u64,
    };
    let id = ParameterKind::Name("00000000000000000000000000000000");
    vec![
        Route::get(
            "/v1/searches",
            "list_searches",
            "List saved searches, the newest first",
        )
        .with(described_query(
            "limit",
            limit,
            "The most results of a page.",
        ))
        .with(described_query(
            "cursor",
            ParameterKind::Text,
            "`next_cursor` of the page before.",
        ))
        .about("A page of large searches has fewer than `limit`.")
        .answers::<Searches>(
            "The principal's own searches, and the shared ones; with the scope `admin`, all.",
        )
        .example("Saved searches", "/v1/searches", &[]),
        Route::new(
            "post",
            "/v1/searches",
            "save_search",
            "Save a search under a name",
        )
        .body::<SearchBody>()
        .answers::<Search>("")
        .status(201, "The search is saved.")
        .refuses(&[409, 415])
        .example_with(
            "Deletions, by that name",
            "/v1/searches",
            r#"{"name": "Deletions", "q": "action.type:delete", "shared": true}"#,
        ),
        Route::new(
            "delete",
            "/v1/searches/{id}",
            "delete_search",
            "Delete a saved search",
        )
        .about("One of another principal is deleted with the scope `admin` only.")
        .with(path("id", id, "Its `id`."))
        .status(204, "The search is deleted.")
        .refuses(&[404])
        .example(
            "Delete one",
            "/v1/searches/00000000000000000000000000000000",
            &[],
        ),
    ]
}
