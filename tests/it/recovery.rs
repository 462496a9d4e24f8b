//! Upstream answers badly for a while, or for one stretch for ever: nothing is lost that can be read again, and nothing is
//! waited for in vain.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use orgtrail::coverage::{self, Asked, Gap, Reason};
use orgtrail::health::State;
use orgtrail::ledger::Sealed;
use orgtrail::poll::BackfillSince;
use orgtrail::position::{Seq, Source};
use orgtrail_simulator::{Faults, SimConfig};

use crate::manual_clock::{Plan, World, start};

/// A quiet upstream with one account.
async fn world(change: impl FnOnce(&mut SimConfig, &mut Plan)) -> World {
    let mut config = SimConfig {
        events: 0,
        accounts: 1,
        days: 3,
        ..SimConfig::default()
    };
    let mut plan = Plan::default();
    change(&mut config, &mut plan);
    World::new(config, plan).await
}

fn account(world: &World) -> Source {
    world.simulator.sources().remove(1)
}

fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn publish(world: &World, id: &str, time: DateTime<Utc>, visible_at: DateTime<Utc>) {
    let text = format!(r#"{{"id":"{id}","action":{{"time":"{}"}}}}"#, stamp(time));
    let source = account(world);
    world.simulator.publish(&source, &text, time, visible_at);
}

async fn poll_for(world: &mut World, minutes: i64) {
    let end = world.clock.now() + TimeDelta::minutes(minutes);
    while world.clock.now() < end {
        world.poll().await;
    }
}

fn ids(world: &mut World) -> BTreeSet<String> {
    let events = world.store().events_after(Seq::ZERO, 100_000, usize::MAX);
    let ids = events.unwrap().into_iter().map(|event| event.id);
    ids.flatten().collect()
}

fn gaps(world: &mut World, since: DateTime<Utc>, before: DateTime<Utc>) -> Vec<Gap> {
    let asked = Asked {
        since: Some(since),
        before: Some(before),
        sources: vec![account(world)],
    };
    let (store, board, now) = (world.store(), world.board(), world.clock.now());
    let mut found = coverage::sources(
        &store,
        Some(&board),
        &orgtrail::engine::Scope::everything(),
        &asked,
        now,
    )
    .unwrap();
    found.remove(0).gaps
}

fn proven_at(world: &mut World, moment: DateTime<Utc>) -> Option<Sealed> {
    let source = account(world);
    let proven = world.store().progress(&source).unwrap().proven;
    let mut proven = proven.iter();
    proven.find(|piece| piece.window.contains(moment)).cloned()
}

fn state(world: &mut World) -> State {
    let source = account(world);
    world.board().read(&source).state
}

/// Every answer is complete, and is not JSON.
fn all_garbled() -> Faults {
    Faults {
        garbled: vec!["errors".to_owned()],
        ..Faults::default()
    }
}

#[tokio::test]
async fn broken_json_everywhere_makes_no_gap_however_long_it_lasts() {
    for minutes in [1, 5, 30, 600] {
        println!("{minutes} minutes");
        let mut world = world(|_, _| ()).await;
        poll_for(&mut world, 30).await;
        let begun = world.clock.now();
        world.simulator.set_faults(all_garbled());
        publish(&world, "during", begun, begun);
        poll_for(&mut world, minutes).await;
        let ended = world.clock.now();
        world.simulator.set_faults(Faults::default());
        poll_for(&mut world, 30).await;
        assert_eq!(gaps(&mut world, start(), ended), []);
        assert!(ids(&mut world).contains("during"));
        assert_eq!(state(&mut world), State::Live);
    }
}

#[tokio::test]
async fn a_second_that_was_passed_is_read_when_upstream_answers_again() {
    let hour = TimeDelta::hours(1);
    let mut world =
        world(|_, plan| plan.settings.sweeps = vec![TimeDelta::minutes(15), hour * 4]).await;
    let bad = start() + TimeDelta::minutes(7);
    publish(&world, "GARBLED", bad, bad);
    // In history too, long ago.
    let older = start() - TimeDelta::hours(30);
    publish(&world, "GARBLED older", older, older);
    world.simulator.set_faults(Faults {
        garbled: vec!["GARBLED".to_owned()],
        ..Faults::default()
    });
    poll_for(&mut world, 150).await;
    let before = start() + TimeDelta::minutes(30);
    let found = gaps(&mut world, start() - TimeDelta::hours(40), before);
    assert_eq!(found.len(), 2, "{found:#?}");
    for gap in &found {
        assert_eq!(gap.reason, Reason::Unreadable);
    }
    assert!(ids(&mut world).is_empty());

    world.simulator.set_faults(Faults::default());
    poll_for(&mut world, 6 * 60).await;
    let since = start() - TimeDelta::hours(40);
    assert_eq!(gaps(&mut world, since, before), []);
    assert_eq!(ids(&mut world).len(), 2);
    // What was read at last does not count as passed any more.
    let source = account(&world);
    assert_eq!(*world.store().progress(&source).unwrap().gaps, []);
}

#[tokio::test]
async fn what_was_proven_stays_proven_when_a_sweep_cannot_read_it_again() {
    let mut world = world(|_, plan| {
        plan.settings.sweeps = vec![TimeDelta::minutes(15), TimeDelta::hours(3)];
    })
    .await;
    let bad = start() + TimeDelta::minutes(7);
    poll_for(&mut world, 15).await;
    let before = proven_at(&mut world, bad).unwrap();
    let late = world.clock.now();
    publish(&world, "GARBLED", bad, late);
    world.simulator.set_faults(Faults {
        garbled: vec!["GARBLED".to_owned()],
        ..Faults::default()
    });
    poll_for(&mut world, 90).await;
    // The sweep was made, and passed the second.
    let beside = proven_at(&mut world, bad + TimeDelta::seconds(90)).unwrap();
    assert!(beside.scanned_at > late, "{beside:?}");
    let source = account(&world);
    let passed = world.store().progress(&source).unwrap().gaps;
    assert!(!passed.is_empty());
    assert_eq!(gaps(&mut world, start(), late), []);
    let after = proven_at(&mut world, bad).unwrap();
    assert!(after.scanned_at <= late, "{after:?}");
    assert_eq!(after.first_sealed, before.first_sealed);
    // Nothing is asked for again and again meanwhile.
    let calls = world.simulator.requests().len();
    poll_for(&mut world, 60).await;
    let calls = world.simulator.requests().len() - calls;
    assert!(calls < 100, "{calls} calls in an hour");

    world.simulator.set_faults(Faults::default());
    poll_for(&mut world, 240).await;
    assert_eq!(ids(&mut world), ["GARBLED".to_owned()].into());
    let healed = proven_at(&mut world, bad).unwrap();
    assert!(
        healed.is_complete(&world.plan.settings.sweeps),
        "{healed:?}"
    );
}

#[tokio::test]
async fn without_a_date_a_bad_second_does_not_hold_back_what_is_newer() {
    let mut world = world(|_, _| ()).await;
    let bad = start() - TimeDelta::hours(3);
    publish(&world, "GARBLED", bad, start());
    world.simulator.set_faults(Faults {
        garbled: vec!["GARBLED".to_owned()],
        no_date: 1.0,
        ..Faults::default()
    });
    for n in 0..(26 * 4) {
        let time = start() + TimeDelta::minutes(n * 15);
        publish(&world, &n.to_string(), time, time);
    }
    // It takes a while to be sure that there is no date, and that the second is bad.
    poll_for(&mut world, 60).await;
    let calls = world.simulator.requests().len();
    for hour in 1..26 {
        let now = world.clock.now();
        let held = ids(&mut world);
        let due = 0..(hour * 4 - 1);
        let missing: Vec<i64> = due.filter(|n| !held.contains(&n.to_string())).collect();
        assert!(missing.is_empty(), "at {now}: {missing:?}");
        poll_for(&mut world, 60).await;
    }
    let calls = world.simulator.requests().len() - calls;
    assert!(calls < 25 * 400, "{calls} calls in 25 hours");
    // What is older than a day is claimed all the same, on both sides of it.
    let day_ago = world.clock.now() - TimeDelta::hours(25);
    let found = gaps(&mut world, start() - TimeDelta::hours(20), day_ago);
    assert!(found.len() <= 1, "{found:#?}");
    assert!(found.iter().all(|gap| gap.reason == Reason::Unreadable));

    // And all of it when there is a date.
    world.simulator.set_faults(Faults::default());
    poll_for(&mut world, 60).await;
    let end = world.clock.now() - TimeDelta::minutes(10);
    let found = gaps(&mut world, start() - TimeDelta::hours(20), end);
    assert!(found.len() <= 1, "{found:#?}");
    assert!(found.iter().all(|gap| gap.reason == Reason::Unreadable));
}

#[tokio::test]
async fn a_cursor_that_is_always_answered_with_an_error_is_not_waited_for() {
    for status in [404, 422, 500] {
        println!("status {status}");
        let mut world = world(|_, plan| plan.settings.page_size = 10).await;
        poll_for(&mut world, 5).await;
        let begun = world.clock.now();
        for second in 0..60 {
            let time = begun + TimeDelta::seconds(second);
            publish(&world, &second.to_string(), time, time);
        }
        world.simulator.set_faults(Faults {
            failing_cursors: Some(status),
            ..Faults::default()
        });
        poll_for(&mut world, 6 * 60).await;
        assert_eq!(ids(&mut world).len(), 60);
        assert_eq!(gaps(&mut world, start(), begun + TimeDelta::minutes(2)), []);
        assert_eq!(state(&mut world), State::Live);
    }
}

#[tokio::test]
async fn a_second_that_is_always_answered_with_an_error_is_passed() {
    for status in [404, 422, 500] {
        println!("status {status}");
        let mut world = world(|_, _| ()).await;
        let bad = start() + TimeDelta::minutes(7);
        world.simulator.set_faults(Faults {
            failing_at: vec![(bad, status)],
            ..Faults::default()
        });
        publish(&world, "later", bad + TimeDelta::minutes(5), bad);
        poll_for(&mut world, 9 * 60).await;
        let now = world.clock.now();
        let found = gaps(&mut world, start(), now - TimeDelta::minutes(15));
        let [gap] = &found[..] else {
            panic!("{found:#?}");
        };
        assert_eq!(gap.reason, Reason::Unreadable);
        let bound = |text: &str| text.parse::<DateTime<Utc>>().unwrap() - bad;
        assert!(bound(&gap.since) >= TimeDelta::seconds(-2), "{gap:?}");
        assert!(
            bound(gap.before.as_ref().unwrap()) <= TimeDelta::seconds(3),
            "{gap:?}"
        );
        assert!(ids(&mut world).contains("later"));
        assert_eq!(state(&mut world), State::Live);
    }
}

#[tokio::test]
async fn a_source_whose_first_second_is_unreadable_begins_all_the_same() {
    let mut world = world(|_, _| ()).await;
    publish(&world, "GARBLED", start(), start());
    world.simulator.set_faults(Faults {
        garbled: vec!["GARBLED".to_owned()],
        ..Faults::default()
    });
    let later = start() + TimeDelta::minutes(5);
    publish(&world, "later", later, later);
    poll_for(&mut world, 4 * 60).await;
    assert!(ids(&mut world).contains("later"));
    assert_eq!(state(&mut world), State::Live);
}

#[tokio::test]
async fn a_source_that_is_down_for_a_day_is_only_waited_for() {
    for status in [404, 422, 500] {
        println!("status {status}");
        let mut world = world(|_, _| ()).await;
        let source = account(&world);
        poll_for(&mut world, 20).await;
        world.simulator.set_faults(Faults {
            statuses: vec![(source.clone(), status)],
            ..Faults::default()
        });
        let begun = world.clock.now();
        publish(&world, "during", begun, begun);
        let before = world.simulator.requests().len();
        poll_for(&mut world, 24 * 60).await;
        let path = format!("/{source}/logs");
        let calls = world.simulator.requests().split_off(before);
        let calls = calls
            .iter()
            .filter(|call| call.path_and_query.contains(&path));
        let calls = calls.count();
        assert!(calls < 900, "{calls} calls in a day");
        assert_eq!(*world.store().progress(&source).unwrap().gaps, []);
        let ended = world.clock.now();
        world.simulator.set_faults(Faults::default());
        poll_for(&mut world, 90).await;
        assert_eq!(gaps(&mut world, start(), ended), []);
        assert!(ids(&mut world).contains("during"));
    }
}

#[tokio::test]
async fn without_a_date_sweeps_reach_every_stretch() {
    let (hour, day) = (TimeDelta::hours(1), TimeDelta::days(1));
    let mut world = world(|_, plan| {
        plan.settings.page_size = 10;
        plan.settings.sweeps = vec![hour * 4];
        plan.settings.backfill_since = BackfillSince::Span(day * 10);
    })
    .await;
    world.simulator.set_faults(Faults {
        no_date: 1.0,
        ..Faults::default()
    });
    // Six sweeps of 20 pages.
    for n in 0..1_200 {
        let time = start() - day * 9 + (day * 7) * n / 1_200;
        publish(&world, &format!("early {n}"), time, time);
    }
    poll_for(&mut world, 2 * 60).await;
    assert_eq!(ids(&mut world).len(), 1_200);
    let late: BTreeSet<String> = (2..9)
        .map(|days| {
            let (id, time) = (format!("late {days}"), start() - day * days);
            publish(&world, &id, time, start() + hour * 2);
            id
        })
        .collect();
    poll_for(&mut world, 6 * 60).await;
    let held = ids(&mut world);
    let missing: Vec<&String> = late.difference(&held).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // They are never sealed, and do not take all calls for that.
    let calls = world.simulator.requests().len();
    poll_for(&mut world, 60).await;
    let calls = world.simulator.requests().len() - calls;
    assert!(calls < 400, "{calls} calls in an hour");
}
