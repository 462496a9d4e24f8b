//! A stretch compared with upstream: nothing when all is well, and each difference there is, exactly.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use orgtrail::clock::Clock;
use orgtrail::durable::Failpoints;
use orgtrail::poll::{Differs, Verify, VerifyEvent, WaitToRetry};
use orgtrail::position::{Source, Window};
use orgtrail::store::{FILE_NAME, GapCause, SourceSeen, Store};
use orgtrail::upstream::{Quota, Timeouts, Upstream as Client};
use orgtrail_simulator::{Faults, SimConfig};
use serde_json::Value;

use crate::backfill::Shell;
use crate::harness::{Service, Upstream};
use crate::manual_clock::Plan;

fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// An upstream whose history is held, and the stretch that is looked at: two hours of a day ago.
struct Held {
    upstream: Upstream,
    shell: Shell,
    source: Source,
    since: DateTime<Utc>,
    before: DateTime<Utc>,
}

impl Held {
    /// `publish` puts entries upstream before its history is read: (id, seconds after `since`, rest of the entry).
    async fn new(published: &[Entry<'_>]) -> Self {
        let upstream = Upstream::new(SimConfig {
            events: 600,
            accounts: 1,
            days: 10,
            ..SimConfig::default()
        })
        .await;
        let shell = Shell::new(&upstream);
        let now = Clock::system().now();
        let since = DateTime::from_timestamp(now.timestamp() - 86_400, 0).unwrap();
        let held = Self {
            source: upstream.simulator.sources().remove(1),
            upstream,
            shell,
            since,
            before: since + TimeDelta::hours(2),
        };
        held.publish(published);
        let (said, code) = held.shell.json(&["backfill", "--since", "12d"]);
        assert_eq!(code, Some(0), "{said:#}");
        held
    }

    fn publish(&self, entries: &[Entry<'_>]) {
        for entry in entries {
            let time = self.since + TimeDelta::milliseconds(entry.after_ms);
            let text = entry.text(time);
            self.upstream
                .simulator
                .publish(&self.source, &text, time, time);
        }
    }

    fn verify(&self) -> (Value, Option<i32>) {
        let source = self.source.to_string();
        let (since, before) = (stamp(self.since), stamp(self.before));
        self.shell.json(&[
            "status", "--verify", &source, "--since", &since, "--before", &before,
        ])
    }

    /// What `verify` counts: not held, not shown, other content.
    fn counts(&self) -> [u64; 3] {
        let (said, code) = self.verify();
        let counts =
            ["not_held", "not_shown", "other_content"].map(|name| said[name].as_u64().unwrap());
        let total: u64 = counts.iter().sum();
        assert_eq!(said["differences_total"], total, "{said:#}");
        assert_eq!(
            said["differences"].as_array().unwrap().len() as u64,
            total.min(100),
            "{said:#}"
        );
        assert_eq!(code, Some(i32::from(total > 0)), "{said:#}");
        counts
    }
}

/// An entry to publish.
#[derive(Clone, Copy)]
struct Entry<'a> {
    id: Option<&'a str>,
    /// How long after the stretch begins.
    after_ms: i64,
    says: &'a str,
    has_time: bool,
}

fn entry(id: &str, after_ms: i64) -> Entry<'_> {
    Entry {
        id: Some(id),
        after_ms,
        says: "first",
        has_time: true,
    }
}

