//! The entry of a number: who did what in it, drawn from the number's own seed.
//!
//! Most entries tell of a change someone made with a browser, a script or a tool; some of a sign-in; some of what
//! the platform did by itself. About one in thirty is odd in one of the ways that upstream's schema allows. When an
//! entry happened, and whether it can be seen, is decided before it gets here.

use chrono::{DateTime, Utc};
use fastrand::Rng;

use super::catalogue::{self, CatalogueChange, ORGANIZATION_PRODUCTS, Product, Scene};
use super::chance::{Seed, hex, pick, pick_weighted, uuid};
use super::entry::{
    Action, Actor, CallRecord, EntryResource, Json, NamedObject, Offset, Scope, WrittenEntry,
    write_time,
};
use super::json_writer;
use super::people::{Means, Person};
use super::timeline::TimePrecision;
use super::world::{LogOwner, World, Zone};

/// What an entry is drawn from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft {
    /// The entry's own chance.
    pub(crate) seed: Seed,
    /// Chance that all entries of the log share.
    pub(crate) log_seed: Seed,
    /// The chance of the tool's run that it belongs to, if it does.
    pub(crate) run: Option<Seed>,
    /// Whose log.
    pub(crate) place: LogOwner,
    pub(crate) time: DateTime<Utc>,
    pub(crate) digits: TimePrecision,
}

/// The sorts of entries, and how often each is drawn outside a tool's run.
const SORTS: &[(u32, Sort)] = &[
    (880, Sort::CatalogueChange),
    (70, Sort::SignIn),
    (22, Sort::System),
    (12, Sort::Service),
    (10, Sort::OwnToken),
    (4, Sort::Staff),
    (2, Sort::Silent),
];

#[derive(Clone, Copy, Debug)]
enum Sort {
    /// A person's change.
    CatalogueChange,
    /// A person signs in, or fails to.
    SignIn,
    /// The platform renews or expires something.
    System,
    /// A service acts for someone it does not name.
    Service,
    /// A token that belongs to the account and to no person.
    OwnToken,
    /// Upstream's own staff.
    Staff,
    /// A change that says nothing of who made it.
    Silent,
}

const NOTHING: &[u8] = b"{}";
const RENEWED: &[u8] = br#"{"status":"active"}"#;
const INTERNAL_ERROR: &[u8] =
    br#"{"success":false,"errors":[{"code":1001,"message":"internal error"}],"result":null}"#;

/// Writes the entry of `draft`.
pub(crate) fn compose(world: &World, draft: Draft) -> String {
    let mut rng = draft.seed.rng();
    let sort = match draft.run {
        Some(_) => Sort::CatalogueChange,
        None => pick_weighted(&mut rng, SORTS.iter(), |row| row.0).1,
    };
    match sort {
        Sort::SignIn => sign_in(world, draft, &mut rng),
        Sort::System => renewal(world, draft, &mut rng),
        _ => change(world, draft, sort, &mut rng),
    }
}

fn change(world: &World, draft: Draft, sort: Sort, rng: &mut Rng) -> String {
    // All calls of a run are one person's, made with one tool; what they change differs.
    let mut caller_rng = draft
        .run
        .map_or_else(|| rng.fork(), |run| run.child(1).rng());
    let person = world.draw_person(&mut caller_rng, draft.place);
    let means = match draft.run {
        Some(_) => person.draw_tool(&mut caller_rng),
        None => person.draw_means(&mut caller_rng),
    };
    let product = draw_product(draft, &mut caller_rng, rng);
    let zone = draw_zone(world, draft, product, rng);
    let now = write_time(draft.time, draft.digits, Offset::Z);
    let change = product.change(Scene {
        log_seed: draft.log_seed,
        account_id: world.account(draft.place).map_or("", |account| &account.id),
        organization_id: &world.organization_of(draft.place).id,
        zone: zone.as_ref(),
        person: world.draw_person(rng, draft.place),
        now: &now,
        rng,
    });
    let account_id = world
        .account(draft.place)
        .map(|account| account.id.as_str());
    let actor = actor_of(sort, person, &means, account_id);
    let mut entry = tell(draft, change, product, &means, rng);
    entry.actor = actor;
    locate(world, draft, &mut entry, zone.as_ref());
    make_odd(&mut entry, rng);
    entry.text()
}

