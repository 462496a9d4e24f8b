//! The whole service: opens everything, starts every job, waits, and stops in the order of the data.
//!
//! The only module that uses all others. A job that ends by itself ends the service with its error: the process manager
//! restarts it, and the recovery is the same code as a first start.

mod backfill_progress;
mod credentials;
mod destinations;
mod history;
mod jobs;
mod parts;
mod repair;
mod watch;
mod watchdog;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chrono::TimeDelta;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::attest::{Attest, PublishedLogs};
use crate::clock::Clock;
use crate::config::Config;
use crate::detect::{Detect, RuleReload};
use crate::durable::Failpoints;
use crate::engine::Engine;
use crate::engine::tantivy::{ENGINE_THREADS, Index};
use crate::follow::board::FollowerBoard;
use crate::follow::index::Indexing;
use crate::health::Board;
use crate::heartbeat::Heartbeat;
use crate::http::{self, Access, AppState, Limits};
use crate::metrics::Metrics;
use crate::notice::Noticing;
use crate::owner::OwnerSecret;
use crate::poll::Poller;
use crate::retention::{self, Retention, RetentionPolicies};
use crate::rules::RulesInUse;
use crate::scrub::Scrub;
use crate::store::{AccessStore, Store};
use crate::supervisor::Supervisor;
use crate::task;
use crate::tls::{Reloaded, Tls};

pub use self::backfill_progress::{BackfillProgress, ProgressMeter};
use self::credentials::settings;
pub use self::credentials::{credentials, upstream};
pub use self::destinations::sender;
use self::destinations::{Destinations, NewerPlans};
use self::history::HistoryReader;
pub use self::history::{History, SourceHistory, verify};
use self::jobs::Jobs;
use self::parts::{
    access, access_settings, connections, delivery_plan, evidence, first_plan, heartbeat,
    load_rules, open_index, pollers, tls,
};
pub use self::repair::{Repaired, repair};
use self::watchdog::Watchdog;

/// The service with everything open, before any job is started.
pub struct Service {
    data_dir: PathBuf,
    store: Store,
    index: Index,
    board: Board,
    pollers: Vec<Poller>,
    rules: RulesInUse,
    detect: Detect,
    history: HistoryReader,
    access: Access,
    /// How long the access log is kept.
    access_log: TimeDelta,
    question_time: TimeDelta,
    /// The secret by which commands prove that they may read the data directory.
    owner: OwnerSecret,
    /// How many connections clients may have.
    connections: usize,
    tls: Option<Tls>,
    metrics: Metrics,
    heartbeat: Option<Heartbeat>,
    destinations: Destinations,
    newer_plans: NewerPlans,
    /// What signs the events, and what is shown of it.
    evidence: Option<(Attest, PublishedLogs)>,
    retention: Retention,
    /// How long bodies are kept.
    policies: RetentionPolicies,
    clock: Clock,
}

/// Changes a service while it runs.
pub struct Reloading {
    access: Access,
    rules: RulesInUse,
    detect: RuleReload,
    tls: Option<Tls>,
    store: Store,
    metrics: Metrics,
    newer_plans: NewerPlans,
    clock: Clock,
}

impl Reloading {
    /// Uses what can be changed of `config`: see [`Config::take_over`]. Gives what came of reading the certificate again, if
    /// there is one.
    ///
    /// # Errors
    /// When the machine's TLS roots cannot be read. Then nothing is changed.
    pub async fn apply(&self, config: &Config) -> Result<Option<Reloaded>> {
        let before = self.access.settings();
        let settings = access_settings(&config.http, Some(&before), &self.clock)?;
        self.access.change(settings);
        let rules = config.rules.clone();
        let loaded = task::blocking(move || load_rules(&rules)).await;
        self.detect.replace(loaded.rules.clone());
        self.rules.replace(loaded);
        self.change_destinations(config).await;
        Ok(match (&self.tls, &config.http.tls) {
            (Some(tls), Some(files)) => Some(tls.reload(files.clone()).await),
            _ => None,
        })
    }

    /// Sends to the destinations of `config` from now on. Where they cannot be saved, those before stay.
    async fn change_destinations(&self, config: &Config) {
        let (config, store) = (config.clone(), self.store.clone());
        let (metrics, clock) = (self.metrics.clone(), self.clock.clone());
        let plan = task::blocking(move || delivery_plan(&config, &store, &metrics, &clock)).await;
        match plan {
            // The receiver lives as long as the service.
            Ok(plan) => drop(self.newer_plans.send(plan).await),
            Err(error) => {
                warn!(error = %error, "The destinations of alerts could not be saved; those before are used on.");
            }
        }
    }
}

