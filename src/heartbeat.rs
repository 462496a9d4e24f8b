//! Calls a URL after each complete cycle, so that a monitor elsewhere notices when no cycle completes.
//!
//! A cycle is complete when, since the last one, each source that is followed has been read up to the present once (a live
//! window was sealed), and the list of accounts of each organization is known. A source that fails keeps the cycle open.
//!
//! The URL is a secret, so nothing that is logged contains a part of it. A heartbeat that fails changes nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::redirect;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::coverage::{self, Asked};
use crate::engine::Scope;
use crate::health::{Board, Health};
use crate::position::Source;
use crate::store::Store;
use crate::task;

/// The shortest time between two calls, whether they succeed or not.
const AT_MOST_EVERY: TimeDelta = TimeDelta::minutes(1);

/// How often the board is checked for a complete cycle.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The heartbeat of a service.
pub struct Heartbeat {
    url: SecretString,
    http: reqwest::Client,
    store: Store,
    board: Board,
    clock: Clock,
    cycle: Cycle,
    /// When the last call was made, by the steady clock.
    called_at: Option<DateTime<Utc>>,
    /// How many calls failed one after another.
    failures: u32,
}

impl Heartbeat {
    /// A heartbeat that calls `url`, which must be one that may be called. `None` when no HTTP client can be made.
    #[must_use]
    pub fn new(url: SecretString, store: Store, board: Board, clock: Clock) -> Option<Self> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("orgtrail/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()
            .ok()?;
        Some(Self {
            url,
            http,
            store,
            board,
            clock,
            cycle: Cycle::default(),
            called_at: None,
            failures: 0,
        })
    }

    /// Calls the URL after each complete cycle until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(CHECK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.beat_once() => {}
            }
        }
    }

    /// Calls the URL if a cycle is complete and the last call is long enough ago.
    async fn beat_once(&mut self) {
        let now = self.clock.steady();
        let is_early = self.called_at.is_some_and(|at| now - at < AT_MOST_EVERY);
        let followed = self.board.followed();
        if is_early || !self.cycle.is_complete(&followed) || !self.are_lists_known().await {
            return;
        }
        self.cycle.begin(&followed);
        self.called_at = Some(now);
        let called = self.call().await;
        self.log(called);
    }

    /// Whether the list of accounts of each organization was read within a day.
    async fn are_lists_known(&self) -> bool {
        let (store, now) = (self.store.clone(), self.clock.now());
        let unknown = move || {
            coverage::accounts_unknown(&store, &Scope::everything(), &Asked::default(), now)
        };
        match task::blocking(unknown).await {
            Ok(unknown) => unknown.is_empty(),
            Err(error) => {
                debug!(error = %error, "The lists of accounts cannot be read from the log; no heartbeat is sent.");
                false
            }
        }
    }

    /// Makes the call. The error is in our own words: those of the HTTP client may contain the URL.
    async fn call(&self) -> Result<(), String> {
        let response = self.http.get(self.url.expose_secret()).send().await;
        match response {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(format!("the response was {}", response.status().as_u16())),
            Err(error) if error.is_timeout() => {
                Err(format!("no response within {} seconds", TIMEOUT.as_secs()))
            }
            Err(error) if error.is_connect() => Err("could not connect".to_owned()),
            Err(_) => Err("the call failed".to_owned()),
        }
    }

    /// Logs the first failure of a row, then the second, the fourth, the eighth …, and the end of the row.
    fn log(&mut self, called: Result<(), String>) {
        match called {
            Ok(()) if self.failures == 0 => debug!("Heartbeat sent."),
            Ok(()) => {
                info!(failures = self.failures, "Heartbeat sent again.");
                self.failures = 0;
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures.is_power_of_two() {
                    warn!(
                        error,
                        failures = self.failures,
                        "Heartbeat failed; it is sent again after the next complete cycle."
                    );
                }
            }
        }
    }
}

/// What the board showed of each source when the last cycle was complete.
#[derive(Debug, Default)]
struct Cycle(BTreeMap<Source, u64>);

impl Cycle {
    /// Whether each source was read up to the present once since then. Without sources there is no cycle.
    fn is_complete(&self, followed: &[(Source, Health)]) -> bool {
        let is_read = |(source, health): &(Source, Health)| {
            let before = self.0.get(source).copied().unwrap_or_default();
            // The board counts anew for a source that was forgotten meanwhile.
            let before = if health.live_sealed < before {
                0
            } else {
                before
            };
            health.live_sealed > before
        };
        !followed.is_empty() && followed.iter().all(is_read)
    }

    /// Begins the next cycle.
    fn begin(&mut self, followed: &[(Source, Health)]) {
        let counts = followed.iter();
        self.0 = counts
            .map(|(source, health)| (source.clone(), health.live_sealed))
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(counts: &[u64]) -> Vec<(Source, Health)> {
        let health = |live_sealed| Health {
            live_sealed,
            ..Health::default()
        };
        let source = |n: usize| Source::account(&format!("a{n}")).unwrap();
        let counts = counts.iter().enumerate();
        counts
            .map(|(n, count)| (source(n), health(*count)))
            .collect()
    }

    #[test]
    fn a_cycle_is_complete_when_every_source_was_read_once_since_the_last_one() {
        let mut cycle = Cycle::default();
        assert!(!cycle.is_complete(&board(&[])), "nothing is followed yet");
        assert!(!cycle.is_complete(&board(&[0, 1])));
        assert!(cycle.is_complete(&board(&[1, 1])));
        cycle.begin(&board(&[1, 1]));
        assert!(!cycle.is_complete(&board(&[1, 1])));
        assert!(!cycle.is_complete(&board(&[1, 500])), "one source fails");
        assert!(cycle.is_complete(&board(&[2, 2])));
        // A source that is new must be read, too; one that left is not waited for.
        assert!(!cycle.is_complete(&board(&[2, 2, 0])));
        assert!(cycle.is_complete(&board(&[2])));
    }

    #[test]
    fn a_source_that_is_followed_again_is_waited_for() {
        let mut cycle = Cycle::default();
        cycle.begin(&board(&[50]));
        assert!(!cycle.is_complete(&board(&[0])));
        assert!(cycle.is_complete(&board(&[1])));
    }
}
