//! What one source needs next: pure decisions from how far it has come, the settings and the time.
//!
//! How far a source has come is always what the log says; this only remembers when to look again, and how often it
//! failed. Failures are counted for each kind of window, so that a sweep that always fails delays neither what is new nor
//! history. It makes no calls.

use chrono::{DateTime, TimeDelta, Utc};

use crate::backoff::wait_after;
use crate::health::REFUSED_AFTER;
use crate::ledger;
use crate::position::{Source, WindowKind};
use crate::store::{OpenWindow, Progress};

use super::next_window::next_backfill;
use super::pace::{Need, Pace};
use super::recovery::Elsewhere;
use super::settings::{NEAR, Settings};
use super::skew::Now;
use super::turn::Probe;

/// When history alone is read, a source that failed so often in a row is left out: after about two minutes.
const MAX_FAILURES: u32 = 8;

/// The first wait after a failure; each further one doubles it.
const FIRST_RETRY: TimeDelta = TimeDelta::seconds(1);

/// The longest wait after a failure that passes by itself.
pub(super) const LONGEST_RETRY: TimeDelta = TimeDelta::minutes(5);

/// The first wait where only a person can help; each further one doubles it.
const FIRST_WAIT_FOR_HELP: TimeDelta = TimeDelta::seconds(5);

/// The longest wait where only a person can help: a source that is refused, or that does not exist.
const LONGEST_WAIT_FOR_HELP: TimeDelta = TimeDelta::hours(1);

/// A call that takes longer than this is slow: it does not count among the calls that others wait for, and its source is
/// not reliable.
pub(super) const SLOW: TimeDelta = TimeDelta::seconds(5);

/// One source, between its turns.
#[derive(Debug)]
pub(super) struct SourceSchedule {
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
    /// No sweep begins before this, although one is due.
    sweep_not_before: DateTime<Utc>,
    /// Without upstream's clock no sweep can be sealed, and all stay due: where the last one ended, so that the next one
    /// goes on there.
    swept_to: Option<DateTime<Utc>>,
    /// Whether history is to be read.
    has_backfill: bool,
    /// The failures of each kind of window, in the order of [`WindowKind::ALL`].
    retries: [Retry; 3],
    /// The failures that concern every window of the source.
    help: Retry,
    /// Whether the last failure was one that only a person can do something about.
    needs_help: bool,
    /// When it was refused first, without an answer since.
    pub(super) refused_since: Option<DateTime<Utc>>,
    /// When it was refused last.
    pub(super) last_refused: Option<DateTime<Utc>>,
    /// When it was answered last, by this process.
    pub(super) answered_at: Option<DateTime<Utc>>,
    /// Whether its last call was slow.
    was_slow: bool,
    /// How often in a row a scan of each kind could not be finished, although its window cannot be shorter.
    unfinished: [u32; 3],
    /// When the first of those scans started over.
    unfinished_since: [DateTime<Utc>; 3],
    /// Since when another stretch of the source has been answered while a window of each kind was not.
    answered_elsewhere_since: [Option<DateTime<Utc>>; 3],
    /// Whether another stretch is asked for with a turn of its own, for each kind.
    looks: [Probe; 3],
    /// Without upstream's clock: how far what is new has been read, if that is not the present.
    read_to: Option<DateTime<Utc>>,
    /// Whether a turn is under way.
    pub(super) is_busy: bool,
    /// When its last turn began, so that sources take turns.
    pub(super) last_turn: DateTime<Utc>,
}

/// Failures in a row, and the wait that follows from them.
#[derive(Debug, Clone, Copy)]
struct Retry {
    failures: u32,
    not_before: DateTime<Utc>,
}

impl Retry {
    fn none(now: DateTime<Utc>) -> Self {
        Self {
            failures: 0,
            not_before: now,
        }
    }

    /// Another failure: the wait doubles from `first`, up to `longest`.
    fn fail(&mut self, first: TimeDelta, longest: TimeDelta, now: DateTime<Utc>) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + wait_after(self.failures, first, longest);
    }
}

