//! `orgtrail reindex`: the same follower as in service, run until it has caught up.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args as ClapArgs;
use indicatif::{HumanCount, HumanDuration};

use super::print::counted;
use crate::clock::Clock;
use crate::durable::Failpoints;
use crate::engine::tantivy::Index;
use crate::follow::index::{Indexing, open_index};
use crate::store::{Store, StoreError};
use crate::terminal::{note, say};

/// How often a line says how far it is where no bar can be shown.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Shown with `--help`.
const EXAMPLES: &str = "\
Examples:
  orgtrail reindex
  orgtrail reindex --data-dir /var/lib/orgtrail";

/// Which index.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The data directory, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<std::path::PathBuf>,
}

pub(super) fn run(args: &Args, config: &Path) -> Result<()> {
    let dir = super::start::data_dir(args.data_dir.as_deref(), config)?;
    // Where there is no log, none is to be made.
    drop(Store::open_beside(&dir)?);
    let store = match Store::open(&dir, Failpoints::default()) {
        Err(error @ StoreError::InUse(_)) => {
            return Err(error).context(
                "the index can be built again only while no service runs: stop the service first",
            );
        }
        opened => opened?,
    };
    let head = store.head();
    let (index, _) = open_index(&dir, &store, Failpoints::default())?;
    index.clear(head)?;
    catch_up(store, &index)?;
    Ok(say(match head.0 {
        1 => "The index holds the one event.".to_owned(),
        events => format!("The index holds all {}.", counted(events, "event")),
    })?)
}

/// Indexes up to the log's head, and closes the index.
pub(super) fn catch_up(store: Store, index: &Index) -> Result<()> {
    catch_up_while(store, index, || true).map(|_| ())
}

/// The same, unless it is interrupted. Returns whether the index is up to date.
pub(super) fn catch_up_while(
    store: Store,
    index: &Index,
    is_wanted: impl Fn() -> bool,
) -> Result<bool> {
    let head = store.head();
    let bar = super::print::event_bar(head.0)?;
    let mut indexing = Indexing::in_bulk(store, index.clone(), Clock::system());
    let mut is_up = index.checkpoint() == head;
    let is_terminal = io::stderr().is_terminal();
    let mut said = Instant::now();
    while !is_up && is_wanted() {
        is_up = !indexing.steady_turn()?.has_more;
        bar.set_position(index.added().0);
        if !is_terminal && said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            note(format!(
                "{} of {} events are indexed; {} left",
                HumanCount(index.added().0),
                HumanCount(head.0),
                HumanDuration(bar.eta())
            ))?;
        }
    }
    indexing.commit()?;
    index.close()?;
    bar.finish_and_clear();
    Ok(is_up)
}
