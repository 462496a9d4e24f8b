//! Calls that change what the simulator keeps no state of: zones, tokens, policies and the rest of the API. They are accepted whatever they
//! say, and leave an entry in the log that upstream would write it to.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::Method;
use axum::response::Response;
use orgtrail_cloudflare::source::Source;
use serde_json::{Map, Value};

use super::call::Call;
use super::call_log::{self, EntryPlace};
use super::catalogue;
use super::chance::hex;
use super::entry::{EntryResource, Json, Scope};
use super::refusal::Refusal;
use super::responses;
use super::simulator::Simulator;
use super::world::{Account, Zone};

/// What a change is of.
enum ChangeTarget<'a> {
    /// The organization, or something in it.
    Organization,
    Account(&'a Account),
    Zone(&'a Account, Zone),
    /// The caller's own user; its entries are in the log of the first account.
    User(&'a Account),
}

/// Any other call that changes something.
pub(super) async fn record(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let kind = match call.method {
        Method::POST => "create",
        Method::PUT | Method::PATCH => "update",
        Method::DELETE => "delete",
        _ => return Err(Refusal::no_route()),
    };
    let target = target(&simulator, &call.path).ok_or_else(Refusal::no_route)?;
    let request = request(&body)?;
    let id = match call.method {
        Method::POST => {
            let seed = simulator.seed().named("change").child(call.number);
            hex(&mut seed.rng(), 32)
        }
        _ => last_segment(&call.path).to_owned(),
    };
    let mut result = Map::from_iter([("id".to_owned(), Value::from(id.as_str()))]);
    if let (Value::Object(sent), false) = (&request, call.method == Method::DELETE) {
        result.extend(sent.clone());
        result.insert("id".to_owned(), Value::from(id.as_str()));
    }
    let result = Value::Object(result);
    publish(&simulator, &call, &target, kind, (id, &request, &result));
    Ok(responses::success(result))
}

fn request(body: &Bytes) -> Result<Value, Refusal> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let refused = |_| Refusal::invalid("the body must be JSON");
    serde_json::from_slice(body).map_err(refused)
}

fn publish(
    simulator: &Simulator,
    call: &Call,
    target: &ChangeTarget<'_>,
    kind: &'static str,
    (id, request, response): (String, &Value, &Value),
) {
    let organization = simulator.organization_id();
    let (account, zone, scope) = match target {
        ChangeTarget::Organization => (None, None, "organizations"),
        ChangeTarget::Account(account) => (Some(*account), None, "accounts"),
        ChangeTarget::Zone(account, zone) => (Some(*account), Some(zone), "zones"),
        ChangeTarget::User(account) => (Some(*account), None, "user"),
    };
    let source = match account {
        Some(account) => Source::account(&account.id),
        None => Source::organization(&organization),
    };
    let Ok(source) = source else {
        return;
    };
    let place = EntryPlace {
        source: &source,
        account: account.map(|account| (account.id.as_str(), account.name.as_str())),
        organization_id: account.is_none().then_some(organization.as_str()),
        zone: zone.map(|zone| (zone.id.as_str(), zone.name.as_str())),
    };
    let product = catalogue::product_at(&call.path);
    let (name, noun, of_kind) = product.unwrap_or((scope, "settings", "setting"));
    let verb = match kind {
        "create" => "Create",
        "update" => "Update",
        _ => "Delete",
    };
    let resource = EntryResource {
        id,
        product: name,
        request: Some(Json::from(request.to_string().into_bytes())),
        response: Some(Json::from(response.to_string().into_bytes())),
        scope: Scope::Text(scope),
        kind: of_kind,
        has_value: false,
    };
    call_log::publish(
        simulator,
        call,
        &place,
        (format!("{verb} {noun}"), kind),
        resource,
    );
}

/// What the path of a call names: an account or a zone that there is, the organization's accounts, or the caller.
fn target<'a>(simulator: &'a Simulator, path: &str) -> Option<ChangeTarget<'a>> {
    let world = simulator.world();
    let mut segments = path.trim_matches('/').split('/');
    match (segments.next()?, segments.next()) {
        ("accounts", None | Some("move")) => Some(ChangeTarget::Organization),
        ("accounts", Some(id)) => {
            let mut accounts = world.accounts.iter();
            accounts
                .find(|account| account.id == id)
                .map(ChangeTarget::Account)
        }
        ("zones", Some(id)) => world
            .find_zone(id)
            .map(|(account, zone)| ChangeTarget::Zone(account, zone)),
        ("zones", None) | ("user", Some(_)) => world.accounts.first().map(ChangeTarget::User),
        _ => None,
    }
}

fn last_segment(path: &str) -> &str {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
}
