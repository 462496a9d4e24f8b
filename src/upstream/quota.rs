//! One credential's budget: how many calls in five minutes, and how long it was told to wait.
//!
//! Calls are paced evenly, with a small burst inside the budget, so that those who share the token keep their part. What
//! upstream says of its own limit slows the pace before that limit is met. What is spent is handed out to be saved
//! some calls ahead, so that a restart, however sudden, spends nothing twice.
//!
//! Only user of governor. Times are handed in, of one steady clock; it does not know how to wait.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::recent_calls::RecentCalls;
use crate::backoff::Backoff;
use crate::invariant;
use crate::metrics::QuotaLeft;
use chrono::{DateTime, TimeDelta, Utc};
use governor::RateLimiter;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use reqwest::header::HeaderMap;
use sfv::{BareItem, List, ListEntry, Parser};

/// The span a budget is counted over, as upstream counts its own.
const SPAN_SECONDS: u32 = 300;

/// The most calls that may be made at once, inside the budget.
const MAX_BURST: u32 = 20;

/// How many calls ahead the spent budget is saved: so often a call costs a write to disk, and so many calls are lost to a
/// crash at most.
const SAVED_AHEAD: i32 = 10;

/// The longest wait that is obeyed at once, whoever asks for it: upstream is then asked again. Upstream's own waits take
/// five minutes.
const MAX_WAIT: TimeDelta = TimeDelta::hours(24);

/// How long to wait after a 429 that does not say: upstream blocks for five minutes.
const DEFAULT_WAIT: TimeDelta = TimeDelta::seconds(300);

/// The shortest wait after a 429. Each further 429 without another answer between doubles it, up to [`DEFAULT_WAIT`].
const MIN_WAIT: TimeDelta = TimeDelta::seconds(1);

/// What an earlier process saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// Tells one saved row from another: when it was saved, and its wait as it was saved. Not compared with any clock.
    pub mark: (DateTime<Utc>, TimeDelta),
    /// For how long from now on the calls so far use up their pace.
    pub spent_for: TimeDelta,
    /// For how long from now on no call may be made.
    pub wait: TimeDelta,
}

/// What must outlive a restart, by the steady clock of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Until when the calls so far, and those saved ahead, have used up their pace.
    pub spent_until: DateTime<Utc>,
    /// No call before this.
    pub blocked_until: DateTime<Utc>,
}

/// A credential's budget. A clone is another handle to the same one.
#[derive(Clone, Debug)]
pub struct Quota(Arc<Mutex<State>>);

/// Leave to make one call. While it lives, the call counts as under way.
#[derive(Debug)]
pub struct Permit {
    quota: Quota,
    /// What must be saved before the call is made.
    pub to_save: Option<Spent>,
}

impl Permit {
    /// Whether the call may still be begun: another one may have been told to wait since the permit was given.
    ///
    /// # Errors
    /// The moment until which all calls wait.
    pub(super) fn check(&self, now: DateTime<Utc>) -> Result<(), DateTime<Utc>> {
        let under_way = self.quota.lock().under_way;
        invariant!(
            CallWithAPermit,
            under_way > 0,
            "a call is about to be made, and none has a permit"
        );
        self.quota.blocked_until(now).map_or(Ok(()), Err)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.quota.lock();
        state.under_way = state.under_way.saturating_sub(1);
    }
}

#[derive(Debug)]
struct State {
    pace: RateLimiter<NotKeyed, InMemoryState, Hand, NoOpMiddleware<Nanos>>,
    hand: Hand,
    /// The moment the hand stood at zero.
    begun: DateTime<Utc>,
    /// The time one call takes from the budget.
    period: TimeDelta,
    spent_until: DateTime<Utc>,
    saved_until: DateTime<Utc>,
    blocked_until: DateTime<Utc>,
    /// What upstream's own limit asks for, until it is counted anew.
    slow: Option<Slow>,
    last_call: Option<DateTime<Utc>>,
    under_way: i64,
    saved_wait: DateTime<Utc>,
    /// Which saved row has been taken in, by its mark.
    taken_in: Option<(DateTime<Utc>, TimeDelta)>,
    calls: RecentCalls,
    max_requests: u32,
    /// The end of the wait that followed the last 429.
    refused_until: Option<DateTime<Utc>>,
    /// The 429s that have followed each other without another answer between.
    waits: Backoff,
}

