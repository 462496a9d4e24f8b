//! The routes of an organization's members.
//!
//! A member and the entry about the change are written under one lock, so that no reader sees the one without
//! the other.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use orgtrail_cloudflare::listing::TextFilter;
use serde::Deserialize;
use serde_json::Value;

use super::call::Call;
use super::call_log::{self, RecordedChange};
use super::directory::{MAX_MEMBERS, NewMember, SimMember};
use super::refusal::Refusal;
use super::responses;
use super::simulator::Simulator;
use super::{listing, parameters};

/// The body of `POST …/members`.
#[derive(Debug, Deserialize)]
struct One {
    member: NewMember,
}

/// The body of `POST …/members:batchCreate`.
#[derive(Debug, Deserialize)]
struct Several {
    members: Vec<NewMember>,
}

/// `GET /organizations/{organization_id}/members`
pub(super) async fn list(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let directory = simulator.directory();
    let members = &directory.find(&id)?.members;
    let parameters = parameters::parse(query.as_deref())?;
    let statuses: Vec<&str> = parameters::all(&parameters, "status").collect();
    let emails = TextFilter::of(&parameters, "user.email");
    let passing = members
        .iter()
        .filter(|(_, member)| statuses.is_empty() || statuses.contains(&member.status.as_str()))
        .filter(|(_, member)| emails.passes(&member.email))
        .map(|(number, member)| (number, member.describe()));
    let page = listing::page(&parameters, passing)?;
    listing::answer(page, &call.faults)
}

/// `GET /organizations/{organization_id}/members/{member_id}`
pub(super) async fn get(
    State(simulator): State<Simulator>,
    Path((id, member_id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let directory = simulator.directory();
    let (_, member) = directory.find(&id)?.members.find(&member_id)?;
    Ok(responses::success(member.describe()))
}

/// `POST /organizations/{organization_id}/members`
pub(super) async fn create(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut directory = simulator.directory();
    let members = &mut directory.find_mut(&id)?.members;
    let wanted: One = parameters::body(&body, "a member")?;
    let joined = members.join(vec![wanted.member], call.at)?;
    let answer = joined.first().map_or(Value::Null, SimMember::describe);
    let change = RecordedChange {
        kind: call_log::ADD_MEMBER,
        organization_id: &id,
        resource_id: joined.first().map_or("", |member| &member.id),
        request: &body,
        response: answer,
    };
    Ok(call_log::answer(&simulator, &call, change))
}

/// `POST /organizations/{organization_id}/members:batchCreate`: all of them, or none. One call, so one entry.
pub(super) async fn create_several(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut directory = simulator.directory();
    let members = &mut directory.find_mut(&id)?.members;
    let wanted: Several = parameters::body(&body, "a list of members")?;
    if wanted.members.is_empty() || wanted.members.len() > MAX_MEMBERS {
        let message = format!("members must be from 1 to {MAX_MEMBERS}");
        return Err(Refusal::invalid(message));
    }
    let joined = members.join(wanted.members, call.at)?;
    let answer = Value::Array(joined.iter().map(SimMember::describe).collect());
    let change = RecordedChange {
        kind: call_log::ADD_MEMBERS,
        organization_id: &id,
        resource_id: &id,
        request: &body,
        response: answer,
    };
    Ok(call_log::answer(&simulator, &call, change))
}

/// `DELETE /organizations/{organization_id}/members/{member_id}`
pub(super) async fn delete(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path((id, member_id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let mut directory = simulator.directory();
    let members = &mut directory.find_mut(&id)?.members;
    let (number, _) = members.find(&member_id)?;
    members.remove(number);
    let change = RecordedChange {
        kind: call_log::DELETE_MEMBER,
        organization_id: &id,
        resource_id: &member_id,
        request: call_log::NO_BODY,
        response: Value::Null,
    };
    Ok(call_log::answer(&simulator, &call, change))
}
