//! Log to alerts: judges every event by the rules, and keeps alerts that are exact in event time.
//!
//! A follower of the log. What it finds in some events, and how far it has come, is one transaction, so a kill at any moment neither
//! loses nor doubles an alert. Alerts are functions of the stored events and the rules, not of the order in which events came:
//! entries that come late raise, extend or retract them.
//!
//! New events are judged by all rules in use. A rule that is new or was changed judges the events before its own time in the background,
//! a part in each turn. What it finds there is history, as what is found in backfilled and imported entries. When it has judged
//! everything, alerts that only its earlier version raised are retracted.
//!
//! An entry without a readable time is judged at the time when it was received, as it is ordered everywhere. A damaged event is not
//! judged, because nothing is known that a rule could look at; it is noted, and judged when it can be read again. An erased one is not
//! judged any more.

mod finding;
mod first;
mod judge;
pub mod pairs;
#[cfg(test)]
mod tests;
mod units;
mod verdict;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::judge::Judge;
use self::units::Unit;
use crate::clock::Clock;
use crate::event::AuditEvent;
use crate::follow::board::FollowerBoard;
use crate::follow::{self, Follower, Turned, Wake};
use crate::mask::Mask;
use crate::metrics::Metrics;
use crate::position::Seq;
use crate::rules::Rules;
use crate::store::alerts::{DETECT, Judged, JudgedEvents, Judgement};
use crate::store::{Checkpoint, Store, StoreError};
use crate::sync::lock;
use crate::task::Panicked;

/// The most events judged in one step: what they change is one transaction, which the poller waits for.
const MAX_EVENTS: usize = 500;

/// About the most bytes of events judged in one step.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// How often the log is looked at without an announcement.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How often events are tried again that were damaged.
const RETRY_DAMAGED_EVERY: TimeDelta = TimeDelta::minutes(10);

/// The most damaged events tried again in one step.
const MAX_RETRIED: usize = 100;

/// Why a turn failed.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// The log.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The turn panicked.
    #[error("a turn of the alerts' follower panicked")]
    Panicked(#[from] Panicked),
}

/// Gives other rules to a follower that runs. A clone is another handle to the same one.
#[derive(Debug, Clone)]
pub struct RuleReload {
    next: Arc<Mutex<Option<Rules>>>,
    nudge: Arc<Notify>,
}

impl RuleReload {
    /// From its next turn on the follower judges by these rules. Those that are new or changed judge the whole log in the background.
    pub fn replace(&self, rules: Rules) {
        *lock(&self.next) = Some(rules);
        self.nudge.notify_one();
    }
}

/// The follower.
pub struct Detect {
    store: Store,
    clock: Clock,
    rules: Rules,
    mask: Mask,
    metrics: Metrics,
    checkpoint: Checkpoint,
    /// The rules as the log knows them; `None` until they are saved there.
    in_use: Option<InUse>,
    reload: RuleReload,
    damaged: DamagedRetry,
    /// [`MAX_EVENTS`], but in tests.
    max_events: usize,
}

/// The rules as the log knows them.
struct InUse {
    units: Vec<Unit>,
    key: [u8; 32],
    /// Ids of rules that raise nothing by themselves.
    silent: Vec<String>,
    /// Whether earlier versions of rules may have left something.
    has_old: bool,
}

/// Where the next try of damaged events begins, and when.
struct DamagedRetry {
    after: Seq,
    due: DateTime<Utc>,
}

impl Detect {
    /// Follows `store` by `rules`.
    #[must_use]
    pub fn new(store: Store, rules: Rules, metrics: Metrics, clock: Clock) -> Self {
        let damaged = DamagedRetry {
            after: Seq::ZERO,
            due: clock.steady(),
        };
        Self {
            store,
            rules,
            mask: Mask::default(),
            metrics,
            checkpoint: Checkpoint::default(),
            in_use: None,
            reload: RuleReload {
                next: Arc::default(),
                nudge: Arc::default(),
            },
            damaged,
            max_events: MAX_EVENTS,
            clock,
        }
    }

