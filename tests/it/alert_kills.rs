//! Alerts reach their destinations although the program is killed again and again, and one of its destinations fails, hangs, and dies.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fastrand::Rng;
use orgtrail::alert::{Alert, AlertState};
use orgtrail::store::Store;
use orgtrail::store::alerts::{AlertFilter, AlertReader};
use orgtrail_simulator::{Faults, SimConfig};
use standardwebhooks::Webhook;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::harness::{Upstream, until};
use crate::receiver::{Behaviour, Received, Receiver};
use crate::{seeds, skip_slow_tests, tell};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// How often the process is killed.
const KILLS: usize = 20;

/// A rule that often matches, and one whose alerts late entries change.
const RULES: &str = "
title: Something changed
id: changed
name: changed
logsource: {product: cloudflare, service: audit}
detection: {s: {raw.method: [POST, PUT, PATCH, DELETE]}, condition: s}
level: low
---
title: Exactly two changes within a minute
id: two
correlation: {type: event_count, rules: [changed], group-by: [account.id], timespan: 1m, condition: {eq: 2}, generate: true}
level: medium
";

/// A way to a receiver that can be cut.
struct CuttableWay {
    address: SocketAddr,
    to: String,
    open: Option<JoinSet<()>>,
}

impl CuttableWay {
    async fn to(receiver: &Receiver) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = receiver
            .url
            .trim_start_matches("http://")
            .trim_end_matches("/hook");
        let mut way = Self {
            address: listener.local_addr().unwrap(),
            to: to.to_owned(),
            open: None,
        };
        way.accept(listener);
        way
    }

    fn accept(&mut self, listener: TcpListener) {
        let to = self.to.clone();
        let mut open = JoinSet::new();
        open.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                let to = to.clone();
                connections.spawn(async move {
                    if let Ok(mut to) = TcpStream::connect(to).await {
                        drop(copy_bidirectional(&mut from, &mut to).await);
                    }
                });
            }
        });
        self.open = Some(open);
    }

    /// Nothing listens any more, and no connection is left.
    async fn cut(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.shutdown().await;
        }
    }

    async fn repair(&mut self) {
        if self.open.is_none() {
            let listener = TcpListener::bind(self.address).await.unwrap();
            self.accept(listener);
        }
    }
}

fn configure(dir: &Path, upstream: &Upstream, destinations: &[(&str, String)]) {
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    std::fs::create_dir(dir.join("rules")).unwrap();
    write("rules/own.yml", RULES);
    let key = write("key", KEY);
    let mut text = format!(
        r#"data_dir = '{}'
[http]
listen = "127.0.0.1:0"
auth = "none"
[upstream]
base_url = "{}"
token_env = "ORGTRAIL_TEST_TOKEN"
max_requests = 100000
[poll]
interval = "1s"
max_interval = "1s"
overlap = "2s"
sweeps = ["3s", "12s"]
backfill_since = "2d"
[alerts]
rules_dir = '{}'
alert_on_history = true
allow_private_networks = true
digest_above = 1000
"#,
        dir.join("data").display(),
        upstream.base_url,
        dir.join("rules").display(),
    );
    for (name, url) in destinations {
        let url = write(&format!("{name}.url"), url);
        text += &format!(
            "[[alerts.destinations]]\nname = '{name}'\nkind = 'webhook'\nurl_file = '{url}'\nsecret_file = '{key}'\nlevel = 'low'\nrules = ['changed', 'two']\nsuppress = '0s'\n"
        );
    }
    for id in upstream.simulator.organization_ids() {
        text += &format!("[[organizations]]\nid = \"{id}\"\n");
    }
    write("orgtrail.toml", &text);
}

