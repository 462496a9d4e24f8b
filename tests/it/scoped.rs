//! What a limited token may not see does not exist for it: no byte of any answer tells of it, and every answer is that of a
//! log without it.

use std::collections::BTreeSet;
use std::time::Duration;

use orgtrail::access::{Grant, Permission};
use orgtrail::clock::Clock;
use orgtrail::position::Source;
use orgtrail::store::SourceSeen;
use orgtrail_cloudflare::member::Member;
use reqwest::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};

/// Is in every name and value that a limited token may not see, and in nothing else.
const SECRET: &str = "xq7";

/// The same for the oracle, which has no such value; of the same length.
const UNKNOWN: &str = "zw9";

/// Every route of questions, and what is asked there. `{seq}` is an event that the token may see.
const ROUTES: [(&str, &[&str]); 48] = [
    (
        "/v1/events",
        &[
            "",
            "?order=asc",
            "?limit=1",
            "?limit=0&count=true",
            "?q=Anna",
            "?revision=latest",
            "?count=true&facet=actor.email&facet=action.type&facet=account.name&facet=actor.known.email&histogram=auto",
            "?source=accounts/xq7b",
            "?source=accounts/f00d",
            "?actor=xq7",
            "?resource=xq7",
            "?action=create",
            "?q=xq7*",
            "?q=/xq./",
            "?q=_exists_:actor.known",
            "?q=NOT actor.known.email:anna*",
            "?q=source:*",
            "?q=account.name:*",
            "?q=xq8field:1",
            "?limit=0&facet=source&facet=actor.email&exclude_own=true&facet_sort=rare&q=source:*-actor.email:x*",
            "?limit=0&histogram=1d&histogram_by=actor.email",
            "?q=anna OR body OR xq7*&highlight=true",
            "?q=resource:* record&highlight=true&fields=resource",
            "?fields=actor.email,resource.request",
            "?fields=xq8field",
            "?fields=resource.xq8colour,resource.value.xq8name",
            "?limit=0&histogram=auto&histogram_by=actor.known.name",
            "?limit=0&histogram=auto&histogram_by=resource.request.xq8name",
            "?q=resource.request.xq8name:1",
            "?q=resource.xq8colour:*",
            "?q=resource.request:*",
            "?q=resource:*",
            "?q=resource.value.xq7name:*",
            "?facet=resource.request.xq7name",
            "?facet=xq8field",
            "?limt=1",
            "?cursor=x",
        ],
    ),
    (
        "/v1/events/stream",
        &[
            "?last_event_id=x",
            "?last_event_id=9",
            "?last_event_id=4",
            "?last_event_id=100",
            "?fields=xq8field",
            "?fields=resource.request.xq8name",
            "?q=xq8field:1",
            "?q=resource.request.xq8name:1",
        ],
    ),
    (
        "/v1/events/{seq}",
        &[
            "",
            "?x=1",
            "?fields=resource",
            "?fields=resource.request.xq8name",
        ],
    ),
    (
        "/v1/events/{seq}/history",
        &["", "?around=true", "?order=desc&limit=1", "?limit=1"],
    ),
    ("/v1/events/{seq}/diff", &[""]),
    (
        "/v1/events/{seq}/around",
        &[
            "",
            "?by=actor",
            "?by=resource&within=1000d",
            "?by=token",
            "?by=ip&limit=1",
        ],
    ),
    ("/v1/events/{seq}/proof", &["", "?x=1"]),
    ("/log/checkpoint", &[""]),
    ("/log/tile/{path}", &["0/000", "entries/000.p/1", "xq7"]),
    ("/log/previous", &[""]),
    ("/log/statements/checkpoint", &[""]),
    ("/log/statements/tile/{path}", &["0/000"]),
    (
        "/v1/count",
        &[
            "",
            "?q=xq7*",
            "?q=xq8field:1",
            "?q=resource.value.xq8name:1",
            "?q=body",
            "?q=NOT xq7secret",
            "?source=accounts/xq7b",
            "?since=2026-08-03&before=2026-08-04",
        ],
    ),
    (
        "/v1/facets",
        &[
            "?field=actor.email",
            "?field=actor.ip_address",
            "?field=actor.token_name",
            "?field=source",
            "?field=account.name",
            "?field=actor.known.name",
            "?field=resource.xq8colour",
            "?field=resource.request.xq8name",
            "?field=problem",
            "?field=source&field=actor.email&field=actor.known.email&sort=rare&size=1",
            "?field=account.name&field=resource&field=resource.id&size=1",
            "?field=source&source=accounts/xq7b&exclude_own=true",
            "?field=actor.email&q=actor.email:xq7*&exclude_own=true",
        ],
    ),
    (
        "/v1/histogram",
        &[
            "",
            "?interval=1d",
            "?q=xq7*",
            "?by=source",
            "?by=actor.email",
            "?by=account.name",
            "?by=xq8field",
            "?by=resource.value.xq8name",
        ],
    ),
    (
        "/v1/fields",
        &["", "?prefix=xq", "?prefix=resource", "?limit=1", "?limit=3"],
    ),
    (
        "/v1/fields/{name}/values",
        &[
            "actor.email",
            "actor.email?prefix=x",
            "actor.email?contains=a&sort=rare",
            "actor.email?contains=xq7",
            "resource.id",
            "account.name",
            "actor.known.email",
            "actor.known.name?prefix=x",
            "source",
            "xq8field",
            "resource.xq8colour",
            "resource.request.xq8name",
            "resource.request",
            "problem",
        ],
    ),
    (
        "/v1/actors/{value}",
        &["anna@example.com", "xq7@example.com", "xq7"],
    ),
    ("/v1/tokens/{value}", &["xq7token", "ci"]),
    ("/v1/ips/{value}", &["192.0.2.1", "192.0.2.77"]),
    ("/v1/resources/{value}", &["zone-1", "xq7zone"]),
    (
        "/v1/parse",
        &[
            "?q=actor.email:a* OR (xq8 -action.type:create)",
            "?q=xq8field:1",
            "?q=resource.request.xq8name:1",
            "?q=actor.mail:1",
            "?q=(",
        ],
    ),
    ("/v1/sources", &[""]),
    (
        "/v1/coverage",
        &[
            "",
            "?source=accounts/xq7b",
            "?source=accounts/f00d",
            "?source=organizations/xq7org",
            "?merged=true",
            "?merged=true&source=accounts/xq7b",
            "?merged=true&since=2026-08-03",
            "?since=2026-08-03",
        ],
    ),
    ("/v1/members", &["", "?limit=1"]),
    ("/v1/accounts", &["", "?limit=1"]),
    ("/v1/me", &[""]),
    (
        "/v1/alerts",
        &["", "?limit=1", "?level=high", "?state=open", "?rule=xq7"],
    ),
    (
        "/v1/alerts/stream",
        &["?last_event_id=x", "?level=high", "?rule=xq7"],
    ),
    ("/v1/alerts/feed.atom", &["", "?level=high", "?key=xq7"]),
    ("/v1/alerts/feed.json", &["", "?rule=xq7", "?key=xq7"]),
    ("/v1/alerts/{id}", &["", "xq7"]),
    ("/v1/rules", &["", "?x=xq7"]),
    ("/v1/searches", &["", "?limit=1", "?cursor=x"]),
    ("/v1/searches/{id}", &["", "xq7"]),
    (
        "/v1/export",
        &[
            "",
            "?format=csv",
            "?q=xq7*",
            "?order=asc",
            "?fields=resource,actor.email",
            "?fields=xq8field",
            "?q=xq8field:1",
            "?q=resource.request.xq8name:1",
        ],
    ),
    ("/v1/access-log", &["", "?limit=1"]),
    ("/v1/holds", &[""]),
    ("/metrics", &[""]),
    (
        "/client/v4/organizations/{id}/logs/audit",
        &["xq7org?since=2026-08-01&before=2026-08-30"],
    ),
    (
        "/client/v4/accounts/{id}/logs/audit",
        &[
            "f00d?since=2026-08-01&before=2026-08-30",
            "f00d?since=2026-08-01&before=2026-08-30&actor_email=xq7@example.com",
            "f00d?since=2026-08-01&before=2026-08-30&limit=1&direction=asc",
            "xq7b?since=2026-08-01&before=2026-08-30",
        ],
    ),
    (
        "/client/v4/organizations/{id}/logs/audit/{entry}/history",
        &["xq7org|e1"],
    ),
    (
        "/client/v4/accounts/{id}/logs/audit/{entry}/history",
        &["f00d|e1", "f00d|xq7id", "xq7b|xq7id"],
    ),
    (
        "/client/v4/accounts/{id}/logs/audit/product_categories",
        &["f00d", "xq7b"],
    ),
    ("/client/v4/organizations/{id}/accounts", &["xq7org"]),
    ("/client/v4/organizations/{id}/members", &["xq7org"]),
    (
        "/client/v4/organizations/{id}/members/{member}",
        &["xq7org|xq7member"],
    ),
    ("/client/v4/accounts/{id}", &["f00d", "xq7b"]),
];

