//! Every built-in rule that is not experimental fires on an entry that the simulated upstream emits, after a call of its API where the API has
//! such a call.

use std::collections::BTreeSet;

use orgtrail::clock::Clock;
use orgtrail::rules::{LogService, Rule, RuleKind, RuleStatus, Rules};
use orgtrail_simulator::SimConfig;
use serde_json::{Value, json};

use crate::harness::Upstream;

/// Rules whose entries no upstream emits: they are about our own log.
const OF_OUR_LOG: [&str; 1] = ["entry-changed.yml"];

/// Correlations of what the API has no call for. The rules that they name fire.
const NO_CALLS: [&str; 4] = [
    // Sign-ins are in the history, too rare for a burst.
    "sign-in-burst.yml",
    "sign-in-spraying.yml",
    "sign-in-after-failures.yml",
    // A new token cannot be used: the simulator knows the caller's alone.
    "token-lived-shortly.yml",
];

/// The pairs that `first_seen` knows, each with the actor.
const PAIRS: [(&str, &str); 5] = [
    ("actor.ip_address", "/actor/ip_address"),
    ("actor.user_agent", "/raw/user_agent"),
    ("actor.token_id", "/actor/token_id"),
    ("action.type", "/action/type"),
    ("account.id", "/account/id"),
];

