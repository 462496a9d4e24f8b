//! Access: who may ask, how much, and what was asked.
//!
//! Requests are recorded by [`super::access_writer`] and limited by [`super::unauthenticated`] and [`super::limit`].

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use chrono::{DateTime, TimeDelta, Utc};
use ipnet::IpNet;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use url::Url;

use super::access_writer::AccessWriter;
use super::assertion;
use super::limit::Usage;
use super::principal::{Credential, Principal, session, unknown_feed};
use super::problem::Problem;
use super::proxy::Requester;
use super::unauthenticated::Unauthenticated;
use crate::access::{Auth, CloudflareAccess, FeedKey, ForwardedHeader, PrincipalLimits};
use crate::clock::Clock;
use crate::keyring::Keyring;
use crate::owner::OwnerSecret;
use crate::store::{AccessChange, AccessLine, AccessStore, StoreError};
use crate::task;

/// How often it is checked whether refusals that were only counted are due to be recorded.
const COUNTED_EVERY: Duration = Duration::from_secs(5);

/// How often old lines of the access log are deleted.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);

/// How many requests use the store of tokens, sessions and the access log at once; more wait. Each may open a connection.
const MAX_LOOKUPS: usize = 16;

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
    /// Which headers of these proxies are believed.
    pub forwarded_header: ForwardedHeader,
    /// What one principal may take.
    pub limits: PrincipalLimits,
    /// Whose assertions of Cloudflare Access are believed, and the keys that sign them.
    pub cloudflare: Option<(CloudflareAccess, Keyring)>,
}

/// How many things an answer has, for the access log. Handlers add it to their answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Results(pub(super) u64);

/// The principal of a session that a request began or ended, for the access log. Handlers add it to their answers.
#[derive(Debug, Clone)]
pub(super) struct SignedIn(pub(super) String);

/// Who may ask, how much, and what was asked. A clone costs a few reference counts.
#[derive(Clone)]
pub struct Access {
    store: AccessStore,
    current: Arc<watch::Sender<ReloadableAccess>>,
    /// What proves that the owner of the data directory asks; `None`: nothing does.
    owner: Option<Arc<OwnerSecret>>,
    unauthenticated: Unauthenticated,
    writer: AccessWriter,
    /// Who may use the store now.
    lookups: Arc<Semaphore>,
}

/// What can be changed while the service runs. A clone is the same.
#[derive(Clone)]
struct ReloadableAccess {
    settings: Arc<AccessSettings>,
    usage: Usage,
}

