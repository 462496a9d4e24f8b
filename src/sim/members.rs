//! The organization's members: the one thing that calls change, each change with its entry in the audit log.
//!
//! A member and the entry that tells of it are written under one lock, so that nobody sees the one without the other.

use std::collections::BTreeMap;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::chance::{Seed, hex};
use super::door::Call;
use super::entry::{Action, Actor, Entry, Named, Offset, Raw, Resource, write_time};
use super::envelope::{self, Refusal};
use super::organization::written;
use super::people::Person;
use super::timeline::Digits;
use super::{Simulator, listing, parameters};

/// The members there are in the beginning.
const FIRST_MEMBERS: usize = 14;
/// The most members there can be.
const MAX_MEMBERS: usize = 10_000;
/// The longest e-mail address, in bytes: what mail itself allows.
const MAX_EMAIL_LEN: usize = 254;
/// What is kept of a caller's name for its program, in characters.
const MAX_USER_AGENT_LEN: usize = 512;
const STATUSES: &[&str] = &["active", "canceled", "pending", "rejected"];

/// Who belongs to the organization.
#[derive(Debug)]
pub(crate) struct Members {
    /// By number, which is given once and in the order of joining.
    members: BTreeMap<u64, Member>,
    n_joined: u64,
    seed: Seed,
}

#[derive(Clone, Debug)]
struct Member {
    id: String,
    user_id: String,
    email: String,
    name: String,
    status: String,
    created: DateTime<Utc>,
}

/// The body of `POST …/members`.
#[derive(Debug, Deserialize)]
struct NewMember {
    member: NewMemberFields,
}