fn serve(dir: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_orgtrail"))
        .args(["serve", "--config"])
        .arg(dir.join("orgtrail.toml"))
        .env("ORGTRAIL_TEST_TOKEN", "any")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn alerts(dir: &Path) -> Vec<Alert> {
    let store = Store::open_beside(&dir.join("data")).unwrap();
    let filter = AlertFilter::default();
    let mut alerts = store
        .alerts(&filter, &AlertReader::of_everything(), None, 1_000_000)
        .unwrap();
    alerts.retain(|alert| ["changed", "two"].contains(&alert.rule.id.as_str()));
    alerts
}

/// What the troubled receiver does next.
fn any_behaviour(rng: &mut Rng) -> Behaviour {
    match rng.u8(0..12) {
        0 => Behaviour::Answer(500),
        1 => Behaviour::Answer(404),
        2 => Behaviour::Later(429, "1"),
        3 => Behaviour::Later(503, "1"),
        4 => Behaviour::Hang,
        _ => Behaviour::Answer(204),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_arrive_in_order_although_the_program_is_killed_and_a_destination_fails() {
    if skip_slow_tests() {
        return;
    }
    for seed in seeds(1, 1) {
        run(seed).await;
    }
}

async fn run(seed: u64) {
    tell(format!("seed {seed}; again with ORGTRAIL_SEED={seed}"));
    let mut rng = Rng::with_seed(seed);
    let upstream = Upstream::new(SimConfig {
        seed,
        events: 300,
        accounts: 2,
        days: 2,
        live_per_minute: 240.0,
        ..SimConfig::default()
    })
    .await;
    upstream.simulator.set_faults(Faults {
        seed,
        late: 0.2,
        max_lateness: chrono::TimeDelta::seconds(8),
        ..Faults::default()
    });
    let (troubled, quick) = (
        Receiver::start(Behaviour::Answer(204)).await,
        Receiver::start(Behaviour::Answer(204)).await,
    );
    let mut way = CuttableWay::to(&troubled).await;
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://{}/hook", way.address);
    let destinations = [("troubled", url), ("quick", quick.url.clone())];
    configure(dir.path(), &upstream, &destinations);

    for kill in 0..KILLS {
        troubled.plan((0..rng.usize(0..12)).map(|_| any_behaviour(&mut rng)));
        if rng.u8(0..4) == 0 {
            way.cut().await;
        }
        let mut child = serve(dir.path());
        let (before, wanted) = (quick.received().len(), rng.usize(1..8));
        until("the process has sent something", || {
            quick.received().len() >= before + wanted
        })
        .await;
        way.repair().await;
        // The very moment is chance: before a request, between the answer and what is saved of it, in a commit.
        tokio::time::sleep(Duration::from_micros(rng.u64(..300_000))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        tell(format!("seed {seed}: kill {kill} after {wanted} messages"));
    }

    let mut child = serve(dir.path());
    the_other_is_not_delayed(&troubled, &quick).await;
    while troubled.unplan() {}
    upstream.simulator.set_faults(Faults::default());
    let end = alerts(dir.path()).len();
    assert!(end > 50, "seed {seed}: {end} alerts");
    until("all alerts until then have arrived", || {
        let (standing, arrived) = (alerts(dir.path()), [&troubled, &quick].map(raised_by));
        let first = standing
            .iter()
            .filter(|alert| alert.state == AlertState::Open);
        let mut ids = first.take(end).map(|alert| &alert.id.0);
        ids.all(|id| arrived.iter().all(|arrived| arrived.contains_key(id)))
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    for receiver in [&troubled, &quick] {
        check(receiver, &alerts(dir.path()), seed);
    }
}

/// While one destination hangs, the other gets more.
async fn the_other_is_not_delayed(troubled: &Receiver, quick: &Receiver) {
    while troubled.unplan() {}
    troubled.plan(std::iter::repeat_n(Behaviour::Hang, 1_000));
    let requests = troubled.received().len();
    until("the troubled one hangs", || {
        troubled.received().len() > requests
    })
    .await;
    let (hung, before) = (troubled.accepted().len(), quick.accepted().len());
    let begun = std::time::Instant::now();
    until("the other one has more", || {
        quick.accepted().len() >= before + 5
    })
    .await;
    assert_eq!(troubled.accepted().len(), hung);
    assert!(begun.elapsed() < Duration::from_secs(60));
}

/// The ids under which each alert was accepted as raised, by the alert.
fn raised_by(receiver: &Receiver) -> BTreeMap<String, BTreeSet<String>> {
    let mut raised: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in receiver.accepted() {
        let event = one.json();
        if event["type"] == "orgtrail.alert.raised" {
            let alert = event["subject"].as_str().unwrap().to_owned();
            let id = one.header("webhook-id").to_owned();
            raised.entry(alert).or_default().insert(id);
        }
    }
    raised
}

fn check(receiver: &Receiver, alerts: &[Alert], seed: u64) {
    let received = receiver.received();
    let judge = Webhook::new(KEY).unwrap();
    for one in &received {
        judge.verify(&one.body, &one.headers).unwrap();
    }
    in_order(&received, seed);
    let raised = raised_by(receiver);
    let known: BTreeMap<&str, &Alert> = alerts
        .iter()
        .map(|alert| (alert.id.0.as_str(), alert))
        .collect();
    for (alert, ids) in raised {
        let Some(alert) = known.get(alert.as_str()) else {
            panic!("seed {seed}: {alert} was sent and is not in the log");
        };
        // An alert that was retracted and raised again is another message.
        let openings = alert
            .history
            .iter()
            .filter(|change| change.state == AlertState::Open);
        assert!(
            ids.len() <= openings.count(),
            "seed {seed}: {alert:?} {ids:?}"
        );
    }
}

/// A message is tried until it was accepted, and never again once the next one was tried.
fn in_order(received: &[Received], seed: u64) {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut last: Option<(&str, bool)> = None;
    for one in received {
        let id = one.header("webhook-id");
        assert!(
            !done.contains(id),
            "seed {seed}: {id} came again after later ones"
        );
        last = match last {
            Some((before, is_accepted)) if before != id => {
                assert!(is_accepted, "seed {seed}: {before} was left for {id}");
                done.insert(before);
                Some((id, one.is_accepted))
            }
            Some((_, is_accepted)) => Some((id, is_accepted || one.is_accepted)),
            None => Some((id, one.is_accepted)),
        };
    }
}
