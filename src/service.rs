//! The whole service: opens everything, starts every job, waits, and stops in the order of the data.
//!
//! The only module that uses all others. A job that ends by itself ends the service with its error: the process manager
//! restarts it, and the recovery is the same code as a first start.

mod backfill_progress;
mod credentials;
mod history;
mod jobs;
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
use url::Url;

use crate::clock::Clock;
use crate::config::{Config, HttpConfig, RulesConfig};
use crate::deliver::{self, Deliverer};
use crate::detect::{Detect, RuleReload};
use crate::durable::Failpoints;
use crate::engine::Engine;
use crate::engine::tantivy::{ENGINE_THREADS, Index};
use crate::follow::board::FollowerBoard;
use crate::follow::index::{self as indexing, Indexing};
use crate::handles;
use crate::health::Board;
use crate::heartbeat::Heartbeat;
use crate::http::{self, Access, AccessSettings, AppState, Limits};
use crate::keyring::Keyring;
use crate::metrics::Metrics;
use crate::owner::OwnerSecret;
use crate::poll::Poller;
use crate::retention::{self, Retention, RetentionPolicies};
use crate::rules::{LoadedRules, Rules, RulesInUse};
use crate::scrub::Scrub;
use crate::store::{AccessStore, Store};
use crate::supervisor::Supervisor;
use crate::task;
use crate::tls::{PinnedCertificates, Reloaded, Tls};

pub use self::backfill_progress::{BackfillProgress, ProgressMeter};
use self::credentials::settings;
pub use self::credentials::{credentials, upstream};
use self::history::HistoryReader;
pub use self::history::{History, SourceHistory, verify};
use self::jobs::Jobs;
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
    deliverers: Vec<Deliverer>,
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
        Ok(match (&self.tls, &config.http.tls) {
            (Some(tls), Some(files)) => Some(tls.reload(files.clone()).await),
            _ => None,
        })
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
            deliverers,
            retention,
            tls,
            clock,
            ..
        } = self;
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
        follow_log(&mut jobs, indexing, detect, followers);
        for deliverer in deliverers {
            jobs.follow(|stop| endless(deliverer.run(stop)));
        }
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
    let settings = settings(&config.poll, config.upstream.page_size);
    let board = Board::default();
    let metrics = Metrics::default();
    let mut pollers = Vec::new();
    for (credential, following) in credentials(config) {
        let saved = store.quota(&credential.to_string())?;
        let upstream = upstream(config, &credential, saved, &clock)?;
        let poller = Poller::new(
            store.clone(),
            upstream,
            credential.to_string(),
            following,
            settings.clone(),
            board.clone(),
            clock.clone(),
        )?;
        pollers.push(poller.with_metrics(metrics.clone()));
    }
    let loaded = load_rules(&config.rules);
    let rules = loaded.rules.clone();
    let detect = Detect::new(store.clone(), rules, metrics.clone(), clock.clone());
    let rules = RulesInUse::new(loaded);
    let heartbeat = heartbeat(config, &store, &board, &clock);
    let deliverers = deliverers(config, &store, &metrics, &clock)?;
    let history = HistoryReader::new(store.clone(), board.clone(), settings, clock.clone())?;
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
        deliverers,
        retention,
        policies: config.retention.clone(),
        clock,
    })
}

/// The workers that send alerts. Where the destinations cannot be saved because the disk is full, nothing is sent until the next
/// start, and events are collected all the same.
fn deliverers(
    config: &Config,
    store: &Store,
    metrics: &Metrics,
    clock: &Clock,
) -> Result<Vec<Deliverer>> {
    let sender = sender(config, store.log_id().to_string());
    match deliver::workers(&config.alerts, &sender, store, metrics, clock) {
        Ok(workers) => Ok(workers),
        Err(error) if error.may_pass() => {
            warn!(error = %error, "The destinations of alerts could not be saved; no alert is sent until the next start.");
            Ok(Vec::new())
        }
        Err(error) => Err(error.into()),
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

/// The certificate, if there is one. Commands find out in the data directory whether they need TLS.
fn tls(config: &Config, clock: &Clock) -> Result<Option<Tls>> {
    let dir = &config.data_dir;
    match &config.http.tls {
        Some(files) => Tls::open(files.clone(), Some(dir.clone()), clock.clone()).map(Some),
        None => {
            let removed = PinnedCertificates::remove(dir);
            removed.context("could not remove the note of an earlier certificate")?;
            Ok(None)
        }
    }
}

/// The rules. A broken one is left out, and the others are used.
fn load_rules(config: &RulesConfig) -> LoadedRules {
    let (rules, errors) = Rules::load(config.dir.as_deref(), &config.disabled);
    for error in &errors {
        warn!(error = %error, "A rule cannot be used; the others are.");
    }
    LoadedRules { rules, errors }
}

/// The heartbeat, if one is configured. Without its URL the service collects all the same.
fn heartbeat(config: &Config, store: &Store, board: &Board, clock: &Clock) -> Option<Heartbeat> {
    let source = config.poll.heartbeat.as_ref()?;
    match source.read() {
        Ok(url) => Heartbeat::new(url, store.clone(), board.clone(), clock.clone()),
        Err(error) => {
            warn!(variable = source.variable(), error = %error, "No heartbeat is sent.");
            None
        }
    }
}

/// Who may ask, and where their tokens and the access log are.
fn access(config: &Config, owner: &OwnerSecret, clock: &Clock) -> Result<Access> {
    let settings = access_settings(&config.http, None, clock)?;
    let store = AccessStore::open(&config.data_dir)?;
    Ok(Access::new(store, settings, Some(owner.clone())))
}

/// Who may ask, by the configuration. The keys of the settings `before` are used again if they are the same team's.
fn access_settings(
    http: &HttpConfig,
    before: Option<&AccessSettings>,
    clock: &Clock,
) -> Result<AccessSettings> {
    let keyring = |url: &Url| {
        let before = before.and_then(|settings| settings.cloudflare.as_ref());
        match before.filter(|(_, keyring)| keyring.url() == url) {
            Some((_, keyring)) => Ok(keyring.clone()),
            None => Keyring::new(url.clone(), clock.clone()),
        }
    };
    let cloudflare = match &http.access {
        Some(access) => Some((access.clone(), keyring(&access.keys_url)?)),
        None => None,
    };
    Ok(AccessSettings {
        auth: http.auth,
        public_url: http.public_url.clone(),
        cors_origins: http.cors_origins.clone(),
        trusted_proxies: http.trusted_proxies.clone(),
        forwarded_header: http.forwarded_header,
        limits: http.limits,
        cloudflare,
    })
}

/// The index. If it cannot be opened, events are collected all the same, and the follower retries.
fn open_index(config: &Config, store: &Store) -> Result<Index> {
    let index = Index::unopened(&config.data_dir, store.log_id(), Failpoints::default())?;
    match indexing::reopen(&index, store) {
        Ok(None) => {}
        Ok(Some(why)) => warn!(
            why,
            head = store.head().0,
            "Rebuilding the index from the log; answers are incomplete until it is done."
        ),
        Err(error) => warn!(
            error = %error,
            "The index cannot be opened; retrying. Events are collected meanwhile."
        ),
    }
    Ok(index)
}

/// How many client connections are allowed: at most as configured, and fewer where the limit of open files is low.
fn connections(wanted: u32) -> usize {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let limit = handles::raise();
    let connections = handles::connections(limit, wanted);
    if connections < wanted {
        warn!(
            files = limit,
            connections,
            max_connections = wanted,
            "The limit of open files allows fewer connections than `http.max_connections`; raise it with `ulimit -n`."
        );
    }
    connections
}
