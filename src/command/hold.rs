//! `orgtrail hold`: legal holds are created, listed and released, also while the service runs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use super::moment::MomentArg;
use super::record::{Recorded, record};
use crate::clock::Clock;
use crate::owner::{system_principal, system_user};
use crate::position::{Source, rfc3339};
use crate::retention::{self, ShownHold, ShownHolds};
use crate::store::{AccessStore, Hold, NewHold, Store};
use crate::terminal::{harmless, note, say};
use crate::wording::quoted;

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail hold create case-17 --reason 'lawsuit 17' --query 'actor.email:alice@example.com'
  orgtrail hold create audit --reason 'audit of 2026' --since 2026-01-01 --before 2027-01-01
  orgtrail hold list
  orgtrail hold release case-17";

/// What to do with holds.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct HoldArgs {
    #[command(subcommand)]
    action: HoldAction,
    /// The data directory, instead of the configuration's.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// JSON instead of lines for people.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum HoldAction {
    /// Create a hold: what it covers is not erased until it is released.
    ///
    /// It covers the entries that fit all that is given, also those that arrive later.
    Create(CreateHold),
    /// List all holds, the released ones included.
    List,
    /// Release a hold.
    ///
    /// What is due by a policy of `[retention]` is then erased within minutes.
    Release {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, ClapArgs)]
struct CreateHold {
    /// Its name.
    name: String,
    /// Why it is needed.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The entries that it covers; all of them unless given.
    #[arg(long, value_name = "QUERY", allow_hyphen_values = true)]
    query: Option<String>,
    /// A source, as `accounts/ID` or `organizations/ID`; repeat it for more. All of them unless given.
    #[arg(long, value_name = "SOURCE", value_parser = source)]
    source: Vec<Source>,
    /// Entries from this time on: a time, a date, or a span before now.
    #[arg(long, value_name = "TIME", value_parser = MomentArg::read)]
    since: Option<MomentArg>,
    /// Entries before this time.
    #[arg(long, value_name = "TIME", value_parser = MomentArg::read)]
    before: Option<MomentArg>,
}

pub(super) fn run(args: &HoldArgs, config: &Path) -> Result<()> {
    let dir = super::start::data_dir(args.data_dir.as_deref(), config)?;
    let store = Store::open_beside(&dir)?;
    let now = Clock::system().now();
    match &args.action {
        HoldAction::Create(wanted) => create(&store, &dir, wanted, args.json, now),
        HoldAction::List => {
            let recorded = Recorded::begin(&dir, "hold.list", "hold list", "", now)?;
            let holds = store.holds()?;
            let shown = holds.len();
            list(holds, args.json)?;
            recorded.end(shown as u64)
        }
        HoldAction::Release { name } => release(&store, &dir, name, args.json, now),
    }
}

fn create(
    store: &Store,
    dir: &Path,
    wanted: &CreateHold,
    is_json: bool,
    now: DateTime<Utc>,
) -> Result<()> {
    let time = |moment: &Option<MomentArg>| {
        let time = moment.as_ref().map(|moment| moment.seen_from(now));
        time.transpose().map_err(anyhow::Error::msg)
    };
    let new = NewHold {
        name: wanted.name.clone(),
        query: wanted
            .query
            .clone()
            .filter(|query| !query.trim().is_empty()),
        sources: wanted.source.clone(),
        since: time(&wanted.since)?,
        before: time(&wanted.before)?,
        reason: wanted.reason.clone(),
    };
    if let Some(mistake) = retention::mistake(&new, now) {
        bail!("the hold was not created: {}", harmless(&mistake));
    }
    let parameters = serde_json::to_string(&json!({
        "name": new.name,
        "query": new.query,
        "sources": new.sources.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "since": new.since.map(rfc3339),
        "before": new.before.map(rfc3339),
        "reason": new.reason,
    }))?;
    let recorded = Recorded::begin(dir, "hold.create", "hold create", &parameters, now)?;
    let by = system_principal(system_user().as_deref());
    let Some(hold) = store.create_hold(&new, &by, now)? else {
        recorded.end(0)?;
        bail!(
            "a hold named {} is in force: `orgtrail hold release` releases it",
            harmless(&quoted(&new.name))
        );
    };
    recorded.end(1)?;
    warn_of_unknown(store, &new, now)?;
    if is_json {
        return Ok(say(serde_json::to_string(&ShownHold::from(hold))?)?);
    }
    Ok(say(format!(
        "Created the hold {}. Nothing that it covers is erased until it is released.",
        harmless(&quoted(&hold.says.name))
    ))?)
}

