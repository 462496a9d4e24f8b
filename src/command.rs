//! The command line: its commands and options, and the function of each command.
//!
//! Output for people goes to standard output, progress and logs to standard error. Exit codes: 0 done, 1 failed, 2 wrong
//! usage.

mod access_log;
mod alerts;
mod backfill;
mod backup;
mod check;
mod completions;
mod demo;
mod evidence;
mod exit;
mod health;
mod hold;
mod import;
mod man;
mod moment;
mod open;
mod print;
mod reach;
mod record;
mod reindex;
mod restore;
mod retention;
mod rules;
mod scrub;
mod search;
mod serve;
mod setup;
mod signals;
mod simulate;
mod start;
mod status;
mod token;
mod verify;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

pub use self::exit::exit_code;
use self::signals::{Hangup, listen};
use self::start::{VERSION, block_on};
use crate::config::Config;
use crate::handles;
use crate::terminal::say;

/// Keeps a Cloudflare organization's audit trail, finds it, and says what it does not hold.
#[derive(Debug, Parser)]
#[command(name = "orgtrail", version = VERSION, max_term_width = 100, after_long_help = EXAMPLES)]
pub struct Cli {
    /// Configuration file.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "orgtrail.toml"
    )]
    config: PathBuf,
    /// Form of log lines on standard error.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Log more.
    ///
    /// Once for debug lines of orgtrail, twice for everything. `RUST_LOG` overrides it.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail demo                              try it, without a credential
  orgtrail config > orgtrail.toml            begin a configuration
  orgtrail check                             everything that is wrong with it
  orgtrail serve                             collect and answer
  orgtrail search 'actor.email:alice@example.com action.type:delete' --since 7d
  orgtrail open 'action.type:delete'         the search page in the browser
  orgtrail status                            how each source is doing, the worst first

Exit codes: 0 done, 1 failed, 2 wrong usage.";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole system on this machine, with a simulated upstream and without a credential.
    Demo(demo::Args),
    /// Run the service.
    ///
    /// SIGINT and SIGTERM stop it in order. SIGHUP reads the configuration again: what can change while it runs is changed, and
    /// the log says what needs a restart. Token files are read again by themselves when they change.
    Serve,
    /// Run the simulated upstream alone.
    Simulate(simulate::Args),
    /// Search from the shell, on a running server or in a data directory.
    Search(search::Args),
    /// Open the search page in the browser, at a question.
    ///
    /// The address is printed as well.
    Open(open::Args),
    /// Show the state and the coverage of each source.
    Status(status::Args),
    /// Ask a running service whether it lives, for the health check of a container.
    ///
    /// The exit code is 1 if it does not answer.
    Health(health::Args),
    /// Read history from upstream in the foreground.
    ///
    /// The service must not be running: it reads history by itself.
    Backfill(backfill::Args),
    /// Take in entries from files.
    ///
    /// The service must not be running.
    Import(import::Args),
    /// Build the search index again from the log.
    ///
    /// The service must not be running.
    Reindex(reindex::Args),
    /// Check every event of the log against its hash, and repair what is damaged.
    ///
    /// Lists what is damaged. What upstream still has with the same hash is put back; beside a running service it only lists. The
    /// exit code is 1 if damage remains.
    Scrub(scrub::Args),
    /// Copy the log to a new directory and verify the copy. The service may be running.
    ///
    /// The copy is the log at one moment. Tokens, the access log and the search index are not in it.
    Backup(backup::Args),
    /// Fill the data directory from a backup, or from a database that another tool restored.
    ///
    /// Every event is compared with its hash first. The data directory must not hold a log, and no service may use it.
    Restore(restore::Args),
    /// List the alert rules, run their tests, and show what they look for.
    Rules(rules::Args),
    /// Create, list and revoke API tokens. The service may be running.
    Token(token::Args),
    /// Show what retention would erase, and what holds keep. The service may be running.
    Retention(retention::RetentionArgs),
    /// Create, list and release legal holds: what they cover is not erased. The service may be running.
    Hold(hold::HoldArgs),
    /// Show who asked what, the newest first.
    AccessLog(access_log::Args),
    /// List alerts, show where they are sent, send again what was given up, and send a test.
    Alerts(alerts::AlertsArgs),
    /// Show the key that signs the log, and its newest checkpoint.
    Evidence(evidence::Args),
    /// Verify proofs and checkpoints, without a server.
    ///
    /// The exit code is 1 if any of them does not hold.
    Verify(verify::Args),
    /// Check configuration, rules, credentials, log, index and permissions, and report every problem.
    ///
    /// Each line is `ok`, `WARNING` (it works, and perhaps not as wanted) or `PROBLEM`. The exit code is 1 if there is any
    /// problem. Upstream is called once for each source, and for each account that an organization lists first, as far as the quota
    /// allows within half a minute; nothing is kept of what it answers.
    Check,
    /// Print the commented example configuration.
    Config,
    /// Print the completions of a shell.
    Completions(completions::Args),
    /// Print the manual page, or write the pages of all commands.
    Man(man::Args),
}

impl Cli {
    /// Reads the command line. What cannot be read ends the process with what to do instead, and so do `--help` and
    /// `--version`.
    #[must_use]
    pub fn read() -> Self {
        Self::try_parse().unwrap_or_else(|mut error| {
            if let Some(hint) = query_hint(&error, std::env::args().skip(1)) {
                error.insert(ContextKind::Suggested, hint);
            }
            error.exit()
        })
    }