#[derive(Debug, Clone, Copy)]
struct Slow {
    until: DateTime<Utc>,
    period: TimeDelta,
}

impl Quota {
    /// A budget of `max_requests` in five minutes, as far as `saved` has not spent it.
    #[must_use]
    pub fn new(max_requests: u32, saved: Option<Saved>, now: DateTime<Utc>) -> Self {
        let max_requests = max_requests.max(1);
        let burst = (max_requests / 10).clamp(1, MAX_BURST);
        // In any five minutes a burst and then the pace: burst - 1 + 300 s / period calls.
        let period = TimeDelta::nanoseconds(
            1_000_000_000 * i64::from(SPAN_SECONDS) / i64::from(max_requests - burst + 1) + 1,
        );
        let rate = governor::Quota::with_period(period.to_std().unwrap_or_default())
            .unwrap_or_else(|| governor::Quota::per_second(NonZeroU32::MIN))
            .allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN));
        let hand = Hand(Arc::default());
        let saved_wait = saved.map_or(now, |saved| now + bounded(saved.wait));
        let mut state = State {
            pace: RateLimiter::direct_with_clock(rate, hand.clone()),
            hand,
            begun: now,
            period,
            spent_until: now,
            saved_until: now,
            blocked_until: saved_wait,
            slow: None,
            last_call: None,
            under_way: 0,
            saved_wait,
            taken_in: saved.map(|saved| saved.mark),
            calls: RecentCalls::default(),
            max_requests,
            refused_until: None,
            waits: Backoff::new(MIN_WAIT, DEFAULT_WAIT),
        };
        if let Some(saved) = saved {
            state.spend_saved(saved.spent_for, burst, now);
        }
        Self(Arc::new(Mutex::new(state)))
    }

    /// A permit for one call now; otherwise when to ask again.
    ///
    /// # Errors
    /// The moment before which no leave is given.
    pub fn take(&self, now: DateTime<Utc>) -> Result<Permit, DateTime<Utc>> {
        let mut state = self.lock();
        state.check(now)?;
        invariant!(
            NoCallDuringAWait,
            now >= state.blocked_until,
            "a permit is given at {now}, and the credential waits until {}",
            state.blocked_until
        );
        state.last_call = Some(now);
        state.calls.add(1, now);
        state.under_way += 1;
        state.spent_until = state.spent_until.max(now) + state.period;
        // Offered with each call until it is said to be saved.
        let to_save = (state.spent_until > state.saved_until).then(|| Spent {
            spent_until: state.spent_until + state.period * SAVED_AHEAD,
            blocked_until: state.blocked_until,
        });
        drop(state);
        Ok(Permit {
            quota: self.clone(),
            to_save,
        })
    }

    /// How many more calls it allows within five minutes, and how long upstream said to wait from now on. Calls from before the
    /// start are counted as far as they were saved.
    #[must_use]
    pub fn left(&self, now: DateTime<Utc>) -> QuotaLeft {
        let mut state = self.lock();
        let wait = (state.blocked_until - now).max(TimeDelta::zero());
        let made = state.calls.count(now);
        let calls = match wait.is_zero() {
            true => state.max_requests.saturating_sub(made),
            false => 0,
        };
        QuotaLeft { calls, wait }
    }

    /// How many calls a second it allows in the long run.
    #[must_use]
    pub fn calls_a_second(&self) -> f64 {
        let period = self.lock().period;
        1e9 / period.num_nanoseconds().unwrap_or(i64::MAX).max(1) as f64
    }

    /// Stops all calls of this credential for `wait`, but not for longer than a day. Calls under way may finish.
    pub fn block(&self, wait: TimeDelta, now: DateTime<Utc>) {
        self.lock().block(wait, now);
    }

    /// Takes in a 429 that was answered at `now` to a call made at `asked_at`, and what it says of the wait. Gives the end
    /// of the wait.
    ///
    /// Zero and a date in the past say nothing: the shortest wait holds then, which doubles with each 429 that follows.
    pub(super) fn refused(
        &self,
        said: Option<TimeDelta>,
        asked_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let mut state = self.lock();
        // Calls that were under way together are refused together: that is one wait.
        if state.refused_until.is_none_or(|until| asked_at >= until) {
            state.waits.fail();
        }
        let least = state.waits.wait();
        state.block(said.unwrap_or(DEFAULT_WAIT).max(least), now);
        state.refused_until = Some(state.blocked_until);
        state.blocked_until
    }

    /// Takes in that a call was answered, and not with a 429.
    pub(super) fn answered(&self) {
        self.lock().waits.reset();
    }

    /// Takes in what is saved, also by another process with the same credential: its wait holds for us too. What has been
    /// taken in before is skipped, because a clock that was set back would make its wait begin again and again.
    pub fn take_in(&self, saved: Saved, now: DateTime<Utc>) {
        let mut state = self.lock();
        if state.taken_in.replace(saved.mark) != Some(saved.mark) {
            state.block(saved.wait, now);
            // That wait is on disk already.
            state.saved_wait = state.saved_wait.max(now + bounded(saved.wait));
        }
    }

    /// What was handed out to be saved is on disk.
    pub fn saved(&self, spent: Spent) {
        let mut state = self.lock();
        state.saved_until = state.saved_until.max(spent.spent_until);
        state.saved_wait = state.saved_wait.max(spent.blocked_until);
    }

    /// What must outlive a restart, as of now.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.lock().spent()
    }

    /// Until when upstream told this credential to wait, if it still does.
    #[must_use]
    pub fn blocked_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Some(self.lock().blocked_until).filter(|until| *until > now)
    }

    /// Takes in what an answer's headers say of upstream's own limits: the strictest of them slows the pace, and one that
    /// leaves nothing stops all calls until it is counted anew.
    pub fn heard(&self, headers: &HeaderMap, now: DateTime<Utc>) {
        let mut state = self.lock();
        // Calls under way may not be in the count yet; the one that is being answered is.
        let uncounted = (state.under_way - 1).max(0);
        let said = headers
            .get_all("ratelimit")
            .iter()
            .filter_map(|value| value.to_str().ok());
        let windows = headers.get_all("ratelimit-policy").iter();
        let windows: Vec<(String, i64)> = windows
            .filter_map(|value| value.to_str().ok())
            .flat_map(windows_of)
            .collect();
        let limits: Vec<Limit> = said
            .flat_map(limits)
            .map(|limit| limit.within(&windows))
            .collect();
        if let Some(spent) = limits
            .iter()
            .filter(|limit| limit.remaining == 0)
            .max_by_key(|limit| limit.seconds)
        {
            state.block(TimeDelta::seconds(spent.seconds), now);
        }
        let slow = limits
            .iter()
            .filter_map(|limit| limit.slow(uncounted, now))
            .max_by_key(|slow| slow.period);
        if !limits.is_empty() {
            state.slow = slow.filter(|slow| slow.period > state.period);
        }
    }

    /// A wait that has not been saved yet.
    #[must_use]
    pub fn unsaved_wait(&self) -> Option<Spent> {
        let state = self.lock();
        (state.blocked_until > state.saved_wait).then(|| state.spent())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&mut self, now: DateTime<Utc>) -> Result<(), DateTime<Utc>> {
        if now < self.blocked_until {
            return Err(self.blocked_until);
        }
        match (self.slow, self.last_call) {
            (Some(slow), _) if now >= slow.until => self.slow = None,
            (Some(slow), Some(last)) if now < last + slow.period => {
                return Err((last + slow.period).min(slow.until));
            }
            _ => {}
        }
        self.hand.set(now - self.begun);
        self.pace.check().map_err(|not_yet| {
            let wait = not_yet.wait_time_from(self.hand.now());
            // A whole millisecond more, so that who waits that long is not early by a rounding.
            now + TimeDelta::from_std(wait).unwrap_or(self.period) + TimeDelta::milliseconds(1)
        })
    }

    /// Takes from a fresh budget what an earlier process spent.
    fn spend_saved(&mut self, spent_for: TimeDelta, burst: u32, now: DateTime<Utc>) {
        // More than a whole burst and what was saved ahead cannot be owed: the clock has been set back since.
        let most = self.period * (i32::try_from(burst).unwrap_or(i32::MAX) + SAVED_AHEAD + 1);
        let owed = spent_for.clamp(TimeDelta::zero(), most);
        let periods = owed.num_nanoseconds().unwrap_or(i64::MAX)
            / self.period.num_nanoseconds().unwrap_or(1).max(1);
        let cells = u32::try_from(periods + 1).unwrap_or(u32::MAX).min(burst);
        if owed.is_zero() {
            return;
        }
        for _ in 0..cells {
            if self.pace.check().is_err() {
                break;
            }
        }
        // What does not fit into the burst is waited for.
        let beyond = owed - self.period * i32::try_from(burst).unwrap_or(i32::MAX);
        self.blocked_until = self.blocked_until.max(now + beyond);
        // This follows from what is on disk, and upstream did not ask for it.
        self.saved_wait = self.saved_wait.max(self.blocked_until);
        self.calls
            .add(u32::try_from(periods).unwrap_or(u32::MAX), now);
        self.spent_until = now + owed;
        self.saved_until = now + owed;
    }

    fn spent(&self) -> Spent {
        Spent {
            spent_until: self.saved_until.max(self.spent_until),
            blocked_until: self.blocked_until,
        }
    }

    /// Stops all calls for `wait`. Zero or less is no wait, and changes nothing.
    fn block(&mut self, wait: TimeDelta, now: DateTime<Utc>) {
        if wait <= TimeDelta::zero() {
            return;
        }
        self.blocked_until = self.blocked_until.max(now + bounded(wait));
    }
}

