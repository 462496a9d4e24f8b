//! What would be erased now, and what holds keep.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::holds::HoldJudge;
use super::policy::RetentionPolicies;
use super::run::{DuePolicies, ROWS_AT_ONCE};
use crate::position::Seq;
use crate::store::{Store, StoreError};

/// How many events are read at once when holds are in force, and about how many bytes of them.
const EVENTS_AT_ONCE: usize = 1_000;
const BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// What would be erased now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RetentionPlan {
    /// How many bodies are due and kept by no hold.
    pub due: u64,
    /// The bytes of these on disk.
    pub due_bytes: u64,
    /// How many bodies are due and kept by holds.
    pub held: u64,
    /// Whether something of bodies that were erased is still being removed from the disk.
    pub traces_left: bool,
}

/// Looks at the whole log.
///
/// # Errors
/// What the log says.
pub fn plan(
    store: &Store,
    policies: &RetentionPolicies,
    now: DateTime<Utc>,
) -> Result<RetentionPlan, StoreError> {
    let judge = HoldJudge::of(&store.holds_in_force()?);
    let known = DuePolicies::of(store, policies, now)?;
    let mut plan = RetentionPlan {
        traces_left: store.has_traces()?,
        ..RetentionPlan::default()
    };
    let (mut at, head) = (Seq::ZERO, store.head());
    while at < head {
        let next = Seq((at.0 + ROWS_AT_ONCE).min(head.0));
        let mut rows = store
            .due_within(at, next, &known.cutoffs)?
            .due
            .into_iter()
            .peekable();
        while rows.peek().is_some() {
            let some: Vec<_> = rows.by_ref().take(EVENTS_AT_ONCE).collect();
            plan.count(store, &judge, &some)?;
        }
        at = next;
    }
    Ok(plan)
}

impl RetentionPlan {
    fn count(
        &mut self,
        store: &Store,
        judge: &HoldJudge,
        rows: &[crate::store::DueRow],
    ) -> Result<(), StoreError> {
        let mut rows = rows;
        while !rows.is_empty() {
            let taken = if judge.ids().is_empty() {
                self.due += rows.len() as u64;
                self.due_bytes += rows.iter().map(|row| row.bytes).sum::<u64>();
                rows.len()
            } else {
                let seqs: Vec<Seq> = rows.iter().map(|row| row.seq).collect();
                let (events, taken) = store.events_at(&seqs, BYTES_AT_ONCE, Ok)?;
                for (event, row) in events.iter().zip(rows) {
                    if judge.keeps(event) {
                        self.held += 1;
                    } else {
                        self.due += 1;
                        self.due_bytes += row.bytes;
                    }
                }
                taken.max(1)
            };
            rows = &rows[taken.min(rows.len())..];
        }
        Ok(())
    }
}
