//! Access: who may ask, how much, and what was asked.
//!
//! A request is recorded before its answer is sent. When the record cannot be written because the disk is full or busy, it is
//! kept in memory and written with the next one; when many wait, nothing more is answered.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use chrono::{DateTime, TimeDelta, Utc};
use ipnet::IpNet;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use url::Url;

use super::assertion;
use super::limit::Usage;
use super::principal::{Principal, identify, session};
use super::problem::Problem;
use crate::access::{Auth, CloudflareAccess, PrincipalLimits};
use crate::clock::Clock;
use crate::keyring::Keyring;
use crate::owner::OwnerSecret;
use crate::store::{AccessEntry, AccessStore, StoreError};
use crate::sync::lock;
use crate::task;

/// How many lines of the access log may wait in memory for a disk that does not take them.
const MAX_WAITING_LINES: usize = 10_000;

/// How often old lines of the access log are deleted.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);

/// How the service is reached, and by whom.
#[derive(Debug, Clone)]
pub struct AccessSettings {
    /// Who may ask.
    pub auth: Auth,
    /// The address that people use, if it is not the one that is listened on.
    pub public_url: Option<Url>,
    /// Other origins whose pages may ask.
    pub cors_origins: Vec<String>,
    /// The networks of proxies whose headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What one principal may take.
    pub limits: PrincipalLimits,
    /// Whose assertions of Cloudflare Access are believed, and the keys that sign them.
    pub cloudflare: Option<(CloudflareAccess, Keyring)>,
}

/// How many things an answer has, for the access log. Handlers add it to their answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Results(pub(super) u64);

/// Who may ask, how much, and what was asked. A clone costs a few reference counts.
#[derive(Clone)]
pub struct Access {
    store: AccessStore,
    current: Arc<watch::Sender<Current>>,
    /// What proves that the owner of the data directory asks; `None`: nothing does.
    owner: Option<Arc<OwnerSecret>>,
    /// Lines that could not be written yet.
    waiting: Arc<Mutex<VecDeque<AccessEntry>>>,
}

/// What can be changed while the service runs. A clone is the same.
#[derive(Clone)]
struct Current {
    settings: Arc<AccessSettings>,
    usage: Usage,
}

impl Access {
    /// Tokens and the access log are in `store`. Who sends `owner` has every permission.
    #[must_use]
    pub fn new(store: AccessStore, settings: AccessSettings, owner: Option<OwnerSecret>) -> Self {
        Self {
            store,
            current: Arc::new(watch::Sender::new(Current {
                usage: Usage::new(settings.limits),
                settings: Arc::new(settings),
            })),
            owner: owner.map(Arc::new),
            waiting: Arc::default(),
        }
    }

