//! The log checked against its own hashes, gently, for as long as the service runs.
//!
//! A pass reads every event in order and compares its body with its SHA-256; then it rests for a week. How far it has come and
//! what it found are saved in the log. It reads only: damaged events are repaired when the same entry comes in again, or by
//! `orgtrail scrub`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::position::Seq;
use crate::store::{Scrubbed, Store, StoreError};
use crate::task;

/// The most events that are checked in one step.
const STEP_EVENTS: usize = 500;

/// About the most bytes of entries that are checked in one step.
const STEP_BYTES: usize = 2 * 1024 * 1024;

/// How long a pass rests between two steps: it checks at most 250 events and about 1 MiB a second.
const STEP_EVERY: Duration = Duration::from_secs(2);

/// How long after a full pass the next one begins.
const PASS_EVERY: TimeDelta = TimeDelta::days(7);

/// How long after the start the first step comes, and how often it is looked whether a pass is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long to wait after a failure.
const RETRY: Duration = Duration::from_secs(600);

/// How many damaged events are named in the service's log for each step.
const MAX_NAMED: usize = 10;

/// The passes over one log.
pub struct Scrub {
    store: Store,
    clock: Clock,
    /// The last event that the pass under way has checked.
    position: Option<Seq>,
}

impl Scrub {
    /// Passes over `store`.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Self {
        Self {
            store,
            clock,
            position: None,
        }
    }

    /// Checks until told to stop. Nothing that goes wrong here ends the service.
    pub async fn run(mut self, stop: CancellationToken) {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let mut wait = LOOK_EVERY;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
            let now = clock.now();
            let turned = task::caught(move || {
                let turned = self.turn(now);
                (self, turned)
            });
            match turned.await {
                Ok((scrub, turned)) => {
                    self = scrub;
                    wait = turned.unwrap_or_else(|error| {
                        warn!(error = %error, "Checking the log failed; retrying.");
                        RETRY
                    });
                }
                Err(_) => {
                    self = Self::new(store.clone(), clock.clone());
                    wait = RETRY;
                }
            }
        }
    }

    /// Checks the next events, if a pass is due, and says when to come again.
    ///
    /// # Errors
    /// What the log says.
    pub fn turn(&mut self, now: DateTime<Utc>) -> Result<Duration, StoreError> {
        self.store.save_damage_seen(now)?;
        if self.position.is_none() {
            let state = self.store.scrub_state()?;
            let is_due = state
                .full_at
                .is_none_or(|at| now - at >= PASS_EVERY || at > now);
            if self.store.head() == Seq::ZERO || (state.position == Seq::ZERO && !is_due) {
                return Ok(LOOK_EVERY);
            }
            self.position = Some(state.position);
        }
        let Some(position) = self.position else {
            return Ok(LOOK_EVERY);
        };
        let found = self.store.scrub(position, STEP_EVENTS, STEP_BYTES)?;
        let is_full = found.events == 0 || found.upto >= self.store.head();
        self.save(position, &found, is_full, now)?;
        Ok(if is_full { LOOK_EVERY } else { STEP_EVERY })
    }

    /// Saves a step of the pass: what it found, and how far it has come.
    fn save(
        &mut self,
        after: Seq,
        found: &Scrubbed,
        is_full: bool,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        for event in found.damaged.iter().take(MAX_NAMED) {
            if !self.store.is_known_damaged(event.seq)? {
                let why_lost = event.beyond_repair(now).map(|why| why.explanation());
                warn!(
                    seq = event.seq.0,
                    problem = event.damage.name(),
                    cannot_be_repaired = why_lost,
                    "An event is damaged in the log; `orgtrail scrub` lists what is damaged and repairs what upstream still has."
                );
            }
        }
        let range = (after, found.upto);
        self.store.save_scrub(range, &found.damaged, is_full, now)?;
        self.position = (!is_full).then_some(found.upto);
        if is_full {
            info!(
                events = found.upto.0,
                "Checked every event of the log against its hash."
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::clock::from_micros;
    use crate::durable::Failpoints;
    use crate::event::Arrival;
    use crate::position::Source;
    use crate::store::{FILE_NAME, Imported};

    #[test]
    fn a_pass_goes_on_after_a_restart_and_rests_for_a_week_when_it_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let entries: Vec<Imported> = (0..1_200)
            .map(|n| Imported {
                source: Source::account("a").unwrap(),
                label: None,
                arrival: Arrival::read(
                    RawValue::from_string(format!(r#"{{"id":"{n}"}}"#)).unwrap(),
                ),
            })
            .collect();
        let now = from_micros(1_785_000_000_000_000);
        let scrub = || Scrub::new(store.clone(), Clock::manual(now));
        assert_eq!(scrub().turn(now).unwrap(), LOOK_EVERY, "an empty log");
        store.begin_import().unwrap();
        store.import(&entries, now).unwrap();
        let other = rusqlite::Connection::open(dir.path().join(FILE_NAME)).unwrap();
        other
            .execute("UPDATE event SET body = x'00' WHERE seq IN (10, 1100)", [])
            .unwrap();

        // Damage is saved at once, with the position.
        assert_eq!(scrub().turn(now).unwrap(), STEP_EVERY);
        let state = store.scrub_state().unwrap();
        assert_eq!(
            (state.position, state.damaged, state.full_at),
            (Seq(500), 1, None)
        );
        let mut second = scrub();
        assert_eq!(second.turn(now).unwrap(), STEP_EVERY);
        // Each step is saved by itself.
        assert_eq!(store.scrub_state().unwrap().position, Seq(1_000));
        assert_eq!(second.turn(now).unwrap(), LOOK_EVERY);
        let state = store.scrub_state().unwrap();
        assert_eq!(
            (state.position, state.damaged, state.full_at),
            (Seq::ZERO, 2, Some(now))
        );

        let day = TimeDelta::days(1);
        assert_eq!(second.turn(now + day * 6).unwrap(), LOOK_EVERY);
        assert_eq!(second.turn(now + day * 7).unwrap(), STEP_EVERY);
    }
}
