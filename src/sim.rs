//! A stand-in for Cloudflare's API: an organization with its accounts, members, and audit logs of any length.
//!
//! It speaks upstream's wire forms over real HTTP, keeps upstream's limits, and misbehaves on request. The demo, the
//! `simulate` command and the tests all use this one, so what they show cannot drift apart. Everything in it follows
//! from a seed: history is computed from an entry's number and never stored, so that ten million entries cost nothing
//! until they are read. It knows nothing of who reads it, and nothing of how that reader stores what it reads.
//!
//! In reading order: `chance` draws; `world` and `people` say who there is; `timeline` when things happen;
//! `catalogue` what can happen; `history` writes the entry of a number in the form of `entry`; `log` merges entries
//! and `lateness` holds some back. Requests come in through `door`, which asks `quota` and `faults`, and go on to
//! `organization`, `members` and `audit`, whose parts are `parameters`, `filter`, `cursor` and `listing`; answers leave
//! in an `envelope`.

mod audit;
mod catalogue;
mod chance;
mod config;
mod cursor;
mod door;
mod entry;
mod envelope;
mod faults;
mod filter;
mod history;
mod lateness;
mod listing;
mod log;
mod members;
mod organization;
mod parameters;
mod people;
mod quota;
mod timeline;
mod world;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::get;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::net::TcpListener;

use crate::clock::Clock;
use crate::position::Source;

use chance::Seed;
use door::Call;
use envelope::Refusal;
use faults::Mischief;
use history::Draft;
use lateness::Lateness;
use log::{Computed, Direction, Key, Lane, Published, Stretch};
use members::Members;
use quota::{Allowance, Quota};
use timeline::{MAX_DAYS, MAX_HISTORY, Timeline};
use world::World;

pub use config::{Bounds, CursorForm, SimConfig};
pub use door::SeenRequest;
pub use faults::Faults;

/// Where the API begins.
const BASE_PATH: &str = "/client/v4";
/// How many requests are remembered.
const MAX_SEEN: usize = 10_000;
/// The largest request body, in bytes.
const MAX_BODY_LEN: usize = 64 * 1024;

/// The simulator. A clone is another handle on the same one.
#[derive(Clone, Debug)]
pub struct Simulator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: SimConfig,
    clock: Clock,
    seed: Seed,
    world: World,
    /// Each source's computed entries, in the order of the world's sources.
    logs: Vec<Computed>,
    /// How many requests there have been.
    n_requests: AtomicU64,
    // Each lock is held for a few lines and never across an await. Whoever needs two takes `members` first.
    members: Mutex<Members>,
    /// Each source's published entries, in the order of the world's sources.
    published: Vec<Mutex<Published>>,
    quota: Mutex<Quota>,
    faults: Mutex<Faults>,
    lateness: Mutex<Lateness>,
    seen: Mutex<VecDeque<SeenRequest>>,
}

impl Simulator {
    /// A simulator whose history ends now.
    #[must_use]
    pub fn new(config: SimConfig, clock: Clock) -> Self {
        let seed = Seed(config.seed).named("orgtrail");
        let end = clock.now();
        let begin = end - TimeDelta::days(config.days.min(MAX_DAYS).into());
        let world = World::new(seed.named("world"), config.accounts, begin);
        let logs = logs(seed, &config, &world, begin, end);
        let members = Members::new(
            seed.named("members"),
            &world.people,
            world.organization.created,
        );
        Self(Arc::new(Inner {
            published: logs.iter().map(|_| Mutex::default()).collect(),
            logs,
            members: Mutex::new(members),
            world,
            seed,
            clock,
            n_requests: AtomicU64::new(0),
            quota: Mutex::new(Quota::new(config.quota)),
            faults: Mutex::default(),
            lateness: Mutex::default(),
            seen: Mutex::default(),
            config,
        }))
    }

