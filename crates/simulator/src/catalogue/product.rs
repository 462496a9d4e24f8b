//! A product, and the changes of its resources.
//!
//! A row says everything that a change of such a resource has in common with the others; the one function it names
//! builds the resource's own members, as in a request. Who makes a change, and when, is not known here.

use fastrand::Rng;

use super::super::chance::{Seed, hex, pick, pick_weighted, skewed, uuid};
use super::super::json_writer::{Body, Object};
use super::super::people::Person;
use super::super::world::{WORDS, Zone};

/// What a log tells about one kind of resource.
#[derive(Debug)]
pub(crate) struct Product {
    /// `resource.product`.
    pub(crate) name: &'static str,
    /// `resource.type`.
    pub(crate) kind: &'static str,
    /// `resource.scope`.
    pub(crate) scope: &'static str,
    /// How descriptions call the resource.
    pub(super) noun: &'static str,
    /// The collection's path; `{account}`, `{zone}` and `{organization}` are replaced by ids.
    pub(super) path: &'static str,
    /// How often it changes, against the others.
    pub(crate) weight: u32,
    /// What is done to it, and how often.
    pub(super) calls: &'static [(u32, CallKind)],
    pub(super) identity: ResourceIdentity,
    /// Its own members, as in a request.
    pub(super) body: fn(&mut Subject<'_>, &mut Body),
}

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    Create,
    /// Sends the members that change.
    Patch,
    /// Sends everything.
    Put,
    /// Sends everything to the collection: what there is only one of.
    Set,
    Delete,
}

/// What identifies a resource of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResourceIdentity {
    /// 32 hexadecimal digits.
    Hex,
    /// A UUID.
    Uuid,
    /// Its name.
    Name,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// The account's or the organization's own id: what changes is the account, or the organization.
    Place,
}

pub(super) const USUAL: &[(u32, CallKind)] = &[
    (5, CallKind::Create),
    (6, CallKind::Patch),
    (2, CallKind::Delete),
];
pub(super) const REPLACED: &[(u32, CallKind)] = &[
    (5, CallKind::Create),
    (6, CallKind::Put),
    (2, CallKind::Delete),
];
pub(super) const UPLOADED: &[(u32, CallKind)] = &[(9, CallKind::Put), (1, CallKind::Delete)];
pub(super) const COME_AND_GO: &[(u32, CallKind)] = &[(3, CallKind::Create), (1, CallKind::Delete)];
pub(super) const CREATED: &[(u32, CallKind)] = &[(1, CallKind::Create)];
pub(super) const PATCHED: &[(u32, CallKind)] = &[(1, CallKind::Patch)];
pub(super) const SET: &[(u32, CallKind)] = &[(1, CallKind::Set)];

/// Resources of one product in one zone or account that take turns in changing.
pub(super) const RESOURCES: u32 = 120;

/// The resource that a change is about.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    /// Chance for what differs from change to change.
    pub(crate) rng: &'a mut Rng,
    /// Chance that this very resource has each time.
    own: Rng,
    pub(super) id: String,
    pub(super) name: String,
    pub(crate) account_id: &'a str,
    pub(crate) organization_id: &'a str,
    pub(crate) zone: Option<&'a Zone>,
    /// Somebody whom the change may concern.
    pub(crate) person: &'a Person,
    /// The time of the change, as the API writes times.
    pub(crate) now: &'a str,
}

/// Where a change happens: what [`Product::change`] must be told.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    /// Chance for this change.
    pub(crate) rng: &'a mut Rng,
    /// Chance that all changes in this log share.
    pub(crate) log_seed: Seed,
    /// The account's id, or nothing in an organization's log.
    pub(crate) account_id: &'a str,
    pub(crate) organization_id: &'a str,
    /// For products of a zone.
    pub(crate) zone: Option<&'a Zone>,
    /// Somebody whom the change may concern.
    pub(crate) person: &'a Person,
    /// The time of the change, as the API writes times.
    pub(crate) now: &'a str,
}

/// A change as the log tells it.
#[derive(Debug)]
pub(crate) struct CatalogueChange {
    pub(crate) description: String,
    /// `action.type`.
    pub(crate) kind: &'static str,
    pub(crate) method: &'static str,
    pub(crate) uri: String,
    pub(crate) resource_id: String,
    /// JSON.
    pub(crate) request: Vec<u8>,
    /// JSON.
    pub(crate) response: Vec<u8>,
}

impl Product {
    /// Some change of some resource of this product.
    pub(crate) fn change(&self, scene: Scene<'_>) -> CatalogueChange {
        let call = pick_weighted(scene.rng, self.calls.iter(), |row| row.0).1;
        let mut subject = self.subject(scene);
        let mut body = Body::new();
        (self.body)(&mut subject, &mut body);
        let uri = self.uri(call, &subject);
        let sent = match call {
            CallKind::Create | CallKind::Put | CallKind::Set => body.members(0, body.len()),
            CallKind::Patch => some_members(subject.rng, &body),
            CallKind::Delete => b"",
        };
        let request = [b"{", sent, b"}"].concat();
        let response = match call {
            CallKind::Delete => subject.answer(&Body::default()),
            _ => subject.answer(&body),
        };
        let verb = call.verb();
        CatalogueChange {
            description: [verb, " ", self.noun].concat(),
            kind: call.kind(),
            method: call.method(),
            uri,
            resource_id: subject.id,
            request,
            response,
        }
    }