    /// Everyone on this machine may ask everything. The access log is in `dir`.
    ///
    /// # Errors
    /// [`StoreError`] if the access log cannot be opened.
    pub fn open_to_this_machine(dir: &Path) -> Result<Self, StoreError> {
        let settings = AccessSettings {
            auth: Auth::None,
            public_url: None,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            limits: PrincipalLimits::default(),
            cloudflare: None,
        };
        Ok(Self::new(AccessStore::open(dir)?, settings, None))
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> Arc<AccessSettings> {
        Arc::clone(&self.current.borrow().settings)
    }

    /// Uses other settings from now on. With other limits, what the principals have taken is forgotten.
    pub fn change(&self, settings: AccessSettings) {
        self.current.send_modify(|current| {
            if current.settings.limits != settings.limits {
                current.usage = Usage::new(settings.limits);
            }
            current.settings = Arc::new(settings);
        });
    }

    pub(super) fn usage(&self) -> Usage {
        self.current.borrow().usage.clone()
    }

    /// Keeps the keys of Cloudflare Access, of whatever team the settings name, until `stop`.
    pub async fn keep_keys(self, stop: CancellationToken) {
        let mut changes = self.current.subscribe();
        loop {
            let settings = Arc::clone(&changes.borrow_and_update().settings);
            let keeping = async {
                match &settings.cloudflare {
                    Some((_, keyring)) => keyring.keep(stop.clone()).await,
                    None => stop.cancelled().await,
                }
            };
            let other_keys = async {
                let url = |settings: &AccessSettings| {
                    let cloudflare = settings.cloudflare.as_ref();
                    cloudflare.map(|(_, keyring)| keyring.url().clone())
                };
                let before = url(&settings);
                let changed = changes.wait_for(|now| url(&now.settings) != before).await;
                changed.is_ok()
            };
            tokio::select! {
                () = keeping => return,
                _ = other_keys => {}
            }
        }
    }

    /// Who sends a request.
    pub(super) async fn identify(
        &self,
        headers: &HeaderMap,
        now: DateTime<Utc>,
    ) -> Result<Principal, Problem> {
        let settings = self.settings();
        if settings.auth == Auth::None {
            return Ok(Principal::local());
        }
        // A token that is sent wins over the assertion that a proxy adds.
        let is_assertion_used = assertion::is_sent(headers) && !headers.contains_key(AUTHORIZATION);
        let cloudflare = settings.cloudflare.as_ref();
        let Some((settings, keyring)) = cloudflare.filter(|_| is_assertion_used) else {
            return self.identify_by_token(headers, now).await;
        };
        if session(headers).is_some()
            && let Ok(principal) = self.identify_by_token(headers, now).await
        {
            return Ok(principal);
        }
        assertion::identify((settings, keyring), headers, now).await
    }

    async fn identify_by_token(
        &self,
        headers: &HeaderMap,
        now: DateTime<Utc>,
    ) -> Result<Principal, Problem> {
        let headers = headers.clone();
        let owner = self.owner.clone();
        self.work(move |store| identify(store, owner.as_deref(), &headers, now))
            .await
    }

    /// Deletes the lines that are older than `kept`, now and every hour until `stop`.
    pub async fn forget_old_lines(self, kept: TimeDelta, clock: Clock, stop: CancellationToken) {
        loop {
            let before = clock.now() - kept;
            let forgotten = self.work(move |store| {
                while store.forget_entries_before(before)? {}
                Ok(())
            });
            if forgotten.await.is_err() {
                warn!("Old lines of the access log could not be deleted; trying again in an hour.");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(FORGET_EVERY) => {}
            }
        }
    }

    /// Runs `work` where it may wait for the disk.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AccessStore) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let store = self.store.clone();
        task::blocking(move || work(&store)).await
    }

    /// Adds a line to the access log, after those that wait. The line waits with them when the disk does not take it, unless
    /// many wait already.
    pub(super) async fn record(&self, entry: AccessEntry) -> Result<(), Problem> {
        let access = self.clone();
        task::blocking(move || {
            // Held while lines are written, so that they are written in order, each once.
            let mut waiting = lock(&access.waiting);
            waiting.push_back(entry);
            let written = access.write_all(&mut waiting);
            let has_room = waiting.len() <= MAX_WAITING_LINES;
            match written {
                Ok(()) => Ok(()),
                Err(error) if error.may_pass() && has_room => {
                    warn!(error = %error, waiting = waiting.len(), "The access log cannot be written; its lines wait in memory.");
                    Ok(())
                }
                Err(error) => {
                    // The newest line is that of this request, which is not answered.
                    waiting.pop_back();
                    error!(error = %error, "A request could not be recorded in the access log, and is not answered.");
                    Err(Problem::unrecorded())
                }
            }
        })
        .await
    }

    /// Writes the lines that wait, at the end of the service.
    pub(super) async fn write_waiting(&self) {
        let access = self.clone();
        task::blocking(move || {
            let mut waiting = lock(&access.waiting);
            if let Err(error) = access.write_all(&mut waiting) {
                error!(error = %error, lost = waiting.len(), "The last lines of the access log could not be written.");
            }
        })
        .await;
    }

    /// Writes the lines that wait, the oldest first, as far as the disk takes them.
    fn write_all(&self, waiting: &mut VecDeque<AccessEntry>) -> Result<(), StoreError> {
        while let Some(entry) = waiting.front() {
            self.store.record(entry)?;
            waiting.pop_front();
        }
        Ok(())
    }

    /// Whether a principal would be answered now: its token may have been revoked or its session have ended while an answer
    /// is streamed. Its assertion may have expired, or its grant have changed. Not if that cannot be found out.
    pub(super) async fn still_answers(&self, principal: &Principal, now: DateTime<Utc>) -> bool {
        if let Some(identity) = principal.identity() {
            let settings = self.settings();
            let cloudflare = settings.cloudflare.as_ref();
            let grant = cloudflare.and_then(|(settings, _)| settings.grant_of(identity));
            return now < identity.expires_at && grant == Some(principal.grant());
        }
        let principal = principal.clone();
        let still = self.work(move |store| Ok(principal.is_valid(store, now)?));
        still.await.unwrap_or_default()
    }
}
