//! `/v1/alerts`: what rules found, and what people do with it.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, RawQuery, State};
use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::access::Results;
use super::counted::{Counted, counted};
use super::openapi::{Parameter, ParameterKind, Route, path, query as described_query};
use super::params::{Given, Named, bad, number, when};
use super::principal::Principal;
use super::problem::Problem;
use super::searches::is_json;
use super::state::AppState;
use crate::alert::{Alert, AlertId, AlertState, Level};
use crate::mask::Mask;
use crate::query::read_time;
use crate::store::alerts::{AlertCursor, AlertFilter, AlertReader, AlertUpdate, AlertUpdateError};
use crate::wording::quoted;

/// How many alerts a page has unless asked otherwise, and at most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// The longest reason and name of an assignee, in characters.
const MAX_TEXT_CHARS: usize = 1_000;

/// The parameters of the list.
const PARAMETERS: [&str; 8] = [
    "rule", "level", "state", "since", "before", "tz", "limit", "cursor",
];

/// A page of alerts.
#[derive(Serialize, ToSchema)]
#[schema(as = Alerts)]
pub(super) struct AlertPage {
    alerts: Vec<Alert>,
    next_cursor: Option<String>,
}

/// The body of `PATCH /v1/alerts/{id}`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AlertBody {
    #[serde(default)]
    state: Option<AlertState>,
    #[serde(default)]
    reason: Option<String>,
    /// `null`: no person.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    assignee: Option<Option<String>>,
}

/// A member that is there, `null` included.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// `GET /v1/alerts`: the ones raised last first.
pub(super) async fn list(
    State(app): State<AppState>,
    Extension(principal): Extension<Principal>,
    RawQuery(query): RawQuery,
) -> Result<Counted<AlertPage>, Problem> {
    let given = Given::read(query.as_deref(), &PARAMETERS)?;
    let filter = filter(&given, app.clock.now())?;
    let limit = match given.one("limit")? {
        None => DEFAULT_LIMIT,
        Some(text) => number("limit", text, MAX_LIMIT)?,
    };
    let cursor = given.one("cursor")?.map(read_cursor).transpose()?;
    let reader = reader(&principal);
    let found = app.ask(move |app| {
        // One more tells whether there is another page.
        let found = app
            .store
            .alerts(&filter, &reader, cursor.as_ref(), limit + 1);
        Ok(found?)
    });
    let mut alerts = found.await?;
    let has_more = alerts.len() > limit;
    alerts.truncate(limit);
    let next_cursor = alerts.last().filter(|_| has_more).map(Alert::cursor);
    Ok(counted(
        alerts.len(),
        AlertPage {
            alerts,
            next_cursor,
        },
    ))
}

/// `GET /v1/alerts/{id}`: one, with all its events.
pub(super) async fn one(
    State(app): State<AppState>,
    Extension(principal): Extension<Principal>,
    Named(id): Named,
    RawQuery(query): RawQuery,
) -> Result<Counted<Alert>, Problem> {
    Given::read(query.as_deref(), &[])?;
    let reader = reader(&principal);
    let found = app.ask(move |app| Ok(app.store.alert(&AlertId(id), &reader)?));
    let alert = found.await?.ok_or_else(unknown)?;
    Ok(counted(1, alert))
}

