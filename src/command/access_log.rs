//! `orgtrail access-log`: who asked what, the newest first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::Args as ClapArgs;
use serde_json::json;

use super::exit::WrongUsage;
use super::moment::MomentArg;
use super::record::Recorded;
use crate::clock::Clock;
use crate::position::rfc3339;
use crate::store::{AccessEntry, AccessFilter, AccessStore, TokenRow};
use crate::terminal::{harmless, note, say};

/// How many lines are read at once.
const PAGE: usize = 1_000;

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail access-log
  orgtrail access-log --principal dashboard --since 7d
  orgtrail access-log --limit 0 --json > access.json";

/// Which lines.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Only lines of this principal: a token's name or `token:ID`, `access:EMAIL`, `local` …
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Only requests that began at this time or later: `7d`, `now/d`, `2026-08-03`.
    #[arg(long, value_name = "TIME", value_parser = MomentArg::read)]
    since: Option<MomentArg>,
    /// Only requests that began before this time.
    #[arg(long, value_name = "TIME", value_parser = MomentArg::read)]
    before: Option<MomentArg>,
    /// How many lines, the newest first; 0: all of them.
    #[arg(long, default_value = "50", value_name = "N")]
    limit: usize,
    /// The data directory, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// One JSON object instead of lines for people.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    let dir = super::start::data_dir(args.data_dir.as_deref(), config)?;
    let now = Clock::system().now();
    let parameters = args.to_parameters();
    let recorded = Recorded::begin(&dir, "access-log", "access-log", &parameters, now)?;
    let store = AccessStore::open(&dir)?;
    let tokens = store.tokens()?;
    let wanted = if args.limit == 0 {
        usize::MAX
    } else {
        args.limit
    };
    // Without the line of this command.
    let newest = NewestLines {
        store: &store,
        filter: args.filter(&tokens, now)?,
        before: recorded.id(),
        wanted,
    };
    let shown = if args.json {
        print_json(&newest)?
    } else {
        print(&newest, &names_of(&tokens))?
    };
    recorded.end(shown)
}

impl Args {
    fn filter(&self, tokens: &[TokenRow], now: DateTime<Utc>) -> Result<AccessFilter> {
        let time = |moment: &Option<MomentArg>| {
            let time = moment.as_ref().map(|moment| moment.seen_from(now));
            time.transpose().map_err(WrongUsage)
        };
        let principal = self.principal.as_deref();
        Ok(AccessFilter {
            principal: principal
                .map(|name| principal_of(name, tokens))
                .transpose()?,
            since: time(&self.since)?,
            before: time(&self.before)?,
        })
    }

    fn to_parameters(&self) -> String {
        let mut parameters = format!("limit={}", self.limit);
        if let Some(principal) = &self.principal {
            parameters += &format!(" principal={principal}");
        }
        for (name, moment) in [("since", &self.since), ("before", &self.before)] {
            if let Some(moment) = moment {
                parameters += &format!(" {name}={moment}");
            }
        }
        parameters
    }
}

/// The principal that a name stands for: a token's name for `token:ID`. What can only be a principal is one.
fn principal_of(name: &str, tokens: &[TokenRow]) -> Result<String> {
    if name.contains(':') || ["local", "nobody", "system"].contains(&name) {
        return Ok(name.to_owned());
    }
    let named: Vec<&TokenRow> = tokens.iter().filter(|row| row.name == name).collect();
    match named.as_slice() {
        [] => Ok(name.to_owned()),
        [one] => Ok(format!("token:{}", one.id)),
        several => {
            let ids: Vec<String> = several
                .iter()
                .map(|row| format!("token:{}", row.id))
                .collect();
            bail!(
                "{} tokens have the name `{}`: name one by its id, {}",
                several.len(),
                harmless(name),
                ids.join(" or ")
            )
        }
    }
}

/// The names of tokens, by the principal that each of them is.
fn names_of(tokens: &[TokenRow]) -> BTreeMap<String, &str> {
    let names = tokens
        .iter()
        .map(|row| (format!("token:{}", row.id), row.name.as_str()));
    names.collect()
}

/// The lines that are shown: the newest `wanted` ones with an id below `before`, if there is one.
struct NewestLines<'a> {
    store: &'a AccessStore,
    filter: AccessFilter,
    before: Option<i64>,
    wanted: usize,
}

/// One line for each. Returns how many there are.
fn print(newest: &NewestLines<'_>, names: &BTreeMap<String, &str>) -> Result<u64> {
    let mut shown = 0;
    let rest = newest.each(|entry| {
        shown += 1;
        say(for_people(entry, names))
    })?;
    if shown == 0 {
        say("The access log has no such line.")?;
    }
    if rest.is_some() {
        note(format!(
            "Only the newest {shown} are shown; --limit 0 shows all."
        ))?;
    }
    Ok(shown)
}

/// One object, as `/v1/access-log` answers. It is written line by line: the log may be longer than memory. Returns how many lines
/// there are.
fn print_json(newest: &NewestLines<'_>) -> Result<u64> {
    say("{\"entries\": [")?;
    let (mut comma, mut shown) = ("", 0);
    let rest = newest.each(|entry| {
        shown += 1;
        let line = format!("{comma}{}", as_json(entry));
        comma = ",";
        say(line)
    })?;
    say(format!(
        "], \"next_cursor\": {}}}",
        json!(rest.map(|id| id.to_string()))
    ))?;
    Ok(shown)
}

impl NewestLines<'_> {
    /// Hands the lines to `show`. Returns where the next page begins, if there is one.
    fn each(
        &self,
        mut show: impl FnMut(&AccessEntry) -> std::io::Result<()>,
    ) -> Result<Option<i64>> {
        let (mut left, mut before) = (self.wanted, self.before);
        loop {
            let page = self
                .store
                .access_entries_of(&self.filter, before, PAGE.min(left))?;
            for entry in &page.entries {
                show(entry)?;
            }
            left -= page.entries.len();
            before = page.next_before;
            if before.is_none() || left == 0 {
                return Ok(before);
            }
        }
    }
}

fn as_json(entry: &AccessEntry) -> String {
    json!({
        "time": rfc3339(entry.time),
        "principal": entry.principal,
        "address": entry.address,
        "action": entry.action,
        "route": entry.route,
        "parameters": entry.parameters,
        "results": entry.results,
        "duration_ms": entry.duration_ms,
        "status": entry.status,
    })
    .to_string()
}

fn for_people(entry: &AccessEntry, names: &BTreeMap<String, &str>) -> String {
    let principal = match names.get(&entry.principal) {
        Some(name) => format!("{} ({name})", entry.principal),
        None => entry.principal.clone(),
    };
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    format!(
        "{}  {:<24} {:<15} {:<13} {} {} results={} ms={} status={}",
        rfc3339(entry.time),
        harmless(&principal),
        entry.address.as_deref().unwrap_or("-"),
        entry.action,
        entry.route,
        harmless(&entry.parameters),
        number(entry.results),
        number(entry.duration_ms),
        number(entry.status.map(u64::from)),
    )
}
