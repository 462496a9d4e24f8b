//! Pages that are incomplete, broken or misleading: what is claimed of them, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use orgtrail::coverage::{self, Asked, Gap, Reason};
use orgtrail::health::State;
use orgtrail::poll::BackfillSince;
use orgtrail::position::{Seq, Source, WindowKind};
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

/// Publishes an entry that is visible at once.
fn publish(world: &World, id: &str, time: DateTime<Utc>) {
    let text = format!(r#"{{"id":"{id}","action":{{"time":"{}"}}}}"#, stamp(time));
    let source = account(world);
    world.simulator.publish(&source, &text, time, time);
}

async fn poll_until(world: &mut World, end: DateTime<Utc>) {
    while world.clock.now() < end {
        world.poll().await;
    }
}

async fn poll_for(world: &mut World, minutes: i64) {
    let end = world.clock.now() + TimeDelta::minutes(minutes);
    poll_until(world, end).await;
}

fn ids(world: &mut World) -> BTreeSet<String> {
    let events = world.store().events_after(Seq::ZERO, 100_000, usize::MAX);
    let ids = events.unwrap().into_iter().map(|event| event.id);
    ids.flatten().collect()
}

fn gaps(world: &mut World, since: DateTime<Utc>, before: DateTime<Utc>) -> Vec<Gap> {
    let source = account(world);
    let asked = Asked {
        since: Some(since),
        before: Some(before),
        sources: vec![source],
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

fn live_before(world: &mut World) -> Option<DateTime<Utc>> {
    let source = account(world);
    world.store().progress(&source).unwrap().live_before
}

#[tokio::test]
async fn incomplete_answers_seal_nothing() {
    let mut world = world(|_, _| ()).await;
    poll_for(&mut world, 20).await;
    let sealed = live_before(&mut world);
    world.simulator.set_faults(Faults {
        incomplete: 1.0,
        ..Faults::default()
    });
    let happened = world.clock.now() + TimeDelta::minutes(1);
    publish(&world, "during", happened);
    poll_for(&mut world, 60).await;
    assert_eq!(live_before(&mut world), sealed);
    let source = account(&world);
    let health = world.board().read(&source);
    assert_eq!(health.state, State::Failing);
    let end = world.clock.now();
    let found = gaps(&mut world, happened, end);
    assert_eq!(found[0].reason, Reason::Failing);
    assert!(ids(&mut world).is_empty());

    world.simulator.set_faults(Faults::default());
    poll_for(&mut world, 20).await;
    assert!(ids(&mut world).contains("during"));
    assert!(gaps(&mut world, start(), end).is_empty());
}

#[tokio::test]
async fn empty_pages_with_a_cursor_do_not_end_a_scan() {
    for seed in 0..4 {
        println!("seed {seed}");
        let mut world = world(|config, _| config.max_limit = 5).await;
        poll_for(&mut world, 5).await;
        world.simulator.set_faults(Faults {
            seed,
            empty_page: 0.5,
            ..Faults::default()
        });
        let begun = world.clock.now();
        for second in 0..60 {
            let time = begun + TimeDelta::seconds(second);
            publish(&world, &second.to_string(), time);
        }
        poll_for(&mut world, 30).await;
        assert_eq!(ids(&mut world).len(), 60);
        assert!(gaps(&mut world, start(), begun + TimeDelta::minutes(2)).is_empty());
    }
}

#[tokio::test]
async fn a_log_whose_end_always_has_a_cursor_is_sealed_with_few_calls() {
    let mut world = world(|_, plan| plan.settings.max_interval = TimeDelta::minutes(1)).await;
    world.simulator.set_faults(Faults {
        empty_with_cursor: 1.0,
        ..Faults::default()
    });
    poll_for(&mut world, 60).await;
    let calls = world.simulator.requests().len();
    poll_for(&mut world, 60).await;
    let calls = world.simulator.requests().len() - calls;
    // Two sources, a scan a minute, three or four calls each.
    assert!((300..500).contains(&calls), "{calls} calls");
    let behind = world.clock.now() - live_before(&mut world).unwrap();
    assert!(behind < TimeDelta::minutes(2), "{behind}");
}

#[tokio::test]
async fn a_full_page_without_a_cursor_is_not_taken_for_the_last() {
    // The page is as long as was asked for; as upstream's default; and as the longest page before.
    for (page_size, max_limit) in [(20, 1_000), (400, 100), (400, 60)] {
        println!("page size {page_size}, at most {max_limit}");
        let mut world = world(|config, plan| {
            config.max_limit = max_limit;
            plan.settings.page_size = page_size;
        })
        .await;
        let source = account(&world);
        poll_for(&mut world, 5).await;
        let begun = world.clock.now();
        world.simulator.set_faults(Faults {
            no_cursor: 1.0,
            ..Faults::default()
        });
        for n in 0..350 {
            let time = begun + TimeDelta::milliseconds(n * 270);
            publish(&world, &n.to_string(), time);
            // Equal entries without an id stand at every place, so also where one page ends and the next begins.
            if n % 5 == 0 {
                let text = format!(r#"{{"action":{{"time":"{}"}},"n":{n}}}"#, stamp(time));
                world.simulator.publish(&source, &text, time, time);
                world.simulator.publish(&source, &text, time, time);
            }
        }
        let end = begun + TimeDelta::minutes(2);
        poll_until(&mut world, end + TimeDelta::minutes(20)).await;
        assert_eq!(ids(&mut world).len(), 350);
        assert_eq!(world.store().head(), Seq(350 + 140));
        assert!(gaps(&mut world, start(), end).is_empty());
    }
}

#[tokio::test]
async fn a_second_with_more_entries_than_fit_on_a_page_is_a_gap_when_no_cursor_leads_on() {
    let mut world = world(|_, plan| plan.settings.page_size = 10).await;
    poll_for(&mut world, 5).await;
    world.simulator.set_faults(Faults {
        no_cursor: 1.0,
        ..Faults::default()
    });
    let begun = world.clock.now();
    let crowded = begun + TimeDelta::seconds(30);
    for n in 0..40 {
        publish(&world, &format!("crowd {n}"), crowded);
    }
    for n in [0, 20, 40, 59] {
        publish(&world, &n.to_string(), begun + TimeDelta::seconds(n));
    }
    poll_for(&mut world, 30).await;
    let found = gaps(&mut world, start(), begun + TimeDelta::minutes(2));
    assert!(!found.is_empty());
    for gap in &found {
        assert_eq!(gap.reason, Reason::Unreadable, "{gap:?}");
        let since: DateTime<Utc> = gap.since.parse().unwrap();
        assert!((since - crowded).abs() < TimeDelta::seconds(3), "{gap:?}");
    }
    let held = ids(&mut world);
    for n in [0, 20, 40, 59] {
        assert!(held.contains(&n.to_string()), "{n}");
    }
    // What could be read of it is held.
    assert!(held.contains("crowd 0"));
}

#[tokio::test]
async fn an_answer_that_stays_unreadable_is_narrowed_down_to_its_second() {
    for is_utf8 in [true, false] {
        let mut world = world(|_, _| ()).await;
        let source = account(&world);
        let broken = start() + TimeDelta::minutes(7);
        for minute in 1..30 {
            let time = start() + TimeDelta::minutes(minute);
            publish(&world, &minute.to_string(), time);
        }
        // In history, too.
        let older = start() - TimeDelta::hours(30);
        publish(&world, "older", older - TimeDelta::hours(1));
        for time in [broken, older] {
            let inside = if is_utf8 { "\u{1}" } else { "GARBLED" };
            let text = format!(
                r#"{{"id":"broken","action":{{"time":"{}"}},"text":"{inside}"}}"#,
                stamp(time)
            );
            world.simulator.publish(&source, &text, time, time);
        }
        world.simulator.set_faults(Faults {
            garbled: vec!["GARBLED".to_owned()],
            ..Faults::default()
        });
        poll_until(&mut world, start() + TimeDelta::hours(2)).await;

        let mut expected: BTreeSet<String> = (1..30).map(|n: u32| n.to_string()).collect();
        expected.insert("older".to_owned());
        expected.remove("7");
        let held = ids(&mut world);
        assert!(held.is_superset(&expected), "{held:?}");
        let end = start() + TimeDelta::minutes(40);
        let found = gaps(&mut world, start() - TimeDelta::hours(40), end);
        assert_eq!(found.len(), 2, "{found:#?}");
        for (gap, second) in found.iter().zip([older, broken]) {
            assert_eq!(gap.reason, Reason::Unreadable);
            let bound = |text: &str| text.parse::<DateTime<Utc>>().unwrap() - second;
            assert!(bound(&gap.since) >= TimeDelta::seconds(-2), "{gap:?}");
            assert!(
                bound(gap.before.as_ref().unwrap()) <= TimeDelta::seconds(3),
                "{gap:?}"
            );
        }
        let health = world.board().read(&source);
        assert_eq!(health.state, State::Live);
        assert!(health.backfill_done);
        let calls = world.simulator.requests().len();
        poll_for(&mut world, 60).await;
        let calls = world.simulator.requests().len() - calls;
        assert!(calls < 100, "{calls} calls in an hour");
    }
}

#[tokio::test]
async fn cut_answers_never_make_a_gap() {
    let mut world = world(|_, _| ()).await;
    poll_for(&mut world, 5).await;
    world.simulator.set_faults(Faults {
        cut_body: 1.0,
        ..Faults::default()
    });
    publish(&world, "during", world.clock.now());
    poll_for(&mut world, 180).await;
    let end = world.clock.now();
    world.simulator.set_faults(Faults::default());
    poll_for(&mut world, 30).await;
    assert!(ids(&mut world).contains("during"));
    assert!(gaps(&mut world, start(), end).is_empty());
}

/// An entry that names another account.
fn foreign(id: &str, time: DateTime<Utc>) -> String {
    let time = stamp(time);
    format!(r#"{{"id":"{id}","action":{{"time":"{time}"}},"account":{{"id":"somebody-else"}}}}"#)
}

#[tokio::test]
async fn foreign_entries_alone_hold_back_no_older_history_and_are_a_gap() {
    let mut world = world(|_, _| ()).await;
    let source = account(&world);
    let strange = start() - TimeDelta::hours(30);
    let older = start() - TimeDelta::hours(70);
    let text = foreign("theirs", strange);
    world.simulator.publish(&source, &text, strange, strange);
    publish(&world, "older", older);
    // For half an hour it may pass.
    poll_for(&mut world, 25).await;
    assert!(!world.board().read(&source).backfill_done);
    while !world.board().read(&source).backfill_done {
        world.poll().await;
        assert!(world.clock.now() < start() + TimeDelta::hours(6));
    }
    assert_eq!(ids(&mut world), ["older".to_owned()].into());
    let found = gaps(&mut world, start() - TimeDelta::hours(71), start());
    let [gap] = &found[..] else {
        panic!("{found:#?}");
    };
    assert_eq!(gap.reason, Reason::ForeignEntries);
    let bound = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    assert!(bound(&gap.since) <= strange && strange < bound(gap.before.as_ref().unwrap()));
    let span = bound(gap.before.as_ref().unwrap()) - bound(&gap.since);
    assert!(span <= TimeDelta::hours(1), "{gap:?}");
}

#[tokio::test]
async fn a_sweep_that_sees_foreign_entries_alone_ends_and_takes_nothing_from_what_was_proven() {
    let mut world = world(|_, plan| plan.settings.sweeps = vec![TimeDelta::minutes(15)]).await;
    let source = account(&world);
    poll_for(&mut world, 10).await;
    let (strange, late) = (
        start() + TimeDelta::minutes(3),
        start() + TimeDelta::minutes(90),
    );
    let visible = world.clock.now();
    let text = foreign("theirs", strange);
    world.simulator.publish(&source, &text, strange, visible);
    publish(&world, "ours", late);
    poll_for(&mut world, 4 * 60).await;
    assert_eq!(ids(&mut world), ["ours".to_owned()].into());
    assert_eq!(world.board().read(&source).state, State::Live);
    // As of before they could be seen. Nothing later is claimed, so it is never complete.
    assert_eq!(gaps(&mut world, start(), start() + TimeDelta::hours(3)), []);
    let proven = world.store().progress(&source).unwrap().proven;
    let piece = proven.iter().find(|piece| piece.window.contains(strange));
    let piece = piece.expect("it was proven");
    assert!(piece.scanned_at <= visible, "{piece:?}");
    assert!(!piece.is_complete(&[TimeDelta::minutes(15)]), "{piece:?}");
    let calls = world.simulator.requests().len();
    poll_for(&mut world, 60).await;
    let calls = world.simulator.requests().len() - calls;
    assert!(calls < 60, "{calls} calls in an hour");
}

#[tokio::test]
async fn a_cursor_is_asked_for_with_the_limit_it_was_given_for() {
    let mut world = world(|_, plan| {
        plan.max_page_bytes = 30_000;
        plan.settings.page_size = 40;
    })
    .await;
    let source = account(&world);
    poll_for(&mut world, 5).await;
    let begun = world.clock.now();
    let mut expected = BTreeSet::new();
    for n in 0..400_i64 {
        let time = begun + TimeDelta::milliseconds(n * 140);
        // Light ones, heavy ones, and light ones again.
        let bytes = if (150..250).contains(&n) { 4_000 } else { 10 };
        let text = format!(
            r#"{{"id":"{n}","action":{{"time":"{}"}},"text":"{}"}}"#,
            stamp(time),
            "x".repeat(bytes)
        );
        world.simulator.publish(&source, &text, time, time);
        expected.insert(n.to_string());
    }
    let before = world.simulator.requests().len();
    poll_for(&mut world, 10).await;
    // The process ends in the middle of it, too.
    world.crash();
    poll_for(&mut world, 20).await;
    assert_eq!(ids(&mut world), expected);
    assert!(gaps(&mut world, start(), begun + TimeDelta::minutes(2)).is_empty());

    let mut last = BTreeMap::new();
    let mut with_cursor = 0;
    for request in world.simulator.requests().split_off(before) {
        let query = request.path_and_query.split('?').nth(1).unwrap_or_default();
        let given: BTreeMap<&str, &str> =
            query.split('&').filter_map(|p| p.split_once('=')).collect();
        let (Some(since), Some(limit)) = (given.get("since"), given.get("limit")) else {
            continue;
        };
        let question = (
            request.path_and_query.split('?').next().map(str::to_owned),
            (*since).to_owned(),
            given["before"].to_owned(),
        );
        let limit = (*limit).to_owned();
        if given.contains_key("cursor") {
            with_cursor += 1;
            assert_eq!(last.get(&question), Some(&limit), "{request:?}");
        }
        last.insert(question, limit);
    }
    assert!(with_cursor > 20, "{with_cursor} requests with a cursor");
    let limits: BTreeSet<&String> = last.values().collect();
    assert!(limits.len() > 2, "{limits:?}");
}

#[tokio::test]
async fn a_backfill_that_is_resumed_much_later_claims_only_what_is_still_kept() {
    for has_cursor in [false, true] {
        println!("with a cursor: {has_cursor}");
        let mut world = world(|config, plan| {
            config.accounts = 1;
            config.max_limit = 5;
            plan.settings.page_size = 5;
            plan.settings.backfill_since = BackfillSince::Date("2020-01-01".parse().unwrap());
        })
        .await;
        let source = account(&world);
        // Each day has some entries, over all that upstream keeps.
        for day in 1..548 {
            for n in 0..3 {
                publish(
                    &world,
                    &format!("{day}.{n}"),
                    start() - TimeDelta::days(day),
                );
            }
        }
        // Until the scan of an old stretch is under way.
        let old = start() - TimeDelta::days(480);
        let open_window = |world: &mut World| {
            // Not known before the accounts are listed.
            let progress = world.store().progress(&source).unwrap_or_default();
            let is_near = progress.backfilled_to.is_some_and(|at| at < old);
            if is_near && !has_cursor {
                // Every page is lost, so that the next window stays at its beginning.
                world.simulator.set_faults(Faults {
                    server_error: 1.0,
                    ..Faults::default()
                });
            }
            let open = progress.open(WindowKind::Backfill).cloned();
            open.filter(|open| open.window.since < old && open.cursor.is_some() == has_cursor)
        };
        let open = loop {
            if let Some(open) = open_window(&mut world) {
                break open.window;
            }
            world.poll().await;
            let done = world.board().read(&source).backfill_done;
            assert!(!done, "no such scan was under way");
        };
        world.crash();
        world.simulator.set_faults(Faults::default());
        // Until upstream keeps only the later half of it.
        while orgtrail::ledger::claimable_since(world.clock.now()) < open.middle().unwrap() {
            world.clock.advance(TimeDelta::hours(6));
        }
        let resumed = world.clock.now();
        while !world.board().read(&source).backfill_done {
            world.poll().await;
        }
        let kept = orgtrail::ledger::kept_since(resumed);
        let progress = world.store().progress(&source).unwrap();
        let first = progress.proven.first().unwrap().window.since;
        assert!(
            first >= kept + TimeDelta::hours(23),
            "{first} is claimed, {kept} is kept"
        );
        assert!(
            first <= kept + TimeDelta::hours(30),
            "{first} is the first, {kept} is kept"
        );
        let found = gaps(&mut world, kept - TimeDelta::days(10), resumed);
        let reasons: Vec<Reason> = found.iter().map(|gap| gap.reason).collect();
        let older = [
            Reason::BeforeUpstreamKept,
            Reason::BeforeTheAccountExisted,
            Reason::OlderThanUpstreamKeeps,
        ];
        assert!(older.contains(&reasons[0]), "{found:#?}");
    }
}

#[tokio::test]
async fn without_a_date_only_what_is_older_than_a_day_is_claimed() {
    let mut world = world(|config, _| {
        config.events = 200;
        config.live_per_minute = 0.5;
    })
    .await;
    let source = account(&world);
    world.simulator.set_faults(Faults {
        no_date: 1.0,
        ..Faults::default()
    });
    publish(&world, "new", start() + TimeDelta::minutes(5));
    for _ in 0..40 {
        let end = world.clock.now() + TimeDelta::minutes(15);
        poll_until(&mut world, end).await;
        let progress = world.store().progress(&source).unwrap();
        let day_ago = world.clock.now() - TimeDelta::days(1);
        for piece in progress.proven.iter() {
            assert!(piece.window.before <= day_ago, "{piece:?}");
            assert!(piece.scanned_at <= world.clock.now(), "{piece:?}");
        }
    }
    // What is newer is held all the same, with few calls, and what is older is proven.
    assert!(ids(&mut world).contains("new"));
    assert!(world.board().read(&source).backfill_done);
    let day_ago = world.clock.now() - TimeDelta::hours(25);
    assert!(live_before(&mut world).unwrap() > day_ago);
    assert!(gaps(&mut world, start() - TimeDelta::days(2), day_ago).is_empty());
    let calls = world.simulator.requests().len();
    poll_for(&mut world, 60).await;
    let calls = world.simulator.requests().len() - calls;
    assert!(calls < 400, "{calls} calls in an hour");

    // One date is enough: after it, steady time counts.
    world.simulator.set_faults(Faults::default());
    poll_for(&mut world, 30).await;
    world.simulator.set_faults(Faults {
        no_date: 1.0,
        ..Faults::default()
    });
    world.local_clock.jump(TimeDelta::hours(5));
    let jumped = world.clock.now();
    poll_for(&mut world, 60).await;
    let sealed = live_before(&mut world).unwrap();
    assert!(sealed > jumped + TimeDelta::minutes(40), "{sealed}");
    assert!(sealed <= world.clock.now(), "{sealed}");
}

#[tokio::test]
async fn no_answer_of_upstream_shows_the_credential() {
    for token in [
        "cfut_Zx81kPq0aB3cD5eF7gH9iJ1kL3mN5oP7qR9sTuVw",
        "Zx81kPq0aB3c-D5eF7gH9iJ1kL_3mN5oP7qR9sTu",
    ] {
        let mut world = world(|_, _| ()).await;
        *world.token.lock().unwrap() = token.to_owned();
        poll_for(&mut world, 5).await;
        let letters = |text: &str| -> String {
            let letters = text.chars().filter(char::is_ascii_alphanumeric);
            letters.map(|c| c.to_ascii_lowercase()).collect()
        };
        let secret = letters(token);
        let mut messages = BTreeSet::new();
        for seed in 0..150 {
            world.simulator.set_faults(Faults {
                seed,
                echo_credential: 1.0,
                ..Faults::default()
            });
            poll_for(&mut world, 6).await;
            let end = world.clock.now();
            for source in world.simulator.sources() {
                messages.extend(
                    world
                        .board()
                        .read(&source)
                        .last_error
                        .map(|error| error.message),
                );
            }
            messages.extend(
                gaps(&mut world, start(), end)
                    .into_iter()
                    .filter_map(|gap| gap.detail),
            );
        }
        assert!(messages.len() > 10, "{messages:?}");
        for message in &messages {
            let shown = letters(message);
            let part = (0..=secret.len() - 12).find(|at| shown.contains(&secret[*at..at + 12]));
            assert_eq!(part, None, "{message}");
            assert!(!message.contains("cfut_Z"), "{message}");
        }
        assert!(
            messages
                .iter()
                .any(|message| message.contains("[credential]"))
        );
    }
}

#[tokio::test]
async fn a_name_that_repeats_the_credential_is_shown_without_it() {
    let mut world = world(|_, _| ()).await;
    let source = account(&world);
    poll_for(&mut world, 5).await;
    let rows = world.store().sources().unwrap();
    let row = rows.into_iter().find(|row| row.source == source).unwrap();
    let name = row.label.unwrap();
    // The token is the account's own name, as far as a header can carry it.
    *world.token.lock().unwrap() = name.replace(' ', "-");
    poll_for(&mut world, 90).await;
    let rows = world.store().sources().unwrap();
    let row = rows.into_iter().find(|row| row.source == source).unwrap();
    assert_eq!(row.label.as_deref(), Some("[credential]"), "{name}");
}

#[tokio::test]
async fn a_second_whose_cursor_comes_again_is_passed_as_a_gap_and_the_source_goes_on() {
    let mut world = world(|_, plan| plan.settings.page_size = 10).await;
    let source = account(&world);
    poll_for(&mut world, 5).await;
    world.simulator.set_faults(Faults {
        cursor_loop: 1.0,
        ..Faults::default()
    });
    let crowded = world.clock.now() + TimeDelta::seconds(30);
    for n in 0..40 {
        publish(&world, &format!("crowd {n}"), crowded);
    }
    for n in 1..=60 {
        publish(&world, &n.to_string(), crowded + TimeDelta::minutes(n));
    }
    // While it is tried again, the source is reported as failing.
    let mut was_failing = false;
    let end = crowded + TimeDelta::minutes(100);
    while world.clock.now() < end {
        world.poll().await;
        let health = world.board().read(&source);
        was_failing |= health.failing_since.is_some() && health.state == State::Failing;
    }
    assert!(was_failing, "it looked well");
    let held = ids(&mut world);
    let after = (1..=60).filter(|n: &i64| held.contains(&n.to_string()));
    assert_eq!(after.count(), 60);
    assert!(held.contains("crowd 0"));
    let health = world.board().read(&source);
    assert_eq!((health.state, health.failing_since), (State::Live, None));
    let found = gaps(&mut world, start(), crowded + TimeDelta::minutes(60));
    assert!(!found.is_empty());
    for gap in &found {
        assert_eq!(gap.reason, Reason::Unreadable, "{gap:?}");
        let since: DateTime<Utc> = gap.since.parse().unwrap();
        assert!((since - crowded).abs() < TimeDelta::seconds(3), "{gap:?}");
    }
}

#[tokio::test]
async fn seconds_beside_an_entry_that_is_too_large_are_proven_with_few_calls() {
    let mut world = world(|_, plan| {
        plan.max_page_bytes = 20_000;
        plan.settings.page_size = 50;
    })
    .await;
    let source = account(&world);
    let happened = start() + TimeDelta::minutes(7);
    let mut expected = BTreeSet::new();
    for n in -300_i64..300 {
        let id = n.to_string();
        publish(
            &world,
            &id,
            happened + TimeDelta::milliseconds(n * 1_000 + 500),
        );
        expected.insert(id);
    }
    let text = format!(
        r#"{{"id":"large","action":{{"time":"{}"}},"text":"{}"}}"#,
        stamp(happened),
        "x".repeat(30_000)
    );
    world.simulator.publish(&source, &text, happened, happened);
    poll_until(&mut world, start() + TimeDelta::minutes(40)).await;
    let held = ids(&mut world);
    let missing: Vec<&String> = expected.difference(&held).collect();
    let calls = world.simulator.requests();
    let single = calls
        .iter()
        .filter(|call| {
            call.path_and_query.contains("limit=1&") || call.path_and_query.ends_with("limit=1")
        })
        .count();
    let found = gaps(&mut world, start(), start() + TimeDelta::minutes(20));
    println!("{} calls, {single} of one entry, {found:#?}", calls.len());
    for gap in &found {
        assert_eq!(gap.reason, Reason::EntryTooLarge, "{gap:?}");
        let since: DateTime<Utc> = gap.since.parse().unwrap();
        assert!((since - happened).abs() < TimeDelta::seconds(3), "{gap:?}");
    }
    assert!(!found.is_empty());
    // Asked one by one, its neighbours in the same two seconds come before it or are lost behind it.
    assert!(missing.len() <= 3, "{missing:?}");
    assert!(single < 50, "{single} calls for one entry");
}

#[tokio::test]
async fn a_hundred_entries_of_one_second_are_no_gap_while_upstream_shows_no_limit() {
    for n_entries in [60, 100] {
        let mut world = world(|_, plan| plan.settings.page_size = 1_000).await;
        poll_for(&mut world, 10).await;
        let happened = world.clock.now() + TimeDelta::seconds(5);
        for n in 0..n_entries {
            let time = happened + TimeDelta::milliseconds(n);
            publish(&world, &n.to_string(), time);
        }
        poll_for(&mut world, 20).await;
        assert_eq!(ids(&mut world).len(), usize::try_from(n_entries).unwrap());
        let found = gaps(&mut world, start(), happened + TimeDelta::minutes(1));
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[tokio::test]
async fn an_odd_time_at_the_end_of_a_full_page_does_not_hide_what_follows() {
    let mut world = world(|_, plan| plan.settings.page_size = 10).await;
    let source = account(&world);
    poll_for(&mut world, 5).await;
    world.simulator.set_faults(Faults {
        no_cursor: 1.0,
        ..Faults::default()
    });
    let begun = world.clock.now();
    for n in 0..30 {
        let time = begun + TimeDelta::seconds(n);
        let said = match n {
            9 => "2099-01-01T00:00:00Z".to_owned(),
            _ => stamp(time),
        };
        let text = format!(r#"{{"id":"{n}","action":{{"time":"{said}"}}}}"#);
        world.simulator.publish(&source, &text, time, time);
    }
    poll_for(&mut world, 30).await;
    let held = ids(&mut world);
    let missing: Vec<i64> = (0..30).filter(|n| !held.contains(&n.to_string())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(gaps(&mut world, start(), begun + TimeDelta::minutes(2)).is_empty());
}

#[tokio::test]
async fn a_clock_that_is_a_day_ahead_claims_nothing_of_the_future_without_a_date() {
    let mut world = world(|_, plan| {
        plan.settings.sweeps = vec![TimeDelta::minutes(15), TimeDelta::minutes(45)];
    })
    .await;
    let source = account(&world);
    poll_for(&mut world, 60).await;
    let happened = world.clock.now();
    let late = format!(
        r#"{{"id":"late","action":{{"time":"{}"}}}}"#,
        stamp(happened)
    );
    let visible = happened + TimeDelta::minutes(30);
    world.simulator.publish(&source, &late, happened, visible);
    poll_for(&mut world, 22).await;
    world.crash();
    world.local_clock.jump(TimeDelta::hours(27));
    world.simulator.set_faults(Faults {
        no_date: 1.0,
        ..Faults::default()
    });
    poll_for(&mut world, 2).await;
    let now = world.clock.now();
    let sealed = live_before(&mut world).unwrap();
    assert!(sealed <= now, "{sealed} is after {now}");
    let progress = world.store().progress(&source).unwrap();
    for piece in progress.proven.iter() {
        assert!(piece.scanned_at <= now, "{piece:?}");
    }
    world.simulator.set_faults(Faults::default());
    world.local_clock.jump(TimeDelta::hours(-27));
    world.crash();
    poll_for(&mut world, 90).await;
    assert!(ids(&mut world).contains("late"));
}
