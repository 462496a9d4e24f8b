//! The poller of one credential: its state, and the round of choosing a turn, performing it and noting how it went.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::credential_health::CredentialHealth;
use super::error::TurnError;
use super::list_schedule::{ListSchedule, lists};
use super::pace::Pace;
use super::places::CallSlots;
use super::recovery::Patience;
use super::schedule::{LONGEST_RETRY, SourceSchedule};
use super::settings::{BackfillOnly, Following, Settings};
use super::shares::{Shares, UNRELIABLE_SHARE};
use super::skew::{Now, Skew};
use super::turn::{PollContext, Scan, Turn, Work};
use crate::clock::Clock;
use crate::health::Board;
use crate::metrics::Metrics;
use crate::position::{Source, WindowKind};
use crate::store::{Followed, Store, StoreError};
use crate::upstream::Upstream;

/// Interval for checking whether a refused token changed.
const LOOK_FOR_TOKEN_EVERY: TimeDelta = TimeDelta::seconds(10);

/// Interval for recomputing poll intervals.
const WORK_OUT_PACE_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Share of live calls that the pace uses. The rest is a reserve, mostly for lists, which need many calls once an hour.
const PLANNED: f64 = 0.9;

/// If the two clocks drift apart by this much, someone set the wall clock.
const CLOCK_WAS_SET: TimeDelta = TimeDelta::seconds(1);

/// How long a poller sleeps at most before it looks again.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// What to call: the list at a place among the lists, or a source's next window of a kind.
pub(super) enum Choice {
    List(usize),
    Scan(Source, WindowKind),
}

/// The poller of one credential.
pub struct Poller {
    pub(super) context: PollContext,
    pub(super) schedules: BTreeMap<Source, SourceSchedule>,
    pub(super) lists: Vec<ListSchedule>,
    pub(super) skew: Skew,
    pub(super) by_themselves: HashSet<Source>,
    /// Sources that another credential of this process follows.
    pub(super) shared: HashSet<Source>,
    pub(super) shares: Shares,
    pub(super) pace: Pace,
    /// When the pace was worked out, and when it is next.
    pub(super) paced_at: DateTime<Utc>,
    pub(super) pace_due: DateTime<Utc>,
    /// Calls for what is new, and windows sealed by them, since the pace was worked out.
    pub(super) live_calls: u32,
    pub(super) live_sealed: u32,
    pub(super) refused: Option<RefusedCredential>,
    pub(super) credential_health: CredentialHealth,
    pub(super) places: CallSlots,
    /// Unreliable calls under way, and when the next one may be made before the others.
    pub(super) unreliable: usize,
    pub(super) unreliable_due: DateTime<Utc>,
    /// When the next page of a list may be requested before a scan.
    pub(super) list_due: DateTime<Utc>,
    /// When it is looked next whether the token has changed.
    pub(super) token_due: DateTime<Utc>,
    /// The token when a source was refused last.
    pub(super) refused_token: Option<[u8; 32]>,
    /// Set when history is read and nothing else.
    pub(super) backfill_only: Option<BackfillOnly>,
    /// Wall clock minus steady clock when the wait was last stored.
    pub(super) wall_ahead: TimeDelta,
    /// What it follows, until that is saved.
    pub(super) unsaved: Option<Followed>,
}

/// A credential that does not work.
pub(super) struct RefusedCredential {
    /// Tells its token from another.
    pub(super) token: Option<[u8; 32]>,
    /// When it is tried again all the same.
    pub(super) until: DateTime<Utc>,
    /// How often it was tried with this token.
    pub(super) tries: u32,
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

    pub(super) async fn take_turns(&mut self, stop: &CancellationToken) -> Result<(), TurnError> {
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
            *refused = RefusedCredential {
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

    /// A moment of the steady clock, by both clocks.
    pub(super) fn moment(&self, steady: DateTime<Utc>) -> Now {
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
}
