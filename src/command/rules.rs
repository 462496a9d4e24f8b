//! `orgtrail rules`: the alert rules are listed, tested, run over the log, and shown as a layer of the ATT&CK Navigator. No service is
//! asked.

mod backtest;
mod named;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use clap::{Args as ClapArgs, Subcommand};

use self::named::{chosen, is_file, report};
use crate::rules::{RuleError, Rules, layer};
use crate::terminal::{harmless, say};

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail rules list
  orgtrail rules list --json
  orgtrail rules test                        the tests of all rules
  orgtrail rules test my-rule.yml            those of the rules in a file
  orgtrail rules backtest my-rule.yml --since 90d
                                             what it would have raised
  orgtrail rules layer > layer.json          for the ATT&CK Navigator";

/// What to do with rules.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    action: RulesAction,
    /// The directory of rules, instead of the configuration's.
    #[arg(long, global = true, value_name = "DIR")]
    rules_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum RulesAction {
    /// List all rules, the most serious first.
    ///
    /// The exit code is 1 if a rule cannot be used.
    List {
        /// JSON instead of lines for people.
        #[arg(long)]
        json: bool,
    },
    /// Run the tests in the rules' files.
    ///
    /// The exit code is 1 if a test fails or a rule cannot be used.
    Test {
        /// Ids of rules, or files with rules; all rules if there is none.
        #[arg(value_name = "ID|FILE")]
        rules: Vec<String>,
    },
    /// Run a rule over the whole log: what it would have raised.
    ///
    /// Says how many alerts on which day (UTC), and which groups have the most. An alert counts at the time at which it would have been
    /// raised if all entries had come at once. Changes nothing, and works beside a running service.
    Backtest(backtest::BacktestArgs),
    /// Print a layer of the ATT&CK Navigator: which techniques the rules look for.
    Layer,
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    let settings = settings(args.rules_dir.as_deref(), config)?;
    match &args.action {
        RulesAction::List { json } => list(&settings, *json),
        RulesAction::Test { rules } => test(&settings, rules),
        RulesAction::Backtest(args) => {
            backtest::run(args, settings.dir.as_deref(), settings.disabled, config)
        }
        RulesAction::Layer => {
            let (rules, errors) = settings.load();
            report(&errors)?;
            let enabled = rules.iter().filter(|rule| !rules.is_disabled(&rule.id));
            Ok(say(serde_json::to_string_pretty(&layer(enabled))?)?)
        }
    }
}

/// Which rules there are.
#[derive(Debug, Default)]
struct RuleSettings {
    dir: Option<PathBuf>,
    disabled: Vec<String>,
}

impl RuleSettings {
    fn load(&self) -> (Rules, Vec<RuleError>) {
        Rules::load(self.dir.as_deref(), &self.disabled)
    }
}

/// The settings of the command line, or else of the configuration. Without a configuration there are the built-in rules alone.
fn settings(dir: Option<&Path>, config: &Path) -> Result<RuleSettings> {
    if let Some(dir) = dir {
        ensure!(dir.is_dir(), "{} is not a directory", dir.display());
        return Ok(RuleSettings {
            dir: Some(dir.to_owned()),
            disabled: Vec::new(),
        });
    }
    if config == Path::new("orgtrail.toml") && !config.exists() {
        return Ok(RuleSettings::default());
    }
    let config = super::start::load(config)?;
    Ok(RuleSettings {
        dir: config.rules.dir,
        disabled: config.rules.disabled,
    })
}

fn list(settings: &RuleSettings, is_json: bool) -> Result<()> {
    let (rules, errors) = settings.load();
    let listed = rules.list(&errors);
    if is_json {
        say(serde_json::to_string(&listed)?)?;
    } else {
        for rule in &listed.rules {
            let state = match (rule.disabled, rule.raises) {
                (true, _) => "disabled",
                (false, true) => rule.status.as_str(),
                (false, false) => "part",
            };
            say(format!(
                "{:<14}{state:<14}{}  {}",
                rule.level.as_str(),
                harmless(rule.id.as_str()),
                harmless(rule.title)
            ))?;
        }
        report(&errors)?;
    }
    fail_if_broken(&errors)
}

fn fail_if_broken(errors: &[RuleError]) -> Result<()> {
    match errors.len() {
        0 => Ok(()),
        1 => bail!("1 rule cannot be used"),
        broken => bail!("{broken} rules cannot be used"),
    }
}

fn test(settings: &RuleSettings, wanted: &[String]) -> Result<()> {
    let files: Vec<(&Path, &str)> = wanted
        .iter()
        .filter(|name| is_file(name))
        .map(|name| (Path::new(name), name.as_str()))
        .collect();
    let (rules, errors) = if files.is_empty() {
        settings.load()
    } else {
        Rules::with_files(&files)
    };
    report(&errors)?;
    let chosen = chosen(&rules, wanted)?;
    let mut failed_rules = 0;
    for rule in &chosen {
        let failed = rules.failed_cases(rule);
        failed_rules += usize::from(!failed.is_empty());
        for case in &failed {
            say(format!("FAILED  {}", harmless(&case.to_string())))?;
        }
        if rule.cases.is_empty() {
            say(format!(
                "no test {}: rule {} ({})",
                harmless(&rule.file),
                harmless(rule.id.as_str()),
                harmless(&rule.title)
            ))?;
        }
    }
    let tests: usize = chosen.iter().map(|rule| rule.cases.len()).sum();
    say(format!(
        "{} rules, {tests} tests, {failed_rules} rules failed",
        chosen.len()
    ))?;
    ensure!(
        failed_rules == 0,
        "the tests of {failed_rules} rules failed"
    );
    fail_if_broken(&errors)
}
