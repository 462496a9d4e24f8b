//! Upstream to log: what each source shows, window by window, page by page.
//!
//! One poller for each credential, which owns its budget and its sources. Its turn is one call: choose what is most
//! urgent ([`Poller::next_turn`]), make the call and keep what came ([`Turn::perform`]), and note how it went
//! ([`Poller::record_outcome`]). [`Poller::run`] does nothing but that, with a few turns under way at once.
//!
//! All that matters is in the log: each turn reads from there how far its source has come, so that a crash, a lost answer or
//! another process's doing means "do the last step again" and nothing else. It does not know who follows the log.

mod bad_answer;
mod choose;
mod claim;
mod counts;
mod credential;
mod credential_health;
mod error;
mod followed;
mod foreign;
mod history;
mod list_schedule;
mod next_window;
mod outcome;
mod overlap;
mod pace;
mod paging;
mod places;
mod recovery;
mod scan;
mod schedule;
mod settings;
mod shares;
mod skew;
mod turn;
mod upstream_proof;
mod verify;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::health::{Board, State};
pub use crate::ledger::BackfillSince;
use crate::metrics::Metrics;
use crate::position::{Source, SourceKind, WindowKind};
use crate::store::{Followed, SourceRow, Store, StoreError};
use crate::upstream::Upstream;

use self::choose::{Choice, UNRELIABLE_SHARE};
use self::credential_health::CredentialHealth;
pub use self::error::TurnError;
use self::history::BackfillOnly;
pub use self::history::{HistoryEnd, Reached};
use self::list_schedule::{ListSchedule, Listing};
pub use self::overlap::Overlap;
use self::pace::Pace;
use self::places::CallSlots;
use self::recovery::Patience;
use self::schedule::{LONGEST_RETRY, SourceSchedule};
pub use self::settings::{Following, Settings};
use self::shares::Shares;
use self::skew::{Now, Skew};
pub use self::turn::{Outcome, Turn};
use self::turn::{PollContext, Scan, Work};
pub use self::verify::{
    Difference, Differs, LeftOut, Repair, Told, Verdict, Verify, VerifyError, Waiting,
};

/// Interval for checking whether a refused token changed.
const LOOK_FOR_TOKEN_EVERY: TimeDelta = TimeDelta::seconds(10);

/// Interval for recomputing poll intervals.
const WORK_OUT_PACE_EVERY: TimeDelta = TimeDelta::minutes(1);

/// The share of live calls that is planned. The rest is reserve, also for lists: they are long once an hour, and a plan that left
/// room for them all the time would slow every source.
const PLANNED: f64 = 0.9;

/// The wall clock was set when it has moved by this against the steady one.
const CLOCK_WAS_SET: TimeDelta = TimeDelta::seconds(1);

/// How long a poller sleeps at most before it looks again.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The poller of one credential.
pub struct Poller {
    context: PollContext,
    schedules: BTreeMap<Source, SourceSchedule>,
    lists: Vec<ListSchedule>,
    skew: Skew,
    by_themselves: HashSet<Source>,
    /// Sources that another credential of this process follows.
    shared: HashSet<Source>,
    shares: Shares,
    pace: Pace,
    /// When the pace was worked out, and when it is next.
    paced_at: DateTime<Utc>,
    pace_due: DateTime<Utc>,
    /// Calls for what is new, and windows sealed by them, since the pace was worked out.
    live_calls: u32,
    live_sealed: u32,
    refused: Option<Refused>,
    credential_health: CredentialHealth,
    places: CallSlots,
    /// Unreliable calls under way, and when the next one may be made before the others.
    unreliable: usize,
    unreliable_due: DateTime<Utc>,
    /// When the next page of a list may be requested before a scan.
    list_due: DateTime<Utc>,
    /// When it is looked next whether the token has changed.
    token_due: DateTime<Utc>,
    /// The token when a source was refused last.
    refused_token: Option<[u8; 32]>,
    /// Set when history is read and nothing else.
    backfill_only: Option<BackfillOnly>,
    /// How far the wall clock was ahead of the steady one when a wait was last known to be stored by it.
    wall_ahead: TimeDelta,
    /// What it follows, until that is saved.
    unsaved: Option<Followed>,
}

/// A credential that does not work.
struct Refused {
    /// Tells its token from another.
    token: Option<[u8; 32]>,
    /// When it is tried again all the same.
    until: DateTime<Utc>,
    /// How often it was tried with this token.
    tries: u32,
}

/// What is to be done next.
pub enum Next {
    /// This, now.
    Turn(Box<Turn>),
    /// Nothing before then.
    Wait(DateTime<Utc>),
}

