//! Alerts on their way to their destinations, with real receivers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use orgtrail::alert::{Alert, AlertId, AlertState, Level, RuleName};
use orgtrail::clock::Clock;
use orgtrail::deliver::{
    Deliverer, DeliverySettings, DeliveryTurn, DestinationSettings, DestinationTarget,
    SecretSource, Sender, workers,
};
use orgtrail::durable::{Failpoints, Step, StepFailure};
use orgtrail::metrics::{Gauges, Metrics};
use orgtrail::position::Seq;
use orgtrail::store::{self, Message, MessageKind, Store};
use orgtrail_simulator::SimConfig;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::{Service, Upstream, until};
use crate::receiver::{Behaviour, MailServer, Received, Receiver};
use crate::{seeds, skip_slow_tests, tell};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A directory with a log and the secrets of its destinations.
struct Place {
    dir: tempfile::TempDir,
    clock: Clock,
    metrics: Metrics,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            clock: Clock::manual(Clock::system().now()),
            metrics: Metrics::default(),
        }
    }

    fn secret(&self, name: &str, text: &str) -> SecretSource {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        SecretSource::File(path)
    }

    fn store(&self) -> Store {
        self.store_with(Failpoints::default())
    }

    fn store_with(&self, failpoints: Failpoints) -> Store {
        Store::open(&self.dir.path().join("data"), failpoints).unwrap()
    }

    fn webhook(&self, name: &str, url: &str) -> DestinationSettings {
        let target = DestinationTarget::Webhook {
            url: self.secret(&format!("{name}.url"), url),
            keys: vec![self.secret(&format!("{name}.key"), KEY)],
        };
        destination(name, target)
    }

    fn settings(&self, destinations: Vec<DestinationSettings>) -> DeliverySettings {
        DeliverySettings {
            allow_private_networks: true,
            destinations,
            ..DeliverySettings::default()
        }
    }

    fn workers(&self, settings: &DeliverySettings, store: &Store) -> Vec<Deliverer> {
        let sender = Sender {
            log_id: store.log_id().to_string(),
            public_url: Some("https://audit.example.com".parse().unwrap()),
        };
        workers(settings, &sender, store, &self.metrics, &self.clock).unwrap()
    }

    fn worker(&self, target: DestinationTarget, store: &Store) -> Deliverer {
        let settings = self.settings(vec![destination("d", target)]);
        self.workers(&settings, store).remove(0)
    }

    fn raise(&self, store: &Store, id: &str) {
        self.add(store, &alert(id, self.clock.now()), MessageKind::Raised);
    }

    fn add(&self, store: &Store, alert: &Alert, change: MessageKind) {
        let message = Message {
            alert: alert.clone(),
            change,
            at: self.clock.now(),
            history: false,
        };
        store.enqueue(&message).unwrap();
    }

    fn metric(&self, sample: &str) -> f64 {
        let text = self.metrics.open_metrics(&Gauges::default());
        let line = text.lines().find_map(|line| line.strip_prefix(sample));
        line.unwrap_or_else(|| panic!("{sample}: {text}"))
            .trim()
            .parse()
            .unwrap()
    }
}

fn destination(name: &str, target: DestinationTarget) -> DestinationSettings {
    DestinationSettings {
        name: name.to_owned(),
        target,
        level: Level::Low,
        rules: Vec::new(),
        suppress: TimeDelta::hours(1),
        give_up_after: TimeDelta::days(3),
    }
}

/// An alert of a rule of its own.
pub(crate) fn alert(id: &str, at: DateTime<Utc>) -> Alert {
    Alert {
        id: AlertId(id.to_owned()),
        rule: RuleName {
            id: format!("rule-{id}"),
            title: "Two-factor turned off".to_owned(),
            level: Level::High,
            tags: vec!["attack.t1556".to_owned()],
        },
        group: [(
            "actor.email".to_owned(),
            Some("alice@example.com".to_owned()),
        )]
        .into(),
        state: AlertState::Open,
        first_time: at,
        last_time: at,
        raised_at: at,
        late_by_seconds: 3,
        events: vec![Seq(7), Seq(8)],
        events_total: 2,
        summary: "alice@example.com turned two-factor off".to_owned(),
        assignee: None,
        history: Vec::new(),
    }
}

