//! Opens the parts of the service that a configuration describes.

use anyhow::{Context, Result};
use tracing::warn;
use url::Url;

use super::credentials::{credentials, settings, upstream};
use super::destinations::{DeliveryPlan, sender};
use crate::attest::{Attest, PublishedLogs};
use crate::clock::Clock;
use crate::config::{Config, HttpConfig, RulesConfig};
use crate::deliver;
use crate::durable::Failpoints;
use crate::engine::tantivy::Index;
use crate::follow::index as indexing;
use crate::handles;
use crate::health::Board;
use crate::heartbeat::Heartbeat;
use crate::http::{Access, AccessSettings};
use crate::keyring::Keyring;
use crate::metrics::Metrics;
use crate::owner::OwnerSecret;
use crate::poll::Poller;
use crate::rules::{LoadedRules, Rules};
use crate::store::{AccessStore, Store, StoreError};
use crate::tls::{PinnedCertificates, Tls};

/// A poller for each credential.
pub(super) fn pollers(
    config: &Config,
    store: &Store,
    board: &Board,
    metrics: &Metrics,
    clock: &Clock,
) -> Result<Vec<Poller>> {
    let settings = settings(&config.poll, config.upstream.page_size);
    let mut pollers = Vec::new();
    for (credential, following) in credentials(config) {
        let saved = store.quota(&credential.to_string())?;
        let upstream = upstream(config, &credential, saved, clock)?;
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
    Ok(pollers)
}

/// What signs the events, if that is configured.
pub(super) fn evidence(
    config: &Config,
    store: &Store,
    clock: &Clock,
) -> Result<Option<(Attest, PublishedLogs)>> {
    let Some(settings) = &config.evidence else {
        return Ok(None);
    };
    let published = PublishedLogs::open(settings, store, &Failpoints::default())?;
    let shown = published.clone();
    let attest = Attest::new(store.clone(), settings.clone(), shown, clock.clone());
    Ok(Some((attest, published)))
}

/// The workers that send alerts. Where the destinations cannot be saved because the disk is full, nothing is sent until the next
/// start or SIGHUP, and events are collected all the same.
pub(super) fn first_plan(
    config: &Config,
    store: &Store,
    metrics: &Metrics,
    clock: &Clock,
) -> Result<DeliveryPlan> {
    match delivery_plan(config, store, metrics, clock) {
        Ok(plan) => Ok(plan),
        Err(error) if error.may_pass() => {
            warn!(error = %error, "The destinations of alerts could not be saved; no alert is sent until the next start or SIGHUP.");
            Ok(DeliveryPlan {
                settings: config.alerts.clone(),
                sender: sender(config, store.log_id().to_string()),
                workers: Vec::new(),
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Saves the destinations of a configuration, and makes their workers.
pub(super) fn delivery_plan(
    config: &Config,
    store: &Store,
    metrics: &Metrics,
    clock: &Clock,
) -> Result<DeliveryPlan, StoreError> {
    let sender = sender(config, store.log_id().to_string());
    let workers = deliver::workers(&config.alerts, &sender, store, metrics, clock)?;
    Ok(DeliveryPlan {
        settings: config.alerts.clone(),
        sender,
        workers,
    })
}

/// The certificate, if there is one. Commands find out in the data directory whether they need TLS.
pub(super) fn tls(config: &Config, clock: &Clock) -> Result<Option<Tls>> {
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
pub(super) fn load_rules(config: &RulesConfig) -> LoadedRules {
    let (rules, errors) = Rules::load(config.dir.as_deref(), &config.disabled);
    for error in &errors {
        warn!(error = %error, "A rule cannot be used; the others are.");
    }
    LoadedRules { rules, errors }
}

/// The heartbeat, if one is configured. Without its URL the service collects all the same.
pub(super) fn heartbeat(
    config: &Config,
    store: &Store,
    board: &Board,
    clock: &Clock,
) -> Option<Heartbeat> {
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
pub(super) fn access(config: &Config, owner: &OwnerSecret, clock: &Clock) -> Result<Access> {
    let settings = access_settings(&config.http, None, clock)?;
    let store = AccessStore::open(&config.data_dir)?;
    Ok(Access::new(store, settings, Some(owner.clone())))
}

/// Who may ask, by the configuration. The keys of the settings `before` are used again if they are the same team's.
pub(super) fn access_settings(
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
pub(super) fn open_index(config: &Config, store: &Store) -> Result<Index> {
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
pub(super) fn connections(wanted: u32) -> usize {
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
