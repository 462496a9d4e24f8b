//! `orgtrail backfill`: history from upstream to the log in the foreground, and then log to index, so that what was read is found
//! at once.

mod progress;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use chrono::NaiveDate;
use clap::Args as ClapArgs;
use indicatif::HumanCount;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::progress::Progress;
use super::reindex::catch_up_while;
use crate::clock::Clock;
use crate::config::BackfillSince;
use crate::durable::Breaker;
use crate::follow::index::open_index;
use crate::poll::HistoryEnd;
use crate::position::{Source, rfc3339};
use crate::service::{History, SourceHistory};
use crate::span;
use crate::store::{Store, StoreError};
use crate::terminal::{harmless, say};

/// How many sources that were not read wholly are shown to people; `--json` has all.
const MAX_SHOWN: usize = 20;

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail backfill
  orgtrail backfill --since 2026-05-01 --source accounts/ID

It may be interrupted at any time; the next run goes on where it was.";

/// What to read.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// How far back, instead of `backfill_since`: `540d`, `2026-05-01`.
    ///
    /// A span is counted from the source's first live window.
    #[arg(long, value_name = "SPAN or DATE", value_parser = since)]
    since: Option<BackfillSince>,
    /// Only this source, `accounts/ID` or `organizations/ID`; repeatable.
    #[arg(long, value_name = "SOURCE")]
    source: Vec<Source>,
    /// JSON instead of lines for people.
    #[arg(long)]
    json: bool,
}

fn since(text: &str) -> Result<BackfillSince, String> {
    let span = span::parse(text).map(BackfillSince::Span);
    let date = text.parse::<NaiveDate>().map(BackfillSince::Date);
    span.or(date)
        .map_err(|_| "write a span, `540d`, or a date, `2026-05-01`".to_owned())
}

/// What came of it.
#[derive(Serialize)]
struct Summary {
    sources: Vec<SourceReport>,
    /// Events that are new.
    new: u64,
    /// How many events the log holds now.
    events: u64,
    /// Whether all of them can be found.
    all_searchable: bool,
    /// Whether all history that was asked for is read.
    done: bool,
}

#[derive(Serialize)]
struct SourceReport {
    source: String,
    /// How far back was asked.
    since: Option<String>,
    /// Where its first live window begins, and history ends.
    before: Option<String>,
    /// From here on it is read.
    read_since: Option<String>,
    new: u64,
    done: bool,
    /// What was in the way, of a source that is not done.
    error: Option<String>,
}

impl From<SourceHistory> for SourceReport {
    fn from(source: SourceHistory) -> Self {
        let done = source.is_done();
        let reached = source.reached;
        Self {
            source: source.source.to_string(),
            since: reached.map(|reached| rfc3339(reached.wanted.since)),
            before: reached.map(|reached| rfc3339(reached.wanted.before)),
            read_since: reached.map(|reached| rfc3339(reached.since)),
            new: source.new,
            done,
            error: source.trouble.filter(|_| !done),
        }
    }
}

pub(super) fn run(args: Args, config: &Path, stop: &CancellationToken) -> Result<()> {
    let config = super::load(config)?;
    let store = match Store::open(&config.data_dir, Breaker::default()) {
        Err(error @ StoreError::InUse(_)) => {
            return Err(error).context(
                "a backfill in the foreground needs the log to itself: stop the service first (it reads history by itself)",
            );
        }
        opened => opened?,
    };
    let clock = Clock::system();
    let sources = args.source.into_iter().collect();
    let mut history = History::open(store.clone(), &config, args.since, sources, &clock)?;
    let mut progress = Progress::new(clock)?;
    let every = progress.every();
    let end = super::block_on(history.read(stop, every, |sources| progress.show(sources)))?;
    let fared = history.sources()?;
    progress.finish(&fared);

    let (index, _) = open_index(&config.data_dir, &store, Breaker::default())?;
    // Whoever stops it does not want to wait for the index: the service, or the next run, brings it up.
    let all_searchable = catch_up_while(store.clone(), &index, || !stop.is_cancelled())?;
    store.close()?;
    let summary = Summary {
        new: fared.iter().map(|source| source.new).sum(),
        events: store.head().0,
        all_searchable,
        done: fared.iter().all(SourceHistory::is_done) && end.unlisted.is_empty(),
        sources: fared.into_iter().map(SourceReport::from).collect(),
    };
    if args.json {
        say(serde_json::to_string(&summary)?)?;
    } else {
        say(summary.for_people())?;
    }
    summary.judge(&end, stop)
}

impl Summary {
    fn for_people(&self) -> String {
        let done = self.sources.iter().filter(|source| source.done);
        let mut text = format!(
            "{} of {} sources are read as far back as was asked for; {} events are new\n",
            HumanCount(done.count() as u64),
            HumanCount(self.sources.len() as u64),
            HumanCount(self.new),
        );
        let not_done: Vec<_> = self.sources.iter().filter(|source| !source.done).collect();
        for source in not_done.iter().take(MAX_SHOWN) {
            let reached = match &source.read_since {
                Some(since) => format!("read back to {since}"),
                None => "not read".to_owned(),
            };
            let why = source.error.as_deref().map(harmless);
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            text += &format!("  {} is {reached}{why}\n", source.source);
        }
        let more = not_done.len().saturating_sub(MAX_SHOWN);
        if more > 0 {
            text += &format!("  and {more} more: see --json\n");
        }
        let searchable = if self.all_searchable {
            "all of them searchable"
        } else {
            "some of them not searchable yet"
        };
        text + &format!(
            "Events in the log: {}, {searchable}.",
            HumanCount(self.events)
        )
    }

    /// What the exit code says.
    fn judge(&self, end: &HistoryEnd, stop: &CancellationToken) -> Result<()> {
        if self.done {
            return Ok(());
        }
        if stop.is_cancelled() {
            bail!("stopped before the end; what was read is kept: run it again to go on");
        }
        if let Some(credential) = end.refused.first() {
            bail!("upstream refused the credential {credential}; run it again when it works");
        }
        if let Some(organization) = end.unlisted.first() {
            bail!(
                "the accounts of the organization {organization} could not be listed; run it again to go on"
            );
        }
        let not_done = self.sources.iter().filter(|source| !source.done).count();
        ensure!(
            not_done == 0,
            "{not_done} of {} sources could not be read as far back as was asked for; run it again to go on",
            self.sources.len()
        );
        Ok(())
    }
}
