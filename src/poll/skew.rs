//! The present: ours by two clocks, and upstream's.

use chrono::{DateTime, TimeDelta, Utc};

use super::turn::UpstreamClock;

/// One moment on both clocks: `wall` is stored in the log, `steady` measures waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) wall: DateTime<Utc>,
    pub(super) steady: DateTime<Utc>,
}

/// What is known of upstream's clock, compared with our steady one: it stays known when this machine's clock is set.
///
/// One `Date` may be wrong by any amount. One that does not agree with what is known counts only after others have
/// confirmed it; and what is known expires when no answer has come for a while, so that the next call finds out again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Skew {
    known: Option<KnownSkew>,
    /// Answers in a row that disagree with what is known, and agree with each other.
    other: Option<Other>,
    /// Answers in a row that did not say what time it was, and when the first of them came.
    silent: Option<Silence>,
    is_wrong: bool,
}

#[derive(Debug, Clone, Copy)]
struct KnownSkew {
    /// How far upstream's clock is ahead of our steady one.
    ahead: TimeDelta,
    /// When the last answer came.
    at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy)]
struct Other {
    ahead: TimeDelta,
    answers: u32,
}

#[derive(Debug, Clone, Copy)]
struct Silence {
    since: DateTime<Utc>,
    answers: u32,
}

/// So many answers in a row must come without a time before upstream counts as one that sends none.
const SILENT_AFTER: u32 = 10;

/// They must also be spread over so much time: the `Date` may be missing for a while only.
const SILENT_FOR: TimeDelta = TimeDelta::minutes(10);

/// Less than this between the clocks may be the way of the answer.
const UNCERTAIN: TimeDelta = TimeDelta::seconds(2);

/// More than this between two clocks is worth telling; two answers that differ by more do not agree.
const WRONG: TimeDelta = TimeDelta::minutes(1);

/// So many answers must agree before they count against what is known, or against our own clock at first.
const CONFIRMED_BY: u32 = 3;

/// After so long without an answer, what is known of upstream's clock is doubted: the next call is made by our own.
const EXPIRES_AFTER: TimeDelta = TimeDelta::minutes(5);

impl Skew {
    /// Takes in what an answer said of upstream's clock; gives how far ours is ahead when that has just become worth telling.
    pub(super) fn heard(&mut self, theirs: DateTime<Utc>, now: Now) -> Option<TimeDelta> {
        self.silent = None;
        let ahead = theirs - now.steady;
        let expected = self
            .known
            .map_or(now.wall - now.steady, |known| known.ahead);
        let agrees = |other: TimeDelta| (ahead - other).abs() <= WRONG;
        if !agrees(expected) {
            let answers = match self.other {
                Some(other) if agrees(other.ahead) => other.answers + 1,
                _ => 1,
            };
            self.other = Some(Other { ahead, answers });
            if answers < CONFIRMED_BY {
                return None;
            }
        }
        self.other = None;
        self.known = Some(KnownSkew {
            ahead,
            at: now.steady,
        });
        let ahead = now.wall - theirs;
        let was_wrong = std::mem::replace(&mut self.is_wrong, ahead.abs() > WRONG);
        (self.is_wrong && !was_wrong).then_some(ahead)
    }

    /// An answer came that did not say what time it is: what is known goes on with the steady clock.
    pub(super) fn record_missing_date(&mut self, now: Now) {
        let silence = self.silent.get_or_insert(Silence {
            since: now.steady,
            answers: 0,
        });
        silence.answers = silence.answers.saturating_add(1);
        if let Some(known) = &mut self.known {
            known.at = now.steady;
        }
    }

    /// What is known of upstream's clock.
    pub(super) fn upstream_clock(self, now: Now) -> UpstreamClock {
        let is_silent = self.silent.is_some_and(|silence| {
            silence.answers >= SILENT_AFTER && now.steady - silence.since >= SILENT_FOR
        });
        match self.known {
            Some(known) => UpstreamClock::Ahead(known.ahead),
            None if is_silent => UpstreamClock::Silent,
            None => UpstreamClock::NotHeard,
        }
    }

