//! The guide's tables of routes, parameters and queries: each row is tried.

use reqwest::StatusCode;
use url::form_urlencoded::byte_serialize;

use crate::fixture_log::Desk;
use crate::guide::page;
use crate::guide_commands::patient_limits;
use crate::tell;

/// A service with a history of everything.
async fn desk() -> Desk {
    Desk::of_history_with(3_000, patient_limits()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_the_guide_is_answered() {
    let mut desk = desk().await;
    let queries = page("docs/src/query-language.md").first_cells("write");
    assert!(queries.len() > 15, "{queries:?}");
    for query in queries.iter().flatten() {
        let encoded: String = byte_serialize(query.as_bytes()).collect();
        let (status, body) = desk.ask(&format!("/v1/count?q={encoded}")).await;
        assert_eq!(status, StatusCode::OK, "{query}: {body}");
        tell(format!("{query}: {body}"));
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_and_parameter_of_the_guide_is_there() {
    let mut desk = desk().await;
    let api = page("docs/src/api.md");
    let routes: Vec<String> = api.first_cells("route").concat();
    assert!(routes.len() > 15, "{routes:?}");
    for route in &routes {
        if let Some((method, path)) = route
            .split_once(" /")
            .filter(|(method, _)| *method != "GET")
        {
            let (status, _) = desk.ask(&format!("/{path}")).await;
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            continue;
        }
        let path = route.trim_start_matches("GET ");
        let path = match path {
            "/v1/facets" => "/v1/facets?field=actor.email".to_owned(),
            "/v1/parse" => "/v1/parse?q=alice".to_owned(),
            "/v1/events/{seq}/around" => "/v1/events/1/around?by=actor".to_owned(),
            path => path
                .replace("{seq}", "1")
                .replace("{name}", "actor.email")
                .replace("{address}", "203.0.113.7")
                .replace("{email or id}", "alice@example.com")
                .replace("{id}", "1"),
        };
        // A stream never ends; that it begins is enough.
        let answer = desk.open(&path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{route}");
    }
    for parameter in api.first_cells("parameter").concat() {
        // What is wrong with an empty value is another matter than a name that is not known.
        let (_, body) = desk.ask(&format!("/v1/events?{parameter}")).await;
        assert!(!body.contains("unknown parameter"), "{parameter}: {body}");
    }
    desk.stop().await;
}