/// A wait that can be obeyed.
fn bounded(wait: TimeDelta) -> TimeDelta {
    wait.clamp(TimeDelta::zero(), MAX_WAIT)
}

/// With more than this left, upstream's limit is not near: our own pace has no larger bursts.
const PLENTY: i64 = MAX_BURST as i64;

/// One of upstream's limits, as a `Ratelimit` header tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Limit {
    name: String,
    remaining: i64,
    /// Until it is counted anew.
    seconds: i64,
}

impl Limit {
    /// The same, counted anew after its policy's window at the latest.
    fn within(mut self, windows: &[(String, i64)]) -> Self {
        let window = windows.iter().find(|(name, _)| *name == self.name);
        self.seconds = window.map_or(self.seconds, |(_, window)| self.seconds.min(*window));
        self
    }

    /// The pace at which what is left lasts until it is counted anew.
    fn slow(&self, uncounted: i64, now: DateTime<Utc>) -> Option<Slow> {
        let left = (self.remaining - uncounted).max(1);
        let period = TimeDelta::milliseconds(self.seconds * 1_000 / left);
        (left <= PLENTY).then(|| Slow {
            until: now + TimeDelta::seconds(self.seconds),
            period,
        })
    }
}

/// The longest that a `Ratelimit` header is believed, in seconds. Upstream counts in windows of five minutes; a call that
/// comes too early after an hour is answered with a 429 and its own wait.
const MAX_HEADER_SECONDS: i64 = 60 * 60;

