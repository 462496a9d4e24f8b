//! `/v1/coverage`, and what answers about events say of their own stretch of time.

use axum::extract::RawQuery;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use url::form_urlencoded;
use utoipa::ToSchema;

use super::counted::{Counted, counted};
use super::coverage_cursor::{MergedCursor, PageCursor, asked_at};
use super::openapi::{ParameterKind, Route, query as described_query};
use super::params::is_true;
use super::problem::Problem;
use super::scoped::ScopedApp;
use crate::coverage::{self, Asked, MergedStretch, NamedSource, SourceCoverage, Verdict};
use crate::position::{Seq, Source};
use crate::query::{When, read_time};
use crate::search::parse_zone;
use crate::wording::{nearest, quoted};

/// What can be asked.
const KNOWN: [&str; 6] = ["since", "before", "tz", "source", "cursor", "merged"];

/// The most sources that one request names.
const MAX_SOURCES: usize = 1_000;

/// A page of what is proven of every source. A source that does not fit goes on on the next page.
#[derive(Serialize, ToSchema)]
pub(super) struct Coverage {
    sources: Vec<SourceCoverage>,
    /// When no source is named: organizations that may have accounts which are not followed.
    accounts_unknown: Vec<String>,
    /// Whether what is followed could not be saved yet: sources may be missing, and `complete` goes by the sweeps of before.
    sources_unsaved: bool,
    next_cursor: Option<String>,
}

/// What is proven of several sources together.
#[derive(Serialize, ToSchema)]
pub(super) struct MergedCoverage {
    merged: Vec<MergedStretch>,
    sources: Vec<NamedSource>,
    /// When no source is named: organizations that may have accounts which are not followed.
    accounts_unknown: Vec<String>,
    /// Whether what is followed could not be saved yet: sources may be missing, and `complete` goes by the sweeps of before.
    sources_unsaved: bool,
    next_cursor: Option<String>,
}

/// What is answered: the second, when `merged` is asked for.
#[derive(ToSchema)]
#[schema(as = CoverageAnswer)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes both forms of the answer")]
enum CoverageBody {
    Each(Coverage),
    Merged(MergedCoverage),
}

pub(super) async fn list(app: ScopedApp, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let now = app.clock.now();
    let now = first_asked_at(query.as_deref()).unwrap_or(now);
    let CoverageRequest {
        asked,
        cursor,
        merged,
    } = read(query.as_deref(), now)?;
    Ok(if merged {
        list_merged(app, asked, cursor, now).await?.into_response()
    } else {
        list_each(app, asked, cursor, now).await?.into_response()
    })
}

async fn list_merged(
    app: ScopedApp,
    asked: Asked,
    cursor: Option<String>,
    now: DateTime<Utc>,
) -> Result<Counted<MergedCoverage>, Problem> {
    let page = app.ask(move |app| {
        let log_id = app.store.log_id();
        let from = cursor.map(|cursor| MergedCursor::read(&cursor, &asked, log_id));
        let from = from.transpose()?;
        let (store, board, scope) = (&app.store, Some(&app.board), app.scope());
        let max = app.limits.stretches;
        let page = coverage::merged(store, board, scope, &asked, from, max, now)?;
        let unknown = coverage::accounts_unknown(store, scope, &asked, now)?;
        let next = page.next.map(|since| MergedCursor { since, now });
        Ok(MergedCoverage {
            merged: page.stretches,
            sources: page.sources,
            accounts_unknown: unknown.iter().map(ToString::to_string).collect(),
            sources_unsaved: app.board.has_unsaved(),
            next_cursor: next.map(|next| next.write(&asked, log_id)).transpose()?,
        })
    });
    let page = page.await?;
    Ok(counted(page.merged.len(), page))
}

async fn list_each(
    app: ScopedApp,
    asked: Asked,
    cursor: Option<String>,
    now: DateTime<Utc>,
) -> Result<Counted<Coverage>, Problem> {
    let page = app.ask(move |app| {
        let log_id = app.store.log_id();
        let cursor = cursor.map(|cursor| PageCursor::read(&cursor, &asked, log_id));
        let cursor = cursor.transpose()?;
        // `now` is the same on all pages, or a source's newest gap would be on several.
        let now = cursor.as_ref().map_or(now, |cursor| cursor.now);
        let (store, board) = (&app.store, Some(&app.board));
        let scope = app.scope();
        let start = cursor.map(|cursor| cursor.start);
        let max = app.limits.stretches;
        let page = coverage::page(store, board, scope, &asked, start.as_ref(), max, now)?;
        let unknown = coverage::accounts_unknown(store, scope, &asked, now)?;
        let next = page.next.map(|start| PageCursor { start, now });
        Ok(Coverage {
            sources: page.sources,
            accounts_unknown: unknown.iter().map(ToString::to_string).collect(),
            sources_unsaved: app.board.has_unsaved(),
            next_cursor: next.map(|next| next.write(&asked, log_id)).transpose()?,
        })
    });
    let page = page.await?;
    Ok(counted(page.sources.len(), page))
}

/// When the first page was requested: a span before now means the same on each of its pages.
fn first_asked_at(query: Option<&str>) -> Option<DateTime<Utc>> {
    let (_, cursor) = parameters(query).find(|(name, _)| name == "cursor")?;
    asked_at(&cursor)
}

