//! Which stretch of a source's time is scanned next, from how far the source has come, the settings and the present.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

use super::claim::UNCERTAIN_PRESENT;
use super::settings::Settings;
use crate::ledger;
use crate::position::{Window, WindowKind};
use crate::store::{GapCause, LastBackfill, LastLive, Progress};

/// After an outage, the first piece of what was missed is at most this long. While pieces are almost empty, each is twice
/// as long as the one before.
pub(super) const FIRST_LIVE_PIECE: TimeDelta = TimeDelta::hours(1);

/// The longest piece.
const LONGEST_LIVE_PIECE: TimeDelta = TimeDelta::days(30);

/// Without an overlap the first window is as long as this, or it would be none.
const SHORTEST_LIVE_WINDOW: TimeDelta = TimeDelta::seconds(1);

/// The longest stretch of history that is asked for at once.
const LONGEST_BACKFILL: TimeDelta = TimeDelta::days(90);

/// The shortest stretch that a crowded history is cut into.
const SHORTEST_BACKFILL: TimeDelta = TimeDelta::hours(1);

/// About how many pages a backfill window should have: what a lost cursor costs.
const BACKFILL_PAGES: u64 = 4;

/// So many passed stretches at most are gone around in the overlap, each with a call of its own: many of them cost
/// no more.
const MAX_PASSED_IN_OVERLAP: usize = 4;

const DAY: TimeDelta = TimeDelta::days(1);

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
        WindowKind::Sweep => ledger::next_sweep(
            &progress.to_sweep,
            &settings.sweeps,
            settings.page_size,
            now,
        ),
        WindowKind::Backfill => next_backfill(progress, settings, now),
    }
}

