//! `[http.access]` and `[[http.access.grants]]`: Cloudflare Access in front.

use url::Url;

use super::error::{Place, Read};
use super::header::Header;
use super::local;
use super::reader::{Reader, Table, TableEntry};
use super::value::Value;
use crate::access::{AccessGrant, Auth, CloudflareAccess, Grant, Permission, Permissions};
use crate::position::Source;
use crate::wording::quoted;

/// The most names in one list of a grant.
const MAX_NAMES: usize = 1_000;

/// The most sources in one grant.
const MAX_SOURCES: usize = 10_000;

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 320;

/// The most `*` in one pattern.
const MAX_STARS: usize = 4;

/// Where the keys of a team are.
const KEYS_PATH: &str = "cdn-cgi/access/certs";

/// Reads both. The outer `None` is a mistake; the inner one: there is no Access in front.
pub(super) fn read<'t>(
    reader: &mut Reader<'t>,
    entry: Option<TableEntry<'t>>,
    auth: Option<Auth>,
) -> Option<Option<CloudflareAccess>> {
    let is_there = entry.is_some();
    let (settings, grants) = reader.read(Header::Table("http.access"), entry, |table| {
        (read_settings(table, is_there, auth), table.tables("grants"))
    });
    let grants: Vec<_> = grants?
        .into_iter()
        .map(|entry| reader.read(Header::Each("http.access.grants"), Some(entry), read_grant))
        .collect();
    let grants: Option<Vec<_>> = grants.into_iter().collect();
    let settings = settings?;
    let grants = grants?;
    Some(settings.map(|settings| CloudflareAccess { grants, ..settings }))
}

fn read_settings(
    table: &mut Table<'_, '_>,
    is_there: bool,
    auth: Option<Auth>,
) -> Option<Option<CloudflareAccess>> {
    let team_domain = table.find("team_domain", domain);
    let audience = table.find("audience", audience);
    let keys_url = table.take("keys_url", None, keys_url);
    let places = [&team_domain.place, &audience.place, &keys_url.place];
    let first: Option<&Place> = places.into_iter().flatten().next();
    if !is_there && first.is_none() {
        return Some(None);
    }
    if auth == Some(Auth::None) {
        table.object(
            first.cloned(),
            "`auth` is `none`, and Cloudflare Access lets others in: write `auth = \"tokens\"`",
        );
    }
    for (key, place) in [
        ("team_domain", &team_domain.place),
        ("audience", &audience.place),
    ] {
        if place.is_none() {
            table.object(
                None,
                format!("`{key}` is missing in `[http.access]`: add it"),
            );
        }
    }
    let team_domain = team_domain.value?;
    let usual = Url::parse(&format!("https://{team_domain}/{KEYS_PATH}")).ok()?;
    Some(Some(CloudflareAccess {
        keys_url: keys_url.value?.unwrap_or(usual),
        team_domain,
        audience: audience.value?,
        grants: Vec::new(),
    }))
}

fn read_grant(table: &mut Table<'_, '_>) -> Option<AccessGrant> {
    let emails = table.take("emails", Vec::new(), names("email addresses", email));
    let groups = table.take("groups", Vec::new(), names("groups", group));
    let common_names = table.take("common_names", Vec::new(), names("client ids", common_name));
    let scopes = table.require("scopes", scopes);
    let sources = table.take("sources", Vec::new(), sources);
    let bodies = table.take("bodies", true, |value| value.truth());

    let lists = [&emails, &groups, &common_names];
    if lists
        .iter()
        .all(|list| list.value.as_ref().is_some_and(Vec::is_empty))
    {
        table.object(
            None,
            "this grant is for nobody: write `emails`, `groups` or `common_names`",
        );
        return None;
    }
    Some(AccessGrant {
        emails: emails.value?,
        groups: groups.value?,
        common_names: common_names.value?,
        grant: Grant {
            permissions: scopes.value?,
            sources: sources.value?,
            bodies: bodies.value?,
        },
    })
}

/// The team's domain, as the issuer of its assertions has it.
fn domain(value: &Value<'_>) -> Read<String> {
    let text = value.text("a domain in quotes, such as `\"example.cloudflareaccess.com\"`")?;
    let url = Url::parse(&format!("https://{text}/")).ok();
    let is_domain = url.is_some_and(|url| url.domain() == Some(text) && url.port().is_none());
    if is_domain && text.contains('.') {
        Ok(text.to_owned())
    } else {
        value.refuse(format!(
            "{} is not a domain: write it alone and in small letters, such as `example.cloudflareaccess.com`",
            quoted(text)
        ))
    }
}

