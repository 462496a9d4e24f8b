//! One source, one answer, one wrong clock: none of them stops anything else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::coverage::{self, Asked, MergedState, MergedStretch, Reason, Verdict, VerdictState};
use orgtrail::durable::{Failpoints, StepFailure};
use orgtrail::health::State;
use orgtrail::poll::{BackfillSince, Next, Settings};
use orgtrail::position::{Source, Window, WindowKind};
use orgtrail::store::{self, StoreError};
use orgtrail_simulator::{Faults, SeenRequest, SimConfig};

use crate::harness::{Service, Upstream, configuration};
use crate::manual_clock::{Plan, World, start};
use crate::{seeds, skip_slow_tests, tell};

/// A quiet upstream whose accounts are called every minute, and no history.
async fn world(change: impl FnOnce(&mut SimConfig, &mut Plan)) -> World {
    let mut config = SimConfig {
        events: 0,
        accounts: 3,
        days: 3,
        ..SimConfig::default()
    };
    let mut plan = Plan::default();
    plan.settings = Settings {
        max_interval: TimeDelta::minutes(1),
        backfill_since: BackfillSince::Span(TimeDelta::zero()),
        ..plan.settings
    };
    change(&mut config, &mut plan);
    World::new(config, plan).await
}

async fn poll_until(world: &mut World, end: DateTime<Utc>) {
    while world.clock.now() < end {
        world.poll_beside(&[], end).await;
    }
}

async fn poll_for(world: &mut World, minutes: i64) {
    let end = world.clock.now() + TimeDelta::minutes(minutes);
    poll_until(world, end).await;
}

/// When the log of a source was called.
fn calls_of(world: &World, source: &Source) -> Vec<DateTime<Utc>> {
    let path = format!("/{}/logs/", source.id());
    let requests = world.simulator.requests().into_iter();
    requests
        .filter(|request| request.path_and_query.contains(&path))
        .map(|request| request.at)
        .collect()
}

fn state(world: &mut World, source: &Source) -> State {
    world.board().read(source).state
}

fn lag(world: &mut World, source: &Source) -> TimeDelta {
    let before = world.store().progress(source).unwrap().live_before;
    world.clock.now() - before.unwrap()
}

#[tokio::test]
async fn a_refused_account_is_its_own_failure_and_is_called_less_and_less_often() {
    for status in [401, 403] {
        let mut world = world(|_, _| ()).await;
        let sources = world.simulator.sources();
        poll_for(&mut world, 5).await;
        world.simulator.set_faults(Faults {
            statuses: vec![(sources[1].clone(), status)],
            ..Faults::default()
        });
        let changed = world.clock.now();
        poll_for(&mut world, 180).await;
        assert_eq!(state(&mut world, &sources[1]), State::Refused, "{status}");
        for source in [&sources[0], &sources[2], &sources[3]] {
            assert_eq!(state(&mut world, source), State::Live, "{status}: {source}");
            let calls = calls_of(&world, source);
            let longest = calls.windows(2).map(|two| two[1] - two[0]).max().unwrap();
            assert!(longest < TimeDelta::seconds(70), "{status}: {longest}");
        }
        let mut calls = calls_of(&world, &sources[1]);
        calls.retain(|at| *at > changed);
        // 5, 10, 20 … seconds, and then an hour.
        assert!((9..=14).contains(&calls.len()), "{status}: {calls:?}");
        assert!(!world.board().has_refused_credential(world.clock.now()));

        // A changed token is tried at once.
        world.simulator.set_faults(Faults::default());
        *world.token.lock().unwrap() = "another-token".to_owned();
        poll_for(&mut world, 1).await;
        assert_eq!(state(&mut world, &sources[1]), State::Live, "{status}");
    }
}

