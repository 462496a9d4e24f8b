//! Lists of accounts and members that fail, are cut or shrink: what is not known is not claimed, and nobody leaves by mistake.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::coverage::{self, Asked, Reason, Verdict, VerdictState};
use orgtrail::poll::Next;
use orgtrail::position::Source;
use orgtrail::store::{AccountList, SourceSeen};
use orgtrail_simulator::{Faults, SimConfig};

use crate::harness::{Service, Upstream, configuration};
use crate::manual_clock::{Plan, World, start};

/// A quiet organization with four accounts.
async fn world() -> World {
    let config = SimConfig {
        events: 0,
        accounts: 4,
        days: 3,
        ..SimConfig::default()
    };
    World::new(config, Plan::default()).await
}

async fn poll_for(world: &mut World, span: TimeDelta) {
    let end = world.clock.now() + span;
    while world.clock.now() < end {
        world.poll().await;
    }
}

/// What is said of a stretch of which every log is proven.
fn verdict(world: &mut World, sources: &[Source], before: DateTime<Utc>) -> Verdict {
    let asked = Asked {
        since: Some(start() - TimeDelta::minutes(1)),
        before: Some(before),
        sources: sources.to_vec(),
    };
    let (store, board, now) = (world.store(), world.board(), world.clock.now());
    coverage::verdict(
        &store,
        Some(&board),
        &orgtrail::engine::Scope::everything(),
        &asked,
        now,
    )
    .unwrap()
}

fn is_unknown(verdict: &Verdict) -> bool {
    verdict
        .missing_by_reason
        .contains_key(&Reason::AccountsUnknown)
}

/// Accounts that are marked as left.
fn left(world: &mut World) -> usize {
    let rows = world.store().sources().unwrap();
    rows.iter().filter(|row| row.left_at.is_some()).count()
}

