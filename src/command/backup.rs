//! `orgtrail backup`: the log as it is now, copied and verified, beside a running service or without one.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use clap::Args as ClapArgs;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use tracing::warn;

use super::print::counted;
use super::record;
use super::start::VERSION;
use crate::backup::{self, Manifest, Stage};
use crate::clock::Clock;
use crate::store::{AccessStore, Store, StoreError};
use crate::terminal::{harmless, note, say};

/// How often a line says how far it is where no bar can be shown.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail backup /var/backups/orgtrail/$(date +%F)
  orgtrail backup --data-dir /var/lib/orgtrail --json /mnt/backup/today";

/// What is copied, and where to.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// New directory for the backup. One that holds anything is not overwritten.
    #[arg(value_name = "DIR")]
    to: PathBuf,
    /// The data directory, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The manifest as JSON instead of lines for people.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    let dir = super::start::data_dir(args.data_dir.as_deref(), config)?;
    let store = Store::open_beside(&dir)?;
    let now = Clock::system().now();
    record(&dir, "backup", &args.to, "begun", now)?;
    let mut display = ProgressDisplay::new();
    let mut progress = |stage, done, total| display.show(stage, done, total);
    let manifest = backup::back_up(&store, &args.to, VERSION, now, &mut progress)?;
    display.clear();
    if manifest.damaged > 0 || manifest.problem.is_some() {
        warn!(
            events.damaged = manifest.damaged,
            problem = manifest.problem,
            "The log is damaged, and so is its backup: `orgtrail scrub` says what, and repairs what upstream still has."
        );
    }
    if args.json {
        return Ok(say(serde_json::to_string(&manifest)?)?);
    }
    Ok(say(for_people(&manifest, &args.to))?)
}

fn for_people(manifest: &Manifest, to: &Path) -> String {
    format!(
        "{} backed up to {} ({}), and verified.\nTokens, the access log and the index are not in it.",
        counted(manifest.events, "event"),
        harmless(&to.display().to_string()),
        HumanBytes(manifest.bytes),
    )
}

/// Records a backup or a restore in the access log. A full disk prevents neither: a backup may be what is needed then.
pub(super) fn record(
    dir: &Path,
    action: &str,
    path: &Path,
    outcome: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let parameters = format!("path={} outcome={outcome}", path.display());
    let recorded = AccessStore::open(dir)
        .map_err(anyhow::Error::from)
        .and_then(|access| Ok(record::record(&access, action, action, &parameters, now)?));
    match recorded {
        Err(error) if is_disk_problem(&error) => {
            warn!(
                action,
                "The disk is full or fails, so this is not in the access log."
            );
            Ok(())
        }
        recorded => recorded.context("could not record this in the access log"),
    }
}

fn is_disk_problem(error: &anyhow::Error) -> bool {
    let error: Option<&StoreError> = error.downcast_ref();
    error.is_some_and(StoreError::is_of_the_disk)
}

/// Shows on standard error how far it is: a bar on a terminal, and otherwise a line now and then.
pub(super) struct ProgressDisplay {
    bar: ProgressBar,
    stage: Option<Stage>,
    is_terminal: bool,
    noted: Instant,
}

impl ProgressDisplay {
    pub(super) fn new() -> Self {
        Self {
            bar: ProgressBar::new(0),
            stage: None,
            is_terminal: io::stderr().is_terminal(),
            noted: Instant::now(),
        }
    }

    pub(super) fn show(&mut self, stage: Stage, done: u64, total: u64) {
        let is_new = self.stage.replace(stage) != Some(stage);
        if self.is_terminal {
            if is_new {
                self.begin(stage);
            }
            self.bar.set_length(total);
            self.bar.set_position(done);
        } else if is_new || self.noted.elapsed() >= SAY_EVERY {
            self.noted = Instant::now();
            let percent = done * 100 / total.max(1);
            // Progress that cannot be shown stops nothing.
            if let Err(error) = note(format!("{}: {percent} %", word(stage))) {
                tracing::debug!(error = %error, "The progress cannot be shown.");
            }
        }
    }

    fn begin(&self, stage: Stage) {
        let style = ProgressStyle::with_template("{msg:10} {bar:30} {percent} %  {eta} left");
        if let Ok(style) = style {
            self.bar.set_style(style);
        }
        self.bar.set_message(word(stage));
        self.bar.reset();
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Copying => "copying",
        Stage::Verifying => "verifying",
        Stage::Hashing => "hashing",
    }
}
