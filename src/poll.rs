//! Upstream to log: what each source shows, window by window, page by page.
//!
//! One poller for each credential, which owns its budget and its sources. Its turn is one call: choose what is most
//! urgent ([`Poller::next_turn`]), make the call and keep what came ([`Turn::perform`]), and note how it went
//! ([`Poller::settle`]). [`Poller::run`] does nothing but that, with a few turns under way at once.
//!
//! All that matters is in the log: each turn reads from there how far its source has come, so that a crash, a lost answer or
//! another process's doing means "do the last step again" and nothing else. It does not know who follows the log.

mod lane;
mod roll;
mod turn;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::health::{Board, LastError, State};
use crate::position::{Source, WindowKind};
use crate::store::{SourceRow, SourceSeen, Store, StoreError};
use crate::upstream::{Upstream, UpstreamError};

use self::lane::{Lane, Skew};
use self::roll::{Listing, Roll};
use self::turn::{Did, Hands, Listed, Scan, Scanned, Went, Work};
pub use self::turn::{Outcome, Turn, TurnError};

/// How many calls of one credential are under way at most.
const MAX_UNDER_WAY: usize = 4;

/// How long a poller sleeps at most before it looks again.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// How far back history is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackfillSince {
    /// So long before now.
    Span(TimeDelta),
    /// From that day on.
    Date(NaiveDate),
}

impl BackfillSince {
    fn resolve(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Span(span) => now.checked_sub_signed(span).unwrap_or(DateTime::UNIX_EPOCH),
            Self::Date(date) => date.and_time(NaiveTime::MIN).and_utc(),
        }
    }
}

/// How sources are polled.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The wait between the live windows of a source where something happens.
    pub interval: TimeDelta,
    /// The longest wait between the live windows of a quiet source.
    pub max_interval: TimeDelta,
    /// How far a live window reaches back over the one before it.
    pub overlap: TimeDelta,
    /// How far back history is read.
    pub backfill_since: BackfillSince,
    /// How many entries are asked for at a time.
    pub page_size: u32,
}

/// What one credential is to follow.
#[derive(Debug, Clone, Default)]
pub struct Following {
    /// Sources by themselves.
    pub sources: Vec<SourceSeen>,
    /// Ids of organizations whose accounts are found by listing them.
    pub listed: Vec<String>,
    /// Ids of organizations whose members are read, to know who an actor is.
    pub members_of: Vec<String>,
    /// Accounts that are configured by themselves, with this or another credential: no list has a say in them.
    pub by_themselves: HashSet<Source>,
}

