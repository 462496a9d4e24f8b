//! The audit entry that a call leaves: who called, with what, and what came of it.
//!
//! Only calls that changed something leave one, in the log of the organization or account that they changed. Everyone who calls
//! acts for the first of the world's people, or for the address that they name beside a key.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::call::{Call, Caller};
use super::chance::uuid;
use super::entry::{
    Action, Actor, CallRecord, EntryResource, Json, NamedObject, Offset, Scope, WrittenEntry,
    write_time,
};
use super::people::Person;
use super::responses;
use super::simulator::Simulator;
use super::timeline::TimePrecision;
use orgtrail_cloudflare::source::Source;

/// The request of a call without a body, as entries tell it.
pub(crate) const NO_BODY: &[u8] = b"{}";

/// What calls do to an organization, as their entries name it.
#[derive(Debug)]
pub(crate) struct ChangeKind {
    description: &'static str,
    /// `action.type`.
    kind: &'static str,
    /// `resource.type`.
    resource_kind: &'static str,
}

pub(crate) const CREATE_ORGANIZATION: ChangeKind = ChangeKind {
    description: "Create organization",
    kind: "create",
    resource_kind: "organization",
};
pub(crate) const MODIFY_ORGANIZATION: ChangeKind = ChangeKind {
    description: "Modify organization",
    kind: "update",
    resource_kind: "organization",
};
pub(crate) const DELETE_ORGANIZATION: ChangeKind = ChangeKind {
    description: "Delete organization",
    kind: "delete",
    resource_kind: "organization",
};
pub(crate) const MODIFY_PROFILE: ChangeKind = ChangeKind {
    description: "Modify organization profile",
    kind: "update",
    resource_kind: "profile",
};
pub(crate) const ADD_MEMBER: ChangeKind = ChangeKind {
    description: "Add Member",
    kind: "create",
    resource_kind: "members",
};
pub(crate) const ADD_MEMBERS: ChangeKind = ChangeKind {
    description: "Add Members",
    kind: "create",
    resource_kind: "members",
};
pub(crate) const DELETE_MEMBER: ChangeKind = ChangeKind {
    description: "Delete Member",
    kind: "delete",
    resource_kind: "members",
};

/// What a call did, as far as its entry tells.
#[derive(Debug)]
pub(crate) struct RecordedChange<'a> {
    pub(crate) kind: ChangeKind,
    pub(crate) organization_id: &'a str,
    pub(crate) resource_id: &'a str,
    /// JSON as it was sent.
    pub(crate) request: &'a [u8],
    pub(crate) response: Value,
}

/// Answers a call that changed something, once the entry of the change can be read in the organization's log.
pub(crate) fn answer(simulator: &Simulator, call: &Call, change: RecordedChange<'_>) -> Response {
    write(simulator, call, &change);
    responses::success(change.response)
}

fn write(simulator: &Simulator, call: &Call, change: &RecordedChange<'_>) {
    let Ok(source) = Source::organization(change.organization_id) else {
        return;
    };
    let place = EntryPlace {
        source: &source,
        account: None,
        organization_id: Some(change.organization_id),
        zone: None,
    };
    let resource = EntryResource {
        id: change.resource_id.to_owned(),
        product: "organizations",
        request: Some(compact(change.request)),
        response: Some(Json::from(change.response.to_string().into_bytes())),
        scope: Scope::Text("organizations"),
        kind: change.kind.resource_kind,
        has_value: false,
    };
    let description = change.kind.description.to_owned();
    publish(
        simulator,
        call,
        &place,
        (description, change.kind.kind),
        resource,
    );
}

/// The log that an entry goes to, and what it says of its place.
#[derive(Debug)]
pub(crate) struct EntryPlace<'a> {
    pub(crate) source: &'a Source,
    /// Id and name.
    pub(crate) account: Option<(&'a str, &'a str)>,
    pub(crate) organization_id: Option<&'a str>,
    /// Id and name.
    pub(crate) zone: Option<(&'a str, &'a str)>,
}

/// Puts the entry of a call into a log. `what` is the action's description and type.
pub(crate) fn publish(
    simulator: &Simulator,
    call: &Call,
    place: &EntryPlace<'_>,
    what: (String, &'static str),
    resource: EntryResource,
) {
    let owner = &simulator.world().people[0];
    let ip_address = owner.home_address();
    let seed = simulator.seed().named("calls").child(call.number);
    let named = |(id, name)| NamedObject {
        id,
        name: Some(name),
    };
    let entry = WrittenEntry {
        id: uuid(seed.rng().u128(..)),
        account: place.account.map(named),
        action: Action {
            description: what.0,
            result: "success",
            time: write_time(call.at, TimePrecision::Six, Offset::Z),
            kind: what.1,
        },
        actor: Some(actor_of(call, owner, &ip_address)),
        organization: place
            .organization_id
            .map(|id| NamedObject { id, name: None }),
        raw: Some(CallRecord {
            cf_ray_id: Some(call.ray.clone()),
            method: Some(call.method.as_str()),
            status_code: Some(StatusCode::OK.as_u16()),
            uri: Some(call.path.clone()),
            user_agent: call.user_agent.as_deref(),
        }),
        resource,
        zone: place.zone.map(named),
    };
    let lag = simulator
        .config()
        .lag
        .of_part(seed.named("lag").rng().f64());
    simulator.publish(place.source, &entry.text(), call.at, call.at + lag);
}

fn actor_of<'a>(call: &'a Call, owner: &'a Person, ip_address: &'a str) -> Actor<'a> {
    let user = Actor {
        id: Some(&owner.id),
        ip_address: Some(ip_address),
        kind: "user",
        ..Actor::default()
    };
    match &call.caller {
        Caller::Token => Actor {
            context: Some("api_token"),
            email: Some(&owner.email),
            token_id: Some(&call.credential),
            token_name: Some("simulated caller"),
            ..user
        },
        Caller::Key { email } => Actor {
            context: Some("api_key"),
            email: Some(email),
            token_id: Some(""),
            token_name: Some(""),
            ..user
        },
    }
}

/// A body without white space between its tokens, since an entry is one line.
pub(crate) fn compact(body: &[u8]) -> Json {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => value.to_string().into_bytes().into(),
        // What a number has beyond what can be counted with is no reason to lose the rest.
        Err(_) => Value::from(String::from_utf8_lossy(body))
            .to_string()
            .into_bytes()
            .into(),
    }
}