#[tokio::test]
async fn a_credential_is_called_refused_after_half_a_minute_without_an_answer() {
    let mut world = world(|_, _| ()).await;
    let sources = world.simulator.sources();
    poll_for(&mut world, 5).await;
    let every = |status| {
        sources
            .iter()
            .map(|source| (source.clone(), status))
            .collect()
    };
    world.simulator.set_faults(Faults {
        statuses: every(401),
        ..Faults::default()
    });
    let before = world.simulator.requests().len();
    let is_refused = |request: &orgtrail_simulator::SeenRequest| request.status == 401;
    while !world.simulator.requests().last().is_some_and(is_refused) {
        world.poll().await;
    }
    let first = world.clock.now();
    poll_until(&mut world, first + TimeDelta::seconds(25)).await;
    assert!(!world.board().has_refused_credential(world.clock.now()));
    for source in &sources {
        assert_ne!(state(&mut world, source), State::Refused);
    }
    poll_until(&mut world, first + TimeDelta::seconds(120)).await;
    assert!(world.board().has_refused_credential(world.clock.now()));
    for source in &sources {
        assert_eq!(state(&mut world, source), State::Refused);
    }
    let calls = world.simulator.requests().len() - before;
    assert!(calls < 25, "{calls} calls");
    world.simulator.set_faults(Faults::default());
    poll_for(&mut world, 6).await;
    assert!(!world.board().has_refused_credential(world.clock.now()));
    for source in &sources {
        assert_eq!(state(&mut world, source), State::Live);
    }
}

#[tokio::test]
async fn upstream_is_called_unreachable_after_five_minutes_without_an_answer() {
    let mut world = world(|_, _| ()).await;
    let sources = world.simulator.sources();
    poll_for(&mut world, 5).await;
    let statuses = |sources: &[Source]| Faults {
        statuses: sources.iter().map(|one| (one.clone(), 503)).collect(),
        ..Faults::default()
    };
    let is_unreachable =
        |world: &mut World| world.board().is_upstream_unreachable(world.clock.now());
    // One source that answers is enough.
    world.simulator.set_faults(statuses(&sources[1..]));
    poll_for(&mut world, 20).await;
    assert!(!is_unreachable(&mut world));
    world.simulator.set_faults(statuses(&sources));
    poll_for(&mut world, 4).await;
    assert!(!is_unreachable(&mut world));
    poll_for(&mut world, 3).await;
    assert!(is_unreachable(&mut world));
    world.simulator.set_faults(Faults::default());
    poll_for(&mut world, 6).await;
    assert!(!is_unreachable(&mut world));
}

#[tokio::test]
async fn a_new_credential_that_is_refused_now_and_then_is_not_called_refused() {
    let mut world = world(|_, _| ()).await;
    let sources = world.simulator.sources();
    let every: Vec<_> = sources.iter().map(|source| (source.clone(), 403)).collect();
    for turn in 0..60_u8 {
        let statuses = if turn.is_multiple_of(2) {
            every.clone()
        } else {
            Vec::new()
        };
        world.simulator.set_faults(Faults {
            statuses,
            ..Faults::default()
        });
        let end = world.clock.now() + TimeDelta::seconds(1);
        while world.clock.now() < end {
            world.poll_beside(&[], end).await;
        }
        assert!(!world.board().has_refused_credential(world.clock.now()));
        for source in &sources {
            assert_ne!(state(&mut world, source), State::Refused, "second {turn}");
        }
    }
    world.simulator.set_faults(Faults::default());
    poll_for(&mut world, 2).await;
    for source in &sources {
        assert_eq!(state(&mut world, source), State::Live);
    }
}

