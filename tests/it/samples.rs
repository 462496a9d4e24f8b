//! Every sample of upstream's answers through the real client, store, index and HTTP.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use chrono::TimeDelta;
use futures_util::StreamExt as _;
use orgtrail::clock::Clock;
use orgtrail::position::{Source, Window};
use orgtrail::upstream::{Fullness, Quota, Timeouts, Upstream, UpstreamError};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::{Service, configuration, raw_entries};

pub(crate) const ORGANIZATION: &str = "019d3a1be2c47f0e8a5b6c7d8e9f0a1b";
const ACCOUNT: &str = "5d1f0c2b7a9e4836b0c4d2e1f3a59786";

/// Pages of audit logs. Each is served as the log of an account of its own, except where two belong together.
const PAGES: [&str; 8] = [
    "org_audit_page1.json",
    "org_audit_page2.json",
    "org_audit_next_poll_late_arrival.json",
    "org_audit_cursors_after.json",
    "org_audit_empty_no_cursor.json",
    "org_audit_empty_with_cursor.json",
    "org_audit_empty_null_result.json",
    "org_audit_history.json",
];

/// Files of Logpush, which `import` reads.
const LOGPUSH: [&str; 2] = [
    "logpush_audit_logs_v1.ndjson",
    "logpush_audit_logs_v2.ndjson",
];

/// Answers that are not read in this version, and hold no entries of a log that is.
const NOT_READ: [&str; 5] = [
    "manifest.json",
    "account_audit_product_categories.json",
    "organization_get.json",
    "organization_profile.json",
    "organizations_list.json",
];

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/samples")
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

/// A sample as the manifest says it is answered.
fn answer(name: &str) -> Response {
    let manifest: Value = serde_json::from_slice(&sample("manifest.json")).unwrap();
    let told = &manifest["files"][name];
    let status = told["status"]
        .as_u64()
        .and_then(|status| StatusCode::from_u16(u16::try_from(status).unwrap()).ok());
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        told["content_type"].as_str().unwrap().parse().unwrap(),
    );
    for (name, value) in told["headers"].as_object().into_iter().flatten() {
        let name: HeaderName = name.parse().unwrap();
        headers.insert(
            name,
            HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
        );
    }
    let mut response = Response::new(Body::from(sample(name)));
    *response.status_mut() = status.unwrap();
    *response.headers_mut() = headers;
    response
}

/// The texts of the entries in a page.
pub(crate) fn entries(name: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Page {
        result: Option<Vec<Box<RawValue>>>,
    }
    let page: Page = serde_json::from_slice(&sample(name)).unwrap();
    page.result
        .unwrap_or_default()
        .iter()
        .map(|entry| entry.get().to_owned())
        .collect()
}

/// Serves what `choose` names for a request.
async fn serve(choose: impl Fn(&Uri) -> String + Send + Sync + 'static) -> (String, JoinSet<()>) {
    type Choose = Arc<dyn Fn(&Uri) -> String + Send + Sync>;
    async fn respond(State(choose): State<Choose>, uri: Uri) -> Response {
        answer(&choose(&uri))
    }
    let choose: Choose = Arc::new(choose);
    let router = Router::new().fallback(respond).with_state(choose);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/client/v4", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (base_url, server)
}