/// The limits in a `Ratelimit` header. One that is not of the documented form says nothing.
fn limits(header: &str) -> Vec<Limit> {
    let items = named_numbers(header, ["r", "t"]).into_iter();
    let limits = items.filter_map(|(name, [remaining, seconds])| {
        Some(Limit {
            name,
            remaining: remaining?,
            seconds: seconds?.min(MAX_HEADER_SECONDS),
        })
    });
    limits.collect()
}

/// The window of each limit in a `Ratelimit-Policy` header, in seconds.
fn windows_of(header: &str) -> Vec<(String, i64)> {
    let items = named_numbers(header, ["w"]).into_iter();
    let windows = items.filter_map(|(name, [window])| Some((name, window.filter(|w| *w > 0)?)));
    windows.collect()
}

/// Each item of a structured field's list that is a name, with those parameters of it that are whole numbers and not
/// negative.
fn named_numbers<const N: usize>(
    header: &str,
    wanted: [&str; N],
) -> Vec<(String, [Option<i64>; N])> {
    let Ok(list) = Parser::new(header).parse::<List>() else {
        return Vec::new();
    };
    list.iter()
        .filter_map(|entry| {
            let ListEntry::Item(item) = entry else {
                return None;
            };
            let name = match &item.bare_item {
                BareItem::String(name) => name.as_str().to_owned(),
                BareItem::Token(name) => name.as_str().to_owned(),
                _ => return None,
            };
            let number = |parameter: &str| match item.params.get(parameter) {
                Some(BareItem::Integer(number)) => {
                    Some(i64::from(*number)).filter(|number| *number >= 0)
                }
                _ => None,
            };
            Some((name, wanted.map(number)))
        })
        .collect()
}

