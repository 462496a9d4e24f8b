//! A stand-in for Cloudflare's API: organizations with their accounts, members, and audit logs of any length.
//!
//! It speaks upstream's wire forms over real HTTP, keeps upstream's limits, and misbehaves on request. The demo, the
//! `simulate` command and the tests all use this one, so what they show cannot drift apart. Everything in it follows
//! from a seed: history is computed from an entry's number and never stored, so that ten million entries cost nothing
//! until they are read. It knows nothing of who reads it, and nothing of how that reader stores what it reads.
//!
//! In reading order: `chance` draws; `world` and `people` say who there is; `timeline` when things happen;
//! `catalogue` what can happen; `history` draws the entry of a number, `entry` and `pen` write it; `log` and `logs` merge
//! entries and `lateness` holds some back; `directory` holds what calls change. Requests come in through `door`, which
//! asks `quota` and `faults`, and go on to `organizations`, `accounts`, `members`, each change of which `record` tells in
//! a log, and to `audit`, whose parts are `parameters`, `question`, `filter`, `resource`, `reader` and `cursor`; lists
//! are cut by `listing`, and answers leave in an `envelope`. `entries` goes around all of that.

mod accounts;
mod audit;
mod catalogue;
mod chance;
mod config;
mod cursor;
mod directory;
mod door;
mod entries;
mod entry;
mod envelope;
mod faults;
mod filter;
mod history;
mod lateness;
mod listing;
mod log;
mod logs;
mod members;
mod organizations;
mod parameters;
mod pen;
mod people;
mod question;
mod quota;
mod reader;
mod record;
mod refusal;
mod resource;
mod timeline;
mod world;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::net::TcpListener;

use orgtrail_cloudflare::request::{BASE_PATH, Direction};
use orgtrail_cloudflare::source::Source;

use chance::Seed;
use directory::Directory;
use door::Call;
use faults::{Mischief, SourceFault};
use lateness::Lateness;
use log::{Key, Stretch};
use logs::{Log, Logs};
use quota::{Allowance, Quota};
use refusal::Refusal;
use timeline::MAX_DAYS;
use world::World;

pub use config::{Bounds, Lag, SimConfig};
pub use door::SeenRequest;
pub use entries::Entries;
pub use faults::Faults;
pub use orgtrail_cloudflare::paging::CursorForm;

/// How many requests are remembered.
const MAX_SEEN: usize = 10_000;
/// The largest request body, in bytes.
const MAX_BODY_LEN: usize = 64 * 1024;

/// Reads the present moment.
struct ReadNow(Box<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl fmt::Debug for ReadNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadNow").field(&(self.0)()).finish()
    }
}

/// The simulator. A clone is another handle on the same one.
#[derive(Clone, Debug)]
pub struct Simulator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: SimConfig,
    now: ReadNow,
    seed: Seed,
    world: World,
    logs: Logs,
    /// When it began.
    started: DateTime<Utc>,
    /// How many requests there have been.
    n_requests: AtomicU64,
    // Each lock is held for a few lines and never across an await. Whoever needs two takes `directory` first.
    directory: Mutex<Directory>,
    quota: Mutex<Quota>,
    faults: Mutex<Faults>,
    lateness: Mutex<Lateness>,
    seen: Mutex<VecDeque<SeenRequest>>,
}

impl Simulator {
    /// A simulator whose history ends now. It takes the time from `now`, which is called at least once for each request.
    #[must_use]
    pub fn new(config: SimConfig, now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        let seed = Seed(config.seed).named("orgtrail");
        let end = now();
        let begin = end - TimeDelta::days(config.days.min(MAX_DAYS).into());
        let world = World::new(
            seed.named("world"),
            config.organizations,
            config.accounts,
            begin,
        );
        Self(Arc::new(Inner {
            logs: Logs::new(seed, &config, &world, begin, end),
            started: end,
            directory: Mutex::new(Directory::new(seed.named("members"), &world)),
            world,
            seed,
            now: ReadNow(Box::new(now)),
            n_requests: AtomicU64::new(0),
            quota: Mutex::new(Quota::new(config.quota)),
            faults: Mutex::default(),
            lateness: Mutex::new(Lateness::new(config.lag)),
            seen: Mutex::default(),
            config,
        }))
    }

