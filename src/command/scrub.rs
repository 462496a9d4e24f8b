//! `orgtrail scrub`: every event of the log against its hash; what is damaged is listed, and repaired where upstream still has it.

use std::path::Path;

use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use clap::Args as ClapArgs;
use indicatif::HumanCount;
use serde::Serialize;
use tracing::warn;

use super::record::Recorded;
use super::reindex;
use crate::clock::Clock;
use crate::config::Config;
use crate::durable::Failpoints;
use crate::engine::{Ask, Range, Scope};
use crate::follow::index::{open_beside, open_index};
use crate::position::Seq;
use crate::query;
use crate::service::{self, Repaired};
use crate::store::{DamagedEvent, MAX_DAMAGED, NotRepaired, Store, StoreError};
use crate::terminal::{harmless, say};

/// The most events that are checked at once.
const STEP_EVENTS: usize = 2_000;

/// About the most bytes of entries that are checked at once.
const STEP_BYTES: usize = 16 * 1024 * 1024;

/// How many damaged events are listed for people; `--json` lists all of them, as far as they are kept.
const MAX_SHOWN: usize = 50;

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail scrub
  orgtrail scrub --data-dir /var/lib/orgtrail --json";

/// Which log.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The data directory, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<std::path::PathBuf>,
    /// JSON instead of lines for people.
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Serialize)]
struct ScrubReport {
    /// How many events were checked.
    events: u64,
    /// How many of them are damaged.
    damaged_total: u64,
    /// Those that are damaged and were not repaired, at most 10,000.
    damaged: Vec<DamagedReport>,
    /// Those that were damaged and are repaired.
    repaired: Vec<DamagedReport>,
}

#[derive(Serialize)]
struct DamagedReport {
    seq: u64,
    problem: &'static str,
    /// Why it was not repaired, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl DamagedReport {
    fn of(event: &DamagedEvent, why: Option<&NotRepaired>) -> Self {
        Self {
            seq: event.seq.0,
            problem: event.damage.name(),
            reason: why.map(NotRepaired::name),
            detail: why.map(|why| harmless(&why.explanation()).to_string()),
        }
    }
}

/// What a pass found.
struct PassResult {
    events: u64,
    total: u64,
    damaged: Vec<DamagedEvent>,
}

pub(super) fn run(args: &Args, path: &Path) -> Result<()> {
    let dir = super::start::data_dir(args.data_dir.as_deref(), path)?;
    // Where there is no log, none is to be made.
    drop(Store::open_beside(&dir)?);
    let (store, is_beside) = match Store::open(&dir, Failpoints::default()) {
        Ok(store) => (store, false),
        Err(StoreError::InUse(_)) => (Store::open_beside(&dir)?, true),
        Err(error) => return Err(error.into()),
    };
    let clock = Clock::system();
    let recorded = Recorded::begin(&dir, "scrub", "scrub", "", clock.now())?;
    let found = check_all(&store, is_beside, clock.now())?;
    recorded.end(found.events)?;
    let repaired = match found.total {
        0 => Repaired::default(),
        _ => repair(&store, &found.damaged, is_beside, path, &clock)?,
    };
    if !repaired.seqs.is_empty() {
        reindex_repaired(&dir, &store)?;
    }
    let is_repaired = |event: &&DamagedEvent| repaired.seqs.binary_search(&event.seq).is_ok();
    let (mended, damaged): (Vec<_>, Vec<_>) = found.damaged.iter().partition(is_repaired);
    let report = ScrubReport {
        events: found.events,
        damaged_total: found.total - mended.len() as u64,
        damaged: (damaged.into_iter())
            .map(|event| DamagedReport::of(event, repaired.not_repaired.get(&event.seq)))
            .collect(),
        repaired: (mended.into_iter())
            .map(|event| DamagedReport::of(event, None))
            .collect(),
    };
    if args.json {
        say(serde_json::to_string(&report)?)?;
    } else {
        say(report.for_people())?;
    }
    ensure!(
        report.damaged_total == 0,
        "{} of {} events are damaged",
        report.damaged_total,
        report.events
    );
    Ok(())
}

