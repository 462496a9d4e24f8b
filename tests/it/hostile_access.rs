//! Clients that try to use up the access log, its database or the connections, and what the access log keeps of a question.

use futures_util::future::join_all;
use reqwest::StatusCode;
use reqwest::header::COOKIE;

use crate::access::Guarded;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_without_a_session_writes_nothing_and_is_limited() {
    let guarded = Guarded::start("").await;
    let url = format!("{}/v1/session", guarded.service.url);
    let cookie = format!("orgtrail_session={}", "a".repeat(40));
    let sign_out = async || {
        let request = guarded.http.delete(&url).header(COOKIE, &cookie);
        request.send().await.unwrap().status()
    };
    // The service answers when its database is there.
    assert_eq!(sign_out().await, StatusCode::NO_CONTENT);
    let data = guarded.dir.path().join("data");
    let busy = rusqlite::Connection::open(data.join("access.db")).unwrap();
    busy.execute_batch("BEGIN IMMEDIATE").unwrap();
    // A write would fail.
    assert_eq!(sign_out().await, StatusCode::NO_CONTENT);
    busy.execute_batch("ROLLBACK").unwrap();
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.extend(join_all((0..40).map(|_| sign_out())).await);
    }
    let limited = answers
        .iter()
        .filter(|status| **status == StatusCode::TOO_MANY_REQUESTS);
    assert!(limited.count() > 100, "{answers:?}");
    guarded.service.stop().await.unwrap();
}