fn draw_product(draft: Draft, caller_rng: &mut Rng, rng: &mut Rng) -> &'static Product {
    // A run mostly changes one sort of thing, as a tool does that applies a plan.
    let strays = rng.u8(..10) == 0;
    let rng = if draft.run.is_some() && !strays {
        caller_rng
    } else {
        rng
    };
    match draft.place {
        LogOwner::Organization(_) => {
            pick_weighted(rng, ORGANIZATION_PRODUCTS.iter(), |product| product.weight)
        }
        LogOwner::Account(_) => {
            pick_weighted(rng, catalogue::account_products(), |product| product.weight)
        }
    }
}

fn draw_zone(world: &World, draft: Draft, product: &Product, rng: &mut Rng) -> Option<Zone> {
    let account = world.account(draft.place)?;
    // A run works on one zone, but resources are only found again when their zone is.
    let mut rng = draft
        .run
        .map_or_else(|| rng.fork(), |run| run.child(2).rng());
    (product.scope == "zones").then(|| world.draw_zone(&mut rng, account))
}

fn actor_of<'a>(
    sort: Sort,
    person: &'a Person,
    means: &'a Means,
    account_id: Option<&'a str>,
) -> Option<Actor<'a>> {
    let (token_id, token_name) = means
        .token
        .as_ref()
        .map_or(("", ""), |(id, name)| (id, *name));
    let user = Actor {
        id: Some(&person.id),
        context: Some(means.context),
        email: Some(&person.email),
        ip_address: Some(&means.ip_address),
        token_id: Some(token_id),
        token_name: Some(token_name),
        kind: "user",
    };
    match (sort, account_id) {
        (Sort::Silent, _) => None,
        (Sort::Staff, _) => Some(Actor {
            kind: "cloudflare_admin",
            ..Actor::default()
        }),
        (Sort::Service, Some(_)) => Some(Actor {
            id: Some(&person.id),
            kind: "delegated_service",
            ..Actor::default()
        }),
        (Sort::OwnToken, Some(account_id)) if means.token.is_some() => Some(Actor {
            id: Some(account_id),
            email: Some(""),
            kind: "account",
            ..user
        }),
        _ => Some(user),
    }
}

/// A change as an entry, still without its actor and place.
fn tell<'a>(
    draft: Draft,
    change: CatalogueChange,
    product: &Product,
    means: &'a Means,
    rng: &mut Rng,
) -> WrittenEntry<'a> {
    let fails = rng.u16(..1_000) < 15;
    let status_code = match (fails, change.kind) {
        (true, _) => pick(rng, &[500, 502, 503, 409]),
        (false, "create") => pick(rng, &[200, 200, 200, 201]),
        (false, _) => 200,
    };
    let response = match fails {
        true => Json::from(INTERNAL_ERROR),
        false => change.response.into(),
    };
    WrittenEntry {
        id: draw_id(rng),
        account: None,
        action: Action {
            description: change.description,
            result: if fails { "failure" } else { "success" },
            time: write_time(draft.time, draft.digits, draw_offset(rng)),
            kind: change.kind,
        },
        actor: None,
        organization: None,
        raw: Some(CallRecord {
            cf_ray_id: Some(hex(rng, 16)),
            method: Some(change.method),
            status_code: Some(status_code),
            uri: Some(change.uri),
            user_agent: Some(means.user_agent),
        }),
        resource: EntryResource {
            id: change.resource_id,
            product: product.name,
            request: Some(change.request.into()),
            response: Some(response),
            scope: Scope::Text(product.scope),
            kind: product.kind,
            has_value: false,
        },
        zone: None,
    }
}

fn sign_in(world: &World, draft: Draft, rng: &mut Rng) -> String {
    let person = world.draw_person(rng, draft.place);
    let means = person.draw_means(rng);
    let fails = rng.u8(..100) < 9;
    let mut entry = WrittenEntry {
        id: draw_id(rng),
        account: None,
        action: Action {
            description: pick(rng, &["LOGIN", "LOGIN", "SSO_LOGIN"]).to_owned(),
            result: if fails { "failure" } else { "success" },
            time: write_time(draft.time, draft.digits, draw_offset(rng)),
            kind: "login",
        },
        actor: Some(Actor {
            id: Some(&person.id),
            context: Some("api"),
            email: Some(&person.email),
            ip_address: Some(&means.ip_address),
            token_id: Some(""),
            token_name: Some(""),
            kind: "user",
        }),
        organization: None,
        raw: Some(CallRecord::default()),
        resource: EntryResource {
            id: person.id.clone(),
            product: "login",
            request: (!fails).then(|| NOTHING.into()),
            response: (!fails).then(|| NOTHING.into()),
            scope: Scope::Text("user"),
            kind: "session",
            has_value: false,
        },
        zone: None,
    };
    locate(world, draft, &mut entry, None);
    entry.text()
}

