//! Every fault, switched on alone; and all of them, which a stubborn reader still gets through.

use std::time::{Duration, Instant};

use super::*;

async fn with(faults: Faults) -> (Upstream, String) {
    let upstream = Upstream::start(small()).await;
    upstream.simulator.set_faults(faults);
    let source = &upstream.simulator.sources()[1];
    let question =
        format!("/{source}/logs/audit?since=2026-01-01&before=2026-12-31&direction=asc&limit=20");
    (upstream, question)
}

#[tokio::test]
async fn a_wait_is_kept_for_every_call() {
    let faults = Faults {
        rate_limited: 1.0,
        retry_after_seconds: 7,
        ..Faults::default()
    };
    let (upstream, question) = with(faults.clone()).await;
    let first = upstream.get(&question).await;
    assert_eq!(
        (first.status, first.headers["retry-after"].as_str()),
        (429, "7")
    );
    upstream.simulator.set_faults(Faults {
        retry_after_as_date: 1.0,
        ..Faults::default()
    });
    upstream.clock.advance(TimeDelta::milliseconds(6_500));
    let second = upstream.get(&question).await;
    let date = second.headers["retry-after"].as_str();
    assert_eq!(
        (second.status, date),
        (429, "Mon, 03 Aug 2026 12:00:07 GMT")
    );
    upstream.clock.advance(TimeDelta::milliseconds(500));
    assert_eq!(upstream.get(&question).await.status, 200);
    let told: Vec<_> = upstream
        .simulator
        .requests()
        .iter()
        .map(|seen| seen.while_told_to_wait)
        .collect();
    assert_eq!(told, [false, true, false]);
}

#[tokio::test]
async fn servers_fail_in_json_and_in_html() {
    let (upstream, question) = with(Faults {
        server_error: 1.0,
        ..Faults::default()
    })
    .await;
    let mut kinds = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let answer = upstream.get(&question).await;
        kinds.insert((
            answer.status,
            answer.headers["content-type"].starts_with("text/html"),
        ));
        assert!(answer.headers.contains_key("ratelimit"));
    }
    let expected = [(500, false), (500, true), (502, true), (503, false)];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn bodies_end_early() {
    let (upstream, question) = with(Faults {
        cut_body: 1.0,
        ..Faults::default()
    })
    .await;
    let mut n_broken = 0;
    for _ in 0..30 {
        let answer = upstream.get(&question).await;
        assert_eq!(answer.status, 200);
        assert!(serde_json::from_str::<Value>(&answer.text).is_err());
        n_broken += usize::from(answer.text == "broken off");
    }
    assert!((5..25).contains(&n_broken), "{n_broken}");
}

#[tokio::test]
async fn an_answer_is_held_back() {
    let stall_for = Duration::from_millis(50);
    let (upstream, question) = with(Faults {
        stall: 1.0,
        stall_for,
        ..Faults::default()
    })
    .await;
    let before = Instant::now();
    assert_eq!(upstream.get(&question).await.status, 200);
    assert!(before.elapsed() >= stall_for);
}

#[tokio::test]
async fn a_success_is_none() {
    let (upstream, question) = with(Faults {
        success_false: 1.0,
        ..Faults::default()
    })
    .await;
    let answer = upstream.get(&question).await;
    assert_eq!(
        (answer.status, answer.json()["success"].as_bool()),
        (200, Some(false))
    );
}

#[tokio::test]
async fn short_pages_lose_nothing() {
    let (upstream, question) = with(Faults {
        short_page: 0.7,
        ..Faults::default()
    })
    .await;
    let pages = upstream.walk(&question, |_| ()).await;
    let n_short = pages.iter().filter(|page| page.entries.len() < 20).count();
    assert!(n_short > pages.len() / 2, "{n_short} of {}", pages.len());
    let source = &upstream.simulator.sources()[1];
    assert_eq!(
        texts(pages),
        upstream.simulator.entries(source, upstream.clock.now())
    );
}