/// Every way in which a list fails, or is not complete.
fn failures() -> [(&'static str, Faults); 5] {
    let none = Faults::default;
    [
        (
            "403",
            Faults {
                list_forbidden: 1.0,
                ..none()
            },
        ),
        (
            "404",
            Faults {
                list_not_found: 1.0,
                ..none()
            },
        ),
        (
            "null",
            Faults {
                list_null: 1.0,
                ..none()
            },
        ),
        (
            "cut",
            Faults {
                list_cut: 1.0,
                ..none()
            },
        ),
        (
            "without total",
            Faults {
                list_without_total: 1.0,
                ..none()
            },
        ),
    ]
}

#[tokio::test]
async fn until_all_accounts_are_listed_an_answer_over_all_sources_is_partial() {
    for (name, faults) in failures() {
        let mut world = world().await;
        let own = world.simulator.sources().remove(0);
        let before = start() + TimeDelta::minutes(1);
        world.simulator.set_faults(faults);
        poll_for(&mut world, TimeDelta::minutes(20)).await;
        let found = verdict(&mut world, &[], before);
        assert_eq!(found.state, VerdictState::Partial, "{name}");
        assert!(is_unknown(&found), "{name}: {found:?}");
        assert_eq!(found.missing[0].source, Some(own.to_string()), "{name}");
        // A question about one source is not about the list.
        let one = verdict(&mut world, std::slice::from_ref(&own), before);
        assert!(one.missing.is_empty(), "{name}: {one:?}");
        let message = world.board().read(&own).last_error.unwrap().message;
        assert!(message.contains("could not be listed"), "{name}: {message}");
        // Whoever is in a list that is cut is followed all the same.
        let followed = world.store().sources().unwrap().len();
        let listed = match name {
            "cut" => 2,
            "without total" => 4,
            _ => 0,
        };
        assert_eq!(followed, 1 + listed, "{name}");

        world.simulator.set_faults(Faults::default());
        poll_for(&mut world, TimeDelta::minutes(30)).await;
        assert_eq!(world.store().sources().unwrap().len(), 5, "{name}");
        let found = verdict(&mut world, &[], before);
        assert!(!is_unknown(&found), "{name}: {found:?}");
    }
}

#[tokio::test]
async fn a_list_that_was_complete_is_good_for_a_day() {
    for (name, faults) in failures() {
        let mut world = world().await;
        poll_for(&mut world, TimeDelta::minutes(30)).await;
        let before = start() + TimeDelta::minutes(1);
        world.simulator.set_faults(faults);
        poll_for(&mut world, TimeDelta::hours(23)).await;
        let found = verdict(&mut world, &[], before);
        assert!(!is_unknown(&found), "{name}: {found:?}");
        poll_for(&mut world, TimeDelta::hours(2)).await;
        let found = verdict(&mut world, &[], before);
        assert!(is_unknown(&found), "{name}: {found:?}");
        assert_eq!(left(&mut world), 0, "{name}: nobody has left");
        let sources = orgtrail::status::sources(
            &world.store(),
            None,
            &orgtrail::engine::Scope::everything(),
            world.clock.now(),
        );
        let own = sources
            .unwrap()
            .into_iter()
            .find_map(|one| one.accounts_read_at);
        assert!(own.unwrap().starts_with("2026-08-03T08:"), "{name}");
    }
}

#[tokio::test]
async fn a_list_that_was_read_while_the_clock_was_ahead_is_good_for_no_longer() {
    let ahead = TimeDelta::hours(20);
    let mut world = world().await;
    world.local_clock.jump(ahead);
    poll_for(&mut world, TimeDelta::minutes(30)).await;
    world.local_clock.jump(-ahead);
    world.simulator.set_faults(Faults {
        list_forbidden: 1.0,
        ..Faults::default()
    });
    poll_for(&mut world, TimeDelta::hours(23)).await;
    let before = start() + TimeDelta::minutes(1);
    assert!(!is_unknown(&verdict(&mut world, &[], before)));
    poll_for(&mut world, TimeDelta::hours(2)).await;
    assert!(is_unknown(&verdict(&mut world, &[], before)));
}

/// An organization with so many members, and one account with a long history, on a small quota.
async fn crowded(members: usize) -> World {
    let config = SimConfig {
        events: 100_000,
        accounts: 1,
        days: 3,
        ..SimConfig::default()
    };
    let plan = Plan {
        max_requests: 60,
        ..Plan::default()
    };
    let world = World::new(config, plan).await;
    let organization = world.simulator.organization_id();
    let member = |n: usize| serde_json::json!({"user": {"email": format!("m{n}@example.com")}});
    let url = format!(
        "{}/organizations/{organization}/members:batchCreate",
        world.base_url
    );
    let (http, all) = (reqwest::Client::new(), (0..members).collect::<Vec<_>>());
    for some in all.chunks(500) {
        let some: Vec<_> = some.iter().copied().map(member).collect();
        let join = http.post(&url).bearer_auth("another");
        let joined = join.json(&serde_json::json!({"members": some})).send();
        let status = joined.await.unwrap().status();
        assert!(status.is_success(), "{status}");
    }
    world
}

#[tokio::test]
async fn a_long_list_leaves_calls_for_logs_and_is_read_to_its_end_beside_them() {
    let mut world = crowded(9_000).await;
    poll_for(&mut world, TimeDelta::minutes(75)).await;
    let requests = world.simulator.requests();
    let of = |part: &str| -> Vec<DateTime<Utc>> {
        let calls = requests
            .iter()
            .filter(|call| call.method == "GET" && call.path_and_query.contains(part));
        calls.map(|call| call.at).collect()
    };
    let (members, logs) = (of("/members?"), of("/logs/"));
    assert!(members.len() >= 91, "{} pages of members", members.len());
    // While it was read, no log waited long.
    let longest = logs.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(longest < Some(TimeDelta::seconds(60)), "{longest:?}");
    let kept = world.store().members(None, ("", ""), 10_000).unwrap();
    assert!(kept.len() > 9_000, "{} members are kept", kept.len());
    // History is not over, so all of it had to share.
    let own = world.simulator.sources().remove(1);
    assert!(!world.board().read(&own).backfill_done);
}

#[tokio::test]
async fn an_account_leaves_after_two_complete_lists_without_it_and_may_come_back() {
    let mut world = world().await;
    poll_for(&mut world, TimeDelta::minutes(30)).await;
    world.simulator.set_faults(Faults {
        list_shrunk: 1.0,
        ..Faults::default()
    });
    poll_for(&mut world, TimeDelta::hours(1)).await;
    assert_eq!(left(&mut world), 0, "one list without them");
    poll_for(&mut world, TimeDelta::hours(1)).await;
    assert_eq!(left(&mut world), 2, "two lists without them");
    world.simulator.set_faults(Faults::default());
    poll_for(&mut world, TimeDelta::hours(1)).await;
    assert_eq!(left(&mut world), 0, "they are listed again");
    // One short list between long ones, again and again, makes nobody leave.
    for _ in 0..3 {
        world.simulator.set_faults(Faults {
            list_shrunk: 1.0,
            ..Faults::default()
        });
        poll_for(&mut world, TimeDelta::hours(1)).await;
        world.simulator.set_faults(Faults::default());
        poll_for(&mut world, TimeDelta::hours(1)).await;
        assert_eq!(left(&mut world), 0);
    }
}

#[tokio::test]
async fn an_account_that_moved_is_followed_with_the_credential_of_its_new_organization() {
    let mut world = world().await;
    poll_for(&mut world, TimeDelta::minutes(30)).await;
    world.simulator.set_faults(Faults {
        list_shrunk: 1.0,
        ..Faults::default()
    });
    // Another credential lists all of them for its own organization; the next list of ours has two of them still.
    let accounts = world.simulator.sources().split_off(1);
    let seen: Vec<SourceSeen> = accounts
        .iter()
        .map(|source| SourceSeen {
            source: source.clone(),
            organization: Some("other".to_owned()),
            label: None,
            created_at: None,
        })
        .collect();
    let now = world.clock.now();
    let list = AccountList {
        organization: "other",
        accounts: &seen,
        is_complete: true,
        began_at: now,
        by_themselves: &HashSet::new(),
    };
    world.store().save_accounts(&list, now).unwrap();
    poll_for(&mut world, TimeDelta::hours(1)).await;
    let rows = world.store().sources().unwrap();
    let moved: Vec<Source> = rows
        .into_iter()
        .filter(|row| row.organization.as_deref() == Some("other"))
        .map(|row| row.source)
        .collect();
    assert_eq!(moved.len(), 2);
    let before = world.simulator.requests().len();
    let mut other = world.another_poller("env:OTHER", &moved);
    let end = world.clock.now() + TimeDelta::minutes(30);
    while world.clock.now() < end {
        if let Next::Turn(turn) = other.next_turn(world.clock.now()) {
            other.record_outcome(turn.perform().await).unwrap();
        }
        world.poll().await;
    }
    let calls = world.simulator.requests().split_off(before);
    let others = calls
        .iter()
        .find(|call| call.path_and_query.contains(moved[0].id()))
        .unwrap()
        .credential
        .clone();
    for source in &accounts {
        let path = format!("/{}/logs/", source.id());
        let mut of_it = calls
            .iter()
            .filter(|call| call.path_and_query.contains(&path))
            .peekable();
        assert!(of_it.peek().is_some(), "{source} is followed by nobody");
        let is_moved = moved.contains(source);
        assert!(
            of_it.all(|call| (call.credential == others) == is_moved),
            "{source}"
        );
    }
}

#[tokio::test]
async fn a_list_of_members_that_is_cut_makes_nobody_leave() {
    let mut world = world().await;
    poll_for(&mut world, TimeDelta::minutes(5)).await;
    let members = world.store().members(None, ("", ""), 1_000).unwrap();
    assert!(members.len() > 10);
    for (name, faults) in failures() {
        world.simulator.set_faults(faults);
        poll_for(&mut world, TimeDelta::hours(3)).await;
        let now = world.store().members(None, ("", ""), 1_000).unwrap();
        let gone = now.iter().filter(|row| row.until.is_some()).count();
        assert_eq!((now.len(), gone), (members.len(), 0), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unknown_is_said_with_every_answer() {
    let upstream = Upstream::new(SimConfig {
        events: 50,
        accounts: 2,
        days: 3,
        ..SimConfig::default()
    })
    .await;
    upstream.simulator.set_faults(Faults {
        list_cut: 1.0,
        ..Faults::default()
    });
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    service.settle(2).await;
    let organization = upstream.simulator.sources().remove(0).to_string();
    for route in [
        "/v1/events?",
        "/v1/count?",
        "/v1/facets?field=actor.email&",
        "/v1/histogram?",
        "/v1/actors/x?",
    ] {
        let answer = service
            .get(&format!("{route}since=2026-08-01&before=2026-08-02"))
            .await;
        let said = &answer["coverage"];
        assert_eq!(said["state"], "partial", "{route}");
        assert_eq!(said["missing"][0]["reason"], "accounts_unknown", "{route}");
        let total = &said["missing_by_reason"]["accounts_unknown"];
        assert_eq!(
            (&total["stretches"], &total["seconds"]),
            (&1.into(), &().into())
        );
    }
    let coverage = service.get("/v1/coverage").await;
    assert_eq!(
        coverage["accounts_unknown"],
        serde_json::json!([organization])
    );
    let one = service
        .get(&format!("/v1/coverage?source={organization}"))
        .await;
    assert_eq!(one["accounts_unknown"], serde_json::json!([]));
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_configured_by_itself_has_its_name() {
    let upstream = Upstream::new(SimConfig {
        events: 20,
        accounts: 2,
        days: 3,
        ..SimConfig::default()
    })
    .await;
    let source = upstream.simulator.sources().remove(1);
    let dir = tempfile::tempdir().unwrap();
    let sources = format!("[[accounts]]\nid = \"{}\"", source.id());
    let service = Service::start(&configuration(dir.path(), &upstream.base_url, &sources)).await;
    let told = service
        .until("/v1/accounts", |told| {
            told["accounts"] != serde_json::json!([])
        })
        .await;
    assert_eq!(told["accounts"][0]["source"], source.to_string());
    let name = told["accounts"][0]["name"].clone();
    assert!(!name.as_str().unwrap().is_empty());
    let page = service
        .until("/v1/events", |page| page["events"] != serde_json::json!([]))
        .await;
    assert_eq!(page["events"][0]["account_name"], name);
    // No list is wanted, so none is missing.
    let said = service
        .get("/v1/count?since=2026-08-01&before=2026-08-02")
        .await;
    assert_eq!(
        said["coverage"]["missing_by_reason"]["accounts_unknown"],
        serde_json::json!(null)
    );
    let sources = service.get("/v1/sources").await;
    assert_eq!(sources["sources"][0]["name"], name);
    service.stop().await.unwrap();
}
