//! SIGHUP: destinations that are added, changed and removed while the service sends.
#![cfg(unix)]

use std::path::Path;

use orgtrail::clock::Clock;
use orgtrail::store::{Message, MessageKind, Store};
use orgtrail_simulator::SimConfig;
use serde_json::Value;

use crate::deliver::alert;
use crate::harness::{Upstream, until};
use crate::operator::Served;
use crate::receiver::{Behaviour, Receiver};

/// The alerts that a file has received.
fn ids_in(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| line["data"]["id"].as_str().unwrap().to_owned())
        .collect()
}

fn file(name: &str, path: &Path) -> String {
    format!("[[alerts.destinations]]\nname = \"{name}\"\nkind = \"file\"\npath = {path:?}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn destinations_are_added_changed_and_removed_while_the_service_runs() {
    let upstream = Upstream::new(SimConfig {
        events: 20,
        accounts: 1,
        days: 2,
        ..SimConfig::default()
    })
    .await;
    let receiver = Receiver::start(Behaviour::Answer(500)).await;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("url"), &receiver.url).unwrap();
    std::fs::write(path("key"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let base = upstream.configuration(dir.path()).replace(
        "auth = \"none\"",
        "auth = \"none\"\nlisten = \"127.0.0.1:0\"",
    );
    let base = format!("{base}\n[alerts]\nallow_private_networks = true\n");
    let hook = format!(
        "[[alerts.destinations]]\nname = \"hook\"\nkind = \"webhook\"\nurl_file = {:?}\nsecret_file = {:?}\n",
        path("url"),
        path("key")
    );
    let served = Served::start(
        dir.path(),
        &format!("{base}{}{hook}", file("first", &path("1"))),
    );
    let store = Store::open_beside(&dir.path().join("data")).unwrap();
    let raise = |id: &str| {
        let now = Clock::system().now();
        let message = Message {
            alert: alert(id, now),
            change: MessageKind::Raised,
            at: now,
            history: false,
        };
        store.enqueue(&message).unwrap();
    };
    let reload = |text: &str, line: &str| {
        std::fs::write(path("orgtrail.toml"), text).unwrap();
        served.signal("-HUP");
        served.until(line)
    };
    raise("a");
    until("the first has it", || ids_in(&path("1")) == ["a"]).await;
    until("the webhook was tried", || !receiver.received().is_empty()).await;

    // One is changed, one added, one removed with what waits for it.
    let newer = format!(
        "{base}{}{}",
        file("first", &path("2")),
        file("second", &path("3"))
    );
    let line = reload(&newer, "SIGHUP: the configuration was reloaded.");
    assert!(line.contains("alerts.destinations"), "{line}");
    served.until("The destination was removed from the configuration. Its queue is kept");
    raise("b");
    until("both have it", || {
        ids_in(&path("2")) == ["b"] && ids_in(&path("3")) == ["b"]
    })
    .await;
    assert_eq!(ids_in(&path("1")), ["a"]);
    let states = store.destinations().unwrap();
    let removed = states.iter().find(|one| one.name == "hook").unwrap();
    assert_eq!((removed.active, removed.pending), (false, 1));

    // An invalid file changes nothing.
    let broken = newer.replace("kind = \"file\"", "kind = \"pigeon\"");
    reload(&broken, "The service continues with the old one.");
    raise("c");
    until("both have it", || {
        ids_in(&path("2")) == ["b", "c"] && ids_in(&path("3")) == ["b", "c"]
    })
    .await;

    // It comes back, and gets what waited, and nothing of the time in between.
    let tries = receiver.received().len();
    receiver.plan((0..9).map(|_| Behaviour::Answer(204)));
    reload(
        &format!("{newer}{hook}"),
        "SIGHUP: the configuration was reloaded.",
    );
    until("it is sent", || receiver.received().len() > tries).await;
    raise("d");
    until("the next is sent", || receiver.received().len() > tries + 1).await;
    let sent: Vec<Value> = receiver.accepted().iter().map(|one| one.json()).collect();
    let ids: Vec<&Value> = sent.iter().map(|event| &event["data"]["id"]).collect();
    assert_eq!(ids, ["a", "d"]);
    served.stop();
}