/// The time zone of dates.
fn zone(query: Option<&str>) -> Result<Tz, Problem> {
    let mut zones = parameters(query).filter(|(name, _)| name == "tz");
    let zone = match zones.next() {
        None => Tz::UTC,
        Some((name, zone)) => {
            parse_zone(&zone).map_err(|message| Problem::parameter(&name, message))?
        }
    };
    match zones.next() {
        None => Ok(zone),
        Some(_) => Err(Problem::parameter("tz", "`tz` is given more than once")),
    }
}

/// What is asked.
struct CoverageRequest {
    asked: Asked,
    cursor: Option<String>,
    /// Whether all sources together are asked about.
    merged: bool,
}

/// What is asked, read as of `now`.
fn read(query: Option<&str>, now: DateTime<Utc>) -> Result<CoverageRequest, Problem> {
    let mut asked = Asked::default();
    let (mut cursor, mut merged) = (None, None);
    let when = When {
        now,
        zone: zone(query)?,
    };
    for (name, value) in parameters(query) {
        match &*name {
            "since" => set_once(&name, &mut asked.since, &value, when)?,
            "before" => set_once(&name, &mut asked.before, &value, when)?,
            "tz" => {}
            "source" if asked.sources.len() == MAX_SOURCES => {
                return Err(Problem::parameter(
                    "source",
                    format!("more than {MAX_SOURCES} sources"),
                ));
            }
            "source" => asked.sources.push(source(&value)?),
            "cursor" if cursor.is_none() => cursor = Some(value.into_owned()),
            "cursor" => {
                let detail = "`cursor` is given more than once";
                return Err(Problem::parameter("cursor", detail));
            }
            "merged" if merged.is_none() => merged = Some(is_true(&name, &value)?),
            "merged" => {
                let detail = "`merged` is given more than once";
                return Err(Problem::parameter("merged", detail));
            }
            _ => {
                let hint = match nearest(&name, KNOWN) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here are {}", KNOWN.join(", ")),
                };
                let detail = match &*name {
                    "" => "a parameter has no name: write `name=value`".to_owned(),
                    _ => format!("unknown parameter {}: {hint}", quoted(&name)),
                };
                return Err(Problem::parameter(&name, detail));
            }
        }
    }
    match (asked.since, asked.before) {
        (Some(since), Some(before)) if since >= before => Err(Problem::parameter(
            "before",
            "`before` is not after `since`",
        )),
        _ => Ok(CoverageRequest {
            asked,
            cursor,
            merged: merged.unwrap_or_default(),
        }),
    }
}

fn parameters(query: Option<&str>) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
}

fn set_once(
    name: &str,
    place: &mut Option<DateTime<Utc>>,
    text: &str,
    when: When,
) -> Result<(), Problem> {
    let moment = read_time(text, when).map_err(|message| Problem::parameter(name, message))?;
    match place.replace(moment) {
        None => Ok(()),
        Some(_) => Err(Problem::parameter(
            name,
            format!("`{name}` is given more than once"),
        )),
    }
}

fn source(name: &str) -> Result<Source, Problem> {
    name.parse().map_err(|_| {
        let wanted = "write `organizations/ID` or `accounts/ID`";
        Problem::parameter(
            "source",
            format!("{} names no source: {wanted}", quoted(name)),
        )
    })
}

/// What a question about events is about: its stretch of time, and the sources its request names. Whether the request is
/// right is for those to say who answer it.
pub(super) fn asked(query: Option<&str>, since_us: Option<i64>, before_us: Option<i64>) -> Asked {
    let moment = |micros: Option<i64>| micros.and_then(DateTime::from_timestamp_micros);
    let sources = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter(|(name, _)| name == "source")
        .filter_map(|(_, value)| value.parse().ok());
    Asked {
        since: moment(since_us),
        before: moment(before_us),
        sources: sources.take(MAX_SOURCES).collect(),
    }
}

/// What is proven before an answer is worked out, so that the answer has at least that.
pub(super) struct Proven {
    asked: Asked,
    verdict: Verdict,
    head: Seq,
}

impl Proven {
    pub(super) fn look(app: &ScopedApp, asked: Asked) -> Result<Self, Problem> {
        let now = app.clock.now();
        let verdict = coverage::verdict(&app.store, Some(&app.board), app.scope(), &asked, now)?;
        // Later than the verdict: whatever it relies on has its place before this one.
        let head = app.head()?;
        Ok(Self {
            asked,
            verdict,
            head,
        })
    }

    /// What can be said of an answer from an index that has the events up to `searchable`.
    pub(super) fn of_answer(self, searchable: Seq) -> Verdict {
        if searchable < self.head {
            self.verdict.from_an_index_behind(&self.asked)
        } else {
            self.verdict
        }
    }
}

/// The description of the route here.
pub(super) fn describe() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/coverage",
            "list_coverage",
            "List what is proven of each source's time, and what is not",
        )
        .takes(&["since", "before", "tz", "source"])
        .with(described_query(
            "cursor",
            ParameterKind::Text,
            "`next_cursor` of the page before.",
        ))
        .with(described_query(
            "merged",
            ParameterKind::Flag,
            "Whether all sources are taken together.",
        ))
        .answers::<CoverageBody>(
            "A page of sources. One that does not fit goes on on the next page.",
        )
        .example(
            "One day",
            "/v1/coverage",
            &[("since", "2026-08-02"), ("before", "2026-08-03")],
        ),
    ]
}