    /// What gives it other rules while it runs.
    #[must_use]
    pub fn reload(&self) -> RuleReload {
        self.reload.clone()
    }

    /// Follows until told to stop.
    ///
    /// # Errors
    /// At the end, when what came in last could not be judged.
    pub async fn run(
        self,
        board: FollowerBoard,
        stop: CancellationToken,
    ) -> Result<(), DetectError> {
        let nudge = Arc::clone(&self.reload.nudge);
        let wake = Wake::on_heads(&self.store, LOOK_EVERY).nudged_by(nudge);
        let clock = self.clock.clone();
        follow::run(self, wake, board, clock, stop).await
    }

    /// Takes the rules into use that were given last.
    fn use_rules(&mut self) -> Result<(), StoreError> {
        if let Some(rules) = lock(&self.reload.next).take() {
            self.rules = rules;
            self.in_use = None;
        }
        if self.in_use.is_some() {
            return Ok(());
        }
        let raising = units::raising(&self.rules);
        let known = self.store.use_rules(&units::versions(&raising))?;
        let behind = known.rules.iter().filter(|rule| rule.is_behind()).count();
        info!(
            rules = raising.len(),
            behind,
            follower.checkpoint = known.checkpoint.seq.0,
            "Rules are in use."
        );
        self.checkpoint = known.checkpoint;
        self.in_use = Some(InUse {
            units: units::units(&raising, known.rules),
            key: known.key,
            silent: units::silent(&self.rules),
            has_old: true,
        });
        Ok(())
    }

    /// Judges the next new events by every rule. Says whether the log holds more.
    fn judge_new(&mut self) -> Result<bool, StoreError> {
        let from = self.checkpoint.seq;
        let events = self.store.events_after(from, self.max_events, MAX_BYTES)?;
        let Some(last) = events.last() else {
            return Ok(false);
        };
        let to = Checkpoint::after(last);
        let history = self.store.history_among(from, to.seq)?;
        let progress = JudgedEvents::New {
            from,
            to: to.clone(),
        };
        self.judge(&events, |_| true, |seq| history.contains(&seq), progress)?;
        self.checkpoint = to;
        Ok(self.checkpoint.seq < self.store.head())
    }

    /// Judges the next events that were there before some rules, by those rules. Says whether any rule is behind still.
    fn judge_backlog(&mut self) -> Result<bool, StoreError> {
        let Some(in_use) = &self.in_use else {
            return Ok(false);
        };
        let behind = in_use.units.iter().filter(|unit| unit.is_behind());
        let Some(from) = behind.clone().map(|unit| unit.judged).min() else {
            return Ok(false);
        };
        // Rules that are as far judge together; the step ends where the next one joins them or one has caught up.
        let ends = behind.flat_map(|unit| [unit.judged, unit.live_from]);
        let end = ends.filter(|seq| *seq > from).min().unwrap_or(from);
        let mut events = self.store.events_after(from, self.max_events, MAX_BYTES)?;
        events.retain(|event| event.seq <= end);
        let to = events.last().map_or(end, |event| event.seq);
        let is_next = |unit: &Unit| unit.is_behind() && unit.judged == from;
        let next = in_use.units.iter().filter(|unit| is_next(unit));
        let progress = JudgedEvents::Backlog {
            rules: next.map(|unit| unit.number).collect(),
            from,
            to,
        };
        self.judge(&events, is_next, |_| true, progress)?;
        let mut is_behind = false;
        if let Some(in_use) = &mut self.in_use {
            for unit in in_use.units.iter_mut().filter(|unit| is_next(unit)) {
                unit.judged = to;
            }
            is_behind = in_use.units.iter().any(Unit::is_behind);
            in_use.has_old = true;
        }
        Ok(is_behind)
    }