#[tokio::test]
async fn repeated_entries_are_those_of_the_page_before() {
    let (upstream, question) = with(Faults {
        repeat_across_pages: 1.0,
        ..Faults::default()
    })
    .await;
    for direction in ["asc", "desc"] {
        let question = question.replace("asc", direction);
        let pages = upstream.walk(&question, |_| ()).await;
        for pair in pages.windows(2) {
            assert_eq!(
                pair[0].entries[pair[0].entries.len() - 3..],
                pair[1].entries[..3]
            );
        }
        let mut found = texts(pages);
        found.dedup();
        let distinct: std::collections::HashSet<_> = found.into_iter().collect();
        let source = &upstream.simulator.sources()[1];
        assert_eq!(
            distinct.len(),
            upstream
                .simulator
                .entries(source, upstream.clock.now())
                .len()
        );
    }
}

#[tokio::test]
async fn cursors_expire_and_loop() {
    let (upstream, question) = with(Faults {
        cursor_loop: 1.0,
        ..Faults::default()
    })
    .await;
    let cursor = upstream.get(&question).await.page().cursor.unwrap();
    let next = format!("{question}&cursor={}", escaped(&cursor));
    assert_eq!(upstream.get(&next).await.page().cursor, Some(cursor));
    upstream.simulator.set_faults(Faults {
        expired_cursor: 1.0,
        ..Faults::default()
    });
    let expired = upstream.get(&next).await;
    assert_eq!(
        (expired.status, expired.message().as_str()),
        (400, "cursor has expired")
    );
    assert_eq!(upstream.get(&question).await.status, 200);
}

#[tokio::test]
async fn the_end_may_carry_a_cursor_to_nothing() {
    let (upstream, question) = with(Faults {
        empty_with_cursor: 1.0,
        ..Faults::default()
    })
    .await;
    for question in [
        question.replace("limit=20", "limit=1000"),
        question.replace("2026-01-01", "2026-12-30"),
    ] {
        let mut answer = upstream.get(&question).await.page();
        for _ in 0..10 {
            let cursor = answer.cursor.clone().unwrap();
            answer = upstream
                .get(&format!("{question}&cursor={}", escaped(&cursor)))
                .await
                .page();
            if answer.entries.is_empty() {
                break;
            }
        }
        assert!(answer.entries.is_empty() && answer.cursor.is_some());
    }
}

#[tokio::test]
async fn empty_pages_in_mid_scan_lead_on_and_lose_nothing() {
    let (upstream, question) = with(Faults {
        empty_page: 0.5,
        ..Faults::default()
    })
    .await;
    let source = &upstream.simulator.sources()[1];
    let wanted = upstream.simulator.entries(source, upstream.clock.now());
    for direction in ["asc", "desc"] {
        let question = question.replace("asc", direction);
        let (mut found, mut cursor, mut n_empty) = (Vec::new(), None::<String>, 0);
        loop {
            let more = cursor.map(|cursor| format!("&cursor={}", escaped(&cursor)));
            let page = upstream
                .get(&format!("{question}{}", more.unwrap_or_default()))
                .await
                .page();
            n_empty += usize::from(page.entries.is_empty());
            found.extend(page.entries);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        if direction == "desc" {
            found.reverse();
        }
        assert_eq!(found, wanted);
        assert!(n_empty > 2, "{n_empty} empty pages");
    }
}

#[tokio::test]
async fn full_pages_may_lack_their_cursor() {
    let (upstream, question) = with(Faults {
        no_cursor: 1.0,
        ..Faults::default()
    })
    .await;
    let page = upstream.get(&question).await.page();
    assert_eq!((page.entries.len(), page.cursor), (20, None));
}

#[tokio::test]
async fn answers_may_lack_what_a_page_must_have() {
    let (upstream, question) = with(Faults {
        incomplete: 1.0,
        ..Faults::default()
    })
    .await;
    for _ in 0..20 {
        let answer = upstream.get(&question).await;
        assert_eq!(answer.status, 200);
        let entries = answer.json()["result"].as_array().map_or(0, Vec::len);
        assert_eq!(entries, 0, "{}", answer.text);
    }
}

#[tokio::test]
async fn failures_may_repeat_the_credential_and_dates_may_be_unreadable() {
    let (upstream, question) = with(Faults {
        echo_credential: 1.0,
        no_date: 1.0,
        ..Faults::default()
    })
    .await;
    let mut statuses = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let answer = upstream.get(&question).await;
        assert!(httpdate::parse_http_date(&answer.headers["date"]).is_err());
        statuses.insert(answer.status);
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [200, 400, 502]);
}

