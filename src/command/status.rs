//! `orgtrail status`: how each source is doing, and what is proven of it.

mod verify;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args as ClapArgs;
use comfy_table::{ContentArrangement, Table, presets};
use serde::{Deserialize, Serialize};
use url::Url;

use super::moment::Moment;
use super::reach::{Reach, get};
use crate::clock::Clock;
use crate::coverage::{self, Asked, Gap, Interval, Proof, SourceCoverage};
use crate::position::Source;
use crate::status::{self, SourceStatus};
use crate::store::Store;
use crate::terminal::{harmless, harmless_json, say};

/// Whom to ask, and how to show it.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Read a stretch of this source again from upstream, now, and report in what it differs from what is held; exit code 1 if
    /// it does. A service may be running.
    #[arg(
        long,
        value_name = "SOURCE",
        requires = "since",
        conflicts_with = "server"
    )]
    verify: Option<Source>,
    /// With `--verify`: from here on; a span before now (`7d`), a date or a time.
    #[arg(long, value_name = "TIME", requires = "verify", value_parser = Moment::read)]
    since: Option<Moment>,
    /// With `--verify`: up to here; now, unless given.
    #[arg(long, value_name = "TIME", requires = "verify", value_parser = Moment::read)]
    before: Option<Moment>,
    #[command(flatten)]
    reach: Reach,
}

/// How many gaps are listed below the table; `--json` has all.
const MAX_GAPS: usize = 20;

#[derive(Deserialize)]
struct Sources {
    sources: Vec<SourceStatus>,
}

#[derive(Deserialize)]
struct Coverage {
    sources: Vec<SourceCoverage>,
    next_cursor: Option<String>,
}

/// A source with what is proven of it.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    status: SourceStatus,
    intervals: Vec<Interval>,
    gaps: Vec<Gap>,
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    if let Some(source) = &args.verify {
        return verify::run(args, source, config);
    }
    let (sources, coverage) = match &args.reach.server {
        Some(server) => ask(server)?,
        None => {
            let store = Store::open_beside(&args.reach.data_dir(config)?)?;
            let now = Clock::system().now();
            (
                status::sources(&store, None, now)?,
                coverage::sources(&store, None, &Asked::default(), now)?,
            )
        }
    };
    let rows = join(sources, coverage);
    if args.json {
        for row in &rows {
            say(harmless_json(&serde_json::to_string(row)?))?;
        }
        return Ok(());
    }
    if rows.is_empty() {
        return Ok(say("No source has been followed yet.")?);
    }
    say(table(&rows))?;
    say_gaps(&rows)
}

fn ask(server: &Url) -> Result<(Vec<SourceStatus>, Vec<SourceCoverage>)> {
    let unreadable = "the server's answer cannot be read";
    let sources: Sources =
        serde_json::from_str(&get(server, "/v1/sources", &[])?).context(unreadable)?;
    let mut claims: Vec<SourceCoverage> = Vec::new();
    let mut cursor = None;
    loop {
        let parameters = cursor.as_deref().map(|cursor| ("cursor", cursor));
        let page = get(server, "/v1/coverage", parameters.as_slice())?;
        let page: Coverage = serde_json::from_str(&page).context(unreadable)?;
        for claim in page.sources {
            match claims.last_mut().filter(|last| last.source == claim.source) {
                // It goes on from the page before.
                Some(last) => {
                    last.intervals.extend(claim.intervals);
                    last.gaps.extend(claim.gaps);
                }
                None => claims.push(claim),
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok((sources.sources, claims));
        }
    }
}

/// A source that was first seen between the two answers has no claims yet.
fn join(sources: Vec<SourceStatus>, coverage: Vec<SourceCoverage>) -> Vec<Row> {
    let mut claims: BTreeMap<String, SourceCoverage> = coverage
        .into_iter()
        .map(|claim| (claim.source.clone(), claim))
        .collect();
    let row = |status: SourceStatus| {
        let claim = claims.remove(&status.source);
        let (intervals, gaps) = claim.map_or_else(Default::default, |c| (c.intervals, c.gaps));
        Row {
            status,
            intervals,
            gaps,
        }
    };
    sources.into_iter().map(row).collect()
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// A word of an answer as people write it.
fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value
        .and_then(|value| Some(value.as_str()?.replace('_', " ")))
        .unwrap_or_default()
}

fn table(rows: &[Row]) -> Table {
    let mut table = plain_table();
    table.set_header([
        "SOURCE",
        "NAME",
        "STATE",
        "EVENTS",
        "NEWEST",
        "LAG",
        "PROVEN FROM",
        "PROVEN BEFORE",
        "COMPLETE BEFORE",
        "GAPS",
        "LAST ERROR",
    ]);
    for Row {
        status,
        intervals,
        gaps,
    } in rows
    {
        let or_dash =
            |text: Option<&String>| text.map_or_else(|| "–".to_owned(), |text| harmless(text));
        let complete = intervals
            .iter()
            .rfind(|interval| interval.state == Proof::Complete);
        let error = status
            .last_error
            .as_ref()
            .map(|error| format!("{}: {}", error.at, error.message));
        table.add_row([
            harmless(&status.source),
            or_dash(status.name.as_ref()),
            word(status.state),
            status.events.to_string(),
            or_dash(status.newest_event.as_ref()),
            status
                .lag_seconds
                .map_or_else(|| "–".to_owned(), |seconds| format!("{seconds} s")),
            or_dash(intervals.first().map(|interval| &interval.since)),
            or_dash(intervals.last().map(|interval| &interval.before)),
            or_dash(complete.map(|interval| &interval.before)),
            gaps.len().to_string(),
            or_dash(error.as_ref()),
        ]);
    }
    table
}

fn say_gaps(rows: &[Row]) -> Result<()> {
    let mut table = plain_table();
    table.set_header(["NOT PROVEN", "SINCE", "BEFORE", "BECAUSE"]);
    let gaps = rows
        .iter()
        .flat_map(|row| row.gaps.iter().map(|gap| (&row.status.source, gap)));
    for (source, gap) in gaps.clone().take(MAX_GAPS) {
        let detail = gap.detail.as_deref().map(harmless);
        let because = match detail {
            Some(detail) => format!("{}, {detail}", word(gap.reason)),
            None => word(gap.reason),
        };
        table.add_row([
            source.clone(),
            gap.since.clone(),
            gap.before.clone(),
            because,
        ]);
    }
    let total = gaps.count();
    if total == 0 {
        return Ok(());
    }
    say("")?;
    say(table)?;
    if total > MAX_GAPS {
        say(format!("… and {} more: see --json", total - MAX_GAPS))?;
    }
    Ok(())
}