/// Checks every event that the log holds now. The result is saved, unless a service has the log.
fn check_all(store: &Store, is_beside: bool, now: DateTime<Utc>) -> Result<PassResult> {
    let head = store.head();
    let bar = super::print::event_bar(head.0)?;
    let mut found = PassResult {
        events: 0,
        total: 0,
        damaged: Vec::new(),
    };
    let mut after = Seq::ZERO;
    while after < head {
        let step = store.scrub(after, STEP_EVENTS, STEP_BYTES)?;
        if step.events == 0 {
            break;
        }
        let is_full = step.upto >= head;
        if !is_beside {
            store.save_scrub((after, step.upto), &step.damaged, is_full, now)?;
        }
        found.events += step.events;
        found.total += step.damaged.len() as u64;
        let room = MAX_DAMAGED - found.damaged.len();
        found.damaged.extend(step.damaged.into_iter().take(room));
        after = step.upto;
        bar.set_position(after.0);
    }
    bar.finish_and_clear();
    Ok(found)
}

/// Repairs from upstream what it still has, if it can be asked.
fn repair(
    store: &Store,
    damaged: &[DamagedEvent],
    is_beside: bool,
    path: &Path,
    clock: &Clock,
) -> Result<Repaired> {
    if is_beside {
        warn!("A service uses this log, so nothing is repaired: stop it and run this again.");
        let why = "a service uses this log; stop it and run `orgtrail scrub` again";
        return Ok(Repaired::nothing(why, damaged, clock.now()));
    }
    let config: Config = match super::start::load(path) {
        Ok(config) => config,
        Err(error) => {
            warn!(
                error = format!("{error:#}"),
                "Reading the configuration failed; nothing is repaired from upstream."
            );
            let why = format!("there is no usable configuration: {error:#}");
            return Ok(Repaired::nothing(&why, damaged, clock.now()));
        }
    };
    let repaired = super::start::block_on(service::repair(store, &config, damaged, clock))?;
    for trouble in &repaired.troubles {
        warn!(
            error = harmless(trouble),
            "Reading damaged events from upstream failed."
        );
    }
    Ok(repaired)
}

/// Makes repaired events searchable by their content again, if the index was made while they were damaged.
fn reindex_repaired(dir: &Path, store: &Store) -> Result<()> {
    // Without an index there is nothing to correct.
    let Ok(view) = open_beside(dir, store) else {
        return Ok(());
    };
    let question = query::parse("problem:damaged", Clock::system().now())?;
    let caller = view.caller(Scope::everything(), None);
    let ask = Ask {
        query: &question,
        range: Range::default(),
        caller: &caller,
    };
    if view.count(&ask)? == 0 {
        return Ok(());
    }
    let (index, _) = open_index(dir, store, Failpoints::default())?;
    index.clear(store.head())?;
    reindex::catch_up(store.clone(), &index)
}

impl ScrubReport {
    fn for_people(&self) -> String {
        let mut text = format!("{} checked.", super::print::counted(self.events, "event"));
        if !self.repaired.is_empty() {
            let repaired = HumanCount(self.repaired.len() as u64);
            text += &format!("\n{repaired} damaged events repaired from upstream.");
        }
        if self.damaged_total == 0 {
            return text + "\nEvery event is whole.";
        }
        text += &format!("\n{} events are damaged:", HumanCount(self.damaged_total));
        for event in self.damaged.iter().take(MAX_SHOWN) {
            text += &format!("\n  seq {}: {}", event.seq, event.problem);
            if let Some(why) = &event.detail {
                text += &format!(" (not repaired: {why})");
            }
        }
        let more = self.damaged_total - self.damaged.len().min(MAX_SHOWN) as u64;
        if more > 0 {
            text += &format!("\n  and {} more: see --json", HumanCount(more));
        }
        text
    }
}
