//! How many calls were made within the last five minutes.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

/// How long a call counts.
const SPAN: TimeDelta = TimeDelta::minutes(5);

/// Calls within so long are counted together, and forgotten together once the last of them may be older than [`SPAN`].
const SLOT: TimeDelta = TimeDelta::seconds(5);

/// Calls by the slot of time in which they were made, the oldest first: at most 62 slots.
#[derive(Debug, Default)]
pub(super) struct RecentCalls(VecDeque<(DateTime<Utc>, u32)>);

impl RecentCalls {
    /// Calls were made at `now`, by the steady clock.
    pub(super) fn add(&mut self, calls: u32, now: DateTime<Utc>) {
        self.forget(now);
        match self.0.back_mut() {
            Some((begun, count)) if now - *begun < SLOT => *count = count.saturating_add(calls),
            _ => self.0.push_back((now, calls)),
        }
    }

    /// How many were made within the last five minutes, and a slot more at most.
    pub(super) fn count(&mut self, now: DateTime<Utc>) -> u32 {
        self.forget(now);
        let counts = self.0.iter().map(|(_, calls)| *calls);
        counts.fold(0, u32::saturating_add)
    }

    fn forget(&mut self, now: DateTime<Utc>) {
        while self
            .0
            .front()
            .is_some_and(|(begun, _)| now - *begun >= SPAN + SLOT)
        {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    #[test]
    fn calls_count_for_five_minutes() {
        let second = |n: i64| from_micros(n * 1_000_000);
        let mut calls = RecentCalls::default();
        for n in 0..600 {
            calls.add(1, second(n));
            let expected = (n + 1).min(300);
            let counted = i64::from(calls.count(second(n)));
            assert!(
                (expected..=expected + 5).contains(&counted),
                "{n}: {counted}"
            );
        }
        assert!(calls.0.len() <= 62);
        assert_eq!(calls.count(second(600 + 305)), 0);
    }
}
