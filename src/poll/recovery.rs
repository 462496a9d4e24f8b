//! What follows from an answer that a scan cannot go on from: ask again, ask for less, or pass a stretch as a gap.
//!
//! Scans, comparisons and repairs all decide here. Making a stretch or a page smaller loses nothing, so that is done soon.
//! To pass a stretch is a loss until it is read again, so three things are required first: the stretch is as short as is
//! useful, the trouble has lasted for a span of time, and, where the answer might come from an upstream that is down, another
//! stretch of the same source was answered meanwhile. Pure functions: no clock, no calls.

use chrono::TimeDelta;

use crate::position::Window;
use crate::store::GapCause;

/// How often a scan of the shortest stretch starts over because of its cursors before that stretch is passed.
pub(super) const MAX_UNFINISHED: u32 = 8;

/// The shortest stretch that is asked for.
const SECOND: TimeDelta = TimeDelta::seconds(1);

/// A request is a second wider than its stretch at both ends, so one entry spoils up to this much. After the first second
/// of it was passed, the others need no span of time of their own.
const SPOILED_BY_ONE_ENTRY: TimeDelta = TimeDelta::seconds(3);

/// From this length of passed stretches side by side on, longer stretches are passed, or a bad hour would take weeks.
const CROWDED: TimeDelta = TimeDelta::seconds(8);

/// Requests of the same one-second probe before another second is tried.
const TRIES_AT_ONE_PLACE: u32 = 4;

/// The longest stretch that is passed as a whole.
const LONGEST_PASSED: TimeDelta = TimeDelta::days(1);

/// A stretch of at most this length with foreign entries alone is passed as a whole. Shorter gaps would cost more calls, and
/// more rows, than they save.
const SHORTEST_FOREIGN: TimeDelta = TimeDelta::hours(1);

/// An answer that a scan cannot go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadAnswer {
    /// The cursor was refused, leads in a circle, or the pages contradict each other.
    CursorLost,
    /// Upstream refuses the stretch, without a cursor: it may be too long.
    Refused,
    /// The page has more bytes than are taken.
    TooLarge,
    /// The answer is complete and is not JSON.
    Unreadable,
    /// The page is full, has no cursor, and what follows cannot be asked for by its time.
    NoWayOn,
    /// The page holds entries of another log alone.
    Foreign,
    /// An error instead of a page: 404, 422, 5xx, or an answer that lacks what it must have.
    Failing,
}

/// How many bad answers, and for how long, before a scan narrows a range of time down or passes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Bad answers in a row before a range of time is narrowed down or passed.
    tries: u32,
    /// How long an answer must have been unreadable before its range of time is narrowed down.
    unreadable: TimeDelta,
    /// Errors in a row before a range of time is narrowed down.
    failing_tries: u32,
    /// How long a cursor must have been answered with errors before its scan starts over.
    failing_cursor: TimeDelta,
    /// How long a range of time must have been answered with errors before it is narrowed down.
    failing: TimeDelta,
    /// Pages of foreign entries in a row before their range of time is passed.
    foreign_tries: u32,
    /// How long such pages must have come.
    foreign: TimeDelta,
    /// How long the trouble must last before a range of time is passed.
    pass: TimeDelta,
}

impl Patience {
    /// For the service.
    pub(super) const SERVICE: Self = Self {
        tries: 3,
        unreadable: TimeDelta::minutes(2),
        failing_tries: 3,
        failing_cursor: TimeDelta::minutes(10),
        failing: TimeDelta::hours(1),
        foreign_tries: 10,
        foreign: TimeDelta::minutes(30),
        pass: TimeDelta::minutes(10),
    };

    /// For `orgtrail backfill`: shorter, because a person waits. The service requests again what is passed.
    pub(super) const FOREGROUND: Self = Self {
        unreadable: TimeDelta::seconds(10),
        failing_cursor: TimeDelta::seconds(30),
        failing: TimeDelta::minutes(1),
        pass: TimeDelta::seconds(30),
        ..Self::SERVICE
    };