/// Adds `first_seen` to entries that are in the order of their times.
fn add_first_seen(entries: &mut [Value]) {
    let mut seen = BTreeSet::new();
    for entry in entries {
        let text = |path: &str| {
            let value = entry.pointer(path).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let actor = text("/actor/id");
        let is_new = |(_, path): &&(&str, &str)| {
            let value = text(path);
            !value.is_empty()
                && !actor.is_empty()
                && seen.insert((path.to_string(), actor.clone(), value))
        };
        let pairs: Vec<_> = PAIRS.iter().filter(is_new).map(|(name, _)| *name).collect();
        if !pairs.is_empty() && entry.is_object() {
            entry["first_seen"] = json!(pairs);
        }
    }
}

/// Calls the API, and gives every entry that there is afterwards.
struct Api {
    upstream: Upstream,
    client: reqwest::Client,
    accounts: Vec<String>,
    zone: (String, String),
}

impl Api {
    async fn start() -> Self {
        let upstream = Upstream::new(SimConfig {
            events: 4_000,
            accounts: 40,
            ..SimConfig::default()
        })
        .await;
        let sources = upstream.simulator.sources();
        let accounts = sources.iter().filter_map(|source| {
            let name = source.to_string();
            name.strip_prefix("accounts/").map(str::to_owned)
        });
        Self {
            accounts: accounts.collect(),
            zone: upstream.simulator.zones().remove(0),
            client: reqwest::Client::new(),
            upstream,
        }
    }

    /// Makes the call that an entry of a rule's test tells of, if it tells of one.
    async fn make(&self, entry: &Value) -> bool {
        let text = |path| entry.pointer(path).and_then(Value::as_str);
        let (method, uri) = match (text("/raw/method"), text("/raw/uri")) {
            (Some(method), Some(uri)) => (method, uri),
            // Any call will do.
            _ if entry.pointer("/resource/request").is_some() => {
                ("POST", "/accounts/a1/rules/lists")
            }
            _ => return false,
        };
        let organization = self.upstream.simulator.organization_id();
        let real = |text: &str| {
            text.replace("/accounts/a1", &format!("/accounts/{}", self.accounts[0]))
                .replace("/zones/z1", &format!("/zones/{}", self.zone.0))
                .replace(
                    "/organizations/o1/",
                    &format!("/organizations/{organization}/"),
                )
                .replace("Example.com", &self.zone.1)
        };
        let request = entry.pointer("/resource/request").cloned();
        let body = request.unwrap_or_else(|| self.body(uri));
        let url = format!("{}{}", self.upstream.base_url, real(uri));
        let call = self.client.request(method.parse().unwrap(), url);
        let call = match text("/actor/context") {
            Some("api_key") => call
                .header("x-auth-email", "ops@example.com")
                .header("x-auth-key", "0123456789abcdef0123456789abcdef01234"),
            _ => call.bearer_auth("simulated-token"),
        };
        let call = call.header("user-agent", "rules-test/1");
        let answer = call.body(real(&body.to_string())).send().await.unwrap();
        answer.status().is_success()
    }

    /// What the calls need whose state the simulator keeps.
    fn body(&self, uri: &str) -> Value {
        let member = json!({"user": {"email": "new@example.com"}, "status": "active"});
        match uri {
            uri if uri.ends_with("members:batchCreate") => json!({"members": [member]}),
            uri if uri.starts_with("/organizations/") => json!({"member": member}),
            "/organizations" => json!({"name": "Another"}),
            _ => json!({}),
        }
    }

    fn entries(&self) -> Vec<Value> {
        let now = Clock::system().now() + chrono::TimeDelta::seconds(1);
        let simulator = &self.upstream.simulator;
        let texts = simulator
            .sources()
            .into_iter()
            .flat_map(|source| simulator.entries(&source, now));
        let mut entries: Vec<Value> = texts
            .map(|text| serde_json::from_str(&text).unwrap())
            .collect();
        let time = |entry: &Value| {
            let text = entry
                .pointer("/action/time")
                .and_then(Value::as_str)
                .unwrap_or_default();
            chrono::DateTime::parse_from_rfc3339(text).ok()
        };
        entries.sort_by_key(time);
        add_first_seen(&mut entries);
        entries
    }
}

fn is_expected(rule: &Rule) -> bool {
    let is_of_service =
        matches!(&rule.kind, RuleKind::Event(found) if found.service() == LogService::Orgtrail);
    let is_left_out = OF_OUR_LOG
        .iter()
        .chain(&NO_CALLS)
        .any(|file| *file == rule.file);
    rule.status != RuleStatus::Experimental && !is_of_service && !is_left_out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_fires_on_what_the_simulated_upstream_emits() {
    let rules = Rules::built_in();
    let api = Api::start().await;
    let global_key = json!({"actor": {"context": "api_key"}, "raw": {"method": "POST", "uri": "/zones/z1/dns_records"}});
    assert!(api.make(&global_key).await);
    for account in &api.accounts {
        let uri = format!("/accounts/{account}/rules/lists");
        assert!(
            api.make(&json!({"raw": {"method": "POST", "uri": uri}}))
                .await
        );
    }
    let mut n_calls = 0;
    for rule in rules.iter().filter(|rule| is_expected(rule)) {
        for case in rule.cases.iter().filter(|case| case.must_match) {
            for entry in &case.entries {
                n_calls += usize::from(api.make(entry).await);
            }
        }
    }
    assert!(n_calls > 100, "{n_calls}");
    let entries = api.entries();
    let silent: Vec<_> = rules
        .iter()
        .filter(|rule| is_expected(rule) && !rules.raises(rule, &entries))
        .map(|rule| &rule.file)
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
    let expected = rules.iter().filter(|rule| is_expected(rule)).count();
    assert!(expected >= 40, "{expected}");
}

#[test]
fn our_own_log_shows_changed_entries_to_rules() {
    use orgtrail::event::AuditEvent;
    use orgtrail::position::{Seq, Source};
    use orgtrail::rules::EntryFacts;
    use serde_json::value::RawValue;
    let rules = Rules::built_in();
    let event = |revision| AuditEvent {
        seq: Seq(1),
        source: Source::account("a1").unwrap(),
        id: Some("e1".to_owned()),
        revision,
        time: None,
        received_at: Clock::system().now(),
        problem: None,
        // What upstream sends under our names is not ours.
        entry: RawValue::from_string(
            r#"{"revision":5,"problem":"damaged","first_seen":["account.id"]}"#.to_owned(),
        )
        .unwrap(),
        sha256: None,
    };
    let fire = |event: &AuditEvent| -> Vec<&str> {
        let facts = EntryFacts::of(event);
        let found = rules
            .events()
            .filter(|(_, detection)| detection.matches(&facts));
        found.map(|(rule, _)| rule.file.as_str()).collect()
    };
    assert_eq!(fire(&event(0)), Vec::<&str>::new());
    assert_eq!(fire(&event(1)), ["entry-changed.yml"]);
    let facts = EntryFacts::of(&event(0)).with_first_seen(["account.id"]);
    let first = rules
        .events()
        .filter(|(_, detection)| detection.matches(&facts));
    assert_eq!(
        first
            .map(|(rule, _)| rule.file.as_str())
            .collect::<Vec<_>>(),
        ["new-account-for-actor.yml"]
    );
}
