//! `orgtrail restore`: a backup, or a database that another tool restored, becomes the log of a data directory.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args as ClapArgs;
use serde_json::json;

use super::backup::{ProgressDisplay, record};
use super::print::counted;
use crate::backup::{self, Restored};
use crate::clock::Clock;
use crate::terminal::{harmless, say};

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail restore /var/backups/orgtrail/2026-11-28
  orgtrail restore --data-dir /var/lib/orgtrail replica.db";

/// What is restored, and where.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Directory that `orgtrail backup` made, or a database file that another tool restored.
    #[arg(value_name = "DIR|FILE")]
    from: PathBuf,
    /// The data directory, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Restore a log although events in it are damaged.
    #[arg(long)]
    damaged: bool,
    /// JSON instead of lines for people.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    let dir = super::start::data_dir(args.data_dir.as_deref(), config)?;
    let now = Clock::system().now();
    let mut display = ProgressDisplay::new();
    let mut progress = |stage, done, total| display.show(stage, done, total);
    let restored = backup::restore(&args.from, &dir, args.damaged, now, &mut progress);
    display.clear();
    let outcome = restored.as_ref().map_or("failed", |_| "restored");
    let recorded = record(&dir, "restore", &args.from, outcome, now);
    // Why it failed is said first.
    let restored = restored?;
    recorded?;
    if args.json {
        return Ok(say(json!({
            "log_id": restored.log_id,
            "restored_from": restored.restored_from,
            "events": restored.events,
            "damaged": restored.damaged,
            "data_dir": dir,
        }))?);
    }
    Ok(say(for_people(&restored, &dir))?)
}

fn for_people(restored: &Restored, dir: &Path) -> String {
    let damaged = match restored.damaged {
        0 => String::new(),
        damaged => format!("\n{} of them are damaged.", counted(damaged, "event")),
    };
    format!(
        "{} restored to {} and verified.{damaged}\nThe log has the new id {}. `orgtrail serve` builds the index, and reads what is newer again.\n\
         Tokens are not restored: `orgtrail token create` makes new ones.",
        counted(restored.events, "event"),
        harmless(&dir.display().to_string()),
        restored.log_id,
    )
}
