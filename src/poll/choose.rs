//! Which call of a credential is next: the most urgent list or scan, if a slot is free.
//!
//! Windows whose last call failed or was slow have a small share of the places and of the calls, so that hundreds of sources
//! that fail or do not answer slow no healthy one. Lists have a share of the calls too: a long one delays no log for long, and
//! is read to its end while logs want all calls. It makes no calls.

use chrono::{DateTime, TimeDelta, Utc};

use super::list_schedule::{List, ListSchedule};
use super::poller::{Choice, LONGEST_SLEEP, Poller};
use super::schedule::{SLOW, SourceSchedule, Wants};
use super::shares::{Shares, UNRELIABLE_SHARE, Waiting};
use crate::position::{Source, WindowKind};

/// How many calls of one credential are under way at once, of those that are not slow yet.
const MAX_UNDER_WAY: usize = 8;

/// How many of them are for windows whose last call failed or was slow.
const MAX_UNRELIABLE: usize = 2;

/// The part of the calls that lists have for sure; they also get what the others leave.
const LIST_SHARE: f64 = 0.15;

/// So many pages of lists are read at once after a pause, beyond their share: most lists are no longer than that, and accounts
/// are followed only when they are known.
const LIST_BURST: i32 = 10;

impl Poller {
    /// Until when no further call is begun because as many are under way as may be. A call that has become slow leaves its
    /// place to another one, so that sources that do not answer occupy no place for long.
    pub(super) fn wait_for_slot(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.places.are_full() {
            return Some(self.places.give_up_at().unwrap_or(now + LONGEST_SLEEP));
        }
        let busy = self.schedules.values().filter(|schedule| schedule.is_busy);
        let slow_at: Vec<_> = busy
            .map(|schedule| schedule.last_turn + SLOW)
            .filter(|slow_at| *slow_at > now)
            .collect();
        if slow_at.len() < MAX_UNDER_WAY {
            return None;
        }
        slow_at.into_iter().min()
    }

    /// What is most urgent, and which kinds wait for a call with it: those take turns by their shares.
    ///
    /// Windows whose last call failed or was slow come first when their share is due, and after everything else otherwise.
    pub(super) fn most_urgent(&mut self, now: DateTime<Utc>) -> Option<(Choice, Option<Waiting>)> {
        if let Some(witness) = self.witness(now) {
            return Some((witness, None));
        }
        let list = self.next_list(now);
        if let Some(at) = list.filter(|_| now >= self.list_due) {
            return Some((Choice::List(at), None));
        }
        let scan = self.next_scan(now);
        if let (Some(at), None | Some(Chosen { is_due: false, .. })) = (list, &scan) {
            return Some((Choice::List(at), None));
        }
        let scan = scan?;
        if scan.is_unreliable {
            self.unreliable_due = now + self.spacing(UNRELIABLE_SHARE);
        }
        Some((Choice::Scan(scan.source, scan.kind), scan.waiting))
    }

    /// The list whose next page is due: each in turn.
    fn next_list(&self, now: DateTime<Utc>) -> Option<usize> {
        let lists = self.lists.iter().enumerate();
        lists
            .filter(|(_, schedule)| schedule.due().is_some_and(|due| due <= now))
            .min_by_key(|(_, schedule)| schedule.last_page)
            .map(|(at, _)| at)
    }

    /// Takes the next page of a list, and counts it against the share of lists.
    pub(super) fn begin_list(&mut self, at: usize, now: DateTime<Utc>) -> Option<List> {
        let spacing = self.spacing(LIST_SHARE);
        self.list_due = self.list_due.max(now - spacing * LIST_BURST) + spacing;
        let mut list = self.lists[at].begin(now)?;
        list.request(self.skew.present(self.moment(now)));
        Some(list)
    }

    /// How far apart calls are that have so small a part of all calls.
    fn spacing(&self, share: f64) -> TimeDelta {
        let calls_a_second = self.context.upstream.quota().calls_a_second() * share;
        TimeDelta::milliseconds((1_000.0 / calls_a_second.max(0.001)) as i64)
    }