/// Opens the service that `config` describes.
///
/// # Errors
/// When something cannot be opened.
pub async fn open(config: Config, clock: Clock) -> Result<Service> {
    task::blocking(move || open_all(&config, clock)).await
}

impl Service {
    /// What changes it while it runs.
    #[must_use]
    pub fn reloading(&self) -> Reloading {
        Reloading {
            access: self.access.clone(),
            rules: self.rules.clone(),
            detect: self.detect.reload(),
            tls: self.tls.clone(),
            store: self.store.clone(),
            metrics: self.metrics.clone(),
            newer_plans: self.newer_plans.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Runs the service, answering on `listener`, until `stop`.
    ///
    /// # Errors
    /// When a job ends by itself, or the log cannot be closed.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) -> Result<()> {
        let (store, data_dir) = (self.store.clone(), self.data_dir.clone());
        let owner = self.owner.clone();
        let (policies, clock) = (self.policies.clone(), self.clock.clone());
        let address = listener.local_addr().ok();
        let mut jobs = self.start(listener);
        announce(&store, &data_dir, owner, address).await;
        info!(log_id = %store.log_id(), head = store.head().0, address = ?address, "Service started.");

        let ended = tokio::select! {
            () = stop.cancelled() => {
                info!("Stopping; finishing current work.");
                Ok(())
            }
            ended = jobs.ended() => ended,
        };
        let early = if stop.is_cancelled() {
            Ok(())
        } else {
            Err(anyhow::anyhow!("a job ended by itself"))
        };
        let stopped = jobs.stop().await;
        let closed = task::blocking(move || {
            // What is left of erased bodies is no reason not to close the log.
            if let Err(error) = retention::finish(&store, &policies, &clock) {
                warn!(error = %error, "Removing what is left of erased bodies failed; the next start goes on.");
            }
            close(&store, &data_dir)
        })
        .await;
        info!("Service stopped.");
        ended.and(stopped).and(closed).and(early)
    }

    /// Starts every job.
    fn start(self, listener: TcpListener) -> Jobs {
        let followers = FollowerBoard::default();
        let app = self.app(followers.clone());
        let Self {
            store,
            index,
            board,
            pollers,
            detect,
            history,
            access,
            access_log,
            heartbeat,
            destinations,
            evidence,
            retention,
            tls,
            clock,
            ..
        } = self;
        let board_of_sources = board.clone();
        let watchdog = Watchdog {
            supervisor: Supervisor::from_environment(),
            store: store.clone(),
            board,
            followers: followers.clone(),
            clock: clock.clone(),
        };
        let mut jobs = Jobs::default();
        for poller in pollers {
            jobs.produce(|stop| async move { poller.run(stop).await.context("polling stopped") });
        }
        jobs.produce(|stop| endless(watch::watch(history, stop)));
        let keys_of = access.clone();
        jobs.produce(|stop| endless(async move { keys_of.keep_keys(stop).await }));
        let clock_of_access = clock.clone();
        jobs.produce(|stop| {
            endless(async move {
                access
                    .forget_old_lines(access_log, clock_of_access, stop)
                    .await;
            })
        });
        if let Some(tls) = tls {
            jobs.produce(|stop| endless(tls.keep(stop)));
        }
        if let Some(heartbeat) = heartbeat {
            jobs.produce(|stop| endless(heartbeat.run(stop)));
        }
        jobs.produce(|stop| endless(http::serve(listener, app, stop)));
        let indexing = Indexing::new(store.clone(), index, clock.clone());
        if let Some((attest, published)) = evidence {
            sign_log(&mut jobs, attest, published, followers.clone());
        }
        follow_log(&mut jobs, indexing, detect, followers);
        jobs.follow(|stop| destinations.run(stop));
        let noticing = Noticing::new(store.clone(), board_of_sources, clock.clone());
        jobs.follow(|stop| endless(noticing.run(stop)));
        // Stopped before the followers: the index then deletes what belongs to the last erased bodies.
        jobs.produce(|stop| endless(retention.run(stop)));
        let scrub = Scrub::new(store, clock);
        jobs.follow(|stop| endless(async move { scrub.run(stop).await }));
        jobs.produce(|stop| endless(async move { watchdog.run(stop).await }));
        jobs
    }

    /// What answers requests.
    fn app(&self, followers: FollowerBoard) -> AppState {
        AppState::new(
            self.store.clone(),
            Engine::Tantivy(self.index.clone()),
            self.board.clone(),
            self.clock.clone(),
            self.access.clone(),
        )
        .with_limits(Limits {
            connections: self.connections,
            ..Limits::for_questions_of(self.question_time)
        })
        .with_followers(followers)
        .with_metrics(self.metrics.clone())
        .with_rules(self.rules.clone())
        .with_tls(self.tls.clone())
        .with_evidence(
            self.evidence
                .as_ref()
                .map(|(_, published)| published.clone()),
        )
    }
}

/// Starts the followers of the log.
fn follow_log(jobs: &mut Jobs, indexing: Indexing, detect: Detect, board: FollowerBoard) {
    let board_of_detect = board.clone();
    jobs.follow(|stop| async move {
        let ended = indexing.run(board, stop).await;
        ended.context("indexing stopped")
    });
    jobs.follow(|stop| async move {
        let ended = detect.run(board_of_detect, stop).await;
        ended.context("detection stopped")
    });
}

/// Starts what signs the events.
fn sign_log(jobs: &mut Jobs, attest: Attest, published: PublishedLogs, board: FollowerBoard) {
    for log in [published.events, published.statements] {
        if let Some(witnesses) = attest.witnesses(log) {
            jobs.produce(|stop| endless(witnesses.run(stop)));
        }
    }
    jobs.follow(|stop| async move {
        let ended = attest.run(board, stop).await;
        ended.context("signing the log stopped")
    });
}

/// A job that cannot fail.
async fn endless(job: impl Future<Output = ()>) -> Result<()> {
    job.await;
    Ok(())
}

/// Saves the address of the service and its secret, for commands on the same machine. Without an address they read the disk.
async fn announce(store: &Store, dir: &Path, owner: OwnerSecret, address: Option<SocketAddr>) {
    let Some(address) = address else { return };
    let (store, dir) = (store.clone(), dir.to_owned());
    let save = move || {
        // First, because a command that finds the address needs the secret.
        if let Err(error) = owner.save(&dir) {
            warn!(error = %error, "The secret for commands beside the service could not be saved; with `auth = \"tokens\"` they are refused.");
        }
        store.announce(address)
    };
    if let Err(error) = task::blocking(save).await {
        warn!(error = %error, "The service's address could not be saved; commands beside it read the disk.");
    }
}

/// Removes the secret, and closes the log. Afterwards another process may use the directory.
fn close(store: &Store, dir: &Path) -> Result<()> {
    if let Err(error) = OwnerSecret::remove(dir) {
        debug!(error = %error, "The secret for commands beside the service could not be removed.");
    }
    store.close().context("could not close the log")
}

fn open_all(config: &Config, clock: Clock) -> Result<Service> {
    task::watch_threads(ENGINE_THREADS);
    // First: everything below opens files.
    let connections = connections(config.http.max_connections);
    let store = Store::open(&config.data_dir, Failpoints::default())?;
    let index = open_index(config, &store)?;
    let listed = credentials(config)
        .into_values()
        .flat_map(|following| following.listed);
    // Where this cannot be written, what was saved before is kept, and each poller saves it as soon as it can.
    match store.want_only_account_lists(&listed.collect::<Vec<_>>()) {
        Err(error) if !error.may_pass() => return Err(error.into()),
        _ => {}
    }
    let board = Board::default();
    let metrics = Metrics::default();
    let pollers = pollers(config, &store, &board, &metrics, &clock)?;
    let loaded = load_rules(&config.rules);
    let rules = loaded.rules.clone();
    let detect = Detect::new(store.clone(), rules, metrics.clone(), clock.clone());
    let rules = RulesInUse::new(loaded);
    let heartbeat = heartbeat(config, &store, &board, &clock);
    let (destinations, newer_plans) =
        Destinations::new(first_plan(config, &store, &metrics, &clock)?);
    let evidence = evidence(config, &store, &clock)?;
    let history = HistoryReader::new(
        store.clone(),
        board.clone(),
        settings(&config.poll, config.upstream.page_size),
        clock.clone(),
    )?;
    let owner = OwnerSecret::random();
    let access = access(config, &owner, &clock)?;
    let tls = tls(config, &clock)?;
    let retention = Retention::new(
        store.clone(),
        AccessStore::open(&config.data_dir)?,
        config.retention.clone(),
        clock.clone(),
    );
    Ok(Service {
        data_dir: config.data_dir.clone(),
        store,
        index,
        board,
        pollers,
        rules,
        detect,
        history,
        access,
        access_log: config.http.access_log,
        question_time: config.http.limits.question_time,
        owner,
        connections,
        tls,
        metrics,
        heartbeat,
        destinations,
        newer_plans,
        evidence,
        retention,
        policies: config.retention.clone(),
        clock,
    })
}
