//! What is proven of many sources, page by page.

use chrono::{SubsecRound, TimeDelta};
use orgtrail::clock::Clock;
use orgtrail::coverage::{self, Asked};
use orgtrail::health::Board;
use orgtrail::http::Limits;
use orgtrail::position::{Source, Window, WindowKind};
use orgtrail::store::{Page, SourceSeen, Then};
use reqwest::StatusCode;
use serde_json::Value;

use crate::fixture_log::Desk;

#[tokio::test]
async fn coverage_comes_page_by_page_and_is_the_same_as_in_one() {
    let limits = Limits {
        stretches: 7,
        ..Limits::default()
    };
    let desk = Desk::with_limits(limits).await;
    let base = Clock::system().now().trunc_subsecs(0) - TimeDelta::days(20);
    let sources: Vec<Source> = (0..5)
        .map(|n| Source::account(&format!("account-{n}")).unwrap())
        .collect();
    for (n, source) in sources.iter().enumerate() {
        let seen = SourceSeen {
            source: source.clone(),
            organization: None,
            label: None,
            created_at: None,
        };
        desk.store.save_sources(&[seen], base).unwrap();
        // Stretches with gaps between them; the last source has none.
        for hour in 0..[12, 1, 30, 3, 0][n] {
            let since = base + TimeDelta::hours(2 * hour);
            let window = Window::new(since, since + TimeDelta::hours(1));
            let (store, kind) = (&desk.store, WindowKind::Live);
            let open = store.begin_window(source, kind, window, window.before);
            let sealed = Page {
                window: open.unwrap().id,
                asked: None,
                resumed: None,
                limit: None,
                claim_since: chrono::DateTime::UNIX_EPOCH,
                arrivals: Vec::new(),
                then: Then::Seal,
                claim_before: window.before,
                received_at: window.before,
                sealed_at: window.before,
            };
            store.append(&sealed).unwrap();
        }
    }
    let since = (base - TimeDelta::days(1)).format("%Y-%m-%d").to_string();
    let question = format!("/v1/coverage?since={since}");
    let mut pages: Vec<Value> = Vec::new();
    let mut joined: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = desk.get(&format!("{question}{cursor}")).await;
        let len = |source: &Value, key: &str| source[key].as_array().unwrap().len();
        let mut stretches = 0;
        for source in page["sources"].as_array().unwrap() {
            stretches += len(source, "intervals") + len(source, "gaps");
            match joined
                .last_mut()
                .filter(|last| last["source"] == source["source"])
            {
                Some(last) => {
                    for key in ["intervals", "gaps"] {
                        let more = source[key].as_array().unwrap().clone();
                        last[key].as_array_mut().unwrap().extend(more);
                    }
                }
                None => joined.push(source.clone()),
            }
        }
        assert!((1..=7).contains(&stretches), "{page:#}");
        pages.push(page.clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(pages.len() > 10, "{} pages", pages.len());
    let asked = Asked {
        since: Some(format!("{since}T00:00:00Z").parse().unwrap()),
        ..Asked::default()
    };
    let now = Clock::system().now();
    let board = Board::default();
    let whole = coverage::sources(
        &desk.store,
        Some(&board),
        &orgtrail::engine::Scope::everything(),
        &asked,
        now,
    )
    .unwrap();
    let mut whole = serde_json::to_value(whole).unwrap();
    // The first page's present is everybody's, and the last gap ends there.
    for (page, source) in joined.iter_mut().zip(whole.as_array_mut().unwrap()) {
        for one in [page, source] {
            let gaps = one["gaps"].as_array_mut().unwrap();
            gaps.last_mut().unwrap()["before"] = Value::Null;
        }
    }
    assert_eq!(Value::Array(joined), whole);

    // A cursor is good for the same parameters and the same log.
    let next = pages[0]["next_cursor"].as_str().unwrap();
    let other = Desk::with_limits(limits).await;
    for (desk, query, said) in [
        (
            &desk,
            format!("since=2026-01-01&cursor={next}"),
            "other parameters",
        ),
        (
            &desk,
            format!("since={since}&source=accounts/account-0&cursor={next}"),
            "other parameters",
        ),
        (&desk, format!("since={since}&cursor=x"), "no cursor"),
        (
            &desk,
            format!("since={since}&cursor={next}&cursor={next}"),
            "more than once",
        ),
        (
            &other,
            format!("since={since}&cursor={next}"),
            "another log",
        ),
    ] {
        let (status, body) = desk.ask(&format!("/v1/coverage?{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(body.contains(said), "{query}: {body}");
    }
}
