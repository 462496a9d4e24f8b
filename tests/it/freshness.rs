//! How fresh answers are, in two parts: until upstream shows an entry, and from then until it is found here.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::poll::{BackfillSince, Overlap};
use orgtrail::position::Seq;
use orgtrail_simulator::{Lag, SimConfig};

use crate::manual_clock::{Plan, World, start};
use crate::tell;

/// A world whose entries become visible as late as the real ones, followed as a new configuration says.
async fn world(overlap: Overlap, change: impl FnOnce(&mut SimConfig, &mut Plan)) -> World {
    let mut config = SimConfig {
        events: 0,
        accounts: 2,
        days: 3,
        live_per_minute: 4.0,
        lag: Lag::MEASURED,
        ..SimConfig::default()
    };
    let mut plan = Plan::default();
    plan.settings.overlap = overlap;
    plan.settings.page_size = 1_000;
    plan.settings.backfill_since = BackfillSince::Span(TimeDelta::zero());
    plan.settings.sweeps = [15, 60].map(TimeDelta::minutes).into();
    change(&mut config, &mut plan);
    World::new(config, plan).await
}

async fn poll_until(world: &mut World, end: DateTime<Utc>) {
    while world.clock.now() < end {
        world.poll().await;
    }
}

/// How long it took in seconds, for each entry: from its time, and from when it could be read upstream.
struct Delays {
    from_time: Vec<i64>,
    from_visible: Vec<i64>,
}

impl Delays {
    fn percentile(sorted: &[i64], hundredths: usize) -> i64 {
        sorted[(sorted.len() * hundredths).div_ceil(100).max(1) - 1]
    }

    fn line(delays: &[i64]) -> String {
        let [p50, p95, p99, max] = [50, 95, 99, 100].map(|part| Self::percentile(delays, part));
        format!("p50 {p50} s, p95 {p95} s, p99 {p99} s, max {max} s")
    }
}

/// The delays of the entries that happened after the first minutes and long enough ago to be here by now. In this world an entry
/// is searchable when it is stored.
fn delays(world: &mut World, after: DateTime<Utc>) -> Delays {
    let (store, now) = (world.store(), world.clock.now());
    let events = store.events_after(Seq::ZERO, usize::MAX >> 1, usize::MAX);
    let held: HashMap<(String, String), (DateTime<Utc>, DateTime<Utc>)> = events
        .unwrap()
        .into_iter()
        .map(|event| {
            let text = event.entry.get().to_owned();
            let times = (event.time.unwrap(), event.received_at);
            ((event.source.to_string(), text), times)
        })
        .collect();
    let (mut from_time, mut from_visible) = (Vec::new(), Vec::new());
    for source in world.simulator.sources() {
        for (text, visible) in world
            .simulator
            .visible_since(&source, now - TimeDelta::minutes(90))
        {
            let key = (source.to_string(), text);
            let (time, received) = held
                .get(&key)
                .unwrap_or_else(|| panic!("{key:?} is not here"));
            if *time >= after {
                from_time.push((*received - *time).num_seconds());
                from_visible.push((*received - visible).num_seconds());
            }
        }
    }
    from_time.sort_unstable();
    from_visible.sort_unstable();
    Delays {
        from_time,
        from_visible,
    }
}

#[tokio::test]
async fn what_upstream_shows_late_is_found_at_the_next_scan() {
    let two_minutes = Overlap::Span(TimeDelta::minutes(2));
    let mut found = Vec::new();
    for (name, overlap) in [("auto", Overlap::Auto), ("fixed 2m", two_minutes)] {
        let mut world = world(overlap, |_, _| ()).await;
        poll_until(&mut world, start() + TimeDelta::hours(5)).await;
        let delays = delays(&mut world, start() + TimeDelta::minutes(10));
        tell(format!(
            "{name}, {} entries: event time -> searchable {}; visible -> searchable {}",
            delays.from_time.len(),
            Delays::line(&delays.from_time),
            Delays::line(&delays.from_visible)
        ));
        found.push(delays);
    }
    assert!(found[0].from_visible.len() > 500);
    // An entry waits for the next scan, at most an interval of a quiet source away.
    assert!(Delays::percentile(&found[0].from_visible, 50) <= 120);
    assert!(Delays::percentile(&found[0].from_visible, 99) <= 620);
    // With the old default nearly everything waited for a sweep.
    assert!(Delays::percentile(&found[1].from_visible, 50) > 300);
}