/// The routes that need no principal: they answer everyone alike.
const OPEN: [&str; 7] = [
    "/",
    "/v1/session",
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/docs",
    "/client/v4/user/tokens/verify",
];

/// A log, and what a token asks of it.
struct Asker {
    desk: Desk,
    token: String,
    /// The cookie of a session, which is sent in place of the token.
    session: Option<String>,
    http: reqwest::Client,
}

impl Asker {
    async fn of(events: &[(Source, Value)], lists: impl Fn(&Desk), grant: Grant) -> Self {
        let mut desk = Desk::guarded().await;
        for (source, entry) in events {
            desk.keep(source, &[entry.to_string()]);
        }
        lists(&desk);
        desk.search_all();
        Self {
            token: desk.token(grant),
            session: None,
            http: reqwest::Client::new(),
            desk,
        }
    }

    /// The same by a session, which the token begins.
    async fn signed_in(self) -> Self {
        let url = format!("{}/v1/session", self.desk.url);
        let request = self.http.post(url).json(&json!({"token": self.token}));
        let begun = request.send().await.unwrap();
        assert_eq!(begun.status(), StatusCode::CREATED);
        let cookie = begun.headers()[SET_COOKIE].to_str().unwrap();
        let cookie = cookie.split(';').next().map(ToOwned::to_owned);
        Self {
            session: cookie,
            ..self
        }
    }

