//! `orgtrail alerts`: the alerts themselves, the ones raised last first.

use std::path::Path;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertState, Level};
use crate::clock::Clock;
use crate::command::exit::WrongUsage;
use crate::command::moment::MomentArg;
use crate::command::print::plain_table;
use crate::command::reach::{Answerer, Server, TargetArgs, get};
use crate::command::record::Recorded;
use crate::position::rfc3339;
use crate::store::Store;
use crate::store::alerts::{AlertFilter, AlertReader};
use crate::terminal::{harmless, harmless_json, note, say};

/// The most alerts that are shown.
const MAX_LIMIT: i64 = 1_000;

/// Which alerts are shown.
#[derive(Debug, ClapArgs)]
pub(super) struct ListArgs {
    /// Only of this rule, by its id; may be repeated.
    #[arg(long, value_name = "ID")]
    rule: Vec<String>,
    /// Only of this level: informational, low, medium, high or critical; may be repeated.
    #[arg(long, value_parser = level)]
    level: Vec<Level>,
    /// Only in this state: open, acknowledged, closed or retracted; may be repeated. Without it, open ones.
    #[arg(long, value_parser = state)]
    state: Vec<AlertState>,
    /// Only with an event at this time or later: `7d`, `now/d`, `2026-08-03`.
    #[arg(long, value_name = "TIME", value_parser = MomentArg::read)]
    since: Option<MomentArg>,
    /// Only with an event before this time.
    #[arg(long, value_name = "TIME", value_parser = MomentArg::read)]
    before: Option<MomentArg>,
    /// How many at most, the ones raised last first.
    #[arg(long, default_value = "50", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_LIMIT))]
    limit: u16,
    #[command(flatten)]
    reach: TargetArgs,
}

/// Alerts as the API lists them.
#[derive(Serialize, Deserialize)]
struct AlertList {
    alerts: Vec<Alert>,
    next_cursor: Option<String>,
}

pub(super) fn level(text: &str) -> Result<Level, String> {
    let names = Level::ALL.map(Level::as_str).join(", ");
    Level::by_name(text).ok_or_else(|| format!("it is none of {names}"))
}

pub(super) fn state(text: &str) -> Result<AlertState, String> {
    let names = AlertState::ALL.map(AlertState::as_str).join(", ");
    AlertState::by_name(text).ok_or_else(|| format!("it is none of {names}"))
}

/// Shows alerts.
pub(super) fn run(args: &ListArgs, is_json: bool, config: &Path) -> Result<()> {
    let filter = args.filter(Clock::system().now())?;
    let list = match args.reach.answerer(config)? {
        Answerer::Server(server) => args.ask(&server, &filter)?,
        Answerer::Dir(dir) => args.look(&dir, &filter)?,
    };
    if is_json {
        return Ok(say(harmless_json(&serde_json::to_string(&list)?))?);
    }
    show(&list)
}

impl ListArgs {
    fn filter(&self, now: DateTime<Utc>) -> Result<AlertFilter> {
        let time = |moment: &Option<MomentArg>| {
            let time = moment.as_ref().map(|moment| moment.seen_from(now));
            time.transpose().map_err(WrongUsage)
        };
        let states = match self.state.as_slice() {
            [] => vec![AlertState::Open],
            states => states.to_vec(),
        };
        Ok(AlertFilter {
            rules: self.rule.clone(),
            levels: self.level.clone(),
            states,
            since: time(&self.since)?,
            before: time(&self.before)?,
        })
    }

    fn ask(&self, server: &Server, filter: &AlertFilter) -> Result<AlertList> {
        let mut parameters = vec![("limit", self.limit.to_string())];
        parameters.extend(filter.rules.iter().map(|id| ("rule", id.clone())));
        parameters.extend(
            filter
                .levels
                .iter()
                .map(|level| ("level", level.to_string())),
        );
        let states = filter.states.iter();
        parameters.extend(states.map(|state| ("state", state.as_str().to_owned())));
        parameters.extend(filter.since.map(|since| ("since", rfc3339(since))));
        parameters.extend(filter.before.map(|before| ("before", rfc3339(before))));
        let parameters: Vec<_> = parameters
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answer = get(server, "/v1/alerts", &parameters)?;
        serde_json::from_str(&answer).context("the server's answer is no list of alerts")
    }

    /// What is on the disk. The access log has who read it.
    fn look(&self, dir: &Path, filter: &AlertFilter) -> Result<AlertList> {
        let recorded = Recorded::begin(dir, "search", "alerts", "", Clock::system().now())?;
        let reader = AlertReader::of_everything();
        let limit = usize::from(self.limit);
        let mut alerts = Store::open_beside(dir)?.alerts(filter, &reader, None, limit + 1)?;
        let has_more = alerts.len() > limit;
        alerts.truncate(limit);
        recorded.end(alerts.len() as u64)?;
        Ok(AlertList {
            next_cursor: alerts.last().filter(|_| has_more).map(Alert::cursor),
            alerts,
        })
    }
}

/// One row for each.
fn show(list: &AlertList) -> Result<()> {
    if list.alerts.is_empty() {
        return Ok(say("There is no such alert.")?);
    }
    let mut table = plain_table();
    table.set_header(["RAISED", "LEVEL", "STATE", "EVENTS", "SUMMARY", "ID"]);
    for alert in &list.alerts {
        table.add_row([
            rfc3339(alert.raised_at),
            alert.rule.level.to_string(),
            alert.state.as_str().to_owned(),
            alert.events_total.to_string(),
            harmless(&alert.summary),
            harmless(&alert.id.0),
        ]);
    }
    say(table)?;
    if list.next_cursor.is_some() {
        note(format!(
            "Only the {} raised last are shown; --limit shows more, up to {MAX_LIMIT}.",
            list.alerts.len()
        ))?;
    }
    Ok(())
}