/// Says what may be a slip: a hold of a misspelt source or field keeps nothing.
fn warn_of_unknown(store: &Store, new: &NewHold, now: DateTime<Utc>) -> Result<()> {
    let known = store.sources()?;
    for source in &new.sources {
        if !known.iter().any(|row| row.source == *source) {
            note(format!(
                "Warning: the log has no source {source}; the hold covers nothing of it until it is followed."
            ))?;
        }
    }
    for name in retention::unknown_names(new, now) {
        note(format!(
            "Warning: {} is not in the table of fields; the hold covers only entries that have it as a path.",
            harmless(&quoted(&name))
        ))?;
    }
    Ok(())
}

fn release(store: &Store, dir: &Path, name: &str, is_json: bool, now: DateTime<Utc>) -> Result<()> {
    let in_force = store.holds_in_force()?;
    if !in_force.iter().any(|hold| hold.says.name == name) {
        bail!(
            "no hold named {} is in force: `orgtrail hold list` lists them",
            harmless(&quoted(name))
        );
    }
    // What is not recorded is not released: erasing cannot be undone.
    let access = AccessStore::open(dir)?;
    record(&access, "hold release", "hold.release", name, now)
        .context("could not record the release in the access log; the hold stays in force")?;
    let is_released = store.release_hold(name, now)?;
    if !is_released {
        bail!(
            "the hold {} was released meanwhile",
            harmless(&quoted(name))
        );
    }
    if is_json {
        return Ok(say(json!({ "released": name }))?);
    }
    Ok(say(format!(
        "Released the hold {}. What is due by a policy is erased within minutes while the service runs.",
        harmless(&quoted(name))
    ))?)
}

fn list(holds: Vec<Hold>, is_json: bool) -> Result<()> {
    if is_json {
        return Ok(say(serde_json::to_string(&ShownHolds::from(holds))?)?);
    }
    if holds.is_empty() {
        return Ok(say(
            "There are no holds. `orgtrail hold create NAME --reason TEXT` creates one.",
        )?);
    }
    let mut table = super::print::plain_table();
    table.set_header(["NAME", "COVERS", "STATE", "CREATED", "REASON"]);
    for hold in holds {
        let state = match hold.released_at {
            None => "in force".to_owned(),
            Some(at) => format!("released {}", rfc3339(at)),
        };
        table.add_row([
            harmless(&hold.says.name),
            harmless(&covers(&hold.says)),
            state,
            format!(
                "{} by {}",
                rfc3339(hold.created_at),
                harmless(&hold.created_by)
            ),
            harmless(&hold.says.reason),
        ]);
    }
    Ok(say(table)?)
}

/// What a hold covers, in a few words.
fn covers(says: &NewHold) -> String {
    let mut parts: Vec<String> = says.sources.iter().map(ToString::to_string).collect();
    parts.extend(says.since.map(|since| format!("since {}", rfc3339(since))));
    parts.extend(
        says.before
            .map(|before| format!("before {}", rfc3339(before))),
    );
    parts.extend(says.query.clone());
    if parts.is_empty() {
        return "everything".to_owned();
    }
    parts.join(", ")
}

/// A source, as a user writes it.
fn source(text: &str) -> Result<Source, String> {
    text.parse()
        .map_err(|_| "write `organizations/ID` or `accounts/ID`".to_owned())
}
