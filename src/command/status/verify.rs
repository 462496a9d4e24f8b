//! `orgtrail status --verify`: a stretch of a source's log, read again now, and in what it differs from what is held.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use indicatif::{HumanCount, ProgressBar};
use serde::Serialize;

use super::super::{block_on, load, search};
use super::{Args, plain_table, word};
use crate::clock::Clock;
use crate::durable::Breaker;
use crate::poll::{Difference, Differs, Verdict};
use crate::position::{Source, Window, rfc3339};
use crate::service;
use crate::store::{FILE_NAME, Store, StoreError};
use crate::terminal::{harmless, say};

/// How many differences are listed; `--json` has more.
const MAX_SHOWN: usize = 20;

/// What came of it.
#[derive(Serialize)]
struct Report {
    source: String,
    since: String,
    before: String,
    /// When the scan began.
    scanned_at: String,
    pages: u64,
    /// Entries that upstream shows in the stretch.
    shown: u64,
    /// Of those, entries without a readable time.
    without_time: u64,
    not_held: u64,
    not_shown: u64,
    other_content: u64,
    /// All of the last three.
    differences_total: u64,
    /// The first hundred.
    differences: Vec<DifferenceReport>,
}

#[derive(Serialize)]
struct DifferenceReport {
    differs: DiffersReport,
    id: Option<String>,
    time: Option<String>,
    /// Where it is held.
    seq: Option<u64>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum DiffersReport {
    NotHeld,
    NotShown,
    OtherContent,
}

pub(super) fn run(args: &Args, source: &Source, path: &Path) -> Result<()> {
    let config = load(path).context("upstream is asked as the configuration says")?;
    let dir = args.reach.data_dir.as_ref().unwrap_or(&config.data_dir);
    let clock = Clock::system();
    let now = clock.now();
    let wanted = stretch(args, now)?;
    let (store, is_beside) = open(dir)?;
    let verify = service::verify(store, &config, source.clone(), wanted, is_beside, &clock)?;
    let window = verify.window();
    ensure!(
        !window.is_empty(),
        "there is nothing to compare in {wanted}: whole seconds of the past are compared that upstream still keeps"
    );
    // Shown on a terminal only.
    let bar = ProgressBar::new_spinner();
    let verdict = block_on(async {
        let verdict = verify.run(|verdict| {
            bar.set_message(format!(
                "{} pages, {} entries, {} differences",
                HumanCount(verdict.pages),
                HumanCount(verdict.shown),
                HumanCount(verdict.total())
            ));
            bar.tick();
        });
        verdict.await.context("the stretch could not be compared")
    })?;
    bar.finish_and_clear();
    let report = Report::of(source, window, now, &verdict);
    if args.json {
        say(serde_json::to_string(&report)?)?;
    } else {
        report.say()?;
    }
    let total = verdict.total();
    ensure!(total == 0, "upstream and the log differ in {total} entries");
    Ok(())
}

/// The stretch that was named.
fn stretch(args: &Args, now: DateTime<Utc>) -> Result<Window> {
    let since = search::moment("since", args.since.as_deref(), now)?.unwrap_or(now);
    let before = search::moment("before", args.before.as_deref(), now)?.unwrap_or(now);
    Ok(Window::new(since, before))
}

/// The log, to itself if no service uses it; whether one does.
fn open(dir: &Path) -> Result<(Store, bool)> {
    // Where there is no log none is begun.
    if dir.join(FILE_NAME).exists() {
        match Store::open(dir, Breaker::default()) {
            Err(StoreError::InUse(_)) => {}
            opened => return Ok((opened?, false)),
        }
    }
    Ok((Store::open_beside(dir)?, true))
}

impl Report {
    fn of(source: &Source, window: Window, scanned_at: DateTime<Utc>, verdict: &Verdict) -> Self {
        Self {
            source: source.to_string(),
            since: rfc3339(window.since),
            before: rfc3339(window.before),
            scanned_at: rfc3339(scanned_at),
            pages: verdict.pages,
            shown: verdict.shown,
            without_time: verdict.without_time,
            not_held: verdict.count(Differs::NotHeld),
            not_shown: verdict.count(Differs::NotShown),
            other_content: verdict.count(Differs::OtherContent),
            differences_total: verdict.total(),
            differences: verdict.differences.iter().map(Into::into).collect(),
        }
    }

    fn say(&self) -> Result<()> {
        say(format!(
            "{} from {} to {}, as upstream shows it at {}: {} entries",
            self.source,
            self.since,
            self.before,
            self.scanned_at,
            HumanCount(self.shown)
        ))?;
        if self.differences.is_empty() {
            return Ok(say("All of them are held, and nothing else.")?);
        }
        say(format!(
            "{} not held, {} not shown any more, {} with other content",
            HumanCount(self.not_held),
            HumanCount(self.not_shown),
            HumanCount(self.other_content)
        ))?;
        let mut table = plain_table();
        table.set_header(["DIFFERENCE", "TIME", "SEQ", "ID"]);
        for one in self.differences.iter().take(MAX_SHOWN) {
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
            table.add_row([
                word(one.differs),
                or_dash(one.time.clone()),
                or_dash(one.seq.map(|seq| seq.to_string())),
                or_dash(one.id.as_deref().map(harmless)),
            ]);
        }
        say(table)?;
        let more = self.differences_total - self.differences.len().min(MAX_SHOWN) as u64;
        if more > 0 {
            say(format!("… and {more} more: see --json"))?;
        }
        Ok(())
    }
}

impl From<&Difference> for DifferenceReport {
    fn from(one: &Difference) -> Self {
        Self {
            differs: match one.differs {
                Differs::NotHeld => DiffersReport::NotHeld,
                Differs::NotShown => DiffersReport::NotShown,
                Differs::OtherContent => DiffersReport::OtherContent,
            },
            id: one.id.clone(),
            time: one.time.map(rfc3339),
            seq: one.seq.map(|seq| seq.0),
        }
    }
}