#[tokio::test]
async fn history_that_always_fails_is_called_seldom_and_holds_nothing_back() {
    let mut world = world(|_, plan| {
        plan.settings.backfill_since = BackfillSince::Span(TimeDelta::days(2));
        plan.settings.sweeps = vec![TimeDelta::minutes(15)];
    })
    .await;
    world.simulator.set_faults(Faults {
        failing_before: Some(start() - TimeDelta::minutes(30)),
        ..Faults::default()
    });
    poll_for(&mut world, 20).await;
    let (before, begun) = (world.simulator.requests().len(), world.clock.now());
    poll_for(&mut world, 60).await;
    let requests = world.simulator.requests().split_off(before);
    let failed = requests.iter().filter(|request| request.status == 503);
    let failed = failed.count();
    // Each of four sources once in five minutes.
    assert!(
        (40..=52).contains(&failed),
        "{failed} failed calls in an hour"
    );
    for source in world.simulator.sources() {
        assert!(
            lag(&mut world, &source) < TimeDelta::seconds(70),
            "{source}"
        );
        assert_eq!(state(&mut world, &source), State::Failing, "{source}");
        let swept = world.store().progress(&source).unwrap();
        let is_swept = |piece: &&orgtrail::ledger::Sealed| {
            piece.window.since < begun && piece.is_complete(&[TimeDelta::minutes(15)])
        };
        assert!(
            swept.proven.iter().any(|piece| is_swept(&piece)),
            "{source}: {:#?}",
            swept.proven
        );
    }
    world.simulator.set_faults(Faults::default());
    poll_for(&mut world, 10).await;
    for source in world.simulator.sources() {
        assert_eq!(state(&mut world, &source), State::Live, "{source}");
        assert!(world.board().read(&source).backfill_done);
    }
}

#[tokio::test]
async fn history_that_is_refused_does_not_delay_what_is_new() {
    let mut world = world(|_, plan| {
        plan.settings.backfill_since = BackfillSince::Span(TimeDelta::days(2));
        plan.settings.sweeps = vec![TimeDelta::minutes(15)];
    })
    .await;
    world.simulator.set_faults(Faults {
        refused_before: Some(start() - TimeDelta::minutes(30)),
        ..Faults::default()
    });
    for _ in 0..12 {
        poll_for(&mut world, 10).await;
        for source in world.simulator.sources() {
            let lag = lag(&mut world, &source);
            assert!(lag < TimeDelta::seconds(70), "{source}: {lag}");
        }
    }
    let before = world.simulator.requests().len();
    poll_for(&mut world, 60).await;
    let requests = world.simulator.requests().split_off(before);
    let refused = requests.iter().filter(|request| request.status == 400);
    // Each of four sources once in an hour by then, or twice.
    assert!(refused.count() <= 8);
    assert!(!world.board().is_upstream_unreachable(world.clock.now()));
}

#[tokio::test]
async fn a_window_that_upstream_finds_too_long_is_halved() {
    let mut world = world(|config, plan| {
        config.events = 300;
        plan.settings.backfill_since = BackfillSince::Span(TimeDelta::days(4));
    })
    .await;
    world.simulator.set_faults(Faults {
        longest_window: Some(TimeDelta::hours(5)),
        ..Faults::default()
    });
    world.settle().await;
    world.invariants();
    let requests = world.simulator.requests();
    let logs = requests
        .iter()
        .filter(|request| request.path_and_query.contains("/logs/audit?"));
    let (read, refused): (Vec<_>, Vec<_>) = logs.partition(|request| request.status == 200);
    let is_long = |request: &SeenRequest| asked_span(request) > TimeDelta::hours(5);
    assert!(refused.into_iter().any(is_long));
    assert!(!read.is_empty());
    assert!(!read.into_iter().any(is_long));
}

/// How long the window of a request for a log is.
fn asked_span(request: &SeenRequest) -> TimeDelta {
    let (_, query) = request.path_and_query.split_once('?').unwrap();
    let moment = |wanted: &str| -> DateTime<Utc> {
        let (_, value) = url::form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == wanted)
            .unwrap();
        value.parse().unwrap()
    };
    moment("before") - moment("since")
}

#[tokio::test]
async fn after_an_outage_of_days_a_quiet_source_is_caught_up_in_a_few_calls() {
    let mut world = world(|_, _| ()).await;
    poll_for(&mut world, 5).await;
    world.crash();
    world.clock.advance(TimeDelta::days(3));
    let begun = world.clock.now();
    poll_for(&mut world, 2).await;
    for source in world.simulator.sources() {
        assert!(
            lag(&mut world, &source) < TimeDelta::seconds(70),
            "{source}"
        );
        let mut calls = calls_of(&world, &source);
        calls.retain(|at| *at >= begun);
        assert!(calls.len() <= 10, "{} calls for three days", calls.len());
        let progress = world.store().progress(&source).unwrap();
        let outage = Window::new(start(), begun);
        assert!(orgtrail::ledger::open_parts(&progress.proven, outage).is_empty());
    }
}

