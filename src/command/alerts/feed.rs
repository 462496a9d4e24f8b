//! `orgtrail alerts feed`: URLs from which feed readers, which send no token, read alerts.

use anyhow::{Result, bail, ensure};
use chrono::{DateTime, Utc};
use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};
use url::Url;

use super::list;
use crate::access::{FeedKey, Grant, Permission};
use crate::alert::{AlertState, Level};
use crate::clock::Clock;
use crate::command::print::plain_table;
use crate::command::record::{Recorded, entry_of};
use crate::command::token;
use crate::config::Config;
use crate::position::{Source, rfc3339};
use crate::store::{AccessStore, FeedRefusal, FeedRow, MAX_FEEDS, NewFeed};
use crate::terminal::{harmless, note, say};

/// The longest name of a feed, in characters.
const MAX_NAME_LEN: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum FeedAction {
    /// Create a feed, and print its URLs once.
    ///
    /// Each URL holds a secret, of which only the hash is stored. Anyone who has a URL can read the alerts of the feed without a token.
    Create(CreateArgs),
    /// List the feeds, with their last use.
    List,
    /// End a feed: its URLs are refused at once.
    Revoke {
        /// The feed's name.
        name: String,
    },
}

/// A new feed.
#[derive(Debug, ClapArgs)]
pub(super) struct CreateArgs {
    /// What the feed is called.
    name: String,
    /// Only alerts of this rule, by its id; may be repeated.
    #[arg(long, value_name = "ID")]
    rule: Vec<String>,
    /// Only of this level: informational, low, medium, high or critical; may be repeated.
    #[arg(long, value_parser = list::level)]
    level: Vec<Level>,
    /// Only in this state: open, acknowledged, closed or retracted; may be repeated.
    #[arg(long, value_parser = list::state)]
    state: Vec<AlertState>,
    /// A source whose alerts it may have, as `accounts/ID` or `organizations/ID`; repeat it for more. All of them unless given.
    #[arg(long, value_name = "SOURCE", value_parser = token::source)]
    source: Vec<Source>,
    /// Leave out alerts of rules that read `resource.request`, `resource.response` or `resource.value`.
    #[arg(long)]
    without_bodies: bool,
}

/// Runs an action on feeds.
pub(super) fn run(action: &FeedAction, is_json: bool, config: &Config) -> Result<()> {
    let now = Clock::system().now();
    match action {
        FeedAction::Create(wanted) => create(wanted, is_json, config, now),
        FeedAction::List => {
            let dir = &config.data_dir;
            let recorded = Recorded::begin(dir, "feed.list", "alerts feed", "", now)?;
            let feeds = AccessStore::open(dir)?.feeds()?;
            show(&feeds, is_json)?;
            recorded.end(feeds.len() as u64)
        }
        FeedAction::Revoke { name } => revoke(name, is_json, config, now),
    }
}

fn create(wanted: &CreateArgs, is_json: bool, config: &Config, now: DateTime<Utc>) -> Result<()> {
    let name = wanted.name.trim();
    ensure!(!name.is_empty(), "the name of the feed is empty");
    ensure!(
        name.chars().count() <= MAX_NAME_LEN && !name.chars().any(char::is_control),
        "the name of a feed has at most {MAX_NAME_LEN} characters, and no control characters"
    );
    let key = FeedKey::generate()?;
    let feed = NewFeed {
        name: name.to_owned(),
        hash: key.hash(),
        rules: wanted.rule.clone(),
        levels: wanted.level.clone(),
        states: wanted.state.clone(),
        grant: Grant {
            permissions: [Permission::Search].into_iter().collect(),
            sources: wanted.source.clone(),
            bodies: !wanted.without_bodies,
        },
    };
    let line = entry_of("alerts feed", "feed.create", &described(&feed), now);
    let created = AccessStore::open(&config.data_dir)?.create_feed(&feed, now, &line)?;
    match created {
        Ok(()) => {}
        Err(FeedRefusal::Exists) => bail!(
            "there is a feed `{}` already: revoke it first, or choose another name",
            harmless(name)
        ),
        Err(FeedRefusal::TooMany) => bail!("there are {MAX_FEEDS} feeds, and no more are possible"),
    }
    let base = base(config)?;
    if config.http.public_url.is_none() {
        note(format!(
            "`public_url` is not set in `[http]`: these URLs begin with the address that the service listens on, {base}, and work only where that is reached."
        ))?;
    }
    let [atom, of_json] = ["atom", "json"].map(|form| url(&base, form, &key));
    if is_json {
        return Ok(say(
            json!({"name": name, "feed": {"atom": atom?.as_str(), "json": of_json?.as_str()}}),
        )?);
    }
    note(format!(
        "Created the feed {}. Its URLs are shown this once:",
        harmless(name)
    ))?;
    say(atom?)?;
    Ok(say(of_json?)?)
}

