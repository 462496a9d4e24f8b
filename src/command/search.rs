//! `orgtrail search`: what was asked on the command line, and how its answer is shown.

mod asked;
mod extent;
mod found;
mod lines;
mod place;
mod show;
mod tail;

use std::path::Path;

use anyhow::Result;
use chrono_tz::Tz;
use clap::Args as ClapArgs;

use self::asked::{Colors, SearchRequest};
use self::place::{FirstPage, SearchTarget};
use self::show::{EventPrinter, Form};
use super::exit::WrongUsage;
use super::moment::MomentArg;
use super::reach::{Misread, TargetArgs};
use super::record::Recorded;
use crate::clock::Clock;
use crate::engine::Order;
use crate::position::Source;
use crate::query::When;
use crate::search::{MAX_SIZE, parse_zone};

/// The most events of a page.
const MAX_LIMIT: u16 = 1_000;

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail search alice@example.com --since 7d
  orgtrail search 'action.type:delete resource.product:dns' --limit 100
  orgtrail search -- '-resource.product:dns'
  orgtrail search 'actor.ip_address:203.0.113.0/24' --all --csv > events.csv
  orgtrail search --facets actor.email --facets action.type --since 2026-08-01
  orgtrail search --server http://127.0.0.1:7070 --follow

How many results there are, and what the answer lacks, is said on standard error.";

/// What to look for, and where.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// What to look for; nothing for everything.
    ///
    /// Several arguments are joined with spaces. Words, phrases in quotes, `field:value`, `AND OR NOT`, wildcards, ranges. A query that begins with `-` comes after
    /// `--`, behind all options.
    #[arg(value_name = "QUERY")]
    words: Vec<String>,
    /// Only what happened at this time or later: `7d`, `now/d`, `2026-08-03`.
    ///
    /// `7d` or `now-7d` is seven days ago, `now/d` the midnight with which today begins, `2026-08-03` the midnight with which
    /// that day begins, and `2026-08-03T08:00:00Z` itself.
    #[arg(long, value_name = "TIME", value_parser = MomentArg::read)]
    since: Option<MomentArg>,
    /// Only what happened before this time.
    #[arg(long, value_name = "TIME", value_parser = MomentArg::read)]
    before: Option<MomentArg>,
    /// Only events of this source, such as `accounts/ID`; repeatable.
    #[arg(long, value_name = "SOURCE")]
    source: Vec<Source>,
    /// Time zone of dates and of `now/d`, such as `Europe/Berlin`.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = parse_zone)]
    tz: Tz,
    /// Most events; of facets, most values.
    #[arg(long, default_value_t = 20, value_parser = limit)]
    limit: u16,
    /// Every event, however many there are.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Oldest first.
    #[arg(long)]
    oldest_first: bool,
    /// Show the newest events, then follow new ones.
    #[arg(long, conflicts_with_all = ["all", "oldest_first", "before"])]
    follow: bool,
    /// This field's most frequent values instead of events; repeatable.
    #[arg(long, value_name = "FIELD", conflicts_with_all = ["all", "follow", "csv", "oldest_first"])]
    facets: Vec<String>,
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// CSV instead of a table.
    ///
    /// A cell that a spreadsheet would take for a formula begins with an apostrophe.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Times in UTC instead of the machine's time zone.
    ///
    /// JSON and CSV are always in UTC.
    #[arg(long)]
    utc: bool,
    /// Whether to use colours.
    ///
    /// `auto`: on a terminal, unless `NO_COLOR` is set.
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    color: Colors,
    #[command(flatten)]
    reach: TargetArgs,
}

/// How many events are shown.
fn limit(text: &str) -> Result<u16, String> {
    let limit = text
        .parse()
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| format!("write a number from 1 to {MAX_LIMIT}; `--all` shows every event"))
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    search(args, config).map_err(|error| match error.downcast_ref::<Misread>() {
        Some(misread) => WrongUsage(misread.point_into(&args.query())).into(),
        None => error,
    })
}

fn search(args: &Args, config: &Path) -> Result<()> {
    let now = Clock::system().now();
    let order = if args.oldest_first {
        Order::Ascending
    } else {
        Order::Descending
    };
    let when = When { now, zone: args.tz };
    let time = |moment: &Option<MomentArg>| {
        let time = moment.as_ref().map(|moment| moment.seen_from(when));
        time.transpose().map_err(WrongUsage)
    };
    let asked = SearchRequest {
        when,
        query: args.query(),
        sources: args.source.clone(),
        since: time(&args.since)?,
        before: time(&args.before)?,
        order,
        limit: args.limit.into(),
    };
    let ends = asked.since.zip(asked.before);
    if ends.is_some_and(|(since, before)| since >= before) {
        return Err(WrongUsage("`--before` is not after `--since`".into()).into());
    }
    let place = SearchTarget::open(&args.reach, config)?;
    let recorded = match place.dir() {
        Some(dir) => Some(Recorded::begin(
            dir,
            args.action(),
            "search",
            &args.to_parameters(),
            now,
        )?),
        None => None,
    };
    let results = answer(args, &asked, &place)?;
    recorded.map_or(Ok(()), |recorded| recorded.end(results))
}

/// Shows the answer. Returns how many results were shown.
fn answer(args: &Args, asked: &SearchRequest, place: &SearchTarget) -> Result<u64> {
    let now = asked.when.now;
    let form = match (args.json, args.csv) {
        (true, _) => Form::Json,
        (_, true) => Form::Csv,
        _ => Form::Table,
    };
    let show = EventPrinter::new(form, args.color, args.utc);
    if !args.facets.is_empty() {
        let size = asked.limit.min(MAX_SIZE);
        let (values, extent) = place.facets(asked, &args.facets, size)?;
        show.values(&values)?;
        extent.say(now)?;
        let shown = values.iter().map(|(_, values)| values.len() as u64);
        return Ok(shown.sum());
    }
    let mut shown = 0;
    if args.all {
        let mut lines = show.in_pieces()?;
        let extent = place.all(asked, |events| {
            shown += events.len() as u64;
            lines.add(&events)
        })?;
        extent.say(now)?;
        return Ok(shown);
    }
    let FirstPage {
        mut events,
        searchable,
        extent,
    } = place.page(asked)?;
    shown += events.len() as u64;
    if !args.follow {
        show.events(&events, extent.has_loss(now))?;
        // The table says that it has nothing.
        let extent = match (form, events.as_slice()) {
            (Form::Table, []) => extent.without_counts(),
            _ => extent,
        };
        extent.say(now)?;
        return Ok(shown);
    }
    events.reverse();
    let mut lines = show.in_pieces()?;
    lines.add(&events)?;
    extent.say(now)?;
    place.follow(asked, searchable, |events| {
        shown += events.len() as u64;
        lines.add(&events)
    })?;
    Ok(shown)
}

impl Args {
    /// The query: `search dns delete` is `search 'dns delete'`.
    fn query(&self) -> String {
        self.words.join(" ")
    }

    /// What is done, as the access log names it.
    fn action(&self) -> &'static str {
        if self.all { "export" } else { "search" }
    }

    /// The question, as the access log has the parameters of one over HTTP.
    fn to_parameters(&self) -> String {
        let mut parameters = format!("q={}", self.query());
        for (name, moment) in [("since", &self.since), ("before", &self.before)] {
            if let Some(moment) = moment {
                parameters += &format!(" {name}={moment}");
            }
        }
        for field in &self.facets {
            parameters += &format!(" facet={field}");
        }
        parameters
    }
}
