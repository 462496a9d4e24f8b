//! `orgtrail search`: what was asked on the command line, and how its answer is shown.

mod lines;
mod place;
mod show;
mod tail;

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::{Args as ClapArgs, ValueEnum};

use self::place::Place;
use self::show::{Form, Show};
use super::moment::Moment;
use super::reach::Reach;
use crate::clock::Clock;
use crate::index::Order;
use crate::query::When;
use crate::search::{MAX_SIZE, parse_zone};

/// What to look for, and where.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Words, phrases in quotes, `field:value`, `AND OR NOT`, wildcards, ranges; nothing for everything.
    #[arg(default_value = "")]
    query: String,
    /// Only what happened at this time or later: `7d` or `now-7d` for the last seven days, `now/d` for today, `2026-08-03`,
    /// `2026-08-03T08:00:00Z`.
    #[arg(long, value_name = "TIME", value_parser = Moment::read)]
    since: Option<Moment>,
    /// Only what happened before this time.
    #[arg(long, value_name = "TIME", value_parser = Moment::read)]
    before: Option<Moment>,
    /// The time zone of dates and of `now/d`, such as `Europe/Berlin`.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = parse_zone)]
    tz: Tz,
    /// The most events; of facets, the most values.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Every event, however many there are.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Oldest first.
    #[arg(long)]
    oldest_first: bool,
    /// The newest events, and then each that comes, until interrupted.
    #[arg(long, conflicts_with_all = ["all", "oldest_first", "before"])]
    follow: bool,
    /// Instead of events, this field's most frequent values. Repeat it for several fields.
    #[arg(long, value_name = "FIELD", conflicts_with_all = ["all", "follow", "csv", "oldest_first"])]
    facets: Vec<String>,
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// CSV instead of a table; a cell that a spreadsheet would take for a formula begins with an apostrophe.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Times in UTC; without it, in the machine's time zone. JSON and CSV are always in UTC.
    #[arg(long)]
    utc: bool,
    /// Colours: on a terminal, unless `NO_COLOR` is set; or always, or never.
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    color: Colors,
    #[command(flatten)]
    reach: Reach,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colors {
    Auto,
    Always,
    Never,
}

/// What is asked, wherever the answer comes from.
#[derive(Debug)]
struct Asked {
    /// When: what `now` is in the query, where it is read here, and the time zone of its dates.
    when: When,
    query: String,
    since: Option<DateTime<Utc>>,
    before: Option<DateTime<Utc>>,
    order: Order,
    limit: usize,
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    let now = Clock::system().now();
    let order = if args.oldest_first {
        Order::Ascending
    } else {
        Order::Descending
    };
    let when = When { now, zone: args.tz };
    let time = |moment: &Option<Moment>| {
        let time = moment.as_ref().map(|moment| moment.seen_from(when));
        time.transpose().map_err(|message| anyhow!(message))
    };
    let asked = Asked {
        when,
        query: args.query.clone(),
        since: time(&args.since)?,
        before: time(&args.before)?,
        order,
        limit: args.limit.into(),
    };
    let ends = asked.since.zip(asked.before);
    ensure!(
        ends.is_none_or(|(since, before)| since < before),
        "`--before` is not after `--since`"
    );
    let place = Place::open(&args.reach, config)?;
    let form = match (args.json, args.csv) {
        (true, _) => Form::Json,
        (_, true) => Form::Csv,
        _ => Form::Table,
    };
    let show = Show::new(form, args.color, args.utc);
    if !args.facets.is_empty() {
        let size = asked.limit.min(MAX_SIZE);
        return show.values(&place.facets(&asked, &args.facets, size)?);
    }
    if args.all {
        let mut lines = show.in_pieces()?;
        return place.all(&asked, |events| lines.add(&events));
    }
    let (mut events, searchable) = place.page(&asked)?;
    if !args.follow {
        return show.events(&events);
    }
    events.reverse();
    let mut lines = show.in_pieces()?;
    lines.add(&events)?;
    place.follow(&asked, searchable, |events| lines.add(&events))
}
