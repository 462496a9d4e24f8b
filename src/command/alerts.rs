//! `orgtrail alerts`: the alerts, where they are sent, what was given up, and how it is sent again.

mod feed;
mod list;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use super::record::Recorded;
use super::start::{block_on, load};
use crate::clock::Clock;
use crate::config::Config;
use crate::deliver::{self, DestinationSettings};
use crate::position::rfc3339;
use crate::service;
use crate::store::{DeadLetter, DestinationState, MAX_DEAD_LETTERS, Store, StoreError};
use crate::terminal::{harmless, note, say};

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail alerts                              open alerts, the ones raised last first
  orgtrail alerts --level high --level critical --since 7d
  orgtrail alerts destinations                 how sending to each one goes
  orgtrail alerts test security                send a test message
  orgtrail alerts dead-letters                 what was given up
  orgtrail alerts replay security              send it again
  orgtrail alerts feed create ops --level high URLs for feed readers";

/// What to do with alerts.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct AlertsArgs {
    #[command(subcommand)]
    action: Option<AlertsAction>,
    #[command(flatten)]
    list: list::ListArgs,
    /// JSON instead of lines for people.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum AlertsAction {
    /// Show how sending to each destination goes.
    Destinations,
    /// List the messages that were given up, the oldest first.
    DeadLetters {
        /// Only of this destination.
        destination: Option<String>,
    },
    /// Send messages again that were given up.
    ///
    /// They go before newer ones, with the ids that they had.
    Replay {
        /// The destination.
        destination: String,
        /// The ids of the messages, as `dead-letters` shows them; all unless given.
        id: Vec<String>,
    },
    /// Create, list and revoke feeds: URLs from which feed readers read alerts (Atom, JSON Feed).
    Feed {
        #[command(subcommand)]
        action: feed::FeedAction,
    },
    /// Send a test message now, beside the queue.
    ///
    /// The exit code is 1 if it is not accepted.
    Test {
        /// The destination.
        destination: String,
    },
}

pub(super) fn run(args: &AlertsArgs, path: &Path) -> Result<()> {
    let Some(action) = &args.action else {
        return list::run(&args.list, args.json, path);
    };
    let config = load(path)?;
    let now = Clock::system().now();
    let begin = |action: &str, parameters: &str| {
        Recorded::begin(&config.data_dir, action, "alerts", parameters, now)
    };
    match action {
        AlertsAction::Destinations => {
            let recorded = begin("alerts.destinations", "")?;
            let shown = show_destinations(&config, args.json)?;
            recorded.end(shown)
        }
        AlertsAction::DeadLetters { destination } => {
            let name = destination.as_deref();
            let recorded = begin("alerts.dead-letters", name.unwrap_or_default())?;
            let shown = show_dead_letters(&config, name, args.json)?;
            recorded.end(shown)
        }
        AlertsAction::Replay { destination, id } => {
            let recorded = begin("alerts.replay", &format!("{destination} {}", id.join(" ")))?;
            let replayed = replay(&config, destination, id, args.json)?;
            recorded.end(replayed)
        }
        AlertsAction::Feed { action } => feed::run(action, args.json, &config),
        AlertsAction::Test { destination } => {
            let recorded = begin("alerts.test", destination)?;
            block_on(test(&config, destination, args.json))?;
            recorded.end(1)
        }
    }
}

fn show_destinations(config: &Config, is_json: bool) -> Result<u64> {
    let states = Store::open_beside(&config.data_dir)?.destinations()?;
    let count = states.len() as u64;
    if is_json {
        let shown: Vec<Value> = states
            .iter()
            .map(|state| state_json(config, state))
            .collect();
        say(json!({ "destinations": shown }))?;
        return Ok(count);
    }
    if states.is_empty() {
        say(
            "There are no destinations: add `[[alerts.destinations]]` to the configuration and restart the service.",
        )?;
        return Ok(0);
    }
    let mut table = super::print::plain_table();
    table.set_header([
        "NAME",
        "KIND",
        "WAITING",
        "GIVEN UP",
        "LAST ACCEPTED",
        "STATE",
    ]);
    for state in states {
        table.add_row([
            harmless(&state.name),
            kind(config, &state).unwrap_or("-").to_owned(),
            state.pending.to_string(),
            state.given_up.to_string(),
            state.accepted_at.map_or("never".to_owned(), rfc3339),
            describe(&state),
        ]);
    }
    say(table)?;
    Ok(count)
}

fn kind<'c>(config: &'c Config, state: &DestinationState) -> Option<&'c str> {
    configured(config, &state.name).map(|one| one.target.kind())
}

