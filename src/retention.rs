//! Retention: bodies that are due by a policy are erased, unless a hold keeps them, and nothing of them stays on disk.
//!
//! It erases nothing unless a policy is configured. Where it is not certain that a body may be erased, it is kept: when a hold's
//! question cannot be judged, when the row cannot be read, when a hold was created meanwhile, and when the clock cannot be right.
//!
//! A run looks at the whole log: at start, when holds changed, and when the next body becomes due. New events are looked at soon
//! after they arrive. Everything is done in small transactions with rests between them, so that the poller goes on.

mod holds;
mod plan;
mod policy;
mod present;
mod run;
mod shown;
mod traces;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use self::holds::{HoldJudge, mistake, unknown_names};
pub use self::plan::{RetentionPlan, plan};
pub use self::policy::{DuePolicy, KeptFor, RetentionPolicies, SourcePolicy};
use self::present::Present;
use self::run::{DuePolicies, ErasingRun, RunStep};
pub use self::shown::{ShownHold, ShownHolds};
use self::traces::{TraceStep, Traces, rewrite_if_needed};
use crate::clock::Clock;
use crate::position::Seq;
use crate::store::{AccessChange, AccessEntry, AccessLine, AccessStore, HoldId, Store, StoreError};
use crate::task;

/// How often it is looked whether there are new events, and whether holds changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long to wait after a failure.
const RETRY: Duration = Duration::from_secs(15);

/// How long to wait when a reader is in the way.
const WAIT: Duration = Duration::from_millis(500);

/// How long a run over all of a log rests until the next one at least, and how long that of a large log does.
const RUN_EVERY: TimeDelta = TimeDelta::minutes(1);
const RUN_EVERY_WHEN_LARGE: TimeDelta = TimeDelta::hours(1);

/// From how many events on a log is large.
const LARGE: Seq = Seq(1_000_000);

/// After how long a long run removes what is left of the bodies that it has erased.
const CLEAN_EVERY: TimeDelta = TimeDelta::seconds(15);

/// How long the end of the service may take for what is left of erased bodies.
const FINISH_WITHIN: TimeDelta = TimeDelta::seconds(60);

/// The retention of one log.
pub struct Retention {
    store: Store,
    access: AccessStore,
    policies: RetentionPolicies,
    clock: Clock,
    stopping: Arc<dyn Fn() -> bool + Send + Sync>,
    traces: Traces,
    present: Present,
    run: Option<RecordedRun>,
    /// All events up to this one were looked at, with these holds.
    looked: Option<(Seq, Vec<HoldId>)>,
    /// When the last run over all of the log began, by the steady clock, and when the next body becomes due after it.
    last_full: Option<(DateTime<Utc>, Option<DateTime<Utc>>)>,
    last_clean: DateTime<Utc>,
    is_begun: bool,
}

/// A run, and its line in the access log once it has erased something.
struct RecordedRun {
    run: ErasingRun,
    line: Option<AccessLine>,
    is_full: bool,
}

impl Retention {
    /// The retention of `store` by `policies`; what it erases is recorded in `access`.
    #[must_use]
    pub fn new(
        store: Store,
        access: AccessStore,
        policies: RetentionPolicies,
        clock: Clock,
    ) -> Self {
        let last_clean = clock.steady();
        Self {
            store,
            access,
            policies,
            clock,
            stopping: Arc::new(|| false),
            traces: Traces::default(),
            present: Present::default(),
            run: None,
            looked: None,
            last_full: None,
            last_clean,
            is_begun: false,
        }
    }

