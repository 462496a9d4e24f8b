//! What one source needs next: pure decisions from how far it has come, the settings and the time.
//!
//! How far a source has come is always what the log says; a lane only remembers when to look again, and how often it
//! failed. It makes no calls.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

use crate::position::{Source, Window, WindowKind};
use crate::store::{OpenWindow, Progress};

use super::Settings;

/// After an outage, what was missed is read in pieces of at most this.
const LONGEST_LIVE_WINDOW: TimeDelta = TimeDelta::hours(1);

/// A window that ends this close to the present has reached it: whole seconds, upstream's clock and the way of the answer
/// take a few seconds off its end.
const NEAR: TimeDelta = TimeDelta::seconds(10);

/// The first wait after a failure; each further one doubles it.
const FIRST_RETRY: TimeDelta = TimeDelta::seconds(1);

/// The longest wait after a failure, and the wait where only a person can help.
const LONGEST_RETRY: TimeDelta = TimeDelta::minutes(5);

/// One source, between its turns.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) source: Source,
    /// As the log had it after the last turn; `None` when it must be read again.
    pub(super) progress: Option<Progress>,
    /// When the next live window is due.
    live_due: DateTime<Utc>,
    /// The wait after a live window that showed nothing new.
    quiet_interval: TimeDelta,
    /// No turn before this, after a failure.
    not_before: DateTime<Utc>,
    failures: u32,
    /// How many entries are asked for at a time.
    pub(super) limit: u32,
    /// Whether a turn is under way.
    pub(super) is_busy: bool,
    /// When its last turn began, so that sources take turns.
    pub(super) last_turn: DateTime<Utc>,
}

impl Lane {
    pub(super) fn new(source: Source, settings: &Settings, now: DateTime<Utc>) -> Self {
        Self {
            source,
            progress: None,
            live_due: now,
            quiet_interval: settings.interval,
            not_before: now,
            failures: 0,
            limit: settings.page_size,
            is_busy: false,
            last_turn: now,
        }
    }

    /// What this source would do now; `Err` with when to ask again.
    pub(super) fn due(
        &self,
        settings: &Settings,
        now: DateTime<Utc>,
    ) -> Result<WindowKind, Option<DateTime<Utc>>> {
        if self.is_busy {
            return Err(None);
        }
        if now < self.not_before {
            return Err(Some(self.not_before));
        }
        let Some(progress) = &self.progress else {
            return Ok(WindowKind::Live);
        };
        if progress.live.is_some() || now >= self.live_due {
            return Ok(WindowKind::Live);
        }
        if progress.backfill.is_some() || next_backfill(progress, settings, now).is_some() {
            return Ok(WindowKind::Backfill);
        }
        Err(Some(self.live_due))
    }

    /// A turn went well.
    pub(super) fn went_well(&mut self) {
        self.failures = 0;
    }

    /// A window was sealed that ended at `before` and had `new` entries.
    pub(super) fn sealed(
        &mut self,
        kind: WindowKind,
        before: DateTime<Utc>,
        new: usize,
        settings: &Settings,
        now: DateTime<Utc>,
    ) {
        self.limit = settings.page_size;
        if kind != WindowKind::Live {
            return;
        }
        if now - before >= settings.interval + NEAR {
            // A piece of what was missed: the next one at once.
            self.live_due = now;
            return;
        }
        self.quiet_interval = if new > 0 {
            settings.interval
        } else {
            (self.quiet_interval * 2).min(settings.max_interval)
        };
        self.live_due = now + self.quiet_interval;
    }

    /// There was nothing to do yet.
    pub(super) fn look_again(&mut self, now: DateTime<Utc>, settings: &Settings) {
        self.live_due = now + settings.interval;
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

    /// Whether more than a wait between two windows is still to be read of what is new.
    pub(super) fn is_behind(
        &self,
        progress: &Progress,
        settings: &Settings,
        now: DateTime<Utc>,
    ) -> bool {
        progress
            .live_before
            .is_none_or(|before| now - before > settings.max_interval + settings.interval)
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
        self.not_before = now + LONGEST_RETRY;
    }

    /// Asks for half as much; says whether less can be asked for.
    pub(super) fn ask_for_less(&mut self) -> bool {
        let could = self.limit > 1;
        self.limit = (self.limit / 2).max(1);
        could
    }
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
        WindowKind::Backfill => next_backfill(progress, settings, now),
    }
}

fn next_live(progress: &Progress, settings: &Settings, now: DateTime<Utc>) -> Option<Window> {
    let Some(last) = progress.last_live else {
        return Some(Window::new(now - settings.overlap, now)).filter(|window| !window.is_empty());
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

fn next_backfill(progress: &Progress, settings: &Settings, now: DateTime<Utc>) -> Option<Window> {
    let before = progress.backfilled_to.or(progress.live_since)?;
    let floor = settings.backfill_since.resolve(now);
    let window = Window::new(midnight_before(before).max(floor), before);
    (!window.is_empty()).then_some(window)
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
        (WindowKind::Live, Some(middle)) => Window {
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
        && progress.backfill.is_none()
        && next_backfill(progress, settings, now).is_none()
}

/// Upstream's present, seen from ours: a clock that is this far ahead of upstream's has not begun those seconds there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Skew(TimeDelta);

/// Less than this between the clocks may be the way of the answer.
const UNCERTAIN: TimeDelta = TimeDelta::seconds(2);

impl Skew {
    /// Takes in what an answer said of upstream's clock.
    pub(super) fn heard(&mut self, theirs: DateTime<Utc>, ours: DateTime<Utc>) {
        let ahead = ours - theirs;
        self.0 = if ahead > UNCERTAIN {
            ahead
        } else {
            TimeDelta::zero()
        };
    }

    /// The lesser of our present and upstream's.
    pub(super) fn present(self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::BackfillSince;
    use crate::store::LastLive;

    fn settings() -> Settings {
        Settings {
            interval: TimeDelta::seconds(60),
            max_interval: TimeDelta::minutes(10),
            overlap: TimeDelta::minutes(2),
            backfill_since: BackfillSince::Span(TimeDelta::days(3)),
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
    fn backfill_goes_back_by_days_to_where_it_was_asked_for() {
        let mut progress = Progress {
            live_since: Some(at("05T09:58:00")),
            ..Progress::default()
        };
        let now = at("05T10:00:00");
        let mut walked = Vec::new();
        while let Some(window) = next_backfill(&progress, &settings(), now) {
            walked.push(window.to_string());
            progress.backfilled_to = Some(window.since);
        }
        assert_eq!(
            walked,
            [
                "[2026-08-05T00:00:00Z, 2026-08-05T09:58:00Z)",
                "[2026-08-04T00:00:00Z, 2026-08-05T00:00:00Z)",
                "[2026-08-03T00:00:00Z, 2026-08-04T00:00:00Z)",
                "[2026-08-02T10:00:00Z, 2026-08-03T00:00:00Z)",
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
            lane.sealed(WindowKind::Live, now, new, &settings(), now);
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
            lane.sealed(WindowKind::Live, at(before), 1, &settings, now);
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
        assert_eq!(
            lane.due(&settings(), now).err().flatten(),
            Some(lane.not_before)
        );
    }
}
