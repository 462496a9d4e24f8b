//! `orgtrail status`: how each source is doing, and what is proven of it.

mod certificate;
mod row;
mod show;
mod verify;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args as ClapArgs;
use serde::Deserialize;

use self::row::StatusRow;
use self::show::StatusPrinter;
use super::moment::MomentArg;
use super::reach::{Answerer, Server, TargetArgs, get};
use super::record::Recorded;
use crate::clock::Clock;
use crate::coverage::{self, Asked, SourceCoverage};
use crate::engine::Scope;
use crate::position::Source;
use crate::status::{self, SourceStatus};
use crate::store::Store;
use crate::terminal::{harmless_json, note, say};

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail status
  orgtrail status --all --server http://127.0.0.1:7070
  orgtrail status --json | jq 'select(.state != \"live\")'
  orgtrail status --verify accounts/ID --since 2026-08-01 --before 2026-09-01";

/// Whom to ask, and how to show it.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Show every source and every gap, and not only the worst.
    #[arg(long, conflicts_with_all = ["json", "verify"])]
    all: bool,
    /// Compare a range of this source's time with upstream.
    ///
    /// Reads the range again now, and reports in what it differs from what is held; exit code 1 if it does. A service may be
    /// running.
    #[arg(
        long,
        value_name = "SOURCE",
        requires = "since",
        conflicts_with = "server"
    )]
    verify: Option<Source>,
    /// With `--verify`: from here on (`7d`, a date, a time).
    #[arg(long, value_name = "TIME", requires = "verify", value_parser = MomentArg::read)]
    since: Option<MomentArg>,
    /// With `--verify`: up to here; unless given, up to where the source is read.
    #[arg(long, value_name = "TIME", requires = "verify", value_parser = MomentArg::read)]
    before: Option<MomentArg>,
    #[command(flatten)]
    reach: TargetArgs,
}

#[derive(Deserialize)]
struct SourcesAnswer {
    sources: Vec<SourceStatus>,
}

#[derive(Deserialize)]
struct CoveragePage {
    sources: Vec<SourceCoverage>,
    next_cursor: Option<String>,
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    if let Some(source) = &args.verify {
        let request = verify::Request {
            source,
            since: args.since.as_ref(),
            before: args.before.as_ref(),
            data_dir: args.reach.data_dir.as_deref(),
            is_json: args.json,
        };
        return verify::run(&request, config);
    }
    let (sources, coverage) = match args.reach.answerer(config)? {
        Answerer::Server(server) => {
            let asked = ask(&server)?;
            // A service that is not ready does not say it.
            let ready = get(&server, "/readyz", &[]).unwrap_or_default();
            for line in certificate::lines(&ready) {
                note(line)?;
            }
            asked
        }
        Answerer::Dir(dir) => look_recorded(&dir)?,
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
    StatusPrinter::new(args.all, Clock::system().now()).say(rows)
}

/// What is on the disk. The access log has who read it.
fn look_recorded(dir: &Path) -> Result<(Vec<SourceStatus>, Vec<SourceCoverage>)> {
    let now = Clock::system().now();
    let recorded = Recorded::begin(dir, "search", "status", "", now)?;
    let found = look(dir)?;
    recorded.end(found.0.len() as u64)?;
    Ok(found)
}

/// What is on the disk.
fn look(dir: &Path) -> Result<(Vec<SourceStatus>, Vec<SourceCoverage>)> {
    let store = Store::open_beside(dir)?;
    let now = Clock::system().now();
    Ok((
        status::sources(&store, None, &Scope::everything(), now)?,
        coverage::sources(&store, None, &Scope::everything(), &Asked::default(), now)?,
    ))
}

fn ask(server: &Server) -> Result<(Vec<SourceStatus>, Vec<SourceCoverage>)> {
    let unreadable = "the server's answer cannot be read";
    let sources: SourcesAnswer =
        serde_json::from_str(&get(server, "/v1/sources", &[])?).context(unreadable)?;
    let mut claims: Vec<SourceCoverage> = Vec::new();
    let mut cursor = None;
    loop {
        let parameters = cursor.as_deref().map(|cursor| ("cursor", cursor));
        let page = get(server, "/v1/coverage", parameters.as_slice())?;
        let page: CoveragePage = serde_json::from_str(&page).context(unreadable)?;
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
fn join(sources: Vec<SourceStatus>, coverage: Vec<SourceCoverage>) -> Vec<StatusRow> {
    let mut claims: BTreeMap<String, SourceCoverage> = coverage
        .into_iter()
        .map(|claim| (claim.source.clone(), claim))
        .collect();
    let row = |status: SourceStatus| {
        let claim = claims.remove(&status.source);
        let (intervals, gaps) = claim.map_or_else(Default::default, |c| (c.intervals, c.gaps));
        StatusRow {
            status,
            intervals,
            gaps,
        }
    };
    sources.into_iter().map(row).collect()
}