impl Entry<'_> {
    fn text(&self, time: DateTime<Utc>) -> String {
        let id = self
            .id
            .map_or_else(String::new, |id| format!(r#""id":"{id}","#));
        let time = if self.has_time {
            format!(r#""time":"{}","#, stamp(time))
        } else {
            String::new()
        };
        format!(
            r#"{{{id}"action":{{{time}"description":"{}"}}}}"#,
            self.says
        )
    }
}

const STRETCH_MS: i64 = 2 * 3_600 * 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_newer_than_what_was_read_is_no_difference() {
    let held = Held::new(&[]).await;
    let store = Store::open_beside(&held.shell.data_dir()).unwrap();
    let read_before = store.progress(&held.source).unwrap().live_before.unwrap();
    let time = read_before + TimeDelta::milliseconds(1);
    let newer = entry("newer", 0).text(time);
    held.upstream
        .simulator
        .publish(&held.source, &newer, time, time);
    let source = held.source.to_string();
    let (said, code) = held
        .shell
        .json(&["status", "--verify", &source, "--since", "1h"]);
    assert_eq!(
        (code, &said["differences_total"]),
        (Some(0), &0.into()),
        "{said:#}"
    );
    assert_eq!(said["before"], orgtrail::position::rfc3339(read_before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_differs_when_all_is_well_whatever_upstream_does() {
    let twin = Entry {
        id: None,
        ..entry("", 5_000)
    };
    let timeless = Entry {
        has_time: false,
        ..entry("timeless", 6_000)
    };
    let held = Held::new(&[
        entry("a", 0),
        entry("b", STRETCH_MS - 1),
        twin,
        twin,
        timeless,
    ])
    .await;
    assert_eq!(held.counts(), [0, 0, 0]);
    held.upstream.simulator.set_faults(Faults {
        seed: 7,
        server_error: 0.1,
        cut_body: 0.1,
        expired_cursor: 0.2,
        short_page: 0.3,
        cursor_loop: 0.1,
        empty_with_cursor: 0.3,
        ..Faults::default()
    });
    // All of the history, in small pages.
    let source = held.source.to_string();
    let mut command = held
        .shell
        .command(&["status", "--json", "--verify", &source, "--since", "11d"]);
    let output = command
        .env("ORGTRAIL__UPSTREAM__PAGE_SIZE", "100")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown = held
        .upstream
        .simulator
        .entries(&held.source, Clock::system().now())
        .len();
    assert_eq!(said["shown"], shown, "{said:#}");
    assert!(
        said["pages"].as_u64().unwrap() > shown as u64 / 100,
        "{said:#}"
    );
    assert_eq!(
        (&said["without_time"], &said["differences_total"]),
        (&1.into(), &0.into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_upstream_shows_and_is_not_held_is_found_and_nothing_beside_the_stretch() {
    let twin = Entry {
        id: None,
        ..entry("", 5_000)
    };
    let held = Held::new(&[entry("a", 1_000), twin, twin]).await;
    // Beside it: no difference.
    held.publish(&[
        entry("before", -1),
        entry("after", STRETCH_MS),
        entry("a second after", STRETCH_MS + 999),
    ]);
    assert_eq!(held.counts(), [0, 0, 0]);
    // At its ends; a third equal entry; one without a time; one with other content.
    held.publish(&[
        entry("first", 0),
        entry("last", STRETCH_MS - 1),
        twin,
        Entry {
            has_time: false,
            ..entry("timeless", 6_000)
        },
        Entry {
            says: "second",
            ..entry("a", 1_000)
        },
    ]);
    assert_eq!(held.counts(), [4, 0, 1]);
    let (said, _) = held.verify();
    let ids: Vec<&Value> = said["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(
        ids,
        ["first", "a", "", "timeless", "last"]
            .map(|id| if id.is_empty() {
                Value::Null
            } else {
                id.into()
            })
            .iter()
            .collect::<Vec<_>>()
    );

    // Nothing of it was kept; a sweep does that, and then nothing differs.
    let (status, _) = held.shell.json(&["backfill", "--since", "12d"]);
    assert_eq!(status["new"], 0);
    let told = held.shell.run(&[
        "status",
        "--verify",
        &held.source.to_string(),
        "--since",
        &stamp(held.since),
        "--before",
        &stamp(held.before),
    ]);
    assert_eq!(told.status.code(), Some(1));
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(
        told.contains("4 not held, 0 not shown any more, 1 with other content"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_out_of_the_log_put_in_or_changed_is_found() {
    let twin = Entry {
        id: None,
        ..entry("", 5_000)
    };
    let held = Held::new(&[entry("a", 1_000), entry("b", 2_000), twin, twin]).await;
    let db = rusqlite::Connection::open(held.shell.data_dir().join(FILE_NAME)).unwrap();
    let at = |after_ms: i64| (held.since + TimeDelta::milliseconds(after_ms)).timestamp_micros();

    // One of two equal entries, and one with an id.
    let gone = "DELETE FROM event WHERE seq = (SELECT max(seq) FROM event WHERE time_us = ?1)";
    assert_eq!(db.execute(gone, [at(5_000)]).unwrap(), 1);
    assert_eq!(held.counts(), [1, 0, 0]);
    assert_eq!(db.execute(gone, [at(1_000)]).unwrap(), 1);
    assert_eq!(held.counts(), [2, 0, 0]);

    // The other one says that it is another entry.
    let renamed = "UPDATE event SET identity = x'7400' WHERE time_us = ?1";
    assert_eq!(db.execute(renamed, [at(2_000)]).unwrap(), 1);
    assert_eq!(held.counts(), [3, 1, 0]);
    let (said, _) = held.verify();
    let gone = said["differences"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["differs"] == "not_shown")
        .unwrap();
    assert_eq!(gone["id"], "b");
    assert!(gone["seq"].is_u64(), "{gone}");

    // A body that is another one's.
    db.execute(
        "UPDATE event SET identity = x'7462' WHERE time_us = ?1",
        [at(2_000)],
    )
    .unwrap();
    assert_eq!(held.counts(), [2, 0, 0]);
    let swapped = "UPDATE event SET (sha256, dictionary, body) = (SELECT sha256, dictionary, body FROM event WHERE seq = 1)
        WHERE time_us = ?1";
    assert_eq!(db.execute(swapped, [at(2_000)]).unwrap(), 1);
    assert_eq!(held.counts(), [2, 0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_runs_beside_a_service_and_refuses_what_makes_no_sense() {
    let held = Held::new(&[entry("a", 1_000)]).await;
    let service = Service::start(&held.shell.configuration()).await;
    service.settle(2).await;
    assert_eq!(held.counts(), [0, 0, 0]);
    let source = held.source.to_string();
    let refused = |args: &[&str], code: i32, why: &str| {
        let output = held.shell.run(&[&["status", "--verify"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(why), "{told}");
    };
    refused(&[&source], 2, "--since");
    refused(
        &["accounts/stranger", "--since", "1d"],
        1,
        "no credential is known for accounts/stranger",
    );
    refused(
        &[&source, "--since", "1d", "--before", "2d"],
        1,
        "there is nothing to compare",
    );
    refused(
        &[&source, "--since", "900d", "--before", "800d"],
        1,
        "that upstream still keeps",
    );
    refused(&[&source, "--since", "soon"], 2, "`soon` is no time");
    service.stop().await.unwrap();

    // Entries of a file that the API never showed are missed upstream; a line of Logpush need not be there.
    let time = stamp(held.since + TimeDelta::seconds(9));
    let id = held.source.id();
    let api =
        format!(r#"{{"id":"never shown","account":{{"id":"{id}"}},"action":{{"time":"{time}"}}}}"#);
    let logpush = format!(
        r#"{{"AuditLogID":"pushed","AccountID":"{id}","ActionTimestamp":"{time}","ActionType":"create"}}"#
    );
    let file = held.shell.dir().join("kept.ndjson");
    std::fs::write(&file, format!("{api}\n{logpush}\n")).unwrap();
    let imported = held
        .shell
        .run(&["import", "--source", &source, file.to_str().unwrap()]);
    assert!(imported.status.success(), "{imported:?}");
    assert_eq!(held.counts(), [0, 1, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_too_large_to_take_is_gone_around() {
    let large = Entry {
        says: &"x".repeat(30_000),
        ..entry("large", 60_000)
    };
    let held = Held::new(&[
        entry("before", 57_000),
        large,
        entry("beside", 60_500),
        entry("after", 64_000),
    ])
    .await;
    held.publish(&[entry("late", 65_000)]);
    let window = Window::new(held.since, held.before);
    let verdict = Verify::new(
        Store::open_beside(&held.shell.data_dir()).unwrap(),
        client(&held.upstream).taking_at_most(20_000),
        "file:token".into(),
        Plan::default().settings,
        Clock::system(),
        (held.source.clone(), window),
    )
    .run(|_| ())
    .await
    .unwrap();
    // Its second, and those at its sides that are asked for with a second more.
    let [left_out] = verdict.left_out[..] else {
        panic!("{:?}", verdict.left_out);
    };
    let second = held.since + TimeDelta::seconds(60);
    assert_eq!(left_out.cause, GapCause::TooLarge);
    assert!(left_out.window.contains(second), "{left_out:?}");
    assert!(
        left_out.window.span() <= TimeDelta::seconds(4),
        "{left_out:?}"
    );
    // What is held there is not missed, and what differs elsewhere is found.
    let differs: Vec<_> = verdict
        .differences
        .iter()
        .map(|one| (one.differs, one.id.as_deref()))
        .collect();
    assert_eq!(differs, [(Differs::NotHeld, Some("late"))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_stays_unreadable_is_gone_around_and_named() {
    let held = Held::new(&[entry("before", 57_000), entry("after", 64_000)]).await;
    let broken = Entry {
        says: "\u{1}",
        ..entry("broken", 60_000)
    };
    held.publish(&[broken, entry("late", 65_000)]);
    held.upstream.simulator.set_faults(Faults {
        seed: 3,
        empty_page: 0.2,
        no_cursor: 0.5,
        incomplete: 0.05,
        ..Faults::default()
    });
    let (said, code) = held.verify();
    assert_eq!(code, Some(1));
    assert_eq!(
        (&said["not_held"], &said["not_shown"]),
        (&1.into(), &0.into())
    );
    assert_eq!(said["differences"][0]["id"], "late");
    let left_out = said["left_out"].as_array().unwrap();
    assert_eq!(left_out.len(), 1, "{said:#}");
    assert_eq!(left_out[0]["reason"], "unreadable");
    let bound = |name: &str| -> TimeDelta {
        let time: DateTime<Utc> = left_out[0][name].as_str().unwrap().parse().unwrap();
        time - held.since
    };
    assert!(bound("since") >= TimeDelta::seconds(58), "{said:#}");
    assert!(bound("before") <= TimeDelta::seconds(63), "{said:#}");
}

/// Upstream as a client of our own sees it.
fn client(upstream: &Upstream) -> Client {
    let clock = Clock::system();
    Client::new(
        upstream.base_url.parse().unwrap(),
        Arc::new(|| Ok("any-token".into())),
        Quota::new(1_000_000, None, clock.steady()),
        clock,
        Timeouts::default(),
    )
    .unwrap()
}

/// A comparison of what is held, with upstream as it is now.
fn comparison(held: &Held) -> Verify {
    Verify::new(
        Store::open_beside(&held.shell.data_dir()).unwrap(),
        client(&held.upstream),
        "file:token".into(),
        Plan::default().settings,
        Clock::system(),
        (held.source.clone(), Window::new(held.since, held.before)),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_waited_for_is_told() {
    let held = Held::new(&[entry("before", 57_000)]).await;
    held.upstream.simulator.set_faults(Faults {
        server_error: 1.0,
        ..Faults::default()
    });
    let simulator = held.upstream.simulator.clone();
    let mut waits = Vec::new();
    let verdict = comparison(&held).run(|told| {
        if let VerifyEvent::WaitToRetry(WaitToRetry { error, wait }) = told {
            waits.push((error.to_string(), wait.as_secs()));
            if waits.len() == 2 {
                simulator.set_faults(Faults::default());
            }
        }
    });
    assert_eq!(verdict.await.unwrap().total(), 0);
    let [(first, 1), (_, 2)] = &waits[..] else {
        panic!("{waits:?}");
    };
    assert!(first.contains("upstream answered 5"), "{first}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_whose_cursor_comes_again_is_left_out() {
    let crowd: Vec<String> = (0..300).map(|n| format!("crowd {n}")).collect();
    let mut entries: Vec<Entry<'_>> = crowd.iter().map(|id| entry(id, 60_000)).collect();
    entries.push(entry("before", 50_000));
    entries.push(entry("after", 70_000));
    let held = Held::new(&entries).await;
    held.upstream.simulator.set_faults(Faults {
        cursor_loop: 1.0,
        ..Faults::default()
    });
    held.publish(&[entry("late", 75_000)]);
    let verdict = comparison(&held).run(|_| ()).await.unwrap();
    let [left_out] = verdict.left_out[..] else {
        panic!("{:?}", verdict.left_out);
    };
    assert_eq!(left_out.cause, GapCause::Unreadable);
    let second = held.since + TimeDelta::seconds(60);
    assert!(left_out.window.contains(second), "{left_out:?}");
    assert!(
        left_out.window.span() <= TimeDelta::seconds(4),
        "{left_out:?}"
    );
    let ids = verdict.differences.iter().map(|one| one.id.as_deref());
    assert_eq!(ids.collect::<Vec<_>>(), [Some("late")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_second_is_left_out_also_where_nothing_was_read_before() {
    let upstream = Upstream::new(SimConfig {
        events: 0,
        accounts: 1,
        days: 3,
        ..SimConfig::default()
    })
    .await;
    let source = upstream.simulator.sources().remove(1);
    let now = Clock::system().now();
    let since = DateTime::from_timestamp(now.timestamp() - 86_400, 0).unwrap();
    let broken = entry("GARBLED", 60_000);
    let time = since + TimeDelta::milliseconds(broken.after_ms);
    let text = broken.text(time);
    upstream.simulator.publish(&source, &text, time, time);
    upstream.simulator.set_faults(Faults {
        garbled: vec!["GARBLED".to_owned()],
        ..Faults::default()
    });
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
    let seen = SourceSeen {
        source: source.clone(),
        organization: None,
        label: None,
        created_at: None,
    };
    store.save_sources(&[seen], now).unwrap();
    let verify = Verify::new(
        store,
        client(&upstream),
        "file:token".into(),
        Plan::default().settings,
        Clock::system(),
        (source, Window::new(since, since + TimeDelta::minutes(2))),
    );
    let verdict = verify.run(|_| ()).await.unwrap();
    assert!(!verdict.left_out.is_empty());
    for left_out in &verdict.left_out {
        assert_eq!(left_out.cause, GapCause::Unreadable);
        assert!(left_out.window.span() <= TimeDelta::seconds(4));
    }
}
