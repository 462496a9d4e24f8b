//! The present: ours by two clocks, and upstream's.

use chrono::{DateTime, TimeDelta, Utc};

use super::turn::UpstreamClock;

/// A moment, by the clock that the log goes by and by one that nobody sets, which waits go by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) wall: DateTime<Utc>,
    pub(super) steady: DateTime<Utc>,
}

/// What is known of upstream's clock, beside the steady one of ours: so that it stays known when somebody sets this machine's.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Skew {
    /// How far upstream's clock is ahead of our steady one.
    upstream_ahead: Option<TimeDelta>,
    /// Whether an answer came that did not say.
    is_silent: bool,
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

    /// Takes in that an answer did not say what time it was.
    pub(super) fn heard_nothing(&mut self) {
        self.is_silent = true;
    }

    /// What is known of upstream's clock.
    pub(super) fn upstream_clock(self) -> UpstreamClock {
        match self.upstream_ahead {
            Some(ahead) => UpstreamClock::Ahead(ahead),
            None if self.is_silent => UpstreamClock::Silent,
            None => UpstreamClock::NotHeard,
        }
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
