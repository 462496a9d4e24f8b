//! What one source needs next: pure decisions from how far it has come, the settings and the time.
//!
//! How far a source has come is always what the log says; a lane only remembers when to look again, and how often it
//! failed. It makes no calls.

use chrono::{DateTime, TimeDelta, Utc};

use crate::ledger;
use crate::position::{Source, WindowKind};
use crate::store::{OpenWindow, Progress};

use super::Settings;
use super::pace::{Need, Pace};
use super::skew::Now;
use super::stretch::next_backfill;

/// A window that ends this close to the present has reached it: whole seconds, upstream's clock and the way of the answer
/// take a few seconds off its end.
const NEAR: TimeDelta = TimeDelta::seconds(10);

/// When history alone is read, a source that failed so often in a row is left out: after about two minutes.
const MAX_FAILURES: u32 = 8;

/// The first wait after a failure; each further one doubles it.
const FIRST_RETRY: TimeDelta = TimeDelta::seconds(1);

/// The longest wait after a failure, and the wait where only a person can help.
pub(super) const LONGEST_RETRY: TimeDelta = TimeDelta::minutes(5);

/// One source, between its turns.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) source: Source,
    /// As the log had it after the last turn; `None` when it must be read again.
    progress: Option<Progress>,
    /// When the next live window may be asked for.
    live_due: DateTime<Utc>,
    /// When it should be, as far as the quota allows: later than that when it is short.
    live_by: DateTime<Utc>,
    /// When the last live window reached the present.
    live_at: DateTime<Utc>,
    /// The wait after a live window, if the source were alone.
    wanted_interval: TimeDelta,
    /// The wait after a live window, as far as the quota allows.
    interval: TimeDelta,
    /// When the next sweep is due.
    sweep_due: Option<DateTime<Utc>>,
    /// Whether history is to be read.
    has_backfill: bool,
    /// No turn before this, after a failure.
    not_before: DateTime<Utc>,
    failures: u32,
    /// Whether the last failure was one that only a person can do something about.
    needs_help: bool,
    /// How many entries are asked for at a time.
    pub(super) limit: u32,
    /// Whether a turn is under way.
    pub(super) is_busy: bool,
    /// When its last turn began, so that sources take turns.
    pub(super) last_turn: DateTime<Utc>,
}

/// What a source wants to do now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Wants {
    pub(super) live: Option<Live>,
    /// A sweep that was due then.
    pub(super) sweep: Option<DateTime<Utc>>,
    pub(super) backfill: bool,
}

/// A live scan that is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Live {
    /// How many of its intervals have passed since its last turn.
    pub(super) urgency: f64,
    /// Whether it is due; otherwise it is welcome while nothing else is.
    pub(super) is_due: bool,
}

impl Lane {
    pub(super) fn new(source: Source, settings: &Settings, now: DateTime<Utc>) -> Self {
        Self {
            source,
            progress: None,
            live_due: now,
            live_by: now,
            live_at: now,
            wanted_interval: settings.interval,
            interval: settings.interval,
            sweep_due: None,
            has_backfill: false,
            not_before: now,
            failures: 0,
            needs_help: false,
            limit: settings.page_size,
            is_busy: false,
            last_turn: now,
        }
    }

    /// What this source would do now.
    pub(super) fn wants(&self, now: DateTime<Utc>) -> Wants {
        if self.is_busy || now < self.not_before {
            return Wants::default();
        }
        let Some(progress) = &self.progress else {
            return Wants {
                live: Some(self.live(true, now)),
                ..Wants::default()
            };
        };
        let is_open = progress.open(WindowKind::Live).is_some();
        Wants {
            live: (is_open || now >= self.live_due)
                .then(|| self.live(is_open || now >= self.live_by, now)),
            sweep: self.sweep_due.filter(|due| *due <= now),
            backfill: self.has_backfill,
        }
    }

    fn live(&self, is_due: bool, now: DateTime<Utc>) -> Live {
        let waited = (now - self.last_turn).num_milliseconds() as f64;
        Live {
            urgency: waited / self.interval.num_milliseconds().max(1) as f64,
            is_due,
        }
    }

