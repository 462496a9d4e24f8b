//! Parsers of single values: addresses, paths, spans, ids. Each reads one [`Value`].
//!
//! Rules about two values are in `keys`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use chrono::{NaiveDate, TimeDelta};
use ipnet::IpNet;
use url::Url;

use super::error::{KeyMistake, Place, Read};
use super::heartbeat::HeartbeatSource;
use super::local::is_this_machine;
use super::value::Value;
use super::values::{AccountsChoice, BackfillSince, Overlap};
use crate::position::{BadSource, MAX_SOURCE_ID_LEN, Source};
use crate::span;
use crate::wording::quoted;

/// The most sweeps of one window.
const MAX_SWEEPS: usize = 32;

/// The most accounts that one organization can list by hand.
const MAX_LISTED_ACCOUNTS: usize = 10_000;

/// The most origins and the most networks that can be listed.
const MAX_ORIGINS: usize = 100;
const MAX_NETWORKS: usize = 1_000;

/// A single word of this length or more, where a path is wanted, is taken for the token itself.
const TOKEN_LEN: usize = 32;

/// The IP address and port to listen on.
pub(super) fn address(value: &Value<'_>) -> Read<SocketAddr> {
    let text = value.text("an address in quotes, such as `\"127.0.0.1:7070\"`")?;
    text.parse().or_else(|_| {
        value.refuse(format!(
            "{} is not an address to listen on: write an IP address and a port, such as `127.0.0.1:7070` or `[::1]:7070`",
            quoted(text)
        ))
    })
}

/// One of a few words, each with its meaning.
pub(super) fn one_of<T: Copy>(
    words: &'static [(&'static str, T)],
) -> impl Fn(&Value<'_>) -> Read<T> {
    move |value| {
        let choices = choices(words.iter().map(|(word, _)| *word));
        let text = value.text(&choices)?;
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(*meaning),
            None => value.refuse(format!(
                "`{}` is {choices}, not {}",
                value.key(),
                quoted(text)
            )),
        }
    }
}

fn choices<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`\"{word}\"`")).collect();
    words.join(" or ")
}

/// A path, absolute or from the working directory.
pub(super) fn path(value: &Value<'_>) -> Read<PathBuf> {
    let text = value.text("a path in quotes")?;
    if text.trim().is_empty() {
        return value.refuse(format!("`{}` is empty: write a path", value.key()));
    }
    if text.starts_with(['~', '$']) || text.contains("${") {
        return value.refuse(format!(
            "`~` and `$` are not expanded in {}: write the full path",
            quoted(text)
        ));
    }
    if text.contains('\0') {
        return value.refuse(format!("{} is not a path", quoted(text)));
    }
    Ok(text.into())
}

/// The path of a file; `None` when it is empty.
pub(super) fn path_or_nothing(value: &Value<'_>) -> Read<Option<PathBuf>> {
    match value.text("a path in quotes")? {
        "" => Ok(None),
        _ => path(value).map(Some),
    }
}

/// The path of a file with a token in it, rather than the token.
pub(super) fn credential_path(value: &Value<'_>) -> Read<PathBuf> {
    let path = path(value)?;
    let text = path.to_string_lossy();
    if text.len() >= TOKEN_LEN && !text.contains(['/', '.', '\\']) {
        return value.refuse(
            "`token_file` looks like the token itself: write the path of a file that holds it",
        );
    }
    Ok(path)
}

/// The name of an environment variable with a token in it. Small letters are refused so that a token written here by
/// mistake is not taken for a name, and printed as one.
pub(super) fn variable_name(value: &Value<'_>) -> Read<String> {
    let text = value.text("the name of an environment variable, in quotes")?;
    if !is_variable_name(text) {
        return value.refuse(
            "`token_env` is the name of an environment variable that holds the token, in capitals, digits and `_`, \
             such as `CLOUDFLARE_API_TOKEN`",
        );
    }
    Ok(text.to_owned())
}

