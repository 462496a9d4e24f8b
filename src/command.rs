//! The command line: what can be said, and who does it.
//!
//! Output for people goes to standard output, progress and logs to standard error. Exit codes: 0 done, 1 failed, 2 wrong
//! usage.

mod backfill;
mod check;
mod demo;
mod import;
mod moment;
mod reach;
mod reindex;
mod scrub;
mod search;
mod serve;
mod simulate;
mod status;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::config::{self, Config};
use crate::terminal::say;

/// Signals that follow the first one this soon are taken for the same one.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// How long the end of the process waits for work that nobody waits for any more.
const LAST_WORK_WITHIN: Duration = Duration::from_secs(1);

/// Keeps a Cloudflare organization's audit trail, finds it, and says what it does not hold.
#[derive(Debug, Parser)]
#[command(name = "orgtrail", version, max_term_width = 100)]
pub struct Cli {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "orgtrail.toml"
    )]
    config: PathBuf,
    /// How log lines look on standard error.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Log more: once for what is done, twice for everything. `RUST_LOG` says it more exactly.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole thing on this machine: a simulated upstream, the poller, and search. Needs no credential.
    Demo(demo::Args),
    /// Run the service.
    Serve,
    /// Run the simulated upstream alone.
    Simulate(simulate::Args),
    /// Search from the shell, on a running server or in a data directory.
    Search(search::Args),
    /// Say how each source is doing, what is proven of it, and what is not.
    Status(status::Args),
    /// Read history from upstream, in the foreground. The service must not be running: it reads history by itself.
    Backfill(backfill::Args),
    /// Take in entries that were kept elsewhere, from files. The service must not be running.
    Import(import::Args),
    /// Build the search index again from the log. The service must not be running.
    Reindex(reindex::Args),
    /// Check every event of the log against its hash, list what is damaged, and repair it from upstream. Beside a running service
    /// it only lists.
    Scrub(scrub::Args),
    /// Check configuration, credentials, log and index, and report every problem.
    Check,
    /// Print the commented example configuration.
    Config,
}

impl Cli {
    /// Does what was said.
    ///
    /// # Errors
    /// Whatever a person must be told.
    pub fn run(self) -> Result<()> {
        self.start_logging();
        match self.command {
            Command::Demo(args) => block_on(demo::run(args, stop_on_signals()?)),
            Command::Serve => block_on(serve::run(load(&self.config)?, stop_on_signals()?)),
            Command::Simulate(args) => block_on(simulate::run(args, stop_on_signals()?)),
            Command::Search(args) => search::run(&args, &self.config),
            Command::Status(args) => status::run(&args, &self.config),
            Command::Backfill(args) => backfill::run(args, &self.config, &stop_on_signals()?),
            Command::Import(args) => import::run(&args, &self.config),
            Command::Reindex(args) => reindex::run(&args, &self.config),
            Command::Scrub(args) => scrub::run(&args, &self.config),
            Command::Check => block_on(check::run(&self.config)),
            Command::Config => Ok(say(Config::example().trim_end())?),
        }
    }

    fn start_logging(&self) {
        let default = match (self.verbose, &self.command) {
            // Who waits for a bar does not want lines between.
            (0, Command::Demo(_) | Command::Backfill(_)) => "warn",
            (0, _) => "info",
            (1, _) => "info,orgtrail=debug",
            _ => "debug",
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
        let logging = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal());
        // Only the first caller in a process sets the log up; a second one, in a test, goes on with it.
        let _first_or_not = match self.log_format {
            LogFormat::Text => logging.try_init(),
            LogFormat::Json => logging.json().try_init(),
        };
    }
}

/// The data directory that was named, or the configuration's.
fn data_dir(named: Option<&Path>, config: &Path) -> Result<PathBuf> {
    match named {
        Some(dir) => Ok(dir.to_owned()),
        None => {
            let config = load(config).context("name a `--data-dir`, or give the configuration")?;
            Ok(config.data_dir)
        }
    }
}

fn load(path: &Path) -> Result<Config> {
    Ok(Config::load(path, config::environment())?)
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_WORK_WITHIN);
    done
}

/// A token that the first SIGINT or SIGTERM cancels; another one, later, ends the process at once. Some supervisors send
/// the same signal twice within a moment: that is one.
fn stop_on_signals() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let told = stop.clone();
    let mut first: Option<Instant> = None;
    ctrlc::set_handler(move || match first {
        None => {
            first = Some(Instant::now());
            told.cancel();
        }
        Some(first) if first.elapsed() >= SAME_SIGNAL => std::process::exit(1),
        Some(_) => {}
    })
    .context("could not listen for signals")?;
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_can_be_said() {
        insta::assert_snapshot!(Cli::command().term_width(100).render_long_help());
    }
}