/// What the platform does by itself: a certificate in an account, a membership in the organization.
fn renewal(world: &World, draft: Draft, rng: &mut Rng) -> String {
    let account = world.account(draft.place);
    let zone = account.map(|account| world.draw_zone(rng, account));
    let (description, kind, product, resource_kind) = match zone {
        Some(_) => (
            "Certificate pack renewed",
            "update",
            "ssl",
            "certificate_pack",
        ),
        None => ("Membership expired", "delete", "organizations", "members"),
    };
    let mut entry = WrittenEntry {
        id: draw_id(rng),
        account: None,
        action: Action {
            description: description.to_owned(),
            result: "success",
            time: write_time(draft.time, draft.digits, draw_offset(rng)),
            kind,
        },
        actor: Some(Actor {
            kind: "system",
            ..Actor::default()
        }),
        organization: None,
        raw: zone.is_some().then(CallRecord::default),
        resource: EntryResource {
            id: uuid(rng.u128(..)),
            product,
            request: zone.is_some().then(|| NOTHING.into()),
            response: zone.is_some().then(|| RENEWED.into()),
            scope: Scope::Text(match zone {
                Some(_) => "zones",
                None => "organizations",
            }),
            kind: resource_kind,
            has_value: false,
        },
        zone: None,
    };
    locate(world, draft, &mut entry, zone.as_ref());
    entry.text()
}

/// Writes whose log the entry belongs to.
fn locate<'a>(
    world: &'a World,
    draft: Draft,
    entry: &mut WrittenEntry<'a>,
    zone: Option<&'a Zone>,
) {
    match world.account(draft.place) {
        Some(account) => {
            entry.account = Some(NamedObject {
                id: &account.id,
                name: Some(&account.name),
            });
        }
        None => {
            entry.organization = Some(NamedObject {
                id: &world.organization_of(draft.place).id,
                name: None,
            });
        }
    }
    entry.zone = zone.map(|zone| NamedObject {
        id: &zone.id,
        name: Some(&zone.name),
    });
}

/// Leaves out or turns around what upstream's schema lets be left out or turned around.
fn make_odd(entry: &mut WrittenEntry<'_>, rng: &mut Rng) {
    let resource = &mut entry.resource;
    match rng.u16(..400) {
        0 | 1 => resource.request = Some(Json::from(b"null".as_slice())),
        2 | 3 => resource.response = Some(Json::from(b"\"\"".as_slice())),
        4 => (resource.request, resource.response) = (None, None),
        5 => {
            if let Scope::Text(name) = resource.scope {
                resource.scope = Scope::Object(name);
            }
        }
        6 => resource.scope = Scope::Empty,
        7 => resource.has_value = true,
        8 => resource.request = resource.request.take().map(|body| as_text(&body)),
        9 => entry.raw = None,
        10 => entry.action.result = "",
        11 => {
            if let Some(actor) = &mut entry.actor {
                (actor.email, actor.ip_address) = (None, None);
            }
        }
        12 => entry.organization = None,
        _ => {}
    }
}

/// JSON as a text that holds it.
fn as_text(json: &[u8]) -> Json {
    let mut out = Vec::with_capacity(json.len() + 64);
    json_writer::value(&mut out, String::from_utf8_lossy(json));
    out.into()
}

fn draw_id(rng: &mut Rng) -> String {
    if rng.u8(..16) == 0 {
        return hex(rng, 32);
    }
    uuid(rng.u128(..))
}

fn draw_offset(rng: &mut Rng) -> Offset {
    match rng.u8(..100) {
        0..4 => Offset::Zero,
        4 => Offset::Two,
        _ => Offset::Z,
    }
}