    /// Runs the command.
    ///
    /// # Errors
    /// An error for the user, with its causes.
    pub fn run(self) -> Result<()> {
        self.start_logging();
        // An index that is built opens many files.
        handles::raise();
        match self.command {
            Command::Demo(args) => block_on(demo::run(args, listen(Hangup::Stop)?.stop)),
            Command::Serve => block_on(serve::run(&self.config, listen(Hangup::Reload)?)),
            Command::Simulate(args) => block_on(simulate::run(args, listen(Hangup::Stop)?.stop)),
            Command::Search(args) => search::run(&args, &self.config),
            Command::Open(args) => open::run(&args, &self.config),
            Command::Status(args) => status::run(&args, &self.config),
            Command::Health(args) => health::run(&args, &self.config),
            Command::Backfill(args) => {
                backfill::run(args, &self.config, &listen(Hangup::Stop)?.stop)
            }
            Command::Import(args) => import::run(&args, &self.config),
            Command::Reindex(args) => reindex::run(&args, &self.config),
            Command::Scrub(args) => scrub::run(&args, &self.config),
            Command::Backup(args) => backup::run(&args, &self.config),
            Command::Restore(args) => restore::run(&args, &self.config),
            Command::Rules(args) => rules::run(&args, &self.config),
            Command::Token(args) => token::run(&args, &self.config),
            Command::Retention(args) => retention::run(&args, &self.config),
            Command::Hold(args) => hold::run(&args, &self.config),
            Command::AccessLog(args) => access_log::run(&args, &self.config),
            Command::Alerts(args) => alerts::run(&args, &self.config),
            Command::Evidence(args) => evidence::run(&args, &self.config),
            Command::Verify(args) => verify::run(&args),
            Command::Check => block_on(check::run(&self.config)),
            Command::Config => Ok(say(Config::example().trim_end())?),
            Command::Completions(args) => completions::run(&args, Self::command()),
            Command::Man(args) => man::run(&args, Self::command()),
        }
    }

    fn start_logging(&self) {
        let default = match (self.verbose, &self.command) {
            // Log lines would break a progress bar.
            (0, Command::Demo(_) | Command::Backfill(_)) => "warn",
            // A certificate that is not trusted is an error of the command, which says so itself.
            (0, _) => "info,rustls_platform_verifier=off",
            (1, _) => "info,orgtrail=debug",
            _ => "debug",
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
        let logging = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal());
        // Only the first call in a process sets logging up; tests call it more than once.
        let _first_or_not = match self.log_format {
            LogFormat::Text => logging.try_init(),
            LogFormat::Json => logging.json().try_init(),
        };
    }
}

/// What to say of a query that was taken for an option because it begins with `-`, as those do that exclude something.
fn query_hint(error: &clap::Error, args: impl Iterator<Item = String>) -> Option<ContextValue> {
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let mut after_search = args.skip_while(|arg| arg != "search").skip(1);
    // Of `-resource.product:dns` only its first letter is called unknown.
    let letter = unknown.strip_prefix('-')?;
    let query = after_search.find(|arg| {
        let rest = arg.strip_prefix('-');
        rest.is_some_and(|rest| !rest.starts_with('-') && rest.contains(letter))
    })?;
    let is_unknown = error.kind() == ErrorKind::UnknownArgument;
    let hint = format!(
        "a query that begins with `-` comes after `--`, behind all options: orgtrail search -- {}",
        shell_quoted(&query)
    );
    is_unknown.then(|| ContextValue::StyledStrs(vec![hint.into()]))
}

/// A text as a shell takes it for one word.
fn shell_quoted(text: &str) -> String {
    format!(
        "'{}'",
        crate::terminal::harmless(text).replace('\'', r"'\''")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_can_be_said() {
        insta::assert_snapshot!(Cli::command().term_width(100).render_long_help());
    }

    #[test]
    fn short_help_is_short_and_long_help_has_examples() {
        let mut whole = Cli::command().term_width(100);
        whole.build();
        let names: Vec<String> = whole
            .get_subcommands()
            .map(|one| one.get_name().to_owned())
            .collect();
        for name in names.iter().filter(|name| *name != "help") {
            let command = whole.find_subcommand_mut(name).unwrap();
            let short = command.render_help().to_string();
            assert!(short.lines().count() <= 40, "{short}");
            let of_options = short.split("Options:").nth(1).unwrap_or_default();
            for line in of_options.lines() {
                assert!(line.len() <= 100, "{name}: {line}");
            }
            let long = command.render_long_help().to_string();
            let has_options = command
                .get_arguments()
                .any(|arg| !arg.is_global_set() && arg.get_id() != "help");
            assert!(!has_options || long.contains("Examples:"), "{name}: {long}");
        }
    }

    #[test]
    fn a_query_that_begins_with_a_dash_is_told_where_to_stand() {
        let told = |args: &[&str]| {
            let mut error = Cli::try_parse_from([&["orgtrail"], args].concat()).unwrap_err();
            let hint = query_hint(&error, args.iter().map(|arg| (*arg).to_owned()));
            let is_query = hint.is_some();
            if let Some(hint) = hint {
                error.insert(ContextKind::Suggested, hint);
            }
            assert_eq!(error.exit_code(), 2);
            (is_query, error.to_string())
        };
        for query in ["-x", "-resource.product:dns", "-vpn", "-a'b"] {
            let (is_query, text) = told(&["search", "--json", query]);
            let expect = format!("orgtrail search -- {}", shell_quoted(query));
            assert!(is_query && text.contains(&expect), "{query}: {text}");
        }
        assert!(!told(&["search", "--jsno"]).0);
        assert!(!told(&["status", "-x"]).0);
        assert!(Cli::try_parse_from(["orgtrail", "search", "--json", "--", "-x"]).is_ok());
    }
}
