//! The simulator's state, and what its parts ask of it.
//!
//! It does not know the routes, or how answers look.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail_cloudflare::request::Direction;
use orgtrail_cloudflare::source::Source;

use super::call::{Call, SeenRequest};
use super::chance::Seed;
use super::config::SimConfig;
use super::directory::Directory;
use super::faults::{Faults, RequestFaults, SourceFault};
use super::lateness::LatenessRules;
use super::log::{Key, LogRange};
use super::logs::{Log, Logs};
use super::quota::{self, Allowance, SimQuota};
use super::sync::lock;
use super::timeline::MAX_DAYS;
use super::world::World;

/// How many requests are remembered.
const MAX_SEEN: usize = 10_000;
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
    // Each lock is held for a few lines and never across an await. Code that needs both locks takes `directory` first.
    directory: Mutex<Directory>,
    quota: Mutex<SimQuota>,
    faults: Mutex<Faults>,
    lateness: Mutex<LatenessRules>,
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
            quota: Mutex::new(SimQuota::new(config.quota)),
            faults: Mutex::default(),
            lateness: Mutex::new(LatenessRules::new(config.lag)),
            seen: Mutex::default(),
            config,
        }))
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

    /// The ids and names of some zones, each of another account: for API calls that change them.
    #[must_use]
    pub fn zones(&self) -> Vec<(String, String)> {
        let zones = self.world().first_zones();
        zones.map(|zone| (zone.id, zone.name)).collect()
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

    pub(crate) fn config(&self) -> &SimConfig {
        &self.0.config
    }

    pub(crate) fn world(&self) -> &World {
        &self.0.world
    }

    pub(crate) fn seed(&self) -> Seed {
        self.0.seed
    }

    /// When it began.
    pub(crate) fn started(&self) -> DateTime<Utc> {
        self.0.started
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        (self.0.now.0)()
    }

    pub(crate) fn logs(&self) -> &Logs {
        &self.0.logs
    }

    pub(crate) fn directory(&self) -> MutexGuard<'_, Directory> {
        lock(&self.0.directory)
    }

    /// How long entries can be read.
    pub(crate) fn retention(&self) -> TimeDelta {
        TimeDelta::days(self.0.config.kept_days.min(MAX_DAYS).into())
    }

    /// Notes in an organization's log that the organization went.
    pub(crate) fn close_log(&self, organization_id: &str, now: DateTime<Utc>) {
        let source = Source::organization(organization_id).ok();
        if let Some(log) = source.and_then(|source| self.0.logs.get(&source)) {
            log.close(now);
        }
    }

    /// The fault configured for the source in this path.
    pub(crate) fn source_fault(&self, path: &str) -> Option<SourceFault> {
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
    pub(crate) fn keys(
        &self,
        log: &Log,
        stretch: LogRange,
        direction: Direction,
        now: DateTime<Utc>,
        max: usize,
    ) -> Vec<Key> {
        let lateness = lock(&self.0.lateness).clone();
        log.keys(stretch, direction, now, &lateness, max)
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.0.n_requests.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn faults(&self, number: u64) -> RequestFaults {
        lock(&self.0.faults).draw(number)
    }

    pub(crate) fn quota_limit(&self) -> u32 {
        self.0.config.quota
    }

    /// What is left to someone who has done nothing yet.
    pub(crate) fn full_allowance(&self) -> Allowance {
        Allowance {
            remaining: self.0.config.quota,
            reset_seconds: quota::WINDOW.num_seconds(),
            blocked_until: None,
            was_told: false,
        }
    }

    /// Counts a request against its credential's quota, or has it told to wait by chance.
    pub(crate) fn count(&self, call: &Call) -> Allowance {
        let mut quota = lock(&self.0.quota);
        let allowance = quota.count(&call.credential, call.at);
        let (None, Some(seconds)) = (allowance.blocked_until, call.faults.rate_limited) else {
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

    pub(crate) fn remember(&self, request: SeenRequest) {
        let mut seen = lock(&self.0.seen);
        if seen.len() == MAX_SEEN {
            seen.pop_front();
        }
        seen.push_back(request);
    }
}
