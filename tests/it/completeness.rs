//! What is held, what is proven, and what is said of it, when upstream is late, wrong, or refuses.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::clock::Clock;
use orgtrail::coverage::{self, Asked, Gap, Proof, Reason, Verdict, VerdictState};
use orgtrail::event::Reading;
use orgtrail::health::State;
use orgtrail::poll::{BackfillSince, Settings};
use orgtrail::position::{Seq, Source, WindowKind};
use orgtrail_simulator::{Faults, SimConfig};

use crate::harness::{Service, Upstream, configuration};
use crate::manual_clock::{Plan, Turn, World, start};
use crate::skip_slow_tests;

/// A quiet upstream with one account, and a plan with short sweeps.
async fn world(change: impl FnOnce(&mut SimConfig, &mut Plan)) -> World {
    let mut config = SimConfig {
        events: 0,
        accounts: 1,
        days: 3,
        ..SimConfig::default()
    };
    let mut plan = Plan::default();
    plan.settings = Settings {
        sweeps: vec![TimeDelta::minutes(15), TimeDelta::hours(1)],
        ..plan.settings
    };
    change(&mut config, &mut plan);
    World::new(config, plan).await
}

fn account(world: &World) -> Source {
    world.simulator.sources().remove(1)
}

fn entry(id: &str, time: DateTime<Utc>) -> String {
    let time = time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    format!(r#"{{"id":"{id}","action":{{"time":"{time}"}}}}"#)
}

/// Polls until that moment.
async fn poll_until(world: &mut World, end: DateTime<Utc>) {
    while world.clock.now() < end {
        world.poll().await;
    }
}

fn ids(world: &mut World) -> BTreeSet<String> {
    let events = world.store().events_after(Seq::ZERO, 100_000, usize::MAX);
    let ids = events.unwrap().into_iter().map(|event| event.id);
    ids.flatten().collect()
}

fn asked(since: DateTime<Utc>, before: DateTime<Utc>, source: &Source) -> Asked {
    Asked {
        since: Some(since),
        before: Some(before),
        sources: vec![source.clone()],
    }
}

fn verdict(world: &mut World, asked: &Asked) -> Verdict {
    let (store, board, now) = (world.store(), world.board(), world.clock.now());
    coverage::verdict(
        &store,
        Some(&board),
        &orgtrail::engine::Scope::everything(),
        asked,
        now,
    )
    .unwrap()
}

fn gaps(world: &mut World, asked: &Asked) -> Vec<Gap> {
    let (store, board, now) = (world.store(), world.board(), world.clock.now());
    let mut found = coverage::sources(
        &store,
        Some(&board),
        &orgtrail::engine::Scope::everything(),
        asked,
        now,
    )
    .unwrap();
    found.remove(0).gaps
}

#[tokio::test]
async fn a_late_entry_is_found_by_a_sweep_and_its_lateness_is_told() {
    let mut world = world(|_, _| ()).await;
    let source = account(&world);
    let happened = start() + TimeDelta::minutes(5);
    let stretch = asked(happened, happened + TimeDelta::seconds(1), &source);
    let readable = happened + TimeDelta::minutes(40);
    world
        .simulator
        .publish(&source, &entry("late", happened), happened, readable);

    poll_until(&mut world, start() + TimeDelta::minutes(30)).await;
    assert_eq!(verdict(&mut world, &stretch).state, VerdictState::Settling);
    assert!(ids(&mut world).is_empty());
    poll_until(&mut world, start() + TimeDelta::minutes(100)).await;
    assert_eq!(ids(&mut world), ["late".to_owned()].into());
    assert_eq!(verdict(&mut world, &stretch).state, VerdictState::Complete);
    let lateness = world.store().lateness(&source).unwrap().unwrap();
    assert_eq!(lateness.entries, 1);
    let received = world.store().event(Seq(1)).unwrap().unwrap().received_at;
    assert_eq!(lateness.max, received - happened);
    assert!(lateness.max >= TimeDelta::minutes(60), "{lateness:?}");
}

#[tokio::test]
async fn a_claim_is_as_of_the_beginning_of_its_scan() {
    let mut world = world(|config, _| config.max_limit = 2).await;
    let source = account(&world);
    poll_until(&mut world, start() + TimeDelta::minutes(5)).await;
    let first = world.clock.now();
    for n in 0..6 {
        let time = first + TimeDelta::seconds(n);
        world
            .simulator
            .publish(&source, &entry(&format!("{n}"), time), time, time);
    }
    let is_under_way = |world: &mut World| {
        let progress = world.store().progress(&source).unwrap();
        let open = progress.open(WindowKind::Live).cloned();
        open.is_some_and(|open| open.cursor.is_some())
    };
    while !is_under_way(&mut world) {
        world.poll().await;
    }
    world.clock.advance(TimeDelta::seconds(5));
    let behind = first - TimeDelta::seconds(1);
    let readable = world.clock.now();
    world
        .simulator
        .publish(&source, &entry("behind", behind), behind, readable);
    while is_under_way(&mut world) {
        world.clock.advance(TimeDelta::seconds(1));
        world.poll().await;
    }
    assert_eq!(ids(&mut world).len(), 6, "{:?}", ids(&mut world));
    let proven = world.store().progress(&source).unwrap().proven;
    let claim = proven
        .iter()
        .find(|piece| piece.window.since <= behind && behind < piece.window.before);
    assert!(claim.unwrap().scanned_at < readable);
    poll_until(&mut world, readable + TimeDelta::minutes(15)).await;
    assert!(ids(&mut world).contains("behind"));
}

#[tokio::test]
async fn after_a_long_downtime_missed_sweeps_are_made_good_by_one_scan() {
    let mut world = world(|_, plan| {
        plan.settings.backfill_since = BackfillSince::Span(TimeDelta::zero());
        plan.settings.max_interval = TimeDelta::minutes(1);
    })
    .await;
    let source = account(&world);
    poll_until(&mut world, start() + TimeDelta::minutes(20)).await;
    world.crash();
    world.clock.advance(TimeDelta::hours(5));
    let before = world.simulator.requests().len();
    poll_until(&mut world, start() + TimeDelta::minutes(5 * 60 + 40)).await;
    let stretch = asked(start(), start() + TimeDelta::minutes(15), &source);
    assert_eq!(verdict(&mut world, &stretch).state, VerdictState::Complete);
    let path = format!("/accounts/{}/logs", source.id());
    let calls = world.simulator.requests().split_off(before);
    let calls = calls
        .iter()
        .filter(|call| call.path_and_query.contains(&path))
        .count();
    // Six pieces of the outage, twenty live windows since, and a handful of sweeps.
    assert!((6..45).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn an_empty_history_of_540_days_costs_few_calls() {
    let mut world = world(|_, plan| {
        plan.settings.backfill_since = BackfillSince::Span(TimeDelta::days(540));
        plan.settings.sweeps = Vec::new();
    })
    .await;
    world.settle().await;
    let calls = world.simulator.requests().len();
    // Two sources, and the list of accounts.
    assert!(calls < 40, "{calls} calls");
}

#[tokio::test]
async fn every_part_that_is_not_proven_has_its_reason() {
    let mut world = world(|_, plan| {
        plan.settings.backfill_since = BackfillSince::Span(TimeDelta::days(30));
    })
    .await;
    world.settle().await;
    let source = account(&world);
    let since = "2020-01-01T00:00:00Z".parse().unwrap();
    let gaps = gaps(
        &mut world,
        &asked(since, start() + TimeDelta::days(1), &source),
    );
    let told: Vec<String> = gaps
        .iter()
        .map(|gap| {
            format!(
                "{:?} [{}, {})",
                gap.reason,
                &gap.since[..10],
                &gap.before.as_ref().unwrap()[..10]
            )
        })
        .collect();
    // The account is as old as the simulator's chance has it.
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(
        told[0].starts_with("BeforeTheAccountExisted [2020-01-01"),
        "{told:?}"
    );
    assert!(told[1].starts_with("BeforeUpstreamKept ["), "{told:?}");
    assert_eq!(told[2], "NotAskedFor [2026-03-10, 2026-07-04)");
    assert_eq!(told[3], "NotYet [2026-08-03, 2026-08-03)");

    let nobody = Source::account("nobody").unwrap();
    let unknown = asked(since, start(), &nobody);
    let verdict = verdict(&mut world, &unknown);
    assert_eq!(verdict.state, VerdictState::Partial);
    assert_eq!(verdict.missing[0].reason, Reason::NotFollowed);
}

#[tokio::test]
async fn a_changed_list_of_sweeps_is_followed_from_what_was_sealed() {
    let mut world = world(|_, plan| plan.settings.sweeps = vec![TimeDelta::minutes(15)]).await;
    let source = account(&world);
    poll_until(&mut world, start() + TimeDelta::minutes(60)).await;
    let stretch = asked(start(), start() + TimeDelta::minutes(20), &source);
    assert_eq!(verdict(&mut world, &stretch).state, VerdictState::Complete);
    world.crash();
    world.plan.settings.sweeps = vec![TimeDelta::minutes(15), TimeDelta::hours(3)];
    assert_eq!(verdict(&mut world, &stretch).state, VerdictState::Settling);
    poll_until(&mut world, start() + TimeDelta::minutes(240)).await;
    assert_eq!(verdict(&mut world, &stretch).state, VerdictState::Complete);
}

#[tokio::test]
async fn an_entry_too_large_to_take_is_passed_and_is_a_gap() {
    let mut world = world(|_, plan| {
        plan.max_page_bytes = 20_000;
        plan.settings.page_size = 50;
    })
    .await;
    let source = account(&world);
    let large = start() + TimeDelta::minutes(7);
    for minute in 1..30 {
        let time = start() + TimeDelta::minutes(minute);
        world
            .simulator
            .publish(&source, &entry(&format!("{minute}"), time), time, time);
    }
    let text = format!(
        r#"{{"id":"large","action":{{"time":"{}"}},"text":"{}"}}"#,
        large.to_rfc3339(),
        "x".repeat(30_000)
    );
    world.simulator.publish(&source, &text, large, large);
    poll_until(&mut world, start() + TimeDelta::hours(4)).await;

    let mut expected: BTreeSet<String> = (1..30).map(|n: u32| n.to_string()).collect();
    // What shares the second with the large one, and comes after it, is in the gap too.
    expected.retain(|id| id != "7");
    assert!(
        ids(&mut world).is_superset(&expected),
        "{:?}",
        ids(&mut world)
    );
    let stretch = asked(start(), start() + TimeDelta::minutes(40), &source);
    let gaps = gaps(&mut world, &stretch);
    assert!(!gaps.is_empty());
    for gap in &gaps {
        assert_eq!(gap.reason, Reason::EntryTooLarge);
        assert!(
            gap.since.as_str() >= "2026-08-03T08:06:58Z"
                && gap.before.as_deref().unwrap() <= "2026-08-03T08:07:03Z",
            "{gap:?}"
        );
    }
    let health = world.board().read(&source);
    assert_eq!(health.state, State::Live);
    assert!(health.last_error.unwrap().message.contains("too large"));
    let calls = world.simulator.requests().len();
    poll_until(&mut world, start() + TimeDelta::hours(5)).await;
    let calls = world.simulator.requests().len() - calls;
    assert!(
        calls < 100,
        "{calls} calls in an hour: the gap is asked for again and again"
    );
}

#[tokio::test]
async fn other_peoples_entries_are_refused_whole_and_asked_for_again() {
    let mut world = world(|_, _| ()).await;
    let source = account(&world);
    poll_until(&mut world, start() + TimeDelta::minutes(5)).await;
    let time = world.clock.now();
    let stamp = time.to_rfc3339();
    let foreign = format!(
        r#"{{"id":"theirs","action":{{"time":"{stamp}"}},"account":{{"id":"somebody-else"}}}}"#
    );
    world.simulator.publish(&source, &foreign, time, time);
    poll_until(&mut world, time + TimeDelta::minutes(30)).await;
    assert!(ids(&mut world).is_empty());
    let health = world.board().read(&source);
    assert_eq!(health.state, State::Failing);
    let message = health.last_error.unwrap().message;
    assert!(message.contains("accounts/somebody-else"), "{message}");
    let stretch = asked(time, world.clock.now(), &source);
    let found = gaps(&mut world, &stretch);
    assert_eq!(found[0].reason, Reason::Failing);
    assert!(found[0].detail.as_ref().unwrap().contains("somebody-else"));

    // Among our own entries it is upstream's business, however much later the first of them comes.
    poll_until(&mut world, time + TimeDelta::minutes(90)).await;
    assert_eq!(world.board().read(&source).state, State::Failing);
    let later = world.clock.now();
    let ours = format!(
        r#"{{"id":"ours","action":{{"time":"{}"}},"account":{{"id":"{}"}}}}"#,
        later.to_rfc3339(),
        source.id()
    );
    world.simulator.publish(&source, &ours, later, later);
    let end = world.clock.now() + TimeDelta::minutes(20);
    poll_until(&mut world, end).await;
    assert_eq!(ids(&mut world), ["ours", "theirs"].map(String::from).into());
    assert_eq!(world.board().read(&source).state, State::Live);
    assert!(gaps(&mut world, &asked(start(), later, &source)).is_empty());
}

#[tokio::test]
async fn a_revoked_credential_stops_its_sources_until_its_token_changes() {
    let mut world = world(|config, _| config.token = Some("test-token".to_owned())).await;
    let source = account(&world);
    poll_until(&mut world, start() + TimeDelta::minutes(5)).await;
    *world.token.lock().unwrap() = "revoked".to_owned();
    let before = world.simulator.requests().len();
    let end = start() + TimeDelta::minutes(65);
    poll_until(&mut world, end).await;
    let calls = world.simulator.requests().len() - before;
    // One each five minutes finds out whether it works again.
    assert!(
        (8..=16).contains(&calls),
        "{calls} calls with a revoked token"
    );
    let board = world.board();
    for source in world.simulator.sources() {
        assert_eq!(board.read(&source).state, State::Refused, "{source}");
    }
    let stretch = asked(start() + TimeDelta::minutes(30), end, &source);
    assert_eq!(
        gaps(&mut world, &stretch)[0].reason,
        Reason::CredentialRefused
    );

    *world.token.lock().unwrap() = "test-token".to_owned();
    let changed = world.clock.now();
    poll_until(&mut world, changed + TimeDelta::seconds(30)).await;
    assert_eq!(world.board().read(&source).state, State::Live);
    assert!(gaps(&mut world, &asked(start(), changed, &source)).is_empty());
}

#[tokio::test]
async fn an_account_that_vanishes_holds_nothing_back() {
    let gone = Source::account("0123456789abcdef0123456789abcdef").unwrap();
    let mut world = world(|_, plan| {
        plan.also = vec![Source::account("0123456789abcdef0123456789abcdef").unwrap()]
    })
    .await;
    let source = account(&world);
    poll_until(&mut world, start() + TimeDelta::minutes(60)).await;
    assert_eq!(world.board().read(&source).state, State::Live);
    assert_eq!(world.board().read(&gone).state, State::Failing);
    let found = gaps(
        &mut world,
        &asked(start(), start() + TimeDelta::minutes(10), &gone),
    );
    assert_eq!(found[0].reason, Reason::Failing);
    assert!(
        found[0].detail.as_ref().unwrap().contains("404"),
        "{found:?}"
    );
    let path = format!("/accounts/{}/", gone.id());
    let calls = world.simulator.requests();
    let calls = calls
        .iter()
        .filter(|call| call.path_and_query.contains(&path))
        .count();
    assert!(calls <= 15, "{calls} calls to what is not there");
}

#[tokio::test]
async fn a_clock_that_jumps_claims_nothing_that_was_not_scanned() {
    for jump in [
        TimeDelta::days(10),
        -TimeDelta::days(10),
        TimeDelta::hours(2),
        -TimeDelta::hours(2),
    ] {
        let mut world = world(|config, _| config.live_per_minute = 2.0).await;
        let mut rng = fastrand::Rng::with_seed(7);
        poll_until(&mut world, start() + TimeDelta::minutes(10)).await;
        let real = world.clock.now();
        world.local_clock.jump(jump);
        poll_until(&mut world, real + TimeDelta::minutes(30)).await;
        world.claims_hold(&mut rng);
        let source = account(&world);
        let progress = world.store().progress(&source).unwrap();
        for piece in progress.proven.iter() {
            assert!(
                piece.window.before <= world.clock.now(),
                "{jump}: the future is claimed, {piece:?}"
            );
            assert!(
                piece.scanned_at <= world.clock.now(),
                "{jump}: a scan of the future, {piece:?}"
            );
            assert!(
                !piece.is_complete(&world.plan.settings.sweeps) || piece.window.before < real,
                "{jump}: {piece:?}"
            );
        }
        // Set right again, all is well.
        world.local_clock.jump(-jump);
        let back = world.clock.now();
        poll_until(&mut world, back + TimeDelta::minutes(130)).await;
        let held = world.store().progress(&source).unwrap();
        assert!(
            held.live_before.unwrap() > back + TimeDelta::minutes(110),
            "{jump}"
        );
        world.claims_hold(&mut rng);
        let settled = asked(start(), back, &source);
        let left = gaps(&mut world, &settled);
        assert!(left.is_empty(), "{jump}: {left:?}");
    }
}

#[tokio::test]
async fn early_sweeps_are_made_though_the_local_clock_is_ahead() {
    for ahead in [0, 20, 65, 36 * 60].map(TimeDelta::minutes) {
        let mut world = world(|_, plan| {
            plan.settings.sweeps = vec![TimeDelta::minutes(30), TimeDelta::days(1)];
        })
        .await;
        world.local_clock.jump(ahead);
        let source = account(&world);
        let happened = start() + TimeDelta::minutes(10);
        let readable = happened + TimeDelta::minutes(20);
        world
            .simulator
            .publish(&source, &entry("late", happened), happened, readable);
        poll_until(&mut world, happened + TimeDelta::minutes(50)).await;
        assert_eq!(ids(&mut world), ["late".to_owned()].into(), "{ahead}");
        world.claims_hold(&mut fastrand::Rng::with_seed(1));
    }
}

#[tokio::test]
async fn sweeps_are_made_although_upstreams_date_was_years_ahead() {
    let mut world = world(|_, _| ()).await;
    let source = account(&world);
    poll_until(&mut world, start() + TimeDelta::minutes(5)).await;
    world.simulator.set_faults(Faults {
        wrong_date: 1.0,
        date_off: TimeDelta::days(18_262),
        ..Faults::default()
    });
    // Its stretch is sealed without it, while the wrong date is believed.
    let happened = start() + TimeDelta::minutes(35);
    let readable = happened + TimeDelta::minutes(50);
    world
        .simulator
        .publish(&source, &entry("late", happened), happened, readable);
    poll_until(&mut world, start() + TimeDelta::minutes(60)).await;
    world.simulator.set_faults(Faults::default());
    poll_until(&mut world, happened + TimeDelta::minutes(120)).await;
    let now = world.clock.now();
    let proven = world.store().progress(&source).unwrap().proven;
    let latest = proven.iter().map(|piece| piece.first_sealed).max();
    assert!(latest.unwrap() <= now, "{proven:?}");
    assert_eq!(ids(&mut world), ["late".to_owned()].into());
    world.claims_hold(&mut fastrand::Rng::with_seed(1));
}

#[tokio::test]
async fn a_database_that_another_process_locks_is_waited_for() {
    // Each try waits five real seconds.
    if skip_slow_tests() {
        return;
    }
    let mut world = world(|_, _| ()).await;
    let source = account(&world);
    poll_until(&mut world, start() + TimeDelta::minutes(5)).await;
    let other = rusqlite::Connection::open(world.dir().join("orgtrail.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let happened = world.clock.now();
    world
        .simulator
        .publish(&source, &entry("x", happened), happened, happened);
    while world.board().read(&source).state != State::Failing {
        world.poll().await;
    }
    let message = world.board().read(&source).last_error.unwrap().message;
    assert!(message.contains("locked by another process"), "{message}");
    other.execute_batch("ROLLBACK").unwrap();
    let end = world.clock.now() + TimeDelta::minutes(15);
    poll_until(&mut world, end).await;
    assert_eq!(world.board().read(&source).state, State::Live);
    assert_eq!(ids(&mut world), ["x".to_owned()].into());
    assert!(gaps(&mut world, &asked(start(), happened, &source)).is_empty());
}

#[tokio::test]
async fn sweeps_count_entries_without_ids_as_one_scan_shows_them() {
    let mut world = world(|_, _| ()).await;
    let source = account(&world);
    let twins: Vec<DateTime<Utc>> = (1..6).map(|n| start() + TimeDelta::minutes(n)).collect();
    for time in &twins {
        let text = format!(r#"{{"action":{{"time":"{}"}},"n":1}}"#, time.to_rfc3339());
        for late in [0, 25, 25] {
            world
                .simulator
                .publish(&source, &text, *time, *time + TimeDelta::minutes(late));
        }
    }
    poll_until(&mut world, start() + TimeDelta::hours(3)).await;
    assert_eq!(world.store().head(), Seq(15));
    assert_eq!(
        world.store().lateness(&source).unwrap().unwrap().entries,
        10
    );
}

#[tokio::test]
async fn the_ledger_of_a_long_run_is_folded_and_proves_the_same() {
    let mut world = world(|config, plan| {
        config.accounts = 0;
        config.live_per_minute = 1.0;
        plan.settings.max_interval = TimeDelta::minutes(1);
    })
    .await;
    let source = world.simulator.sources().remove(0);
    poll_until(&mut world, start() + TimeDelta::hours(9)).await;
    let progress = world.store().progress(&source).unwrap();
    assert!(
        progress.proven.len() < 120,
        "{} stretches",
        progress.proven.len()
    );
    let complete = progress
        .proven
        .iter()
        .filter(|piece| piece.is_complete(&world.plan.settings.sweeps));
    assert!(complete.count() < 60);
    let stretch = asked(start(), start() + TimeDelta::hours(7), &source);
    assert_eq!(verdict(&mut world, &stretch).state, VerdictState::Complete);
    let (store, board, now) = (world.store(), world.board(), world.clock.now());
    let told = coverage::sources(
        &store,
        Some(&board),
        &orgtrail::engine::Scope::everything(),
        &stretch,
        now,
    )
    .unwrap();
    assert!(
        told[0]
            .intervals
            .iter()
            .all(|interval| interval.state == Proof::Complete)
    );
    let shown = world
        .simulator
        .entries(&source, start() + TimeDelta::hours(7))
        .len();
    assert!(shown > 300 && world.store().head().0 as usize >= shown);
    let readable = world.simulator.entries(&source, now);
    assert!(readable.iter().all(|text| Reading::of(text).time.is_some()));
    world.claims_hold(&mut fastrand::Rng::with_seed(3));
    assert_ne!(world.poll().await, Turn::Waited(TimeDelta::zero()));
}

#[tokio::test]
async fn a_quota_too_small_for_all_sources_is_shared_evenly_and_said() {
    let mut world = world(|config, plan| {
        config.accounts = 40;
        plan.max_requests = 10;
        plan.settings.sweeps = Vec::new();
        plan.settings.backfill_since = BackfillSince::Span(TimeDelta::zero());
    })
    .await;
    poll_until(&mut world, start() + TimeDelta::hours(3)).await;
    let (store, board, now) = (world.store(), world.board(), world.clock.now());
    let sources = orgtrail::status::sources(
        &store,
        Some(&board),
        &orgtrail::engine::Scope::everything(),
        now,
    )
    .unwrap();
    assert_eq!(sources.len(), 41);
    for source in &sources {
        assert!(source.held_back_by_quota, "{source:?}");
        // 41 sources at ten calls in five minutes.
        let interval = source.interval_seconds.unwrap();
        assert!((1_230..1_600).contains(&interval), "{source:?}");
        assert!(source.lag_seconds.unwrap() < 2_000, "{source:?}");
    }
    drop(store);
    world.crash();
    world.plan.max_requests = 1_000;
    poll_until(&mut world, now + TimeDelta::minutes(30)).await;
    let (store, board) = (world.store(), world.board());
    for source in orgtrail::status::sources(
        &store,
        Some(&board),
        &orgtrail::engine::Scope::everything(),
        world.clock.now(),
    )
    .unwrap()
    {
        assert!(!source.held_back_by_quota, "{source:?}");
        assert!(source.lag_seconds.unwrap() <= 600, "{source:?}");
    }
}

/// A service whose sweeps end soon, with all history of three days read, and the upstream that it reads from.
async fn service_with_short_sweeps() -> (Upstream, Service, tempfile::TempDir) {
    let upstream = Upstream::new(SimConfig {
        events: 50,
        accounts: 1,
        days: 3,
        ..SimConfig::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let sources = format!(
        "sweeps = [\"1s\"]\n[[organizations]]\nid = \"{}\"",
        upstream.simulator.organization_id()
    );
    let service = Service::start(&configuration(dir.path(), &upstream.base_url, &sources)).await;
    service.settle(2).await;
    (upstream, service, dir)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coverage_is_about_the_sources_that_the_answer_is_about() {
    let (upstream, service, _dir) = service_with_short_sweeps().await;
    let now = Clock::system().now();
    let day = |days| (now - TimeDelta::days(days)).format("%Y-%m-%d").to_string();
    let question = format!("since={}&before={}", day(3), day(0));
    service
        .until(&format!("/v1/count?{question}"), |answer| {
            answer["coverage"]["state"] == "complete"
        })
        .await;
    let source = upstream.simulator.sources().remove(1).to_string();
    let (_, id) = source.split_once('/').unwrap();
    let spellings = [
        source.clone(),
        format!("accounts/{}", id.to_uppercase()),
        source.to_uppercase(),
    ];
    for spelling in spellings {
        let question = format!("{question}&source={spelling}");
        for route in ["/v1/count?", "/v1/events?count=true&"] {
            let answer = service.get(&format!("{route}{question}")).await;
            let state = &answer["coverage"]["state"];
            assert_eq!(state, "complete", "{spelling}: {answer:#}");
            assert!(answer["count"].as_u64().unwrap() > 0, "{spelling}");
        }
        let coverage = service.get(&format!("/v1/coverage?{question}")).await;
        let answered = coverage["sources"].as_array().unwrap();
        assert_eq!(answered.len(), 1, "{spelling}: {coverage:#}");
        assert_eq!(answered[0]["source"], source, "{spelling}");
        assert_eq!(answered[0]["gaps"], serde_json::json!([]), "{spelling}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_answer_says_whether_it_means_something() {
    let (upstream, service, _dir) = service_with_short_sweeps().await;
    let now = Clock::system().now();
    let day = |days| (now - TimeDelta::days(days)).format("%Y-%m-%d").to_string();
    let question = format!("q=nosuchwordanywhere&since={}&before={}", day(20), day(10));
    let path = format!("/v1/count?{question}");
    let answer = service
        .until(&path, |answer| answer["coverage"]["state"] == "complete")
        .await;
    assert_eq!(answer["count"], 0);
    assert_eq!(answer["coverage"]["missing"], serde_json::json!([]));
    for route in [
        "/v1/events?",
        "/v1/facets?field=actor.email&",
        "/v1/histogram?",
        "/v1/actors/x?",
    ] {
        let answer = service.get(&format!("{route}{question}")).await;
        assert_eq!(answer["coverage"]["state"], "complete", "{route}");
    }
    let history = service.get("/v1/events/1/history").await;
    assert_eq!(history["coverage"]["missing"][0]["reason"], "not_yet");
    let source = &history["changes"][0]["event"]["source"];
    let missing = history["coverage"]["missing"].as_array().unwrap();
    assert!(missing.iter().all(|gap| gap["source"] == *source));

    // The newest moments are never proven, and what is older than was asked for is not either.
    let page = service.get("/v1/events?limit=1").await;
    assert_eq!(page["coverage"]["state"], "partial");
    assert_eq!(page["coverage"]["missing"][0]["reason"], "not_yet");
    let totals = &page["coverage"]["missing_by_reason"];
    assert_eq!(totals.as_object().unwrap().len(), 1, "{totals}");
    let newest = &totals["not_yet"];
    assert_eq!(
        (&newest["stretches"], &newest["sources"]),
        (&2.into(), &2.into())
    );
    // Only the newest moments are missing, and the answer says so.
    assert!(newest["longest_seconds"].as_i64().unwrap() < 60, "{newest}");
    let page = service
        .get(&format!("/v1/events?since={}&before={}", day(60), day(10)))
        .await;
    assert_eq!(page["coverage"]["missing_total"], 2);
    assert_eq!(page["coverage"]["missing"][0]["reason"], "not_asked_for");
    let lost = &page["coverage"]["missing_by_reason"]["not_asked_for"];
    assert_eq!(
        (&lost["stretches"], &lost["sources"]),
        (&2.into(), &2.into())
    );
    let seconds = lost["seconds"].as_i64().unwrap();
    // Two sources, each with twenty days before its history begins, and a little more.
    assert!((39..=42).contains(&(seconds / 86_400)), "{lost}");
    let page = service.get("/v1/events?source=accounts/nobody").await;
    assert_eq!(page["coverage"]["missing"][0]["reason"], "not_followed");

    let source = upstream.simulator.sources().remove(1).to_string();
    let path = format!(
        "/v1/coverage?since={}&before={}&source={source}",
        day(20),
        day(10)
    );
    let coverage = service.get(&path).await;
    let sources = coverage["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 1);
    assert_eq!(sources[0]["source"], source.as_str());
    assert_eq!(sources[0]["gaps"], serde_json::json!([]));
    let intervals = sources[0]["intervals"].as_array().unwrap();
    assert_eq!(intervals[0]["since"], format!("{}T00:00:00Z", day(20)));
    assert_eq!(
        intervals.last().unwrap()["before"],
        format!("{}T00:00:00Z", day(10))
    );
    let mut keys: Vec<&String> = intervals[0].as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(
        keys,
        ["before", "entries", "new", "scanned_at", "since", "state"]
    );
    assert_eq!(
        service.get("/v1/coverage").await["sources"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let mut told = String::new();
    for query in [
        "since=soon",
        "since=2026-08-02&before=2026-08-01",
        "source=x",
        "sorce=a",
        "since=2026-08-01&since=2026-08-02",
    ] {
        let (status, body) = service.ask(&format!("/v1/coverage?{query}")).await;
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        told += &format!(
            "{query}\n    {status} at {}: {}\n",
            problem["parameter"], problem["detail"]
        );
    }
    insta::assert_snapshot!(told);
    service.stop().await.unwrap();
}