    /// Erases what is due until told to stop. Nothing that goes wrong here ends the service.
    pub async fn run(mut self, stop: CancellationToken) {
        let stopping = stop.clone();
        self.stopping = Arc::new(move || stopping.is_cancelled());
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
            let turned = task::blocking(move || {
                let turned = task::catch(|| self.turn());
                (self, turned)
            });
            let turned = turned.await;
            self = turned.0;
            wait = match turned.1 {
                Ok(Ok(wait)) => wait,
                Ok(Err(error)) => {
                    warn!(error = %error, "Retention failed; retrying.");
                    self.begin_again();
                    RETRY
                }
                Err(_) => {
                    self.begin_again();
                    RETRY
                }
            };
        }
        task::blocking(move || self.end_run()).await;
    }

    /// Does everything that there is to do now: for commands and tests.
    ///
    /// # Errors
    /// What the log says.
    pub fn catch_up(&mut self) -> Result<(), StoreError> {
        while self.turn()? < LOOK_EVERY {}
        Ok(())
    }

    /// The next step. Says when to come again.
    ///
    /// # Errors
    /// What the log says. The next turn begins a run again.
    pub fn turn(&mut self) -> Result<Duration, StoreError> {
        let begun = self.clock.steady();
        self.begin()?;
        let now = self.present.look(&self.store, &self.clock)?;
        let rest = |retention: &Self| {
            let took = (retention.clock.steady() - begun).to_std();
            took.unwrap_or_default().min(WAIT) / 2
        };
        if self.run.is_none() {
            self.begin_run_if_due(now)?;
        }
        let is_time_to_clean = begun - self.last_clean >= CLEAN_EVERY;
        if self.run.is_some() && !is_time_to_clean {
            self.go_on(now)?;
            return Ok(rest(self));
        }
        if self.run.is_some() {
            self.last_clean = begun;
            self.store.empty_write_ahead_log()?;
            return Ok(Duration::ZERO);
        }
        self.last_clean = begun;
        let cutoffs = DuePolicies::of(&self.store, &self.policies, now)?.cutoffs;
        Ok(match self.traces.step(&self.store, &cutoffs, now)? {
            TraceStep::Clean => LOOK_EVERY,
            TraceStep::GoesOn => rest(self),
            TraceStep::Waits => WAIT,
        })
    }

    /// What comes first after a start.
    fn begin(&mut self) -> Result<(), StoreError> {
        if self.is_begun {
            return Ok(());
        }
        if self.policies.erase_anything() {
            rewrite_if_needed(&self.store, &self.stopping)?;
        }
        if self.store.has_erased()? {
            self.traces.note_erased();
        }
        self.is_begun = true;
        Ok(())
    }

    /// Forgets how far a run has come: after a failure it is not certain what it has done.
    fn begin_again(&mut self) {
        self.end_run();
        self.looked = None;
        self.traces.note_erased();
    }

    fn begin_run_if_due(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        if !self.policies.erase_anything() {
            return Ok(());
        }
        let holds: Vec<HoldId> = {
            let in_force = self.store.holds_in_force()?;
            HoldJudge::of(&in_force).ids()
        };
        let same_holds = |looked: &(Seq, Vec<HoldId>)| looked.1 == holds;
        let (after, is_full) = match &self.looked {
            Some(looked) if same_holds(looked) && !self.is_full_due(now) => (looked.0, false),
            _ => (Seq::ZERO, true),
        };
        if after >= self.store.head() {
            return Ok(());
        }
        let run = ErasingRun::begin(&self.store, &self.policies, after, now)?;
        self.run = Some(RecordedRun {
            run,
            line: None,
            is_full,
        });
        Ok(())
    }

    /// Whether a body may be due that was looked at before.
    fn is_full_due(&self, now: DateTime<Utc>) -> bool {
        let Some((begun, next_due)) = self.last_full else {
            return true;
        };
        let every = if self.store.head() > LARGE {
            RUN_EVERY_WHEN_LARGE
        } else {
            RUN_EVERY
        };
        self.clock.steady() - begun >= every && next_due.is_some_and(|next| next <= now)
    }

    /// The next step of the run.
    fn go_on(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let Some(recorded) = &mut self.run else {
            return Ok(());
        };
        recorded.run.look(&self.store)?;
        let mut step = recorded.run.state();
        if recorded.run.has_due() {
            let judged = recorded.run.judge_some(&self.store)?;
            if !judged.due.is_empty() {
                recorded.record(&self.access, &self.policies, now)?;
                self.traces.note_erased();
            }
            step = recorded.run.erase_judged(&self.store, &judged, now)?;
            self.traces
                .note_small(judged.due.iter().map(|event| event.seq));
        }
        match step {
            RunStep::GoesOn => {}
            RunStep::HoldsChanged => {
                self.looked = None;
                self.end_run();
            }
            RunStep::Finished => self.finish_run(),
        }
        Ok(())
    }

    /// Notes how far the run has come.
    fn finish_run(&mut self) {
        if let Some(RecordedRun { run, is_full, .. }) = &self.run {
            run.report();
            let next = run.next_in_us.map(TimeDelta::microseconds);
            let next = next.and_then(|next| run.began_at().checked_add_signed(next));
            if *is_full {
                self.last_full = Some((self.clock.steady(), next));
            } else if let Some((_, known)) = &mut self.last_full {
                *known = known.iter().copied().chain(next).min();
            }
            self.looked = Some((run.upto(), run.judge().ids()));
        }
        self.end_run();
    }

    /// Completes the line of the run in the access log.
    fn end_run(&mut self) {
        let Some(RecordedRun { run, line, .. }) = self.run.take() else {
            return;
        };
        let Some(line) = line else { return };
        self.store.wake_followers();
        info!(
            events = run.erased,
            "Erased bodies of events that were due."
        );
        let took = (self.clock.now() - run.began_at()).num_milliseconds();
        let complete = AccessChange::Complete {
            line,
            results: run.erased,
            duration_ms: u64::try_from(took).unwrap_or_default(),
        };
        if let Err(error) = self.access.apply_changes(&[complete]) {
            warn!(error = %error, "The line about erased bodies in the access log could not be completed.");
        }
    }
}