/// The name of an environment variable with a URL in it; empty text: none. The URL itself is a secret and is not printed.
pub(super) fn heartbeat_variable(value: &Value<'_>) -> Read<Option<HeartbeatSource>> {
    let text = value.text("the name of an environment variable, in quotes")?;
    if text.is_empty() {
        return Ok(None);
    }
    if !is_variable_name(text) {
        return value.refuse(
            "`heartbeat_url_env` is the name of an environment variable that holds the URL, in capitals, digits and `_`, \
             such as `HEARTBEAT_URL`",
        );
    }
    Ok(Some(HeartbeatSource::new(text)))
}

pub(super) fn is_variable_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(fits)
}

/// Where the API is, without the slash at its end.
pub(super) fn base_url(value: &Value<'_>) -> Read<Url> {
    let text =
        value.text("an address in quotes, such as `\"https://api.cloudflare.com/client/v4\"`")?;
    if text.contains('@') {
        return value.refuse("`base_url` holds a user name or password: write the address alone");
    }
    let mut url = Url::parse(text).or_else(|_| {
        value.refuse(format!(
            "{} is not an address of the web: write it whole, such as `https://api.cloudflare.com/client/v4`",
            quoted(text)
        ))
    })?;
    match url.scheme() {
        "https" => {}
        "http" if is_this_machine(&url) => {}
        "http" => {
            return value.refuse(format!(
                "{} would send the token in clear: write `https://` (`http://` is for this machine only)",
                quoted(text)
            ));
        }
        _ => {
            return value.refuse(format!(
                "{} is not an address of the web: write `https://`",
                quoted(text)
            ));
        }
    }
    if url.query().is_some() || url.fragment().is_some() {
        return value.refuse(format!(
            "{} has a `?` or `#` part: leave it out",
            quoted(text)
        ));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// The address that people use, without the slash at its end; empty text: none.
pub(super) fn public_url(value: &Value<'_>) -> Read<Option<Url>> {
    let text = value.text("an address in quotes, such as `\"https://audit.example.com\"`")?;
    if text.is_empty() {
        return Ok(None);
    }
    let url = Url::parse(text).ok().filter(|url| {
        let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
        let has_user = !url.username().is_empty() || url.password().is_some();
        is_web
            && !has_user
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    });
    match url {
        Some(url) => Ok(Some(url)),
        None => value.refuse(format!(
            "{} is not the address of a server: write `https://`, its name, and nothing behind it",
            quoted(text)
        )),
    }
}

/// Origins of pages, each as browsers send it: scheme, host, and the port if it is not the scheme's own.
pub(super) fn origins(value: &Value<'_>) -> Read<Vec<String>> {
    let wanted = "a list of origins, such as `[\"https://search.example.com\"]`";
    let origins = value.list(wanted, MAX_ORIGINS, origin)?;
    Ok(origins.into_iter().map(|(origin, _)| origin).collect())
}

fn origin(value: &Value<'_>) -> Read<String> {
    let text = value.text("an origin in quotes, such as `\"https://search.example.com\"`")?;
    let origin = Url::parse(text).map(|url| url.origin().ascii_serialization());
    match origin {
        Ok(origin) if origin == text => Ok(origin),
        _ => value.refuse(format!(
            "{} is not an origin: write the scheme, the host, and the port if it is not the usual one, in small letters, without a slash at the end; `*` is not taken",
            quoted(text)
        )),
    }
}

/// Networks, or single addresses.
pub(super) fn networks(value: &Value<'_>) -> Read<Vec<IpNet>> {
    let wanted = "a list of networks, such as `[\"10.0.0.0/8\", \"::1\"]`";
    let networks = value.list(wanted, MAX_NETWORKS, network)?;
    Ok(networks.into_iter().map(|(network, _)| network).collect())
}

fn network(value: &Value<'_>) -> Read<IpNet> {
    let text = value.text("a network in quotes, such as `\"10.0.0.0/8\"`")?;
    let network = text.parse::<IpNet>().ok();
    let network = network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    match network {
        Some(network) => Ok(network.trunc()),
        None => value.refuse(format!(
            "{} is not a network: write one such as `10.0.0.0/8`, or an address",
            quoted(text)
        )),
    }
}

/// A span of at least `shortest`.
pub(super) fn span_from(shortest: TimeDelta) -> impl Fn(&Value<'_>) -> Read<TimeDelta> {
    move |value| {
        let text = value.text("a span in quotes, such as `\"60s\"`")?;
        match span::parse(text) {
            Ok(span) if span >= shortest => Ok(span),
            Ok(_) => value.refuse(format!(
                "`{}` is {}: it is at least `{}`",
                value.key(),
                quoted(text),
                span::format(shortest)
            )),
            Err(reason) => value.refuse(format!("{} is not a span: {reason}", quoted(text))),
        }
    }
}

/// `"auto"`, or a span.
pub(super) fn overlap(value: &Value<'_>) -> Read<Overlap> {
    match value.text("`\"auto\"` or a span in quotes, such as `\"15m\"`")? {
        "auto" => Ok(Overlap::Auto),
        text => match span::parse(text) {
            Ok(span) => Ok(Overlap::Span(span)),
            Err(reason) => value.refuse(format!(
                "{} is neither `auto` nor a span: {reason}",
                quoted(text)
            )),
        },
    }
}

/// The ages at which a window is scanned again: longer each time.
pub(super) fn sweeps(value: &Value<'_>) -> Read<Vec<TimeDelta>> {
    let wanted = "a list of spans, such as `[\"15m\", \"1h\"]`";
    let spans = value.list(wanted, MAX_SWEEPS, span_from(TimeDelta::seconds(1)))?;
    let findings: Vec<KeyMistake> = spans
        .windows(2)
        .filter(|pair| pair[1].0 <= pair[0].0)
        .map(|pair| KeyMistake {
            place: pair[1].1.clone(),
            message: format!(
                "the sweep `{}` comes after `{}`: write them from the shortest to the longest, each once",
                span::format(pair[1].0),
                span::format(pair[0].0)
            ),
        })
        .collect();
    if findings.is_empty() {
        Ok(spans.into_iter().map(|(span, _)| span).collect())
    } else {
        Err(findings)
    }
}

/// A span, or a date with or without quotes.
pub(super) fn backfill_since(value: &Value<'_>) -> Read<BackfillSince> {
    if let Some(date) = value.toml_date() {
        return Ok(BackfillSince::Date(date));
    }
    let text = value.text("a span or a date, such as `\"540d\"` or `\"2026-01-01\"`")?;
    let date = || text.parse::<NaiveDate>().map(BackfillSince::Date);
    match span::parse(text) {
        Ok(span) => Ok(BackfillSince::Span(span)),
        Err(span::BadSpan::Malformed) => date().or_else(|_| {
            value.refuse(format!(
                "{} is neither a span nor a date: write, for example, `540d` or `2026-01-01`",
                quoted(text)
            ))
        }),
        Err(reason) => value.refuse(format!("{} is not a span: {reason}", quoted(text))),
    }
}

/// The id of an organization or account, as the source it names.
pub(super) fn source(
    named: fn(&str) -> Result<Source, BadSource>,
) -> impl Fn(&Value<'_>) -> Read<Source> {
    move |value| {
        let text = value.text("an id in quotes")?;
        named(text).or_else(|_| {
            value.refuse(format!(
                "{} is not an id: write the 1 to {MAX_SOURCE_ID_LEN} letters, digits, `-` and `_` of it alone",
                quoted(text)
            ))
        })
    }
}

/// Which accounts of an organization are collected, and the place of each that is named.
pub(super) fn accounts_choice(value: &Value<'_>) -> Read<(AccountsChoice, Vec<Place>)> {
    const WANTED: &str = "`\"all\"`, `\"none\"` or a list of ids";
    if !value.is_list() {
        return match value.text(WANTED)? {
            "all" => Ok((AccountsChoice::All, Vec::new())),
            "none" => Ok((AccountsChoice::None, Vec::new())),
            text => value.refuse(format!(
                "`{}` is {WANTED}, not {}",
                value.key(),
                quoted(text)
            )),
        };
    }
    let named = value.list(WANTED, MAX_LISTED_ACCOUNTS, source(Source::account))?;
    if named.is_empty() {
        return value
            .refuse("the list of accounts is empty: write `\"none\"`, `\"all\"` or their ids");
    }
    let (sources, places) = named.into_iter().unzip();
    Ok((AccountsChoice::Only(sources), places))
}
