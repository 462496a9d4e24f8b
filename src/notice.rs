//! Notices what is wrong with sources and the log, for the rules with `service: orgtrail`: a source that fell silent, a gap in what is
//! proven, an entry that upstream no longer shows, a damaged event.
//!
//! Looks each minute, at facts that are in the log but for how sources are doing. A state is written down when it begins and when it
//! ends (`store/notices.rs`), so that it is noticed once while it lasts, whatever becomes of the program. What is not known, such as how
//! a source is doing before its first call, neither begins nor ends a state.

mod facts;
mod gaps;
mod silence;

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::facts::{facts, hour_of};
use crate::clock::Clock;
use crate::health::Board;
use crate::store::{
    MAX_LASTING, NewNotice, NotShown, NoticeKind, Store, StoreError, SweepToCompare,
};
use crate::task;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The most sweeps that are compared in one look; the others are in the next.
const MAX_SWEEPS: usize = 1_000;

/// For so many hours it is known when a source had entries.
const KEPT_HOURS: i64 = 35 * 24;

/// What looks at sources and the log.
#[derive(Clone)]
pub struct Noticing {
    store: Store,
    board: Board,
    clock: Clock,
    /// When it began, by the steady clock.
    began: DateTime<Utc>,
}

impl Noticing {
    /// Looks at what `store` holds and how the sources on `board` are doing.
    #[must_use]
    pub fn new(store: Store, board: Board, clock: Clock) -> Self {
        Self {
            began: clock.steady(),
            store,
            board,
            clock,
        }
    }

    /// Looks until told to stop. Nothing that goes wrong here ends the service.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let looking = self.clone();
            // A panic was counted and logged where it happened.
            if let Ok(Err(error)) = task::caught(move || looking.look()).await {
                warn!(error = %error, "Could not look for silent sources, gaps and damage; retrying.");
            }
        }
    }

    /// Looks once; gives how many states have begun.
    ///
    /// # Errors
    /// What the log says.
    pub fn look(&self) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let begun = self.look_for_damage(now)?
            + self.look_at_sources(now)?
            + self.look_at_lists(now)?
            + self.compare_sweeps(now)?;
        self.store.forget_busy_hours(hour_of(now) - KEPT_HOURS)?;
        if begun > 0 {
            info!(begun, "Noticed what rules look at.");
        }
        Ok(begun)
    }

    fn look_for_damage(&self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let ended = self.store.notices_of_repaired()?;
        let damaged = self.store.damaged_not_noticed(MAX_LASTING + 1)?;
        let begun: Vec<NewNotice> = damaged
            .into_iter()
            .map(|(seq, source, problem)| NewNotice {
                kind: NoticeKind::LogDamaged,
                subject: seq.to_string(),
                summary: if source.is_empty() {
                    format!("event {seq} ({problem})")
                } else {
                    format!("event {seq} of {source} ({problem})")
                },
                facts: facts([("seq", seq.0.into()), ("problem", problem.into())]),
                source,
            })
            .collect();
        self.store.save_notices(&begun, &ended, now)
    }

    fn compare_sweeps(&self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let mut begun = 0;
        for _ in 0..MAX_SWEEPS {
            let Some(sweep) = self.store.sweep_to_compare()? else {
                break;
            };
            let missing = self.store.not_shown_by(&sweep, MAX_LASTING + 1)?;
            let notices: Vec<NewNotice> = missing
                .iter()
                .map(|missing| disappeared(&sweep, missing))
                .collect();
            begun += self.store.save_compared(&sweep, &notices, now)?;
        }
        Ok(begun)
    }
}

/// What is said of an entry that a sweep did not show.
fn disappeared(sweep: &SweepToCompare, missing: &NotShown) -> NewNotice {
    let (source, seq, id) = (sweep.source.to_string(), missing.seq, missing.id());
    let named = id.as_ref().map(|id| format!(", id {id}"));
    NewNotice {
        kind: NoticeKind::EntryDisappeared,
        subject: missing.subject(),
        summary: format!(
            "{source} no longer shows event {seq}{}",
            named.unwrap_or_default()
        ),
        facts: facts([("seq", seq.0.into()), ("id", id.into())]),
        source,
    }
}

#[cfg(test)]
mod tests;