    async fn send(&self, request: RequestBuilder) -> Response {
        let request = match &self.session {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request.bearer_auth(&self.token),
        };
        request.send().await.unwrap()
    }

    async fn open(&self, path: &str) -> Response {
        self.send(self.http.get(format!("{}{path}", self.desk.url)))
            .await
    }

    /// As [`Asker::ask`], with the parameters as a form.
    async fn ask_by_form(&self, path: &str) -> (StatusCode, String, String) {
        let mut url = reqwest::Url::parse(&format!("{}{path}", self.desk.url)).unwrap();
        let form = url.query().unwrap_or_default().to_owned();
        url.set_query(None);
        let request = self.http.post(url);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = self.send(request.body(form)).await;
        let status = answer.status();
        let headers = format!("{:?}", answer.headers());
        if is_stream(path) && status == StatusCode::OK {
            return (status, headers, String::new());
        }
        (status, headers, answer.text().await.unwrap())
    }

    /// Everything that an answer says: its status, its headers and its body.
    async fn ask(&self, path: &str) -> (StatusCode, String, String) {
        let answer = self.open(path).await;
        let status = answer.status();
        let headers = format!("{:?}", answer.headers());
        if is_stream(path) && status == StatusCode::OK {
            return (status, headers, String::new());
        }
        (status, headers, answer.text().await.unwrap())
    }

