//! `[alerts]` and `[[alerts.destinations]]`: where alerts are sent.

use std::path::PathBuf;

use chrono::TimeDelta;

use super::error::Read;
use super::header::Header;
use super::kinds;
use super::reader::{Reader, Table, TableEntry, Taken};
use super::rules;
use super::value::Value;
use super::values::RulesConfig;
use crate::alert::Level;
use crate::deliver::{
    DeliverySettings, DestinationSettings, DestinationTarget, MAX_KEYS, SecretSource,
};
use crate::wording::quoted;

/// The most alerts of one rule within a minute that can be sent one by one.
const MAX_DIGEST_ABOVE: u32 = 1_000;

/// The most destinations.
const MAX_DESTINATIONS: usize = 100;

/// The most patterns of rules of one destination.
const MAX_PATTERNS: usize = 1_000;

/// The longest name, in characters.
const MAX_NAME: usize = 64;

/// The most receivers of one destination.
const MAX_RECEIVERS: usize = 100;

/// The longest address or pattern, in bytes.
const MAX_TEXT_BYTES: usize = 320;

/// The longest time that a message is tried, and that alerts are suppressed.
const LONGEST: TimeDelta = TimeDelta::days(60);

/// The kinds of destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DestinationKind {
    Webhook,
    Slack,
    PagerDuty,
    Email,
    File,
}

const KINDS: &[(&str, DestinationKind)] = &[
    ("webhook", DestinationKind::Webhook),
    ("slack", DestinationKind::Slack),
    ("pagerduty", DestinationKind::PagerDuty),
    ("email", DestinationKind::Email),
    ("file", DestinationKind::File),
];

const LEVELS: &[(&str, Level)] = &[
    ("informational", Level::Informational),
    ("low", Level::Low),
    ("medium", Level::Medium),
    ("high", Level::High),
    ("critical", Level::Critical),
];

/// Reads both, and which rules are used; `None` when something was refused.
pub(super) fn read<'t>(
    reader: &mut Reader<'t>,
    entry: Option<TableEntry<'t>>,
) -> (Option<RulesConfig>, Option<DeliverySettings>) {
    let (rules, settings, destinations) = reader.read(Header::Table("alerts"), entry, |table| {
        let rules = rules::read(table);
        (rules, read_settings(table), table.tables("destinations"))
    });
    (rules, read_destinations(reader, settings, destinations))
}

fn read_destinations<'t>(
    reader: &mut Reader<'t>,
    settings: Option<DeliverySettings>,
    destinations: Option<Vec<TableEntry<'t>>>,
) -> Option<DeliverySettings> {
    let destinations = destinations?;
    if destinations.len() > MAX_DESTINATIONS {
        reader.object(
            None,
            format!("there are more than {MAX_DESTINATIONS} `[[alerts.destinations]]`"),
        );
        return None;
    }
    let mut names: Vec<String> = Vec::new();
    let read: Vec<_> = destinations
        .into_iter()
        .map(|entry| {
            reader.read(Header::Each("alerts.destinations"), Some(entry), |table| {
                read_destination(table, &mut names)
            })
        })
        .collect();
    let destinations: Option<Vec<_>> = read.into_iter().collect();
    Some(DeliverySettings {
        destinations: destinations?,
        ..settings?
    })
}

/// The environment variables that the destinations name.
pub(super) fn variables(settings: &DeliverySettings) -> impl Iterator<Item = &str> {
    let sources = settings
        .destinations
        .iter()
        .flat_map(|one| match &one.target {
            DestinationTarget::Webhook { url, keys } => keys.iter().chain([url]).collect(),
            DestinationTarget::Slack { url } | DestinationTarget::Email { url, .. } => vec![url],
            DestinationTarget::PagerDuty { url, key } => url.iter().chain([key]).collect(),
            DestinationTarget::File { .. } => Vec::new(),
        });
    sources.filter_map(|source| match source {
        SecretSource::Env(name) => Some(name.as_str()),
        SecretSource::File(_) => None,
    })
}

