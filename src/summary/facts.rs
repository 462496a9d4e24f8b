//! What a sentence needs of an entry, read in one walk over its members.

use std::borrow::Cow;

use orgtrail_cloudflare::json;

type FactText<'a> = Option<Cow<'a, str>>;

/// The members of bodies that name a thing, the best first.
const NAMES: &[&str] = &["name", "hostname", "pattern", "title", "domain", "email"];

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
            for (name, value) in json::members(object) {
                let Some(place) = facts.place(&part, &name) else {
                    continue;
                };
                *place = text(value);
            }
            match &*part {
                "resource" => facts.read_bodies(object),
                "organization" => facts.has_organization = true,
                // The token has members of its own in some entries.
                "actor" if facts.token_name.is_none() => {
                    let token = json::member(object, &["token", "name"]);
                    facts.token_name = token.and_then(text);
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

    /// Looks for names in the bodies. The response says what became of a thing, the request only what was sent.
    fn read_bodies(&mut self, resource: &'a str) {
        for body in ["response", "value", "request"] {
            let Some(body) = json::member(resource, &[body]) else {
                continue;
            };
            // Some products answer with the envelope of their own API.
            let body = json::member(body, &["result"])
                .filter(|result| result.starts_with('{'))
                .unwrap_or(body);
            if self.body_name.is_none() {
                self.body_name = name_in(body);
            }
            if self.member_email.is_none() {
                self.member_email = json::member(body, &["email"])
                    .or_else(|| json::member(body, &["user", "email"]))
                    .and_then(text);
            }
            if self.body_value.is_none() {
                self.body_value = json::member(body, &["value"]).and_then(scalar);
            }
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

/// What a body calls the thing that it describes. Records have a type, which belongs to their name.
fn name_in(body: &str) -> Option<String> {
    let name = NAMES
        .iter()
        .find_map(|name| json::member(body, &[name]).and_then(text))?;
    let is_record = json::member(body, &["content"]).is_some();
    let kind = json::member(body, &["type"])
        .and_then(text)
        .filter(|_| is_record);
    Some(match kind {
        Some(kind) => format!("{kind} {name}"),
        None => name.into_owned(),
    })
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