    /// When to ask again what it wants; `None` while a turn is under way.
    pub(super) fn wake_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.is_busy {
            return None;
        }
        if now < self.not_before {
            return Some(self.not_before);
        }
        let sweep = self.sweep_due.filter(|due| *due > now);
        Some(sweep.map_or(self.live_due, |due| due.min(self.live_due)))
    }

    /// What this source would do now if history is read and nothing else: the live window that history begins at, and then
    /// what is before it.
    pub(super) fn wants_for_history(&self, now: DateTime<Utc>) -> Wants {
        if self.is_busy || now < self.not_before || self.is_stuck() {
            return Wants::default();
        }
        let is_first = self.has_no_live_window();
        // After a failure it is not known where the source stands: the turn looks.
        let looks = self.progress.is_none() && self.failures > 0;
        Wants {
            live: (is_first && !looks && now >= self.live_due).then(|| self.live(true, now)),
            sweep: None,
            backfill: looks || (!is_first && self.has_backfill),
        }
    }

    /// When to ask again what it wants for its history; `None` while a turn is under way, and when it wants nothing more.
    pub(super) fn wake_for_history(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.is_busy || self.is_stuck() {
            return None;
        }
        let due = if self.has_no_live_window() {
            self.live_due
        } else {
            now
        };
        let has_more = !self.is_done_with_history();
        has_more.then(|| due.max(self.not_before))
    }

    /// Whether all of its history is read, or as much of it as can be.
    pub(super) fn is_done_with_history(&self) -> bool {
        let is_read = self.progress.is_some() && !self.has_no_live_window() && !self.has_backfill;
        self.is_stuck() || is_read
    }

    /// Whether whoever waits in front of it should go on without it.
    fn is_stuck(&self) -> bool {
        self.needs_help || self.failures >= MAX_FAILURES
    }

    fn has_no_live_window(&self) -> bool {
        let progress = self.progress.as_ref();
        progress.is_none_or(|progress| progress.last_live.is_none())
    }

    /// What it needs of the quota.
    pub(super) fn need(&self) -> Need {
        Need {
            wanted: self.wanted_interval,
            rate: self.progress.as_ref().map_or(0.0, |progress| progress.rate),
        }
    }

    /// Takes in what the quota allows.
    pub(super) fn keep_pace(&mut self, pace: Pace) {
        self.interval = pace.interval(self.need());
        self.live_by = self.live_due.max(self.live_at + self.interval);
    }

    /// The wait between its live windows, as far as the quota allows.
    pub(super) fn interval(&self) -> TimeDelta {
        self.interval
    }

    /// Takes in how far the source has come.
    pub(super) fn came_to(&mut self, progress: Progress, settings: &Settings, now: Now) {
        let until = |due: DateTime<Utc>| now.steady + (due - now.wall);
        self.sweep_due = match progress.open(WindowKind::Sweep) {
            Some(_) => Some(now.steady),
            None => ledger::sweep_at(&progress.proven, &settings.sweeps, now.wall).map(until),
        };
        self.has_backfill = progress.open(WindowKind::Backfill).is_some()
            || next_backfill(&progress, settings, now.wall).is_some();
        self.progress = Some(progress);
    }

    /// A page was kept.
    pub(super) fn went_well(&mut self, settings: &Settings) {
        self.failures = 0;
        self.needs_help = false;
        self.limit = self.limit.saturating_mul(2).min(settings.page_size);
    }

    /// A window is done with that ended at `before` and had `new` entries.
    pub(super) fn sealed(
        &mut self,
        kind: WindowKind,
        before: DateTime<Utc>,
        new: usize,
        settings: &Settings,
        now: Now,
    ) {
        if kind != WindowKind::Live {
            return;
        }
        if now.wall - before >= settings.interval + NEAR {
            // A piece of what was missed: the next one at once.
            (self.live_due, self.live_by) = (now.steady, now.steady);
            return;
        }
        self.wanted_interval = if new > 0 {
            settings.interval
        } else {
            (self.wanted_interval * 2).min(settings.max_interval)
        };
        self.live_at = now.steady;
        self.live_due = now.steady + self.wanted_interval;
        self.live_by = self.live_due.max(now.steady + self.interval);
    }

    /// There was nothing to do yet of that kind.
    pub(super) fn look_again(&mut self, kind: WindowKind, settings: &Settings, now: Now) {
        let later = now.steady + settings.interval;
        match kind {
            WindowKind::Live => (self.live_due, self.live_by) = (later, later),
            WindowKind::Sweep => self.sweep_due = self.sweep_due.map(|due| due.max(later)),
            WindowKind::Backfill => self.has_backfill = false,
        }
    }

    /// A scan started over. Once its window cannot be made smaller, each time later.
    pub(super) fn restarted(&mut self, window: Option<&OpenWindow>, now: DateTime<Utc>) {
        if let Some(window) = window
            && window.window.middle().is_none()
        {
            self.not_before =
                now + (FIRST_RETRY * (1 << window.restarts.min(16))).min(LONGEST_RETRY);
        }
    }

    /// A turn failed: it is tried again, later each time.
    pub(super) fn back_off(&mut self, now: DateTime<Utc>) {
        self.progress = None;
        let doublings = self.failures.min(16);
        self.failures += 1;
        self.not_before = now + (FIRST_RETRY * (1 << doublings)).min(LONGEST_RETRY);
    }

    /// Only a person can help: it is tried again now and then, in case one did.
    pub(super) fn wait_for_help(&mut self, now: DateTime<Utc>) {
        self.progress = None;
        self.failures += 1;
        self.needs_help = true;
        self.not_before = now + LONGEST_RETRY;
    }

    /// Somebody helped, perhaps: it is tried at once.
    pub(super) fn try_again(&mut self, now: DateTime<Utc>) {
        self.not_before = self.not_before.min(now);
    }

    /// Asks for half as much.
    pub(super) fn ask_for_less(&mut self) {
        self.limit = (self.limit / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::{BackfillSince, Overlap};
    use crate::store::LastLive;

    fn both(now: DateTime<Utc>) -> Now {
        Now {
            wall: now,
            steady: now,
        }
    }

    fn settings() -> Settings {
        Settings {
            interval: TimeDelta::seconds(60),
            max_interval: TimeDelta::minutes(10),
            overlap: Overlap::Span(TimeDelta::minutes(2)),
            backfill_since: BackfillSince::Span(TimeDelta::days(3)),
            sweeps: vec![TimeDelta::minutes(15), TimeDelta::days(7)],
            page_size: 1_000,
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(&format!("2026-08-{text}Z"))
            .unwrap()
            .to_utc()
    }

    fn last(before: &str, restarts: u32) -> Option<LastLive> {
        Some(LastLive {
            before: at(before),
            restarts,
            sealed_at: at(before),
            began_at: at(before),
        })
    }

    #[test]
    fn history_alone_begins_with_a_live_window_and_ends() {
        let now = both(at("03T10:00:00"));
        let source = Source::account("a").unwrap();
        let mut lane = Lane::new(source, &settings(), now.steady);
        let wants = |lane: &Lane| {
            let wants = lane.wants_for_history(now.steady);
            (wants.live.is_some(), wants.backfill)
        };
        assert_eq!(wants(&lane), (true, false));
        let mut progress = Progress {
            live_since: Some(at("03T09:58:00")),
            last_live: last("03T10:00:00", 0),
            ..Progress::default()
        };
        lane.came_to(progress.clone(), &settings(), now);
        assert_eq!(wants(&lane), (false, true));
        assert!(!lane.is_done_with_history());

        // A failure is waited out; then the turn looks where the source stands.
        lane.back_off(now.steady);
        assert_eq!(wants(&lane), (false, false));
        let again = lane.wake_for_history(now.steady).unwrap();
        assert_eq!(again, now.steady + FIRST_RETRY);
        assert!(lane.wants_for_history(again).backfill);

        progress.backfilled_to = Some(at("01T00:00:00") - TimeDelta::days(1));
        lane.came_to(progress, &settings(), now);
        assert!(lane.is_done_with_history());
        assert_eq!(lane.wake_for_history(now.steady), None);

        // One that may not be read is left out at once, and one that fails after a while.
        let mut refused = Lane::new(lane.source.clone(), &settings(), now.steady);
        refused.wait_for_help(now.steady);
        assert!(refused.is_done_with_history());
        let mut failing = Lane::new(lane.source.clone(), &settings(), now.steady);
        for _ in 1..MAX_FAILURES {
            failing.back_off(now.steady);
            assert!(!failing.is_done_with_history());
        }
        failing.back_off(now.steady);
        assert!(failing.is_done_with_history());
    }

    #[test]
    fn quiet_sources_are_asked_less_often_until_something_happens() {
        let now = at("03T10:00:00");
        let mut lane = Lane::new(Source::account("a").unwrap(), &settings(), now);
        lane.progress = Some(Progress::default());
        let mut wait_after = |new| {
            lane.sealed(WindowKind::Live, now, new, &settings(), both(now));
            (lane.live_due - now).num_seconds()
        };
        assert_eq!(
            [0, 0, 0, 0, 0].map(&mut wait_after),
            [120, 240, 480, 600, 600]
        );
        assert_eq!([3, 0].map(&mut wait_after), [60, 120]);
    }

    #[test]
    fn a_window_that_ends_a_moment_ago_is_not_followed_at_once_but_a_piece_of_an_outage_is() {
        let settings = Settings {
            interval: TimeDelta::seconds(1),
            ..settings()
        };
        let now = at("03T10:00:00");
        let mut lane = Lane::new(Source::account("a").unwrap(), &settings, now);
        let mut wait_after = |before| {
            lane.sealed(WindowKind::Live, at(before), 1, &settings, both(now));
            (lane.live_due - now).num_seconds()
        };
        assert_eq!(wait_after("03T09:59:57"), 1);
        assert_eq!(wait_after("03T09:00:00"), 0);
    }

    #[test]
    fn failures_wait_longer_each_time() {
        let now = at("03T10:00:00");
        let mut lane = Lane::new(Source::account("a").unwrap(), &settings(), now);
        let waits: Vec<i64> = (0..11)
            .map(|_| {
                lane.back_off(now);
                (lane.not_before - now).num_seconds()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(lane.wants(now), Wants::default());
        assert_eq!(lane.wake_at(now), Some(lane.not_before));
    }
}
