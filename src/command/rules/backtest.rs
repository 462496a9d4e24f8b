//! `orgtrail rules backtest`: what a rule would have raised over the whole log. Writes nothing but a line in the access log.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::Args as ClapArgs;
use indicatif::HumanCount;
use serde::Serialize;

use super::named::{chosen, is_file, report, with_name};
use crate::alert::AlertGroup;
use crate::clock::Clock;
use crate::command::exit::WrongUsage;
use crate::command::moment::MomentArg;
use crate::command::print::{counted, event_bar, plain_table};
use crate::command::record::Recorded;
use crate::command::start::data_dir;
use crate::detect::backtest::{Backtest, BacktestLimits, BacktestRange, BacktestResult};
use crate::rules::{Rule, RuleError, RuleKind, Rules};
use crate::store::Store;
use crate::terminal::{harmless, harmless_json, note, say};

/// Which rule, and over what time.
#[derive(Debug, ClapArgs)]
pub(super) struct BacktestArgs {
    /// Id or name of a rule, or a file with rules.
    ///
    /// A correlation in the file may name other rules too. A rule of the file is taken instead of another one with its id.
    #[arg(value_name = "ID|FILE")]
    rule: String,
    /// Only alerts at this time or later: `7d`, `now/d`, `2026-08-03`.
    #[arg(long, value_name = "TIME", value_parser = MomentArg::read)]
    since: Option<MomentArg>,
    /// Only alerts before this time.
    #[arg(long, value_name = "TIME", value_parser = MomentArg::read)]
    before: Option<MomentArg>,
    /// The data directory, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// The answer with `--json`.
#[derive(Serialize)]
struct BacktestAnswer<'a> {
    alerts: u64,
    days: Vec<DayAnswer>,
    groups: Vec<GroupAnswer<'a>>,
}

#[derive(Serialize)]
struct DayAnswer {
    date: String,
    alerts: u64,
}

#[derive(Serialize)]
struct GroupAnswer<'a> {
    group: &'a AlertGroup,
    alerts: u64,
}

pub(super) fn run(
    args: &BacktestArgs,
    rules_dir: Option<&Path>,
    disabled: Vec<String>,
    config: &Path,
) -> Result<()> {
    let clock = Clock::system();
    let range = range(args, clock.now())?;
    let rules = load(&args.rule, rules_dir, disabled)?;
    let chosen = chosen(&rules, std::slice::from_ref(&args.rule))?;
    note_silent(&rules, &chosen)?;
    let dir = data_dir(args.data_dir.as_deref(), config)?;
    let store = Store::open_beside(&dir)?;
    let parameters = format!("rule={}", args.rule);
    let recorded = Recorded::begin(&dir, "rules.backtest", "rules", &parameters, clock.now())?;
    let bar = event_bar(store.head().0)?;
    let backtest = Backtest {
        store: &store,
        rules: &rules,
        range,
        threads: thread::available_parallelism().map_or(1, usize::from),
        limits: BacktestLimits::default(),
        progress: &|progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.read);
        },
    };
    let result = backtest.run(&chosen)?;
    bar.finish_and_clear();
    recorded.end(result.alerts)?;
    if args.json {
        return Ok(say(harmless_json(&serde_json::to_string(&answer(
            &result,
        ))?))?);
    }
    show(&result)
}

/// The moments that the options name.
fn range(args: &BacktestArgs, now: DateTime<Utc>) -> Result<BacktestRange> {
    let moment = |moment: &Option<MomentArg>| {
        let read = moment.as_ref().map(|moment| moment.seen_from(now));
        read.transpose().map_err(WrongUsage)
    };
    let (since, before) = (moment(&args.since)?, moment(&args.before)?);
    if since
        .zip(before)
        .is_some_and(|(since, before)| since >= before)
    {
        return Err(WrongUsage("`--before` is not after `--since`".into()).into());
    }
    Ok(BacktestRange {
        since_us: since.map(|time| time.timestamp_micros()),
        before_us: before.map(|time| time.timestamp_micros()),
    })
}

/// All rules, those of a named file first. A rule that is named is not turned off.
fn load(named: &str, dir: Option<&Path>, mut disabled: Vec<String>) -> Result<Rules> {
    if !is_file(named) {
        let (rules, _) = Rules::load(dir, &[]);
        let ids: Vec<&str> = with_name(&rules, named)
            .map(|rule| rule.id.as_str())
            .collect();
        disabled.retain(|id| !ids.contains(&id.as_str()));
        let (rules, errors) = Rules::load(dir, &disabled);
        report(&errors)?;
        return Ok(rules);
    }
    let file = (Path::new(named), named);
    let (rules, errors) = Rules::with_file_first(file, dir, &disabled);
    let is_of_file = |error: &&RuleError| error.file == named;
    let (of_file, of_others): (Vec<_>, Vec<_>) = errors.iter().partition(is_of_file);
    if let [first, more @ ..] = &of_file[..] {
        report(more.iter().copied())?;
        bail!("{}", harmless(&first.to_string()));
    }
    report(of_others)?;
    Ok(rules)
}

/// Says which of the rules raise nothing themselves.
fn note_silent(rules: &Rules, chosen: &[&Rule]) -> Result<()> {
    for rule in chosen {
        let is_part = matches!(rule.kind, RuleKind::Event(_)) && !rules.generates(&rule.id);
        let is_alone = chosen.len() == 1;
        if is_part && is_alone {
            note(format!(
                "Rule {} raises nothing itself: a correlation counts its matches.",
                harmless(rule.id.as_str())
            ))?;
        }
    }
    Ok(())
}

fn answer(result: &BacktestResult) -> BacktestAnswer<'_> {
    let days = result.days.iter().map(|(day, alerts)| DayAnswer {
        date: day.to_string(),
        alerts: *alerts,
    });
    let groups = result.groups.iter().map(|(group, alerts)| GroupAnswer {
        group,
        alerts: *alerts,
    });
    BacktestAnswer {
        alerts: result.alerts,
        days: days.collect(),
        groups: groups.collect(),
    }
}

fn show(result: &BacktestResult) -> Result<()> {
    say(format!(
        "{} in {}.",
        counted(result.alerts, "alert"),
        counted(result.events, "event")
    ))?;
    if result.unreadable > 0 {
        say(format!(
            "{} could not be judged: damaged or erased.",
            counted(result.unreadable, "event")
        ))?;
    }
    if result.alerts == 0 {
        return Ok(());
    }
    let mut days = plain_table();
    days.set_header(["DAY (UTC)", "ALERTS"]);
    for (day, alerts) in &result.days {
        days.add_row([day.to_string(), HumanCount(*alerts).to_string()]);
    }
    say(format!("\n{days}"))?;
    let has_groups = result.groups.iter().any(|(group, _)| !group.is_empty());
    if !has_groups {
        return Ok(());
    }
    let mut groups = plain_table();
    groups.set_header(["LOUDEST GROUPS", "ALERTS"]);
    for (group, alerts) in &result.groups {
        groups.add_row([group_text(group), HumanCount(*alerts).to_string()]);
    }
    Ok(say(format!("\n{groups}"))?)
}

/// `actor.id a1b2, account.id unknown`.
fn group_text(group: &AlertGroup) -> String {
    let parts = group.iter().map(|(name, value)| {
        let value = value.as_deref().unwrap_or("unknown");
        format!("{} {}", harmless(name), harmless(value))
    });
    parts.collect::<Vec<_>>().join(", ")
}
