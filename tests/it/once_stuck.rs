//! One answer, one source or one short quota that once kept the rest waiting for ever.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use orgtrail::health::State;
use orgtrail::poll::BackfillSince;
use orgtrail::position::Source;
use orgtrail_simulator::{Faults, SimConfig};

use crate::manual_clock::{Plan, World};

/// A quiet upstream without history whose accounts are called every minute.
async fn world(change: impl FnOnce(&mut SimConfig, &mut Plan)) -> World {
    let mut config = SimConfig {
        events: 0,
        accounts: 1,
        days: 3,
        ..SimConfig::default()
    };
    let mut plan = Plan::default();
    plan.settings.max_interval = TimeDelta::minutes(1);
    plan.settings.backfill_since = BackfillSince::Span(TimeDelta::zero());
    change(&mut config, &mut plan);
    World::new(config, plan).await
}

async fn poll_for(world: &mut World, minutes: i64) {
    let end = world.clock.now() + TimeDelta::minutes(minutes);
    while world.clock.now() < end {
        world.poll().await;
    }
}

/// The calls for the log of a source: when, and what was asked.
fn calls_of(world: &World, source: &Source) -> Vec<(DateTime<Utc>, String)> {
    let path = format!("/{}/logs/", source.id());
    let requests = world.simulator.requests().into_iter();
    requests
        .filter(|request| request.path_and_query.contains(&path))
        .map(|request| (request.at, request.path_and_query))
        .collect()
}