    /// In a comparison, which loses nothing by what it leaves out.
    pub(super) const COMPARISON: Self = Self {
        unreadable: TimeDelta::zero(),
        failing_tries: 7,
        failing_cursor: TimeDelta::zero(),
        failing: TimeDelta::zero(),
        pass: TimeDelta::zero(),
        ..Self::SERVICE
    };
}

/// Where a scan was when a bad answer came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation {
    /// The stretch that is scanned.
    pub(super) window: Window,
    /// How many entries were asked for at a time.
    pub(super) limit: u32,
    /// The most that are asked for at a time.
    pub(super) page_size: u32,
    /// Whether it was asked with a cursor.
    pub(super) has_cursor: bool,
    /// Whether it is a part of a longer stretch that was narrowed down: then it is narrowed down at once.
    pub(super) is_narrowed: bool,
    /// Bad answers in a row, with this one.
    pub(super) count: u32,
    /// How long ago the first of them came.
    pub(super) lasts: TimeDelta,
    /// How often in a row a scan of the shortest stretch started over, and for how long.
    pub(super) unfinished: (u32, TimeDelta),
    /// The length of passed stretches that touch this one: see [`passed_beside`].
    pub(super) passed_beside: TimeDelta,
    /// How another stretch of the source was answered after this answer.
    pub(super) elsewhere: Elsewhere,
}

/// How another stretch of the same source was answered, after a bad answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// It was not asked for.
    NotAsked,
    /// It was requested and that said nothing: upstream said to wait, or there is no token.
    Unknown,
    /// It could not be asked for with the same turn, because the quota allows no second call now.
    NoCall,
    /// It was not answered either: the source is down.
    Down,
    /// It was answered, and has been for so long while this one was not.
    Answered(TimeDelta),
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Ask for the same again, later.
    Retry,
    /// Scan the same stretch from its beginning.
    StartOver,
    /// Scan the same stretch with twice the limit.
    DoubleLimit,
    /// Scan half of the stretch with half the limit.
    HalveLimit,
    /// Scan half of the stretch.
    HalveStretch,
    /// Find out whether another stretch of the source is answered, and decide again.
    LookElsewhere,
    /// Go on after the stretch: it is a gap.
    Pass(GapCause),
}

/// What to do about a bad answer.
pub(super) fn next_step(answer: BadAnswer, at: &Situation, patience: &Patience) -> NextStep {
    match answer {
        BadAnswer::CursorLost => after_a_lost_cursor(at, patience),
        BadAnswer::Refused if at.is_longer_than(SECOND) => NextStep::HalveStretch,
        // It is not too long then, and somebody must look.
        BadAnswer::Refused => NextStep::Retry,
        BadAnswer::TooLarge if at.limit > 1 => NextStep::HalveLimit,
        BadAnswer::TooLarge => at.narrow_or_pass(GapCause::TooLarge, patience),
        BadAnswer::NoWayOn if at.may_ask_for_more() => NextStep::DoubleLimit,
        BadAnswer::NoWayOn => at.narrow_or_pass(GapCause::Unreadable, patience),
        BadAnswer::Foreign => after_foreign_entries(at, patience),
        BadAnswer::Unreadable => after_an_error(at, patience.tries, patience.unreadable, patience),
        BadAnswer::Failing => after_a_failure(at, patience),
    }
}

fn after_a_lost_cursor(at: &Situation, patience: &Patience) -> NextStep {
    let (times, lasts) = at.unfinished;
    if at.is_longer_than(SECOND) {
        NextStep::HalveStretch
    } else if times >= MAX_UNFINISHED && lasts >= patience.pass {
        NextStep::Pass(GapCause::Unreadable)
    } else {
        NextStep::StartOver
    }
}

fn after_foreign_entries(at: &Situation, patience: &Patience) -> NextStep {
    let is_lasting = at.count >= patience.foreign_tries && at.lasts >= patience.foreign;
    match (is_lasting, at.is_longer_than(SHORTEST_FOREIGN)) {
        (true, false) => NextStep::Pass(GapCause::Foreign),
        (true, true) => NextStep::HalveStretch,
        (false, true) if at.is_narrowed => NextStep::HalveStretch,
        (false, _) => NextStep::Retry,
    }
}