    /// The API, under `/client/v4`.
    pub fn router(&self) -> Router {
        let api = Router::new()
            // Organizations and what is in them.
            .route(
                "/organizations",
                get(organizations::list).post(organizations::create),
            )
            .route(
                "/organizations/{organization_id}",
                get(organizations::get)
                    .put(organizations::modify)
                    .delete(organizations::delete),
            )
            .route(
                "/organizations/{organization_id}/profile",
                get(organizations::get_profile).put(organizations::modify_profile),
            )
            .route(
                "/organizations/{organization_id}/accounts",
                get(accounts::list),
            )
            .route(
                "/organizations/{organization_id}/members",
                get(members::list).post(members::create),
            )
            .route(
                "/organizations/{organization_id}/members:batchCreate",
                post(members::create_several),
            )
            .route(
                "/organizations/{organization_id}/members/{member_id}",
                get(members::get).delete(members::delete),
            )
            .route("/accounts/{account_id}", get(accounts::get))
            // The audit logs.
            .route(
                "/organizations/{organization_id}/logs/audit",
                get(audit::list_organization),
            )
            .route(
                "/organizations/{organization_id}/logs/audit/{id}/history",
                get(audit::organization_history),
            )
            .route(
                "/accounts/{account_id}/logs/audit",
                get(audit::list_account),
            )
            .route(
                "/accounts/{account_id}/logs/audit/{id}/history",
                get(audit::account_history),
            )
            .route(
                "/accounts/{account_id}/logs/audit/product_categories",
                get(audit::product_categories),
            );
        Router::new()
            .nest(BASE_PATH, api)
            .fallback(async || Refusal::no_route())
            .method_not_allowed_fallback(async || {
                let status = axum::http::StatusCode::METHOD_NOT_ALLOWED;
                Refusal::coded(status, 10_405, "Method not allowed for this endpoint")
            })
            .layer(DefaultBodyLimit::max(MAX_BODY_LEN))
            .layer(middleware::from_fn_with_state(self.clone(), door::pass))
            .with_state(self.clone())
    }