fn read_settings(table: &mut Table<'_, '_>) -> Option<DeliverySettings> {
    let default = DeliverySettings::default();
    let history = table.take("alert_on_history", default.alert_on_history, |v| v.truth());
    let private = table.take(
        "allow_private_networks",
        default.allow_private_networks,
        |v| v.truth(),
    );
    let digest_above = table.take("digest_above", default.digest_above, |v| {
        v.whole_number(1..=MAX_DIGEST_ABOVE)
    });
    Some(DeliverySettings {
        alert_on_history: history.value?,
        allow_private_networks: private.value?,
        digest_above: digest_above.value?,
        destinations: Vec::new(),
    })
}

/// The keys that say where a destination is.
struct Places {
    kind: Option<DestinationKind>,
    url: Option<SecretSource>,
    keys: Vec<SecretSource>,
    from: Taken<String>,
    to: Taken<Vec<String>>,
    path: Taken<PathBuf>,
}

fn read_destination(
    table: &mut Table<'_, '_>,
    names: &mut Vec<String>,
) -> Option<DestinationSettings> {
    let name = table.require("name", name);
    let kind = table.require("kind", kinds::one_of(KINDS));
    let level = table.take("level", Level::Medium, kinds::one_of(LEVELS));
    let rules = table.take("rules", Vec::new(), patterns);
    let suppress = table.take(
        "suppress",
        TimeDelta::hours(1),
        span_up_to(TimeDelta::zero()),
    );
    let give_up_after = table.take(
        "give_up_after",
        TimeDelta::days(3),
        span_up_to(TimeDelta::seconds(1)),
    );
    let url = take_url(table);
    let keys = take_keys(table);
    let from = table.find("from", mail_address);
    let to = table.find("to", mail_addresses);
    let path = table.find("path", kinds::path);
    let name = claim_name(table, name, names);
    let places = Places {
        kind: kind.value,
        url: url?,
        keys: keys?,
        from,
        to,
        path,
    };
    let target = target(table, places);
    Some(DestinationSettings {
        name: name?,
        target: target?,
        level: level.value?,
        rules: rules.value?,
        suppress: suppress.value?,
        give_up_after: give_up_after.value?,
    })
}

/// A name that no destination before it has.
fn claim_name(
    table: &mut Table<'_, '_>,
    name: Taken<String>,
    names: &mut Vec<String>,
) -> Option<String> {
    let text = name.value?;
    if names.contains(&text) {
        let message = format!("there are two destinations with the name {}", quoted(&text));
        table.object(name.place, message);
        return None;
    }
    names.push(text.clone());
    Some(text)
}

/// Takes `url_env` or `url_file`. The outer `None` is a mistake.
fn take_url(table: &mut Table<'_, '_>) -> Option<Option<SecretSource>> {
    let env = table.find("url_env", variable_name);
    let file = table.find("url_file", kinds::path);
    if env.place.is_some() && file.place.is_some() {
        let message = "`url_env` and `url_file` both name a URL: keep one of the two";
        table.object(env.place.max(file.place), message);
        return None;
    }
    let from_env = env.value.map(SecretSource::Env);
    let found = from_env.or(file.value.map(SecretSource::File));
    let is_given = env.place.is_some() || file.place.is_some();
    (found.is_some() == is_given).then_some(found)
}

