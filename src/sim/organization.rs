//! The organization, its profile, and the accounts in it. None of these change during a run.

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::envelope::{self, Refusal};
use super::world::Account;
use super::{Simulator, listing, parameters};

/// `GET /organizations/{organization_id}`
pub(super) async fn get(
    State(simulator): State<Simulator>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    simulator.must_be_organization(&id)?;
    let organization = &simulator.world().organization;
    Ok(envelope::success(json!({
        "id": organization.id,
        "create_time": written(organization.created),
        "meta": {
            "hierarchy_tags": [organization.id],
            "managed_by": "customer",
            "tenant_flags": {
                "account_creation": "enabled",
                "account_deletion": "disabled",
                "account_migration": "disabled",
                "account_mobility": "enabled",
                "enterprise_capability": "enabled",
                "member_management": "enabled",
                "sub_org_creation": "disabled",
            },
        },
        "name": organization.name,
        "profile": profile(organization.name),
    })))
}

/// `GET /organizations/{organization_id}/profile`
pub(super) async fn get_profile(
    State(simulator): State<Simulator>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    simulator.must_be_organization(&id)?;
    Ok(envelope::success(profile(
        simulator.world().organization.name,
    )))
}

/// `GET /organizations/{organization_id}/accounts`
pub(super) async fn list_accounts(
    State(simulator): State<Simulator>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    simulator.must_be_organization(&id)?;
    let parameters = parameters::parse(query.as_deref())?;
    let accounts = (0..)
        .zip(&simulator.world().accounts)
        .filter(|(_, account)| {
            listing::text_passes(&parameters, "name", &account.name)
                && listing::text_passes(&parameters, "account_pubname", &account.name)
        })
        .map(|(number, account)| (number, describe(account)));
    let page = listing::page(&parameters, accounts)?;
    Ok(envelope::success_list(
        page.items,
        page.total_size,
        page.next_page_token,
    ))
}

fn describe(account: &Account) -> Value {
    json!({
        "id": account.id,
        "created_on": written(account.created),
        "name": account.name,
        "settings": {
            "abuse_contact_email": "",
            "access_approval_expiry": null,
            "api_access_enabled": null,
            "default_nameservers": "cloudflare.standard",
            "enforce_twofactor": account.kind == "enterprise",
            "use_account_custom_ns_by_default": false,
        },
        "type": account.kind,
    })
}

fn profile(name: &str) -> Value {
    json!({
        "business_address": "",
        "business_email": "ops@example.org",
        "business_name": name,
        "business_phone": "",
        "external_metadata": "",
    })
}

/// A time as these endpoints write it, with microseconds.
pub(super) fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
