//! One budget, tight: no call while told to wait, none above the budget, whatever the process does in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;
use fastrand::Rng;
use orgtrail::durable::Failpoints;
use orgtrail::poll::{BackfillSince, Settings};
use orgtrail::store::{self, QuotaRow, Store};
use orgtrail_simulator::{Faults, SimConfig};

use crate::manual_clock::{CREDENTIAL, Plan, Turn, World};
use crate::tell;

/// Follows a long history for some hours, killed now and then. Gives the share of the budget that was used.
async fn follow_for_hours(
    seed: u64,
    plan: Plan,
    quota: u32,
    faults: Faults,
    hours: i64,
) -> (World, f64) {
    tell(format!("seed {seed}"));
    let mut rng = Rng::with_seed(seed);
    let config = SimConfig {
        seed,
        events: 30_000,
        accounts: 3,
        days: 60,
        quota,
        max_limit: 5,
        ..SimConfig::default()
    };
    // More history than the budget reaches for.
    let backfill_since = BackfillSince::Span(TimeDelta::days(60));
    let plan = Plan {
        settings: Settings {
            backfill_since,
            ..plan.settings
        },
        ..plan
    };
    let mut world = World::new(config, plan).await;
    world.simulator.set_faults(faults);
    let begun = world.clock.now();
    while world.clock.now() - begun < TimeDelta::hours(hours) {
        if world.poll().await == Turn::Called && rng.u8(..20) == 0 {
            world.crash();
        }
    }
    let budget = f64::from(world.plan.max_requests) * 12.0 * hours as f64;
    let used = world.simulator.requests().len() as f64 / budget;
    (world, used)
}

/// How often upstream said to wait.
fn refusals(world: &World) -> usize {
    let requests = world.simulator.requests();
    let refused = requests.iter().filter(|request| request.status == 429);
    refused.count()
}

#[tokio::test]
async fn a_tight_budget_is_used_and_never_passed_restarts_included() {
    for seed in 1..=3 {
        let plan = Plan {
            max_requests: 60,
            ..Plan::default()
        };
        let (world, used) = follow_for_hours(seed, plan, 60, Faults::default(), 2).await;
        world.no_call_that_should_not_have_been();
        assert_eq!(refusals(&world), 0, "a 429 of our making");
        // Each kill costs the calls that were saved ahead, and there is one in twenty calls.
        assert!(used > 0.3, "only {used:.2} of the budget was used");
    }
}

#[tokio::test]
async fn when_upstream_gives_less_than_we_may_take_it_is_obeyed() {
    let plan = Plan {
        max_requests: 1_000,
        ..Plan::default()
    };
    let (world, _) = follow_for_hours(7, plan, 40, Faults::default(), 2).await;
    world.no_call_that_should_not_have_been();
    assert_eq!(refusals(&world), 0, "upstream's own headers tell in time");
}

#[tokio::test]
async fn a_wait_holds_every_call_of_the_credential_and_outlives_restarts() {
    for as_date in [0.0, 1.0] {
        let plan = Plan {
            max_requests: 600,
            ..Plan::default()
        };
        let faults = Faults {
            rate_limited: 0.1,
            retry_after_seconds: 1_800,
            retry_after_as_date: as_date,
            ..Faults::default()
        };
        let (world, _) = follow_for_hours(11, plan, 1_200, faults, 6).await;
        let waits = refusals(&world);
        assert!(
            (3..=12).contains(&waits),
            "{waits} waits of half an hour in six hours"
        );
        world.no_call_that_should_not_have_been();
    }
}

#[tokio::test]
async fn a_wait_outlives_a_restart_although_the_clock_was_set_meanwhile() {
    for hours in [-5, 5] {
        let config = SimConfig {
            events: 20,
            accounts: 0,
            ..SimConfig::default()
        };
        let mut world = World::new(config, Plan::default()).await;
        world.simulator.set_faults(Faults {
            rate_limited: 1.0,
            retry_after_seconds: 600,
            ..Faults::default()
        });
        while refusals(&world) == 0 {
            world.poll().await;
        }
        world.simulator.set_faults(Faults::default());
        world.local_clock.jump(TimeDelta::hours(hours));
        // The next turn notices it; then the process is killed.
        assert!(world.all_wait());
        world.crash();
        assert!(world.all_wait(), "{hours} hours");
        for _ in 0..20 {
            world.poll().await;
        }
        world.no_call_that_should_not_have_been();
    }
}

#[tokio::test]
async fn a_healthy_upstream_costs_one_write_of_the_budget_in_several_calls() {
    let writes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&writes);
    let plan = Plan {
        failpoints: Failpoints::new(move |step| {
            count.fetch_add(
                usize::from(step == store::steps::SAVE_QUOTA),
                Ordering::SeqCst,
            );
            None
        }),
        ..Plan::default()
    };
    let mut world = World::new(SimConfig::default(), plan).await;
    while world.simulator.requests().len() < 200 {
        world.poll().await;
    }
    assert_eq!(refusals(&world), 0);
    let writes = writes.load(Ordering::SeqCst);
    assert!((1..=50).contains(&writes), "{writes} writes in 200 calls");
}

#[tokio::test]
async fn what_another_process_was_told_to_wait_is_waited_for() {
    let mut world = World::new(SimConfig::default(), Plan::default()).await;
    for _ in 0..20 {
        world.poll().await;
    }
    let requests = world.simulator.requests().len();
    assert!(requests > 0);
    // A comparison beside it was told to.
    let now = world.clock.now();
    let until = now + TimeDelta::minutes(30);
    let row = QuotaRow {
        saved_at: now,
        spent_for: TimeDelta::zero(),
        wait: TimeDelta::minutes(30),
    };
    let beside = Store::open_beside(world.dir()).unwrap();
    beside.save_quota(CREDENTIAL, row).unwrap();
    while world.clock.now() < until {
        assert_eq!(world.simulator.requests().len(), requests);
        world.poll().await;
    }
    world.poll().await;
    assert!(world.simulator.requests().len() > requests);
}

#[tokio::test]
async fn a_wait_saved_while_the_clock_was_ahead_ends_after_its_length_also_after_restarts() {
    let mut world = World::new(SimConfig::default(), Plan::default()).await;
    world.poll().await;
    // The machine's clock was ten years ahead when upstream said to wait for five minutes.
    let now = world.clock.now();
    let row = QuotaRow {
        saved_at: now + TimeDelta::days(3_650),
        spent_for: TimeDelta::days(3_650),
        wait: TimeDelta::minutes(5),
    };
    world.store().save_quota(CREDENTIAL, row).unwrap();
    world.crash();
    let before = world.simulator.requests().len();
    while world.clock.now() < now + TimeDelta::minutes(7) {
        world.poll().await;
    }
    let calls = world.simulator.requests().split_off(before);
    assert!(!calls.is_empty(), "the credential is silent");
    let earliest = now + TimeDelta::minutes(5);
    assert!(calls.iter().all(|call| call.at >= earliest));

    // The first call has replaced the row, so that the next restart does not wait at all.
    world.crash();
    let (before, restarted) = (world.simulator.requests().len(), world.clock.now());
    while world.clock.now() < restarted + TimeDelta::minutes(2) {
        world.poll().await;
    }
    assert!(world.simulator.requests().len() > before);
}
