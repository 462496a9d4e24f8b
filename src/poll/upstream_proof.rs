//! What another orgtrail that is polled has proven of a window, and what is passed because it has not.
//!
//! Its answer names every stretch that it has proven. What lies between them is passed at once, so that no window is asked
//! for twice because of a hole, wherever the hole is and however long it is. Sweeps ask for it again. What comes after the last
//! proven stretch of a live window is different: it may only be not proven yet. It is passed when it is older than an hour.

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use orgtrail_cloudflare::coverage::Covered;

use super::settings::NEAR;
use crate::position::{Window, WindowKind};
use crate::store::WindowPiece;

/// What the other orgtrail has not proven after so long is passed.
const NOT_PROVEN_YET: TimeDelta = TimeDelta::hours(1);

/// What is asked of an answer.
#[derive(Clone, Copy)]
pub(super) struct AskedOf {
    pub(super) kind: WindowKind,
    /// The window.
    pub(super) window: Window,
    /// The part of it that may be claimed.
    pub(super) claimable: Window,
    /// Upstream's present.
    pub(super) present: DateTime<Utc>,
    /// Whether it is the first live window of its source, and nothing can be read before it is done with.
    pub(super) is_first: bool,
}

/// What another orgtrail has proven of a window.
pub(super) struct UpstreamProof {
    /// What is sealed and what is passed, the earliest first.
    pub(super) pieces: Vec<WindowPiece>,
    /// Whether the other orgtrail will read some of it again.
    pub(super) is_settling: bool,
}

impl UpstreamProof {
    pub(super) fn of(covered: &Covered, asked: AskedOf) -> Self {
        let Window { since, before } = asked.claimable;
        let proven = covered.within(since, before).into_iter();
        let proven = proven.map(|(since, before)| Window::new(first_whole(since), before));
        let (mut pieces, mut from) = (Vec::new(), since);
        for window in proven.filter(|window| !window.is_empty()) {
            pass(&mut pieces, from, window.since);
            pieces.push(WindowPiece {
                window,
                is_proven: true,
            });
            from = window.before;
        }
        if let Some(to) = passed_to(asked, from) {
            pass(&mut pieces, from, to);
        }
        Self {
            pieces,
            is_settling: covered.is_settling,
        }
    }
}

fn pass(pieces: &mut Vec<WindowPiece>, since: DateTime<Utc>, before: DateTime<Utc>) {
    let window = Window::new(since, before);
    if !window.is_empty() {
        pieces.push(WindowPiece {
            window,
            is_proven: false,
        });
    }
}

/// Up to where a window is passed whose last proven stretch ends at `from`, if it is.
fn passed_to(asked: AskedOf, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let end = asked.claimable.before;
    if asked.kind != WindowKind::Live || (asked.is_first && from == asked.claimable.since) {
        return Some(end);
    }
    let late = asked.present - NOT_PROVEN_YET;
    // A window that ends before the present must be passed, or what comes after it is never asked for. One that reaches the
    // present is passed an hour at a time, so that few stretches are written down.
    let is_piece = asked.window.before < asked.present - NEAR;
    let is_due = is_piece || from < late - NOT_PROVEN_YET;
    is_due.then(|| end.min(late.trunc_subsecs(0)))
}

/// The part of a window to ask for instead if the answer could not name all that is proven of it.
pub(super) fn cut_to_what_is_named(
    covered: &Covered,
    kind: WindowKind,
    window: Window,
) -> Option<Window> {
    let said_to = covered.said_to()?;
    let cut = match kind {
        WindowKind::Live | WindowKind::Sweep => Window::new(window.since, said_to),
        // History is read from its end.
        WindowKind::Backfill => Window {
            since: window.middle()?,
            ..window
        },
    };
    (!cut.is_empty() && cut.span() < window.span()).then_some(cut)
}

/// The first whole second that does not begin before a moment.
fn first_whole(moment: DateTime<Utc>) -> DateTime<Utc> {
    let whole = moment.trunc_subsecs(0);
    if whole < moment {
        whole + TimeDelta::seconds(1)
    } else {
        moment
    }
}

#[cfg(test)]
mod tests {
    use orgtrail_cloudflare::coverage::CoveredState;

    use super::*;

    const HOUR: i64 = 3_600;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    /// What becomes of `[10, end)` when `proven` is; what is passed is negative.
    fn pieces(
        kind: WindowKind,
        (end, present): (i64, i64),
        proven: &[(i64, i64)],
        is_first: bool,
    ) -> Vec<(i64, i64)> {
        let window = Window::new(at(10), at(end));
        let proven: Vec<_> = proven.iter().map(|(a, b)| (at(*a), at(*b))).collect();
        let asked = (window.widened().since, window.widened().before);
        let covered = Covered::of(CoveredState::Partial, false, asked, &proven);
        let asked = AskedOf {
            kind,
            window,
            claimable: window,
            present: at(present),
            is_first,
        };
        let pieces = UpstreamProof::of(&covered, asked).pieces.into_iter();
        let seconds = pieces.map(|piece| {
            let (since, before) = (
                piece.window.since.timestamp(),
                piece.window.before.timestamp(),
            );
            if piece.is_proven {
                (since, before)
            } else {
                (-since, -before)
            }
        });
        seconds.collect()
    }

    #[test]
    fn every_hole_in_what_another_orgtrail_has_proven_is_passed_and_what_is_around_it_is_sealed() {
        let proven = [(0, 12), (13, 40), (41, 60)];
        for kind in [WindowKind::Sweep, WindowKind::Backfill] {
            assert_eq!(
                pieces(kind, (90, HOUR), &proven, false),
                [
                    (10, 12),
                    (-12, -13),
                    (13, 40),
                    (-40, -41),
                    (41, 60),
                    (-60, -90)
                ]
            );
            assert_eq!(pieces(kind, (90, HOUR), &[], false), [(-10, -90)]);
            assert_eq!(pieces(kind, (90, HOUR), &[(0, 100)], false), [(10, 90)]);
        }
        // A hole at the begin, which the question that is a second wider begins in.
        let live = WindowKind::Live;
        assert_eq!(
            pieces(live, (90, 92), &[(0, 9), (11, 91)], false),
            [(-10, -11), (11, 90)]
        );
    }

    #[test]
    fn the_end_of_a_live_window_is_passed_only_when_it_has_not_been_proven_for_long() {
        let live = WindowKind::Live;
        let pieces =
            |end, present, proven: &[(i64, i64)]| pieces(live, (end, present), proven, false);
        assert_eq!(pieces(90, 92, &[(0, 40)]), [(10, 40)]);
        assert_eq!(pieces(90, 92, &[]), []);
        // The present was not asked for yet.
        assert_eq!(pieces(90, HOUR + 60, &[(0, 40)]), [(10, 40), (-40, -60)]);
        assert_eq!(pieces(90, 9 * HOUR, &[(0, 40)]), [(10, 40), (-40, -90)]);
        // It was.
        let end = HOUR + 1_000;
        assert_eq!(pieces(end, end, &[(0, 40)]), [(10, 40)]);
        let end = 2 * HOUR + 1_000;
        assert_eq!(
            pieces(end, end, &[(0, 40)]),
            [(10, 40), (-40, -(HOUR + 1_000))]
        );
        // Nothing at all would be read before the first one.
        let first = super::tests::pieces(live, (90, 92), &[], true);
        assert_eq!(first, [(-10, -90)]);
    }
}
