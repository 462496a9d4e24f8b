//! One run over the log: which bodies are due, which of them holds keep, and the others erased, a few at a time.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, Utc};
use tracing::warn;

use super::holds::HoldJudge;
use super::policy::{DuePolicy, RetentionPolicies};
use crate::event::{AuditEvent, sha256};
use crate::position::{Seq, Source};
use crate::store::{DueEvent, DueRow, ErasureBatch, ErasurePolicy, Store, StoreError};
use orgtrail_cloudflare::json::canonical;

/// How many rows are looked at in one step: a few milliseconds' work.
pub(super) const ROWS_AT_ONCE: u64 = 20_000;

/// How many bodies are erased in one transaction, and how many bytes of entries are read for it.
const ERASED_AT_ONCE: usize = 400;
const BYTES_AT_ONCE: usize = 4 * 1024 * 1024;

/// What a step of a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunStep {
    /// It goes on.
    GoesOn,
    /// It has looked at all events.
    Finished,
    /// Holds were created or released meanwhile: it begins again.
    HoldsChanged,
}

/// Due bodies of the next few rows.
pub(super) struct JudgedRows {
    /// Those that no hold keeps.
    pub(super) due: Vec<DueEvent>,
    rows: usize,
}

/// A run over the events after one place, up to another one.
pub(super) struct ErasingRun {
    judge: HoldJudge,
    policies: DuePolicies,
    at: Seq,
    upto: Seq,
    waiting: VecDeque<DueRow>,
    /// Our present when it began: what becomes due later is for the next run.
    now: DateTime<Utc>,
    /// How many bodies were erased.
    pub(super) erased: u64,
    /// How long after its beginning the next body becomes due that is not yet.
    pub(super) next_in_us: Option<i64>,
    unreadable: u64,
}

/// The policies of the sources in the log, as they are written down with what they erase.
pub(super) struct DuePolicies {
    of_source: HashMap<Source, usize>,
    all: Vec<ErasurePolicy>,
    pub(super) cutoffs: HashMap<Source, DateTime<Utc>>,
}

impl DuePolicies {
    /// Those of the sources that the log has.
    pub(super) fn of(
        store: &Store,
        policies: &RetentionPolicies,
        now: DateTime<Utc>,
    ) -> Result<Self, StoreError> {
        let mut known = Self {
            of_source: HashMap::new(),
            all: Vec::new(),
            cutoffs: HashMap::new(),
        };
        for row in store.sources()? {
            if let Some(policy) = policies.of(&row.source) {
                known.cutoffs.insert(row.source.clone(), policy.cutoff(now));
                let number = known.number(policy);
                known.of_source.insert(row.source, number);
            }
        }
        Ok(known)
    }

    fn number(&mut self, policy: DuePolicy<'_>) -> usize {
        let written = ErasurePolicy {
            source: policy.source.cloned(),
            events: policy.events.as_str().to_owned(),
        };
        match self.all.iter().position(|known| *known == written) {
            Some(at) => at,
            None => {
                self.all.push(written);
                self.all.len() - 1
            }
        }
    }
}

impl ErasingRun {
    /// A run over the events after `after`.
    pub(super) fn begin(
        store: &Store,
        policies: &RetentionPolicies,
        after: Seq,
        now: DateTime<Utc>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            judge: HoldJudge::of(&store.holds_in_force()?),
            policies: DuePolicies::of(store, policies, now)?,
            at: after,
            upto: store.head(),
            waiting: VecDeque::new(),
            now,
            erased: 0,
            next_in_us: None,
            unreadable: 0,
        })
    }

    /// The holds that it judges by.
    pub(super) fn judge(&self) -> &HoldJudge {
        &self.judge
    }

    /// Up to which event it goes.
    pub(super) fn upto(&self) -> Seq {
        self.upto
    }

    /// Whether bodies are due that holds may keep.
    pub(super) fn has_due(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Looks for due bodies until there are some, or at so many rows.
    pub(super) fn look(&mut self, store: &Store) -> Result<(), StoreError> {
        if self.has_due() || self.at >= self.upto {
            return Ok(());
        }
        let next = Seq((self.at.0 + ROWS_AT_ONCE).min(self.upto.0));
        let found = store.due_within(self.at, next, &self.policies.cutoffs)?;
        let earlier = self.next_in_us.into_iter().chain(found.next_in_us).min();
        self.next_in_us = earlier;
        self.unreadable += found.unreadable;
        self.waiting = found.due.into();
        self.at = next;
        Ok(())
    }

    /// Judges the next few events whose bodies are due: those that no hold keeps, and of how many rows they are.
    pub(super) fn judge_some(&self, store: &Store) -> Result<JudgedRows, StoreError> {
        let asked = self.waiting.iter().take(ERASED_AT_ONCE);
        let asked: Vec<Seq> = asked.map(|row| row.seq).collect();
        let (events, taken) = store.events_at(&asked, BYTES_AT_ONCE, Ok)?;
        let due = events.iter().filter_map(|event| {
            let policy = self.policies.of_source.get(&event.source)?;
            let is_kept = event.is_erased() || self.judge.keeps(event);
            (!is_kept).then(|| due_event(event, *policy))
        });
        Ok(JudgedRows {
            due: due.collect(),
            rows: taken,
        })
    }

    /// Erases the bodies that were judged last.
    pub(super) fn erase_judged(
        &mut self,
        store: &Store,
        judged: &JudgedRows,
        now: DateTime<Utc>,
    ) -> Result<RunStep, StoreError> {
        match self.erase(store, &judged.due, now)? {
            Some(erased) => self.erased += erased,
            None => return Ok(RunStep::HoldsChanged),
        }
        let rows = judged.rows.max(1).min(self.waiting.len());
        self.waiting.drain(..rows);
        Ok(self.state())
    }

    /// Whether there is more to do.
    pub(super) fn state(&self) -> RunStep {
        if self.at >= self.upto && self.waiting.is_empty() {
            RunStep::Finished
        } else {
            RunStep::GoesOn
        }
    }

    /// Says what could not be looked at.
    pub(super) fn report(&self) {
        if self.unreadable > 0 {
            warn!(
                events = self.unreadable,
                "The rows of some events cannot be read; it is not known whether their bodies are due, and they are left as they are."
            );
        }
    }

    fn erase(
        &mut self,
        store: &Store,
        due: &[DueEvent],
        now: DateTime<Utc>,
    ) -> Result<Option<u64>, StoreError> {
        if due.is_empty() {
            return Ok(Some(0));
        }
        let holds = self.judge.ids();
        let erase = |events: &[DueEvent]| {
            store.erase(&ErasureBatch {
                policies: &self.policies.all,
                events,
                holds: &holds,
                at: now,
            })
        };
        match erase(due) {
            Err(StoreError::Damaged(_)) => {}
            erased => return erased,
        }
        // One of them is damaged: each is erased by itself.
        let mut total = 0;
        for event in due {
            match erase(std::slice::from_ref(event)) {
                Ok(None) => return Ok(None),
                Ok(Some(erased)) => total += erased,
                Err(StoreError::Damaged(why)) => {
                    warn!(seq = event.seq.0, error = %why, "The body of a damaged event cannot be erased.");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Some(total))
    }

    /// Our present when it began.
    pub(super) fn began_at(&self) -> DateTime<Utc> {
        self.now
    }
}

fn due_event(event: &AuditEvent, policy: usize) -> DueEvent {
    let canonical = (!event.is_damaged()).then(|| sha256(canonical(event.entry.get()).as_bytes()));
    DueEvent {
        seq: event.seq,
        canonical,
        policy,
    }
}