/// The next sweep of a source whose last one ended at `swept_to` and could not be sealed.
pub(super) fn next_sweep_after(
    progress: &Progress,
    settings: &Settings,
    swept_to: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<Window> {
    let (sweeps, page_size) = (&settings.sweeps, settings.page_size);
    ledger::next_sweep_after(&progress.to_sweep, sweeps, page_size, swept_to, now)
}

fn next_live(progress: &Progress, settings: &Settings, now: DateTime<Utc>) -> Option<Window> {
    let Some(last) = progress.last_live else {
        return Some(first_live(progress, settings, now));
    };
    // After a very long outage there is a part that upstream keeps no longer.
    let kept = ledger::claimable_since(now);
    let piece = live_piece(&last, settings.overlap.of(&progress.visibility), settings);
    // A piece goes on after all that is done with, or a stretch that is passed for the second time would have no end.
    let done = match last.restarts {
        0 => progress.live_before.unwrap_or(last.before).max(last.before),
        _ => last.before,
    };
    let before = now.min(done.max(kept) + piece);
    if Window::new(last.before, before).is_empty() {
        return None;
    }
    let since = live_since(progress, &last, settings, before);
    // Without upstream's clock, what was passed may be newer than all that was claimed.
    let since = first_unread(progress, now).map_or(since, |unread| since.min(unread));
    // A stretch that was passed because it cannot be read is not asked for again each time.
    let passed = passed_unread(progress);
    let since = after_passed(&passed, Window::new(since.max(kept), before).since);
    let window = Window::new(since, before_passed(&passed, since, before));
    (!window.is_empty()).then_some(window)
}

/// Where the live window after that one begins, if it ends at `before`.
///
/// What a halved scan left of its window begins where it ended: taking the overlap again each time would keep a source that can
/// only take small windows in one place. So it is with a scan that ended where a passed stretch begins. Once the present is
/// reached, the overlap is taken for all of them: what happened shortly before the first of those scans began may have been
/// too late for it.
fn live_since(
    progress: &Progress,
    last: &LastLive,
    settings: &Settings,
    before: DateTime<Utc>,
) -> DateTime<Utc> {
    let reached = progress.live_before.unwrap_or(last.before);
    if last.restarts > 0 || last.before < reached {
        return last.before;
    }
    let since = last.before.min(last.began_at) - settings.overlap.of(&progress.visibility);
    // Each passed stretch in the overlap costs a call.
    let passed = passed_unread(progress);
    let passed = passed_ends(&passed).filter(|end| *end <= before);
    let earliest = passed
        .take(MAX_PASSED_IN_OVERLAP + 1)
        .skip(MAX_PASSED_IN_OVERLAP);
    earliest.fold(since, DateTime::max)
}

/// The first live window. One that was begun before may have been given up, after history was read from its beginning back:
/// what lies between is of no other window.
fn first_live(progress: &Progress, settings: &Settings, now: DateTime<Utc>) -> Window {
    let reach = settings.overlap.of(&progress.visibility);
    let reach = reach.max(SHORTEST_LIVE_WINDOW);
    let since = progress
        .history_before
        .map_or(now - reach, |history| history.min(now - reach))
        .max(ledger::claimable_since(now));
    Window::new(since, now.min(since + reach.max(FIRST_LIVE_PIECE)))
}

/// Where the first stretch begins, among the live windows that are done with, that is neither proven nor passed.
fn first_unread(progress: &Progress, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let since = progress.live_since?.max(ledger::claimable_since(now));
    let done = Window::new(since, progress.live_before?);
    let open = ledger::open_parts(&progress.proven, done);
    let passed: Vec<Window> = progress.gaps.iter().map(|(gap, _)| *gap).collect();
    open.into_iter().find_map(|part| {
        let from = after_passed(&passed, part.since);
        (from < part.before).then_some(from)
    })
}

/// The passed stretches that are gone around, because an answer about one cannot be used. What another orgtrail has not proven
/// is asked for with the rest.
fn passed_unread(progress: &Progress) -> Vec<Window> {
    let gaps = progress.gaps.iter();
    let unread = gaps.filter(|(_, cause)| *cause != GapCause::Unproven);
    unread.map(|(gap, _)| *gap).collect()
}

/// A moment, or where the passed stretches end that it is in.
fn after_passed(gaps: &[Window], moment: DateTime<Utc>) -> DateTime<Utc> {
    let later = gaps.partition_point(|gap| gap.before <= moment);
    let mut from = moment;
    for gap in &gaps[later..] {
        if !gap.contains(from) {
            break;
        }
        from = gap.before;
    }
    from
}

/// Where passed stretches end, those beside each other as one, the latest first.
fn passed_ends(gaps: &[Window]) -> impl Iterator<Item = DateTime<Utc>> {
    let gaps = gaps.iter().rev().copied();
    let later = gaps.clone().map(|gap| Some(gap.since));
    let later = std::iter::once(None).chain(later);
    let ends = gaps
        .zip(later)
        .filter(|(gap, later)| *later != Some(gap.before));
    ends.map(|(gap, _)| gap.before)
}

/// Where a window ends that begins at `since`: at `before`, or where a stretch begins before that was passed.
fn before_passed(gaps: &[Window], since: DateTime<Utc>, before: DateTime<Utc>) -> DateTime<Utc> {
    let later = gaps.partition_point(|gap| gap.since <= since);
    gaps.get(later).map_or(before, |gap| gap.since.min(before))
}

/// The live window to scan next while upstream sends no `Date`. Only what is older than a day will be sealed, so that much is
/// read again each time; and a scan that ended at `read_to`, before the present, is gone on with there. What was passed is
/// not asked for: it would hold back what is newer for as long again each time.
pub(super) fn next_silent(
    progress: &Progress,
    settings: &Settings,
    read_to: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<Window> {
    let since = match read_to {
        Some(read_to) => read_to,
        None => {
            let reach = UNCERTAIN_PRESENT + settings.overlap.of(&progress.visibility);
            next_live(progress, settings, now)?.since.min(now - reach)
        }
    };
    let passed = passed_unread(progress);
    let since = after_passed(&passed, Window::new(since, now).since);
    let window = Window::new(since, before_passed(&passed, since, now));
    (!window.is_empty()).then_some(window)
}

/// How long the piece after that live window may be.
fn live_piece(last: &LastLive, overlap: TimeDelta, settings: &Settings) -> TimeDelta {
    let is_almost_empty = last.restarts == 0 && last.entries * 2 <= u64::from(settings.page_size);
    let twice = if is_almost_empty {
        (last.before - last.since - overlap) * 2
    } else {
        TimeDelta::zero()
    };
    twice.clamp(FIRST_LIVE_PIECE, LONGEST_LIVE_PIECE)
}

/// Where history ends that is asked for: what upstream keeps no more is not.
pub(super) fn backfill_floor(
    live_since: DateTime<Utc>,
    settings: &Settings,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let wanted = settings.backfill_since.resolve(live_since);
    wanted.max(ledger::claimable_since(now))
}

pub(super) fn next_backfill(
    progress: &Progress,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Option<Window> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::{BackfillSince, Overlap};

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
        // The one before it was given up, after history was read up to it.
        progress.history_before = Some(at("03T09:50:00"));
        assert_eq!(
            live(&progress, "03T10:00:00"),
            "[2026-08-03T09:50:00Z, 2026-08-03T10:00:00Z)"
        );
        assert_eq!(
            live(&progress, "03T18:00:00"),
            "[2026-08-03T09:50:00Z, 2026-08-03T10:50:00Z)"
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
    fn the_overlap_is_read_around_what_was_passed_and_not_only_after_it() {
        let passed = |seconds: &[&str]| {
            let gaps = seconds.iter().map(|since| {
                let window = Window::new(at(since), at(since) + TimeDelta::seconds(1));
                (window, GapCause::TooLarge)
            });
            gaps.collect()
        };
        // How it goes on from a last window that ended at ten, a minute later.
        let walk = |gaps: &[&str]| {
            let mut progress = Progress {
                gaps: passed(gaps),
                last_live: last("03T10:00:00", 0),
                live_before: Some(at("03T10:00:00")),
                ..Progress::default()
            };
            let now = at("03T10:01:00");
            let mut walked = Vec::new();
            while let Some(window) = next_live(&progress, &settings(), now) {
                walked.push(window.to_string().replace("2026-08-03T", ""));
                progress.live_before = progress.live_before.max(Some(window.before));
                progress.last_live = Some(LastLive {
                    since: window.since,
                    before: window.before,
                    ..progress.last_live.unwrap()
                });
                assert!(walked.len() < 20, "{walked:?}");
            }
            walked
        };
        assert_eq!(walk(&[]), ["[09:58:00Z, 10:01:00Z)"]);
        assert_eq!(
            walk(&["03T09:59:00"]),
            ["[09:58:00Z, 09:59:00Z)", "[09:59:01Z, 10:01:00Z)"]
        );
        // What is older than the overlap costs nothing; seconds beside each other are one stretch.
        assert_eq!(
            walk(&["03T09:40:00", "03T09:58:00", "03T09:59:00", "03T09:59:01"]),
            ["[09:58:01Z, 09:59:00Z)", "[09:59:02Z, 10:01:00Z)"]
        );
        // Of many only the latest are gone around.
        let many: Vec<String> = (10..50).map(|n| format!("03T09:59:{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).step_by(2).collect();
        let walked = walk(&many);
        assert_eq!(walked.len(), 1 + MAX_PASSED_IN_OVERLAP, "{walked:?}");
        assert_eq!(walked[0], "[09:59:41Z, 09:59:42Z)");
    }

    #[test]
    fn after_an_outage_pieces_grow_over_empty_time_and_shrink_where_much_happened() {
        let catch_up = |entries: u64| {
            let now = at("06T10:00:00");
            let mut progress = Progress {
                last_live: last("03T10:00:00", 0),
                ..Progress::default()
            };
            let mut hours = Vec::new();
            while let Some(window) = next_live(&progress, &settings(), now) {
                let before = progress.last_live.map_or(now, |last| last.before);
                hours.push((window.before - before).num_hours());
                progress.last_live = Some(LastLive {
                    since: window.since,
                    entries,
                    before: window.before,
                    restarts: 0,
                    sealed_at: now,
                    began_at: window.before,
                });
            }
            hours
        };
        assert_eq!(catch_up(0), [1, 2, 4, 8, 16, 32, 9]);
        assert_eq!(catch_up(501), [1; 72]);
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
                since: window.since,
                entries: 0,
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
            backfilled_to: Some(ledger::claimable_since(now)),
            ..Progress::default()
        };
        assert_eq!(next_backfill(&progress, &settings, now), None);
    }
}