#[tokio::test]
async fn the_overlap_begins_with_a_quarter_of_an_hour_and_follows_the_source() {
    let mut world = world(Overlap::Auto, |config, _| {
        config.accounts = 1;
        config.live_per_minute = 12.0;
        config.lag = Lag {
            shortest: TimeDelta::seconds(10),
            longest: TimeDelta::seconds(60),
        };
    })
    .await;
    let source = world.simulator.sources().remove(1);
    poll_until(&mut world, start() + TimeDelta::minutes(3)).await;
    let overlap = |world: &mut World| world.board().read(&source).overlap.unwrap();
    assert_eq!(overlap(&mut world), TimeDelta::minutes(15));
    poll_until(&mut world, start() + TimeDelta::hours(2)).await;
    let short = overlap(&mut world);
    assert!(short < TimeDelta::minutes(6), "{short}");
    // Upstream becomes slower: its entries are found by sweeps first, which raise it.
    for n in 0..80 {
        let happened = world.clock.now();
        let text = format!(
            r#"{{"id":"slow-{n}","action":{{"time":"{}"}}}}"#,
            happened.to_rfc3339()
        );
        let visible = happened + TimeDelta::minutes(14);
        world.simulator.publish(&source, &text, happened, visible);
        poll_until(&mut world, happened + TimeDelta::minutes(1)).await;
    }
    let long = overlap(&mut world);
    assert!(long >= TimeDelta::minutes(20), "{long}");
    let status = orgtrail::status::sources(
        &world.store(),
        Some(&world.board()),
        &orgtrail::engine::Scope::everything(),
        world.clock.now(),
    );
    let status = status
        .unwrap()
        .into_iter()
        .find(|one| one.source == source.to_string());
    let status = status.unwrap();
    assert_eq!(status.overlap_seconds, Some(long.num_seconds()));
    // Upstream's part of the delay, and ours, are told apart.
    assert!(status.upstream_lag.unwrap().p99_seconds > 30.0);
    assert!(status.lag_seconds.unwrap() <= 130);
}

#[tokio::test]
async fn an_outage_of_ours_is_not_taken_for_lateness_of_upstream() {
    let mut world = world(Overlap::Auto, |config, _| {
        config.accounts = 1;
        config.live_per_minute = 12.0;
        config.lag = Lag::NONE;
    })
    .await;
    let source = world.simulator.sources().remove(1);
    poll_until(&mut world, start() + TimeDelta::hours(1)).await;
    let before = world
        .store()
        .progress(&source)
        .unwrap()
        .visibility
        .live
        .unwrap();
    world.crash();
    world.clock.advance(TimeDelta::hours(9));
    let back = world.clock.now();
    poll_until(&mut world, back + TimeDelta::minutes(30)).await;
    let after = world
        .store()
        .progress(&source)
        .unwrap()
        .visibility
        .live
        .unwrap();
    assert!(after.entries > before.entries);
    assert!(after.max < TimeDelta::hours(2), "{after:?}");
    assert!(after.p99 < TimeDelta::minutes(10), "{after:?}");
}

#[tokio::test]
async fn when_reading_again_costs_more_than_the_quota_has_the_interval_grows() {
    let mut world = world(Overlap::Auto, |config, plan| {
        config.accounts = 3;
        config.live_per_minute = 60.0;
        config.max_limit = 20;
        plan.max_requests = 60;
        plan.settings.sweeps = Vec::new();
    })
    .await;
    poll_until(&mut world, start() + TimeDelta::hours(3)).await;
    let sources = world.simulator.sources();
    let slowest = sources
        .iter()
        .map(|source| world.board().read(source).interval.unwrap())
        .max();
    assert!(slowest.unwrap() > TimeDelta::minutes(2), "{slowest:?}");
    for source in &sources {
        let overlap = world.board().read(source).overlap.unwrap();
        assert!(overlap >= TimeDelta::minutes(5), "{source}: {overlap}");
    }
    world.no_call_that_should_not_have_been();
}
