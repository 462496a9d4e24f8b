//! One plain sentence about an entry: who did what to which thing.
//!
//! For people: `ann@example.com removed ben@example.com from Example Holdings, by dashboard, from 198.51.100.128`. Products
//! and actions that `words` knows have their own words; of any other, the entry's own description or type is used.
//! The sentence depends on the entry and the account's name alone: of an entry without bodies it has nothing of them.

mod facts;
mod words;

use self::facts::Facts;
use self::words::{Noun, noun, verb};
use crate::mask::Mask;

/// The longest name in a sentence, in characters. A longer one is cut.
const MAX_NAME_CHARS: usize = 80;

/// Writes the sentence about an entry's JSON text.
///
/// `account_name` is what the account is called now. A text that is no object has a sentence that says so. Credentials are hidden in it.
#[must_use]
pub fn summary(entry: &str, account_name: Option<&str>) -> String {
    if !entry.trim_start().starts_with('{') {
        return "an entry that cannot be read".to_owned();
    }
    Mask::default().hide(&sentence(entry, account_name))
}

fn sentence(entry: &str, account_name: Option<&str>) -> String {
    let facts = Facts::read(entry);
    let mut sentence = format!("{} {}", actor(&facts), act(&facts, account_name));
    if let Some(context) = facts.context.as_deref().and_then(words::context) {
        sentence.push_str(", by ");
        sentence.push_str(context);
    }
    if let Some(address) = &facts.address {
        sentence.push_str(", from ");
        sentence.push_str(&short(address));
    }
    sentence
}

/// Who acted: the e-mail address, or else what the credential is called.
fn actor(facts: &Facts<'_>) -> String {
    let token = facts
        .token_name
        .as_deref()
        .map(|name| format!("token {}", short(name)));
    let email = facts.email.as_deref().map(short);
    let id = || {
        facts
            .actor_id
            .as_deref()
            .map(|id| format!("actor {}", short(id)))
    };
    let system =
        || (facts.actor_type.as_deref() == Some("system")).then(|| "Cloudflare".to_owned());
    email
        .or(token)
        .or_else(system)
        .or_else(id)
        .unwrap_or_else(|| "an unknown actor".to_owned())
}

/// What was done to what.
fn act(facts: &Facts<'_>, account_name: Option<&str>) -> String {
    let kind = facts.action.as_deref().unwrap_or_default();
    let has_failed = facts
        .result
        .as_deref()
        .is_some_and(|result| result != "success");
    if let Some(verb) = words::sign_in(kind) {
        return verb.of(has_failed).to_owned();
    }
    let noun = noun(facts.product.as_deref(), facts.resource_type.as_deref());
    if noun == Some(Noun::Member) {
        return member(facts, kind, has_failed, account_name);
    }
    let Some(verb) = verb(kind) else {
        return described(facts, has_failed);
    };
    let thing = match noun {
        Some(Noun::Plain(noun)) => noun.to_owned(),
        _ => unlisted(facts),
    };
    let mut act = format!("{} {thing}", verb.of(has_failed));
    if let Some(name) = facts.name() {
        act.push(' ');
        act.push_str(&short(&name));
    }
    if let Some(zone) = facts
        .zone
        .as_deref()
        .filter(|zone| facts.name().as_deref() != Some(zone))
    {
        act.push_str(" in ");
        act.push_str(&short(zone));
    }
    if let Some(value) = facts.setting_value().filter(|_| kind == "update") {
        act.push_str(" to ");
        act.push_str(&short(&value));
    }
    act
}

/// What was done to a member: they have a name of their own, and belong to something.
fn member(facts: &Facts<'_>, kind: &str, has_failed: bool, account_name: Option<&str>) -> String {
    let (verb, link) = words::membership(kind);
    let who = facts
        .member_email
        .as_deref()
        .or(facts.resource_id.as_deref());
    let who = who.map_or_else(|| "a member".to_owned(), short);
    let of = facts.organization_name.as_deref();
    let of = of
        .or(account_name)
        .or(facts.account_name.as_deref())
        .map(short);
    let of = of.unwrap_or_else(|| facts.owner().to_owned());
    format!("{} {who} {link} {of}", verb.of(has_failed))
}

/// An act without a verb of ours, in the entry's own words.
fn described(facts: &Facts<'_>, has_failed: bool) -> String {
    let description = facts.description.as_deref().or(facts.action.as_deref());
    let description = description.map_or_else(|| "an unnamed action".to_owned(), short);
    let name = facts.name().map(|name| format!(" on {}", short(&name)));
    let did = if has_failed { "tried" } else { "did" };
    format!("{did} \"{description}\"{}", name.unwrap_or_default())
}

/// What a thing is called that [`words`] does not know: the description without its verb, or else its type and product.
fn unlisted(facts: &Facts<'_>) -> String {
    let described = facts.description.as_deref().and_then(|description| {
        let (first, rest) = description.trim().split_once(' ')?;
        words::is_verb(first).then(|| short(rest))
    });
    described.unwrap_or_else(|| {
        let kind = facts.resource_type.as_deref().or(facts.product.as_deref());
        kind.map_or_else(
            || "something".to_owned(),
            |kind| short(&kind.replace('_', " ")),
        )
    })
}

/// A text on one line, without control characters, and cut if it is long.
fn short(text: &str) -> String {
    let text = text.trim();
    let mut kept: String = text
        .chars()
        .take(MAX_NAME_CHARS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(MAX_NAME_CHARS).is_some() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests;
