//! Upstream's limit: so many requests in five minutes for each credential, and five minutes of silence past it.
//!
//! Counts and blocks, and knows nothing of HTTP. The count slides: the last 300 seconds matter, whenever one looks.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

/// The stretch of time that the limit counts in, and how long a credential is blocked for passing it.
pub(crate) const WINDOW: TimeDelta = TimeDelta::seconds(300);
/// The most credentials that are counted separately. All further ones share one count.
const MAX_CREDENTIALS: usize = 1_024;

/// The counts of all credentials.
#[derive(Debug)]
pub(crate) struct SimQuota {
    limit: u32,
    spent: HashMap<String, CallsSpent>,
}

/// What one credential has used up.
#[derive(Debug, Default)]
struct CallsSpent {
    /// When each request of the last 300 seconds came: at most the limit.
    requests: VecDeque<DateTime<Utc>>,
    blocked_until: Option<DateTime<Utc>>,
}

/// What is left to a credential after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) remaining: u32,
    /// Seconds until something is given back.
    pub(crate) reset_seconds: i64,
    /// When calls are answered again, if they are not now.
    pub(crate) blocked_until: Option<DateTime<Utc>>,
    /// Whether the credential had been told to wait before it made this request.
    pub(crate) was_told: bool,
}

impl SimQuota {
    /// A quota of `limit` requests.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            spent: HashMap::new(),
        }
    }

    /// Counts a request of `credential` at `now`.
    pub(crate) fn count(&mut self, credential: &str, now: DateTime<Utc>) -> Allowance {
        let limit = self.limit as usize;
        let spent = self.spent_of(credential, now);
        spent.forget(now);
        let was_told = spent.blocked_until.is_some();
        if !was_told {
            if spent.requests.len() < limit {
                spent.requests.push_back(now);
            } else {
                spent.blocked_until = Some(now + WINDOW);
            }
        }
        spent.allowance(limit, now, was_told)
    }

    /// Blocks `credential` until `until`, as passing the limit does.
    pub(crate) fn block(&mut self, credential: &str, now: DateTime<Utc>, until: DateTime<Utc>) {
        self.spent_of(credential, now).blocked_until = Some(until);
    }

    fn spent_of(&mut self, credential: &str, now: DateTime<Utc>) -> &mut CallsSpent {
        if self.spent.len() >= MAX_CREDENTIALS && !self.spent.contains_key(credential) {
            self.spent.retain(|_, spent| {
                spent.forget(now);
                !spent.is_empty()
            });
            if self.spent.len() >= MAX_CREDENTIALS {
                return self.spent.entry(String::new()).or_default();
            }
        }
        self.spent.entry(credential.to_owned()).or_default()
    }
}

impl CallsSpent {
    fn forget(&mut self, now: DateTime<Utc>) {
        while self.requests.front().is_some_and(|&at| now - at >= WINDOW) {
            self.requests.pop_front();
        }
        self.blocked_until = self.blocked_until.filter(|&until| now < until);
    }

    fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.blocked_until.is_none()
    }

    fn allowance(&self, limit: usize, now: DateTime<Utc>, was_told: bool) -> Allowance {
        let oldest = self.requests.front().map(|&at| at + WINDOW);
        let next = self.blocked_until.or(oldest).unwrap_or(now + WINDOW);
        let remaining = match self.blocked_until {
            Some(_) => 0,
            None => limit.saturating_sub(self.requests.len()),
        };
        Allowance {
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset_seconds: whole_seconds(next - now),
            blocked_until: self.blocked_until,
            was_told,
        }
    }
}

/// A wait in whole seconds, rounded up: who waits that long has waited long enough.
pub(crate) fn whole_seconds(wait: TimeDelta) -> i64 {
    let has_rest = wait.subsec_nanos() > 0;
    (wait.num_seconds() + i64::from(has_rest)).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> DateTime<Utc> {
        "2026-08-03T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn passing_the_limit_silences_the_credential_for_five_minutes() {
        let mut quota = SimQuota::new(3);
        let now = start();
        for remaining in [2, 1, 0] {
            assert_eq!(quota.count("a", now).remaining, remaining);
        }
        let refused = quota.count("a", now + TimeDelta::seconds(100));
        assert!(refused.blocked_until.is_some() && !refused.was_told);
        assert_eq!(refused.reset_seconds, 300);
        // The first three are long forgotten, but the block holds.
        let told = quota.count("a", now + TimeDelta::milliseconds(399_999));
        assert!(told.was_told && told.reset_seconds == 1);
        assert!(
            quota
                .count("a", now + TimeDelta::seconds(400))
                .blocked_until
                .is_none()
        );
        assert!(quota.count("b", now).blocked_until.is_none());
    }

    #[test]
    fn the_count_slides() {
        let mut quota = SimQuota::new(2);
        quota.count("a", start());
        quota.count("a", start() + TimeDelta::seconds(200));
        let third = quota.count("a", start() + TimeDelta::seconds(300));
        assert_eq!(
            (third.blocked_until, third.remaining, third.reset_seconds),
            (None, 0, 200)
        );
    }

    #[test]
    fn many_credentials_need_little_room() {
        let mut quota = SimQuota::new(10);
        for number in 0..5_000 {
            quota.count(&number.to_string(), start());
        }
        assert!(quota.spent.len() <= MAX_CREDENTIALS + 1);
    }
}