impl RecordedRun {
    /// Adds the line of the run to the access log, before anything is erased. What cannot be recorded is not erased.
    fn record(
        &mut self,
        access: &AccessStore,
        policies: &RetentionPolicies,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        if self.line.is_some() {
            return Ok(());
        }
        let line = AccessLine::default();
        let entry = AccessEntry {
            time: now,
            principal: "system".to_owned(),
            address: None,
            action: "retention.erase".to_owned(),
            route: "retention".to_owned(),
            parameters: described(policies),
            results: None,
            duration_ms: None,
            status: None,
        };
        access.apply_changes(&[AccessChange::Add(entry, line.clone())])?;
        self.line = Some(line);
        Ok(())
    }
}

/// The policies in one line.
fn described(policies: &RetentionPolicies) -> String {
    /// The most sources that are named.
    const MAX_NAMED: usize = 50;

    let spelled = |events: &Option<KeptFor>| match events {
        Some(kept) => kept.as_str().to_owned(),
        None => "forever".to_owned(),
    };
    let mut text = format!("events={}", spelled(&policies.events));
    for policy in policies.sources.iter().take(MAX_NAMED) {
        text.push_str(&format!(" {}={}", policy.source, spelled(&policy.events)));
    }
    if policies.sources.len() > MAX_NAMED {
        text.push_str(" …");
    }
    text
}

/// Removes what is left of erased bodies, as far as there is time: at the end of the service, when no other job uses the log.
///
/// # Errors
/// What the log says.
pub fn finish(
    store: &Store,
    policies: &RetentionPolicies,
    clock: &Clock,
) -> Result<(), StoreError> {
    if !store.has_erased()? {
        return Ok(());
    }
    let until = clock.steady() + FINISH_WITHIN;
    let now = Present::default().look(store, clock)?;
    let cutoffs: HashMap<_, _> = DuePolicies::of(store, policies, now)?.cutoffs;
    let mut traces = Traces::default();
    traces.note_erased();
    while clock.steady() < until {
        // What a reader is in the way of is done when the log is closed.
        if traces.step(store, &cutoffs, now)? != TraceStep::GoesOn {
            return Ok(());
        }
    }
    warn!("Something of erased bodies is still on disk; the next start goes on to remove it.");
    Ok(())
}