#[derive(Debug, Deserialize)]
struct NewMemberFields {
    user: NewMemberUser,
    status: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NewMemberUser {
    email: String,
}

/// `GET /organizations/{organization_id}/members`
pub(super) async fn list(
    State(simulator): State<Simulator>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    simulator.must_be_organization(&id)?;
    let parameters = parameters::parse(query.as_deref())?;
    let statuses: Vec<&str> = parameters
        .iter()
        .filter(|(name, _)| name == "status")
        .map(|(_, value)| value.as_str())
        .collect();
    let members = simulator.members();
    let passing = members
        .members
        .iter()
        .filter(|(_, member)| statuses.is_empty() || statuses.contains(&member.status.as_str()))
        .filter(|(_, member)| listing::text_passes(&parameters, "user.email", &member.email))
        .map(|(number, member)| (*number, member.describe()));
    let page = listing::page(&parameters, passing)?;
    Ok(envelope::success_list(
        page.items,
        page.total_size,
        page.next_page_token,
    ))
}

/// `GET /organizations/{organization_id}/members/{member_id}`
pub(super) async fn get(
    State(simulator): State<Simulator>,
    Path((id, member_id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    simulator.must_be_organization(&id)?;
    let members = simulator.members();
    let (_, member) = members.find(&member_id).ok_or_else(no_member)?;
    Ok(envelope::success(member.describe()))
}

/// `POST /organizations/{organization_id}/members`
pub(super) async fn create(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    simulator.must_be_organization(&id)?;
    let request: Value = serde_json::from_slice(&body)
        .map_err(|error| Refusal::invalid(format!("the body is not JSON: {error}")))?;
    let wanted = NewMember::deserialize(&request)
        .map_err(|error| Refusal::invalid(format!("the body is not a member: {error}")))?;
    let mut members = simulator.members();
    let member = members.join(wanted.member, call.at)?;
    let answer = member.describe();
    let change = Change {
        description: "Add Member",
        kind: "create",
        method: "POST",
        path: format!("/organizations/{id}/members"),
        member_id: member.id,
        request,
        response: answer.clone(),
    };
    record(&simulator, &call, &headers, change);
    Ok(envelope::success(answer))
}

/// `DELETE /organizations/{organization_id}/members/{member_id}`
pub(super) async fn delete(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path((id, member_id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    simulator.must_be_organization(&id)?;
    let mut members = simulator.members();
    let (number, _) = members.find(&member_id).ok_or_else(no_member)?;
    members.members.remove(&number);
    let change = Change {
        description: "Delete Member",
        kind: "delete",
        method: "DELETE",
        path: format!("/organizations/{id}/members/{member_id}"),
        member_id,
        request: json!({}),
        response: Value::Null,
    };
    record(&simulator, &call, &headers, change);
    Ok(envelope::success(Value::Null))
}

impl Members {
    /// The members in the beginning: the first of the people there are.
    pub(crate) fn new(seed: Seed, people: &[Person], created: DateTime<Utc>) -> Self {
        let members: BTreeMap<u64, Member> = (0..)
            .zip(people.iter().take(FIRST_MEMBERS))
            .map(|(number, person)| {
                let member = Member {
                    id: hex(&mut seed.child(number).rng(), 32),
                    user_id: person.id.clone(),
                    email: person.email.clone(),
                    name: person.name.clone(),
                    status: "active".to_owned(),
                    created,
                };
                (number, member)
            })
            .collect();
        Self {
            n_joined: members.len() as u64,
            members,
            seed,
        }
    }

    fn find(&self, id: &str) -> Option<(u64, &Member)> {
        let found = self.members.iter().find(|(_, member)| member.id == id);
        found.map(|(number, member)| (*number, member))
    }

    fn join(&mut self, wanted: NewMemberFields, now: DateTime<Utc>) -> Result<Member, Refusal> {
        let email = wanted.user.email;
        if !email.contains('@') || email.len() > MAX_EMAIL_LEN {
            return Err(Refusal::invalid(
                "member.user.email must be an e-mail address",
            ));
        }
        let status = wanted.status.unwrap_or_else(|| "pending".to_owned());
        if !STATUSES.contains(&status.as_str()) {
            let message = format!("member.status must be one of: {}", STATUSES.join(", "));
            return Err(Refusal::invalid(message));
        }
        let is_taken = self
            .members
            .values()
            .any(|member| member.email.eq_ignore_ascii_case(&email));
        if is_taken || self.members.len() >= MAX_MEMBERS {
            let message = if is_taken {
                "already a member"
            } else {
                "too many members"
            };
            return Err(Refusal::coded(StatusCode::CONFLICT, 1004, message));
        }
        let number = self.n_joined;
        self.n_joined += 1;
        let mut rng = self.seed.child(number).rng();
        let member = Member {
            id: hex(&mut rng, 32),
            user_id: hex(&mut rng, 32),
            email,
            name: String::new(),
            status,
            created: now,
        };
        self.members.insert(number, member.clone());
        Ok(member)
    }
}

impl Member {
    fn describe(&self) -> Value {
        json!({
            "id": self.id,
            "create_time": written(self.created),
            "meta": {},
            "status": self.status,
            "update_time": written(self.created),
            "user": {
                "id": self.user_id,
                "email": self.email,
                "name": self.name,
                "two_factor_authentication_enabled": !self.name.is_empty(),
            },
        })
    }
}

/// What a call did, as far as its entry tells.
struct Change {
    description: &'static str,
    kind: &'static str,
    method: &'static str,
    path: String,
    member_id: String,
    request: Value,
    response: Value,
}

/// Writes the entry of a change into the organization's log, where it can be read at once.
fn record(simulator: &Simulator, call: &Call, headers: &HeaderMap, change: Change) {
    let world = simulator.world();
    let owner = &world.people[0];
    let ip_address = owner.home_address();
    let user_agent: Option<String> = headers
        .get(header::USER_AGENT)
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .map(|value| value.chars().take(MAX_USER_AGENT_LEN).collect());
    let id = uuid::Builder::from_random_bytes(
        simulator
            .seed()
            .named("calls")
            .child(call.number)
            .rng()
            .u128(..)
            .to_be_bytes(),
    );
    let entry = Entry {
        id: id.into_uuid().to_string(),
        account: None,
        action: Action {
            description: change.description.to_owned(),
            result: "success",
            time: write_time(call.at, Digits::Six, Offset::Z),
            kind: change.kind,
        },
        actor: Some(Actor {
            id: Some(&owner.id),
            context: Some("api_token"),
            email: Some(&owner.email),
            ip_address: Some(&ip_address),
            token_id: Some(&call.credential),
            token_name: Some("simulated caller"),
            kind: "user",
        }),
        organization: Some(Named {
            id: &world.organization.id,
            name: None,
        }),
        raw: Some(Raw {
            cf_ray_id: Some(call.ray.clone()),
            method: Some(change.method),
            status_code: Some(StatusCode::OK.as_u16()),
            uri: Some(change.path),
            user_agent: user_agent.as_deref(),
        }),
        resource: Resource {
            id: change.member_id,
            product: "organizations",
            request: Some(change.request),
            response: Some(change.response),
            scope: json!("organizations"),
            kind: "members",
            value: None,
        },
        zone: None,
    };
    simulator.publish_at(0, &entry.text(), call.at, call.at);
}

fn no_member() -> Refusal {
    Refusal::coded(StatusCode::NOT_FOUND, 1003, "member not found")
}