fn text(id: &str, time: DateTime<Utc>, owner: Option<&str>) -> String {
    let time = time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let owner = owner.map_or(String::new(), |owner| {
        format!(r#","account":{{"id":"{owner}"}},"organization":{{"id":"{owner}"}}"#)
    });
    format!(r#"{{"id":"{id}","action":{{"time":"{time}"}}{owner}}}"#)
}

fn publish(world: &World, source: &Source, id: &str, time: DateTime<Utc>, owner: Option<&str>) {
    let entry = text(id, time, owner);
    world.simulator.publish(source, &entry, time, time);
}

/// Until all sources are refused and the credential counts as refused.
async fn refuse_all(world: &mut World) -> Vec<Source> {
    let sources = world.simulator.sources();
    poll_for(world, 5).await;
    world.simulator.set_faults(Faults {
        statuses: sources.iter().map(|one| (one.clone(), 401)).collect(),
        list_forbidden: 1.0,
        ..Faults::default()
    });
    poll_for(world, 3).await;
    assert!(world.board().has_refused_credential(world.clock.now()));
    sources
}

#[tokio::test]
async fn a_new_token_that_may_not_read_the_last_witness_starts_the_others_again() {
    for status in [Some(403), Some(404), Some(503), None] {
        let mut world = world(|config, _| config.accounts = 3).await;
        let sources = refuse_all(&mut world).await;
        // The source that the credential is tried with.
        let begun = world.clock.now();
        poll_for(&mut world, 6).await;
        let is_tried = |source: &&Source| {
            let calls = calls_of(&world, source);
            calls.last().is_some_and(|(at, _)| *at > begun)
        };
        let witness = sources.iter().find(is_tried).unwrap().clone();
        let statuses = status.map(|status| (witness.clone(), status));
        if status.is_none() {
            publish(&world, &witness, "theirs", world.clock.now(), Some("other"));
        }
        world.simulator.set_faults(Faults {
            statuses: statuses.into_iter().collect(),
            list_forbidden: 1.0,
            ..Faults::default()
        });
        *world.token.lock().unwrap() = "another-token".to_owned();
        // A source that fails as a server does says nothing of the token, and another one is tried in its turn.
        poll_for(&mut world, 45).await;
        for source in sources.iter().filter(|source| **source != witness) {
            let state = world.board().read(source).state;
            assert_eq!(state, State::Live, "{status:?}: {source}");
        }
        assert_ne!(world.board().read(&witness).state, State::Live);
    }
}

#[tokio::test]
async fn a_try_of_a_refused_credential_that_was_told_to_wait_is_made_when_the_wait_is_over() {
    let mut world = world(|_, _| ()).await;
    let sources = refuse_all(&mut world).await;
    world.simulator.set_faults(Faults {
        rate_limited: 1.0,
        retry_after_seconds: 30,
        ..Faults::default()
    });
    let is_told_to_wait = |world: &World| world.simulator.requests().last().unwrap().status == 429;
    while !is_told_to_wait(&world) {
        world.poll().await;
    }
    world.simulator.set_faults(Faults::default());
    poll_for(&mut world, 2).await;
    for source in &sources {
        let state = world.board().read(source).state;
        assert_eq!(state, State::Live, "{source}");
    }
}

#[tokio::test]
async fn a_mixed_up_answer_in_mid_scan_costs_one_call() {
    let mut world = world(|_, _| ()).await;
    let source = world.simulator.sources().remove(1);
    poll_for(&mut world, 5).await;
    let begun = world.clock.now();
    for n in 0..250 {
        let time = begun + TimeDelta::milliseconds(n * 100);
        let owner = (n == 150).then_some("other");
        publish(&world, &source, &format!("entry {n}"), time, owner);
    }
    world.crash();
    world.clock.advance(TimeDelta::days(10));
    let end = world.clock.now() + TimeDelta::minutes(10);
    let is_failing = |world: &mut World| world.board().read(&source).failing_since.is_some();
    while !is_failing(&mut world) {
        world.poll().await;
        assert!(world.clock.now() < end);
    }
    // With an entry of our own on it, the same page is taken.
    let time = begun + TimeDelta::milliseconds(15_020);
    publish(&world, &source, "ours", time, Some(source.id()));
    let seen = calls_of(&world, &source);
    poll_for(&mut world, 5).await;
    let calls = calls_of(&world, &source);
    let refused = &seen.last().unwrap().1;
    assert!(refused.contains("cursor="), "{refused}");
    assert_eq!(calls[seen.len()].1, *refused, "the same page is asked for");
    let progress = world.store().progress(&source).unwrap();
    let stretch = orgtrail::position::Window::new(begun, begun + TimeDelta::minutes(1));
    assert_eq!(orgtrail::ledger::open_parts(&progress.proven, stretch), []);
}

/// Waits until what is new goes on after a second that cannot be read.
async fn pass_a_second(mut world: World, hours: i64) {
    let source = world.simulator.sources().remove(1);
    poll_for(&mut world, 30).await;
    let bad = world.clock.now();
    publish(&world, &source, "GARBLED", bad, None);
    let later = bad + TimeDelta::minutes(10);
    publish(&world, &source, "later", later, None);
    world.simulator.set_faults(Faults {
        garbled: vec!["GARBLED".to_owned()],
        ..Faults::default()
    });
    let is_passed = |world: &mut World| {
        let progress = world.store().progress(&source).unwrap();
        progress.live_before.is_some_and(|before| before > later)
    };
    while !is_passed(&mut world) {
        world.poll().await;
        assert!(world.clock.now() < bad + TimeDelta::hours(hours));
    }
    let gaps = world.store().progress(&source).unwrap().gaps;
    let passed = gaps.iter().map(|(gap, _)| gap.span());
    let passed = passed.fold(TimeDelta::zero(), |sum, span| sum + span);
    assert!(passed <= TimeDelta::seconds(5), "{gaps:?}");
}

#[tokio::test]
async fn a_bad_second_is_passed_with_a_budget_of_ten_calls() {
    pass_a_second(world(|_, plan| plan.max_requests = 10).await, 4).await;
}

#[tokio::test]
async fn a_bad_second_is_passed_while_history_uses_all_of_the_quota() {
    let crowded = world(|config, plan| {
        config.events = 20_000;
        plan.max_requests = 40;
        plan.settings.page_size = 10;
        plan.settings.backfill_since = BackfillSince::Span(TimeDelta::days(3));
    });
    pass_a_second(crowded.await, 3).await;
}
