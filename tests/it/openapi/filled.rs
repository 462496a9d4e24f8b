//! A service with a small log that is always the same, at a fixed time: what the examples of the document are asked of.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use orgtrail::access::Grant;
use orgtrail::clock::Clock;
use orgtrail::detect::Detect;
use orgtrail::evidence::{LogKey, MerkleHash, StatementLeaf, TreeHead};
use orgtrail::follow::Follower as _;
use orgtrail::metrics::Metrics;
use orgtrail::position::Source;
use orgtrail::rules::Rules;
use orgtrail::store::{AccountList, ShownTree, SourceSeen};
use orgtrail_cloudflare::member::Member;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::documented::{FORM, Operation};
use crate::fixture_log::Desk;

pub(super) const ACCOUNT: &str = "5d1f7a0c9b8e4d3f2a1b0c9d8e7f6a5b";
pub(super) const ORGANIZATION: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
const MEMBER: &str = "8cffb9d2-0000-4000-8000-000000000001";

/// The service, and a token that may do everything.
pub(super) struct Filled {
    pub(super) desk: Desk,
    pub(super) token: String,
    http: reqwest::Client,
    clock: Clock,
}

impl Filled {
    pub(super) async fn new() -> Self {
        let now: DateTime<Utc> = "2026-08-04T08:00:00Z".parse().unwrap();
        let clock = Clock::manual(now);
        let mut desk = Desk::guarded_at(clock.clone()).await;
        let account = Source::account(ACCOUNT).unwrap();
        let organization = Source::organization(ORGANIZATION).unwrap();
        desk.keep(&account, &account_entries());
        desk.keep(&organization, &[membership().to_string()]);
        list(&desk, account, organization, now);
        raise_alerts(&desk, now);
        desk.search_all();
        sign(&mut desk, now);
        Self {
            token: desk.token(Grant::everything()),
            http: reqwest::Client::new(),
            desk,
            clock,
        }
    }

    /// Lets a second pass, in which an address may send one more request without a credential.
    pub(super) fn wait(&self) {
        self.clock.advance(chrono::TimeDelta::seconds(1));
    }

    pub(super) async fn send(&self, method: Method, path: &str) -> Response {
        let request = self
            .http
            .request(method, format!("{}{path}", self.desk.url));
        request.bearer_auth(&self.token).send().await.unwrap()
    }

    /// The answer to a request of that operation, with what follows the `?` in the place where its parameters are.
    pub(super) async fn try_operation(
        &self,
        operation: &Operation,
        path: &str,
        token: Option<&str>,
    ) -> Response {
        let (url, method) = (format!("{}{path}", self.desk.url), operation.verb());
        let request = match url.split_once('?') {
            Some((url, query)) if operation.is_form() => {
                let request = self.http.request(method, url).body(query.to_owned());
                request.header("Content-Type", FORM)
            }
            _ => self.http.request(method, url),
        };
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap()
    }

    /// The id of a search that the principal has saved.
    pub(super) async fn save_search(&self) -> String {
        let request = self.http.post(format!("{}/v1/searches", self.desk.url));
        let search = json!({"name": "Tokens", "q": "resource.type:token"});
        let request = request.bearer_auth(&self.token).json(&search);
        let saved: Value = request.send().await.unwrap().json().await.unwrap();
        saved["id"].as_str().unwrap().to_owned()
    }
}

/// What upstream's lists told.
fn list(desk: &Desk, account: Source, organization: Source, now: DateTime<Utc>) {
    let accounts = [SourceSeen {
        source: account,
        organization: Some(ORGANIZATION.to_owned()),
        label: Some("Example - Production".to_owned()),
        created_at: Some("2024-01-15T10:00:00Z".parse().unwrap()),
    }];
    desk.store
        .want_only_account_lists(&[ORGANIZATION.to_owned()])
        .unwrap();
    let list = AccountList {
        organization: ORGANIZATION,
        accounts: &accounts,
        by_themselves: &HashSet::from([organization]),
        is_complete: true,
        began_at: now,
    };
    desk.store.save_accounts(&list, now).unwrap();
    let member = Member {
        id: MEMBER.into(),
        user_id: Some("user-alice".into()),
        email: Some("alice@example.com".into()),
        name: Some("Alice".into()),
        status: Some("active".into()),
        two_factor: Some(true),
        joined_at: Some("2024-02-01T09:00:00.000000Z".into()),
    };
    desk.store
        .save_members(ORGANIZATION, &[member], true, now)
        .unwrap();
}

