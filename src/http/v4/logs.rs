//! `…/logs/audit`, `…/logs/audit/{id}/history`, `…/logs/audit/product_categories`.

use axum::extract::Path;
use axum::http::HeaderValue;
use axum::response::Response;
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use orgtrail_cloudflare::coverage::HEADER;
use orgtrail_cloudflare::envelope::{self, Envelope};
use orgtrail_cloudflare::filter::{self, Sense, Wanted};
use orgtrail_cloudflare::paging::{CursorForm, HistoryStatus, LogInfo};
use orgtrail_cloudflare::parameters::Parameters;
use orgtrail_cloudflare::product;
use orgtrail_cloudflare::request::{ACTION_TIME, Direction, LogQuery, required_moment};

use super::envelope::{answer, bad, json, parameters_of};
use super::known_source::known_source;
use super::left_out::OmittedStretches;
use super::proven::ProvenStretches;
use crate::engine::{Order, Range};
use crate::event::AuditEvent;
use crate::http::params::filtered;
use crate::http::problem::Problem;
use crate::http::scoped::ScopedApp;
use crate::position::{Source, SourceKind};
use crate::query::Query;
use crate::search::{self, Question};

/// How many entries are looked at for the one whose history is asked for: ids that differ in the case of letters are found
/// together.
const MAX_OF_ONE_ID: usize = 100;

/// `GET …/logs/audit`
pub(super) async fn list(
    app: ScopedApp,
    kind: SourceKind,
    id: String,
    query: Option<String>,
) -> Result<Response, Problem> {
    app.ask(move |app| {
        let source = known_source(app, kind, &id)?;
        let parameters = parameters_of(query.as_deref())?;
        let asked = LogQuery::read(&parameters).map_err(bad)?;
        let mut parts = vec![of_source(&source), Query::Latest];
        parts.extend(filters(kind, &parameters)?);
        log_page(app, &source, &asked, Query::and(parts), None)
    })
    .await
}

/// `GET …/logs/audit/{id}/history`
pub(super) async fn history(
    app: ScopedApp,
    kind: SourceKind,
    id: String,
    entry: String,
    query: Option<String>,
) -> Result<Response, Problem> {
    app.ask(move |app| {
        let source = known_source(app, kind, &id)?;
        let parameters = parameters_of(query.as_deref())?;
        let action_time = required_moment(&parameters, ACTION_TIME).map_err(bad)?;
        let asked = LogQuery::read(&parameters).map_err(bad)?;
        let own = find(app, &source, &entry, action_time)?;
        let (query, status) = match search::same_resource(&own) {
            Some(same) => (
                Query::and(vec![same, Query::Latest]),
                HistoryStatus::Approximate,
            ),
            None => (Query::Or(Vec::new()), HistoryStatus::Unavailable),
        };
        log_page(app, &source, &asked, query, Some(status))
    })
    .await
}

/// `GET /accounts/{id}/logs/audit/product_categories`
pub(super) async fn categories(
    app: ScopedApp,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let known = app.ask(move |app| known_source(app, SourceKind::Account, &id));
    known.await?;
    let categories: Vec<_> = product::categories().collect();
    answer(categories.len(), &Envelope::of_whole(categories))
}

fn of_source(source: &Source) -> Query {
    Query::equals("source", &source.to_string())
}

/// The filters of a request. An empty value is refused: it would be the value of no entry.
fn filters(kind: SourceKind, parameters: &Parameters) -> Result<Vec<Query>, Problem> {
    let wanted = filter::read(kind, parameters).map_err(bad)?;
    wanted.into_iter().map(filter_query).collect()
}

fn filter_query(wanted: Wanted) -> Result<Query, Problem> {
    let name = match wanted.sense {
        Sense::Keeps => wanted.filter.name.to_owned(),
        Sense::Drops => format!("{}.not", wanted.filter.name),
    };
    let values = wanted.values.iter();
    let values = values.map(|value| filtered(&name, wanted.filter.path, value));
    let any = Query::or(values.collect::<Result<_, _>>()?);
    Ok(match wanted.sense {
        Sense::Keeps => any,
        Sense::Drops => any.negated(),
    })
}

/// The entry of an id in the second in which it happened.
fn find(
    app: &ScopedApp,
    source: &Source,
    id: &str,
    action_time: DateTime<Utc>,
) -> Result<AuditEvent, Problem> {
    let second = action_time.trunc_subsecs(0);
    let question = Question {
        query: Query::and(vec![
            of_source(source),
            Query::equals("id", id),
            Query::Latest,
        ]),
        range: range(second, second + TimeDelta::seconds(1)),
        order: Order::Descending,
    };
    let (view, caller) = app.asking();
    let now = app.clock.now();
    let found = search::page(
        &app.store,
        &view,
        &caller,
        &question,
        now,
        None,
        MAX_OF_ONE_ID,
    )?;
    let mut events = found.events.into_iter();
    let own = events.find(|event| event.id.as_deref() == Some(id));
    own.ok_or_else(|| {
        Problem::not_found("there is no audit log entry of that id at that action_time")
    })
}

fn range(since: DateTime<Utc>, before: DateTime<Utc>) -> Range {
    Range {
        since_us: Some(since.timestamp_micros()),
        before_us: Some(before.timestamp_micros()),
    }
}

/// The page of a log that is asked for.
fn log_page(
    app: &ScopedApp,
    source: &Source,
    asked: &LogQuery<'_>,
    query: Query,
    status: Option<HistoryStatus>,
) -> Result<Response, Problem> {
    let question = Question {
        query,
        range: range(asked.since, asked.before),
        order: match asked.direction {
            Direction::Ascending => Order::Ascending,
            Direction::Descending => Order::Descending,
        },
    };
    let proven = ProvenStretches::look(app, source, (asked.since, asked.before))?;
    let (view, caller) = app.asking();
    let (left_out, own) = asked.cursor.map(OmittedStretches::read).unzip();
    let (mut left_out, mut cursor) = (left_out.unwrap_or_default(), own.map(ToOwned::to_owned));
    let (events, next, upto) = loop {
        let page = search::page(
            &app.store,
            &view,
            &caller,
            &question,
            app.clock.now(),
            cursor.as_deref(),
            asked.limit,
        )?;
        let mut events = page.events;
        // What is damaged has no entry that could be shown.
        left_out.add(source, &events);
        events.retain(|event| !event.is_damaged());
        // Clients take an empty page for the last one.
        if !events.is_empty() || page.next_cursor.is_none() {
            break (events, page.next_cursor, page.upto);
        }
        caller.budget.check_time()?;
        cursor = page.next_cursor;
    };
    let covered = proven.of_answer(app, &view, upto, &left_out)?;
    let entries: Vec<&str> = events.iter().map(|event| event.entry.get()).collect();
    let next = next.map(|own| left_out.cursor(own));
    let mut info = LogInfo::new(entries.len(), next.as_ref(), CursorForm::Both);
    info.history_status = status;
    let mut response = json(entries.len(), envelope::log_page(&entries, &info)?);
    if let Ok(value) = HeaderValue::try_from(covered.to_string()) {
        response.headers_mut().insert(HEADER, value);
    }
    Ok(response)
}
