//! `orgtrail health`: whether a service answers, for the health check of a container.

use std::path::Path;

use anyhow::{Result, bail};
use clap::Args as ClapArgs;

use super::reach::{self, Answerer, TargetArgs};
use crate::terminal::{harmless_json, say};

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail health
  orgtrail health --server http://127.0.0.1:7070";

/// Which service.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    reach: TargetArgs,
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    match args.reach.answerer(config)? {
        Answerer::Server(server) => Ok(say(harmless_json(&reach::get(&server, "/healthz", &[])?))?),
        Answerer::Dir(dir) => bail!("no service answers for `{}`", dir.display()),
    }
}