/// Takes `secret_env` and `secret_file`, each one or a list of two. `None` is a mistake.
fn take_keys(table: &mut Table<'_, '_>) -> Option<Vec<SecretSource>> {
    let env = table.take("secret_env", Vec::new(), |value| {
        one_or_two(
            value,
            "the name of an environment variable in quotes",
            variable_name,
        )
    });
    let file = table.take("secret_file", Vec::new(), |value| {
        one_or_two(value, "a path in quotes", kinds::path)
    });
    let place = env.place.max(file.place);
    let from_env = env.value?.into_iter().map(SecretSource::Env);
    let from_file = file.value?.into_iter().map(SecretSource::File);
    let keys: Vec<SecretSource> = from_env.chain(from_file).collect();
    if keys.len() > MAX_KEYS {
        let message = format!(
            "there are {} secrets: a second one is enough while rotating",
            keys.len()
        );
        table.object(place, message);
        return None;
    }
    Some(keys)
}

fn one_or_two<T>(
    value: &Value<'_>,
    wanted: &str,
    read: impl Fn(&Value<'_>) -> Read<T>,
) -> Read<Vec<T>> {
    if !value.is_list() {
        return Ok(vec![read(value)?]);
    }
    let wanted = format!("{wanted}, or a list of two");
    let read = value.list(&wanted, MAX_KEYS, read)?;
    Ok(read.into_iter().map(|(one, _)| one).collect())
}

/// What a destination is: the keys that its kind needs, and no others.
fn target(table: &mut Table<'_, '_>, places: Places) -> Option<DestinationTarget> {
    let kind = places.kind?;
    refuse_others(table, kind, &places);
    let mut missing = |keys: &str| {
        let name = KINDS
            .iter()
            .find(|(_, one)| *one == kind)
            .map_or("", |(name, _)| *name);
        table.object(
            None,
            format!("a destination of the kind `{name}` needs {keys}: add it"),
        );
    };
    let url = match (kind, places.url) {
        (DestinationKind::File, _) => None,
        (DestinationKind::PagerDuty, url) => url,
        (_, Some(url)) => Some(url),
        (_, None) => {
            missing("`url_env` or `url_file`");
            return None;
        }
    };
    if matches!(kind, DestinationKind::Webhook | DestinationKind::PagerDuty)
        && places.keys.is_empty()
    {
        missing("`secret_env` or `secret_file`");
        return None;
    }
    match kind {
        DestinationKind::Webhook => Some(DestinationTarget::Webhook {
            url: url?,
            keys: places.keys,
        }),
        DestinationKind::Slack => Some(DestinationTarget::Slack { url: url? }),
        DestinationKind::PagerDuty => Some(DestinationTarget::PagerDuty {
            url,
            key: places.keys.into_iter().next()?,
        }),
        DestinationKind::Email => {
            for (key, place) in [("`from`", &places.from.place), ("`to`", &places.to.place)] {
                if place.is_none() {
                    missing(key);
                }
            }
            Some(DestinationTarget::Email {
                url: url?,
                from: places.from.value?,
                to: places.to.value?,
            })
        }
        DestinationKind::File => {
            if places.path.place.is_none() {
                missing("`path`");
            }
            Some(DestinationTarget::File {
                path: places.path.value?,
            })
        }
    }
}

/// Objects to keys that have no effect with this kind.
fn refuse_others(table: &mut Table<'_, '_>, kind: DestinationKind, places: &Places) {
    let is_mail = kind == DestinationKind::Email;
    let signs = matches!(kind, DestinationKind::Webhook | DestinationKind::PagerDuty);
    let given = [
        (
            "url_env` or `url_file",
            places.url.is_some(),
            kind != DestinationKind::File,
        ),
        (
            "secret_env` or `secret_file",
            !places.keys.is_empty(),
            signs,
        ),
        ("from", places.from.place.is_some(), is_mail),
        ("to", places.to.place.is_some(), is_mail),
        (
            "path",
            places.path.place.is_some(),
            kind == DestinationKind::File,
        ),
    ];
    for (key, is_given, is_used) in given {
        if is_given && !is_used {
            let message = format!("`{key}` has no effect with this `kind`: take it out");
            table.object(None, message);
        }
    }
    if kind == DestinationKind::PagerDuty && places.keys.len() > 1 {
        table.object(None, "PagerDuty has one routing key: keep one secret");
    }
}

/// A name as metrics, commands and log lines have it.
fn name(value: &Value<'_>) -> Read<String> {
    let text = value.text("a name in quotes")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=MAX_NAME).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        value.refuse(format!(
            "{} is not a name of a destination: write 1 to {MAX_NAME} letters, digits, `-`, `_` and `.`",
            quoted(text)
        ))
    }
}