#[tokio::test]
async fn a_source_of_two_credentials_is_followed_by_one_of_them() {
    let mut world = world(|_, _| ()).await;
    poll_for(&mut world, 5).await;
    let source = world.simulator.sources().remove(1);
    let mut other = world.another_poller("env:OTHER", std::slice::from_ref(&source));
    for _ in 0..20 {
        world.poll().await;
        // It may read the account's name, and no page of its log.
        if let Next::Turn(turn) = other.next_turn(world.clock.now()) {
            other.record_outcome(turn.perform().await).unwrap();
        }
    }
    let path = format!("/{}/logs/", source.id());
    let mut calls = world.simulator.requests();
    calls.retain(|call| call.path_and_query.contains(&path));
    let first = calls[0].credential.clone();
    assert!(calls.iter().all(|call| call.credential == first));
    // And what contradicts a row is an error of its own, not the end.
    let (store, now) = (world.store(), world.clock.now());
    let window = Window::new(now - TimeDelta::minutes(1), now);
    let begin = || store.begin_window(&source, WindowKind::Sweep, window, now);
    begin().unwrap();
    assert!(matches!(begin(), Err(StoreError::Conflict(_))));
}

#[tokio::test]
async fn a_panic_in_a_turn_ends_that_turn_only() {
    let armed = Arc::new(AtomicU32::new(0));
    let left = Arc::clone(&armed);
    let mut world = world(|_, plan| {
        plan.failpoints = Failpoints::new(move |step| {
            let take = |left: u32| left.checked_sub(1);
            let is_hit = step == store::steps::APPEND_PAGE
                && left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                    .is_ok();
            assert!(!is_hit, "a defect on purpose");
            None
        });
    })
    .await;
    poll_for(&mut world, 5).await;
    armed.store(3, Ordering::SeqCst);
    while world.board().panics() < 3 {
        world.poll().await;
    }
    let sources = world.simulator.sources();
    let told = sources
        .iter()
        .filter_map(|source| world.board().read(source).last_error);
    let told: Vec<String> = told.map(|error| error.message).collect();
    assert!(
        told.iter()
            .any(|message| message.contains("a defect on purpose")),
        "{told:?}"
    );
    poll_for(&mut world, 10).await;
    for source in &sources {
        assert_eq!(state(&mut world, source), State::Live);
        assert!(lag(&mut world, source) < TimeDelta::seconds(70), "{source}");
    }
    assert_eq!(world.board().panics(), 3);
}

#[tokio::test]
async fn one_wrong_date_stops_nothing() {
    let years = TimeDelta::days(18_262);
    for off in [TimeDelta::hours(1), -TimeDelta::hours(1), years, -years] {
        for minutes in [0, 5] {
            let mut world = world(|config, _| config.live_per_minute = 2.0).await;
            poll_for(&mut world, minutes).await;
            world.simulator.set_faults(Faults {
                wrong_date: 1.0,
                date_off: off,
                ..Faults::default()
            });
            // The list of accounts comes first.
            let before = world.simulator.requests().len();
            while world.simulator.requests().len() < before + if minutes == 0 { 3 } else { 1 } {
                world.poll().await;
            }
            world.simulator.set_faults(Faults::default());
            poll_for(&mut world, 10).await;
            for source in world.simulator.sources() {
                assert!(
                    lag(&mut world, &source) < TimeDelta::seconds(70),
                    "{off}: {source}"
                );
                assert_eq!(state(&mut world, &source), State::Live, "{off}: {source}");
                let since = world.store().progress(&source).unwrap().live_since.unwrap();
                assert!(since > start() - TimeDelta::hours(1), "{off}: {since}");
            }
            world.claims_hold(&mut fastrand::Rng::with_seed(1));
        }
    }
}

