//! A copied log against its own hashes: every place, every row, every body.

use super::error::BackupError;
use super::progress::{OnProgress, Stage};
use crate::position::Seq;
use crate::store::{DamagedEvent, MAX_DAMAGED, Store, StoreError};

/// The most events that are verified at once.
const STEP_EVENTS: usize = 2_000;

/// About the most bytes of entries that are verified at once.
const STEP_BYTES: usize = 16 * 1024 * 1024;

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    /// How many events.
    pub(super) events: u64,
    /// The place of the newest.
    pub(super) last: Seq,
    /// The SHA-256 of the newest, as its row has it.
    pub(super) last_sha256: Option<String>,
    /// How many events are damaged.
    pub(super) damaged_total: u64,
    /// Which, at most [`MAX_DAMAGED`].
    pub(super) damaged: Vec<DamagedEvent>,
    /// What SQLite found wrong with the file.
    pub(super) problem: Option<String>,
}

impl Verified {
    /// What is damaged, in a sentence; `None` if nothing is.
    pub(super) fn damage(&self) -> Option<String> {
        match (&self.problem, self.damaged_total) {
            (None, 0) => None,
            (Some(problem), 0) => Some(format!("the log is damaged: {problem}")),
            (_, total) => {
                let first = self
                    .damaged
                    .iter()
                    .take(5)
                    .map(|event| event.seq.to_string());
                let first = first.collect::<Vec<_>>().join(", ");
                Some(format!(
                    "{total} of {} events are damaged, the first at seq {first}",
                    self.events
                ))
            }
        }
    }
}

/// Verifies a copy that no process is writing.
pub(super) fn verify(store: &Store, progress: OnProgress<'_>) -> Result<Verified, BackupError> {
    let problem = match store.check() {
        Ok(()) => None,
        Err(StoreError::Damaged(what)) => Some(what),
        Err(error) => return Err(error.into()),
    };
    let head = store.head();
    let mut verified = Verified {
        events: 0,
        last: head,
        last_sha256: store.hash_at(head)?,
        damaged_total: 0,
        damaged: Vec::new(),
        problem,
    };
    let mut after = Seq::ZERO;
    while after < head {
        let step = store.scrub(after, STEP_EVENTS, STEP_BYTES)?;
        if step.events == 0 {
            break;
        }
        verified.events += step.events;
        verified.damaged_total += step.damaged.len() as u64;
        let room = MAX_DAMAGED - verified.damaged.len();
        verified.damaged.extend(step.damaged.into_iter().take(room));
        after = step.upto;
        progress(Stage::Verifying, after.0, head.0);
    }
    Ok(verified)
}
