//! Slots for the running calls of one credential.
//!
//! A call that has become slow leaves its place to another one ([`super::choose`]) and takes one of a few places for slow calls.
//! When those are all taken, the slowest call is given up: it fails, and its source has the small share of what is unreliable.
//! So any number of sources that answer a byte at a time hold up no others.

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::schedule::SLOW;

/// How many calls of one credential are under way at most, slow ones included.
const MAX_UNDER_WAY_IN_ALL: usize = 48;

/// How many of them may be slow.
const MAX_SLOW: usize = 16;

/// The calls under way.
#[derive(Debug, Default)]
pub(super) struct CallSlots {
    /// The first that began comes first.
    calls: Vec<OpenCall>,
    /// How many calls there have been.
    begun: u64,
}

#[derive(Debug)]
struct OpenCall {
    number: u64,
    began: DateTime<Utc>,
    given_up: CancellationToken,
}

impl CallSlots {
    /// A call begins. Gives its number, and what is cancelled when it is given up.
    pub(super) fn begin(&mut self, now: DateTime<Utc>) -> (u64, CancellationToken) {
        self.begun += 1;
        let given_up = CancellationToken::new();
        self.calls.push(OpenCall {
            number: self.begun,
            began: now,
            given_up: given_up.clone(),
        });
        (self.begun, given_up)
    }

    /// That call has ended.
    pub(super) fn end(&mut self, number: u64) {
        self.calls.retain(|call| call.number != number);
    }

    /// Whether no further call may begin.
    pub(super) fn are_full(&self) -> bool {
        self.calls.len() >= MAX_UNDER_WAY_IN_ALL
    }

    /// Gives up the slowest calls, if more are slow than may be.
    pub(super) fn give_up_slowest(&mut self, now: DateTime<Utc>) {
        while let Some(at) = self.give_up_at().filter(|at| *at <= now) {
            let Some(slowest) = self.waited_for().next() else {
                return;
            };
            tracing::debug!(
                slow.seconds = (at - slowest.began).num_seconds(),
                "Giving up a slow call, because too many are slow."
            );
            slowest.given_up.cancel();
        }
    }

    /// When the next call is to be given up, if all go on.
    pub(super) fn give_up_at(&self) -> Option<DateTime<Utc>> {
        let too_many = self.waited_for().nth(MAX_SLOW)?;
        Some(too_many.began + SLOW)
    }

    /// Those that are not given up.
    fn waited_for(&self) -> impl Iterator<Item = &OpenCall> {
        let calls = self.calls.iter();
        calls.filter(|call| !call.given_up.is_cancelled())
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn when_more_calls_are_slow_than_may_be_the_slowest_is_given_up() {
        let at = |second| DateTime::UNIX_EPOCH + TimeDelta::seconds(second);
        let mut places = CallSlots::default();
        let calls: Vec<_> = (0..30).map(|second| places.begin(at(second))).collect();
        let given_up = |places: &mut CallSlots, second| {
            places.give_up_slowest(at(second));
            let calls = calls.iter();
            calls
                .filter(|(_, given_up)| given_up.is_cancelled())
                .count()
        };
        assert_eq!(places.give_up_at(), Some(at(16) + SLOW));
        assert_eq!(given_up(&mut places, 20), 0);
        assert_eq!(given_up(&mut places, 21), 1);
        assert!(calls[0].1.is_cancelled());
        assert_eq!(given_up(&mut places, 25), 5);
        // One that ends by itself makes room as well.
        places.end(calls[7].0);
        assert_eq!(given_up(&mut places, 26), 5);
        assert_eq!(given_up(&mut places, 60), 13);
        assert_eq!(places.give_up_at(), None);
        assert!(!places.are_full());
        (0..19).for_each(|_| drop(places.begin(at(60))));
        assert!(places.are_full());
    }
}