#[tokio::test]
async fn a_date_that_stays_wrong_is_reported_and_found_to_be_right_again() {
    let years = TimeDelta::days(18_262);
    for off in [-TimeDelta::hours(3), -years] {
        let mut world = world(|_, _| ()).await;
        poll_for(&mut world, 5).await;
        let source = world.simulator.sources().remove(1);
        world.simulator.set_faults(Faults {
            wrong_date: 1.0,
            date_off: off,
            ..Faults::default()
        });
        poll_for(&mut world, 60).await;
        assert_eq!(state(&mut world, &source), State::Clock, "{off}");
        assert_eq!(newest_gap(&mut world, &source), Reason::Clock, "{off}");
        // One of the sources is called now and then, to find out.
        let mut calls = world.simulator.requests();
        calls.retain(|call| call.at > start() + TimeDelta::minutes(10));
        assert!((5..60).contains(&calls.len()), "{off}: {}", calls.len());
        world.simulator.set_faults(Faults::default());
        poll_for(&mut world, 10).await;
        assert_eq!(state(&mut world, &source), State::Live, "{off}");
        assert!(lag(&mut world, &source) < TimeDelta::seconds(70), "{off}");
    }
}

#[tokio::test]
async fn a_credential_that_was_refused_goes_on_although_it_may_not_read_lists() {
    let mut world = world(|_, _| ()).await;
    let sources = world.simulator.sources();
    poll_for(&mut world, 5).await;
    let all = sources.iter().map(|source| (source.clone(), 401));
    world.simulator.set_faults(Faults {
        statuses: all.collect(),
        list_forbidden: 1.0,
        ..Faults::default()
    });
    poll_for(&mut world, 10).await;
    assert!(world.board().has_refused_credential(world.clock.now()));
    world.simulator.set_faults(Faults {
        list_forbidden: 1.0,
        ..Faults::default()
    });
    poll_for(&mut world, 12).await;
    assert!(!world.board().has_refused_credential(world.clock.now()));
    for source in &sources {
        assert_eq!(state(&mut world, source), State::Live, "{source}");
    }
}