    /// All that a tail says of the events that are there, up to the one at `last`.
    async fn tail(&self, path: &str, last: u64) -> String {
        let mut answer = self.open(path).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let mut text = String::new();
        let read = async {
            while !text.contains(&format!("id: {last}\n")) {
                let chunk = answer.chunk().await.unwrap().expect("the tail goes on");
                text += std::str::from_utf8(&chunk).unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), read)
            .await
            .unwrap();
        text
    }
}

fn grant(sources: Vec<Source>, bodies: bool) -> Grant {
    Grant {
        permissions: [Permission::Search, Permission::Export]
            .into_iter()
            .collect(),
        sources,
        bodies,
    }
}

fn entry(id: &str, day: u32, more: &Value) -> Value {
    let mut entry = json!({
        "id": id,
        "action": {"time": format!("2026-08-{day:02}T08:00:00Z"), "type": "update", "result": "success"},
        "actor": {"id": "u1", "email": "anna@example.com", "ip_address": "192.0.2.1", "token_name": "ci"},
        "resource": {"id": "zone-1", "product": "dns", "type": "record"},
        "account": {"id": "f00d"},
    });
    for (path, value) in more.as_object().unwrap() {
        *entry.pointer_mut(path).unwrap() = value.clone();
    }
    entry
}

/// Events of the source that is visible.
fn visible() -> Vec<(Source, Value)> {
    let bodies = |n: u64| json!({"/resource": {"id": "zone-1", "product": "dns", "request": {"body": n}, "colour": "red"}});
    let events = (1..=4).map(|n: u32| entry(&format!("e{n}"), n, &bodies(n.into())));
    let mut events: Vec<_> = events.map(|entry| (account(), entry)).collect();
    // A revision of it.
    events.push((account(), entry("e4", 4, &bodies(7))));
    events
}

/// Events of another source, each of whose parts would be recognised.
fn foreign() -> Vec<(Source, Value)> {
    let source = Source::account("xq7b").unwrap();
    let more = json!({
        "/actor": {"id": "xq7user", "email": "xq7@example.com", "ip_address": "192.0.2.77", "token_name": "xq7token"},
        "/resource": {"id": "xq7zone", "xq7colour": "xq7red", "request": {"xq7name": "xq7secret"}},
        "/account": {"id": "xq7b", "name": "xq7account"},
    });
    let mut odd = entry("xq7odd", 3, &json!({}));
    odd["xq7field"] = json!("xq7 words that are found");
    odd["actor"]["email"] = json!({"xq7": 1});
    vec![
        (source.clone(), entry("xq7id", 2, &more)),
        // The id and the resource of an event that is visible.
        (
            source.clone(),
            entry("e1", 1, &json!({"/account": {"id": "xq7b"}})),
        ),
        (source, odd),
    ]
}

/// Lists of another organization: its members are the actors of visible events.
fn foreign_lists(desk: &Desk) {
    let now = Clock::system().now();
    let seen = |source: Source, label: Option<&str>, organization: Option<&str>| SourceSeen {
        source,
        organization: organization.map(Into::into),
        label: label.map(Into::into),
        created_at: None,
    };
    let sources = [
        seen(Source::organization("xq7org").unwrap(), None, None),
        seen(
            Source::account("xq7b").unwrap(),
            Some("xq7account"),
            Some("xq7org"),
        ),
        seen(account(), None, Some("xq7org")),
    ];
    desk.store.save_sources(&sources, now).unwrap();
    let member = Member {
        id: "xq7member".into(),
        user_id: Some("u1".into()),
        email: Some("anna@example.com".into()),
        name: Some("xq7 name".into()),
        status: Some("xq7active".into()),
        two_factor: Some(true),
        joined_at: None,
    };
    desk.store
        .save_members("xq7org", &[member], true, now)
        .unwrap();
}