/// After an answer that may come from an upstream that is down.
fn after_an_error(at: &Situation, tries: u32, span: TimeDelta, patience: &Patience) -> NextStep {
    let is_lasting = at.is_narrowed || at.count >= tries && at.lasts >= span;
    if at.is_longer_than(at.longest_passed()) {
        return if is_lasting {
            NextStep::HalveStretch
        } else {
            NextStep::Retry
        };
    }
    if at.count < patience.tries || !is_lasting {
        return NextStep::Retry;
    }
    match at.elsewhere {
        Elsewhere::NotAsked => NextStep::LookElsewhere,
        Elsewhere::Answered(lasts) if lasts >= patience.pass || at.is_spoiled() => {
            NextStep::Pass(GapCause::Unreadable)
        }
        Elsewhere::Unknown | Elsewhere::NoCall | Elsewhere::Down | Elsewhere::Answered(_) => {
            NextStep::Retry
        }
    }
}

/// The same for an error instead of a page. A source that is down is not asked for less, which would only cost calls.
fn after_a_failure(at: &Situation, patience: &Patience) -> NextStep {
    let span = if at.has_cursor {
        patience.failing_cursor
    } else {
        patience.failing
    };
    match (
        after_an_error(at, patience.failing_tries, span, patience),
        at.elsewhere,
    ) {
        (NextStep::HalveStretch, Elsewhere::NotAsked) => NextStep::LookElsewhere,
        (NextStep::HalveStretch, Elsewhere::Down) => NextStep::Retry,
        (step, _) => step,
    }
}

impl Situation {
    fn is_longer_than(&self, span: TimeDelta) -> bool {
        self.window.middle().is_some() && self.window.span() > span
    }

    /// After an answer that shows that upstream is there.
    fn narrow_or_pass(&self, cause: GapCause, patience: &Patience) -> NextStep {
        let is_lasting = self.count >= patience.tries && self.lasts >= patience.pass;
        if self.is_longer_than(SECOND) {
            NextStep::HalveStretch
        } else if is_lasting || self.count >= patience.tries && self.is_spoiled() {
            NextStep::Pass(cause)
        } else {
            NextStep::Retry
        }
    }

    /// Whether the limit can be the reason why a page seems to be cut off. In the shortest stretch this is tried a few times
    /// only, because two entries that are too large together would lead from a smaller limit to a larger one for ever.
    fn may_ask_for_more(&self) -> bool {
        let is_bounded = self.is_longer_than(SECOND) || self.unfinished.0 < MAX_UNFINISHED;
        self.limit < self.page_size && is_bounded
    }

    /// Whether the entry that spoiled the passed second beside this one spoils this one, too.
    fn is_spoiled(&self) -> bool {
        self.passed_beside > TimeDelta::zero() && self.passed_beside < SPOILED_BY_ONE_ENTRY
    }

    /// The longest stretch that is passed without narrowing it further: a second at first, and half of what was passed beside
    /// it when that is much. So a bad stretch of any length is passed in time, and at most half as much good time with it.
    fn longest_passed(&self) -> TimeDelta {
        match self.passed_beside {
            beside if beside < CROWDED => SECOND,
            beside => (beside / 2).min(LONGEST_PASSED),
        }
    }
}

/// How much was passed without a break around a stretch, or beside it. Nothing when no passed stretch touches it.
pub(super) fn passed_beside(gaps: &[(Window, GapCause)], window: Window) -> TimeDelta {
    // What was passed because another orgtrail has not proven it could be read.
    let mut gaps = gaps.to_vec();
    gaps.retain(|(_, cause)| *cause != GapCause::Unproven);
    let mut around = window;
    let touches =
        |around: Window, gap: Window| gap.since <= around.before && around.since <= gap.before;
    loop {
        let before = around;
        for (gap, _) in gaps.iter().filter(|(gap, _)| touches(before, *gap)) {
            around.since = around.since.min(gap.since);
            around.before = around.before.max(gap.before);
        }
        if around == before {
            break;
        }
    }
    let is_inside = gaps
        .iter()
        .any(|(gap, _)| gap.since <= window.since && window.before <= gap.before);
    if is_inside {
        around.span()
    } else {
        around.span() - window.span()
    }
}