impl Poller {
    /// The poller of `credential`, as far as the log says its sources have come. `credential` is its name in the
    /// configuration.
    ///
    /// # Errors
    /// What the log says.
    pub fn new(
        store: Store,
        upstream: Upstream,
        credential: String,
        following: Following,
        settings: Settings,
        board: Board,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let now = clock.steady();
        let unsaved = Self::save_at_start(&store, &following, &settings, clock.now())?;
        board.set_saved(&credential, unsaved.is_none());
        let mut poller = Self {
            schedules: BTreeMap::new(),
            lists: lists(&following, now),
            skew: Skew::default(),
            by_themselves: following.by_themselves,
            shared: HashSet::new(),
            shares: Shares::default(),
            pace: Pace::default(),
            paced_at: now,
            pace_due: now,
            live_calls: 0,
            live_sealed: 0,
            refused: None,
            credential_health: CredentialHealth::default(),
            places: CallSlots::default(),
            unreliable: 0,
            unreliable_due: now,
            list_due: DateTime::UNIX_EPOCH,
            token_due: now,
            refused_token: None,
            backfill_only: None,
            wall_ahead: clock.now() - now,
            unsaved,
            context: PollContext {
                store,
                upstream,
                credential,
                settings,
                board,
                clock,
                metrics: Metrics::default(),
            },
        };
        for seen in &following.sources {
            poller.open_schedule(&seen.source, now);
        }
        // What was listed before is followed at once; the next listing puts it right.
        let rows = poller.context.store.sources()?;
        for organization in &following.listed {
            poller.follow(organization, &rows, now);
        }
        Ok(poller)
    }