/// governor's clock, set by hand before each question.
#[derive(Clone, Debug, Default)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn set(&self, since: TimeDelta) {
        let nanos = since
            .num_nanoseconds()
            .and_then(|nanos| u64::try_from(nanos).ok())
            .unwrap_or(0);
        self.0.store(nanos, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;
    use crate::clock::from_micros;

    fn start() -> DateTime<Utc> {
        from_micros(1_785_000_000_000_000)
    }

    /// What is read at `now` of what was saved.
    fn read_at(now: DateTime<Utc>, spent: Spent) -> Saved {
        Saved {
            mark: (now, TimeDelta::zero()),
            spent_for: spent.spent_until - now,
            wait: spent.blocked_until - now,
        }
    }

    #[test]
    fn what_is_left_falls_with_each_call_and_is_nothing_during_a_wait() {
        let quota = Quota::new(600, None, start());
        assert_eq!(quota.left(start()).calls, 600);
        let _permits: Vec<Permit> = (0..3).map(|_| quota.take(start()).unwrap()).collect();
        let expected = QuotaLeft {
            calls: 597,
            wait: TimeDelta::zero(),
        };
        assert_eq!(quota.left(start()), expected);
        quota.block(TimeDelta::seconds(60), start());
        let later = start() + TimeDelta::seconds(20);
        let expected = QuotaLeft {
            calls: 0,
            wait: TimeDelta::seconds(40),
        };
        assert_eq!(quota.left(later), expected);
        assert_eq!(quota.left(start() + TimeDelta::minutes(6)).calls, 600);
        // A restart knows of the calls that were saved.
        let saved = read_at(start(), quota.spent());
        let saved = Saved {
            wait: TimeDelta::zero(),
            ..saved
        };
        let left = Quota::new(600, Some(saved), start()).left(start()).calls;
        assert!((590..600).contains(&left), "{left}");
    }

    /// Calls as fast as leave is given, until `until`, in processes that are killed after some calls each.
    fn calls(max_requests: u32, kill_after: &[usize], until: TimeDelta) -> Vec<DateTime<Utc>> {
        let mut now = start();
        let mut made = Vec::new();
        let mut saved: Option<Spent> = None;
        let mut kills = kill_after.iter().cycle();
        let end = start() + until;
        while now < end {
            let quota = Quota::new(max_requests, saved.map(|spent| read_at(now, spent)), now);
            let mut left = kills.next().copied().unwrap_or(usize::MAX);
            while now < end && left > 0 {
                match quota.take(now) {
                    Ok(permit) => {
                        if let Some(spent) = permit.to_save {
                            saved = Some(spent);
                            quota.saved(spent);
                        }
                        made.push(now);
                        left -= 1;
                    }
                    Err(not_before) => {
                        assert!(not_before > now);
                        now = not_before;
                    }
                }
            }
        }
        made
    }

    fn most_in_five_minutes(calls: &[DateTime<Utc>]) -> usize {
        let span = TimeDelta::seconds(SPAN_SECONDS.into());
        let within = |from: &DateTime<Utc>| {
            calls
                .iter()
                .filter(|call| **call >= *from && **call < *from + span)
                .count()
        };
        calls.iter().map(within).max().unwrap_or(0)
    }

    #[test]
    fn the_budget_is_used_up_evenly_and_never_passed() {
        for max_requests in [1, 7, 60, 600, 1_200] {
            let calls = calls(max_requests, &[usize::MAX], TimeDelta::minutes(16));
            let most = most_in_five_minutes(&calls);
            assert!(most <= max_requests as usize, "{most} of {max_requests}");
            let used = calls.len() as f64 / (f64::from(max_requests) * 16.0 / 5.0);
            assert!(used > 0.9, "{used} of a budget of {max_requests}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn no_restart_spends_anything_twice(
            max_requests in 1..400_u32,
            kill_after in prop::collection::vec(1..60_usize, 1..5),
        ) {
            let calls = calls(max_requests, &kill_after, TimeDelta::minutes(11));
            prop_assert!(most_in_five_minutes(&calls) <= max_requests as usize);
        }
    }

    #[test]
    fn what_is_to_be_saved_is_handed_out_until_it_is() {
        let quota = Quota::new(600, None, start());
        assert!(quota.take(start()).unwrap().to_save.is_some());
        let spent = quota.take(start()).unwrap().to_save.unwrap();
        quota.saved(spent);
        assert!(quota.take(start()).unwrap().to_save.is_none());
        quota.block(TimeDelta::hours(1), start());
        quota.saved(quota.unsaved_wait().unwrap());
        assert_eq!(quota.unsaved_wait(), None);
    }

    #[test]
    fn a_saved_budget_without_a_wait_is_no_wait() {
        let quota = Quota::new(600, None, start());
        let later = start() + TimeDelta::seconds(30);
        let spent = quota.take(later).unwrap().to_save.unwrap();
        // The row that was just saved is read back.
        let row = read_at(later, spent);
        quota.take_in(row, later);
        quota.saved(spent);
        assert_eq!(quota.unsaved_wait(), None);
        quota.block(TimeDelta::zero(), later);
        quota.heard(&header(r#""default";r=0;t=0"#), later);
        assert_eq!(quota.unsaved_wait(), None);
        assert!(quota.take(later).is_ok());
    }

    #[test]
    fn a_wait_that_is_on_disk_is_not_saved_again() {
        let quota = Quota::new(600, None, start());
        quota.block(TimeDelta::seconds(300), start());
        let spent = quota.unsaved_wait().unwrap();
        let row = read_at(start(), spent);
        // The clock has moved on while it was written.
        quota.take_in(row, start() + TimeDelta::milliseconds(1));
        quota.saved(spent);
        assert_eq!(quota.unsaved_wait(), None);
    }

    #[test]
    fn a_burst_that_a_crash_left_spent_is_not_a_wait_of_upstream() {
        let saved = Saved {
            mark: (start(), TimeDelta::zero()),
            spent_for: TimeDelta::hours(1),
            wait: TimeDelta::zero(),
        };
        let quota = Quota::new(600, Some(saved), start());
        assert!(quota.take(start()).is_err(), "the burst is spent");
        assert_eq!(quota.unsaved_wait(), None);
    }

    #[test]
    fn a_clock_that_was_wrong_when_it_was_saved_costs_a_burst_and_a_day_at_most() {
        let saved = |spent, wait| Saved {
            mark: (start(), TimeDelta::zero()),
            spent_for: TimeDelta::days(spent),
            wait: TimeDelta::days(wait),
        };
        let quota = Quota::new(600, Some(saved(365, 0)), start());
        assert!(quota.take(start()).is_err());
        assert!(quota.take(start() + TimeDelta::minutes(1)).is_ok());
        let quota = Quota::new(600, Some(saved(-365, 36_500)), start());
        assert_eq!(quota.take(start()).err(), Some(start() + MAX_WAIT));
        assert!(quota.take(start() + MAX_WAIT).is_ok());
        for nonsense in [TimeDelta::MIN, TimeDelta::MAX] {
            let saved = Saved {
                mark: (DateTime::<Utc>::MAX_UTC, nonsense),
                spent_for: nonsense,
                wait: nonsense,
            };
            let quota = Quota::new(600, Some(saved), start());
            assert!(quota.take(start() + MAX_WAIT).is_ok(), "{nonsense:?}");
        }
    }

    #[test]
    fn a_saved_wait_is_taken_in_once() {
        let quota = Quota::new(600, None, start());
        let saved = Saved {
            mark: (start() + TimeDelta::days(10), TimeDelta::seconds(300)),
            spent_for: TimeDelta::zero(),
            wait: TimeDelta::seconds(300),
        };
        quota.take_in(saved, start());
        let end = start() + TimeDelta::seconds(300);
        assert_eq!(quota.take(start()).err(), Some(end));
        quota.take_in(saved, end);
        assert!(quota.take(end).is_ok());
    }

    #[test]
    fn a_refusal_that_says_nothing_of_use_is_waited_out_longer_each_time() {
        let quota = Quota::new(600, None, start());
        let mut now = start();
        let mut waits = Vec::new();
        for _ in 0..11 {
            let until = quota.refused(Some(TimeDelta::zero()), now, now);
            // Another call that was under way with it changes nothing.
            assert_eq!(quota.refused(Some(TimeDelta::zero()), now, now), until);
            waits.push((until - now).num_seconds());
            now = until;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        let until = quota.refused(Some(TimeDelta::seconds(1_800)), now, now);
        assert_eq!((until - now).num_seconds(), 1_800);
        quota.answered();
        let until = quota.refused(Some(TimeDelta::seconds(-5)), until, until) - until;
        assert_eq!(until.num_seconds(), 1);
        let far = now + TimeDelta::days(2);
        assert_eq!(quota.refused(None, far, far) - far, DEFAULT_WAIT);
        let far = now + TimeDelta::days(4);
        let huge = Some(TimeDelta::MAX);
        assert_eq!(quota.refused(huge, far, far) - far, MAX_WAIT);
    }

    fn header(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            reqwest::header::HeaderName::from_static("ratelimit"),
            HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn a_block_holds_and_outlives_a_restart() {
        let quota = Quota::new(600, None, start());
        let wait = TimeDelta::hours(3);
        let until = start() + wait;
        let given_before = quota.take(start()).unwrap();
        assert_eq!(given_before.check(start()), Ok(()));
        quota.block(wait, start());
        quota.block(TimeDelta::zero(), start());
        assert_eq!(given_before.check(start()), Err(until));
        assert_eq!(quota.take(start() + TimeDelta::hours(2)).err(), Some(until));
        let restart = start() + TimeDelta::hours(2);
        let again = Quota::new(600, Some(read_at(restart, quota.spent())), restart);
        assert_eq!(
            again.take(until - TimeDelta::milliseconds(1)).err(),
            Some(until)
        );
        assert!(again.take(until).is_ok());
    }

    #[test]
    fn upstreams_own_limit_slows_the_pace_before_it_is_met() {
        let quota = Quota::new(1_200, None, start());
        drop(quota.take(start()).unwrap());
        quota.heard(&header(r#""default";r=1187;t=211"#), start());
        drop(quota.take(start()).unwrap());
        quota.heard(
            &header(r#""burst";r=90;t=60, "default";r=10;t=200"#),
            start(),
        );
        let not_before = quota.take(start()).err().unwrap();
        assert_eq!((not_before - start()).num_seconds(), 20);
        drop(quota.take(not_before).unwrap());
        quota.heard(&header(r#""default";r=0;t=30"#), not_before);
        assert_eq!(
            quota.take(not_before).err(),
            Some(not_before + TimeDelta::seconds(30))
        );
        assert!(quota.take(not_before + TimeDelta::seconds(30)).is_ok());
    }

    #[test]
    fn strange_headers_say_nothing() {
        let check = |text, expect: &[(i64, i64)]| {
            let found: Vec<_> = limits(text)
                .iter()
                .map(|limit| (limit.remaining, limit.seconds))
                .collect();
            assert_eq!(found, expect, "{text}");
        };
        check(r#""default";r=50;t=30"#, &[(50, 30)]);
        check(r#""a";r=1;t=2, "b";r=3;t=4"#, &[(1, 2), (3, 4)]);
        check(r#""a";r=-1;t=2, "b";r=3;t=4.5, ("c");r=1;t=1, "d""#, &[]);
        check(
            r#""a";r=999999999999999;t=999999999999999"#,
            &[(999_999_999_999_999, 3_600)],
        );
        check(r#""a";r=9999999999999999;t=1, "b";r=NaN;t=inf"#, &[]);
        check("limit=100, remaining=50", &[]);
        check(r#""default"; r=50 ;t=30"#, &[]);
        check("", &[]);
        let policy = r#""default";q=1200;w=300, "b";w=-1, c;w=60"#;
        assert_eq!(
            windows_of(policy),
            [("default".into(), 300), ("c".into(), 60)]
        );
        let limit = limits(r#""default";r=0;t=999999"#).remove(0);
        assert_eq!(limit.within(&windows_of(policy)).seconds, 300);
    }
}
