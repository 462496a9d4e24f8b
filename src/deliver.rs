//! Sends alerts to their destinations, at least once and in order.
//!
//! Each destination has a worker of its own ([`Deliverer`]), so one that does not answer delays no other. A turn takes the next
//! message of the outbox, which counts the attempt, sends it, and saves how that ended. After a crash between these steps the same
//! message is sent again under the same id.
//!
//! `worker` is one. `destination` sends to each kind, `form` and `plain` write what a message says, `signature` signs webhooks, `network` and `address`
//! decide which addresses are reached, `secret` reads URLs and keys, `retry` says how long to wait.

mod address;
mod attempt;
mod destination;
mod email;
mod file;
mod form;
mod network;
mod plain;
mod retry;
mod secret;
mod settings;
mod signature;
mod web;
mod worker;

use chrono::{DateTime, Utc};
use tracing::warn;
use uuid::Uuid;

use self::destination::Destination;
use self::network::Network;
pub use self::secret::{BadSecret, MAX_KEYS, SecretError, SecretSource, SigningKey};
pub use self::settings::{DeliverySettings, DestinationSettings, DestinationTarget, Sender};
pub use self::worker::{Deliverer, DeliveryTurn};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::{self, SendPolicy, Store, StoreError};

/// Saves the destinations in the log, and makes a worker for each.
///
/// # Errors
/// What the log says.
pub fn workers(
    settings: &DeliverySettings,
    sender: &Sender,
    store: &Store,
    metrics: &Metrics,
    clock: &Clock,
) -> Result<Vec<Deliverer>, StoreError> {
    let taking = settings.destinations.iter().map(|one| store::Subscription {
        name: one.name.clone(),
        level: one.level,
        rules: one.rules.clone(),
        history: settings.alert_on_history,
    });
    store.save_destinations(&taking.collect::<Vec<_>>())?;
    if settings.destinations.is_empty() {
        // So that the metric exists.
        metrics.expect_deliveries_to("");
    }
    let mut workers = Vec::new();
    for one in &settings.destinations {
        let network = Network::new(settings.allow_private_networks);
        let destination = match Destination::new(one.target.clone(), sender.clone(), network) {
            Ok(destination) => destination,
            Err(failure) => {
                warn!(
                    destination = one.name,
                    error = failure.error,
                    "Nothing is sent to this destination."
                );
                continue;
            }
        };
        metrics.expect_deliveries_to(&one.name);
        workers.push(Deliverer {
            name: one.name.clone(),
            policy: SendPolicy {
                suppress: one.suppress,
                digest_above: usize::try_from(settings.digest_above).unwrap_or(usize::MAX),
            },
            give_up_after: one.give_up_after,
            destination,
            store: store.clone(),
            metrics: metrics.clone(),
            clock: clock.clone(),
            forget_at: clock.steady(),
        });
    }
    Ok(workers)
}

/// Everything that is wrong with each destination, as far as it can be known without sending. Names are resolved.
pub async fn check(settings: &DeliverySettings) -> Vec<(String, Vec<String>)> {
    let mut checked = Vec::new();
    for one in &settings.destinations {
        let wrong = match ready(settings, one, &Sender::unknown()) {
            Ok(destination) => destination.check().await,
            Err(error) => vec![error],
        };
        checked.push((one.name.clone(), wrong));
    }
    checked
}

/// Sends a test message to a destination now.
///
/// # Errors
/// Why it was not accepted, without secrets.
pub async fn send_test(
    settings: &DeliverySettings,
    destination: &DestinationSettings,
    sender: &Sender,
    now: DateTime<Utc>,
) -> Result<(), String> {
    let id = format!("msg_test_{}", Uuid::new_v4().simple());
    let destination = ready(settings, destination, sender)?;
    let sent = destination.send_test(&id, now).await;
    sent.map_err(|failure| failure.error)
}

fn ready(
    settings: &DeliverySettings,
    one: &DestinationSettings,
    sender: &Sender,
) -> Result<Destination, String> {
    let network = Network::new(settings.allow_private_networks);
    let destination = Destination::new(one.target.clone(), sender.clone(), network);
    destination.map_err(|failure| failure.error)
}
