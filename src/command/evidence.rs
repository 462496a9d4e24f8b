//! `orgtrail evidence`: the key that signs the log, and its newest checkpoint.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use crate::attest::{EvidenceConfig, PublishedLogs, key_file};
use crate::config::Config;
use crate::durable::Failpoints;
use crate::store::Store;
use crate::terminal::{harmless, harmless_lines, note, say};

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail evidence key
  orgtrail evidence key --json
  orgtrail evidence checkpoint > checkpoint";

/// What to do.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    action: EvidenceAction,
}

#[derive(Debug, Subcommand)]
enum EvidenceAction {
    /// Print the public keys, and make the key if there is none.
    ///
    /// Verifiers need the public keys. The key itself is in `evidence.key_file`, which only its owner can read.
    Key {
        /// JSON instead of lines for people.
        #[arg(long)]
        json: bool,
    },
    /// Print the newest checkpoint that was shown. The service may be running.
    Checkpoint {
        /// That of the log of statements.
        #[arg(long)]
        statements: bool,
        /// The data directory, instead of the configuration's.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    let config = super::start::load(config)?;
    let Some(evidence) = &config.evidence else {
        bail!("nothing is signed: `[evidence]` is not in the configuration");
    };
    match &args.action {
        EvidenceAction::Key { json } => print_key(evidence, *json),
        EvidenceAction::Checkpoint {
            statements,
            data_dir,
        } => print_checkpoint(&config, evidence, data_dir.as_deref(), *statements),
    }
}

fn print_key(evidence: &EvidenceConfig, json: bool) -> Result<()> {
    let path = &evidence.key_file;
    let is_new = !path.exists();
    let key = key_file::read_or_make(path)?;
    let events = key.verifier(&evidence.origin).to_string();
    let statements = key.verifier(&evidence.statements_origin()).to_string();
    if json {
        let keys = json!({"vkey": events, "statements_vkey": statements, "key_file": path});
        return Ok(say(keys)?);
    }
    if is_new {
        note(format!(
            "The key was made in `{}`. Without it, the log cannot be signed any more: keep a copy where only you can read it.",
            harmless(&path.display().to_string())
        ))?;
    }
    say(format!("events      {}", harmless(&events)))?;
    Ok(say(format!("statements  {}", harmless(&statements)))?)
}

fn print_checkpoint(
    config: &Config,
    evidence: &EvidenceConfig,
    data_dir: Option<&Path>,
    statements: bool,
) -> Result<()> {
    let dir = data_dir.unwrap_or(&config.data_dir);
    let store = Store::open_beside(dir)?;
    let published = PublishedLogs::open(evidence, &store, &Failpoints::default())?;
    let log = if statements {
        &published.statements
    } else {
        &published.events
    };
    let newest = log.newest().with_context(|| {
        format!(
            "no checkpoint of `{}` was signed yet",
            harmless(&log.origin)
        )
    })?;
    let text = newest.note.to_string();
    Ok(say(harmless_lines(text.trim_end()))?)
}
