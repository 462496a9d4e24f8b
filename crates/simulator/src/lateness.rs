//! Which live entries become readable late, and how late.
//!
//! A change of the rules holds for what happens after it: an entry that could be read stays readable, whatever is set
//! later. Where entries come from is not known here.

use chrono::{DateTime, TimeDelta, Utc};

use super::chance::Seed;
use super::config::Lag;

/// The rules in the order in which they were set.
#[derive(Clone, Debug, Default)]
pub(crate) struct LatenessRules {
    rules: Vec<LagRule>,
    /// What every live entry takes.
    lag: Option<Lag>,
}

#[derive(Clone, Debug)]
struct LagRule {
    /// The rule holds for what happens after this moment.
    after: DateTime<Utc>,
    share: f64,
    max: TimeDelta,
}

impl LatenessRules {
    /// Every live entry takes such a time, whatever the rules say.
    pub(crate) fn new(lag: Lag) -> Self {
        Self {
            rules: Vec::new(),
            lag: Some(lag),
        }
    }

    /// When live entry `number`, which happened at `happened`, can be read.
    pub(crate) fn visible_at(
        &self,
        seed: Seed,
        number: u64,
        happened: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let late = self.late_at(seed, number, happened);
        let part = || seed.child(number).named("lag").rng().f64();
        let lag = self
            .lag
            .map_or(TimeDelta::zero(), |lag| lag.of_part(part()));
        let lagging = happened.checked_add_signed(lag);
        lagging.map_or(late, |lagging| lagging.max(late))
    }

    /// From now on, this share of live entries is late by up to `max`.
    pub(crate) fn set(&mut self, now: DateTime<Utc>, share: f64, max: TimeDelta) {
        let current = self.rules.last();
        let is_same = current.map_or(share == 0.0, |rule| rule.share == share && rule.max == max);
        if !is_same {
            self.rules.push(LagRule {
                after: now,
                share,
                max,
            });
        }
    }

    /// As [`LatenessRules::visible_at`], by the rules alone.
    fn late_at(&self, seed: Seed, number: u64, happened: DateTime<Utc>) -> DateTime<Utc> {
        let own = seed.child(number);
        let rule = self.rules.iter().rev().find(|rule| rule.after < happened);
        let Some(rule) = rule.filter(|rule| own.happens(rule.share)) else {
            return happened;
        };
        let max_ms = rule.max.num_milliseconds().max(0);
        let late_ms = own.child(0).below(max_ms.unsigned_abs() + 1);
        i64::try_from(late_ms)
            .ok()
            .and_then(TimeDelta::try_milliseconds)
            .and_then(|late| happened.checked_add_signed(late))
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_are_spread_as_they_were_measured() {
        let happened: DateTime<Utc> = "2026-08-03T12:00:00Z".parse().unwrap();
        let lateness = LatenessRules::new(Lag::MEASURED);
        let mut lags: Vec<i64> = (0..10_000)
            .map(|n| (lateness.visible_at(Seed(7), n, happened) - happened).num_seconds())
            .collect();
        lags.sort_unstable();
        let near = |at: usize, seconds: i64| {
            assert!(
                (lags[at] - seconds).abs() <= 4,
                "{} for {seconds}",
                lags[at]
            );
        };
        near(0, 167);
        near(5_000, 289);
        near(9_500, 402);
        near(9_999, 450);
        let at_once = LatenessRules::new(Lag::NONE);
        assert_eq!(at_once.visible_at(Seed(7), 1, happened), happened);
    }

    #[test]
    fn what_could_be_read_stays_readable() {
        let start: DateTime<Utc> = "2026-08-03T12:00:00Z".parse().unwrap();
        let at = |seconds| start + TimeDelta::seconds(seconds);
        let mut lateness = LatenessRules::default();
        lateness.set(start, 0.0, TimeDelta::zero());
        assert_eq!(lateness.visible_at(Seed(1), 0, at(5)), at(5));

        lateness.set(at(10), 1.0, TimeDelta::hours(1));
        assert_eq!(lateness.visible_at(Seed(1), 0, at(5)), at(5));
        let visible = lateness.visible_at(Seed(1), 0, at(11));
        assert!(visible > at(11) && visible <= at(11) + TimeDelta::hours(1));
    }
}
