//! What one principal may take: requests a minute, questions and streams at once.
//!
//! The limits of all principals together are in [`super::admission`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::principal::Principal;
use super::problem::Problem;
use crate::access::PrincipalLimits;
use crate::sync::lock;

/// The length of the stretch in which requests are counted.
const WINDOW: TimeDelta = TimeDelta::minutes(1);

/// Principals that asked nothing for this long are forgotten.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::minutes(10);

/// Principals are looked through for forgotten ones when there are more than this.
const MANY: usize = 1_000;

/// What the principals have taken. A clone is the same.
#[derive(Clone)]
pub(super) struct Usage {
    limits: PrincipalLimits,
    principals: Arc<Mutex<HashMap<String, PrincipalUsage>>>,
}

struct PrincipalUsage {
    /// Requests that may be sent now; fractions, because it fills evenly.
    left: f64,
    /// When `left` was computed, by the steady clock.
    at: DateTime<Utc>,
    questions: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

/// What an answer says of the limit of requests: `RateLimit` and `RateLimit-Policy`
/// (draft-ietf-httpapi-ratelimit-headers). Nothing where there is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RateState(Option<Rate>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    quota: u32,
    left: u32,
    /// Seconds until the whole quota is there again.
    full_in: i64,
}

impl RateState {
    /// Adds both fields.
    pub(super) fn add_to(self, headers: &mut HeaderMap) {
        let Some(Rate {
            quota,
            left,
            full_in,
        }) = self.0
        else {
            return;
        };
        let state = format!("\"default\";r={left};t={full_in}");
        let policy = format!("\"default\";q={quota};w={}", WINDOW.num_seconds());
        for (name, value) in [("ratelimit", state), ("ratelimit-policy", policy)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// A principal is over its limit.
#[derive(Debug)]
pub(super) struct OverLimit {
    /// After how many seconds the next request is answered.
    pub(super) retry_after: i64,
    /// What the answer says of the limit.
    pub(super) state: RateState,
}

impl Usage {
    /// Nothing taken yet.
    pub(super) fn new(limits: PrincipalLimits) -> Self {
        Self {
            limits,
            principals: Arc::default(),
        }
    }

    /// Counts a request. `now` is the steady clock's.
    pub(super) fn request(
        &self,
        principal: &Principal,
        now: DateTime<Utc>,
    ) -> Result<RateState, OverLimit> {
        if !principal.is_limited() {
            return Ok(RateState::default());
        }
        self.count(principal.name(), now)
    }

    fn count(&self, principal: &str, now: DateTime<Utc>) -> Result<RateState, OverLimit> {
        self.with(principal, now, |taken, limits| {
            let quota = limits.requests_per_minute.get();
            let per_second = f64::from(quota) / WINDOW.as_seconds_f64();
            let passed = (now - taken.at).max(TimeDelta::zero()).as_seconds_f64();
            taken.left = (taken.left + passed * per_second).min(f64::from(quota));
            taken.at = now;
            let is_over = taken.left < 1.0;
            if !is_over {
                taken.left -= 1.0;
            }
            let seconds = |requests: f64| (requests / per_second).ceil().max(0.0) as i64;
            let state = RateState(Some(Rate {
                quota,
                left: taken.left as u32,
                full_in: seconds(f64::from(quota) - taken.left),
            }));
            if is_over {
                let retry_after = seconds(1.0 - taken.left).max(1);
                return Err(OverLimit { retry_after, state });
            }
            Ok(state)
        })
    }

    /// A place for another question of a principal, held until it is answered; `None` if it has no limits.
    pub(super) fn question(
        &self,
        principal: &Principal,
        now: DateTime<Utc>,
    ) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        let most = self.limits.questions;
        self.place(principal, now, |taken| &taken.questions)
            .map_err(|_| Problem::over_own_limit("questions", most as usize))
    }

    /// A place for another stream of a principal, held until the stream ends; `None` if it has no limits.
    pub(super) fn stream(
        &self,
        principal: &Principal,
        now: DateTime<Utc>,
    ) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        let most = self.limits.streams;
        self.place(principal, now, |taken| &taken.streams)
            .map_err(|_| Problem::over_own_limit("streams", most as usize))
    }

    fn place(
        &self,
        principal: &Principal,
        now: DateTime<Utc>,
        which: impl FnOnce(&PrincipalUsage) -> &Arc<Semaphore>,
    ) -> Result<Option<OwnedSemaphorePermit>, TryAcquireError> {
        if !principal.is_limited() {
            return Ok(None);
        }
        let places = self.with(principal.name(), now, |taken, _| Arc::clone(which(taken)));
        places.try_acquire_owned().map(Some)
    }

    fn with<T>(
        &self,
        principal: &str,
        now: DateTime<Utc>,
        work: impl FnOnce(&mut PrincipalUsage, &PrincipalLimits) -> T,
    ) -> T {
        let mut principals = lock(&self.principals);
        if principals.len() > MANY {
            let limits = self.limits;
            principals
                .retain(|_, taken| now - taken.at < FORGOTTEN_AFTER || taken.is_in_use(&limits));
        }
        let taken = principals
            .entry(principal.to_owned())
            .or_insert_with(|| PrincipalUsage {
                left: f64::from(self.limits.requests_per_minute.get()),
                at: now,
                questions: Arc::new(Semaphore::new(self.limits.questions as usize)),
                streams: Arc::new(Semaphore::new(self.limits.streams as usize)),
            });
        work(taken, &self.limits)
    }
}

impl PrincipalUsage {
    fn is_in_use(&self, limits: &PrincipalLimits) -> bool {
        self.questions.available_permits() < limits.questions as usize
            || self.streams.available_permits() < limits.streams as usize
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::clock::from_micros;

    fn usage(requests: u32) -> Usage {
        Usage::new(PrincipalLimits {
            requests_per_minute: NonZeroU32::new(requests).unwrap(),
            questions: 2,
            streams: 1,
            ..PrincipalLimits::default()
        })
    }

    #[test]
    fn a_principal_over_its_limit_is_told_when_to_come_again_and_others_are_answered() {
        let usage = usage(60);
        let now = from_micros(0);
        for left in (0..60).rev() {
            assert_eq!(usage.count("a", now).unwrap().0.unwrap().left, left);
        }
        let over = usage.count("a", now).unwrap_err();
        let state = over.state.0.unwrap();
        assert_eq!((over.retry_after, state.left, state.full_in), (1, 0, 60));
        usage.count("b", now).unwrap();
        usage.count("a", now + TimeDelta::seconds(1)).unwrap();
        usage.count("a", now + TimeDelta::seconds(1)).unwrap_err();
        // A clock that goes back gives nothing and takes nothing.
        usage.count("a", now).unwrap_err();
    }

    #[test]
    fn places_are_given_back_when_they_are_dropped() {
        let usage = usage(60);
        let now = from_micros(0);
        let (a, b) = (Principal::with_token("a"), Principal::with_token("b"));
        let first = usage.question(&a, now).unwrap();
        let _second = usage.question(&a, now).unwrap();
        usage.question(&a, now).unwrap_err();
        usage.question(&b, now).unwrap();
        drop(first);
        usage.question(&a, now).unwrap();
        let _stream = usage.stream(&a, now).unwrap();
        usage.stream(&a, now).unwrap_err();
        let local = Principal::local();
        assert!(usage.stream(&local, now).unwrap().is_none());
    }

    #[test]
    fn principals_that_ask_nothing_any_more_are_forgotten() {
        let usage = usage(60);
        let now = from_micros(0);
        let _held = usage
            .stream(&Principal::with_token("streams"), now)
            .unwrap();
        for n in 0..=MANY {
            usage.count(&n.to_string(), now).unwrap();
        }
        usage.count("new", now + FORGOTTEN_AFTER).unwrap();
        assert_eq!(lock(&usage.principals).len(), 2);
    }

    #[test]
    fn an_answer_says_what_is_left() {
        let mut headers = HeaderMap::new();
        let usage = usage(120);
        let state = usage.count("a", from_micros(0)).unwrap();
        state.add_to(&mut headers);
        assert_eq!(headers["ratelimit"], "\"default\";r=119;t=1");
        assert_eq!(headers["ratelimit-policy"], "\"default\";q=120;w=60");
    }
}