/// The account whose log a page stands for.
fn account_of(page: usize) -> String {
    format!("{page:032x}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_entry_of_every_sample_comes_back_byte_for_byte() {
    // The organization's log is pages 1 and 2, one after the other by cursor; every other page is a log of its own.
    let (base_url, _server) = serve(|uri| {
        let path = uri.path().trim_start_matches("/client/v4/");
        if path.ends_with("/members") {
            return "organization_members.json".to_owned();
        }
        if path.starts_with("organizations/") {
            let is_second = uri.query().unwrap_or_default().contains("cursor=");
            return if is_second {
                "org_audit_page2.json"
            } else {
                "org_audit_page1.json"
            }
            .to_owned();
        }
        let account = path.split('/').nth(1).unwrap_or_default();
        if account == ACCOUNT {
            return "account_audit_single_page.json".to_owned();
        }
        // An answer may carry a cursor though there is nothing more: then the next page is empty.
        let page = (0..PAGES.len())
            .find(|page| account_of(*page) == account)
            .unwrap();
        let has_cursor = uri.query().unwrap_or_default().contains("cursor=");
        if has_cursor {
            "org_audit_empty_no_cursor.json"
        } else {
            PAGES[page]
        }
        .to_owned()
    })
    .await;
    let mut sources =
        format!("[[organizations]]\nid = \"{ORGANIZATION}\"\naccounts = [\"{ACCOUNT}\"");
    for page in 2..PAGES.len() {
        sources.push_str(&format!(", \"{}\"", account_of(page)));
    }
    sources.push(']');
    let dir = tempfile::tempdir().unwrap();
    // A day of history is enough, since every window shows the same.
    let text = configuration(dir.path(), &base_url, &sources).replace("\"40d\"", "\"1d\"");
    let service = Service::start(&text).await;
    service.settle(2 + PAGES.len() - 2).await;

    let mut expected = vec![(
        format!("organizations/{ORGANIZATION}"),
        vec![PAGES[0], PAGES[1]],
    )];
    expected.push((
        format!("accounts/{ACCOUNT}"),
        vec!["account_audit_single_page.json"],
    ));
    expected.extend(
        (2..PAGES.len()).map(|page| (format!("accounts/{}", account_of(page)), vec![PAGES[page]])),
    );
    let mut ids = BTreeSet::new();
    for (source, pages) in expected {
        // Page 2 begins with the last id of page 1, in other bytes but of the same content: it is held once.
        let mut wanted: Vec<String> = Vec::new();
        ids.clear();
        for text in pages.iter().flat_map(|page| entries(page)) {
            let entry: Value = serde_json::from_str(&text).unwrap();
            if entry["id"]
                .as_str()
                .is_none_or(|id| ids.insert(id.to_owned()))
            {
                wanted.push(text);
            }
        }
        let (status, body) = service
            .ask(&format!("/v1/events?limit=1000&source={source}"))
            .await;
        assert_eq!(status, StatusCode::OK);
        let mut found = raw_entries(&body);
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{source}");
    }
    let told = service
        .until("/v1/members", |told| {
            !told["members"].as_array().unwrap().is_empty()
        })
        .await;
    let members = told["members"].as_array().unwrap();
    let told: Vec<_> = members
        .iter()
        .map(|member| {
            (
                &member["email"],
                &member["status"],
                &member["two_factor"],
                &member["user_id"],
            )
        })
        .map(|told| serde_json::to_value(told).unwrap())
        .collect();
    assert_eq!(
        serde_json::to_value(told).unwrap(),
        serde_json::json!([
            ["dave@example.com", "pending", false, null],
            [
                "carol@example.com",
                "active",
                true,
                "8424d197a26d1b6522de694fa8cac0fc"
            ],
        ])
    );
    service.stop().await.unwrap();
}

/// What the client makes of an answer.
async fn made_of(name: &'static str) -> Result<usize, UpstreamError> {
    let (base_url, _server) = serve(move |_| name.to_owned()).await;
    let clock = Clock::system();
    let quota = Quota::new(600, None, clock.steady());
    let token: orgtrail::upstream::ReadToken = Arc::new(|| Ok("any".into()));
    let upstream = Upstream::new(
        base_url.parse().unwrap(),
        token,
        quota,
        clock.clone(),
        Timeouts::default(),
    )
    .unwrap();
    let now = clock.now();
    let window = Window::new(now - TimeDelta::hours(1), now);
    let permit = upstream.quota().take(clock.steady()).unwrap();
    let source = Source::organization(ORGANIZATION).unwrap();
    let page = upstream
        .fetch_log_page(permit, &source, window, None, 1000)
        .await;
    if let Err(UpstreamError::RateLimited { until }) = &page {
        let refused = upstream.quota().take(clock.steady()).err();
        assert_eq!(refused, Some(*until), "the quota does not know of the wait");
    }
    page.map(|page| page.entries.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_is_named_by_what_to_do() {
    let failures: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("error_"))
        .collect();
    let mut told = String::new();
    for name in failures {
        let error = made_of(Box::leak(name.clone().into_boxed_str()))
            .await
            .unwrap_err();
        let line = match &error {
            UpstreamError::RateLimited { until } => {
                let wait = (*until - Clock::system().now()).num_seconds();
                assert!((185..=187).contains(&wait), "{wait}");
                "RateLimited: wait 187 s".to_owned()
            }
            UpstreamError::Transient(why) => format!("Transient: {why}"),
            UpstreamError::Unauthorized(why) => format!("Unauthorized: {why}"),
            UpstreamError::Forbidden(why) => format!("Forbidden: {why}"),
            UpstreamError::Unexpected(why) => format!("Unexpected: {why}"),
            UpstreamError::WindowRefused(why) => format!("WindowRefused: {why}"),
            error => format!("{error:?}"),
        };
        told.push_str(&format!("{name}\n    {line}\n"));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn every_sample_is_spoken_for() {
    let mut known: BTreeSet<&str> = PAGES
        .iter()
        .chain(&LOGPUSH)
        .chain(&NOT_READ)
        .copied()
        .collect();
    known.extend([
        "account_audit_single_page.json",
        "organization_accounts_page1.json",
        "organization_members.json",
    ]);
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            known.contains(name.as_str()) || name.starts_with("error_"),
            "{name} is in no test"
        );
    }
}

/// A page of so many entries.
async fn page_of(State(len): State<Arc<AtomicUsize>>, uri: Uri) -> String {
    let len = len.load(Ordering::SeqCst);
    let entries = vec![r#"{"id":"x"}"#; len].join(",");
    // The organization's pages are cut at 100 and have a cursor.
    let cursor = match uri.path().contains("/organizations/") && len == 100 {
        true => r#"{"cursor":"more"}"#,
        false => "{}",
    };
    format!(
        r#"{{"success":true,"errors":[],"messages":[],"result":[{entries}],"result_info":{cursor}}}"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_pages_of_one_kind_of_log_do_not_make_those_of_the_other_look_short() {
    let len = Arc::new(AtomicUsize::new(0));
    let router = Router::new().fallback(page_of).with_state(Arc::clone(&len));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/client/v4", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let upstream = client(&base_url);
    let (now, clock) = (Clock::system().now(), Clock::system());
    let window = Window::new(now - TimeDelta::hours(1), now);
    let fullness = async |source: &Source, entries| {
        len.store(entries, Ordering::SeqCst);
        let permit = upstream.quota().take(clock.steady()).unwrap();
        let page = upstream.fetch_log_page(permit, source, window, None, 1000);
        page.await.unwrap().fullness
    };
    let organization = Source::organization(ORGANIZATION).unwrap();
    let account = Source::account(ACCOUNT).unwrap();
    assert_eq!(fullness(&organization, 900).await, Fullness::Perhaps);
    assert_eq!(fullness(&organization, 899).await, Fullness::NotFull);
    // The longest page of an account so far: more may follow.
    assert_eq!(fullness(&account, 100).await, Fullness::Perhaps);
    assert_eq!(fullness(&account, 99).await, Fullness::NotFull);
    // That organizations' pages are cut says nothing of accounts'.
    assert_eq!(fullness(&organization, 100).await, Fullness::NotFull);
    assert_eq!(fullness(&account, 100).await, Fullness::Perhaps);
}

#[tokio::test]
async fn an_answer_without_an_end_is_given_up_when_its_place_is_needed() {
    async fn drip(State(asked): State<Arc<Notify>>) -> Body {
        asked.notify_one();
        let first = futures_util::stream::iter([Ok::<_, std::io::Error>("{")]);
        Body::from_stream(first.chain(futures_util::stream::pending()))
    }
    let asked = Arc::new(Notify::new());
    let router = Router::new().fallback(drip).with_state(Arc::clone(&asked));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/client/v4", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let given_up = CancellationToken::new();
    let upstream = client(&base_url).given_up_by(given_up.clone());
    let now = Clock::system().now();
    let window = Window::new(now - TimeDelta::hours(1), now);
    let permit = upstream.quota().take(Clock::system().steady()).unwrap();
    let source = Source::account(ACCOUNT).unwrap();
    let (page, ()) = tokio::join!(
        upstream.fetch_log_page(permit, &source, window, None, 1000),
        async {
            asked.notified().await;
            given_up.cancel();
        }
    );
    assert!(matches!(page, Err(UpstreamError::Transient(_))), "{page:?}");
}

fn client(base_url: &str) -> Upstream {
    let clock = Clock::system();
    let quota = Quota::new(600, None, clock.steady());
    let token: orgtrail::upstream::ReadToken = Arc::new(|| Ok("any".into()));
    let base_url = base_url.parse().unwrap();
    Upstream::new(base_url, token, quota, clock, Timeouts::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_read_page_by_page() {
    let (base_url, _server) = serve(|_| "organization_accounts_page1.json".to_owned()).await;
    let clock = Clock::system();
    let quota = Quota::new(600, None, clock.steady());
    let token: orgtrail::upstream::ReadToken = Arc::new(|| Ok("any".into()));
    let upstream = Upstream::new(
        base_url.parse().unwrap(),
        token,
        quota,
        clock.clone(),
        Timeouts::default(),
    )
    .unwrap();
    let permit = upstream.quota().take(clock.steady()).unwrap();
    let page = upstream
        .fetch_accounts_page(permit, ORGANIZATION, None)
        .await
        .unwrap();
    let names: Vec<_> = page
        .accounts
        .iter()
        .filter_map(|account| account.name.as_deref())
        .collect();
    assert_eq!(names, ["Example - Production", "Example - Staging"]);
    assert_eq!(page.next.as_deref(), Some("c3ludGhldGljLXBhZ2UtdG9rZW4="));
}