    /// How descriptions call the resource.
    pub(crate) fn noun(&self) -> &'static str {
        self.noun
    }

    /// Whether a path is that of its collection, or of one resource in it.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        let mut of_path = path.split('/');
        let is_below = self.path.split('/').all(|segment| {
            let found = of_path.next();
            found.is_some_and(|found| segment.starts_with('{') || segment == found)
        });
        is_below && of_path.count() <= 1
    }

    fn subject<'a>(&self, scene: Scene<'a>) -> Subject<'a> {
        let number = skewed(scene.rng, RESOURCES);
        let place = scene.zone.map_or(scene.account_id, |zone| &zone.id);
        let seed = scene.log_seed.named(place).named(self.name);
        let mut own = seed.named(self.kind).child(number.into()).rng();
        let word = pick(&mut own, WORDS);
        let name = match number % 19 {
            3 => format!("bücher-{word}"),
            11 => format!("日本-{word}"),
            number if number % 2 == 0 => format!("{word}-{}", pick(&mut own, ROLES)),
            _ => format!("{word}-{number}"),
        };
        let id = match self.identity {
            ResourceIdentity::Hex => hex(&mut own, 32),
            ResourceIdentity::Uuid => uuid(own.u128(..)),
            ResourceIdentity::Name => name.clone(),
            ResourceIdentity::OneOf(words) => pick(&mut own, words).to_owned(),
            ResourceIdentity::Place if scene.account_id.is_empty() => {
                scene.organization_id.to_owned()
            }
            ResourceIdentity::Place => scene.account_id.to_owned(),
        };
        Subject {
            rng: scene.rng,
            own,
            id,
            name,
            account_id: scene.account_id,
            organization_id: scene.organization_id,
            zone: scene.zone,
            person: scene.person,
            now: scene.now,
        }
    }

    fn uri(&self, call: CallKind, subject: &Subject<'_>) -> String {
        let mut uri = String::with_capacity(128);
        let mut parts = self.path.split(['{', '}']);
        // Names are between braces, so every second part is a name.
        while let Some(text) = parts.next() {
            uri.push_str(text);
            uri.push_str(match parts.next() {
                Some("account") => subject.account_id,
                Some("organization") => subject.organization_id,
                Some("zone") => subject.zone.map_or("", |zone| &zone.id),
                _ => "",
            });
        }
        if matches!(call, CallKind::Patch | CallKind::Put | CallKind::Delete) {
            uri.push('/');
            uri.push_str(&subject.id);
        }
        uri
    }
}

impl CallKind {
    fn verb(self) -> &'static str {
        match self {
            Self::Create => "Create",
            Self::Patch | Self::Put | Self::Set => "Update",
            Self::Delete => "Delete",
        }
    }

    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Patch | Self::Put | Self::Set => "update",
            Self::Delete => "delete",
        }
    }

    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Create => "POST",
            Self::Patch => "PATCH",
            Self::Put | Self::Set => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

impl Subject<'_> {
    /// One of a few words that this resource has each time.
    pub(super) fn fixed(&mut self, words: &[&'static str]) -> &'static str {
        pick(&mut self.own, words)
    }

    /// One of a few words, another one each time.
    pub(super) fn varying(&mut self, words: &[&'static str]) -> &'static str {
        pick(self.rng, words)
    }

    /// A host name in the zone.
    pub(super) fn host(&self) -> String {
        let zone = self.zone.map_or("example.com", |zone| &zone.name);
        format!("{}.{zone}", self.name)
    }

    /// An address from the blocks reserved for documentation.
    pub(super) fn address(&mut self) -> String {
        format!("203.0.113.{}", self.rng.u8(1..255))
    }

    /// What people write into comment fields.
    pub(super) fn remark(&mut self) -> &'static str {
        pick(self.rng, REMARKS)
    }

    /// An id of something else.
    pub(super) fn other_id(&mut self) -> String {
        hex(&mut self.own, 32)
    }

    /// The whole resource: what was sent, and what the API adds to it. Of what is gone only the id is left.
    pub(super) fn answer(&self, body: &Body) -> Vec<u8> {
        let mut answer = Vec::with_capacity(body.text.len() + 128);
        let mut object = Object::open(&mut answer);
        object.put("id", &self.id);
        if body.len() > 0 {
            object.put_members(body);
            object.put("modified_on", self.now);
        }
        object.close();
        answer
    }
}

/// One to three of an object's members.
fn some_members<'a>(rng: &mut Rng, body: &'a Body) -> &'a [u8] {
    let count = rng.usize(1..=3);
    let skipped = rng.usize(..=body.len().saturating_sub(count));
    body.members(skipped, count)
}

const ROLES: &[&str] = &[
    "api", "www", "shop", "auth", "static", "mail", "grafana", "staging", "admin", "cdn",
];

const REMARKS: &[&str] = &[
    "",
    "managed by terraform, do not edit by hand",
    "OPS-2217: moved behind the new balancer",
    "Für die Übergangszeit, bis Köln umgestellt ist",
    "本番環境の切り替え",
    "temporary! remove after the launch 🚀",
    "временно, до понедельника",
    "مؤقت حتى نهاية الشهر",
    "see runbook \"edge/rollback\" \\ section 4",
    "asked for by the shop team\nsecond line of the note",
];
