//! The description of the API: it has every route, is true, and is the same as the committed one.
//!
//! With `INSTA_UPDATE=always` the tests write `src/http/openapi/answers.json`, and then, when they are run once more,
//! `docs/openapi.json`.

mod answers;
mod curl;
mod documented;
mod filled;
mod fuzzed;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use orgtrail::access::{Grant, Permission};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use self::documented::{Document, Operation};
use self::filled::Filled;
use crate::fixture_log::Desk;
use crate::scoped::{routes_in_the_code, routes_that_are_asked};

/// The committed document.
const COMMITTED: &str = "docs/openapi.json";

/// The most that the page may weigh, in bytes.
const MAX_PAGE: usize = 500_000;

/// Whether the tests write what they compare with.
fn updates() -> bool {
    std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always")
}

/// Compares a text with a file of the repository, or writes it.
fn compare(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if updates() {
        fs::write(path, text).unwrap();
        return;
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == text,
        "{file} is not what the code says: run `INSTA_UPDATE=always cargo test --test it openapi` twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_committed_document_is_what_the_service_says() {
    let desk = Desk::guarded().await;
    let (status, served) = desk.ask("/openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    compare(COMMITTED, &served);
    for word in ["`None`", "[`", "crate::"] {
        assert!(!served.contains(word), "{word} is not for users of the API");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_has_every_route() {
    let document = Document::read(&Desk::guarded().await).await;
    let described: BTreeSet<String> = document.operations().map(|one| one.path).collect();
    assert_eq!(described, routes_in_the_code());
    assert_eq!(described, routes_that_are_asked());
    let ids: BTreeSet<_> = document.operations().map(|one| one.id).collect();
    assert_eq!(
        ids.len(),
        document.operations().count(),
        "an id names one route"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_is_valid_openapi_3_1() {
    let document = Document::read(&Desk::guarded().await).await;
    let schema: Value =
        serde_json::from_str(include_str!("../data/openapi/schema-3.1.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let faults = |document: &Value| -> Vec<String> {
        let errors = validator.iter_errors(document);
        errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect()
    };
    assert_eq!(faults(&document.value), Vec::<String>::new());
    for (name, schema) in document.value["components"]["schemas"].as_object().unwrap() {
        let meta = jsonschema::draft202012::meta::validate(schema);
        assert!(meta.is_ok(), "{name}: {meta:?}");
    }
    for reference in document.references() {
        let pointer = reference.trim_start_matches('#');
        assert!(
            document.value.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
    let mut broken = document.value.clone();
    broken["paths"]["/v1/events"]["get"]["responses"] = json!([]);
    assert_ne!(faults(&broken), Vec::<String>::new(), "the check can fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_route_takes_the_methods_that_the_document_has() {
    let filled = Filled::new().await;
    let document = Document::read(&filled.desk).await;
    let mut methods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for operation in document.operations() {
        let Operation { path, method, .. } = operation;
        methods.entry(path).or_default().insert(method);
    }
    for operation in document.operations() {
        for method in ["get", "put", "post", "patch", "delete"] {
            let known = &methods[&operation.path];
            let verb = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = filled.send(verb, &operation.example_path()).await;
            let is_refused = answer.status() == StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(
                is_refused,
                !known.contains(method),
                "{method} {}",
                operation.path
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_route_takes_the_parameters_that_the_document_has() {
    let filled = Filled::new().await;
    let document = Document::read(&filled.desk).await;
    let mut compared = 0;
    for operation in document.operations().filter(|one| one.is_strict()) {
        let path = operation.example_path();
        let sign = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{sign}zzzzzzzz=1");
        let answer = filled.try_operation(&operation, &path, Some(&filled.token));
        let answer = answer.await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
        let problem: Value = answer.json().await.unwrap();
        let detail = problem["detail"].as_str().unwrap();
        let known = detail
            .split_once("known here are ")
            .map_or("", |(_, names)| names);
        let mut known: BTreeSet<&str> = known.split(", ").filter(|name| !name.is_empty()).collect();
        let takes_filters = known.remove("and upstream's filters");
        let described = operation.query_parameters(&document);
        let (filters, own): (Vec<&String>, Vec<&String>) = described
            .iter()
            .partition(|name| orgtrail_cloudflare::filter::by_name(name).is_some());
        assert_eq!(
            own.iter()
                .map(|name| name.as_str())
                .collect::<BTreeSet<_>>(),
            known,
            "{path}"
        );
        let all = orgtrail_cloudflare::filter::FILTERS;
        let all: usize = all
            .iter()
            .map(|filter| 1 + usize::from(filter.has_not))
            .sum();
        assert_eq!(filters.len(), if takes_filters { all } else { 0 }, "{path}");
        compared += 1;
    }
    assert!(compared > 20, "{compared} routes were compared");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_route_needs_the_scope_that_the_document_has() {
    let filled = Filled::new().await;
    let document = Document::read(&filled.desk).await;
    let token = |permissions: &[Permission]| {
        filled.desk.token(Grant {
            permissions: permissions.iter().copied().collect(),
            ..Grant::everything()
        })
    };
    for operation in document.operations() {
        let path = operation.example_path();
        let status = async |token: Option<&str>| {
            let answer = filled.try_operation(&operation, &path, token).await;
            answer.status()
        };
        let Some(scope) = operation.scope() else {
            if operation.method == "get" {
                assert_eq!(status(None).await, StatusCode::OK, "{path}");
            }
            continue;
        };
        filled.wait();
        assert_eq!(status(None).await, StatusCode::UNAUTHORIZED, "{path}");
        let scope: Permission = scope.parse().unwrap();
        let others: Vec<_> = Permission::ALL
            .into_iter()
            .filter(|one| *one != scope)
            .collect();
        let with_others = status(Some(&token(&others))).await;
        assert_eq!(with_others, StatusCode::FORBIDDEN, "{path}");
        let with_it = status(Some(&token(&[scope]))).await;
        assert_ne!(with_it, StatusCode::FORBIDDEN, "{path}");
        assert_ne!(with_it, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_every_route_without_a_script() {
    let desk = Desk::guarded().await;
    let document = Document::read(&desk).await;
    let answer = desk.open("/docs").await;
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(
        !policy.contains("script") && !policy.contains("unsafe"),
        "{policy}"
    );
    let page = answer.text().await.unwrap();
    assert!(page.len() < MAX_PAGE, "{} bytes", page.len());
    for word in [
        "<script",
        " style=",
        " onclick=",
        "javascript:",
        "http-equiv",
        "<img",
        "<link",
        "id=\"\"",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    for operation in document.operations() {
        assert!(
            page.contains(&format!("<section id=\"{}\">", operation.id)),
            "{}",
            operation.id
        );
        let curl = operation.samples().next();
        assert!(curl.is_some(), "{} has no example", operation.id);
    }
    let links = page
        .split("href=\"#")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let links: BTreeSet<&str> = links.collect();
    assert!(links.len() > 100, "{}", links.len());
    for link in links {
        let places = page.matches(&format!(" id=\"{link}\"")).count();
        assert_eq!(places, 1, "#{link}");
    }
}
