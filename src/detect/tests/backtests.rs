//! A backtest finds what the follower's alerts are.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::log::{RULES, RuleLog, drain, rules, sent};
use super::oracle::standing;
use super::{SECOND, alerts_of};
use crate::alert::AlertGroup;
use crate::clock::from_micros;
use crate::detect::backtest::{
    Backtest, BacktestError, BacktestLimits, BacktestRange, BacktestResult,
};
use crate::durable::Failpoints;
use crate::position::WindowKind;
use crate::rules::{RuleId, Rules};

fn backtest(
    log: &RuleLog,
    rules: &Rules,
    rule: &str,
    range: BacktestRange,
    limits: BacktestLimits,
) -> Result<BacktestResult, BacktestError> {
    let backtest = Backtest {
        store: &log.store,
        rules,
        range,
        threads: 3,
        limits,
        progress: &|progress| assert!(progress.read <= progress.total),
    };
    backtest.run(&[rules.get(&RuleId(rule.to_owned())).unwrap()])
}

fn any_log(rng: &mut Rng) -> RuleLog {
    let log = RuleLog::new(Failpoints::default());
    let mut detect = log.detect(RULES);
    for batch in 0..4 {
        let entries: Vec<_> = (0..rng.u32(1..60))
            .map(|n| sent(batch * 100 + n, rng))
            .collect();
        log.arrive(WindowKind::Live, &entries, from_micros(90 * SECOND));
        drain(&mut detect);
    }
    log
}

#[test]
fn a_backtest_finds_the_alerts_that_the_follower_raised_whatever_fits_into_memory() {
    let seed = Rng::new().u64(..1 << 32);
    let rules = rules(RULES);
    for seed in seed..seed + 15 {
        let mut rng = Rng::with_seed(seed);
        let log = any_log(&mut rng);
        let mut raised: BTreeMap<String, BTreeMap<AlertGroup, u64>> = BTreeMap::new();
        for alert in standing(&alerts_of(&log)) {
            let groups = raised.entry(alert.rule).or_default();
            *groups.entry(alert.group).or_default() += 1;
        }
        let little = BacktestLimits {
            pairs: rng.usize(1..20),
            matches: rng.usize(60..80),
        };
        for rule in rules.iter() {
            let expected = raised.remove(rule.id.as_str()).unwrap_or_default();
            for limits in [BacktestLimits::default(), little] {
                let found = backtest(&log, &rules, &rule.id.0, BacktestRange::default(), limits);
                let found = found.unwrap();
                let groups: BTreeMap<AlertGroup, u64> = found.groups.into_iter().collect();
                assert_eq!(groups, expected, "{} {limits:?} seed {seed}", rule.id);
                assert_eq!(found.alerts, expected.values().sum::<u64>());
                let by_day: u64 = found.days.iter().map(|(_, alerts)| alerts).sum();
                assert_eq!(found.alerts, by_day);
            }
        }
        assert!(raised.is_empty(), "{raised:?}");
    }
}

#[test]
fn the_parts_of_a_range_have_together_as_many_alerts_as_the_whole() {
    let mut rng = Rng::with_seed(5);
    let log = any_log(&mut rng);
    let rules = rules(RULES);
    for rule in rules.iter() {
        let limits = BacktestLimits::default();
        let alerts = |since_us, before_us| {
            let range = BacktestRange {
                since_us,
                before_us,
            };
            backtest(&log, &rules, &rule.id.0, range, limits)
                .unwrap()
                .alerts
        };
        let whole = alerts(None, None);
        for at_s in [-20, 0, 13, 31, 95] {
            let at_us = Some(at_s * SECOND);
            assert_eq!(
                alerts(None, at_us) + alerts(at_us, None),
                whole,
                "{} {at_s}",
                rule.id
            );
        }
    }
}

#[test]
fn too_many_matches_at_one_time_are_an_error() {
    let mut rng = Rng::with_seed(6);
    let log = any_log(&mut rng);
    let limits = BacktestLimits {
        pairs: 10,
        matches: 1,
    };
    let found = backtest(
        &log,
        &rules(RULES),
        "addresses",
        BacktestRange::default(),
        limits,
    );
    assert!(matches!(found, Err(BacktestError::TooManyMatches(_))));
}
