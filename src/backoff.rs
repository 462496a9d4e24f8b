//! How long to wait after failures that follow each other: twice as long each time, up to a limit.
//!
//! It does not know what failed, and it does not wait itself.

use chrono::TimeDelta;

/// More doublings than any pair of first and longest wait has use for.
const MAX_DOUBLINGS: u32 = 16;

/// Failures in a row, and the wait that follows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: TimeDelta,
    longest: TimeDelta,
    failures: u32,
}

impl Backoff {
    /// No failure so far. The wait after one is `first`; it doubles with each further one, up to `longest`.
    #[must_use]
    pub const fn new(first: TimeDelta, longest: TimeDelta) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// Counts a failure. Returns the wait that follows it.
    pub fn fail(&mut self) -> TimeDelta {
        self.failures = self.failures.saturating_add(1);
        self.wait()
    }

    /// Ends the row of failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How many failures followed each other.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The wait after the last failure; before any, the first wait.
    #[must_use]
    pub fn wait(&self) -> TimeDelta {
        wait_after(self.failures, self.first, self.longest)
    }
}

/// The wait after so many failures in a row: `first` after one, twice as long after each further one, up to `longest`.
#[must_use]
pub fn wait_after(failures: u32, first: TimeDelta, longest: TimeDelta) -> TimeDelta {
    let doublings = failures.saturating_sub(1).min(MAX_DOUBLINGS);
    (first * (1 << doublings)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_limit_and_begins_again_after_a_success() {
        let seconds = TimeDelta::seconds;
        let mut backoff = Backoff::new(seconds(1), seconds(6));
        assert_eq!(backoff.wait(), seconds(1));
        let waits: Vec<TimeDelta> = (0..5).map(|_| backoff.fail()).collect();
        assert_eq!(waits, [1, 2, 4, 6, 6].map(seconds));
        backoff.reset();
        assert_eq!((backoff.failures(), backoff.fail()), (0, seconds(1)));
        for _ in 0..100 {
            backoff.fail();
        }
        assert_eq!(backoff.wait(), seconds(6));
    }
}
