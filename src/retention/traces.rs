//! What is left of erased bodies in the log's file, removed step by step: dictionaries that were trained from them, free pages, and
//! the write-ahead log. The index removes what it has by itself.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tracing::{info, warn};

use crate::position::{Seq, Source};
use crate::store::{Replacement, Store, StoreError};

/// How much free space rewriting the file needs, in sizes of the file: a copy, and the same in the write-ahead log.
const REWRITE_NEEDS: u64 = 2;

/// How many rows are written again in one transaction.
const BLOCK: u64 = 512;

/// After how many reports of SQLite a line about the rewriting is written to the service's log.
const REPORTS_A_LINE: u64 = 200;

/// How far the removal has come.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// Whether the dictionaries were looked at since the last erasing.
    has_looked: bool,
    replacement: Option<Replacement>,
    /// Blocks of rows in which some were erased, to be written again close to each other.
    loose: BTreeSet<u64>,
    is_dirty: bool,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TraceStep {
    /// Nothing is left.
    Clean,
    /// The next step can come soon.
    GoesOn,
    /// A reader is in the way; it is tried again a little later.
    Waits,
}

impl Traces {
    /// Something was erased, or may have been before a crash.
    pub(super) fn note_erased(&mut self) {
        self.has_looked = false;
        self.is_dirty = true;
    }

    /// These rows are small now.
    pub(super) fn note_small(&mut self, seqs: impl Iterator<Item = Seq>) {
        self.loose.extend(seqs.map(|seq| seq.0 / BLOCK));
    }

    /// The next step.
    pub(super) fn step(
        &mut self,
        store: &Store,
        cutoffs: &HashMap<Source, DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<TraceStep, StoreError> {
        if !self.is_dirty {
            return Ok(TraceStep::Clean);
        }
        if self.replacement.is_none() && !self.has_looked {
            self.replacement = store.begin_replacement(cutoffs, now)?;
            self.has_looked = true;
        }
        if let Some(replacement) = &mut self.replacement {
            if !store.go_on_replacing(replacement)? {
                self.replacement = None;
            }
            return Ok(TraceStep::GoesOn);
        }
        if let Some(block) = self.loose.pop_first() {
            compact(store, block)?;
            return Ok(TraceStep::GoesOn);
        }
        if store.shrink()? {
            return Ok(TraceStep::GoesOn);
        }
        if !store.empty_write_ahead_log()? {
            return Ok(TraceStep::Waits);
        }
        self.is_dirty = false;
        Ok(TraceStep::Clean)
    }
}

/// Writes the rows of a block again, close to each other. Where one is damaged, they stay as they are.
fn compact(store: &Store, block: u64) -> Result<(), StoreError> {
    let (first, last) = (Seq(block * BLOCK), Seq(block * BLOCK + BLOCK - 1));
    match store.compact(first, last) {
        Ok(_) => Ok(()),
        Err(StoreError::Damaged(why)) => {
            warn!(first = first.0, last = last.0, error = %why, "Some rows are damaged; those beside them do not give their space back.");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Rewrites a file of an earlier version once, so that it can give space back. `stopping` says that it must be interrupted.
pub(super) fn rewrite_if_needed(
    store: &Store,
    stopping: &Arc<dyn Fn() -> bool + Send + Sync>,
) -> Result<(), StoreError> {
    if store.can_shrink()? {
        return Ok(());
    }
    let size = store.file_bytes();
    if store
        .free_bytes()
        .is_some_and(|free| free < size.saturating_mul(REWRITE_NEEDS))
    {
        warn!(
            file.bytes = size,
            "The log's file is of an earlier version, which cannot give space back. Rewriting it needs free space of twice its size; it is tried again at the next start."
        );
        return Ok(());
    }
    info!(
        file.bytes = size,
        "Rewriting the log's file once, so that it can give space back. Nothing is collected meanwhile."
    );
    let (mut reports, stopping) = (0_u64, Arc::clone(stopping));
    let is_over = move || {
        reports += 1;
        if reports % REPORTS_A_LINE == 0 {
            info!("The log's file is still being rewritten.");
        }
        stopping()
    };
    if store.rewrite(is_over)? {
        info!(file.bytes = store.file_bytes(), "Rewrote the log's file.");
    } else {
        info!("Rewriting the log's file was interrupted; it begins again at the next start.");
    }
    Ok(())
}