/// The paths of a route.
fn paths(route: &str, asked: &str) -> Vec<String> {
    let seqs = ["1", "2", "5"];
    match route {
        _ if route.starts_with("/client/v4") => {
            let (names, query) = asked.split_once('?').unwrap_or((asked, ""));
            let path = names.split('|').fold(route.to_owned(), |path, name| {
                let (start, rest) = path.split_once('{').unwrap();
                let (_, end) = rest.split_once('}').unwrap();
                format!("{start}{name}{end}")
            });
            vec![format!("{path}?{query}")]
        }
        _ if route.contains("{seq}") => seqs.map(|seq| route.replace("{seq}", seq) + asked).into(),
        _ if route.contains("{name}") => {
            let (name, query) = asked.split_once('?').unwrap_or((asked, ""));
            vec![format!("{}?{query}", route.replace("{name}", name))]
        }
        _ if route.contains("{path}") => vec![route.replace("{path}", asked)],
        _ if route.contains("{id}") => vec![route.replace("{id}", asked)],
        _ if route.contains("{value}") => vec![route.replace("{value}", asked)],
        _ => vec![format!("{route}{asked}")],
    }
}

/// Leaves out what differs between two logs with the same events: when they were made, and their ids.
fn comparable(text: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else {
        // The id and the address of a feed are those of its log.
        let is_of_the_log = |line: &&str| line.starts_with("<id>") || line.starts_with("<link ");
        let mut lines: Vec<_> = text
            .lines()
            .filter(|line| !is_of_the_log(line))
            .map(|line| match line.starts_with('"') {
                // The third column of CSV is `received_at`.
                true => {
                    let cells: Vec<_> = line.split("\",\"").collect();
                    [&cells[..2], cells.get(3..).unwrap_or_default()]
                        .concat()
                        .join(",")
                }
                false => {
                    serde_json::from_str::<Value>(line).map_or(line.to_owned(), |mut value| {
                        without_times(&mut value);
                        value.to_string()
                    })
                }
            })
            .collect();
        lines.push(String::new());
        return lines.join("\n");
    };
    without_times(&mut value);
    value.to_string()
}

fn without_times(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(without_times),
        Value::Object(members) => {
            for (name, value) in members {
                let is_of_the_log = [
                    "received_at",
                    "next_cursor",
                    "previous_cursor",
                    "cursor",
                    "after",
                    "first_seen_at",
                    "last_sealed_at",
                    "sealed_before",
                    "lag_seconds",
                    "seconds",
                    "longest_seconds",
                    "principal",
                    "token",
                    "upstream_lag",
                    "lateness",
                    "proven_at",
                    "intervals",
                    "merged",
                    "home_page_url",
                    "feed_url",
                ];
                if is_of_the_log.contains(&name.as_str()) && !value.is_null() {
                    *value = Value::from("left out");
                }
                if name == "coverage" || name == "sources" {
                    leave_out_bounds(value);
                }
                without_times(value);
            }
        }
        _ => {}
    }
}

fn leave_out_bounds(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(leave_out_bounds),
        Value::Object(members) => {
            for (name, value) in members {
                if ["since", "before", "sealed_at", "as_of"].contains(&name.as_str()) {
                    *value = Value::Null;
                }
                leave_out_bounds(value);
            }
        }
        _ => {}
    }
}

