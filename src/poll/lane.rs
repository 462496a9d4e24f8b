//! What one source needs next: pure decisions from how far it has come, the settings and the time.
//!
//! How far a source has come is always what the log says; a lane only remembers when to look again, and how often it
//! failed. It makes no calls.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

use crate::ledger;
use crate::position::{Source, Window, WindowKind};
use crate::store::{LastBackfill, OpenWindow, Progress};

use super::Settings;
use super::pace::{Need, Pace};

/// After an outage, what was missed is read in pieces of at most this.
const LONGEST_LIVE_WINDOW: TimeDelta = TimeDelta::hours(1);

/// Without an overlap the first window is as long as this, or it would be none.
const SHORTEST_LIVE_WINDOW: TimeDelta = TimeDelta::seconds(1);

/// A window that ends this close to the present has reached it: whole seconds, upstream's clock and the way of the answer
/// take a few seconds off its end.
const NEAR: TimeDelta = TimeDelta::seconds(10);

/// The longest stretch of history that is asked for at once.
const LONGEST_BACKFILL: TimeDelta = TimeDelta::days(90);

/// The shortest stretch that a crowded history is cut into.
const SHORTEST_BACKFILL: TimeDelta = TimeDelta::hours(1);

/// About how many pages a backfill window should have: what a lost cursor costs.
const BACKFILL_PAGES: u64 = 4;

const DAY: TimeDelta = TimeDelta::days(1);

/// When history alone is read, a source that failed so often in a row is left out: after about two minutes.
const MAX_FAILURES: u32 = 8;

/// The first wait after a failure; each further one doubles it.
const FIRST_RETRY: TimeDelta = TimeDelta::seconds(1);

/// The longest wait after a failure, and the wait where only a person can help.
pub(super) const LONGEST_RETRY: TimeDelta = TimeDelta::minutes(5);

/// A moment, by the clock that the log goes by and by one that nobody sets, which waits go by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) wall: DateTime<Utc>,
    pub(super) steady: DateTime<Utc>,
}

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

/// Whether more than a wait between two windows is still to be read of what is new.
pub(super) fn is_behind(progress: &Progress, settings: &Settings, now: DateTime<Utc>) -> bool {
    progress
        .live_before
        .is_none_or(|before| now - before > settings.max_interval + settings.interval)
}

/// The window a source should scan next, of a kind.
pub(super) fn next_window(
    kind: WindowKind,
    progress: &Progress,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Option<Window> {
    match kind {
        WindowKind::Live => next_live(progress, settings, now),
        WindowKind::Sweep => {
            ledger::next_sweep(&progress.proven, &settings.sweeps, settings.page_size, now)
        }
        WindowKind::Backfill => next_backfill(progress, settings, now),
    }
}

fn next_live(progress: &Progress, settings: &Settings, now: DateTime<Utc>) -> Option<Window> {
    let Some(last) = progress.last_live else {
        let reach = settings.overlap.max(SHORTEST_LIVE_WINDOW);
        return Some(Window::new(now - reach, now));
    };
    // What a halved scan left of its window begins where it ended: taking the overlap again each time would keep a source
    // that can only take small windows in one place. Once the present is reached, it is taken for all of them: what
    // happened shortly before the first of those scans began may have been too late for it.
    let since = if last.restarts > 0 {
        last.before
    } else {
        last.before.min(last.began_at) - settings.overlap
    };
    let window = Window::new(since, now.min(last.before + LONGEST_LIVE_WINDOW));
    (window.before > last.before).then_some(window)
}

/// Where history ends that is asked for: what upstream keeps no more is not.
pub(super) fn backfill_floor(
    live_since: DateTime<Utc>,
    settings: &Settings,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let wanted = settings.backfill_since.resolve(live_since);
    wanted.max(ledger::kept_since(now))
}

fn next_backfill(progress: &Progress, settings: &Settings, now: DateTime<Utc>) -> Option<Window> {
    let live_since = progress.live_since?;
    let before = progress.backfilled_to.unwrap_or(live_since);
    let floor = backfill_floor(live_since, settings, now);
    let span = progress
        .last_backfill
        .map_or(DAY, |last| next_span(last, settings.page_size));
    // Whole days, or a part of one.
    let since = if span >= DAY {
        midnight_before(before) - TimeDelta::days(span.num_days() - 1)
    } else {
        midnight_before(before).max(before - span)
    };
    let window = Window::new(since.max(floor), before);
    (!window.is_empty()).then_some(window)
}

/// How long the backfill window after that one should be, so that it has about as many pages as it should.
fn next_span(last: LastBackfill, page_size: u32) -> TimeDelta {
    let span = last.window.span();
    if last.restarts > 0 {
        return span.max(TimeDelta::seconds(1));
    }
    let wanted = BACKFILL_PAGES * u64::from(page_size);
    if last.entries * 2 <= wanted {
        return (span.max(DAY) * 2).min(LONGEST_BACKFILL);
    }
    if last.entries <= wanted {
        return span.max(SHORTEST_BACKFILL);
    }
    let part = wanted as f64 / last.entries as f64;
    TimeDelta::seconds((span.num_seconds() as f64 * part) as i64).max(SHORTEST_BACKFILL)
}

/// The last UTC midnight before a moment.
fn midnight_before(moment: DateTime<Utc>) -> DateTime<Utc> {
    (moment - TimeDelta::microseconds(1))
        .date_naive()
        .and_time(NaiveTime::MIN)
        .and_utc()
}

/// The part of a window to scan first when its cursors lead nowhere: its half, so that it may need none.
pub(super) fn halved(kind: WindowKind, window: Window) -> Window {
    match (kind, window.middle()) {
        (_, None) => window,
        (WindowKind::Live | WindowKind::Sweep, Some(middle)) => Window {
            since: window.since,
            before: middle,
        },
        // Backwards: what is left comes next.
        (WindowKind::Backfill, Some(middle)) => Window {
            since: middle,
            before: window.before,
        },
    }
}

/// Whether a source's history has been read as far as it was asked for.
pub(super) fn is_backfilled(progress: &Progress, settings: &Settings, now: DateTime<Utc>) -> bool {
    progress.live_since.is_some()
        && progress.open(WindowKind::Backfill).is_none()
        && next_backfill(progress, settings, now).is_none()
}

/// What is known of upstream's clock, beside the steady one of ours: so that it stays known when somebody sets this machine's.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Skew {
    /// How far upstream's clock is ahead of our steady one.
    upstream_ahead: Option<TimeDelta>,
    is_wrong: bool,
}