#[tokio::test]
async fn sources_that_were_lost_pause_no_other() {
    let mut world = world(|config, _| config.accounts = 8).await;
    let sources = world.simulator.sources();
    poll_for(&mut world, 5).await;
    // Three that were answered before, one after the other.
    for n in 1..=3 {
        let lost = sources[1..=n].iter().map(|source| (source.clone(), 401));
        world.simulator.set_faults(Faults {
            statuses: lost.collect(),
            ..Faults::default()
        });
        poll_for(&mut world, 20).await;
    }
    poll_for(&mut world, 180).await;
    assert!(!world.board().has_refused_credential(world.clock.now()));
    for source in sources[4..].iter().chain(&sources[..1]) {
        assert_eq!(state(&mut world, source), State::Live, "{source}");
        let calls = calls_of(&world, source);
        let longest = calls.windows(2).map(|two| two[1] - two[0]).max().unwrap();
        assert!(longest < TimeDelta::seconds(75), "{source}: {longest}");
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_is_reported_until_it_is_right() {
    let mut world = world(|_, _| ()).await;
    poll_for(&mut world, 5).await;
    world.local_clock.jump(-TimeDelta::days(10));
    poll_for(&mut world, 5).await;
    let source = world.simulator.sources().remove(1);
    assert_eq!(state(&mut world, &source), State::Clock);
    for sources in [Vec::new(), vec![source.clone()]] {
        let open = Asked {
            sources,
            ..Asked::default()
        };
        let verdict = verdict(&mut world, &open);
        assert_eq!(verdict.state, VerdictState::Partial);
        let clock = &verdict.missing_by_reason[&Reason::Clock];
        assert!(clock.seconds > Some(9 * 24 * 3_600), "{clock:?}");
        assert_eq!(clock.before, None, "the present is not known");
    }
    world.local_clock.jump(TimeDelta::days(10));
    assert_eq!(newest_gap(&mut world, &source), Reason::Clock);
    poll_for(&mut world, 3).await;
    assert_eq!(state(&mut world, &source), State::Live);
}

#[tokio::test]
async fn answers_without_a_date_go_on() {
    let mut world = world(|_, _| ()).await;
    poll_for(&mut world, 5).await;
    world.simulator.set_faults(Faults {
        no_date: 1.0,
        ..Faults::default()
    });
    poll_for(&mut world, 30).await;
    for source in world.simulator.sources() {
        assert!(
            lag(&mut world, &source) < TimeDelta::seconds(70),
            "{source}"
        );
    }
}

fn verdict(world: &mut World, asked: &Asked) -> Verdict {
    let (store, board, now) = (world.store(), world.board(), world.local_clock.now());
    let scope = orgtrail::engine::Scope::everything();
    coverage::verdict(&store, Some(&board), &scope, asked, now).unwrap()
}

fn merged(world: &mut World, asked: &Asked) -> Vec<MergedStretch> {
    let (store, board, now) = (world.store(), world.board(), world.local_clock.now());
    let scope = orgtrail::engine::Scope::everything();
    let merged = coverage::merged(&store, Some(&board), &scope, asked, None, 100, now);
    merged.unwrap().stretches
}

#[tokio::test]
async fn what_could_not_be_saved_at_the_start_is_saved_later_and_makes_answers_partial_until_then()
{
    let is_full = Arc::new(AtomicBool::new(true));
    let full = Arc::clone(&is_full);
    let mut world = world(move |_, plan| {
        plan.failpoints = Failpoints::new(move |step| {
            let is_it = step == store::steps::SAVE_SOURCES;
            (is_it && full.load(Ordering::SeqCst)).then_some(StepFailure::Before)
        });
        plan.also = vec![Source::account("configured-by-itself").unwrap()];
    })
    .await;
    // One that was configured once.
    let old = store::Store::open(world.dir(), Failpoints::default()).unwrap();
    old.want_only_account_lists(&["left".to_owned()]).unwrap();
    old.close().unwrap();
    let everything = Asked::default();
    poll_for(&mut world, 5).await;
    let answer = verdict(&mut world, &everything);
    assert_eq!(answer.state, VerdictState::Partial);
    assert!(answer.missing_by_reason.contains_key(&Reason::NotFollowed));
    assert!(world.simulator.requests().is_empty(), "nothing is read");
    // There is room again, without a restart.
    is_full.store(false, Ordering::SeqCst);
    poll_for(&mut world, 5).await;
    let store = world.store();
    assert!(store.aims().unwrap().is_some());
    let lists = store.account_lists().unwrap().into_iter();
    let lists: Vec<Source> = lists.map(|(organization, _)| organization).collect();
    assert_eq!(lists, [world.simulator.sources()[0].clone()]);
    let rows: Vec<_> = store.sources().unwrap();
    for source in world.simulator.sources().iter().chain(&world.plan.also) {
        assert!(rows.iter().any(|row| row.source == *source), "{source}");
    }
    let answer = verdict(&mut world, &everything);
    let total = answer.missing_by_reason.get(&Reason::NotFollowed);
    assert!(total.is_none(), "{total:?}");
    // While something is not saved, nothing of all sources together is proven.
    let of_one = Asked {
        sources: vec![world.simulator.sources()[0].clone()],
        ..Asked::default()
    };
    let stretches = merged(&mut world, &of_one);
    assert!(
        stretches
            .iter()
            .any(|one| one.state != MergedState::Missing)
    );
    world.board().set_saved("another credential", false);
    let stretches = merged(&mut world, &of_one);
    let is_missing = |one: &MergedStretch| one.state == MergedState::Missing;
    assert!(
        !stretches.is_empty() && stretches.iter().all(is_missing),
        "{stretches:?}"
    );
}

#[tokio::test]
async fn a_question_about_what_comes_after_the_present_is_never_complete() {
    let mut world = world(|_, plan| plan.settings.sweeps = Vec::new()).await;
    poll_for(&mut world, 5).await;
    let now = world.clock.now();
    let later = [
        (now + TimeDelta::days(1), None),
        (now + TimeDelta::days(1), Some(now + TimeDelta::days(2))),
        (now - TimeDelta::minutes(3), Some(now + TimeDelta::days(2))),
    ];
    for (since, before) in later {
        let asked = Asked {
            since: Some(since),
            before,
            sources: Vec::new(),
        };
        let verdict = verdict(&mut world, &asked);
        assert_eq!(verdict.state, VerdictState::Partial, "{since} {before:?}");
        let reasons: Vec<_> = verdict.missing_by_reason.keys().copied().collect();
        assert_eq!(reasons, [Reason::NotYet], "{since} {before:?}");
    }
    // What is proven of the past is not doubted.
    let asked = Asked {
        since: Some(now - TimeDelta::minutes(4)),
        before: Some(now - TimeDelta::minutes(3)),
        sources: Vec::new(),
    };
    let verdict = verdict(&mut world, &asked);
    assert_eq!(verdict.state, VerdictState::Complete, "{verdict:?}");
}

fn newest_gap(world: &mut World, source: &Source) -> Reason {
    let (store, board, now) = (world.store(), world.board(), world.clock.now());
    let asked = Asked {
        since: Some(now - TimeDelta::minutes(2)),
        before: Some(now),
        sources: vec![source.clone()],
    };
    let mut found = coverage::sources(
        &store,
        Some(&board),
        &orgtrail::engine::Scope::everything(),
        &asked,
        now,
    )
    .unwrap();
    found.remove(0).gaps.pop().unwrap().reason
}

#[tokio::test]
async fn nonsense_in_retry_after_is_waited_out_within_bounds() {
    for text in [
        "0",
        "Mon, 03 Aug 2020 08:00:00 GMT",
        "-5",
        "NaN",
        "99999999999999999999",
    ] {
        let mut world = world(|_, _| ()).await;
        poll_for(&mut world, 5).await;
        world.simulator.set_faults(Faults {
            rate_limited: 1.0,
            retry_after_seconds: 1,
            retry_after_text: Some(text.to_owned()),
            ..Faults::default()
        });
        let before = world.simulator.requests().len();
        poll_for(&mut world, 60).await;
        let calls = world.simulator.requests().len() - before;
        assert!(
            (1..=22).contains(&calls),
            "{text}: {calls} calls in an hour"
        );
        world.simulator.set_faults(Faults::default());
        // No wait is longer than a day, whatever a header says.
        let end = world.clock.now() + TimeDelta::hours(24);
        let before = world.simulator.requests().len();
        while world.clock.now() < end && world.simulator.requests().len() == before {
            world.poll_beside(&[], end).await;
        }
        poll_for(&mut world, 5).await;
        let source = world.simulator.sources().remove(0);
        assert!(lag(&mut world, &source) < TimeDelta::seconds(70), "{text}");
    }
}

/// How a mixed world is followed: how many accounts of each kind, and the budget.
struct Mix {
    accounts: u32,
    max_requests: u32,
    minutes: i64,
}

#[tokio::test]
async fn refused_hanging_and_failing_sources_slow_no_healthy_one() {
    let small = Mix {
        accounts: 100,
        max_requests: 130,
        minutes: 70,
    };
    let whole = Mix {
        accounts: 500,
        max_requests: 600,
        minutes: 120,
    };
    for seed in seeds(1, 3) {
        tell(format!("seed {seed}"));
        mixed(if skip_slow_tests() { &small } else { &whole }, seed).await;
    }
}

#[tokio::test]
async fn many_sources_that_answer_a_byte_at_a_time_hold_up_no_other() {
    let mut world = world(|config, plan| {
        config.accounts = 100;
        plan.max_requests = 1_200;
    })
    .await;
    poll_for(&mut world, 10).await;
    let sources = world.simulator.sources();
    let (dripping, healthy) = sources[1..].split_at(70);
    world.simulator.set_faults(Faults {
        hanging: dripping.to_vec(),
        stall_for: std::time::Duration::ZERO,
        ..Faults::default()
    });
    // Their answers never pause for long, and are ended by their total time alone.
    world.hang_for = TimeDelta::minutes(5);
    let begun = world.clock.now();
    let end = begun + TimeDelta::minutes(20);
    while world.clock.now() < end {
        world.poll_beside(dripping, end).await;
    }
    for source in healthy {
        let mut calls = calls_of(&world, source);
        calls.retain(|at| *at >= begun);
        let longest = calls.windows(2).map(|two| two[1] - two[0]).max().unwrap();
        assert!(longest < TimeDelta::seconds(100), "{source}: {longest}");
    }
    let calls: usize = dripping.iter().map(|one| calls_of(&world, one).len()).sum();
    assert!(calls > dripping.len(), "they are tried again");
}

async fn mixed(mix: &Mix, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut world = world(|config, plan| {
        config.seed = seed;
        config.accounts = mix.accounts;
        config.live_per_minute = 20.0;
        plan.max_requests = mix.max_requests;
        plan.settings.max_interval = TimeDelta::minutes(10);
    })
    .await;
    let mut sources = world.simulator.sources();
    sources.remove(0);
    rng.shuffle(&mut sources);
    let fifth = sources.len() / 5;
    let (refused, rest) = sources.split_at(2 * fifth);
    let (broken, rest) = rest.split_at(fifth / 2);
    let (hanging, healthy) = rest.split_at(fifth);
    let statuses = [401, 403].into_iter().cycle();
    let statuses = refused.iter().cloned().zip(statuses);
    world.simulator.set_faults(Faults {
        seed,
        statuses: statuses
            .chain(broken.iter().map(|one| (one.clone(), 503)))
            .collect(),
        hanging: hanging.to_vec(),
        stall_for: std::time::Duration::ZERO,
        rate_limited: 0.0005,
        retry_after_seconds: 20,
        ..Faults::default()
    });
    let (warm, end) = (
        start() + TimeDelta::minutes(20),
        start() + TimeDelta::minutes(mix.minutes),
    );
    while world.clock.now() < end {
        world.poll_beside(hanging, end).await;
    }
    world.no_call_that_should_not_have_been();
    let mut longest: BTreeMap<&Source, TimeDelta> = BTreeMap::new();
    for source in healthy {
        let mut calls = calls_of(&world, source);
        calls.retain(|at| *at > warm);
        let gaps = calls.windows(2).map(|two| two[1] - two[0]);
        let last = end - calls.last().copied().unwrap_or(warm);
        longest.insert(source, gaps.chain([last]).max().unwrap());
    }
    let worst = longest.values().max().unwrap();
    let failing = refused.iter().chain(broken).chain(hanging);
    let failing: usize = failing.map(|source| calls_of(&world, source).len()).sum();
    let all = world.simulator.requests().len();
    tell(format!(
        "{} healthy of {} sources: the longest wait between two calls was {} s; {failing} of {all} calls were for the others",
        healthy.len(),
        mix.accounts,
        worst.num_seconds()
    ));
    assert!(*worst < TimeDelta::seconds(660), "{worst}");
    for source in healthy {
        assert_ne!(state(&mut world, source), State::Failing, "{source}");
    }
    for source in refused {
        assert_eq!(state(&mut world, source), State::Refused, "{source}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_file_that_cannot_be_read_is_not_a_refused_credential() {
    let upstream = Upstream::new(SimConfig {
        events: 10,
        accounts: 1,
        days: 3,
        ..SimConfig::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let account = upstream.simulator.sources().remove(1);
    let account = format!("[[accounts]]\nid = \"{}\"", account.id());
    let text = configuration(dir.path(), &upstream.base_url, &account);
    let token = dir.path().join("token");
    std::fs::remove_file(&token).unwrap();
    let service = Service::start(&text).await;
    let is_failing = |answer: &serde_json::Value| answer["sources"][0]["state"] == "failing";
    let sources = service.until("/v1/sources", is_failing).await;
    let error = sources["sources"][0]["last_error"]["message"].to_string();
    assert!(error.contains("could not read"), "{error}");
    assert_eq!(
        service.get("/readyz").await["problems"],
        serde_json::json!([])
    );
    std::fs::write(&token, "any-token").unwrap();
    service.settle(1).await;
    service.stop().await.unwrap();
}
