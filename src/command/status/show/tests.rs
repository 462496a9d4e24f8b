//! Tests of the table and of the text below it.

use super::*;
use crate::coverage::{Interval, Reason};
use crate::status::SourceStatus;

fn row(n: usize, state: State) -> StatusRow {
    let text = |text: &str| Some(text.to_owned());
    let is_bad = matches!(state, State::Failing | State::Refused | State::Clock);
    let gap = |since: &str, before: &str, reason| Gap {
        since: since.to_owned(),
        before: before.to_owned(),
        reason,
        detail: None,
    };
    let mut gaps = vec![gap(
        "2026-08-03T11:59:00Z",
        "2026-08-03T12:00:00Z",
        Reason::NotYet,
    )];
    if is_bad {
        gaps.insert(
            0,
            gap(
                "2026-08-01T00:00:00Z",
                "2026-08-03T11:59:00Z",
                Reason::Failing,
            ),
        );
    }
    StatusRow {
        status: SourceStatus {
            source: format!("organizations/{n:032x}"),
            name: text("Example株式会社 - Production\u{1b}[2J"),
            organization: None,
            state,
            events: 1_234_567 + n as u64,
            newest_event: text("2026-08-03T11:58:12.123456Z"),
            first_seen_at: "2026-01-01T00:00:00Z".to_owned(),
            last_sealed_at: None,
            sealed_before: None,
            lag_seconds: Some(if is_bad { 216_000 } else { 59 }),
            interval_seconds: Some(60),
            held_back_by_quota: false,
            lateness: None,
            backfilled_to: text("2025-02-09T00:00:00Z"),
            backfill_done: !is_bad,
            failing_since: text("2026-08-01T00:00:00Z").filter(|_| is_bad),
            last_error: is_bad.then(|| LastError {
                at: "2026-08-03T11:59:58Z".to_owned(),
                message: "upstream answered 403 Forbidden: 10000 Authentication error for the whole of it".to_owned(),
            }),
            left_at: None,
            upstream_lag: None,
            overlap_seconds: None,
            accounts_read_at: None,
        },
        intervals: vec![Interval {
            since: "2025-02-09T00:00:00Z".to_owned(),
            before: "2026-08-03T11:59:00Z".to_owned(),
            state: Proof::Complete,
            scanned_at: "2026-08-03T12:00:00Z".to_owned(),
            entries: 9,
            new: 9,
        }],
        gaps,
    }
}

fn show(is_all: bool) -> StatusPrinter {
    StatusPrinter {
        width: 80,
        is_all,
        now: "2026-08-03T12:00:00Z".parse().unwrap(),
    }
}

fn rows() -> Vec<StatusRow> {
    let mut rows: Vec<StatusRow> = (0..39).map(|n| row(n, State::Live)).collect();
    rows.push(row(39, State::Failing));
    rows.push(row(40, State::Refused));
    rows
}

#[test]
fn forty_one_sources_fit_a_screen_of_80_columns_the_worst_first() {
    let text = show(false).text(rows());
    insta::assert_snapshot!(text);
    assert!(text.lines().count() <= 45, "{}", text.lines().count());
    let all = show(true).text(rows());
    for line in text.lines().chain(all.lines()) {
        assert!(columns(line) <= 80, "{} columns: {line}", columns(line));
    }
    for n in 0..41 {
        assert!(all.contains(&format!("organizations/{n:032x}")), "{n}");
    }
}

#[test]
fn sources_with_the_same_error_are_told_of_together() {
    let failing = |n| {
        let mut row = row(n, State::Refused);
        let message = "the credential may not read this log: upstream answered 403 Forbidden";
        row.status.last_error = Some(LastError {
            at: format!("2026-08-03T11:{n:02}:58Z"),
            message: message.to_owned(),
        });
        row.gaps[0].detail = Some(format!("since 2026-08-01T00:00:{n:02}Z: {message}"));
        row
    };
    let rows = || {
        let mut rows: Vec<StatusRow> = (0..12).map(failing).collect();
        rows.extend((12..41).map(|n| row(n, State::Live)));
        // One with another error is alone.
        rows.push(row(41, State::Failing));
        rows
    };
    insta::assert_snapshot!(show(false).text(rows()));
    // With all sources, the error is written once too.
    let all = show(true).text(rows());
    let said = all.matches("not read this log").count();
    assert_eq!(said, 1, "{all}");
    for n in 0..42 {
        assert!(all.contains(&format!("organizations/{n:032x}")), "{n}");
    }
    assert!(all.contains("12 sources"), "{all}");
}