/// The place of a kind in an array of all kinds.
fn index(kind: WindowKind) -> usize {
    match kind {
        WindowKind::Live => 0,
        WindowKind::Sweep => 1,
        WindowKind::Backfill => 2,
    }
}

/// What a source wants to do now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Wants {
    pub(super) live: Option<Live>,
    /// A sweep that was due then.
    pub(super) sweep: Option<DateTime<Utc>>,
    pub(super) backfill: bool,
}

impl Wants {
    /// Only what is wanted of those kinds.
    pub(super) fn only(self, is_one: impl Fn(WindowKind) -> bool) -> Self {
        Self {
            live: self.live.filter(|_| is_one(WindowKind::Live)),
            sweep: self.sweep.filter(|_| is_one(WindowKind::Sweep)),
            backfill: self.backfill && is_one(WindowKind::Backfill),
        }
    }
}

/// A live scan that is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Live {
    /// How many of its intervals have passed since its last turn.
    pub(super) urgency: f64,
    /// Due now. If false, it is scanned only when nothing else is due.
    pub(super) is_due: bool,
}

impl SourceSchedule {
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
            sweep_not_before: now,
            swept_to: None,
            has_backfill: false,
            retries: [Retry::none(now); 3],
            help: Retry::none(now),
            needs_help: false,
            refused_since: None,
            last_refused: None,
            answered_at: None,
            was_slow: false,
            unfinished: [0; 3],
            unfinished_since: [now; 3],
            answered_elsewhere_since: [None; 3],
            looks: [Probe::NotNeeded; 3],
            read_to: None,
            is_busy: false,
            last_turn: now,
        }
    }

    /// What this source would do now.
    pub(super) fn wants(&self, now: DateTime<Utc>) -> Wants {
        if self.is_busy || now < self.help.not_before {
            return Wants::default();
        }
        let wants = match &self.progress {
            None => Wants {
                live: Some(self.live(true, now)),
                ..Wants::default()
            },
            Some(progress) => {
                let is_open = progress.open(WindowKind::Live).is_some();
                Wants {
                    live: (is_open || now >= self.live_due)
                        .then(|| self.live(is_open || now >= self.live_by, now)),
                    sweep: self.sweep_due.filter(|due| *due <= now),
                    backfill: self.has_backfill,
                }
            }
        };
        wants.only(|kind| now >= self.retries[index(kind)].not_before)
    }

    /// Whether a call for a window of that kind may well fail or be slow, going by the last one.
    pub(super) fn is_unreliable(&self, kind: WindowKind) -> bool {
        self.was_slow || self.help.failures > 0 || self.retries[index(kind)].failures > 0
    }

    /// Whether any of its windows fails.
    pub(super) fn is_failing(&self) -> bool {
        WindowKind::ALL
            .iter()
            .any(|kind| self.help.failures > 0 || self.retries[index(*kind)].failures > 0)
            || self.unfinished.iter().any(|times| *times > 1)
    }

    fn live(&self, is_due: bool, now: DateTime<Utc>) -> Live {
        let waited = (now - self.last_turn).num_milliseconds() as f64;
        Live {
            urgency: waited / self.interval.num_milliseconds().max(1) as f64,
            is_due,
        }
    }

    /// When to ask again what it wants; `None` while a turn is under way, and when it wants nothing later than now.
    pub(super) fn wake_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.is_busy {
            return None;
        }
        let has_open_live = self
            .progress
            .as_ref()
            .is_none_or(|progress| progress.open(WindowKind::Live).is_some());
        let live = if has_open_live { now } else { self.live_due };
        let dues = [Some(live), self.sweep_due, self.has_backfill.then_some(now)];
        let dues = dues.into_iter().zip(self.retries);
        dues.filter_map(|(due, retry)| Some(due?.max(retry.not_before).max(self.help.not_before)))
            .filter(|due| *due > now)
            .min()
    }

    /// What this source would do now if history is read and nothing else: the live window that history begins at, and then
    /// what is before it.
    pub(super) fn wants_for_history(&self, now: DateTime<Utc>) -> Wants {
        if self.is_busy || now < self.help.not_before || self.is_stuck() {
            return Wants::default();
        }
        let is_first = self.has_no_live_window();
        let wants = Wants {
            live: (is_first && now >= self.live_due).then(|| self.live(true, now)),
            sweep: None,
            backfill: !is_first && self.has_backfill,
        };
        wants.only(|kind| now >= self.retries[index(kind)].not_before)
    }

    /// When to ask again what it wants for its history; `None` while a turn is under way, and when it wants nothing more.
    pub(super) fn wake_for_history(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.is_busy || self.is_stuck() {
            return None;
        }
        let (due, kind) = if self.has_no_live_window() {
            (self.live_due, WindowKind::Live)
        } else {
            (now, WindowKind::Backfill)
        };
        let not_before = self.retries[index(kind)]
            .not_before
            .max(self.help.not_before);
        let has_more = !self.is_done_with_history();
        has_more.then(|| due.max(not_before))
    }

    /// Whether all of its history is read, or as much of it as can be.
    pub(super) fn is_done_with_history(&self) -> bool {
        let is_read = self.progress.is_some() && !self.has_no_live_window() && !self.has_backfill;
        self.is_stuck() || is_read
    }

    /// Whether a foreground backfill should continue without this source.
    fn is_stuck(&self) -> bool {
        let mut retries = self.retries.iter();
        self.needs_help || retries.any(|retry| retry.failures >= MAX_FAILURES)
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
    pub(super) fn set_progress(&mut self, progress: Progress, settings: &Settings, now: Now) {
        let until = |due: DateTime<Utc>| now.steady + (due - now.wall);
        self.sweep_due = match progress.open(WindowKind::Sweep) {
            Some(_) => Some(now.steady),
            None => ledger::sweep_at(&progress.to_sweep, &settings.sweeps, now.wall).map(until),
        };
        self.sweep_due = self.sweep_due.map(|due| due.max(self.sweep_not_before));
        self.has_backfill = progress.open(WindowKind::Backfill).is_some()
            || next_backfill(&progress, settings, now.wall).is_some();
        self.progress = Some(progress);
    }

    /// A page of a window of that kind was kept.
    pub(super) fn record_success(&mut self, kind: WindowKind, now: DateTime<Utc>) {
        self.retries[index(kind)] = Retry::none(now);
        self.answered_elsewhere_since[index(kind)] = None;
        self.looks[index(kind)] = Probe::NotNeeded;
        self.answered(now);
    }

    /// A window of a kind is still answered with an error, and another stretch was asked for after it.
    pub(super) fn record_still_failing(
        &mut self,
        kind: WindowKind,
        elsewhere: Elsewhere,
        now: DateTime<Utc>,
    ) {
        self.looks[index(kind)] = match elsewhere {
            Elsewhere::NoCall => Probe::Wanted,
            _ => Probe::NotNeeded,
        };
        self.heard_elsewhere(kind, elsewhere, now);
    }

    /// Another stretch was asked for with a turn of its own, because a window of that kind is answered with an error.
    pub(super) fn record_probe(
        &mut self,
        kind: WindowKind,
        elsewhere: Elsewhere,
        now: DateTime<Utc>,
    ) {
        self.looks[index(kind)] = Probe::Made(elsewhere);
        self.heard_elsewhere(kind, elsewhere, now);
    }

    /// Whether another stretch is asked for with a turn of its own.
    pub(super) fn look(&self, kind: WindowKind) -> Probe {
        self.looks[index(kind)]
    }

    fn heard_elsewhere(&mut self, kind: WindowKind, elsewhere: Elsewhere, now: DateTime<Utc>) {
        match elsewhere {
            Elsewhere::Answered(_) => {
                self.answered_elsewhere_since[index(kind)].get_or_insert(now);
                self.answered(now);
            }
            Elsewhere::Down => self.answered_elsewhere_since[index(kind)] = None,
            Elsewhere::Unknown | Elsewhere::NoCall | Elsewhere::NotAsked => {}
        }
    }

    /// Since when another stretch of the source has been answered while a window of that kind was not.
    pub(super) fn answered_elsewhere_since(&self, kind: WindowKind) -> Option<DateTime<Utc>> {
        self.answered_elsewhere_since[index(kind)]
    }

    /// Without upstream's clock: how far what is new has been read, if that is not the present.
    pub(super) fn read_to(&self) -> Option<DateTime<Utc>> {
        self.read_to
    }

    /// What is new has been read up to there, and cannot be claimed yet. What follows is read at once.
    pub(super) fn set_read_to(&mut self, before: DateTime<Utc>, settings: &Settings, now: Now) {
        let is_short = now.wall - before >= settings.interval + NEAR;
        self.read_to = is_short.then_some(before);
        if is_short {
            (self.live_due, self.live_by) = (now.steady, now.steady);
        }
    }

    /// Where the last sweep ended that could not be sealed; `None` when sweeps are sealed.
    pub(super) fn swept_to(&self) -> Option<DateTime<Utc>> {
        self.swept_to
    }

    /// A sweep ended there: one that could not be sealed is followed by what comes after it.
    pub(super) fn set_swept_to(&mut self, before: DateTime<Utc>, is_sealed: bool) {
        self.swept_to = (!is_sealed).then_some(before);
    }

    /// Upstream's clock is known.
    pub(super) fn forget_read_to(&mut self) {
        self.read_to = None;
    }

    /// A scan of that kind is over, whatever came of it.
    pub(super) fn finished(&mut self, kind: WindowKind) {
        self.unfinished[index(kind)] = 0;
        self.answered_elsewhere_since[index(kind)] = None;
        self.looks[index(kind)] = Probe::NotNeeded;
    }

    /// A stretch was passed: what comes after it has not failed yet.
    pub(super) fn passed(&mut self, kind: WindowKind, now: DateTime<Utc>) {
        self.finished(kind);
        self.retries[index(kind)] = Retry::none(now);
    }

    /// How often in a row a scan of that kind could not be finished, although its window cannot be shorter, and for how long.
    pub(super) fn unfinished(&self, kind: WindowKind, now: DateTime<Utc>) -> (u32, TimeDelta) {
        let times = self.unfinished[index(kind)];
        (times, now - self.unfinished_since[index(kind)])
    }

    /// Whether a scan of that kind could not be finished more than once in a row.
    pub(super) fn has_unfinished(&self, kind: WindowKind) -> bool {
        self.unfinished[index(kind)] > 1
    }

    /// Upstream answered with what was asked for: the source is not refused.
    fn answered(&mut self, now: DateTime<Utc>) {
        self.help = Retry::none(now);
        self.needs_help = false;
        self.refused_since = None;
        self.answered_at = Some(now);
        self.was_slow = now - self.last_turn > SLOW;
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
            WindowKind::Sweep => {
                self.sweep_not_before = now.steady + settings.max_interval;
                self.sweep_due = self.sweep_due.map(|due| due.max(self.sweep_not_before));
            }
            WindowKind::Backfill => self.has_backfill = false,
        }
    }

    /// A scan started over. Once its window cannot be made smaller, each time later.
    pub(super) fn record_restart(
        &mut self,
        kind: WindowKind,
        window: Option<&OpenWindow>,
        now: DateTime<Utc>,
    ) {
        if self.record_larger_limit(kind, window, now) {
            let failures = self.unfinished[index(kind)].saturating_add(1);
            self.retries[index(kind)].not_before =
                now + wait_after(failures, FIRST_RETRY, LONGEST_RETRY);
        }
    }

    /// A scan started over with a larger limit. Says whether its window cannot be shorter: that is counted.
    pub(super) fn record_larger_limit(
        &mut self,
        kind: WindowKind,
        window: Option<&OpenWindow>,
        now: DateTime<Utc>,
    ) -> bool {
        let is_shortest = window.is_some_and(|window| window.window.middle().is_none());
        let unfinished = &mut self.unfinished[index(kind)];
        if *unfinished == 0 {
            self.unfinished_since[index(kind)] = now;
        }
        *unfinished = if is_shortest {
            unfinished.saturating_add(1)
        } else {
            0
        };
        is_shortest
    }

    /// A turn failed for a window of that kind: the kind is tried again, later each time.
    pub(super) fn back_off(&mut self, kind: WindowKind, now: DateTime<Utc>) {
        self.retries[index(kind)].fail(FIRST_RETRY, LONGEST_RETRY, now);
        self.was_slow = now - self.last_turn > SLOW;
    }

    /// Needs a person; retried with backoff in case it was fixed. That is all of the source when what is new was refused, and
    /// otherwise the refused kind alone.
    pub(super) fn wait_for_help(&mut self, kind: WindowKind, now: DateTime<Utc>) {
        self.needs_help = true;
        if kind == WindowKind::Live {
            self.fail_for_help(now);
            return;
        }
        self.retries[index(kind)].fail(FIRST_WAIT_FOR_HELP, LONGEST_WAIT_FOR_HELP, now);
        self.was_slow = now - self.last_turn > SLOW;
    }

    fn fail_for_help(&mut self, now: DateTime<Utc>) {
        self.help
            .fail(FIRST_WAIT_FOR_HELP, LONGEST_WAIT_FOR_HELP, now);
        self.was_slow = now - self.last_turn > SLOW;
    }

    /// The source was refused. Says whether it is to be reported as refused: not during the first [`REFUSED_AFTER`], because
    /// a new credential is answered with 403 and 200 in turn at first.
    pub(super) fn refuse(&mut self, now: DateTime<Utc>) -> bool {
        let since = *self.refused_since.get_or_insert(now);
        self.last_refused = Some(now);
        self.fail_for_help(now);
        self.needs_help = now - since >= REFUSED_AFTER;
        self.needs_help
    }

    /// Somebody helped, perhaps: it is tried at once.
    pub(super) fn try_again(&mut self, now: DateTime<Utc>) {
        self.help.not_before = self.help.not_before.min(now);
        for retry in &mut self.retries {
            retry.not_before = retry.not_before.min(now);
        }
    }

    /// Makes a live window due at once.
    pub(super) fn call_now(&mut self, now: DateTime<Utc>) {
        self.try_again(now);
        (self.live_due, self.live_by) = (self.live_due.min(now), self.live_by.min(now));
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
            since: at(before) - TimeDelta::minutes(3),
            entries: 0,
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
        let mut schedule = SourceSchedule::new(source, &settings(), now.steady);
        let wants = |schedule: &SourceSchedule| {
            let wants = schedule.wants_for_history(now.steady);
            (wants.live.is_some(), wants.backfill)
        };
        assert_eq!(wants(&schedule), (true, false));
        let mut progress = Progress {
            live_since: Some(at("03T09:58:00")),
            last_live: last("03T10:00:00", 0),
            ..Progress::default()
        };
        schedule.set_progress(progress.clone(), &settings(), now);
        assert_eq!(wants(&schedule), (false, true));
        assert!(!schedule.is_done_with_history());

        // A failure is waited out.
        schedule.back_off(WindowKind::Backfill, now.steady);
        assert_eq!(wants(&schedule), (false, false));
        let again = schedule.wake_for_history(now.steady).unwrap();
        assert_eq!(again, now.steady + FIRST_RETRY);
        assert!(schedule.wants_for_history(again).backfill);

        progress.backfilled_to = Some(at("01T00:00:00") - TimeDelta::days(1));
        schedule.set_progress(progress, &settings(), now);
        assert!(schedule.is_done_with_history());
        assert_eq!(schedule.wake_for_history(now.steady), None);

        // One that may not be read is left out at once, and one that fails after a while.
        let mut refused = SourceSchedule::new(schedule.source.clone(), &settings(), now.steady);
        refused.wait_for_help(WindowKind::Backfill, now.steady);
        assert!(refused.is_done_with_history());
        let mut failing = SourceSchedule::new(schedule.source.clone(), &settings(), now.steady);
        for _ in 1..MAX_FAILURES {
            failing.back_off(WindowKind::Live, now.steady);
            assert!(!failing.is_done_with_history());
        }
        // What comes after a passed stretch is not left out with it.
        failing.passed(WindowKind::Live, now.steady);
        for _ in 1..MAX_FAILURES {
            failing.back_off(WindowKind::Live, now.steady);
            assert!(!failing.is_done_with_history());
        }
        failing.back_off(WindowKind::Live, now.steady);
        assert!(failing.is_done_with_history());
    }

    #[test]
    fn quiet_sources_are_asked_less_often_until_something_happens() {
        let now = at("03T10:00:00");
        let mut schedule = SourceSchedule::new(Source::account("a").unwrap(), &settings(), now);
        schedule.progress = Some(Progress::default());
        let mut wait_after = |new| {
            schedule.sealed(WindowKind::Live, now, new, &settings(), both(now));
            (schedule.live_due - now).num_seconds()
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
        let mut schedule = SourceSchedule::new(Source::account("a").unwrap(), &settings, now);
        let mut wait_after = |before| {
            schedule.sealed(WindowKind::Live, at(before), 1, &settings, both(now));
            (schedule.live_due - now).num_seconds()
        };
        assert_eq!(wait_after("03T09:59:57"), 1);
        assert_eq!(wait_after("03T09:00:00"), 0);
    }

    #[test]
    fn failures_wait_longer_each_time_and_count_for_their_kind_alone() {
        let now = at("03T10:00:00");
        let mut schedule = SourceSchedule::new(Source::account("a").unwrap(), &settings(), now);
        let progress = Progress {
            live_since: Some(at("03T09:58:00")),
            last_live: last("03T10:00:00", 0),
            ..Progress::default()
        };
        schedule.set_progress(progress, &settings(), both(now));
        let waits: Vec<i64> = (0..11)
            .map(|_| {
                schedule.back_off(WindowKind::Backfill, now);
                (schedule.wake_at(now).unwrap() - now).num_seconds()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        let wants = schedule.wants(now);
        assert!(wants.live.is_some() && !wants.backfill);
        assert!(!schedule.is_unreliable(WindowKind::Live) && schedule.is_failing());
        // What goes well for one kind says nothing of the other.
        schedule.record_success(WindowKind::Live, now);
        assert!(!schedule.wants(now).backfill && schedule.is_failing());
        schedule.record_success(WindowKind::Backfill, now);
        assert!(schedule.wants(now).backfill && !schedule.is_failing());
    }

    #[test]
    fn a_refused_source_is_tried_less_and_less_often_up_to_an_hour() {
        let mut now = at("03T10:00:00");
        let mut schedule = SourceSchedule::new(Source::account("a").unwrap(), &settings(), now);
        let mut refused = Vec::new();
        for _ in 0..16 {
            let is_reported = schedule.refuse(now);
            assert_eq!(schedule.wants(now), Wants::default());
            let next = schedule.wake_at(now).unwrap();
            refused.push(((next - now).num_seconds(), is_reported));
            now = next;
        }
        assert_eq!(refused[2..5], [(20, false), (40, true), (80, true)]);
        assert_eq!(refused[15], (3_600, true));
        schedule.record_success(WindowKind::Live, now);
        assert!(!schedule.refuse(now), "an answer begins anew");
    }
}
