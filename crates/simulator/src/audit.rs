//! The routes of the audit logs: a log's list, the history of a resource, and the categories of products.
//!
//! They join other parts: `page_request` reads the request, `log_reader` finds the entries, `responses` writes the answer.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use orgtrail_cloudflare::paging::{Cursor, HistoryStatus, LogInfo};
use orgtrail_cloudflare::product;
use orgtrail_cloudflare::request::{ACTION_TIME, required_moment};
use orgtrail_cloudflare::source::Source;

use super::call::Call;
use super::filter::Filters;
use super::log::{Key, LogRange};
use super::log_reader::{LogReader, TooRare};
use super::logs::Log;
use super::page_request::{EntryFilter, PageRequest, ReadPage};
use super::parameters;
use super::refusal::Refusal;
use super::resource::HistoryResource;
use super::responses;
use super::simulator::Simulator;

/// The largest distance between the time that a caller names and the history's own entry.
const LOOKUP: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

/// `GET /organizations/{organization_id}/logs/audit`
pub(super) async fn list_organization(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    list(&simulator, &call, Source::organization(&id), query).await
}

/// `GET /accounts/{account_id}/logs/audit`
pub(super) async fn list_account(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    list(&simulator, &call, Source::account(&id), query).await
}

/// `GET /organizations/{organization_id}/logs/audit/{id}/history`
pub(super) async fn organization_history(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path((organization_id, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let source = Source::organization(&organization_id);
    history(&simulator, &call, source, &id, query).await
}

/// `GET /accounts/{account_id}/logs/audit/{id}/history`
pub(super) async fn account_history(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path((account_id, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let source = Source::account(&account_id);
    history(&simulator, &call, source, &id, query).await
}

/// `GET /accounts/{account_id}/logs/audit/product_categories`
pub(super) async fn product_categories(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    log_of(&simulator, &call, Source::account(&id))?;
    Ok(responses::success_whole(product::categories().collect()))
}

async fn list<E>(
    simulator: &Simulator,
    call: &Call,
    source: Result<Source, E>,
    query: Option<String>,
) -> Result<Response, Refusal> {
    let log = log_of(simulator, call, source)?;
    let parameters = parameters::parse(query.as_deref())?;
    let filters = Filters::parse(log.source.kind(), &parameters).map_err(Refusal::invalid)?;
    let seed = simulator.seed().named("list");
    let request = PageRequest::parse(simulator, call, seed, &log.source, &parameters)?;
    answer(
        simulator,
        call,
        &log,
        &request,
        &EntryFilter::Filters(filters),
        None,
    )
    .await
}

async fn history<E>(
    simulator: &Simulator,
    call: &Call,
    source: Result<Source, E>,
    id: &str,
    query: Option<String>,
) -> Result<Response, Refusal> {
    let log = log_of(simulator, call, source)?;
    let parameters = parameters::parse(query.as_deref())?;
    let action_time = required_moment(&parameters, ACTION_TIME).map_err(Refusal::invalid)?;
    let seed = simulator.seed().named("history").named(id);
    let request = PageRequest::parse(simulator, call, seed, &log.source, &parameters)?;
    let near = LogRange {
        low: Key::first_at(
            action_time
                .checked_sub_signed(LOOKUP)
                .unwrap_or(action_time),
        ),
        high: Key::first_after(
            action_time
                .checked_add_signed(LOOKUP)
                .unwrap_or(action_time),
        ),
    };
    let reader = LogReader::new(simulator, call, &log);
    let own = reader
        .find(
            request.kept(near),
            &EntryFilter::Filters(Filters::of_id(id)),
        )
        .await
        .ok_or_else(|| {
            Refusal::not_found("there is no audit log entry of that id near action_time")
        })?;
    let (status, resource) = match HistoryResource::of(&own) {
        Some(resource) => (resource.status(), resource),
        None => {
            let nothing = info(simulator, 0, None, Some(HistoryStatus::Unavailable));
            return Ok(responses::audit_page::<&str>(&[], &nothing));
        }
    };
    let filter = EntryFilter::Resource(resource);
    answer(simulator, call, &log, &request, &filter, Some(status)).await
}

/// The log that a route names.
fn log_of<E>(
    simulator: &Simulator,
    call: &Call,
    source: Result<Source, E>,
) -> Result<Arc<Log>, Refusal> {
    let log = source.ok().and_then(|source| simulator.logs().get(&source));
    log.filter(|log| log.is_kept(call.at, simulator.retention()))
        .ok_or_else(Refusal::no_route)
}

async fn answer(
    simulator: &Simulator,
    call: &Call,
    log: &Log,
    request: &PageRequest,
    filter: &EntryFilter,
    status: Option<HistoryStatus>,
) -> Result<Response, Refusal> {
    if request.from.is_some() && call.faults.expired_cursor {
        return Err(Refusal::invalid("cursor has expired"));
    }
    let skip = request
        .is_skipped(&call.faults)
        .then(|| request.skip_cursor());
    if let Some(cursor) = skip {
        let info = info(simulator, 0, Some(&cursor), status);
        return Ok(responses::audit_page::<&str>(&[], &info));
    }
    let reader = LogReader::new(simulator, call, log);
    let page: ReadPage = reader
        .page(request, filter, &call.faults)
        .await
        .map_err(|TooRare { n_scanned }| {
            Refusal::invalid(format!(
                "nothing among the first {n_scanned} entries passes the filters; ask for a shorter window"
            ))
        })?;
    let next = request.next_cursor(&page, &call.faults);
    let info = info(simulator, page.entries.len(), next.as_ref(), status);
    Ok(responses::audit_page(&page.entries, &info))
}

fn info(
    simulator: &Simulator,
    count: usize,
    cursor: Option<&Cursor>,
    status: Option<HistoryStatus>,
) -> LogInfo {
    let mut info = LogInfo::new(count, cursor, simulator.config().cursor_form);
    info.history_status = status;
    info
}