/// Asks both everything: their answers are the same, and none has a secret that was not in the request.
async fn compare(limited: &Asker, oracle: &Asker) {
    for (route, requests) in ROUTES {
        for path in requests.iter().flat_map(|asked| paths(route, asked)) {
            let (status, headers, body) = limited.ask(&path).await;
            let (expected, _, same) = oracle.ask(&path).await;
            assert_eq!(status, expected, "{path}: {body}\n{same}");
            assert!(!status.is_server_error(), "{path}: {body}");
            assert_eq!(comparable(&body), comparable(&same), "{path}");
            if path.contains(SECRET) {
                // What is forbidden is answered like what is unknown.
                let (unknown, _, answer) = limited.ask(&path.replace(SECRET, UNKNOWN)).await;
                assert_eq!(status, unknown, "{path}");
                let answer = answer.replace(UNKNOWN, SECRET);
                assert_eq!(comparable(&body), comparable(&answer), "{path}");
            } else {
                let told = format!("{headers}{body}").to_lowercase();
                assert!(!told.contains(SECRET), "{path}: {told}");
            }
            if takes_forms(route) {
                let (by_form, headers, same) = limited.ask_by_form(&path).await;
                assert_eq!(status, by_form, "{path} by POST: {same}");
                assert_eq!(comparable(&body), comparable(&same), "{path} by POST");
                let told = format!("{headers}{same}").to_lowercase();
                let is_secret = !path.contains(SECRET) && told.contains(SECRET);
                assert!(!is_secret, "{path} by POST: {told}");
            }
        }
    }
}

/// Whether an answer does not end.
fn is_stream(path: &str) -> bool {
    path.starts_with("/v1/events/stream") || path.starts_with("/v1/alerts/stream")
}

/// Whether a route takes its parameters as a form, too.
pub(crate) fn takes_forms(route: &str) -> bool {
    let others = [
        "/v1/me",
        "/v1/alerts",
        "/v1/rules",
        "/v1/searches",
        "/v1/access-log",
        "/v1/holds",
        "/v1/session",
    ];
    route.starts_with("/v1/") && !others.iter().any(|other| route.starts_with(other))
}

/// The paths of all routes, as the code has them.
pub(crate) fn routes_in_the_code() -> BTreeSet<String> {
    let mut routes = BTreeSet::new();
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http")).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() && !path.ends_with("v4") {
            continue;
        }
        // Below a path of its own; the folder beside the file has its handlers.
        let base = match path.file_name().unwrap().to_str().unwrap() {
            "v4.rs" => "/client/v4",
            "v4" => continue,
            _ => "",
        };
        let found = routes_of(&std::fs::read_to_string(path).unwrap());
        routes.extend(found.into_iter().map(|route| format!("{base}{route}")));
    }
    routes.extend(routes_of(include_str!("../../src/http.rs")));
    routes.extend(routes_of(include_str!("../../src/http/openapi/serve.rs")));
    // The page's files are no part of the API: their addresses change with each version.
    routes.retain(|route| !route.starts_with("/ui/"));
    routes
}

/// The paths of all routes that are asked here or need no principal.
pub(crate) fn routes_that_are_asked() -> BTreeSet<String> {
    let asked = ROUTES.iter().map(|(route, _)| *route).chain(OPEN);
    asked.map(ToOwned::to_owned).collect()
}

#[test]
fn every_route_is_asked_by_limited_tokens() {
    assert_eq!(routes_in_the_code(), routes_that_are_asked());
}