fn configured<'c>(config: &'c Config, name: &str) -> Option<&'c DestinationSettings> {
    let mut all = config.alerts.destinations.iter();
    all.find(|one| one.name == name)
}

/// How sending goes, in a few words.
fn describe(state: &DestinationState) -> String {
    match (&state.error, state.failing_since) {
        _ if !state.active => "not configured".to_owned(),
        (Some(error), Some(since)) => format!(
            "failing since {}, {} times: {}",
            rfc3339(since),
            state.failures,
            harmless(error)
        ),
        _ => "ok".to_owned(),
    }
}

fn state_json(config: &Config, state: &DestinationState) -> Value {
    json!({
        "name": state.name,
        "kind": kind(config, state),
        "active": state.active,
        "pending": state.pending,
        "waiting_since": state.waiting_since.map(rfc3339),
        "given_up": state.given_up,
        "failures": state.failures,
        "failing_since": state.failing_since.map(rfc3339),
        "error": state.error,
        "accepted_at": state.accepted_at.map(rfc3339),
    })
}

fn show_dead_letters(config: &Config, destination: Option<&str>, is_json: bool) -> Result<u64> {
    let store = Store::open_beside(&config.data_dir)?;
    if let Some(name) = destination {
        require_known(&store, name)?;
    }
    let letters = store.dead_letters(destination)?;
    let count = letters.len();
    if is_json {
        let shown: Vec<Value> = letters.iter().map(letter_json).collect();
        say(json!({ "dead_letters": shown }))?;
        return Ok(count as u64);
    }
    if letters.is_empty() {
        say("No message was given up.")?;
    }
    for letter in &letters {
        say(harmless(&letter_line(letter)))?;
    }
    if count == MAX_DEAD_LETTERS {
        note(format!(
            "The first {MAX_DEAD_LETTERS} are shown; there may be more."
        ))?;
    }
    Ok(count as u64)
}

fn letter_line(letter: &DeadLetter) -> String {
    let about = letter.alert.as_deref().unwrap_or("-");
    format!(
        "{} {} {} alert={about} rule={} given_up_at={} attempts={} {}",
        letter.destination,
        letter.id,
        letter.kind,
        letter.rule,
        rfc3339(letter.given_up_at),
        letter.attempts,
        letter.error.as_deref().unwrap_or_default()
    )
}

fn letter_json(letter: &DeadLetter) -> Value {
    json!({
        "destination": letter.destination,
        "id": letter.id,
        "kind": letter.kind,
        "alert": letter.alert,
        "rule": letter.rule,
        "at": rfc3339(letter.at),
        "given_up_at": rfc3339(letter.given_up_at),
        "attempts": letter.attempts,
        "error": letter.error,
    })
}

fn replay(config: &Config, destination: &str, ids: &[String], is_json: bool) -> Result<u64> {
    let store = Store::open_beside(&config.data_dir)?;
    require_known(&store, destination)?;
    let replayed = store.replay(destination, ids, Clock::system().now())?;
    if replayed < ids.len() {
        bail!(
            "{replayed} of {} messages were put back into the queue; `orgtrail alerts dead-letters` shows those that can be",
            ids.len()
        );
    }
    if is_json {
        say(json!({ "replayed": replayed }))?;
    } else {
        say(format!(
            "Put back into the queue: {replayed}. The service sends them."
        ))?;
    }
    Ok(replayed as u64)
}

fn require_known(store: &Store, name: &str) -> Result<()> {
    let known = store.destinations()?;
    if known.iter().any(|state| state.name == name) {
        return Ok(());
    }
    bail!(
        "there is no destination `{}`: `orgtrail alerts destinations` lists them",
        harmless(name)
    );
}

async fn test(config: &Config, name: &str, is_json: bool) -> Result<()> {
    let Some(destination) = configured(config, name) else {
        bail!(
            "there is no destination `{}` in the configuration",
            harmless(name)
        );
    };
    let log_id = match Store::open_beside(&config.data_dir) {
        Ok(store) => store.log_id().to_string(),
        Err(StoreError::Missing(_)) => String::new(),
        Err(error) => return Err(error.into()),
    };
    let sender = service::sender(config, log_id);
    let sent =
        deliver::send_test(&config.alerts, destination, &sender, Clock::system().now()).await;
    sent.map_err(|error| anyhow::anyhow!("{}", harmless(&error)))
        .with_context(|| format!("the test message to `{name}` was not accepted"))?;
    if is_json {
        return Ok(say(json!({ "destination": name, "accepted": true }))?);
    }
    Ok(say(format!(
        "The destination `{name}` accepted a test message."
    ))?)
}