    /// Judges events that were damaged and can be read again. Says whether there are more to try now.
    fn judge_repaired(&mut self) -> Result<bool, StoreError> {
        if self.clock.steady() < self.damaged.due {
            return Ok(false);
        }
        let skipped = self
            .store
            .skipped_by_rules(self.damaged.after, MAX_RETRIED)?;
        let Some(last) = skipped.last() else {
            self.damaged = DamagedRetry {
                after: Seq::ZERO,
                due: self.clock.steady() + RETRY_DAMAGED_EVERY,
            };
            return Ok(false);
        };
        let last = *last;
        let mut events = Vec::new();
        for seq in &skipped {
            events.extend(self.store.event(*seq)?);
        }
        events.retain(|event| !event.is_damaged());
        if !events.is_empty() {
            let mut history = BTreeSet::new();
            for event in &events {
                let before = Seq(event.seq.0.saturating_sub(1));
                history.extend(self.store.history_among(before, event.seq)?);
            }
            let progress = JudgedEvents::Readable(events.iter().map(|event| event.seq).collect());
            self.judge(&events, |_| true, |seq| history.contains(&seq), progress)?;
        }
        self.damaged.after = last;
        Ok(true)
    }

    /// Removes a part of what earlier versions of rules left. Says whether there is more.
    fn drop_old_rules(&mut self) -> Result<bool, StoreError> {
        let Some(in_use) = self.in_use.as_mut().filter(|in_use| in_use.has_old) else {
            return Ok(false);
        };
        in_use.has_old = self
            .store
            .drop_old_rules(&in_use.silent, self.clock.now())?;
        Ok(in_use.has_old)
    }

    /// Judges events by some of the rules, and writes down what comes of it.
    fn judge(
        &self,
        events: &[AuditEvent],
        by: impl Fn(&Unit) -> bool,
        is_history: impl Fn(Seq) -> bool,
        progress: JudgedEvents,
    ) -> Result<(), StoreError> {
        let Some(in_use) = &self.in_use else {
            return Ok(());
        };
        let judge = Judge {
            store: &self.store,
            rules: &self.rules,
            key: &in_use.key,
            mask: &self.mask,
            units: in_use.units.iter().filter(|unit| by(unit)).collect(),
            all: &in_use.units,
        };
        let judgement = judge.judge(events, is_history, progress, self.clock.now())?;
        let judged = self.store.judge(&judgement)?;
        self.report(&judgement, &judged);
        Ok(())
    }

    fn report(&self, judgement: &Judgement, judged: &Judged) {
        for level in &judged.raised {
            self.metrics.alerted(*level);
        }
        if !judgement.skipped.is_empty() {
            warn!(
                events = judgement.skipped.len(),
                first = judgement.skipped.first().map_or(0, |seq| seq.0),
                "Damaged events were not judged; they will be judged after repair."
            );
        }
        if !judged.raised.is_empty() || judged.retracted > 0 {
            info!(
                raised = judged.raised.len(),
                retracted = judged.retracted,
                "Alerts were raised or retracted."
            );
        }
    }
}

impl Follower for Detect {
    type Error = DetectError;

    fn name(&self) -> &'static str {
        DETECT
    }

    fn checkpoint(&self) -> Seq {
        self.checkpoint.seq
    }

    fn turn_once(&mut self) -> Result<Turned, DetectError> {
        self.use_rules()?;
        let has_new = self.judge_new()?;
        // Not only when there is nothing new: a busy log must not keep a new rule from the events before it.
        let has_backlog = self.judge_backlog()?;
        let has_more = has_new
            || has_backlog
            || self.judge_repaired()?
            || self.drop_old_rules()?
            // Given meanwhile.
            || lock(&self.reload.next).is_some();
        Ok(Turned {
            has_more,
            next_in: None,
        })
    }

    fn last_turn(&mut self) -> Result<Turned, DetectError> {
        self.use_rules()?;
        Ok(Turned {
            has_more: self.judge_new()?,
            next_in: None,
        })
    }

    fn recover(&mut self, _: DetectError) {
        // The log is asked again where everything is.
        self.in_use = None;
    }

    fn close(&mut self) -> Result<(), DetectError> {
        Ok(())
    }
}