/// The create, the change and the deletion of a DNS record, and a change of a token.
fn account_entries() -> Vec<String> {
    let record = |id, day, action, method, request: Value| {
        let mut entry = entry(id, &format!("2026-08-0{day}T09:00:00Z"), action, method);
        entry["actor"] = json!({
            "context": "dash", "email": "alice@example.com", "id": "user-alice",
            "ip_address": "203.0.113.7", "type": "user",
        });
        entry["resource"] = json!({
            "id": "rec-www", "product": "dns", "type": "record", "scope": "zones", "request": request,
        });
        entry["zone"] = json!({"id": "zone-example", "name": "example.com"});
        entry
    };
    let mut token = entry(4, "2026-08-03T10:00:00Z", "delete", "DELETE");
    token["actor"] = json!({
        "context": "api_token", "email": "bob@example.com", "id": "user-bob", "ip_address": "198.51.100.24",
        "token_id": "c1d2e3f4", "token_name": "deploy", "type": "user",
    });
    token["resource"] =
        json!({"id": "key-7", "product": "user_tokens", "type": "token", "scope": "accounts"});
    let entries = [
        record(
            1,
            1,
            "create",
            "POST",
            json!({"name": "www", "type": "A", "content": "192.0.2.10", "ttl": 300}),
        ),
        record(
            2,
            2,
            "update",
            "PUT",
            json!({"name": "www", "type": "A", "content": "192.0.2.20", "ttl": 300}),
        ),
        record(3, 3, "delete", "DELETE", Value::Null),
        token,
    ];
    entries.map(|entry| entry.to_string()).into()
}

/// An entry of the organization's own log.
fn membership() -> Value {
    let mut entry = entry(5, "2026-08-03T12:00:00Z", "create", "POST");
    entry["actor"] = json!({"context": "dash", "email": "alice@example.com", "id": "user-alice", "ip_address": "203.0.113.7", "type": "user"});
    entry["resource"] =
        json!({"id": "member-bob", "product": "members", "type": "member", "scope": "memberships"});
    entry
}

fn entry(id: u32, time: &str, action: &str, method: &str) -> Value {
    json!({
        "id": format!("2dc5cb28-0000-4000-8000-00000000000{id}"),
        "action": {"description": format!("{action} by API"), "result": "success", "time": time, "type": action},
        "account": {"id": ACCOUNT, "name": "Example - Production"},
        "raw": {"cf_ray_id": format!("8f0c1d2e3f4a5b{id}"), "method": method, "status_code": 200, "uri": "/client/v4/example", "user_agent": "curl/8.5"},
    })
}

/// Raises an alert about each entry of the account.
fn raise_alerts(desk: &Desk, now: DateTime<Utc>) {
    let text = "{title: Any act, id: any-act, level: low, logsource: {product: cloudflare, service: audit}, detection: {s: {action.type: '*'}, condition: s}}";
    let (rules, errors) = Rules::parse("any-act.yml", text);
    assert!(errors.is_empty(), "{errors:?}");
    let clock = Clock::manual(now);
    let mut detect = Detect::new(desk.store.clone(), rules, Metrics::default(), clock);
    while detect.turn_once().unwrap().has_more {}
}

/// Signs the events and a statement, after another log that was there before.
fn sign(desk: &mut Desk, now: DateTime<Utc>) {
    let head = TreeHead {
        origin: "log.example.com/before".to_owned(),
        size: 1,
        root: MerkleHash::of_leaf(b"before"),
    };
    let note = head.sign(&LogKey::from_seed(&[6; 32])).to_string();
    let tree = ShownTree {
        leaves: 1,
        ..ShownTree::default()
    };
    let store = &desk.store;
    store
        .show_checkpoint(&head.origin, None, &tree, &note, None)
        .unwrap();
    let statement = StatementLeaf {
        before: "2026-08-04T00:00:00Z".to_owned(),
        entries: 0,
        lateness: None,
        scanned_at: Some("2026-08-04T07:00:00Z".to_owned()),
        since: "2026-08-03T00:00:00Z".to_owned(),
        source: format!("accounts/{ACCOUNT}"),
        state: "settling".to_owned(),
    };
    let statements = [(20_668, statement.to_bytes())];
    store
        .add_statements(&statement.source, &statements, now)
        .unwrap();
    desk.sign();
}
