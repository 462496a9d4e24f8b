//! Credentials in entries are hidden wherever alerts and summaries show something of an entry; the entry stays as it was sent.

use chrono::TimeDelta;
use orgtrail::access::{Grant, Permission};
use orgtrail::alert::Level;
use orgtrail::clock::Clock;
use orgtrail::deliver::{
    DeliverySettings, DeliveryTurn, DestinationSettings, DestinationTarget, SecretSource, Sender,
    workers,
};
use orgtrail::metrics::Metrics;
use reqwest::Method;
use serde_json::{Value, json};

use crate::alert_stream::{Client, judge_at};
use crate::fixture_log::{Desk, account};
use crate::receiver::{Behaviour, MailServer, Receiver};

/// Is in every credential, and in nothing else.
const SECRET: &str = "S3cr3tV4lu3";

/// One of each kind.
fn credentials() -> [String; 5] {
    let random = format!("{SECRET}0123456789{SECRET}0123456789ab");
    [
        format!("cfk_{random}"),
        format!("cfut_{random}"),
        format!("cfat_{random}"),
        format!(
            "-----BEGIN RSA PRIVATE KEY-----\n{random}\n{random}=\n-----END RSA PRIVATE KEY-----\n"
        ),
        format!("eyJhbGciOiJSUzI1NiJ9.eyJ{random}.{random}"),
    ]
}

/// One entry with a credential in everything that an alert or a sentence may show.
fn entry(id: usize, credential: &str) -> String {
    let note = format!("Used {credential} now");
    json!({
        "id": format!("mask-{id}"),
        "action": {"time": "2026-08-03T08:00:00Z", "type": "alert-test", "description": note},
        "actor": {"id": credential, "token_name": credential},
        "resource": {"id": credential, "type": credential, "product": credential, "request": {"name": note, "secret": credential}},
        "zone": {"name": credential},
    })
    .to_string()
}

const RULES: &str = "
title: Acted
id: acted
name: acted
logsource: {product: cloudflare, service: audit}
detection: {s: {action.type: alert-test}, condition: s}
level: high
---
title: Acted in a group
id: grouped
level: high
correlation: {type: event_count, generate: true, rules: [acted], group-by: [actor.id, actor.token_name, resource.request.secret, resource.request.name, action.description], timespan: 60s, condition: {gte: 1}}
";

/// What every destination received.
struct Destinations {
    receiver: Receiver,
    mail: MailServer,
    dir: tempfile::TempDir,
    settings: DeliverySettings,
}

impl Destinations {
    async fn start() -> Self {
        let receiver = Receiver::start(Behaviour::Answer(202)).await;
        let mail = MailServer::start(0).await;
        let dir = tempfile::tempdir().unwrap();
        let secret = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            SecretSource::File(path)
        };
        let url = secret("url", &receiver.url);
        let key = secret("key", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let targets = [
            DestinationTarget::Webhook {
                url: url.clone(),
                keys: vec![key.clone()],
            },
            DestinationTarget::Slack { url: url.clone() },
            DestinationTarget::PagerDuty {
                url: Some(url),
                key,
            },
            DestinationTarget::Email {
                url: secret("mail", &mail.url),
                from: "orgtrail@example.com".to_owned(),
                to: vec!["a@example.com".to_owned()],
            },
            DestinationTarget::File {
                path: dir.path().join("alerts.ndjson"),
            },
        ];
        let destinations = targets.map(|target| DestinationSettings {
            name: target.kind().to_owned(),
            target,
            level: Level::Low,
            rules: Vec::new(),
            suppress: TimeDelta::zero(),
            give_up_after: TimeDelta::days(3),
        });
        let settings = DeliverySettings {
            alert_on_history: true,
            allow_private_networks: true,
            digest_above: 1_000,
            destinations: destinations.to_vec(),
        };
        Self {
            receiver,
            mail,
            dir,
            settings,
        }
    }

