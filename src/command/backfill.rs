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

use self::progress::BackfillDisplay;
use super::reindex::catch_up_while;
use crate::clock::Clock;
use crate::config::BackfillSince;
use crate::durable::Failpoints;
use crate::follow::index::open_index;
use crate::poll::HistoryEnd;
use crate::position::{Source, rfc3339};
use crate::service::{History, SourceHistory};
use crate::span;
use crate::store::{Store, StoreError};
use crate::terminal::{harmless, say};

/// How many sources that were not read wholly are named to people, of each reason; `--json` has all.
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
struct BackfillSummary {
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
    /// From here on it is read; `null` when no stretch of it was read to its end.
    read_since: Option<String>,
    new: u64,
    done: bool,
    /// Whether upstream refuses it to its credential.
    refused: bool,
    /// What was in the meter, of a source that is not done.
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
            read_since: (reached.filter(|_| source.is_begun)).map(|reached| rfc3339(reached.since)),
            new: source.new,
            done,
            refused: source.is_refused && !done,
            error: source.trouble.filter(|_| !done),
        }
    }
}

pub(super) fn run(args: Args, config: &Path, stop: &CancellationToken) -> Result<()> {
    let config = super::start::load(config)?;
    let store = match Store::open(&config.data_dir, Failpoints::default()) {
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
    let mut progress = BackfillDisplay::new(clock)?;
    let every = progress.every();
    let end = super::start::block_on(history.read(stop, every, |sources| progress.show(sources)))?;
    let fared = history.sources()?;
    progress.finish(&fared);

    let (index, _) = open_index(&config.data_dir, &store, Failpoints::default())?;
    // After an interrupt the index is left behind: the service, or the next run, updates it.
    let all_searchable = catch_up_while(store.clone(), &index, || !stop.is_cancelled())?;
    store.close()?;
    let summary = BackfillSummary {
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

impl BackfillSummary {
    fn for_people(&self) -> String {
        let done = self.sources.iter().filter(|source| source.done);
        let mut text = format!(
            "{} of {} sources are read as far back as was asked for; {} events are new\n",
            HumanCount(done.count() as u64),
            HumanCount(self.sources.len() as u64),
            HumanCount(self.new),
        );
        for group in self.not_done().iter().take(MAX_SHOWN) {
            text += &not_done_text(group);
        }
        let more: usize = self.not_done().iter().skip(MAX_SHOWN).map(Vec::len).sum();
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

    /// The sources that are not read as far back as was asked for, those with the same error together where there are several.
    fn not_done(&self) -> Vec<Vec<&SourceReport>> {
        let mut groups: Vec<Vec<&SourceReport>> = Vec::new();
        for source in self.sources.iter().filter(|source| !source.done) {
            let same = |group: &&mut Vec<&SourceReport>| {
                source.error.is_some() && source.read_since.is_none() && group[0].is_like(source)
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(source),
                None => groups.push(vec![source]),
            }
        }
        groups
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
        let refused = self.sources.iter().filter(|source| source.refused).count();
        let then = match refused {
            0 => "run it again to go on".to_owned(),
            _ => format!(
                "upstream refuses {refused} of them to their credential; when it may read them, run it again to go on"
            ),
        };
        ensure!(
            not_done == 0,
            "{not_done} of {} sources could not be read as far back as was asked for: {then}",
            self.sources.len()
        );
        Ok(())
    }
}

impl SourceReport {
    /// Whether two sources are not read at all, for the same reason.
    fn is_like(&self, other: &Self) -> bool {
        self.read_since == other.read_since && self.error == other.error
    }
}

/// What is said of sources that are not read for the same reason.
fn not_done_text(group: &[&SourceReport]) -> String {
    let Some(first) = group.first() else {
        return String::new();
    };
    let reached = match &first.read_since {
        Some(since) => format!("read back to {since}"),
        None => "not read".to_owned(),
    };
    let why = first.error.as_deref().map(harmless);
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    if group.len() == 1 {
        return format!("  {} is {reached}{why}\n", first.source);
    }
    let mut text = format!("  {} sources are {reached}{why}\n", group.len());
    for source in group.iter().take(MAX_SHOWN) {
        text += &format!("    {}\n", source.source);
    }
    let more = group.len().saturating_sub(MAX_SHOWN);
    if more > 0 {
        text += &format!("    and {more} more: see --json\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_that_are_refused_are_told_of_together() {
        let source = |n: usize, error: Option<&str>, read_since: Option<&str>| SourceReport {
            source: format!("accounts/{n}"),
            since: Some("2026-01-01T00:00:00Z".to_owned()),
            before: Some("2026-08-03T12:00:00Z".to_owned()),
            read_since: read_since.map(str::to_owned),
            new: 0,
            done: error.is_none(),
            refused: error.is_some_and(|error| error.contains("403")),
            error: error.map(str::to_owned),
        };
        let refused = Some("upstream answered 403 Forbidden");
        let mut sources: Vec<_> = (0..25).map(|n| source(n, refused, None)).collect();
        let part = Some("2026-03-01T00:00:00Z");
        sources.push(source(25, Some("upstream answered 502 Bad Gateway"), part));
        sources.push(source(26, None, part));
        let summary = BackfillSummary {
            sources,
            new: 7,
            events: 7,
            all_searchable: true,
            done: false,
        };
        let end = HistoryEnd {
            refused: Vec::new(),
            unlisted: Vec::new(),
        };
        let judged = summary.judge(&end, &CancellationToken::new()).unwrap_err();
        insta::assert_snapshot!(format!("{}\n{judged}", summary.for_people()));
    }
}