fn audience(value: &Value<'_>) -> Read<String> {
    let text = value.text("the application's audience tag, in quotes")?;
    if is_name(text) && !text.contains(char::is_whitespace) {
        Ok(text.to_owned())
    } else {
        value.refuse(format!(
            "{} is not an audience tag: write the \"Application Audience (AUD) Tag\" that the application has",
            quoted(text)
        ))
    }
}

/// Where the keys are; empty: where the team has them.
fn keys_url(value: &Value<'_>) -> Read<Option<Url>> {
    let text = value.text("an address in quotes")?;
    if text.is_empty() {
        return Ok(None);
    }
    let url = Url::parse(text).ok().filter(|url| {
        let is_safe = url.scheme() == "https" || local::is_this_machine(url);
        let has_user = !url.username().is_empty() || url.password().is_some();
        matches!(url.scheme(), "http" | "https") && url.has_host() && is_safe && !has_user
    });
    match url {
        Some(url) => Ok(Some(url)),
        None => value.refuse(format!(
            "{} is not an address of keys: write `https://` (`http://` is for this machine only) and no user name",
            quoted(text)
        )),
    }
}

fn names(
    what: &'static str,
    read: fn(&Value<'_>) -> Read<String>,
) -> impl Fn(&Value<'_>) -> Read<Vec<String>> {
    move |value| {
        let wanted = format!("a list of {what} in quotes");
        let names = value.list(&wanted, MAX_NAMES, read)?;
        Ok(names.into_iter().map(|(name, _)| name).collect())
    }
}

/// An address or a pattern of addresses. There is one `@` in it, so that `*` cannot stand for everyone by accident.
fn email(value: &Value<'_>) -> Read<String> {
    let text = value.text("an email address in quotes, such as `\"*@example.com\"`")?;
    let is_pattern = text.matches('@').count() == 1
        && text.matches('*').count() <= MAX_STARS
        && !text.contains(char::is_whitespace)
        && !text.starts_with('@')
        && !text.ends_with('@');
    if is_pattern && is_name(text) {
        Ok(text.to_ascii_lowercase())
    } else {
        value.refuse(format!(
            "{} is not an email address: write one such as `alice@example.com`, `*@example.com`, or `*@*` for all",
            quoted(text)
        ))
    }
}

fn group(value: &Value<'_>) -> Read<String> {
    let text = value.text("a group in quotes")?;
    if is_name(text) {
        Ok(text.to_owned())
    } else {
        value.refuse(format!("{} is not the name of a group", quoted(text)))
    }
}

fn common_name(value: &Value<'_>) -> Read<String> {
    let text = value.text("the client id of a service token, in quotes")?;
    if is_name(text) && !text.contains(char::is_whitespace) {
        Ok(text.to_ascii_lowercase())
    } else {
        value.refuse(format!(
            "{} is not the client id of a service token: it looks like `0123abcd.access`",
            quoted(text)
        ))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && !text.contains(char::is_control)
}

fn scopes(value: &Value<'_>) -> Read<Permissions> {
    let wanted = "a list of scopes, such as `[\"search\", \"export\"]`";
    let one = |value: &Value<'_>| {
        let text = value.text("a scope in quotes, such as `\"search\"`")?;
        text.parse::<Permission>()
            .or_else(|error| value.refuse(error.to_string()))
    };
    let scopes = value.list(wanted, Permission::ALL.len(), one)?;
    if scopes.is_empty() {
        return value
            .refuse("`scopes` is empty, so this grant would allow nothing: write `[\"search\"]`");
    }
    Ok(scopes.into_iter().map(|(scope, _)| scope).collect())
}

fn sources(value: &Value<'_>) -> Read<Vec<Source>> {
    let wanted = "a list of sources, such as `[\"accounts/…\"]`";
    let one = |value: &Value<'_>| {
        let text = value.text("a source in quotes, such as `\"accounts/…\"`")?;
        text.parse::<Source>()
            .or_else(|error| value.refuse(format!("{} is not a source: {error}", quoted(text))))
    };
    let sources = value.list(wanted, MAX_SOURCES, one)?;
    Ok(sources.into_iter().map(|(source, _)| source).collect())
}