/// The name of an environment variable. What is given instead may be the secret, and is not repeated.
fn variable_name(value: &Value<'_>) -> Read<String> {
    let text = value.text("the name of an environment variable, in quotes")?;
    if kinds::is_variable_name(text) {
        return Ok(text.to_owned());
    }
    value.refuse(format!(
        "`{}` is the name of an environment variable that holds the secret, in capitals, digits and `_`",
        value.key()
    ))
}

fn patterns(value: &Value<'_>) -> Read<Vec<String>> {
    let wanted = "a list of rule ids, such as `[\"cloudflare-token-*\"]`";
    let one = |value: &Value<'_>| {
        let text = value.text("a rule id in quotes")?;
        if is_short(text) {
            Ok(text.to_owned())
        } else {
            value.refuse(format!("{} is not a rule id", quoted(text)))
        }
    };
    let patterns = value.list(wanted, MAX_PATTERNS, one)?;
    Ok(patterns.into_iter().map(|(pattern, _)| pattern).collect())
}

fn mail_addresses(value: &Value<'_>) -> Read<Vec<String>> {
    let wanted = "a list of e-mail addresses, such as `[\"security@example.com\"]`";
    let addresses = value.list(wanted, MAX_RECEIVERS, mail_address)?;
    if addresses.is_empty() {
        return value.refuse("`to` is empty: write an e-mail address");
    }
    Ok(addresses.into_iter().map(|(address, _)| address).collect())
}

/// An address with or without a name. `orgtrail check` reads it as the mail library does.
fn mail_address(value: &Value<'_>) -> Read<String> {
    let text = value.text("an e-mail address in quotes, such as `\"security@example.com\"`")?;
    let has_parts = text
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    if has_parts && is_short(text) {
        Ok(text.to_owned())
    } else {
        value.refuse(format!(
            "{} is not an e-mail address: write one such as `security@example.com`",
            quoted(text)
        ))
    }
}

fn is_short(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TEXT_BYTES && !text.contains(char::is_control)
}