/// Less than this between the clocks may be the way of the answer.
const UNCERTAIN: TimeDelta = TimeDelta::seconds(2);

/// More than this between the clocks is worth telling.
const WRONG: TimeDelta = TimeDelta::minutes(1);

impl Skew {
    /// Takes in what an answer said of upstream's clock; gives how far ours is ahead when that has just become worth telling.
    pub(super) fn heard(&mut self, theirs: DateTime<Utc>, now: Now) -> Option<TimeDelta> {
        self.upstream_ahead = Some(theirs - now.steady);
        let ahead = now.wall - theirs;
        let was_wrong = std::mem::replace(&mut self.is_wrong, ahead.abs() > WRONG);
        (self.is_wrong && !was_wrong).then_some(ahead)
    }

    /// The lesser of our present and upstream's.
    pub(super) fn present(self, now: Now) -> DateTime<Utc> {
        let theirs = self.upstream_ahead.map(|ahead| now.steady + ahead);
        theirs
            .filter(|theirs| now.wall - *theirs > UNCERTAIN)
            .unwrap_or(now.wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::BackfillSince;
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
            overlap: TimeDelta::minutes(2),
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

        progress.backfilled_to = Some(at("01T00:00:00") - DAY);
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

    fn live(progress: &Progress, now: &str) -> String {
        next_live(progress, &settings(), at(now)).map_or("none".into(), |window| window.to_string())
    }

    #[test]
    fn live_windows_overlap_and_catch_up_in_pieces() {
        let mut progress = Progress::default();
        assert_eq!(
            live(&progress, "03T10:00:00.7"),
            "[2026-08-03T09:58:00Z, 2026-08-03T10:00:00Z)"
        );
        progress.last_live = last("03T10:00:00", 0);
        assert_eq!(
            live(&progress, "03T10:01:00"),
            "[2026-08-03T09:58:00Z, 2026-08-03T10:01:00Z)"
        );
        assert_eq!(
            live(&progress, "03T18:30:00"),
            "[2026-08-03T09:58:00Z, 2026-08-03T11:00:00Z)"
        );
        assert_eq!(live(&progress, "03T10:00:00.9"), "none");
        assert_eq!(live(&progress, "03T09:00:00"), "none");
        progress.last_live = last("03T10:00:00", 1);
        assert_eq!(
            live(&progress, "03T10:01:00"),
            "[2026-08-03T10:00:00Z, 2026-08-03T10:01:00Z)"
        );
    }

    #[test]
    fn backfill_goes_back_by_longer_and_longer_spans_to_where_it_was_asked_for() {
        let mut progress = Progress {
            live_since: Some(at("05T09:58:00")),
            ..Progress::default()
        };
        let now = at("05T10:00:00");
        let mut walked = Vec::new();
        while let Some(window) = next_backfill(&progress, &settings(), now) {
            walked.push(window.to_string());
            progress.backfilled_to = Some(window.since);
            progress.last_backfill = Some(LastBackfill {
                window,
                restarts: 0,
                entries: 0,
            });
        }
        assert_eq!(
            walked,
            [
                "[2026-08-05T00:00:00Z, 2026-08-05T09:58:00Z)",
                "[2026-08-03T00:00:00Z, 2026-08-05T00:00:00Z)",
                "[2026-08-02T09:00:00Z, 2026-08-03T00:00:00Z)",
            ]
        );
        assert!(is_backfilled(&progress, &settings(), now));
    }

    #[test]
    fn a_source_that_can_only_take_small_windows_still_moves_on() {
        // Every window of more than 45 seconds is refused.
        let now = at("03T12:00:00");
        let mut progress = Progress {
            last_live: last("03T11:50:00", 0),
            ..Progress::default()
        };
        let mut scans = 0;
        while let Some(mut window) = next_live(&progress, &settings(), now) {
            let mut restarts = 0;
            while window.span() > TimeDelta::seconds(45) {
                window = halved(WindowKind::Live, window);
                restarts += 1;
            }
            progress.last_live = Some(LastLive {
                before: window.before,
                restarts,
                sealed_at: now,
                began_at: now,
            });
            scans += 1;
            assert!(scans < 100, "stuck at {window}");
        }
        assert_eq!(progress.last_live.map(|last| last.before), Some(now));
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

    #[test]
    fn crowded_history_is_read_in_smaller_pieces_and_an_empty_one_in_few() {
        let window =
            |days| Window::new(at("05T00:00:00") - TimeDelta::days(days), at("05T00:00:00"));
        let after = |days, entries| {
            let last = LastBackfill {
                window: window(days),
                restarts: 0,
                entries,
            };
            next_span(last, 1_000).num_hours()
        };
        assert_eq!(after(1, 0), 48);
        assert_eq!(after(64, 0), 90 * 24);
        assert_eq!(after(2, 3_000), 48);
        assert_eq!(after(4, 16_000), 24);
        assert_eq!(after(1, 1_000_000), 1);

        let settings = Settings {
            backfill_since: BackfillSince::Span(TimeDelta::days(540)),
            ..settings()
        };
        let now = at("05T10:00:00");
        let mut progress = Progress {
            live_since: Some(at("05T09:58:00")),
            ..Progress::default()
        };
        let mut calls = 0;
        while let Some(window) = next_backfill(&progress, &settings, now) {
            calls += 1;
            progress.backfilled_to = Some(window.since);
            progress.last_backfill = Some(LastBackfill {
                window,
                restarts: 0,
                entries: 0,
            });
        }
        assert!(calls <= 12, "{calls} calls for 540 empty days");
    }

    #[test]
    fn nothing_is_asked_for_that_upstream_keeps_no_more() {
        let settings = Settings {
            backfill_since: BackfillSince::Date("2020-01-01".parse().unwrap()),
            ..settings()
        };
        let now = at("05T10:00:00");
        let progress = Progress {
            live_since: Some(at("05T09:58:00")),
            backfilled_to: Some(ledger::kept_since(now)),
            ..Progress::default()
        };
        assert_eq!(next_backfill(&progress, &settings, now), None);
    }

    #[test]
    fn the_lesser_of_the_two_clocks_holds_and_a_difference_is_told_once() {
        let mut skew = Skew::default();
        let (ours, hour) = (at("05T10:00:00"), TimeDelta::hours(1));
        let later = TimeDelta::minutes(5);
        assert_eq!(skew.heard(ours - TimeDelta::seconds(1), both(ours)), None);
        assert_eq!(skew.present(both(ours)), ours);
        assert_eq!(skew.heard(ours - hour, both(ours)), Some(hour));
        assert_eq!(skew.heard(ours - hour, both(ours)), None);
        assert_eq!(skew.present(both(ours + later)), ours + later - hour);
        // Somebody sets our clock right, and then wrong.
        let set = |wall| Now {
            wall,
            steady: ours + later,
        };
        assert_eq!(skew.present(set(ours + later - hour)), ours + later - hour);
        assert_eq!(skew.present(set(ours - hour * 2)), ours - hour * 2);
    }
}