/// Makes turns until nothing waits; the time between attempts passes at once.
async fn drain(worker: &mut Deliverer, clock: &Clock) -> Vec<DeliveryTurn> {
    let mut turns = Vec::new();
    loop {
        match worker.turn().await {
            Ok(DeliveryTurn::Idle(TimeDelta::MAX)) => return turns,
            Ok(DeliveryTurn::Idle(wait)) => clock.advance(wait),
            Ok(turn) => turns.push(turn),
            // A step was broken on purpose.
            Err(error) => tell(error),
        }
        assert!(turns.len() < 10_000, "it does not end");
    }
}

/// Another implementation of Standard Webhooks finds the signature of one of the keys right. The time is the test's own.
fn verify(received: &Received, key: &str) {
    let judge = Webhook::new(key).unwrap();
    let time: i64 = received.header("webhook-timestamp").parse().unwrap();
    let expect = judge
        .sign(received.header("webhook-id"), time, &received.body)
        .unwrap();
    let signatures = received.header("webhook-signature");
    assert!(
        signatures.split(' ').any(|one| one == expect),
        "{signatures}"
    );
}

fn id(received: &Received) -> String {
    received.json()["data"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_a_signed_cloud_event() {
    let place = Place::new();
    let receiver = Receiver::start(Behaviour::Answer(204)).await;
    let store = place.store();
    let settings = place.settings(vec![place.webhook("d", &receiver.url)]);
    let mut worker = place.workers(&settings, &store).remove(0);
    place.raise(&store, "a");
    place.add(&store, &alert("a", place.clock.now()), MessageKind::Updated);
    place.add(
        &store,
        &alert("a", place.clock.now()),
        MessageKind::Retracted,
    );
    // The alert was retracted before anything was sent.
    drain(&mut worker, &place.clock).await;
    assert_eq!(receiver.received().len(), 0);
    assert!(
        place.metric("orgtrail_deliveries_total{destination=\"d\",outcome=\"retracted\"}") >= 1.0
    );

    place.raise(&store, "b");
    drain(&mut worker, &place.clock).await;
    place.add(
        &store,
        &alert("b", place.clock.now()),
        MessageKind::Retracted,
    );
    drain(&mut worker, &place.clock).await;
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    // With the clock of the machine, which the judge compares with the time of the signature.
    Webhook::new(KEY)
        .unwrap()
        .verify(&received[0].body, &received[0].headers)
        .unwrap();
    assert!(
        Webhook::new(OTHER_KEY)
            .unwrap()
            .verify(&received[0].body, &received[0].headers)
            .is_err()
    );
    assert_eq!(
        received[0].header("content-type"),
        "application/cloudevents+json"
    );
    let event = received[0].json();
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["type"], "orgtrail.alert.raised");
    assert_eq!(event["id"], received[0].header("webhook-id"));
    assert_eq!(event["data"]["rule"]["level"], "high");
    assert_eq!(event["data"]["events"], serde_json::json!([7, 8]));
    assert_eq!(received[1].json()["type"], "orgtrail.alert.retracted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_keys_sign_while_one_replaces_the_other_and_files_are_read_again() {
    let place = Place::new();
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let store = place.store();
    let (url, key) = (
        place.secret("url", "http://127.0.0.1:1/"),
        place.secret("key", KEY),
    );
    let mut worker = place.worker(
        DestinationTarget::Webhook {
            url,
            keys: vec![key],
        },
        &store,
    );
    place.raise(&store, "a");
    assert_eq!(
        worker.turn().await.unwrap(),
        DeliveryTurn::Failed,
        "there is no server at that address"
    );
    place.secret("url", &receiver.url);
    place.secret("key", &format!("{OTHER_KEY}\n{KEY}\n"));
    drain(&mut worker, &place.clock).await;
    let received = receiver.received();
    verify(&received[0], KEY);
    verify(&received[0], OTHER_KEY);
    place.secret("key", "hunter2");
    place.raise(&store, "b");
    assert_eq!(worker.turn().await.unwrap(), DeliveryTurn::Failed);
    let state = store.destinations().unwrap().remove(0);
    let error = state.error.unwrap();
    assert!(
        error.contains("not a key") && !error.contains("hunter2"),
        "{error}"
    );
}

/// Breaks the steps of deliveries now and then, while `armed`.
fn failpoints(seed: u64, armed: &Arc<Mutex<bool>>) -> Failpoints {
    let (chance, armed) = (Mutex::new(Rng::with_seed(seed)), Arc::clone(armed));
    Failpoints::new(move |step: Step| {
        let is_ours = [store::steps::BEGIN_DELIVERY, store::steps::SAVE_DELIVERY].contains(&step);
        let mut chance = chance.lock().unwrap();
        if !is_ours || !*armed.lock().unwrap() || chance.f64() > 0.2 {
            return None;
        }
        Some(if chance.bool() {
            StepFailure::Before
        } else {
            StepFailure::After
        })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_arrives_in_order_whatever_the_receiver_does_and_whenever_the_worker_is_killed()
 {
    for seed in seeds(3, 40) {
        let place = Place::new();
        let mut chance = Rng::with_seed(seed);
        let receiver = Receiver::start(Behaviour::Answer(200)).await;
        let armed = Arc::new(Mutex::new(true));
        let mut store = place.store_with(failpoints(seed, &armed));
        let settings = place.settings(vec![place.webhook("d", &receiver.url)]);
        // Before the first alert, as a service does.
        drop(place.workers(&settings, &store));
        let mut raised = Vec::new();
        while raised.len() < 25 {
            for _ in 0..chance.usize(0..4) {
                let id = format!("a{}", raised.len());
                place.raise(&store, &id);
                raised.push(id);
            }
            receiver.plan((0..3).map(|_| match chance.u8(0..6) {
                0 => Behaviour::Answer(500),
                1 => Behaviour::Later(429, "7"),
                2 => Behaviour::Hang,
                3 => Behaviour::Answer(404),
                _ => Behaviour::Answer(200),
            }));
            // The service starts, works for a moment, and is killed.
            let mut worker = place.workers(&settings, &store).remove(0);
            for _ in 0..chance.usize(1..6) {
                let moment = Duration::from_millis(chance.u64(1..40));
                if let Ok(Ok(DeliveryTurn::Idle(wait))) =
                    tokio::time::timeout(moment, worker.turn()).await
                    && wait != TimeDelta::MAX
                {
                    place.clock.advance(wait);
                }
            }
            drop(worker);
            if chance.bool() {
                store.close().unwrap();
                drop(store);
                store = place.store_with(failpoints(chance.u64(..), &armed));
            }
        }
        *armed.lock().unwrap() = false;
        let mut worker = place.workers(&settings, &store).remove(0);
        // Behaviours that were planned and not used would hang.
        while receiver.unplan() {}
        drain(&mut worker, &place.clock).await;

        let accepted = receiver.accepted();
        let mut known = BTreeSet::new();
        let mut order = accepted.iter().map(id).collect::<Vec<_>>();
        order.retain(|one| known.insert(one.clone()));
        assert_eq!(order, raised, "seed {seed}");
        let received = receiver.received();
        received.iter().for_each(|one| verify(one, KEY));
        // Each has one id, through all attempts.
        let ids: BTreeSet<(String, &str)> = received
            .iter()
            .map(|one| (id(one), one.header("webhook-id")))
            .collect();
        assert_eq!(ids.len(), raised.len(), "seed {seed}");
        // None was tried before the one before it was accepted. An answer may be lost with its worker.
        let mut newest = 0;
        for one in &received {
            let place = raised.iter().position(|raised| *raised == id(one)).unwrap();
            assert!(place <= newest + 1, "seed {seed}: {} came early", id(one));
            newest = newest.max(place);
        }
        tell(format!(
            "seed {seed}: {} requests for {} messages",
            received.len(),
            raised.len()
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_hangs_delays_no_other() {
    let place = Place {
        clock: Clock::system(),
        ..Place::new()
    };
    let hanging = Receiver::start(Behaviour::Hang).await;
    let failing = Receiver::start(Behaviour::Answer(500)).await;
    let good = Receiver::start(Behaviour::Answer(200)).await;
    let store = place.store();
    let settings = place.settings(vec![
        place.webhook("hanging", &hanging.url),
        place.webhook("failing", &failing.url),
        place.webhook("good", &good.url),
    ]);
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    for worker in place.workers(&settings, &store) {
        running.spawn(worker.run(stop.clone()));
    }
    until("the destination hangs", || {
        if hanging.received().is_empty() {
            place.raise(&store, &format!("first{}", good.received().len()));
        }
        !hanging.received().is_empty()
    })
    .await;
    let begun = Instant::now();
    for n in 0..20 {
        place.raise(&store, &format!("a{n}"));
    }
    until("the good one has all", || {
        good.accepted().iter().any(|one| id(one) == "a19")
    })
    .await;
    assert!(
        begun.elapsed() < Duration::from_secs(14),
        "the hanging one has not ended its first attempt"
    );
    assert_eq!(hanging.received().len(), 1);
    stop.cancel();
    while running.join_next().await.is_some() {}
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_asks_to_wait_is_left_alone_that_long_also_after_a_restart() {
    let place = Place::new();
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    receiver.plan([
        Behaviour::Later(429, "120"),
        Behaviour::Later(503, "999999"),
    ]);
    let store = place.store();
    let settings = place.settings(vec![place.webhook("d", &receiver.url)]);
    let mut worker = place.workers(&settings, &store).remove(0);
    place.raise(&store, "a");
    assert_eq!(worker.turn().await.unwrap(), DeliveryTurn::Failed);
    place.clock.advance(TimeDelta::seconds(100));
    let mut worker = place.workers(&settings, &store).remove(0);
    assert_eq!(
        worker.turn().await.unwrap(),
        DeliveryTurn::Idle(TimeDelta::seconds(20))
    );
    place.clock.advance(TimeDelta::seconds(20));
    assert_eq!(worker.turn().await.unwrap(), DeliveryTurn::Failed);
    // A wait has a limit.
    assert_eq!(
        worker.turn().await.unwrap(),
        DeliveryTurn::Idle(TimeDelta::hours(1))
    );
    place.clock.advance(TimeDelta::hours(1));
    assert_eq!(worker.turn().await.unwrap(), DeliveryTurn::Accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_answer_is_not_read_and_a_redirect_is_not_followed() {
    let place = Place::new();
    let other = Receiver::start(Behaviour::Answer(200)).await;
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    receiver.plan([Behaviour::Redirect(other.url.clone()), Behaviour::Endless]);
    let store = place.store();
    let settings = place.settings(vec![place.webhook("d", &receiver.url)]);
    let mut worker = place.workers(&settings, &store).remove(0);
    place.raise(&store, "a");
    assert_eq!(
        drain(&mut worker, &place.clock).await,
        [DeliveryTurn::Failed, DeliveryTurn::Accepted]
    );
    assert_eq!((receiver.received().len(), other.received().len()), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_within_fifteen_seconds_is_a_failure() {
    if skip_slow_tests() {
        return;
    }
    let place = Place::new();
    let receiver = Receiver::start(Behaviour::Hang).await;
    let store = place.store();
    let settings = place.settings(vec![place.webhook("d", &receiver.url)]);
    let mut worker = place.workers(&settings, &store).remove(0);
    place.raise(&store, "a");
    let begun = Instant::now();
    assert_eq!(worker.turn().await.unwrap(), DeliveryTurn::Failed);
    let took = begun.elapsed().as_secs();
    assert!((14..18).contains(&took), "{took} s");
    let error = store.destinations().unwrap().remove(0).error;
    assert_eq!(error.as_deref(), Some("no response within 15 seconds"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_to_this_machine_unless_private_networks_are_allowed() {
    let place = Place::new();
    let receiver = Receiver::start(Behaviour::Answer(200)).await;
    let port = receiver.url.rsplit(':').next().unwrap().to_owned();
    let store = place.store();
    for (host, error) in [
        ("https://127.0.0.1", "loopback"),
        ("https://localhost", "loopback"),
        ("https://[::ffff:127.0.0.1]", "loopback"),
        ("https://2130706433", "loopback"),
        ("https://169.254.169.254", "link-local"),
        ("http://127.0.0.1", "not `https`"),
    ] {
        let url = format!("{host}:{port}");
        let settings = DeliverySettings {
            allow_private_networks: false,
            ..place.settings(vec![place.webhook("d", &url)])
        };
        let mut worker = place.workers(&settings, &store).remove(0);
        place.raise(&store, &format!("a{host}"));
        place.clock.advance(TimeDelta::hours(1));
        assert_eq!(worker.turn().await.unwrap(), DeliveryTurn::Failed);
        let found = store.destinations().unwrap().remove(0).error.unwrap();
        assert!(
            found.contains(error) && !found.contains(&port),
            "{host}: {found}"
        );
    }
    assert_eq!(receiver.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chat_and_pager_get_their_own_forms() {
    let place = Place::new();
    let receiver = Receiver::start(Behaviour::Answer(202)).await;
    let store = place.store();
    let url = place.secret("url", &receiver.url);
    let mut chat = place.worker(DestinationTarget::Slack { url: url.clone() }, &store);
    let mut hostile = alert("a", place.clock.now());
    hostile.summary =
        "<!channel> & token cfut_0123456789abcdefghijABCDEFGHIJ0123456789\r\nx".to_owned();
    place.add(&store, &hostile, MessageKind::Raised);
    drain(&mut chat, &place.clock).await;
    let text = receiver.received()[0].json()["text"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        text.starts_with("[high] Two-factor turned off\n&lt;!channel&gt; &amp; token "),
        "{text}"
    );
    assert!(!text.contains("cfut_0123"), "{text}");
    assert!(
        text.contains("https://audit.example.com/?q=seq%3A%287+OR+8%29&amp;since="),
        "{text}"
    );

    assert!(
        text.contains("https://audit.example.com/?view=alerts&amp;alert=a\n"),
        "{text}"
    );

    let key = place.secret("routing", "R0UT1NG");
    let mut pager = place.worker(
        DestinationTarget::PagerDuty {
            url: Some(url),
            key,
        },
        &store,
    );
    let mut done = alert("p", place.clock.now());
    place.add(&store, &done, MessageKind::Raised);
    drain(&mut pager, &place.clock).await;
    for (state, change) in [
        (AlertState::Acknowledged, MessageKind::Updated),
        (AlertState::Closed, MessageKind::Updated),
        (AlertState::Retracted, MessageKind::Retracted),
    ] {
        done.state = state;
        place.add(&store, &done, change);
    }
    drain(&mut pager, &place.clock).await;
    let events: Vec<Value> = receiver.received()[1..]
        .iter()
        .map(Received::json)
        .collect();
    let actions: Vec<&str> = events
        .iter()
        .map(|one| one["event_action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["trigger", "acknowledge", "resolve", "resolve"]);
    for event in &events {
        assert_eq!(
            (&event["dedup_key"], &event["routing_key"]),
            (&"p".into(), &"R0UT1NG".into())
        );
    }
    let link = &events[0]["links"][0]["href"];
    assert_eq!(link, "https://audit.example.com/?view=alerts&alert=p");
    assert_eq!(events[0]["payload"]["severity"], "error");
    assert_eq!(events[0]["payload"]["custom_details"]["id"], "p");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_is_as_serious_as_the_most_serious_of_its_alerts() {
    let place = Place::new();
    let receiver = Receiver::start(Behaviour::Answer(202)).await;
    let store = place.store();
    let target = DestinationTarget::PagerDuty {
        url: Some(place.secret("url", &receiver.url)),
        key: place.secret("routing", "R0UT1NG"),
    };
    let settings = DeliverySettings {
        digest_above: 2,
        ..place.settings(vec![destination("d", target)])
    };
    for (levels, severity) in [
        ([Level::Low, Level::Critical, Level::Low], "critical"),
        ([Level::Low, Level::Low, Level::Low], "info"),
    ] {
        let mut worker = place.workers(&settings, &store).remove(0);
        for (n, level) in levels.into_iter().enumerate() {
            let mut one = alert(&format!("{severity}{n}"), place.clock.now());
            one.rule.id = severity.to_owned();
            one.rule.level = level;
            one.group.clear();
            place.add(&store, &one, MessageKind::Raised);
        }
        drain(&mut worker, &place.clock).await;
        let event = receiver.received().pop().unwrap().json();
        let payload = &event["payload"];
        assert_eq!(payload["severity"], severity, "{event}");
        assert_eq!(
            payload["custom_details"]["alerts"]
                .as_array()
                .unwrap()
                .len(),
            3
        );
    }
    assert_eq!(receiver.received().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_arrives_although_the_server_refuses_it_at_first() {
    let place = Place::new();
    let server = MailServer::start(1).await;
    let store = place.store();
    let target = DestinationTarget::Email {
        url: place.secret("url", &server.url),
        from: "orgtrail <orgtrail@example.com>".to_owned(),
        to: vec!["a@example.com".to_owned(), "B <b@example.com>".to_owned()],
    };
    let mut worker = place.worker(target, &store);
    let mut hostile = alert("a", place.clock.now());
    hostile.rule.title = "Evil\r\nBcc: evil@example.com\r\n\r\nx".to_owned();
    hostile.summary = "\r\n.\r\nMAIL FROM:<evil@example.com>".to_owned();
    place.add(&store, &hostile, MessageKind::Raised);
    assert_eq!(
        drain(&mut worker, &place.clock).await,
        [DeliveryTurn::Failed, DeliveryTurn::Accepted]
    );
    until("the letter is there", || !server.letters().is_empty()).await;
    let letters = server.letters();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    let count = |start: &str| {
        letter
            .lines()
            .filter(|line| line.starts_with(start))
            .count()
    };
    assert_eq!(
        (count("MAIL FROM"), count("RCPT TO"), count("Bcc")),
        (1, 2, 0),
        "{letter}"
    );
    assert!(letter.contains("Subject: "), "{letter}");
    assert!(letter.contains("Message-ID: <msg_"), "{letter}");
    assert!(letter.contains("References: <a@example.com>"), "{letter}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_gets_each_message_as_a_line() {
    let place = Place::new();
    let path = place.dir.path().join("alerts.ndjson");
    let store = place.store();
    let mut worker = place.worker(DestinationTarget::File { path: path.clone() }, &store);
    for n in 0..3 {
        place.raise(&store, &format!("a{n}"));
    }
    drain(&mut worker, &place.clock).await;
    assert_eq!(ids_in(&path), ["a0", "a1", "a2"]);
    assert_eq!(
        place.metric("orgtrail_deliveries_total{destination=\"d\",outcome=\"accepted\"}"),
        3.0
    );
}

fn ids_in(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| line["data"]["id"].as_str().unwrap_or("test").to_owned())
        .collect()
}

/// A directory with a configuration that has destinations.
struct Configured {
    place: Place,
    file: PathBuf,
    text: String,
    _upstream: Upstream,
}

impl Configured {
    async fn new(destinations: &str) -> Self {
        let place = Place {
            clock: Clock::system(),
            ..Place::new()
        };
        let upstream = Upstream::new(SimConfig {
            events: 50,
            accounts: 1,
            days: 2,
            ..SimConfig::default()
        })
        .await;
        let configuration = upstream.configuration(place.dir.path());
        let text = format!("{configuration}\n{destinations}");
        let file = place.dir.path().join("orgtrail.toml");
        std::fs::write(&file, &text).unwrap();
        Self {
            place,
            file,
            text,
            _upstream: upstream,
        }
    }

    /// Runs a command. Gives its exit code and what it printed.
    fn run(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
        command.arg("--config").arg(&self.file).args(args);
        let done = tokio::task::block_in_place(|| command.output().unwrap());
        let printed = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8(printed).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_sends_what_is_added_beside_it_and_commands_show_and_replay_it() {
    let receiver = Receiver::start(Behaviour::Answer(500)).await;
    let dir = tempfile::tempdir().unwrap();
    let (url, path) = (dir.path().join("url"), dir.path().join("alerts.ndjson"));
    let key = dir.path().join("key");
    std::fs::write(&url, &receiver.url).unwrap();
    std::fs::write(&key, KEY).unwrap();
    let configured = Configured::new(&format!(
        "[alerts]\nallow_private_networks = true\n\
         [[alerts.destinations]]\nname = \"file\"\nkind = \"file\"\npath = '{}'\n\
         [[alerts.destinations]]\nname = \"hook\"\nkind = \"webhook\"\nurl_file = '{}'\nsecret_file = '{}'\ngive_up_after = \"1s\"\n",
        path.display(),
        url.display(),
        key.display()
    ))
    .await;
    let (code, printed) = configured.run(&["check"]);
    assert!(
        printed.contains("ok       the destination `hook` can be used"),
        "{code:?} {printed}"
    );
    let service = Service::start(&configured.text).await;
    service.until("/readyz", |_| true).await;
    let beside = Store::open_beside(&configured.place.dir.path().join("data")).unwrap();
    configured.place.raise(&beside, "a");
    until("the file has it", || ids_in(&path) == ["a"]).await;
    until("the webhook has given up", || {
        beside
            .destinations()
            .unwrap()
            .iter()
            .any(|one| one.given_up == 1)
    })
    .await;
    let (_, metrics) = service.ask("/metrics").await;
    for sample in [
        "orgtrail_deliveries_total{destination=\"file\",outcome=\"accepted\"} 1",
        "orgtrail_deliveries_total{destination=\"hook\",outcome=\"given_up\"} 1",
        "orgtrail_delivery_lag_seconds ",
    ] {
        assert!(metrics.contains(sample), "{sample}: {metrics}");
    }
    let (code, printed) = configured.run(&["alerts", "destinations", "--json"]);
    let shown: Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    assert_eq!(
        (code, &shown["destinations"][1]["given_up"]),
        (Some(0), &1.into())
    );
    let (_, printed) = configured.run(&["alerts", "dead-letters"]);
    assert!(
        printed.contains("hook msg_") && printed.contains("alert=a"),
        "{printed}"
    );
    let (code, printed) = configured.run(&["alerts", "test", "hook"]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("the response was 500"), "{printed}");

    let before = receiver.received();
    receiver.plan([Behaviour::Answer(200), Behaviour::Answer(200)]);
    let (code, printed) = configured.run(&["alerts", "replay", "hook"]);
    assert_eq!(
        (code, printed.contains("queue: 1.")),
        (Some(0), true),
        "{printed}"
    );
    until("it is accepted", || !receiver.accepted().is_empty()).await;
    let accepted = receiver.accepted();
    assert_eq!(
        accepted[0].header("webhook-id"),
        before[0].header("webhook-id")
    );
    let (code, printed) = configured.run(&["alerts", "test", "hook"]);
    assert_eq!(code, Some(0), "{printed}");
    assert_eq!(receiver.accepted()[1].json()["type"], "orgtrail.alert.test");
    assert_eq!(configured.run(&["alerts", "replay", "nowhere"]).0, Some(1));
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_names_everything_that_is_wrong_with_destinations_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let (url, key) = (dir.path().join("url"), dir.path().join("key"));
    std::fs::write(&url, "https://127.0.0.1/hunter2").unwrap();
    std::fs::write(&key, "hunter2").unwrap();
    let configured = Configured::new(&format!(
        "[[alerts.destinations]]\nname = \"hook\"\nkind = \"webhook\"\nurl_file = '{}'\nsecret_file = '{}'\n\
         [[alerts.destinations]]\nname = \"mail\"\nkind = \"email\"\nurl_env = \"NOT_SET_ANYWHERE\"\nfrom = \"a@b\"\nto = [\"c@d\"]\n\
         [[alerts.destinations]]\nname = \"file\"\nkind = \"file\"\npath = \"/nowhere/at/all\"\n",
        url.display(),
        key.display()
    ))
    .await;
    let (code, printed) = configured.run(&["check"]);
    assert_eq!(code, Some(1), "{printed}");
    for what in [
        "PROBLEM  the destination `hook`: `file:",
        "is not a key of Standard Webhooks",
        "the destination `hook`: the address of the host is refused (loopback)",
        "the destination `mail`: `env:NOT_SET_ANYWHERE`: it is not set",
        "the destination `file`: there is no folder `/nowhere/at`",
    ] {
        assert!(printed.contains(what), "{what}: {printed}");
    }
    assert!(!printed.contains("hunter2"), "{printed}");
}
