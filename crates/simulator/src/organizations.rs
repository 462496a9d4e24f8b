//! The routes of organizations and their profiles.
//!
//! An organization and the entry about its change are written under one lock, so that no reader sees the one
//! without the other. What an organization is, and when it can go, is known to the directory.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use orgtrail_cloudflare::listing::TextFilter;
use serde_json::{Value, json};

use orgtrail_cloudflare::source::Source;

use super::call::Call;
use super::call_log::{self, RecordedChange};
use super::directory::{Directory, OrganizationInput, OrganizationProfile, OrganizationState};
use super::refusal::Refusal;
use super::responses;
use super::simulator::Simulator;
use super::{listing, parameters};

/// `GET /organizations`
pub(super) async fn list(
    State(simulator): State<Simulator>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let parameters = parameters::parse(query.as_deref())?;
    let directory = simulator.directory();
    let asked = ListRequest::parse(&simulator, &directory, &parameters);
    let names = TextFilter::of(&parameters, "name");
    let passing = directory
        .iter()
        .filter(|(number, organization)| {
            asked.keeps(&directory, *number, organization) && names.passes(&organization.name)
        })
        .map(|(number, _)| (number, directory.describe(number)));
    let page = listing::page(&parameters, passing)?;
    Ok(responses::success_list(&page.items, page.info))
}

/// `POST /organizations`
pub(super) async fn create(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let wanted: OrganizationInput = parameters::body(&body, "an organization")?;
    let mut directory = simulator.directory();
    let (number, id) = directory.create(wanted, call.at)?;
    if let Ok(source) = Source::organization(&id) {
        simulator.logs().open(source);
    }
    let change = RecordedChange {
        kind: call_log::CREATE_ORGANIZATION,
        organization_id: &id,
        resource_id: &id,
        request: &body,
        response: directory.describe(number),
    };
    Ok(call_log::answer(&simulator, &call, change))
}

/// `GET /organizations/{organization_id}`
pub(super) async fn get(
    State(simulator): State<Simulator>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let directory = simulator.directory();
    let number = directory.number(&id)?;
    Ok(responses::success(directory.describe(number)))
}

/// `PUT /organizations/{organization_id}`
pub(super) async fn modify(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut directory = simulator.directory();
    let number = directory.number(&id)?;
    directory.modify(number, parameters::body(&body, "an organization")?)?;
    let change = RecordedChange {
        kind: call_log::MODIFY_ORGANIZATION,
        organization_id: &id,
        resource_id: &id,
        request: &body,
        response: directory.describe(number),
    };
    Ok(call_log::answer(&simulator, &call, change))
}

/// `DELETE /organizations/{organization_id}`
pub(super) async fn delete(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let mut directory = simulator.directory();
    let number = directory.number(&id)?;
    directory.remove(number)?;
    let change = RecordedChange {
        kind: call_log::DELETE_ORGANIZATION,
        organization_id: &id,
        resource_id: &id,
        request: call_log::NO_BODY,
        response: json!({ "id": id }),
    };
    let answer = call_log::answer(&simulator, &call, change);
    simulator.close_log(&id, call.at);
    Ok(answer)
}

/// `GET /organizations/{organization_id}/profile`
pub(super) async fn get_profile(
    State(simulator): State<Simulator>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let directory = simulator.directory();
    match &directory.find(&id)?.profile {
        Some(profile) => Ok(responses::success(profile)),
        None => Err(Refusal::not_found("the organization has no profile")),
    }
}

/// `PUT /organizations/{organization_id}/profile`
pub(super) async fn modify_profile(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut directory = simulator.directory();
    let organization = directory.find_mut(&id)?;
    let profile: OrganizationProfile = parameters::body(&body, "a profile")?;
    profile.check()?;
    organization.profile = Some(profile);
    let change = RecordedChange {
        kind: call_log::MODIFY_PROFILE,
        organization_id: &id,
        resource_id: &id,
        request: &body,
        response: Value::Null,
    };
    Ok(call_log::answer(&simulator, &call, change))
}

/// Which organizations a list asks for, apart from their names.
struct ListRequest<'a> {
    ids: Vec<&'a str>,
    parent: Option<&'a str>,
    /// The organizations of each of these: an account, an organization, a user.
    containing: Vec<Vec<u64>>,
}

impl<'a> ListRequest<'a> {
    fn parse(
        simulator: &Simulator,
        directory: &Directory,
        parameters: &'a [(String, String)],
    ) -> Self {
        let all = |name: &'static str| parameters::all(parameters, name);
        let lines = |holds: &dyn Fn(&OrganizationState) -> bool| -> Vec<u64> {
            let holders = directory
                .iter()
                .filter(|(_, organization)| holds(organization));
            holders
                .flat_map(|(number, _)| directory.lineage(number))
                .collect()
        };
        let accounts = &simulator.world().accounts;
        let with_account = all("containing.account").map(|id| {
            lines(&|organization| {
                let mut held = accounts[organization.accounts.clone()].iter();
                held.any(|account| account.id == id)
            })
        });
        let with_user = all("containing.user").map(|id| {
            lines(&|organization| {
                let mut members = organization.members.iter();
                members.any(|(_, member)| member.user_id == id)
            })
        });
        let with_organization = all("containing.organization").map(|id| {
            let mut line = directory
                .number(id)
                .map_or_else(|_| Vec::new(), |number| directory.lineage(number));
            // An organization does not contain itself.
            line.pop();
            line
        });
        Self {
            ids: all("id").collect(),
            parent: parameters::last(parameters, "parent.id"),
            containing: with_account
                .chain(with_user)
                .chain(with_organization)
                .collect(),
        }
    }

    fn keeps(&self, directory: &Directory, number: u64, organization: &OrganizationState) -> bool {
        let parent = organization.parent();
        let is_below = match self.parent {
            None => true,
            Some("null") => parent.is_none(),
            Some(id) => directory
                .number(id)
                .is_ok_and(|above| parent == Some(above)),
        };
        is_below
            && (self.ids.is_empty() || self.ids.contains(&organization.id.as_str()))
            && self.containing.iter().all(|line| line.contains(&number))
    }
}