    /// The API, under `/client/v4`.
    pub fn router(&self) -> Router {
        let api = Router::new()
            // The organization and what is in it.
            .route("/organizations/{organization_id}", get(organization::get))
            .route(
                "/organizations/{organization_id}/profile",
                get(organization::get_profile),
            )
            .route(
                "/organizations/{organization_id}/accounts",
                get(organization::list_accounts),
            )
            .route(
                "/organizations/{organization_id}/members",
                get(members::list).post(members::create),
            )
            .route(
                "/organizations/{organization_id}/members/{member_id}",
                get(members::get).delete(members::delete),
            )
            // The audit logs.
            .route(
                "/organizations/{organization_id}/logs/audit",
                get(audit::list_organization),
            )
            .route(
                "/accounts/{account_id}/logs/audit",
                get(audit::list_account),
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

    /// The organization's id.
    #[must_use]
    pub fn organization_id(&self) -> String {
        self.0.world.organization.id.clone()
    }

    /// All logs: the organization's first, then its accounts'.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        self.0.world.sources.clone()
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
        if let Some(place) = self.place(source) {
            self.publish_at(place, entry_json, action_time, visible_at);
        }
    }

    /// The exact text of every entry of a log that could be read at some moment up to `visible_by`, oldest first: what
    /// a perfect collector would hold.
    #[must_use]
    pub fn entries(&self, source: &Source, visible_by: DateTime<Utc>) -> Vec<String> {
        let Some(place) = self.place(source) else {
            return Vec::new();
        };
        let everything = Stretch {
            low: Key::first_at(DateTime::<Utc>::MIN_UTC),
            high: Key::first_at(DateTime::<Utc>::MAX_UTC),
        };
        let keys = self.keys(
            place,
            everything,
            Direction::Ascending,
            visible_by,
            usize::MAX,
        );
        keys.into_iter()
            .map(|key| self.text(place, key).as_ref().to_owned())
            .collect()
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
        self.0.clock.now()
    }

    fn place(&self, source: &Source) -> Option<usize> {
        self.0.world.place(source)
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        lock(&self.0.members)
    }

    fn must_be_organization(&self, id: &str) -> Result<(), Refusal> {
        if id == self.0.world.organization.id {
            Ok(())
        } else {
            Err(Refusal::no_route())
        }
    }

    fn publish_at(
        &self,
        place: usize,
        text: &str,
        action_time: DateTime<Utc>,
        visible_at: DateTime<Utc>,
    ) {
        lock(&self.0.published[place]).insert(text, action_time, visible_at);
    }

    /// The first `max` keys of a stretch of a log that can be seen at `now`.
    fn keys(
        &self,
        place: usize,
        stretch: Stretch,
        direction: Direction,
        now: DateTime<Utc>,
        max: usize,
    ) -> Vec<Key> {
        let lateness = lock(&self.0.lateness).clone();
        let mut keys = self.0.logs[place].keys(stretch, direction, now, &lateness, max);
        keys.extend(lock(&self.0.published[place]).keys(stretch, direction, now, max));
        log::merge(keys, direction, max)
    }

    /// The text of the entry at a key of a log.
    fn text(&self, place: usize, key: Key) -> Arc<str> {
        let log = &self.0.logs[place];
        let (timeline, lane) = match key.lane {
            Lane::History => (&log.history, "history"),
            Lane::Live => (&log.live, "live"),
            Lane::Published => {
                let text = lock(&self.0.published[place]).text(key);
                return text.unwrap_or_default();
            }
        };
        let draft = Draft {
            seed: self
                .0
                .seed
                .named(lane)
                .child(place as u64)
                .child(key.number),
            run: timeline.run(key.number),
            place,
            time: key.time,
            digits: timeline.digits(key.number),
        };
        history::compose(&self.0.world, draft).into()
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

/// Each source's computed entries. Together they are exactly as many as configured: a share ends where the sum of all
/// shares up to it ends, rounded.
fn logs(
    seed: Seed,
    config: &SimConfig,
    world: &World,
    begin: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Vec<Computed> {
    let events = config.events.min(MAX_HISTORY);
    let shares = world.shares();
    let mut passed = 0;
    let mut sum = 0.0;
    (0..)
        .zip(&shares)
        .map(|(place, share)| {
            sum += share;
            let is_last = place + 1 == shares.len() as u64;
            let until = if is_last {
                events
            } else {
                ((events as f64 * sum).round() as u64).clamp(passed, events)
            };
            let count = until - passed;
            passed = until;
            Computed {
                history: Timeline::history(seed.named("past").child(place), count, begin, end),
                live: Timeline::live(
                    seed.named("present").child(place),
                    end,
                    config.live_per_minute * share,
                ),
                late_seed: seed.named("late").child(place),
            }
        })
        .collect()
}

/// Takes a lock, even after a panic elsewhere: every critical section leaves its value whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