    /// The same, which counts there what it does, and reports its budget.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.context = self.context.with_metrics(metrics);
        self
    }

    /// Polls until told to stop. Calls under way are then given up; what they would have brought comes again.
    ///
    /// # Errors
    /// When the log cannot be written for a reason that does not pass by itself.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), TurnError> {
        self.take_turns(&stop).await
    }

    async fn take_turns(&mut self, stop: &CancellationToken) -> Result<(), TurnError> {
        let mut under_way = FuturesUnordered::new();
        while !(under_way.is_empty() && self.is_over()) {
            let now = self.context.clock.steady();
            self.context.board.takes_turn(&self.context.credential, now);
            let mut wake_at = now + LONGEST_SLEEP;
            loop {
                match self.next_turn(now) {
                    Next::Turn(turn) => under_way.push(turn.perform()),
                    Next::Wait(until) => {
                        wake_at = wake_at.min(until);
                        break;
                    }
                }
            }
            let give_up_at = self.places.give_up_at();
            wake_at = give_up_at.map_or(wake_at, |at| at.min(wake_at));
            let nap = (wake_at - now).to_std().unwrap_or_default();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(outcome) = under_way.next(), if !under_way.is_empty() => self.record_outcome(outcome)?,
                () = tokio::time::sleep(nap) => {}
            }
        }
        Ok(())
    }

    /// What is most urgent now, with leave to do it. `now` is by the steady clock.
    pub fn next_turn(&mut self, now: DateTime<Utc>) -> Next {
        self.places.give_up_slowest(now);
        if let Some(until) = self.save_followed(now) {
            return Next::Wait(until);
        }
        self.store_wait_again();
        if let Some(until) = self.wait_for_token(now) {
            return Next::Wait(until);
        }
        if let Some(until) = self.credential_health.pause(now) {
            return Next::Wait(until);
        }
        self.look_for_token(now);
        self.work_out_pace(now);
        if let Some(until) = self.wait_for_slot(now) {
            return Next::Wait(until);
        }
        let Some((choice, waiting)) = self.most_urgent(now) else {
            return Next::Wait(self.wake_at(now));
        };
        let permit = match self
            .context
            .upstream
            .quota()
            .take(self.context.clock.steady())
        {
            Ok(permit) => permit,
            Err(until) => return Next::Wait(until),
        };
        self.count_try(now);
        let work = match choice {
            Choice::List(at) => self.begin_list(at, now).map(Work::List),
            Choice::Scan(source, kind) => {
                if let Some(waiting) = waiting {
                    self.shares.count(kind, waiting);
                }
                self.begin_scan(&source, kind, now).map(Work::Scan)
            }
        };
        match work {
            Some(work) => {
                let (place, given_up) = self.places.begin(now);
                Next::Turn(Box::new(Turn {
                    context: self.context.given_up_by(given_up),
                    place,
                    permit,
                    work,
                }))
            }
            None => Next::Wait(now),
        }
    }

    /// A wait is stored as a length from the time of the wall clock. When that clock was set, the wait is stored again, so that
    /// after a restart what is left of it still holds. That is rare, so the disk is waited for here.
    fn store_wait_again(&mut self) {
        let clock = &self.context.clock;
        let (steady, quota) = (clock.steady(), self.context.upstream.quota());
        let ahead = clock.now() - steady;
        if (ahead - self.wall_ahead).abs() < CLOCK_WAS_SET {
            return;
        }
        if quota.blocked_until(steady).is_some()
            && let Err(error) = self.context.save_here(quota.spent())
        {
            debug!(error = %error, "Saving the rate-limit wait after a clock change failed; retrying.");
            return;
        }
        self.wall_ahead = ahead;
    }

    /// Until when nothing is tried because the credential was refused. It is tried again when its token has changed, and now
    /// and then.
    fn wait_for_token(&mut self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let refused = self.refused.as_mut()?;
        let token = self.context.upstream.token_mark();
        let is_other = token.is_some() && token != refused.token;
        if !is_other && now < refused.until {
            return Some(refused.until.min(now + LOOK_FOR_TOKEN_EVERY));
        }
        if is_other {
            *refused = Refused {
                token,
                until: now,
                tries: 0,
            };
        }
        self.schedules
            .values_mut()
            .for_each(|schedule| schedule.try_again(now));
        self.lists
            .iter_mut()
            .for_each(|schedule| schedule.try_again(now));
        None
    }

    /// A refused credential is tried with one call, which is now begun; the others go on waiting.
    fn count_try(&mut self, now: DateTime<Utc>) {
        if let Some(refused) = &mut self.refused {
            refused.until = now + LONGEST_RETRY;
            refused.tries = refused.tries.saturating_add(1);
        }
    }

    /// Looks, now and then, whether the token has changed since a source was refused: all that are refused are then tried
    /// again.
    fn look_for_token(&mut self, now: DateTime<Utc>) {
        if now < self.token_due || self.refused_token.is_none() {
            return;
        }
        self.token_due = now + LOOK_FOR_TOKEN_EVERY;
        let is_refused = |schedule: &SourceSchedule| schedule.refused_since.is_some();
        if !self.schedules.values().any(is_refused) {
            self.refused_token = None;
            return;
        }
        let token = self.context.upstream.token_mark();
        if token.is_some() && token != self.refused_token {
            self.refused_token = None;
            let schedules = self.schedules.values_mut();
            schedules
                .filter(|schedule| is_refused(schedule))
                .for_each(|schedule| schedule.try_again(now));
        }
    }

    /// Works out, now and then, how often each source is asked for what is new.
    fn work_out_pace(&mut self, now: DateTime<Utc>) {
        if now < self.pace_due || self.backfill_only.is_some() {
            return;
        }
        let passed = (now - self.paced_at).num_milliseconds() as f64 / 1_000.0;
        (self.paced_at, self.pace_due) = (now, now + WORK_OUT_PACE_EVERY);
        let calls_a_second = self.context.upstream.quota().calls_a_second();
        // What fails is not planned with: it has its own small share.
        let is_planned = |schedule: &&SourceSchedule| !schedule.is_unreliable(WindowKind::Live);
        let needs: Vec<_> = (self.schedules.values().filter(is_planned))
            .map(SourceSchedule::need)
            .collect();
        let possible = calls_a_second * passed;
        let mut planned = PLANNED;
        if needs.len() < self.schedules.len() {
            planned -= UNRELIABLE_SHARE;
        }
        let calls = calls_a_second * planned * self.shares.live_part(possible);
        let calls_a_window = f64::from(self.live_calls.max(1)) / f64::from(self.live_sealed.max(1));
        (self.live_calls, self.live_sealed) = (0, 0);
        let longest = self.context.settings.max_interval;
        let was_too_slow = self.pace.is_too_slow();
        self.pace = Pace::new(&needs, longest, calls / calls_a_window.max(1.0));
        let is_too_slow = self.pace.is_too_slow();
        for schedule in self.schedules.values_mut() {
            schedule.keep_pace(self.pace);
            self.context.board.write(&schedule.source, |health| {
                health.interval = Some(schedule.interval());
                health.is_held_back = is_too_slow;
            });
        }
        if is_too_slow && !was_too_slow {
            warn!(
                credential = self.context.credential,
                sources = needs.len(),
                interval.seconds = self.pace.longest().num_seconds(),
                "The quota is too small to poll every source within `max_interval`; all are polled less often."
            );
        } else if was_too_slow && !is_too_slow {
            info!(
                credential = self.context.credential,
                "The quota is large enough again: every source is polled within `max_interval`."
            );
        }
    }

    /// Follows a source, unless another credential of this process does so already.
    fn open_schedule(&mut self, source: &Source, now: DateTime<Utc>) {
        let (board, credential) = (&self.context.board, &self.context.credential);
        if let Err(owner) = board.own(source, credential) {
            if self.shared.insert(source.clone()) {
                info!(source = %source, credential, owner, "Another credential follows this source already.");
            }
            return;
        }
        self.shared.remove(source);
        let settings = &self.context.settings;
        self.schedules
            .entry(source.clone())
            .or_insert_with(|| SourceSchedule::new(source.clone(), settings, now));
        // Worked out anew with the next turn; until then it says that the source is followed.
        self.pace_due = now;
        let interval = Some(settings.interval);
        self.context
            .board
            .write(source, |health| health.interval = interval);
    }

    /// A moment of the steady clock, by both clocks.
    fn moment(&self, steady: DateTime<Utc>) -> Now {
        Now {
            wall: self.context.clock.now(),
            steady,
        }
    }

    fn begin_scan(
        &mut self,
        source: &Source,
        kind: WindowKind,
        now: DateTime<Utc>,
    ) -> Option<Scan> {
        let schedule = self.schedules.get_mut(source)?;
        schedule.is_busy = true;
        schedule.last_turn = now;
        let is_unreliable = schedule.is_unreliable(kind);
        self.unreliable += usize::from(is_unreliable);
        self.live_calls += u32::from(kind == WindowKind::Live && !is_unreliable);
        let moment = self.moment(now);
        let schedule = self.schedules.get(source)?;
        Some(Scan {
            source: source.clone(),
            kind,
            limit: self.context.settings.page_size,
            unfinished: schedule.unfinished(kind, now),
            patience: match self.backfill_only {
                Some(_) => Patience::FOREGROUND,
                None => Patience::SERVICE,
            },
            answered_elsewhere_since: schedule.answered_elsewhere_since(kind),
            look: schedule.look(kind),
            read_to: schedule.read_to(),
            swept_to: schedule.swept_to(),
            is_unreliable,
            upstream_clock: self.skew.upstream_clock(moment),
            present: self.skew.present(moment),
        })
    }

    /// Follows the accounts an organization lists, and no others of it.
    fn follow(&mut self, organization: &str, rows: &[SourceRow], now: DateTime<Utc>) {
        self.release_moved(rows);
        for row in rows {
            if row.organization.as_deref() != Some(organization)
                || self.by_themselves.contains(&row.source)
            {
                continue;
            }
            if !self.is_asked_for(&row.source) {
                continue;
            }
            let is_followed = self.schedules.contains_key(&row.source);
            if row.left_at.is_some() && is_followed {
                info!(source = %row.source, organization, "An account has left its organization; its history is kept.");
                self.schedules.remove(&row.source);
                self.context.board.disown(&row.source);
                self.context
                    .board
                    .write(&row.source, |health| health.state = State::Left);
            } else if row.left_at.is_none() && !is_followed {
                self.open_schedule(&row.source, now);
                if self.schedules.contains_key(&row.source) {
                    info!(source = %row.source, organization, "Following an account.");
                }
            }
        }
    }

    /// Stops following accounts that are now listed by an organization of another credential, so that its poller can follow
    /// them.
    fn release_moved(&mut self, rows: &[SourceRow]) {
        for row in rows {
            let Some(organization) = row.organization.as_deref() else {
                continue;
            };
            let is_ours = self.lists.iter().any(|schedule| {
                schedule.listing == Listing::Accounts && schedule.organization == organization
            });
            if is_ours
                || row.source.kind() != SourceKind::Account
                || self.by_themselves.contains(&row.source)
                || self.schedules.remove(&row.source).is_none()
            {
                continue;
            }
            info!(source = %row.source, organization, "An account has moved to an organization of another credential.");
            self.context.board.disown(&row.source);
            self.context.board.forget(&row.source);
        }
    }
}

/// What is listed: the accounts and the members of organizations, and each account that is followed by itself, for its name. No
/// list need have such an account.
fn lists(following: &Following, now: DateTime<Utc>) -> Vec<ListSchedule> {
    let apart = Arc::new(following.by_themselves.clone());
    let schedule = |organizations: &[String], listing| -> Vec<ListSchedule> {
        let schedule =
            |id: &String| ListSchedule::new(id.clone(), listing, Arc::clone(&apart), now);
        organizations.iter().map(schedule).collect()
    };
    let sources = following.sources.iter().map(|seen| &seen.source);
    let accounts = sources.filter(|source| source.kind() == SourceKind::Account);
    let accounts = (0..).zip(accounts);
    (schedule(&following.listed, Listing::Accounts).into_iter())
        .chain(schedule(&following.members_of, Listing::Members))
        .chain(accounts.map(|(n, source)| ListSchedule::of_account(source, n, now)))
        .collect()
}
