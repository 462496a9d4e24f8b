//! `/v1/coverage`, and what answers about events say of their own stretch of time.

use std::borrow::Cow;

use axum::Json;
use axum::extract::{RawQuery, State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use url::form_urlencoded;

use super::AppState;
use super::problem::Problem;
use crate::coverage::{self, Asked, SourceCoverage, Verdict};
use crate::position::{Seq, Source};
use crate::query::{When, read_time};
use crate::search::parse_zone;
use crate::wording::{nearest, quoted};

/// What can be asked.
const KNOWN: [&str; 4] = ["since", "before", "tz", "source"];

/// The most sources that one request names.
const MAX_SOURCES: usize = 1_000;

/// The most intervals and gaps in one answer.
const MAX_STRETCHES: usize = 50_000;

/// What is proven of every source.
#[derive(Serialize)]
pub(super) struct Coverage {
    sources: Vec<SourceCoverage>,
}

pub(super) async fn list(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Json<Coverage>, Problem> {
    let now = app.clock.now();
    let asked = read(query.as_deref(), now)?;
    let sources = app
        .ask(move |app| {
            Ok(coverage::sources(
                &app.store,
                Some(&app.board),
                &asked,
                now,
            )?)
        })
        .await?;
    let stretches: usize = sources
        .iter()
        .map(|source| source.intervals.len() + source.gaps.len())
        .sum();
    if stretches > MAX_STRETCHES {
        let detail = format!(
            "the answer has more than {MAX_STRETCHES} intervals and gaps: ask for fewer sources with `source`, or a shorter stretch"
        );
        return Err(Problem::parameter("source", detail));
    }
    Ok(Json(Coverage { sources }))
}

fn read(query: Option<&str>, now: DateTime<Utc>) -> Result<Asked, Problem> {
    let mut asked = Asked::default();
    let mut when = When::from(now);
    let is_zone = |(name, _): &(Cow<'_, str>, Cow<'_, str>)| name == "tz";
    for (at, (name, zone)) in parameters(query).filter(is_zone).enumerate() {
        if at > 0 {
            return Err(Problem::parameter(&name, "`tz` is given more than once"));
        }
        when.zone = parse_zone(&zone).map_err(|message| Problem::parameter(&name, message))?;
    }
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
            _ => {
                let hint = match nearest(&name, KNOWN) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here are {}", KNOWN.join(", ")),
                };
                let detail = format!("unknown parameter {}: {hint}", quoted(&name));
                return Err(Problem::parameter(&name, detail));
            }
        }
    }
    match (asked.since, asked.before) {
        (Some(since), Some(before)) if since >= before => Err(Problem::parameter(
            "before",
            "`before` is not after `since`",
        )),
        _ => Ok(asked),
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
    pub(super) fn look(app: &AppState, asked: Asked) -> Result<Self, Problem> {
        let now = app.clock.now();
        let verdict = coverage::verdict(&app.store, Some(&app.board), &asked, now)?;
        // Later than the verdict: whatever it relies on has its place before this one.
        let head = app.store.head();
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
