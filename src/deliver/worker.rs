//! The worker of one destination.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::destination::Destination;
use super::retry;
use crate::clock::Clock;
use crate::metrics::{DeliveryOutcome, Metrics};
use crate::span;
use crate::store::{
    Attempt, AttemptSaved, Decided, NextDelivery, Outgoing, SendPolicy, Store, StoreError,
};
use crate::task;

/// How often a worker looks for messages that another process added, and how long it waits after an error of the log.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a stop waits for an attempt to end. One that is cut short is made again.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// How often old messages are forgotten.
const FORGET_EVERY: TimeDelta = TimeDelta::hours(1);

/// The worker of one destination.
pub struct Deliverer {
    pub(super) name: String,
    pub(super) policy: SendPolicy,
    pub(super) give_up_after: TimeDelta,
    pub(super) destination: Destination,
    pub(super) store: Store,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    /// When old messages are forgotten next, by the steady clock.
    pub(super) forget_at: DateTime<Utc>,
}

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryTurn {
    /// A message was accepted.
    Accepted,
    /// An attempt failed.
    Failed,
    /// A message was given up.
    GivenUp,
    /// Messages were decided about.
    Decided,
    /// Nothing is to be done for this long, or until a message is added.
    Idle(TimeDelta),
}

impl Deliverer {
    /// Sends until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut messages = self.store.messages();
        let mut errors: u32 = 0;
        while !stop.is_cancelled() {
            // Before the turn, so that a message which is added during it is noticed.
            messages.mark_unchanged();
            let turn = self.turn();
            let turn = tokio::select! {
                turn = turn => turn,
                () = stopped(&stop) => return,
            };
            let idle = match turn {
                Ok(DeliveryTurn::Idle(idle)) => idle.to_std().unwrap_or_default().min(LOOK_EVERY),
                Ok(_) => {
                    errors = 0;
                    continue;
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    errors = errors.saturating_add(1);
                    if errors.is_power_of_two() {
                        warn!(destination = self.name, error = %error, errors, "Reading or writing the outbox failed; retrying.");
                    }
                    LOOK_EVERY
                }
            };
            wait(idle, &mut messages, &stop).await;
        }
    }

    /// One turn: decides about messages, or makes one attempt.
    ///
    /// # Errors
    /// What the log says. Then the turn is repeated, and with it perhaps an attempt.
    pub async fn turn(&mut self) -> Result<DeliveryTurn, StoreError> {
        self.forget().await;
        let (store, name, policy) = (self.store.clone(), self.name.clone(), self.policy);
        let now = self.clock.now();
        let next = move || store.next_delivery(&name, policy, now);
        let (next, decided) = task::blocking(next).await?;
        self.count(decided);
        match next {
            NextDelivery::Send(message) => self.attempt(*message).await,
            NextDelivery::Wait(wait) => Ok(DeliveryTurn::Idle(wait)),
            NextDelivery::Again => Ok(DeliveryTurn::Decided),
            NextDelivery::Idle => Ok(DeliveryTurn::Idle(TimeDelta::MAX)),
        }
    }

    async fn attempt(&self, message: Outgoing) -> Result<DeliveryTurn, StoreError> {
        let sent = self.destination.send(&message, self.clock.now()).await;
        let attempt = match sent {
            Ok(()) => Attempt::Accepted,
            Err(failure) => Attempt::Failed {
                wait: retry::wait(
                    message.failures.saturating_add(1),
                    fastrand::f64(),
                    failure.asked,
                ),
                error: failure.error,
            },
        };
        let (store, name) = (self.store.clone(), self.name.clone());
        let (give_up_after, now) = (self.give_up_after, self.clock.now());
        let (saved, message, attempt) = task::blocking(move || {
            let saved = store.save_attempt(&name, &message, &attempt, give_up_after, now);
            (saved, message, attempt)
        })
        .await;
        Ok(self.report(saved?, &message, &attempt))
    }

    /// Counts and logs an attempt: of failures that follow each other the first, the second, the fourth and so on.
    fn report(&self, saved: AttemptSaved, message: &Outgoing, attempt: &Attempt) -> DeliveryTurn {
        let (destination, id) = (&self.name, &message.webhook_id);
        match (saved, attempt) {
            (_, Attempt::Accepted) => {
                self.metrics
                    .delivered(&self.name, DeliveryOutcome::Accepted, 1);
                match message.failures {
                    0 => debug!(destination, id, "Message delivered."),
                    failures => info!(
                        destination,
                        id, failures, "Message delivered after failures."
                    ),
                }
                DeliveryTurn::Accepted
            }
            (AttemptSaved::GivenUp, Attempt::Failed { error, .. }) => {
                self.metrics
                    .delivered(&self.name, DeliveryOutcome::GivenUp, 1);
                warn!(
                    destination,
                    id, error, "Message given up; `orgtrail alerts replay` sends it again."
                );
                DeliveryTurn::GivenUp
            }
            (_, Attempt::Failed { error, wait }) => {
                self.metrics
                    .delivered(&self.name, DeliveryOutcome::Failed, 1);
                let failures = message.failures.saturating_add(1);
                if failures.is_power_of_two() {
                    let retry_in = span::format(*wait);
                    warn!(
                        destination,
                        id, error, failures, retry_in, "Delivery failed; retrying."
                    );
                }
                DeliveryTurn::Failed
            }
        }
    }

    fn count(&self, decided: Decided) {
        let Decided {
            suppressed,
            in_digest,
            retracted,
        } = decided;
        for (outcome, messages) in [
            (DeliveryOutcome::Suppressed, suppressed),
            (DeliveryOutcome::InDigest, in_digest),
            (DeliveryOutcome::Retracted, retracted),
        ] {
            self.metrics.delivered(&self.name, outcome, messages);
        }
    }

    /// Forgets old messages now and then. What cannot be forgotten now is forgotten later.
    async fn forget(&mut self) {
        let steady = self.clock.steady();
        if steady < self.forget_at {
            return;
        }
        let (store, now) = (self.store.clone(), self.clock.now());
        match task::blocking(move || store.forget_deliveries(now)).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => debug!(error = %error, "Old messages could not be forgotten."),
        }
        self.forget_at = steady + FORGET_EVERY;
    }
}

/// Waits for a message that is added, or as long as told.
async fn wait(idle: Duration, messages: &mut watch::Receiver<i64>, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(idle) => {}
        Ok(()) = messages.changed() => {}
    }
}

/// Returns some time after the stop began.
async fn stopped(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP_WITHIN).await;
}
