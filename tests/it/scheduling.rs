//! Many sources on one small quota: how long an entry waits from when it can be read until it is held, beside the plainest
//! schedule there is, which asks one source after the other.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::poll::{BackfillSince, Settings};
use orgtrail::position::{Seq, Source};
use orgtrail_simulator::SimConfig;

use crate::manual_clock::{Plan, World, start};
use crate::{skip_slow_tests, tell};

/// A case.
struct Case {
    accounts: u32,
    /// In five minutes.
    max_requests: u32,
    live_per_minute: f64,
    minutes: i64,
    sweeps: Vec<TimeDelta>,
}

/// Seconds that entries waited.
struct Lag(Vec<f64>);

impl Lag {
    fn new(mut waits: Vec<f64>) -> Self {
        waits.sort_by(f64::total_cmp);
        Self(waits)
    }

    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    fn at(&self, share: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * share) as usize]
    }

    fn row(&self, name: &str) -> String {
        format!(
            "| {name} | {} | {:.0} | {:.0} | {:.0} | {:.0} |",
            self.0.len(),
            self.mean(),
            self.at(0.5),
            self.at(0.95),
            self.at(1.0)
        )
    }
}

/// How long entries wait that happen at those moments when their sources are asked in turn, at an even pace, and one call
/// brings all there is.
fn in_turn(entries: &[(Source, DateTime<Utc>)], sources: &[Source], max_requests: u32) -> Lag {
    let pace = 300.0 / f64::from(max_requests);
    let round = pace * sources.len() as f64;
    let place: BTreeMap<&Source, usize> = sources.iter().zip(0..).collect();
    let wait = |(source, time): &(Source, DateTime<Utc>)| {
        let happened = (*time - start()).num_milliseconds() as f64 / 1_000.0;
        let asked = place[source] as f64 * pace;
        (asked - happened).rem_euclid(round)
    };
    Lag::new(entries.iter().map(wait).collect())
}

async fn follow(case: &Case) -> (Lag, Lag) {
    let config = SimConfig {
        events: 0,
        accounts: case.accounts,
        live_per_minute: case.live_per_minute,
        ..SimConfig::default()
    };
    let plan = Plan {
        settings: Settings {
            sweeps: case.sweeps.clone(),
            backfill_since: BackfillSince::Span(TimeDelta::zero()),
            page_size: 1_000,
            ..Plan::default().settings
        },
        max_requests: case.max_requests,
        ..Plan::default()
    };
    let mut world = World::new(config, plan).await;
    let begun = start() + TimeDelta::minutes(case.minutes / 3);
    let end = start() + TimeDelta::minutes(case.minutes);
    // What happens shortly before the end is held some time after it.
    let grace = TimeDelta::minutes(15);
    while world.clock.now() < end + grace {
        world.poll().await;
    }
    let requests = world.simulator.requests();
    assert!(
        requests.iter().all(|request| request.status != 429),
        "a 429 of our making"
    );
    world.no_call_that_should_not_have_been();

    let events = world
        .store()
        .events_after(Seq::ZERO, usize::MAX >> 1, usize::MAX)
        .unwrap();
    let counted: Vec<_> = events
        .into_iter()
        .filter_map(|event| Some((event.source, event.time?, event.received_at)))
        .filter(|(_, time, _)| (begun..end).contains(time))
        .collect();
    let ours = counted
        .iter()
        .map(|(_, time, received)| (*received - *time).num_milliseconds() as f64 / 1_000.0);
    let entries: Vec<_> = counted
        .iter()
        .map(|(source, time, _)| (source.clone(), *time))
        .collect();
    let shown: usize = world
        .simulator
        .sources()
        .iter()
        .map(|source| world.simulator.entries(source, end).len())
        .sum();
    let held = world.store().head().0 as usize;
    assert!(held >= shown, "{held} of {shown} entries are held");
    let sources = world.simulator.sources();
    (
        Lag::new(ours.collect()),
        in_turn(&entries, &sources, case.max_requests),
    )
}

#[tokio::test]
async fn busy_sources_wait_less_and_none_waits_longer_than_it_should() {
    let small = [Case {
        accounts: 60,
        max_requests: 60,
        live_per_minute: 60.0,
        minutes: 60,
        sweeps: Vec::new(),
    }];
    let whole = [Vec::new(), vec![TimeDelta::minutes(15)]].map(|sweeps| Case {
        accounts: 500,
        max_requests: 600,
        live_per_minute: 240.0,
        minutes: 90,
        sweeps,
    });
    let cases: &[Case] = if skip_slow_tests() { &small } else { &whole };
    for case in cases {
        let (ours, plain) = follow(case).await;
        tell(format!(
            "{} sources, {} requests in 5 minutes, {} sweeps",
            case.accounts + 1,
            case.max_requests,
            case.sweeps.len()
        ));
        tell("| schedule | entries | mean s | p50 s | p95 s | max s |");
        tell("| --- | --- | --- | --- | --- | --- |");
        tell(ours.row("orgtrail"));
        tell(plain.row("one after the other"));
        assert!(
            ours.at(0.5) < plain.at(0.5),
            "half of the entries wait longer"
        );
        // The longest interval of ten minutes, and the time of its call.
        assert!(
            ours.at(1.0) < 660.0,
            "an entry waited {:.0} s",
            ours.at(1.0)
        );
        if case.sweeps.is_empty() {
            assert!(ours.mean() < plain.mean(), "entries wait longer");
        }
    }
}