fn routes_of(code: &str) -> Vec<String> {
    let after = code.split(".route(").skip(1);
    let quoted = after.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    // Descriptions have no other form for the rest of a path.
    quoted.map(|route| route.replace("{*", "{")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_one_source_is_answered_as_if_there_were_no_other() {
    let of_one = grant(vec![account()], true);
    let everything = [visible(), foreign()].concat();
    let limited = Asker::of(&everything, foreign_lists, of_one.clone()).await;
    let oracle = Asker::of(&visible(), |_| {}, of_one).await;
    compare(&limited, &oracle).await;

    // Places of events that it may not see, and of none.
    for route in ["", "/history", "/diff", "/around"] {
        let (status, _, foreign) = limited.ask(&format!("/v1/events/7{route}")).await;
        let (_, _, unknown) = limited.ask(&format!("/v1/events/9{route}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(foreign, unknown.replace('9', "7"), "{route}");
    }
    let path = "/v1/events/stream?last_event_id=0";
    let told = limited.tail(path, 5).await;
    assert!(!told.contains(SECRET), "{told}");

    // A cursor of one who sees more.
    let all = limited.desk.token(Grant::everything());
    let page = limited
        .http
        .get(format!("{}/v1/events?limit=1", limited.desk.url));
    let page: Value = page
        .bearer_auth(all)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(page["index"]["held"], 8);
    let cursor = page["next_cursor"].as_str().unwrap();
    let (status, _, body) = limited
        .ask(&format!("/v1/events?limit=1&cursor={cursor}"))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert!(body.contains("another question"), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_bodies_is_answered_as_if_entries_had_none() {
    let bodies = json!({"xq7name": "xq7secret body", "xq7field": {"a": [1, "xq7deep"]}});
    let with = |id: &str, day, has_bodies: bool| {
        let mut resource = json!({"id": "zone-1", "product": "dns", "colour": "red"});
        if has_bodies {
            for body in ["request", "response", "value"] {
                resource[body] = bodies.clone();
            }
            // Too many paths to be searched, all of them in a body.
            resource["value"]["many"] = (0..30_000)
                .map(|n| (format!("xq7-{n}"), json!(n)))
                .collect::<serde_json::Map<_, _>>()
                .into();
        }
        let mut entry = entry(id, day, &json!({"/resource": resource}));
        if has_bodies {
            entry["Resource.Value"] = json!("xq7dotted");
        }
        (account(), entry)
    };
    let events = |has_bodies| {
        vec![
            with("e1", 1, has_bodies),
            with("e2", 2, false),
            with("e3", 3, has_bodies),
            with("e4", 4, has_bodies),
            with("e5", 5, false),
        ]
    };
    let without_bodies = grant(Vec::new(), false);
    let limited = Asker::of(&events(true), |_| {}, without_bodies.clone()).await;
    let oracle = Asker::of(&events(false), |_| {}, without_bodies).await;
    compare(&limited, &oracle).await;
    let told = limited.tail("/v1/events/stream?last_event_id=0", 5).await;
    assert!(
        !told.contains(SECRET) && told.contains("\"sha256\":null"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_one_source_without_bodies_is_answered_as_if_there_were_neither() {
    let both = grant(vec![account()], false);
    // Without the revision, which differs by its body alone.
    let visible = visible()[..4].to_vec();
    let mut without_bodies = visible.clone();
    for (_, entry) in &mut without_bodies {
        entry["resource"].as_object_mut().unwrap().remove("request");
    }
    let everything = [visible, foreign()].concat();
    let limited = Asker::of(&everything, foreign_lists, both.clone()).await;
    let limited = limited.signed_in().await;
    let oracle = Asker::of(&without_bodies, |_| {}, both).await;
    let oracle = oracle.signed_in().await;
    compare(&limited, &oracle).await;
    let told = limited.tail("/v1/events/stream?last_event_id=0", 4).await;
    assert!(!told.contains(SECRET), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_says_how_much_is_in_the_log_to_those_alone_who_see_all_of_it() {
    let events = [visible(), foreign()].concat();
    let limited = Asker::of(&events, |_| {}, grant(vec![account()], true)).await;
    let (_, _, ready) = limited.ask("/readyz").await;
    let ready: Value = serde_json::from_str(&ready).unwrap();
    assert_eq!(ready["status"], "ready");
    for member in ["index", "log", "followers"] {
        assert_eq!(ready[member], Value::Null, "{member}");
    }
    let all = limited.desk.token(Grant::everything());
    let ready = limited.http.get(format!("{}/readyz", limited.desk.url));
    let ready: Value = ready
        .bearer_auth(all)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(ready["index"]["held"], 8);
}