#[tokio::test]
async fn other_forms_carry_the_cursor_elsewhere() {
    for (form, last) in [
        (
            CursorForm::After,
            r#""result_info":{"count":1,"cursors":{}}"#,
        ),
        (
            CursorForm::Both,
            r#""result_info":{"count":"1","cursor":"","cursors":{"after":""}}"#,
        ),
        (CursorForm::Documented, r#""result_info":{"count":"1"}"#),
    ] {
        let upstream = Upstream::start(SimConfig {
            cursor_form: form,
            ..small()
        })
        .await;
        let source = &upstream.simulator.sources()[0];
        let now = upstream.clock.now();
        upstream
            .simulator
            .publish(source, "{}", now + TimeDelta::days(1), now);
        let question = format!("/{source}/logs/audit?since=2026-01-01&before=2026-12-31&limit=1");
        let answer = upstream.get(&question).await.json();
        let after = &answer["result_info"]["cursors"]["after"];
        assert_eq!(after.is_string(), form != CursorForm::Documented);
        assert_eq!(
            answer["result_info"]["cursor"].is_string(),
            form != CursorForm::After
        );
        let answer = upstream
            .get(&question.replace("2026-01-01", "2026-08-04"))
            .await;
        assert!(answer.text.contains(last), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_stubborn_reader_gets_everything_through_all_faults() {
    let mut n_told = 0;
    for seed in 1..=6 {
        println!("faults' seed {seed}");
        let (upstream, question) = with(Faults {
            seed,
            rate_limited: 0.05,
            retry_after_as_date: 0.5,
            server_error: 0.1,
            cut_body: 0.1,
            expired_cursor: 0.03,
            short_page: 0.2,
            repeat_across_pages: 0.2,
            success_false: 0.05,
            cursor_loop: 0.03,
            empty_with_cursor: 0.5,
            ..Faults::default()
        })
        .await;
        let question = question.replace("limit=20", "limit=100");
        let source = &upstream.simulator.sources()[1];
        let wanted = upstream.simulator.entries(source, upstream.clock.now());
        let found = insist(&upstream, &question).await;
        assert_eq!(found, wanted.into_iter().collect(), "seed {seed}");
        let requests = upstream.simulator.requests();
        n_told += requests.iter().filter(|seen| seen.status == 429).count();
        assert!(requests.iter().all(|seen| !seen.while_told_to_wait));
    }
    assert!(n_told > 0);
}

/// Asks again after every failure, waits when told to, and starts over when a cursor is refused or repeats.
async fn insist(upstream: &Upstream, question: &str) -> std::collections::BTreeSet<String> {
    let mut found = std::collections::BTreeSet::new();
    let mut cursor: Option<String> = None;
    for _ in 0..2_000 {
        let more = cursor
            .as_deref()
            .map(|cursor| format!("&cursor={}", escaped(cursor)));
        let answer = upstream
            .get(&format!("{question}{}", more.unwrap_or_default()))
            .await;
        if answer.status == 429 {
            upstream.clock.advance(TimeDelta::seconds(31));
            continue;
        }
        if answer.status == 400 {
            cursor = None;
            continue;
        }
        let is_success = serde_json::from_str::<Value>(&answer.text)
            .is_ok_and(|envelope| envelope["success"] == true);
        if !is_success {
            continue;
        }
        let page = answer.page();
        let is_empty = page.entries.is_empty();
        found.extend(page.entries);
        match page.cursor {
            None => return found,
            Some(_) if is_empty => return found,
            Some(next) if cursor.as_ref() == Some(&next) => cursor = None,
            Some(next) => cursor = Some(next),
        }
    }
    panic!("the walk does not end");
}
