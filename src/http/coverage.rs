//! `/v1/coverage`, and what answers about events say of their own stretch of time.

use axum::extract::RawQuery;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::counted::{Counted, counted};
use super::coverage_cursor::{MergedCursor, PageCursor, asked_at};
use super::openapi::{ParameterKind, Route, query as described_query};
use super::params::{Given, asked, flag, range, when};
use super::problem::Problem;
use super::scoped::ScopedApp;
use crate::coverage::{self, Asked, MergedStretch, NamedSource, SourceCoverage, Verdict};
use crate::position::Seq;

/// What can be asked.
const KNOWN: [&str; 6] = ["since", "before", "tz", "source", "cursor", "merged"];

/// The most parameters of one request: it may name so many sources.
const MAX_PARAMETERS: usize = 1_000;

/// A page of what is proven of every source. A source that does not fit goes on on the next page.
#[derive(Serialize, ToSchema)]
pub(super) struct Coverage {
    sources: Vec<SourceCoverage>,
    /// When no source is named: organizations that may have accounts which are not followed.
    accounts_unknown: Vec<String>,
    /// Whether what is followed could not be saved yet: sources may be missing, and `complete` still uses the `sweeps` that were
    /// saved before.
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
    let CoverageRequest {
        asked,
        cursor,
        merged,
        now,
    } = CoverageRequest::read(query.as_deref(), app.clock.now())?;
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

/// What is asked.
struct CoverageRequest {
    asked: Asked,
    cursor: Option<String>,
    /// Whether all sources together are asked about.
    merged: bool,
    /// What `now` is: that of the first page on every page, where a span before now means the same.
    now: DateTime<Utc>,
}

impl CoverageRequest {
    /// Reads the part of a URL after its `?`.
    fn read(query: Option<&str>, now: DateTime<Utc>) -> Result<Self, Problem> {
        let given = Given::read_up_to(MAX_PARAMETERS, query, &KNOWN)?;
        let cursor = given.one("cursor")?;
        let now = cursor.and_then(asked_at).unwrap_or(now);
        Ok(Self {
            asked: asked(&given, range(&given, when(&given, now)?)?)?,
            cursor: cursor.map(ToOwned::to_owned),
            merged: flag(&given, "merged")?,
            now,
        })
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