/// `PATCH /v1/alerts/{id}`: acknowledges, assigns, closes or opens it again.
pub(super) async fn update(
    State(app): State<AppState>,
    Extension(principal): Extension<Principal>,
    Named(id): Named,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(Extension<Results>, Json<Alert>), Problem> {
    Given::read(query.as_deref(), &[])?;
    if !is_json(&headers) {
        return Err(Problem::no_json());
    }
    let update = read_update(&body)?;
    let (reader, who) = (reader(&principal), principal.name().to_owned());
    let updated = app.ask(move |app| {
        let now = app.clock.now();
        let updated = app
            .store
            .update_alert(&AlertId(id), &reader, &update, &who, now);
        updated.map_err(|error| match error {
            AlertUpdateError::Unknown => unknown(),
            AlertUpdateError::Retracted => bad("state", error.to_string()),
            AlertUpdateError::Store(error) => error.into(),
        })
    });
    Ok((Extension(Results(1)), Json(updated.await?)))
}

/// The same answer for an alert that is not there and for one that the principal may not see.
fn unknown() -> Problem {
    Problem::not_found("there is no such alert")
}

/// As whom a principal reads.
pub(super) fn reader(principal: &Principal) -> AlertReader {
    let grant = principal.grant();
    AlertReader {
        sources: (!grant.sources.is_empty()).then(|| grant.sources.clone()),
        bodies: grant.bodies,
    }
}

/// Which alerts are asked for.
pub(super) fn filter(given: &Given, now: DateTime<Utc>) -> Result<AlertFilter, Problem> {
    let when = when(given, now)?;
    let moment = |name| -> Result<Option<DateTime<Utc>>, Problem> {
        let text = given.one(name)?;
        let time = text.map(|text| read_time(text, when).map_err(|message| bad(name, message)));
        time.transpose()
    };
    let filter = AlertFilter {
        rules: given.all("rule").map(ToOwned::to_owned).collect(),
        levels: given.all("level").map(level).collect::<Result<_, _>>()?,
        states: given.all("state").map(state).collect::<Result<_, _>>()?,
        since: moment("since")?,
        before: moment("before")?,
    };
    match (filter.since, filter.before) {
        (Some(since), Some(before)) if since >= before => {
            Err(bad("before", "`before` is not after `since`"))
        }
        _ => Ok(filter),
    }
}

fn level(text: &str) -> Result<Level, Problem> {
    let names = Level::ALL.map(Level::as_str).join("`, `");
    let unknown = || bad("level", format!("{} is none of `{names}`", quoted(text)));
    Level::by_name(text).ok_or_else(unknown)
}

fn state(text: &str) -> Result<AlertState, Problem> {
    let names = AlertState::ALL.map(AlertState::as_str).join("`, `");
    let unknown = || bad("state", format!("{} is none of `{names}`", quoted(text)));
    AlertState::by_name(text).ok_or_else(unknown)
}

fn read_cursor(cursor: &str) -> Result<AlertCursor, Problem> {
    let place = cursor.split_once('_');
    let place = place.and_then(|(raised, id)| {
        Some(AlertCursor {
            raised_us: raised.parse().ok()?,
            id: AlertId(id.to_owned()),
        })
    });
    place.ok_or_else(|| {
        bad(
            "cursor",
            "this is no cursor of `/v1/alerts`: take `next_cursor` as it is, or leave it out",
        )
    })
}

/// Reads the body of a request that changes an alert.
fn read_update(body: &[u8]) -> Result<AlertUpdate, Problem> {
    let wanted: AlertBody = serde_json::from_slice(body).map_err(|_| {
        bad(
            "state",
            "the body is `{\"state\": …, \"reason\": …, \"assignee\": …}` in JSON; each may be left out; `state` is `open`, `acknowledged` or `closed`",
        )
    })?;
    let assignee = wanted
        .assignee
        .map(|name| name.and_then(|name| kept(&name)));
    let reason = wanted.reason.and_then(|reason| kept(&reason));
    let texts = [
        ("reason", &reason),
        ("assignee", &assignee.clone().flatten()),
    ];
    for (name, text) in texts {
        let text = text.as_deref().unwrap_or_default();
        if text.chars().count() > MAX_TEXT_CHARS || text.contains(char::is_control) {
            let detail =
                format!("it has at most {MAX_TEXT_CHARS} characters, and no control characters");
            return Err(bad(name, detail));
        }
    }
    match wanted.state {
        Some(AlertState::Retracted) => {
            return Err(bad("state", "only entries that come late retract an alert"));
        }
        Some(AlertState::Closed) if reason.is_none() => {
            return Err(bad("reason", "write why the alert is closed"));
        }
        None if reason.is_none() && assignee.is_none() => {
            return Err(bad(
                "state",
                "write the `state`, the `assignee` or a `reason`",
            ));
        }
        _ => {}
    }
    Ok(AlertUpdate {
        state: wanted.state,
        reason,
        assignee,
    })
}

fn text(name: &'static str, about: &'static str) -> Parameter {
    described_query(name, ParameterKind::Text, about)
}

/// A text of a person as it is kept: without credentials; `None` if it is empty.
fn kept(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| Mask::default().hide(text))
}

/// A route that takes rules, levels and states.
pub(super) fn filter_parameters(route: Route) -> Route {
    route
        .with(text("rule", "The id of a rule; several are alternatives."))
        .with(text(
            "level",
            "`informational`, `low`, `medium`, `high` or `critical`; several are alternatives.",
        ))
        .with(text(
            "state",
            "`open`, `acknowledged`, `closed` or `retracted`; several are alternatives.",
        ))
}

/// The description of the routes that list.
pub(super) fn describe() -> Vec<Route> {
    let limit = ParameterKind::Number {
        least: 1,
        most: MAX_LIMIT as u64,
        default: DEFAULT_LIMIT as u64,
    };
    vec![
        filter_parameters(Route::get(
            "/v1/alerts",
            "list_alerts",
            "List alerts, the ones raised last first",
        ))
        .with(text("since", "Alerts with an event at this time or later."))
        .with(text("before", "Alerts with an event before this time."))
        .with(text("tz", "The zone of dates."))
        .with(described_query("limit", limit, "The most alerts of a page."))
        .with(text("cursor", "`next_cursor` of the page before."))
        .about("Alerts in all states unless `state` is given. An alert lists its first 100 events; `events_total` says how many it has. An alert exists only for principals that may see all its events and, if its rule reads bodies, bodies.")
        .answers::<AlertPage>("A page of alerts.")
        .example("Open alerts", "/v1/alerts", &[("state", "open")]),
        Route::get("/v1/alerts/{id}", "get_alert", "Get an alert with all its events")
            .with(path("id", alert_id(), "Its `id`."))
            .answers::<Alert>("The alert, retracted ones included.")
            .refuses(&[404])
            .example("One", "/v1/alerts/4421b8651f7697e8fea317c84c6861bc", &[]),
    ]
}

/// The description of the route that changes one.
pub(super) fn describe_update() -> Vec<Route> {
    vec![
        Route::new(
            "patch",
            "/v1/alerts/{id}",
            "update_alert",
            "Acknowledge, assign, close or open an alert again",
        )
        .about("It needs the scope `alerts`. Members that are left out stay as they are; `\"assignee\": null` takes the person off. Closing needs a `reason`. Who changed what is in the alert's `history`.")
        .with(path("id", alert_id(), "Its `id`."))
        .body::<AlertBody>()
        .answers::<Alert>("The alert after the change.")
        .refuses(&[404, 415])
        .example_with(
            "Close one",
            "/v1/alerts/4421b8651f7697e8fea317c84c6861bc",
            r#"{"state": "closed", "reason": "planned work"}"#,
        ),
    ]
}

fn alert_id() -> ParameterKind {
    ParameterKind::Name("4421b8651f7697e8fea317c84c6861bc")
}
