//! The workers that send alerts, one for each destination, and their change while the service runs.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::Config;
use crate::deliver::{self, Deliverer, DeliverySettings, Sender};

/// How many changes of the configuration wait at most.
const MAX_WAITING: usize = 4;

/// The destinations of a configuration, and their workers.
pub(super) struct DeliveryPlan {
    pub(super) settings: DeliverySettings,
    pub(super) sender: Sender,
    pub(super) workers: Vec<Deliverer>,
}

impl DeliveryPlan {
    fn has(&self, name: &str) -> bool {
        let mut all = self.settings.destinations.iter();
        all.any(|one| one.name == name)
    }

    /// Whether a worker of this name would do the same by another plan.
    fn is_same(&self, other: &Self, name: &str) -> bool {
        let find = |plan: &Self| {
            let mut all = plan.settings.destinations.iter();
            all.find(|one| one.name == name).cloned()
        };
        let (ours, theirs) = (&self.settings, &other.settings);
        find(self) == find(other)
            && self.sender == other.sender
            && ours.allow_private_networks == theirs.allow_private_networks
            && ours.digest_above == theirs.digest_above
    }
}

/// Runs the workers of a plan, and those of the plans that follow it.
pub(super) struct Destinations {
    plan: DeliveryPlan,
    newer: mpsc::Receiver<DeliveryPlan>,
}

/// Gives the running workers another plan.
pub(super) type NewerPlans = mpsc::Sender<DeliveryPlan>;

/// The workers that run, by the names of their destinations.
#[derive(Default)]
struct Running {
    jobs: JoinSet<String>,
    stops: HashMap<String, CancellationToken>,
}

impl Destinations {
    pub(super) fn new(plan: DeliveryPlan) -> (Self, NewerPlans) {
        let (plans, newer) = mpsc::channel(MAX_WAITING);
        (Self { plan, newer }, plans)
    }

    /// Sends until `stop`.
    ///
    /// # Errors
    /// When a worker panicked.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let mut running = Running::default();
        for worker in std::mem::take(&mut self.plan.workers) {
            running.start(worker);
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return running.stop_all().await,
                Some(plan) = self.newer.recv() => self.plan = running.change(&self.plan, plan).await?,
                Some(ended) = running.jobs.join_next() => {
                    running.stops.remove(&ended.context("a worker of a destination panicked")?);
                }
            }
        }
    }
}

impl Running {
    fn start(&mut self, worker: Deliverer) {
        let (name, stop) = (worker.name().to_owned(), CancellationToken::new());
        self.stops.insert(name.clone(), stop.clone());
        self.jobs.spawn(async move {
            worker.run(stop).await;
            name
        });
    }

    /// Ends the workers that the next plan does not have, or has otherwise, and starts its own. The others go on.
    async fn change(
        &mut self,
        before: &DeliveryPlan,
        mut plan: DeliveryPlan,
    ) -> Result<DeliveryPlan> {
        let made: HashSet<String> = plan
            .workers
            .iter()
            .map(|one| one.name().to_owned())
            .collect();
        for worker in std::mem::take(&mut plan.workers) {
            let name = worker.name().to_owned();
            let is_new = !self.stops.contains_key(&name);
            if !is_new && before.is_same(&plan, &name) {
                continue;
            }
            // Before the other one begins: a destination has one worker, so that its messages stay in order.
            self.stop(&name).await?;
            self.start(worker);
            info!(
                destination = name,
                is_new, "Alerts are sent to this destination as it is configured now."
            );
        }
        let running = self.stops.keys();
        let ended: Vec<String> = running
            .filter(|name| !made.contains(*name))
            .cloned()
            .collect();
        for name in ended {
            self.stop(&name).await?;
            // One that is configured and has no worker was reported when its worker could not be made.
            if plan.has(&name) {
                continue;
            }
            info!(
                destination = name,
                "The destination was removed from the configuration. Its queue is kept, and is sent when it is configured again."
            );
        }
        Ok(plan)
    }

    /// Ends a worker, and waits for its end.
    async fn stop(&mut self, name: &str) -> Result<()> {
        let Some(stop) = self.stops.get(name) else {
            return Ok(());
        };
        stop.cancel();
        while self.stops.contains_key(name) {
            let Some(ended) = self.jobs.join_next().await else {
                break;
            };
            self.stops
                .remove(&ended.context("a worker of a destination panicked")?);
        }
        Ok(())
    }

    async fn stop_all(mut self) -> Result<()> {
        self.stops.values().for_each(CancellationToken::cancel);
        while let Some(ended) = self.jobs.join_next().await {
            ended.context("a worker of a destination panicked")?;
        }
        Ok(())
    }
}

/// What messages say of this service.
#[must_use]
pub fn sender(config: &Config, log_id: String) -> deliver::Sender {
    deliver::Sender {
        log_id,
        public_url: config.http.public_url.clone(),
    }
}
