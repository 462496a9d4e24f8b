//! What a sentence needs of an entry, read in one walk over its members.

use std::borrow::Cow;

use orgtrail_cloudflare::json;

type FactText<'a> = Option<Cow<'a, str>>;

/// The members of bodies that name a thing, the best first.
const NAMES: [&str; 6] = ["name", "hostname", "pattern", "title", "domain", "email"];

/// The members of a resource that hold bodies. The response says what became of a thing, the request only what was sent.
const BODIES: [&str; 3] = ["response", "value", "request"];

/// The texts of an entry that a sentence is made of. Empty texts count as missing.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    pub(super) action: FactText<'a>,
    pub(super) result: FactText<'a>,
    pub(super) description: FactText<'a>,
    pub(super) email: FactText<'a>,
    pub(super) token_name: FactText<'a>,
    pub(super) actor_id: FactText<'a>,
    pub(super) actor_type: FactText<'a>,
    pub(super) context: FactText<'a>,
    pub(super) address: FactText<'a>,
    pub(super) product: FactText<'a>,
    pub(super) resource_type: FactText<'a>,
    pub(super) resource_id: FactText<'a>,
    pub(super) zone: FactText<'a>,
    pub(super) account_name: FactText<'a>,
    pub(super) organization_name: FactText<'a>,
    /// The e-mail address in a member's body.
    pub(super) member_email: FactText<'a>,
    /// What the bodies call the thing.
    body_name: Option<String>,
    /// A setting's new value.
    body_value: Option<String>,
    has_organization: bool,
}

impl<'a> Facts<'a> {
    pub(super) fn read(entry: &'a str) -> Self {
        let mut facts = Self::default();
        for (part, object) in json::members(entry) {
            let mut bodies = [None; BODIES.len()];
            let mut token = None;
            for (name, value) in json::members(object) {
                if let Some(place) = facts.place(&part, &name) {
                    *place = text(value);
                } else if let Some(at) = BODIES.iter().position(|body| *body == name) {
                    bodies[at] = Some(value);
                } else if name == "token" {
                    token = Some(value);
                }
            }
            match &*part {
                "resource" => bodies
                    .into_iter()
                    .flatten()
                    .for_each(|body| facts.read_body(body)),
                "organization" => facts.has_organization = true,
                // The token has members of its own in some entries.
                "actor" if facts.token_name.is_none() => {
                    let name = token.and_then(|token| json::member(token, &["name"]));
                    facts.token_name = name.and_then(text);
                }
                _ => {}
            }
        }
        facts
    }

    /// Where the text of an entry's member belongs.
    fn place(&mut self, part: &str, name: &str) -> Option<&mut FactText<'a>> {
        Some(match (part, name) {
            ("action", "type") => &mut self.action,
            ("action", "result") => &mut self.result,
            ("action", "description") => &mut self.description,
            ("actor", "email") => &mut self.email,
            ("actor", "token_name") => &mut self.token_name,
            ("actor", "id") => &mut self.actor_id,
            ("actor", "type") => &mut self.actor_type,
            ("actor", "context") => &mut self.context,
            ("actor", "ip_address") => &mut self.address,
            ("resource", "product") => &mut self.product,
            ("resource", "type") => &mut self.resource_type,
            ("resource", "id") => &mut self.resource_id,
            ("zone", "name") => &mut self.zone,
            ("account", "name") => &mut self.account_name,
            ("organization", "name") => &mut self.organization_name,
            _ => return None,
        })
    }

    /// Looks for names in a body.
    fn read_body(&mut self, body: &'a str) {
        let mut read = NamedParts::read(body);
        // Some products answer with the envelope of their own API.
        if let Some(result) = read.result.filter(|result| result.starts_with('{')) {
            read = NamedParts::read(result);
        }
        if self.body_name.is_none() {
            self.body_name = read.name();
        }
        if self.member_email.is_none() {
            let email = read.email.or_else(|| json::member(read.user?, &["email"]));
            self.member_email = email.and_then(text);
        }
        if self.body_value.is_none() {
            self.body_value = read.value.and_then(scalar);
        }
    }

    /// What the thing is called: by a body, or else by its id if people gave it.
    pub(super) fn name(&self) -> Option<String> {
        let id = || self.resource_id.as_deref().filter(|id| !is_random(id));
        self.body_name.clone().or_else(|| Some(id()?.to_owned()))
    }

    /// What a setting was set to.
    pub(super) fn setting_value(&self) -> Option<String> {
        let is_setting = self.resource_type.as_deref() == Some("setting");
        self.body_value.clone().filter(|_| is_setting)
    }

    /// What the thing belongs to, where that has no name.
    pub(super) fn owner(&self) -> &'static str {
        if self.has_organization {
            "the organization"
        } else {
            "the account"
        }
    }
}

/// The members of a body that say what it describes, as they are written.
#[derive(Default)]
struct NamedParts<'a> {
    names: [Option<&'a str>; NAMES.len()],
    email: Option<&'a str>,
    user: Option<&'a str>,
    value: Option<&'a str>,
    content: Option<&'a str>,
    kind: Option<&'a str>,
    result: Option<&'a str>,
}

impl<'a> NamedParts<'a> {
    /// Reads them in one walk. Of duplicate members the last counts.
    fn read(body: &'a str) -> Self {
        let mut read = Self::default();
        for (name, value) in json::members(body) {
            if let Some(at) = NAMES.iter().position(|known| *known == name) {
                read.names[at] = Some(value);
            }
            let place = match &*name {
                "email" => &mut read.email,
                "user" => &mut read.user,
                "value" => &mut read.value,
                "content" => &mut read.content,
                "type" => &mut read.kind,
                "result" => &mut read.result,
                _ => continue,
            };
            *place = Some(value);
        }
        read
    }

    /// What it calls the thing that it describes. Records have a type, which belongs to their name.
    fn name(&self) -> Option<String> {
        let name = self.names.iter().find_map(|name| text((*name)?))?;
        let kind = self.kind.and_then(text).filter(|_| self.content.is_some());
        Some(match kind {
            Some(kind) => format!("{kind} {name}"),
            None => name.into_owned(),
        })
    }
}

fn text(value: &str) -> FactText<'_> {
    json::text(value).filter(|text| !text.trim().is_empty())
}

/// A text, a number, `true` or `false`, as people read it.
fn scalar(value: &str) -> Option<String> {
    let is_whole = !value.starts_with(['{', '[', '"']) && value != "null";
    text(value)
        .map(Cow::into_owned)
        .or_else(|| is_whole.then(|| value.to_owned()))
}

/// Whether an id was made by a machine: 32 hexadecimal digits, or a UUID.
fn is_random(id: &str) -> bool {
    let digits = id.bytes().filter(|byte| *byte != b'-');
    id.len() >= 32 && digits.clone().all(|byte| byte.is_ascii_hexdigit())
}