    /// The most urgent scan.
    fn next_scan(&self, now: DateTime<Utc>) -> Option<Chosen> {
        let wants: Vec<_> = self
            .schedules
            .values()
            .map(|schedule| (schedule, self.wants_of(schedule, now)))
            .filter(|(_, wants)| *wants != Wants::default())
            .collect();
        let split = |unreliable: bool| -> Vec<(&SourceSchedule, Wants)> {
            let wants = wants.iter();
            let only = |schedule: &SourceSchedule, wants: Wants| {
                wants.only(|kind| schedule.is_unreliable(kind) == unreliable)
            };
            wants
                .map(|(schedule, wants)| (*schedule, only(schedule, *wants)))
                .collect()
        };
        let reliable = choose(&split(false), Some(&self.shares));
        let may_fail = self.unreliable < MAX_UNRELIABLE;
        let unreliable = may_fail.then(|| choose(&split(true), None)).flatten();
        let is_due = |chosen: &Chosen| chosen.is_due;
        let first = unreliable.as_ref().filter(|_| now >= self.unreliable_due);
        first
            .cloned()
            .or_else(|| reliable.clone().filter(is_due))
            .or(unreliable)
            .or(reliable)
    }

    /// What a refused credential is tried with. First, and then every other time, that is a source that was answered before,
    /// each in turn; in between it is a list, or any source, because those sources may all be down or gone.
    fn witness(&self, now: DateTime<Utc>) -> Option<Choice> {
        let refused = self
            .refused
            .as_ref()
            .filter(|_| self.backfill_only.is_none())?;
        let is_other = !refused.tries.is_multiple_of(2);
        let is_due = |schedule: &ListSchedule| schedule.due().is_some_and(|due| due <= now);
        let list = self.lists.iter().position(is_due);
        if let Some(at) = list.filter(|_| is_other) {
            return Some(Choice::List(at));
        }
        let idle = self.schedules.values().filter(|schedule| !schedule.is_busy);
        let in_turn = |schedule: &&SourceSchedule| {
            (
                !is_other && schedule.answered_at.is_none(),
                schedule.last_turn,
            )
        };
        let witness = idle.min_by_key(in_turn)?;
        Some(Choice::Scan(witness.source.clone(), WindowKind::Live))
    }

    pub(super) fn wake_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let schedules = self.schedules.values();
        let schedules = schedules.filter_map(|schedule| match self.backfill_only {
            None => schedule.wake_at(now),
            Some(_) => schedule.wake_for_history(now),
        });
        let lists = self.lists.iter().filter_map(ListSchedule::due);
        let dues = schedules.chain(lists).filter(|due| *due > now);
        dues.min().unwrap_or(now + LONGEST_SLEEP)
    }
}

/// A scan that is most urgent among some.
#[derive(Clone)]
struct Chosen {
    source: Source,
    kind: WindowKind,
    /// Whether it is due; otherwise it is welcome while nothing else is.
    is_due: bool,
    is_unreliable: bool,
    waiting: Option<Waiting>,
}

/// The most urgent scan: the kind by its share, if shares are given; of live windows the source whose interval passed most
/// often, of sweeps the one due first, of history each source in turn.
fn choose(wants: &[(&SourceSchedule, Wants)], shares: Option<&Shares>) -> Option<Chosen> {
    let live = wants
        .iter()
        .filter_map(|(schedule, wants)| Some((*schedule, wants.live?)))
        .max_by(|(_, a), (_, b)| (a.is_due.cmp(&b.is_due)).then(a.urgency.total_cmp(&b.urgency)));
    let sweep = wants
        .iter()
        .filter_map(|(schedule, wants)| Some((*schedule, wants.sweep?)))
        .min_by_key(|(schedule, due)| (*due, schedule.last_turn));
    let backfill = wants
        .iter()
        .filter(|(_, wants)| wants.backfill)
        .min_by_key(|(schedule, _)| schedule.last_turn);
    let waiting = [
        live.is_some_and(|(_, live)| live.is_due),
        sweep.is_some(),
        backfill.is_some(),
    ];
    let (live, sweep, backfill) = (
        live.map(|(schedule, _)| schedule),
        sweep.map(|(schedule, _)| schedule),
        backfill.map(|(schedule, _)| *schedule),
    );
    let (kind, schedule) = match shares {
        // A live scan that is not due yet is welcome when nothing else is to be done.
        Some(shares) => {
            let kind = shares.choose(waiting).unwrap_or(WindowKind::Live);
            let schedule = match kind {
                WindowKind::Live => live,
                WindowKind::Sweep => sweep,
                WindowKind::Backfill => backfill,
            };
            (kind, schedule?)
        }
        // Each in turn, whatever its kind.
        None => [
            (WindowKind::Live, live),
            (WindowKind::Sweep, sweep),
            (WindowKind::Backfill, backfill),
        ]
        .into_iter()
        .filter_map(|(kind, schedule)| Some((kind, schedule?)))
        .min_by_key(|(_, schedule)| schedule.last_turn)?,
    };
    Some(Chosen {
        source: schedule.source.clone(),
        kind,
        is_due: waiting != Waiting::default(),
        is_unreliable: shares.is_none(),
        waiting: shares.map(|_| waiting),
    })
}