/// A second of the source that was read before, near a stretch but not within its request: to find out whether upstream
/// answers for the source at all. `proven` has the earliest stretch first.
pub(super) fn elsewhere(proven: &[Window], window: Window) -> Option<Window> {
    // Both requests are a second wider than what they are for.
    let apart = SECOND * 2;
    let (until, from) = (window.since - apart, window.before + apart);
    let earlier = proven.iter().rev().find(|piece| piece.since < until);
    let later = proven.iter().find(|piece| piece.before > from);
    match (earlier, later) {
        (Some(piece), _) => {
            let before = piece.before.min(until);
            Some(Window {
                since: before - SECOND,
                before,
            })
        }
        (None, Some(piece)) => {
            let since = piece.since.max(from);
            Some(Window {
                since,
                before: since + SECOND,
            })
        }
        (None, None) => None,
    }
}

/// A second long before a stretch, for a source of which nothing is proven: any answer shows that upstream is there for it.
/// An hour before may be just as bad as the stretch, so that after a few tries it is a day, and then a month.
pub(super) fn long_before(window: Window, tries: u32) -> Window {
    let earlier = match tries / TRIES_AT_ONE_PLACE % 3 {
        0 => TimeDelta::hours(1),
        1 => TimeDelta::days(1),
        _ => TimeDelta::days(30),
    };
    let before = window.since - earlier;
    Window {
        since: before - SECOND,
        before,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::from_micros;

    fn window(since: i64, before: i64) -> Window {
        let at = |second: i64| from_micros(1_785_000_000_000_000 + second * 1_000_000);
        Window::new(at(since), at(before))
    }

    fn situation() -> impl Strategy<Value = Situation> {
        let seconds = |most: i64| (0..most).prop_map(TimeDelta::seconds);
        let span = prop_oneof![Just(1), 1..20_i64, 1..200_000_i64];
        let elsewhere = prop_oneof![
            Just(Elsewhere::NotAsked),
            Just(Elsewhere::Unknown),
            Just(Elsewhere::Down),
            seconds(3_600).prop_map(Elsewhere::Answered),
        ];
        (
            (span, 1..5_u32, any::<bool>(), any::<bool>()),
            (1..20_u32, seconds(8_000), 0..12_u32, seconds(3_600)),
            (prop_oneof![seconds(5), seconds(400_000)], elsewhere),
        )
            .prop_map(|((span, limit, has_cursor, is_narrowed), bad, beside)| {
                let (count, lasts, times, unfinished_for) = bad;
                Situation {
                    window: window(0, span),
                    limit,
                    page_size: 4,
                    has_cursor,
                    is_narrowed,
                    count,
                    lasts,
                    unfinished: (times, unfinished_for),
                    passed_beside: beside.0,
                    elsewhere: beside.1,
                }
            })
    }

    fn answer() -> impl Strategy<Value = BadAnswer> {
        prop::sample::select(vec![
            BadAnswer::CursorLost,
            BadAnswer::Refused,
            BadAnswer::TooLarge,
            BadAnswer::Unreadable,
            BadAnswer::NoWayOn,
            BadAnswer::Foreign,
            BadAnswer::Failing,
        ])
    }

    proptest! {
        #[test]
        fn nothing_is_passed_before_the_trouble_has_lasted(at in situation(), answer in answer()) {
            let patience = Patience::SERVICE;
            let step = next_step(answer, &at, &patience);
            let span = at.window.span();
            if let NextStep::Pass(_) = step {
                let lasts = match answer {
                    BadAnswer::CursorLost => at.unfinished.1,
                    BadAnswer::Unreadable | BadAnswer::Failing => match at.elsewhere {
                        Elsewhere::Answered(lasts) => lasts,
                        other => panic!("{other:?}: a source that is down is only waited for"),
                    },
                    _ => at.lasts,
                };
                prop_assert!(lasts >= patience.pass || at.is_spoiled(), "{at:?}");
                prop_assert!(answer == BadAnswer::CursorLost || at.count >= patience.tries);
                prop_assert!(span <= SECOND || span <= SHORTEST_FOREIGN || span * 2 <= at.passed_beside);
            }
            // A stretch of a second has no half.
            if matches!(step, NextStep::HalveStretch) {
                prop_assert!(at.window.middle().is_some());
            }
            if matches!(step, NextStep::HalveLimit) {
                prop_assert!(at.limit > 1);
            }
            if matches!(step, NextStep::DoubleLimit) {
                prop_assert!(at.limit < at.page_size);
            }
        }

        #[test]
        fn what_lasts_ends_in_a_pass_unless_somebody_must_look(
            answer in answer(),
            span in 1..200_000_i64,
            patience in prop::sample::select(vec![
                Patience::SERVICE, Patience::FOREGROUND, Patience::COMPARISON,
            ]),
        ) {
            let mut at = Situation {
                window: window(0, span),
                limit: 4,
                page_size: 4,
                has_cursor: false,
                is_narrowed: false,
                count: 0,
                lasts: TimeDelta::zero(),
                unfinished: (0, TimeDelta::zero()),
                passed_beside: TimeDelta::zero(),
                elsewhere: Elsewhere::NotAsked,
            };
            let minute = TimeDelta::minutes(1);
            for _ in 0..200 {
                at.count += 1;
                at.lasts += minute;
                let mut step = next_step(answer, &at, &patience);
                if step == NextStep::LookElsewhere {
                    at.elsewhere = Elsewhere::Answered(at.lasts);
                    step = next_step(answer, &at, &patience);
                }
                at.elsewhere = Elsewhere::NotAsked;
                match step {
                    NextStep::Retry | NextStep::LookElsewhere => {}
                    NextStep::StartOver => {
                        at.unfinished = (at.unfinished.0 + 1, at.unfinished.1 + minute);
                    }
                    NextStep::DoubleLimit => at.limit *= 2,
                    NextStep::HalveLimit | NextStep::HalveStretch => {
                        if step == NextStep::HalveLimit {
                            at.limit /= 2;
                        }
                        let middle = at.window.middle().unwrap_or(at.window.before);
                        at.window.before = middle;
                        (at.is_narrowed, at.count) = (true, 0);
                    }
                    NextStep::Pass(_) => return Ok(()),
                }
            }
            prop_assert_eq!(answer, BadAnswer::Refused);
            prop_assert!(at.window.middle().is_none());
        }

        #[test]
        fn a_source_that_is_down_is_only_waited_for(at in situation()) {
            let at = Situation { elsewhere: Elsewhere::Down, ..at };
            let after = |answer| next_step(answer, &at, &Patience::SERVICE);
            prop_assert_eq!(after(BadAnswer::Failing), NextStep::Retry);
            prop_assert!(!matches!(after(BadAnswer::Unreadable), NextStep::Pass(_)));
        }
    }

    #[test]
    fn passed_stretches_count_as_far_as_they_touch_each_other() {
        let cause = GapCause::Unreadable;
        let gaps = [(0, 10), (10, 15), (17, 18), (18, 20), (19, 21)];
        let gaps = gaps.map(|(since, before)| (window(since, before), cause));
        let beside = |since, before| passed_beside(&gaps, window(since, before)).num_seconds();
        assert_eq!(beside(15, 16), 15);
        assert_eq!(beside(15, 17), 15 + 4);
        assert_eq!(beside(16, 17), 4);
        assert_eq!(beside(22, 90), 0);
        // Within a passed stretch.
        assert_eq!(beside(3, 4), 15);
        assert_eq!(passed_beside(&[], window(0, 1)), TimeDelta::zero());
    }

    #[test]
    fn another_stretch_is_asked_for_that_shares_no_second_with_a_request() {
        let proven = [window(0, 100), window(200, 300)];
        let near = |since, before| elsewhere(&proven, window(since, before));
        assert_eq!(near(100, 101), Some(window(97, 98)));
        assert_eq!(near(150, 151), Some(window(99, 100)));
        assert_eq!(near(400, 401), Some(window(299, 300)));
        assert_eq!(near(1, 2), Some(window(4, 5)));
        assert_eq!(near(-50, -40), Some(window(0, 1)));
        assert_eq!(elsewhere(&[], window(0, 1)), None);
    }
}
