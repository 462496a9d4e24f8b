//! Token buckets in a table of bounded size.

use std::collections::HashMap;
use std::hash::Hash;

use chrono::{DateTime, Utc};

/// How much may be taken: `burst` at once, and `per_second` afterwards.
#[derive(Debug, Clone, Copy)]
pub(super) struct FillRate {
    pub(super) burst: f64,
    pub(super) per_second: f64,
}

/// One bucket. It fills evenly.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenBucket {
    left: f64,
    at: DateTime<Utc>,
}

impl TokenBucket {
    pub(super) fn full(rate: FillRate, now: DateTime<Utc>) -> Self {
        Self {
            left: rate.burst,
            at: now,
        }
    }

    /// Takes one. Fails with the seconds after which there is one again.
    pub(super) fn take(&mut self, rate: FillRate, now: DateTime<Utc>) -> Result<(), i64> {
        self.fill(rate, now);
        if self.left < 1.0 {
            let seconds = (1.0 - self.left) / rate.per_second;
            return Err((seconds.ceil() as i64).max(1));
        }
        self.left -= 1.0;
        Ok(())
    }

    fn fill(&mut self, rate: FillRate, now: DateTime<Utc>) {
        let passed = (now - self.at).as_seconds_f64().max(0.0);
        self.left = (self.left + passed * rate.per_second).min(rate.burst);
        self.at = now;
    }
}

/// A bucket for each key, at most so many. When the table is full of buckets in use, further keys share one bucket.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    rate: FillRate,
    most: usize,
    buckets: HashMap<K, TokenBucket>,
    shared: Option<TokenBucket>,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(super) fn new(rate: FillRate, most: usize) -> Self {
        Self {
            rate,
            most,
            buckets: HashMap::new(),
            shared: None,
        }
    }

    /// Takes one from the bucket of `key`. Fails with the seconds after which there is one again.
    pub(super) fn take(&mut self, key: K, now: DateTime<Utc>) -> Result<(), i64> {
        let rate = self.rate;
        if !self.buckets.contains_key(&key) && self.buckets.len() >= self.most {
            self.forget_full(now);
        }
        let has_room = self.buckets.len() < self.most;
        let bucket = match self.buckets.get_mut(&key) {
            Some(bucket) => bucket,
            None if has_room => self
                .buckets
                .entry(key)
                .or_insert(TokenBucket::full(rate, now)),
            None => self.shared.get_or_insert(TokenBucket::full(rate, now)),
        };
        bucket.take(rate, now)
    }

    /// Removes the buckets that are full again: they are as good as new ones.
    fn forget_full(&mut self, now: DateTime<Utc>) {
        let rate = self.rate;
        self.buckets.retain(|_, bucket| {
            bucket.fill(rate, now);
            bucket.left < rate.burst
        });
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::clock::from_micros;

    const RATE: FillRate = FillRate {
        burst: 2.0,
        per_second: 0.5,
    };

    #[test]
    fn a_bucket_fills_evenly_and_says_when_it_has_one_again() {
        let mut buckets = Buckets::new(RATE, 10);
        let now = from_micros(0);
        buckets.take("a", now).unwrap();
        buckets.take("a", now).unwrap();
        assert_eq!(buckets.take("a", now), Err(2));
        buckets.take("b", now).unwrap();
        buckets.take("a", now + TimeDelta::seconds(2)).unwrap();
        assert!(buckets.take("a", now + TimeDelta::seconds(2)).is_err());
        // A clock that goes back gives nothing.
        assert!(buckets.take("a", now).is_err());
    }

    #[test]
    fn the_table_is_bounded_and_forgets_what_is_full_again() {
        let mut buckets = Buckets::new(RATE, 2);
        let now = from_micros(0);
        buckets.take(1, now).unwrap();
        buckets.take(2, now).unwrap();
        buckets.take(3, now).unwrap();
        buckets.take(4, now).unwrap();
        assert!(buckets.take(5, now).is_err(), "they share one bucket");
        assert_eq!(buckets.buckets.len(), 2);
        buckets.take(6, now + TimeDelta::seconds(10)).unwrap();
        assert_eq!(buckets.buckets.len(), 1);
    }
}