/// The poller of one credential.
pub struct Poller {
    hands: Hands,
    lanes: BTreeMap<Source, Lane>,
    rolls: Vec<Roll>,
    skew: Skew,
    by_themselves: HashSet<Source>,
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
        let now = clock.now();
        store.save_sources(&following.sources, now)?;
        let Following {
            sources,
            listed,
            members_of,
            by_themselves,
        } = following;
        let roll = |listing| move |organization| Roll::new(organization, listing, now);
        let mut poller = Self {
            lanes: BTreeMap::new(),
            rolls: (listed.iter().cloned().map(roll(Listing::Accounts)))
                .chain(members_of.into_iter().map(roll(Listing::Members)))
                .collect(),
            skew: Skew::default(),
            by_themselves,
            hands: Hands {
                store,
                upstream,
                credential,
                settings,
                board,
                clock,
            },
        };
        for seen in &sources {
            poller.open_lane(&seen.source, now);
        }
        // What was listed before is followed at once; the next listing puts it right.
        let rows = poller.hands.store.sources()?;
        for organization in &listed {
            poller.follow(organization, &rows, now);
        }
        Ok(poller)
    }

    /// Polls until told to stop. Calls under way are then given up; what they would have brought comes again.
    ///
    /// # Errors
    /// When the log cannot be written for a reason that does not pass by itself.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), TurnError> {
        let mut under_way = FuturesUnordered::new();
        loop {
            let now = self.hands.clock.now();
            let mut wake_at = now + LONGEST_SLEEP;
            while under_way.len() < MAX_UNDER_WAY {
                match self.next_turn(now) {
                    Next::Turn(turn) => under_way.push(turn.perform()),
                    Next::Wait(until) => {
                        wake_at = wake_at.min(until);
                        break;
                    }
                }
            }
            let nap = (wake_at - now).to_std().unwrap_or_default();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(outcome) = under_way.next(), if !under_way.is_empty() => self.settle(outcome)?,
                () = tokio::time::sleep(nap) => {}
            }
        }
    }

    /// What is most urgent now, with leave to do it.
    pub fn next_turn(&mut self, now: DateTime<Utc>) -> Next {
        let Some(choice) = self.most_urgent(now) else {
            return Next::Wait(self.wake_at(now));
        };
        let permit = match self.hands.upstream.quota().take(self.hands.clock.steady()) {
            Ok(permit) => permit,
            Err(until) => return Next::Wait(until),
        };
        let work = match choice {
            Choice::List(at) => self.rolls[at].begin().map(Work::List),
            Choice::Scan(source, kind) => self.begin_scan(&source, kind, now).map(Work::Scan),
        };
        match work {
            Some(work) => Next::Turn(Box::new(Turn {
                hands: self.hands.clone(),
                permit,
                work,
            })),
            None => Next::Wait(now),
        }
    }

    /// Notes how a turn went.
    ///
    /// # Errors
    /// The turn's own error, when no later turn can do better.
    pub fn settle(&mut self, outcome: Outcome) -> Result<(), TurnError> {
        let now = self.hands.clock.now();
        match outcome.0 {
            Went::Scanned { scan, result } => {
                if let Ok(Scanned {
                    clocks: Some((theirs, ours)),
                    ..
                }) = &*result
                {
                    self.skew.heard(*theirs, *ours);
                }
                let Some(lane) = self.lanes.get_mut(&scan.source) else {
                    return Ok(());
                };
                lane.is_busy = false;
                match *result {
                    Ok(scanned) => settle_scan(lane, &self.hands, scan, scanned, now),
                    Err(error) if error.is_fatal() => return Err(error),
                    Err(error) => settle_failure(lane, &self.hands, &scan, error, now),
                }
            }
            Went::Listed {
                organization,
                listing,
                result,
            } => match result {
                Err(error) if error.is_fatal() => return Err(error),
                result => self.settle_list(&organization, listing, result, now),
            },
        }
        Ok(())
    }

    fn open_lane(&mut self, source: &Source, now: DateTime<Utc>) {
        let settings = &self.hands.settings;
        self.lanes
            .entry(source.clone())
            .or_insert_with(|| Lane::new(source.clone(), settings, now));
    }

    fn most_urgent(&self, now: DateTime<Utc>) -> Option<Choice> {
        if let Some(at) = self
            .rolls
            .iter()
            .position(|roll| roll.due().is_some_and(|due| due <= now))
        {
            return Some(Choice::List(at));
        }
        let due = self
            .lanes
            .values()
            .filter_map(|lane| Some((lane.due(&self.hands.settings, now).ok()?, lane)));
        // What is new first; among equals, who has waited longest.
        let (kind, lane) = due.min_by_key(|(kind, lane)| (*kind, lane.last_turn))?;
        Some(Choice::Scan(lane.source.clone(), kind))
    }

    fn wake_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let lanes = self
            .lanes
            .values()
            .filter_map(|lane| lane.due(&self.hands.settings, now).err().flatten());
        let rolls = self.rolls.iter().filter_map(Roll::due);
        lanes.chain(rolls).min().unwrap_or(now + LONGEST_SLEEP)
    }

    fn begin_scan(
        &mut self,
        source: &Source,
        kind: WindowKind,
        now: DateTime<Utc>,
    ) -> Option<Scan> {
        let lane = self.lanes.get_mut(source)?;
        lane.is_busy = true;
        lane.last_turn = now;
        Some(Scan {
            source: source.clone(),
            kind,
            limit: lane.limit,
            present: self.skew.present(now),
        })
    }

    fn settle_list(
        &mut self,
        organization: &str,
        listing: Listing,
        result: Result<Listed, TurnError>,
        now: DateTime<Utc>,
    ) {
        let Some(roll) = self
            .rolls
            .iter_mut()
            .find(|roll| roll.organization == organization && roll.listing == listing)
        else {
            return;
        };
        match result {
            Ok(Listed::More(list)) => roll.go_on(list),
            Ok(Listed::Accounts(rows)) => {
                roll.done(now);
                self.follow(organization, &rows, now);
            }
            Ok(Listed::Members) => roll.done(now),
            Err(error) => roll.failed(&error, now),
        }
    }

    /// Follows the accounts an organization lists, and no others of it.
    fn follow(&mut self, organization: &str, rows: &[SourceRow], now: DateTime<Utc>) {
        for row in rows {
            if row.organization.as_deref() != Some(organization)
                || self.by_themselves.contains(&row.source)
            {
                continue;
            }
            let is_followed = self.lanes.contains_key(&row.source);
            if row.left_at.is_some() && is_followed {
                info!(source = %row.source, organization, "An account has left its organization; its history is kept.");
                self.lanes.remove(&row.source);
                self.hands
                    .board
                    .write(&row.source, |health| health.state = State::Left);
            } else if row.left_at.is_none() && !is_followed {
                info!(source = %row.source, organization, "Following an account.");
                self.open_lane(&row.source, now);
            }
        }
    }
}