    /// Answers on `listener` until `shutdown` is done, then ends what is under way.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        axum::serve(listener, self.router())
            .with_graceful_shutdown(shutdown)
            .await
    }

    /// The id of the organization, or of the first of several.
    #[must_use]
    pub fn organization_id(&self) -> String {
        self.0.world.organizations[0].id.clone()
    }

    /// The ids of all organizations that there are in the beginning.
    #[must_use]
    pub fn organization_ids(&self) -> Vec<String> {
        let organizations = self.0.world.organizations.iter();
        organizations
            .map(|organization| organization.id.clone())
            .collect()
    }

    /// All logs: each organization's, followed by its accounts'; then those of organizations that calls have made.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        self.0.logs.sources()
    }

    /// Puts a text into a log as an entry, verbatim, whatever it says, as something that happened at `action_time`
    /// and can be read from `visible_at` on. A source that is not one of [`Simulator::sources`] has no log to put it in.
    pub fn publish(
        &self,
        source: &Source,
        entry_json: &str,
        action_time: DateTime<Utc>,
        visible_at: DateTime<Utc>,
    ) {
        if let Some(log) = self.0.logs.get(source) {
            log.publish(entry_json, action_time, visible_at);
        }
    }

    /// The exact text of every entry of a log that could be read at some moment up to `visible_by`, oldest first: what
    /// a perfect collector would hold.
    #[must_use]
    pub fn entries(&self, source: &Source, visible_by: DateTime<Utc>) -> Vec<String> {
        self.walk(source, visible_by).collect()
    }

    /// The same, one by one: each entry is made when it is asked for, so that ten million of them need no room.
    /// A source that is not one of [`Simulator::sources`] has none.
    #[must_use]
    pub fn walk(&self, source: &Source, visible_by: DateTime<Utc>) -> Entries {
        let kept_since = self.0.started - self.retention();
        let log = self.0.logs.get(source);
        Entries::new(self.clone(), log, kept_since, visible_by)
    }

    /// When each live entry of a log could be read first, by its exact text: of those that could be at `visible_by`.
    #[must_use]
    pub fn visible_since(
        &self,
        source: &Source,
        visible_by: DateTime<Utc>,
    ) -> Vec<(String, DateTime<Utc>)> {
        let lateness = lock(&self.0.lateness).clone();
        let Some(log) = self.0.logs.get(source) else {
            return Vec::new();
        };
        log.visible_since(self.world(), &lateness, self.0.started, visible_by)
    }

    /// Replaces the faults. Entries that are visible stay so.
    pub fn set_faults(&self, faults: Faults) {
        lock(&self.0.lateness).set(self.now(), faults.late, faults.max_lateness);
        *lock(&self.0.faults) = faults;
    }

    /// The last requests, oldest first; the oldest of very many are forgotten.
    #[must_use]
    pub fn requests(&self) -> Vec<SeenRequest> {
        lock(&self.0.seen).iter().cloned().collect()
    }

    fn config(&self) -> &SimConfig {
        &self.0.config
    }

    fn world(&self) -> &World {
        &self.0.world
    }

    fn seed(&self) -> Seed {
        self.0.seed
    }

    fn now(&self) -> DateTime<Utc> {
        (self.0.now.0)()
    }

    fn logs(&self) -> &Logs {
        &self.0.logs
    }

    fn directory(&self) -> MutexGuard<'_, Directory> {
        lock(&self.0.directory)
    }

    /// How long entries can be read.
    fn retention(&self) -> TimeDelta {
        TimeDelta::days(self.0.config.kept_days.min(MAX_DAYS).into())
    }

    /// Notes in an organization's log that the organization went.
    fn close_log(&self, organization_id: &str, now: DateTime<Utc>) {
        let source = Source::organization(organization_id).ok();
        if let Some(log) = source.and_then(|source| self.0.logs.get(&source)) {
            log.close(now);
        }
    }

    /// What always befalls the calls for the owner of a log, going by their path.
    fn source_fault(&self, path: &str) -> Option<SourceFault> {
        let faults = lock(&self.0.faults);
        let mut parts = path.trim_start_matches('/').splitn(3, '/');
        let (kind, id) = (parts.next(), parts.next());
        let is_own =
            |source: &Source| kind == Some(source.kind().as_str()) && id == Some(source.id());
        if faults.forbidden.iter().any(is_own) {
            return Some(SourceFault::Status(403));
        }
        let mut statuses = faults.statuses.iter();
        if let Some((_, status)) = statuses.find(|(source, _)| is_own(source)) {
            return Some(SourceFault::Status(*status));
        }
        let is_hanging = faults.hanging.iter().any(is_own);
        is_hanging.then_some(SourceFault::Hang(faults.stall_for))
    }

    /// The first `max` keys of a stretch of a log that can be seen at `now`.
    fn keys(
        &self,
        log: &Log,
        stretch: Stretch,
        direction: Direction,
        now: DateTime<Utc>,
        max: usize,
    ) -> Vec<Key> {
        let lateness = lock(&self.0.lateness).clone();
        log.keys(stretch, direction, now, &lateness, max)
    }

    fn next_number(&self) -> u64 {
        self.0.n_requests.fetch_add(1, Ordering::Relaxed)
    }

    fn mischief(&self, number: u64) -> Mischief {
        lock(&self.0.faults).draw(number)
    }

    fn quota_limit(&self) -> u32 {
        self.0.config.quota
    }

    /// What is left to someone who has done nothing yet.
    fn full_allowance(&self) -> Allowance {
        Allowance {
            remaining: self.0.config.quota,
            reset_seconds: quota::WINDOW.num_seconds(),
            blocked_until: None,
            was_told: false,
        }
    }

    /// Counts a request against its credential's quota, or has it told to wait by chance.
    fn count(&self, call: &Call) -> Allowance {
        let mut quota = lock(&self.0.quota);
        let allowance = quota.count(&call.credential, call.at);
        let (None, Some(seconds)) = (allowance.blocked_until, call.mischief.rate_limited) else {
            return allowance;
        };
        let until = call.at + TimeDelta::seconds(seconds.into());
        quota.block(&call.credential, call.at, until);
        Allowance {
            remaining: 0,
            reset_seconds: seconds.into(),
            blocked_until: Some(until),
            was_told: false,
        }
    }

    fn remember(&self, request: SeenRequest) {
        let mut seen = lock(&self.0.seen);
        if seen.len() == MAX_SEEN {
            seen.pop_front();
        }
        seen.push_back(request);
    }
}

/// Takes a lock, even after a panic elsewhere: every critical section leaves its value whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
