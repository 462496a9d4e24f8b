//! `orgtrail retention`: what would be erased, and what holds keep.

use std::path::Path;

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand};

use super::record::Recorded;
use super::start::load;
use crate::clock::Clock;
use crate::retention::{RetentionPlan, plan};
use crate::store::Store;
use crate::terminal::say;

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail retention plan
  orgtrail retention plan --json";

/// What to do.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct RetentionArgs {
    #[command(subcommand)]
    action: RetentionAction,
    /// JSON instead of lines for people.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum RetentionAction {
    /// Show what would be erased now by the configuration, and what holds keep. Nothing is erased.
    Plan,
}

pub(super) fn run(args: &RetentionArgs, path: &Path) -> Result<()> {
    let RetentionAction::Plan = args.action;
    let config = load(path)?;
    let now = Clock::system().now();
    let store = Store::open_beside(&config.data_dir)?;
    let recorded = Recorded::begin(
        &config.data_dir,
        "retention.plan",
        "retention plan",
        "",
        now,
    )?;
    let plan = plan(&store, &config.retention, now)?;
    if args.json {
        say(serde_json::to_string(&plan)?)?;
    } else {
        show(&plan, config.retention.erase_anything())?;
    }
    recorded.end(plan.due)
}

fn show(plan: &RetentionPlan, erases_anything: bool) -> Result<()> {
    if !erases_anything {
        say("Nothing is erased: `[retention]` keeps all events forever.")?;
    } else {
        say(format!(
            "Due: {} events, {} bytes on disk. The service erases them.",
            plan.due, plan.due_bytes
        ))?;
        say(format!("Kept by holds: {} events that are due.", plan.held))?;
    }
    if plan.traces_left {
        say("Something of erased events is still on disk; the service is removing it.")?;
    }
    Ok(())
}