enum Choice {
    List(usize),
    Scan(Source, WindowKind),
}

fn settle_scan(lane: &mut Lane, hands: &Hands, scan: Scan, scanned: Scanned, now: DateTime<Utc>) {
    let settings = &hands.settings;
    let Scanned { did, progress, .. } = scanned;
    match did {
        Did::Nothing | Did::TooEarly => lane.look_again(now, settings),
        Did::Restarted { why } => {
            warn!(source = %scan.source, why, "A cursor led nowhere; the scan starts over with a smaller window.");
            lane.restarted(progress.open(scan.kind), now);
            hands.board.write(&scan.source, |health| {
                health.last_error = Some(LastError {
                    at: now,
                    message: why,
                })
            });
        }
        Did::Kept { appended, sealed } => {
            lane.went_well();
            if let Some(before) = sealed {
                lane.sealed(scan.kind, before, appended.new, settings, now);
            }
            let is_behind = lane.is_behind(&progress, settings, now);
            hands.board.write(&scan.source, |health| {
                if health.failing_since.take().is_some() {
                    info!(source = %scan.source, "A source answers again.");
                }
                health.state = if is_behind {
                    State::CatchingUp
                } else {
                    State::Live
                };
            });
        }
    }
    let is_done = lane::is_backfilled(&progress, settings, now);
    hands.board.write(&scan.source, |health| {
        health.backfilled_to = progress.backfilled_to;
        health.backfill_done = is_done;
    });
    lane.progress = Some(progress);
}

fn settle_failure(
    lane: &mut Lane,
    hands: &Hands,
    scan: &Scan,
    error: TurnError,
    now: DateTime<Utc>,
) {
    let state = match &error {
        // The quota holds everybody back; the source itself is well.
        TurnError::Upstream(UpstreamError::RateLimited { .. }) => return,
        TurnError::Upstream(UpstreamError::PageTooLarge) if lane.ask_for_less() => return,
        TurnError::Upstream(UpstreamError::Unauthorized(_)) => {
            lane.wait_for_help(now);
            State::Refused
        }
        TurnError::Upstream(UpstreamError::Unexpected(_)) => {
            lane.wait_for_help(now);
            State::Failing
        }
        TurnError::Upstream(_) | TurnError::Store(_) => {
            lane.back_off(now);
            State::Failing
        }
    };
    hands.board.write(&scan.source, |health| {
        if health.failing_since.is_none() {
            warn!(source = %scan.source, error = %error, "A source fails; it is tried again, later each time.");
        }
        health.state = state;
        health.failing_since.get_or_insert(now);
        health.last_error = Some(LastError { at: now, message: error.to_string() });
    });
}