/// Where people reach the service; without `public_url`, the address that it listens on.
fn base(config: &Config) -> Result<Url> {
    if let Some(url) = &config.http.public_url {
        return Ok(url.clone());
    }
    let scheme = match config.http.tls {
        Some(_) => "https",
        None => "http",
    };
    Ok(Url::parse(&format!("{scheme}://{}/", config.http.listen))?)
}

fn url(base: &Url, form: &str, key: &FeedKey) -> Result<Url> {
    let mut url = base.join(&format!("/v1/alerts/feed.{form}"))?;
    url.query_pairs_mut().append_pair("key", key.reveal());
    Ok(url)
}

fn described(feed: &NewFeed) -> String {
    let mut text = format!("name={} bodies={}", feed.name, feed.grant.bodies);
    for (name, values) in filters(&feed.rules, &feed.levels, &feed.states) {
        for value in values {
            text.push_str(&format!(" {name}={value}"));
        }
    }
    for source in &feed.grant.sources {
        text.push_str(&format!(" source={source}"));
    }
    text
}

/// The filters of a feed by their names.
fn filters(
    rules: &[String],
    levels: &[Level],
    states: &[AlertState],
) -> [(&'static str, Vec<String>); 3] {
    let states = states.iter().map(|state| state.as_str().to_owned());
    [
        ("rule", rules.to_vec()),
        ("level", levels.iter().map(Level::to_string).collect()),
        ("state", states.collect()),
    ]
}

fn show(feeds: &[FeedRow], is_json: bool) -> Result<()> {
    if is_json {
        let feeds: Vec<Value> = feeds.iter().map(as_json).collect();
        return Ok(say(json!({ "feeds": feeds }))?);
    }
    if feeds.is_empty() {
        return Ok(say(
            "There are no feeds. `orgtrail alerts feed create NAME` creates one.",
        )?);
    }
    let mut table = plain_table();
    table.set_header(["NAME", "ALERTS", "SEES", "CREATED", "LAST USED"]);
    for feed in feeds {
        let [rules, levels, states] = filters(&feed.rules, &feed.levels, &feed.states);
        let filters = [rules.1, levels.1, states.1].concat().join(" ");
        table.add_row([
            harmless(&feed.name),
            if filters.is_empty() {
                "all".to_owned()
            } else {
                harmless(&filters)
            },
            token::visible(&feed.grant),
            rfc3339(feed.created_at),
            feed.last_used_at.map_or("never".to_owned(), rfc3339),
        ]);
    }
    Ok(say(table)?)
}

fn as_json(feed: &FeedRow) -> Value {
    let sources = feed.grant.sources.iter().map(ToString::to_string);
    json!({
        "name": feed.name,
        "rules": feed.rules,
        "levels": feed.levels,
        "states": feed.states,
        "sources": sources.collect::<Vec<_>>(),
        "bodies": feed.grant.bodies,
        "created_at": rfc3339(feed.created_at),
        "last_used_at": feed.last_used_at.map(rfc3339),
    })
}

fn revoke(name: &str, is_json: bool, config: &Config, now: DateTime<Utc>) -> Result<()> {
    let line = entry_of("alerts feed", "feed.revoke", &format!("name={name}"), now);
    let store = AccessStore::open_with_reserve(&config.data_dir)?;
    if !store.revoke_feed(name, &line)? {
        bail!(
            "there is no feed `{}`: `orgtrail alerts feed list` shows them",
            harmless(name)
        );
    }
    if is_json {
        return Ok(say(json!({"name": name, "revoked_at": rfc3339(now)}))?);
    }
    Ok(say(format!("Revoked the feed {}.", harmless(name)))?)
}
