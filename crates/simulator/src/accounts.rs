//! The accounts of an organization. None of them change during a run.

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use orgtrail_cloudflare::account::{AccountForm, time_text};
use orgtrail_cloudflare::listing::TextFilter;
use serde_json::{Value, json};

use super::call::Call;
use super::refusal::Refusal;
use super::responses;
use super::simulator::Simulator;
use super::world::Account;
use super::{listing, parameters};

/// `GET /organizations/{organization_id}/accounts`
pub(super) async fn list(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let numbers = simulator.directory().find(&id)?.accounts.clone();
    let parameters = parameters::parse(query.as_deref())?;
    let with_tags = match parameters::last(&parameters, "include_tags") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Refusal::invalid("include_tags must be true or false")),
    };
    let mut accounts: Vec<&Account> = simulator.world().accounts[numbers].iter().collect();
    sort(&mut accounts, &parameters)?;
    let filters = ["name", "account_pubname"].map(|name| TextFilter::of(&parameters, name));
    // An account's number is its place in the whole list; a filter does not change it.
    let passing = (0..)
        .zip(accounts)
        .filter(|(_, account)| {
            let mut filters = filters.iter();
            filters.all(|filter| filter.passes(&account.name))
        })
        .map(|(number, account)| (number, describe(account, with_tags)));
    let page = listing::page(&parameters, passing)?;
    listing::answer(page, &call.faults)
}

/// `GET /accounts/{account_id}`
pub(super) async fn get(
    State(simulator): State<Simulator>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let mut accounts = simulator.world().accounts.iter();
    let account = accounts
        .find(|account| account.id == id)
        .ok_or_else(|| Refusal::not_found("there is no such account"))?;
    Ok(responses::success(describe(account, false)))
}

fn sort(accounts: &mut [&Account], parameters: &[(String, String)]) -> Result<(), Refusal> {
    match parameters::last(parameters, "order_by") {
        None => {}
        Some("account_name") => accounts.sort_by(|a, b| a.name.cmp(&b.name)),
        Some(_) => return Err(Refusal::invalid("order_by must be one of: account_name")),
    }
    match parameters::last(parameters, "direction") {
        None | Some("asc") => {}
        Some("desc") => accounts.reverse(),
        Some(_) => return Err(Refusal::invalid("direction must be one of: asc, desc")),
    }
    Ok(())
}

fn describe(account: &Account, with_tags: bool) -> Value {
    json!(AccountForm {
        created_on: Some(time_text(account.created)),
        id: &account.id,
        name: Some(&account.name),
        settings: Some(json!({
            "abuse_contact_email": "",
            "access_approval_expiry": null,
            "api_access_enabled": null,
            "default_nameservers": "cloudflare.standard",
            "enforce_twofactor": account.kind == "enterprise",
            "use_account_custom_ns_by_default": false,
        })),
        tags: with_tags.then(|| json!({ "env": account.tag })),
        kind: Some(account.kind),
    })
}