impl Access {
    /// Tokens and the access log are in `store`. Who sends `owner` has every permission.
    #[must_use]
    pub fn new(store: AccessStore, settings: AccessSettings, owner: Option<OwnerSecret>) -> Self {
        Self {
            current: Arc::new(watch::Sender::new(ReloadableAccess {
                usage: Usage::new(settings.limits),
                settings: Arc::new(settings),
            })),
            owner: owner.map(Arc::new),
            unauthenticated: Unauthenticated::new(),
            writer: AccessWriter::new(store.clone()),
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            store,
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
            forwarded_header: ForwardedHeader::default(),
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
    ///
    /// Without the form of a credential nothing is looked up. A credential that was valid last time is looked up at once; others
    /// wait for one of a few permits, which are shared fairly among addresses. So requests without a valid credential take little
    /// from those with one, and cannot keep one out, whatever their address.
    pub(super) async fn identify(
        &self,
        headers: &HeaderMap,
        client: &Requester,
        clock: &Clock,
    ) -> Result<Principal, Problem> {
        let settings = self.settings();
        if settings.auth == Auth::None {
            return Ok(Principal::local());
        }
        let refused = |problem| self.count_unauthenticated(client.address, clock, problem);
        // A token that is sent wins over the assertion that a proxy adds.
        let is_assertion_used = assertion::is_sent(headers) && !headers.contains_key(AUTHORIZATION);
        let cloudflare = settings.cloudflare.as_ref();
        let Some((settings, keyring)) = cloudflare.filter(|_| is_assertion_used) else {
            let found = self.identify_by_credential(headers, client, clock).await;
            return found.map_err(refused);
        };
        if session(headers, self.is_https(client)).is_some()
            && let Ok(principal) = self.identify_by_credential(headers, client, clock).await
        {
            return Ok(principal);
        }
        let found = assertion::identify((settings, keyring), headers, clock.now()).await;
        found.map_err(refused)
    }

    /// Who sends a token, a session's cookie or the owner's secret. A refusal is not counted here.
    async fn identify_by_credential(
        &self,
        headers: &HeaderMap,
        client: &Requester,
        clock: &Clock,
    ) -> Result<Principal, Problem> {
        let is_https = self.is_https(client);
        let credential = Credential::read(self.owner.as_deref(), headers, is_https)?;
        let Some(hash) = credential.hash() else {
            return Ok(Principal::system(headers));
        };
        self.look_up(credential, hash, client, clock).await
    }

    /// The feed whose secret is in the URL of a request.
    pub(super) async fn identify_feed(
        &self,
        key: &str,
        client: &Requester,
        clock: &Clock,
    ) -> Result<Principal, Problem> {
        let found = async {
            let key = FeedKey::parse(key).ok_or_else(unknown_feed)?;
            let hash = *key.hash().as_bytes();
            let credential = Credential::Feed(key);
            self.look_up(credential, hash, client, clock).await
        };
        let refused = |problem| self.count_unauthenticated(client.address, clock, problem);
        found.await.map_err(refused)
    }

    async fn look_up(
        &self,
        credential: Credential,
        hash: [u8; 32],
        client: &Requester,
        clock: &Clock,
    ) -> Result<Principal, Problem> {
        let is_known = self.unauthenticated.knows(&hash);
        // Held until the work is done, also when its client is gone.
        let permit = if is_known {
            None
        } else {
            Some(self.unauthenticated.lookup(client.address).await)
        };
        let unproven =
            (!is_known).then(|| self.unauthenticated.suspect(client.address, clock.steady()));
        let now = clock.now();
        let look_up = move |store: &AccessStore| {
            let _permit = permit;
            credential.principal(store, now)
        };
        let found = self.work(look_up).await;
        if let Some(unproven) = unproven {
            // The caller counts a refusal.
            unproven.end();
        }
        if found.is_ok() != is_known {
            self.unauthenticated.remember(hash, found.is_ok());
        }
        found
    }

    /// Whether a request sends a credential. Another cookie is none.
    pub(super) fn is_sent(&self, headers: &HeaderMap, client: &Requester) -> bool {
        let settings = self.settings();
        if settings.auth == Auth::None {
            return false;
        }
        let has_session = session(headers, self.is_https(client)).is_some();
        let has_assertion = settings.cloudflare.is_some() && assertion::is_sent(headers);
        headers.contains_key(AUTHORIZATION) || has_session || has_assertion
    }

    /// Whether people reach the service by https.
    pub(super) fn is_https(&self, client: &Requester) -> bool {
        let settings = self.settings();
        let public = settings.public_url.as_ref();
        client.is_https || public.is_some_and(|url| url.scheme() == "https")
    }

    /// Counts a request without a valid credential, and gives what it is answered: `problem`, or that there were too many.
    pub(super) fn count_unauthenticated(
        &self,
        address: IpAddr,
        clock: &Clock,
        problem: Problem,
    ) -> Problem {
        match self.unauthenticated.count(address, clock.steady()) {
            Ok(()) => problem,
            Err(seconds) => Problem::too_many_unauthenticated(seconds),
        }
    }

    /// Deletes the sessions that have ended, the searches of principals that are gone, and the lines that are older than `kept`, now and every hour until `stop`.
    pub async fn forget_old_lines(self, kept: TimeDelta, clock: Clock, stop: CancellationToken) {
        loop {
            let now = clock.now();
            let before = now - kept;
            let forgotten = self.work(move |store| {
                store.forget_ended_sessions(now)?;
                store.forget_searches_of_ended(now, before)?;
                while store.forget_entries_before(before)? {}
                Ok(())
            });
            if forgotten.await.is_err() {
                warn!(
                    "Ended sessions, what ended tokens had saved, and old lines of the access log could not be deleted; trying again in an hour."
                );
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(FORGET_EVERY) => {}
            }
        }
    }

    /// Runs `work` where it may wait for the disk. Each has a connection and a thread of its own, so that few run at once.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AccessStore) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = Arc::clone(&self.lookups).acquire_owned().await;
        // The semaphore is never closed.
        let permit = permit.map_err(|_| Problem::internal())?;
        let store = self.store.clone();
        task::blocking(move || {
            let _permit = permit;
            work(&store)
        })
        .await
    }

    /// The database.
    pub(super) fn store(&self) -> &AccessStore {
        &self.store
    }

    /// The writer of the access log.
    pub(super) fn writer(&self) -> &AccessWriter {
        &self.writer
    }

    /// What is known of requests without a valid credential.
    pub(super) fn unauthenticated(&self) -> &Unauthenticated {
        &self.unauthenticated
    }

    /// Writes the access log until `end`, and then what still waits.
    pub(super) async fn write_log(&self, clock: &Clock, end: CancellationToken) {
        let writer_end = CancellationToken::new();
        let counting = async {
            loop {
                let at_end = tokio::select! {
                    () = end.cancelled() => true,
                    () = tokio::time::sleep(COUNTED_EVERY) => false,
                };
                for entry in self.unauthenticated.counted(clock.steady(), at_end) {
                    let line = AccessLine::default();
                    self.writer.add(AccessChange::Add(entry, line));
                }
                if at_end {
                    writer_end.cancel();
                    return;
                }
            }
        };
        tokio::join!(self.writer.run(writer_end.clone()), counting);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn few_requests_use_the_access_database_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let access = Access::open_to_this_machine(dir.path()).unwrap();
        let (working, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let lookups = (0..200).map(|_| {
            let (working, most) = (Arc::clone(&working), Arc::clone(&most));
            access.work(move |_| {
                most.fetch_max(working.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // Long enough for others to begin.
                std::thread::sleep(Duration::from_millis(5));
                working.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
        });
        for done in join_all(lookups).await {
            done.unwrap();
        }
        let most = most.load(Ordering::SeqCst);
        assert!(most <= MAX_LOOKUPS, "{most}");
    }

    #[tokio::test]
    async fn a_look_up_whose_client_goes_away_counts_as_one_without_a_valid_credential() {
        let dir = tempfile::tempdir().unwrap();
        let access = Access::open_to_this_machine(dir.path()).unwrap();
        access.change(AccessSettings {
            auth: Auth::Tokens,
            ..(*access.settings()).clone()
        });
        let token = crate::access::ApiToken::generate().unwrap();
        let mut headers = HeaderMap::new();
        let bearer = format!("Bearer {}", token.reveal());
        headers.insert(AUTHORIZATION, bearer.parse().unwrap());
        let client = Requester {
            address: IpAddr::from([192, 0, 2, 1]),
            is_https: false,
            host: None,
        };
        let clock = Clock::system();
        // The look-ups begin, and do not end.
        let _busy = access.lookups.acquire_many(MAX_LOOKUPS as u32).await;
        for _ in 0..60 {
            let look_up = access.identify(&headers, &client, &clock);
            assert!(look_up.now_or_never().is_none());
        }
        let counted = access.unauthenticated.count(client.address, clock.steady());
        assert!(counted.is_err());
    }
}
