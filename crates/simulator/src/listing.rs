//! Pages of lists as the simulator answers them, with the faults of lists. What the items are is not known here.

use axum::response::Response;
use orgtrail_cloudflare::listing::{self, number_key};
use serde_json::Value;

use super::faults::RequestFaults;
use super::refusal::Refusal;
use super::responses;

/// One page of a list.
pub(crate) type ValuePage = listing::ListPage<Value>;

/// Cuts the page that `parameters` ask for out of numbered items, which come in the order of their numbers.
///
/// Items are numbered for ever.
pub(crate) fn page(
    parameters: &[(String, String)],
    items: impl Iterator<Item = (u64, Value)>,
) -> Result<ValuePage, Refusal> {
    let items = items.map(|(number, item)| (number_key(number), item));
    listing::page(parameters, items).map_err(Refusal::invalid)
}

/// A page of a list in its envelope, unless it meets with one of the faults of lists.
pub(crate) fn answer(mut page: ValuePage, faults: &RequestFaults) -> Result<Response, Refusal> {
    if faults.list_forbidden {
        return Err(Refusal::forbidden());
    }
    if faults.list_not_found {
        return Err(Refusal::no_route());
    }
    if faults.list_null {
        return Ok(responses::success(Value::Null));
    }
    if faults.list_cut || faults.list_shrunk {
        page.items.truncate(page.items.len() / 2);
        page.info.next_page_token = None;
    }
    if faults.list_shrunk {
        page.info.total_size = Some(page.items.len());
    }
    if faults.list_without_total {
        page.info.total_size = None;
    }
    Ok(responses::success_list(&page.items, page.info))
}