    /// The lesser of our present and upstream's.
    pub(super) fn present(self, now: Now) -> DateTime<Utc> {
        let known = self
            .known
            .filter(|known| now.steady - known.at < EXPIRES_AFTER);
        let theirs = known.map(|known| now.steady + known.ahead);
        theirs
            .filter(|theirs| now.wall - *theirs > UNCERTAIN)
            .unwrap_or(now.wall)
    }

    /// How far our clock is ahead of upstream's, if that is worth telling.
    pub(super) fn difference(self, now: Now) -> Option<TimeDelta> {
        let ahead = now.wall - (now.steady + self.known?.ahead);
        (ahead.abs() > WRONG).then_some(ahead)
    }
}

/// Whether a log that reaches to `sealed_before` is ahead of the present: a clock is behind.
pub(super) fn is_behind(present: DateTime<Utc>, sealed_before: DateTime<Utc>) -> bool {
    sealed_before - present > WRONG
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    fn both(now: DateTime<Utc>) -> Now {
        Now {
            wall: now,
            steady: now,
        }
    }

    #[test]
    fn the_lesser_of_the_two_clocks_holds_and_a_difference_is_told_once() {
        let mut skew = Skew::default();
        let (ours, hour) = (from_micros(1_785_924_000_000_000), TimeDelta::hours(1));
        let later = TimeDelta::minutes(4);
        assert_eq!(skew.heard(ours - TimeDelta::seconds(1), both(ours)), None);
        assert_eq!(skew.present(both(ours)), ours);
        assert_eq!(skew.heard(ours - hour, both(ours)), None);
        assert_eq!(skew.heard(ours - hour, both(ours)), None);
        assert_eq!(skew.heard(ours - hour, both(ours)), Some(hour));
        assert_eq!(skew.heard(ours - hour, both(ours)), None);
        assert_eq!(skew.difference(both(ours)), Some(hour));
        assert_eq!(skew.present(both(ours + later)), ours + later - hour);
        // Somebody sets our clock right, and then wrong.
        let set = |wall| Now {
            wall,
            steady: ours + later,
        };
        assert_eq!(skew.present(set(ours + later - hour)), ours + later - hour);
        assert_eq!(skew.difference(set(ours + later - hour)), None);
        assert_eq!(skew.present(set(ours - hour * 2)), ours - hour * 2);
    }

    #[test]
    fn one_wrong_date_changes_nothing_and_none_holds_for_ever() {
        let ours = from_micros(1_785_924_000_000_000);
        let years = TimeDelta::days(18_262);
        for first in [false, true] {
            for off in [TimeDelta::hours(1), -TimeDelta::hours(1), years, -years] {
                let mut skew = Skew::default();
                if !first {
                    skew.heard(ours, both(ours));
                }
                assert_eq!(skew.heard(ours + off, both(ours)), None, "{off}");
                assert_eq!(skew.present(both(ours)), ours, "{off}");
                assert_eq!(skew.heard(ours, both(ours)), None);
                assert_eq!(skew.heard(ours + off, both(ours)), None, "not in a row");
                assert_eq!(skew.present(both(ours)), ours, "{off}");
            }
        }
        let mut skew = Skew::default();
        for _ in 0..CONFIRMED_BY {
            skew.heard(ours - years, both(ours));
        }
        assert_eq!(skew.present(both(ours)), ours - years);
        let expired = both(ours + EXPIRES_AFTER);
        assert_eq!(skew.present(expired), expired.wall);
        // Answers without a date keep it.
        skew.record_missing_date(both(ours + TimeDelta::seconds(1)));
        assert_eq!(skew.present(expired), expired.wall - years);
    }
}
