//! `orgtrail access-log`: who asked what, the newest first.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args as ClapArgs;
use serde_json::json;

use super::record::Recorded;
use crate::clock::Clock;
use crate::position::rfc3339;
use crate::store::{AccessEntry, AccessStore};
use crate::terminal::{harmless, note, say};

/// How many lines are read at once.
const PAGE: usize = 1_000;

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail access-log
  orgtrail access-log --limit 0 --json > access.json";

/// Which lines.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
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
    let parameters = format!("limit={}", args.limit);
    let now = Clock::system().now();
    let recorded = Recorded::begin(&dir, "access-log", "access-log", &parameters, now)?;
    let store = AccessStore::open(&dir)?;
    let wanted = if args.limit == 0 {
        usize::MAX
    } else {
        args.limit
    };
    // Without the line of this command.
    let newest = NewestLines {
        store: &store,
        before: recorded.id(),
        wanted,
    };
    let shown = if args.json {
        print_json(&newest)?
    } else {
        print(&newest)?
    };
    recorded.end(shown)
}

/// The lines that are shown: the newest `wanted` ones with an id below `before`, if there is one.
struct NewestLines<'a> {
    store: &'a AccessStore,
    before: Option<i64>,
    wanted: usize,
}

/// One line for each. Returns how many there are.
fn print(newest: &NewestLines<'_>) -> Result<u64> {
    let mut shown = 0;
    let rest = newest.each(|entry| {
        shown += 1;
        say(for_people(entry))
    })?;
    if shown == 0 {
        say("The access log is empty.")?;
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
            let page = self.store.access_entries(before, PAGE.min(left))?;
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

fn for_people(entry: &AccessEntry) -> String {
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    format!(
        "{}  {:<24} {:<15} {:<13} {} {} results={} ms={} status={}",
        rfc3339(entry.time),
        harmless(&entry.principal),
        entry.address.as_deref().unwrap_or("-"),
        entry.action,
        entry.route,
        harmless(&entry.parameters),
        number(entry.results),
        number(entry.duration_ms),
        number(entry.status.map(u64::from)),
    )
}
