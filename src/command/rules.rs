//! `orgtrail rules`: the alert rules are listed, tested, and shown as a layer of the ATT&CK Navigator. No service is asked.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use clap::{Args as ClapArgs, Subcommand};

use crate::rules::{Rule, RuleError, Rules, layer};
use crate::terminal::{harmless, note, say};

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail rules list
  orgtrail rules list --json
  orgtrail rules test                        the tests of all rules
  orgtrail rules test my-rule.yml            those of the rules in a file
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
    /// Print a layer of the ATT&CK Navigator: which techniques the rules look for.
    Layer,
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    let settings = settings(args.rules_dir.as_deref(), config)?;
    match &args.action {
        RulesAction::List { json } => list(&settings, *json),
        RulesAction::Test { rules } => test(&settings, rules),
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

fn report(errors: &[RuleError]) -> Result<()> {
    for error in errors {
        note(harmless(&error.to_string()))?;
    }
    Ok(())
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

fn is_file(name: &str) -> bool {
    name.ends_with(".yml") || name.ends_with(".yaml") || Path::new(name).is_file()
}

/// The rules with these ids or names, and those of these files; all if nothing is named.
fn chosen<'a>(rules: &'a Rules, wanted: &[String]) -> Result<Vec<&'a Rule>> {
    if wanted.is_empty() {
        return Ok(rules.iter().collect());
    }
    let mut chosen = Vec::new();
    for name in wanted {
        let is_meant = |rule: &&Rule| {
            if is_file(name) {
                !rule.is_built_in && rule.file == *name
            } else {
                rule.id.as_str() == name || rule.name.as_deref() == Some(name)
            }
        };
        let meant: Vec<&Rule> = rules.iter().filter(is_meant).collect();
        ensure!(
            !meant.is_empty() || is_file(name),
            "there is no rule with the id or name `{}`; `orgtrail rules list` shows them",
            harmless(name)
        );
        chosen.extend(meant);
    }
    Ok(chosen)
}