    /// Sends what waits, and gives all that was received, with the soft line breaks of mail taken out.
    async fn received(&self, desk: &Desk) -> String {
        let clock = Clock::system();
        for mut worker in self.workers(desk, &clock) {
            while !matches!(worker.turn().await.unwrap(), DeliveryTurn::Idle(_)) {}
        }
        let bodies = self.receiver.received();
        let mut all: Vec<String> = bodies
            .iter()
            .map(|one| String::from_utf8(one.body.to_vec()).unwrap())
            .collect();
        let letters = self.mail.letters();
        let file = std::fs::read_to_string(self.dir.path().join("alerts.ndjson")).unwrap();
        // Each kind of destination has got each alert: two for each credential.
        let sent = credentials().len() * 2;
        assert_eq!((all.len(), letters.len()), (3 * sent, sent));
        assert_eq!(file.lines().count(), sent);
        all.extend(letters.iter().map(|letter| letter.replace("=\n", "")));
        all.push(file);
        all.join("\n")
    }

    fn workers(&self, desk: &Desk, clock: &Clock) -> Vec<orgtrail::deliver::Deliverer> {
        let sender = Sender {
            log_id: desk.store.log_id().to_string(),
            public_url: Some("https://audit.example.com".parse().unwrap()),
        };
        workers(
            &self.settings,
            &sender,
            &desk.store,
            &Metrics::default(),
            clock,
        )
        .unwrap()
    }
}

fn assert_hidden(what: &str, text: &str) {
    assert!(!text.contains(SECRET), "{what}: {text}");
    assert!(text.contains("[credential]"), "{what}: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_alert_message_feed_stream_or_sentence_shows_a_credential_of_an_entry() {
    let mut desk = Desk::guarded().await;
    let destinations = Destinations::start().await;
    // Before the first alert, as a service does.
    drop(destinations.workers(&desk, &Clock::system()));
    let entries: Vec<String> = credentials()
        .iter()
        .enumerate()
        .map(|(n, credential)| entry(n, credential))
        .collect();
    desk.keep(&account(), &entries);
    desk.search_all();
    judge_at(&desk.store, RULES, Clock::system().now().timestamp());
    let token = desk.token(Grant {
        permissions: [Permission::Search, Permission::Alerts]
            .into_iter()
            .collect(),
        sources: Vec::new(),
        bodies: true,
    });
    let ask = async |method: Method, path: &str, body: &str| {
        let request = reqwest::Client::new().request(method, format!("{}{path}", desk.url));
        let request = request.bearer_auth(&token);
        let request = request.header("Content-Type", "application/json");
        let answer = request.body(body.to_owned()).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().await.unwrap()
    };
    let get = async |path: &str| ask(Method::GET, path, "").await;

    let list = get("/v1/alerts").await;
    assert_hidden("the list", &list);
    let page: Value = serde_json::from_str(&list).unwrap();
    let alerts = page["alerts"].as_array().unwrap();
    assert_eq!(alerts.len(), credentials().len() * 2);
    for alert in alerts {
        let path = format!("/v1/alerts/{}", alert["id"].as_str().unwrap());
        assert_hidden("one", &get(&path).await);
    }
    for path in ["/v1/alerts/feed.atom", "/v1/alerts/feed.json"] {
        assert_hidden(path, &get(path).await);
    }
    let mut stream = Client::open(&desk, &token, "?last_event_id=0", None).await;
    for (_, change) in stream.take(alerts.len()).await {
        assert_hidden("the stream", &change.to_string());
    }
    assert_hidden("a destination", &destinations.received(&desk).await);

    // What people write is hidden as well.
    let path = format!("/v1/alerts/{}", alerts[0]["id"].as_str().unwrap());
    for credential in credentials() {
        let body = json!({"state": "closed", "reason": format!("rolled {}", credential.replace('\n', " "))});
        assert_hidden(
            "a reason",
            &ask(Method::PATCH, &path, &body.to_string()).await,
        );
    }

    let events = get("/v1/events").await;
    let events: Value = serde_json::from_str(&events).unwrap();
    let events = events["events"].as_array().unwrap();
    assert_eq!(events.len(), credentials().len());
    for event in events {
        assert_hidden("a sentence", event["summary"].as_str().unwrap());
        assert!(
            event["entry"].to_string().contains(SECRET),
            "as it was sent"
        );
    }
    let command = std::process::Command::new(env!("CARGO_BIN_EXE_orgtrail"))
        .args(["alerts", "--state", "open", "--data-dir"])
        .arg(desk.data_dir())
        .output()
        .unwrap();
    assert_hidden("the command", &String::from_utf8(command.stdout).unwrap());
}