/// A span from `shortest` to 60 days.
fn span_up_to(shortest: TimeDelta) -> impl Fn(&Value<'_>) -> Read<TimeDelta> {
    move |value| match kinds::span_from(shortest)(value)? {
        span if span <= LONGEST => Ok(span),
        _ => value.refuse(format!("`{}` is at most `60d`", value.key())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const ACCOUNT: &str = "[[accounts]]\nid = \"a\"\n";

    fn parse(text: &str) -> Result<DeliverySettings, String> {
        let text = format!("{text}\n{ACCOUNT}");
        let config = Config::parse(&text, "orgtrail.toml", std::iter::empty());
        config
            .map(|config| config.alerts)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn destinations_have_what_is_written_and_the_defaults() {
        let text = r#"
            [alerts]
            digest_above = 5
            [[alerts.destinations]]
            name = "security"
            kind = "webhook"
            url_env = "ALERT_WEBHOOK"
            secret_env = ["NEW", "OLD"]
            [[alerts.destinations]]
            name = "pager"
            kind = "pagerduty"
            secret_file = "/run/secrets/pagerduty"
            level = "critical"
            rules = ["cf-token-*"]
            suppress = "0s"
            give_up_after = "1h"
        "#;
        let env = |name: &str| SecretSource::Env(name.to_owned());
        let security = DestinationSettings {
            name: "security".to_owned(),
            target: DestinationTarget::Webhook {
                url: env("ALERT_WEBHOOK"),
                keys: vec![env("NEW"), env("OLD")],
            },
            level: Level::Medium,
            rules: Vec::new(),
            suppress: TimeDelta::hours(1),
            give_up_after: TimeDelta::days(3),
        };
        let pager = DestinationSettings {
            name: "pager".to_owned(),
            target: DestinationTarget::PagerDuty {
                url: None,
                key: SecretSource::File("/run/secrets/pagerduty".into()),
            },
            level: Level::Critical,
            rules: vec!["cf-token-*".to_owned()],
            suppress: TimeDelta::zero(),
            give_up_after: TimeDelta::hours(1),
        };
        let settings = parse(text).unwrap();
        let expect = DeliverySettings {
            digest_above: 5,
            destinations: vec![security, pager],
            ..DeliverySettings::default()
        };
        assert_eq!(settings, expect);
        let named: Vec<&str> = variables(&settings).collect();
        assert_eq!(named, ["NEW", "OLD", "ALERT_WEBHOOK"]);
    }

    #[test]
    fn each_mistake_is_reported_with_its_line_and_without_the_secret() {
        let text = r#"[alerts]
digest_above = 0
[[alerts.destinations]]
name = "a b"
kind = "webhok"
level = "urgent"
[[alerts.destinations]]
name = "x"
kind = "webhook"
url_env = "https://example.com/hunter2"
url = "https://example.com/hunter2"
secret = "whsec_hunter2"
[[alerts.destinations]]
name = "x"
kind = "email"
url_file = "/url"
from = "nobody"
give_up_after = "61d"
[[alerts.destinations]]
name = "f"
kind = "file"
path = "/a"
secret_env = ["A", "B", "C"]
[[alerts.destinations]]
name = "s"
kind = "slack"
url_env = "A"
url_file = "/a"
to = []
"#;
        let told = parse(text).unwrap_err();
        for (line, what) in [
            (2, "`digest_above` is"),
            (4, "is not a name of a destination"),
            (5, "`kind` is"),
            (6, "`level` is"),
            (10, "`url_env` is the name of an environment variable"),
            (11, "name an environment variable in `url_env`"),
            (12, "name an environment variable in `secret_env`"),
            (14, "there are two destinations with the name `x`"),
            (17, "is not an e-mail address"),
            (13, "needs `to`"),
            (18, "at most `60d`"),
            (23, "takes at most 2"),
            (28, "`url_env` and `url_file` both name a URL"),
            (29, "`to` is empty"),
        ] {
            let place = format!("orgtrail.toml:{line}:");
            let is_told = told
                .lines()
                .any(|told| told.starts_with(&place) && told.contains(what));
            assert!(is_told, "{line} {what}\n{told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn a_kind_has_the_keys_that_it_needs_and_no_others() {
        let told = |keys: &str| {
            let text = format!("[[alerts.destinations]]\nname = \"x\"\n{keys}\n");
            parse(&text).err().unwrap_or_default()
        };
        for (keys, expect) in [
            (
                "kind = \"webhook\"\nurl_env = \"A\"",
                "needs `secret_env` or `secret_file`",
            ),
            (
                "kind = \"webhook\"\nsecret_env = \"A\"",
                "needs `url_env` or `url_file`",
            ),
            (
                "kind = \"slack\"\nurl_env = \"A\"\nsecret_env = \"B\"",
                "`secret_env` or `secret_file` has no effect",
            ),
            ("kind = \"file\"", "needs `path`"),
            (
                "kind = \"file\"\npath = \"/a\"\nurl_env = \"A\"",
                "`url_env` or `url_file` has no effect",
            ),
            (
                "kind = \"pagerduty\"\nsecret_env = [\"A\", \"B\"]",
                "PagerDuty has one routing key",
            ),
            ("url_env = \"A\"", "`kind` is missing"),
        ] {
            assert!(told(keys).contains(expect), "{keys}: {}", told(keys));
        }
    }
}
