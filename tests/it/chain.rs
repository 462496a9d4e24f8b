//! One orgtrail polls another one, whose coverage has holes: a poller on a clock that is moved by hand, against a server that
//! answers as the other one would.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse as _;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use orgtrail::clock::Clock;
use orgtrail::durable::Failpoints;
use orgtrail::health::Board;
use orgtrail::poll::{BackfillSince, Following, Next, Overlap, Poller, Settings};
use orgtrail::store::{SourceSeen, Store};
use orgtrail::upstream::{Quota, Timeouts, Upstream};
use proptest::prelude::*;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::form_urlencoded;

use crate::fixture_log::account;
use crate::manual_clock::start;

/// The other orgtrail will read each moment again until it is so old.
const SETTLED_AFTER: i64 = 8 * DAY;

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// No entries.
const NONE: [i64; 0] = [];

/// The most stretches that the header names.
const MOST_NAMED: usize = 64;

/// A stretch that the other orgtrail has not proven, and until when. Times are seconds since the begin.
#[derive(Debug, Clone)]
struct Hole {
    since: i64,
    before: i64,
    until: Option<i64>,
}

/// The orgtrail that is polled.
#[derive(Debug, Clone, Default)]
struct Polled {
    /// The second in which each entry happened, and from when on it is shown.
    entries: BTreeMap<i64, i64>,
    holes: Vec<Hole>,
    /// It reads what is new so often.
    interval: i64,
    /// It reads nothing after that.
    left_at: Option<i64>,
    calls: usize,
    shown: usize,
}

impl Polled {
    fn proven_to(&self, now: i64) -> i64 {
        let to = now.div_euclid(self.interval) * self.interval;
        self.left_at.map_or(to, |left| to.min(left))
    }

    fn is_proven(&self, second: i64, now: i64) -> bool {
        let is_in = |hole: &Hole| (hole.since..hole.before).contains(&second);
        let is_open = |hole: &Hole| hole.until.is_none_or(|until| now < until);
        second < self.proven_to(now) && !self.holes.iter().any(|hole| is_in(hole) && is_open(hole))
    }

    /// Whether it shows an entry of that second.
    fn shows(&self, second: i64, visible: i64, now: i64) -> bool {
        visible <= now && self.is_proven(second, now)
    }

    /// The proven stretches of a range, the earliest first.
    fn proven(&self, (since, before): (i64, i64), now: i64) -> Vec<(i64, i64)> {
        let open = self.holes.iter();
        let open = open.filter(|hole| hole.until.is_none_or(|until| now < until));
        let mut holes: Vec<(i64, i64)> = open.map(|hole| (hole.since, hole.before)).collect();
        holes.push((self.proven_to(now), i64::MAX));
        holes.sort_unstable();
        let (mut proven, mut from) = (Vec::new(), since);
        for (hole, end) in holes {
            if from < hole.min(before) {
                proven.push((from, hole.min(before)));
            }
            from = from.max(end);
        }
        proven
    }

    fn header(&self, asked: (i64, i64), now: i64) -> String {
        let proven = self.proven(asked, now);
        let is_settling = proven.iter().any(|(_, end)| *end + SETTLED_AFTER > now);
        let is_whole = proven == [asked];
        let state = match (is_whole, is_settling) {
            (false, _) => "partial",
            (true, true) => "settling",
            (true, false) => "complete",
        };
        let first = proven.first().filter(|first| first.0 == asked.0);
        let until = first.map_or(asked.0, |first| first.1);
        let mut text = format!("{state}; until={}", rfc(until));
        let named = proven.iter().skip(usize::from(first.is_some()));
        for (since, before) in named.clone().take(MOST_NAMED) {
            write!(text, "; next={}/{}", rfc(*since), rfc(*before)).unwrap();
        }
        if is_settling && !is_whole {
            text += "; settling";
        }
        if named.count() > MOST_NAMED {
            text += "; more";
        }
        text
    }

    fn answer(&mut self, uri: &Uri, now: DateTime<Utc>) -> axum::response::Response {
        if !uri.path().ends_with("/logs/audit") {
            return StatusCode::NOT_FOUND.into_response();
        }
        let parameters: BTreeMap<String, String> =
            form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let moment = |name: &str| {
            let moment: DateTime<Utc> = parameters[name].parse().unwrap();
            (moment - start()).num_seconds()
        };
        let (asked, second) = (
            (moment("since"), moment("before")),
            (now - start()).num_seconds(),
        );
        let limit: usize = parameters["limit"].parse().unwrap();
        let from: usize = parameters
            .get("cursor")
            .map_or(0, |text| text.parse().unwrap());
        let inside = self.entries.range(asked.0..asked.1);
        let all: Vec<i64> = inside
            .filter(|(time, visible)| self.shows(**time, **visible, second))
            .map(|(time, _)| *time)
            .collect();
        let page: Vec<i64> = all.iter().skip(from).take(limit).copied().collect();
        let has_next = from + page.len() < all.len();
        let next = if has_next {
            (from + page.len()).to_string()
        } else {
            String::new()
        };
        let result: Vec<_> = page
            .iter()
            .map(|time| json!({"id": format!("e{time}"), "action": {"time": rfc(*time), "type": "update"}}))
            .collect();
        let body = json!({
            "success": true, "errors": [], "messages": [], "result": result,
            "result_info": {"count": page.len().to_string(), "cursor": next, "cursors": {"after": next}},
        });
        self.calls += 1;
        self.shown += page.len();
        let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let headers = [
            ("date", date),
            ("content-type", "application/json".to_owned()),
            ("orgtrail-coverage", self.header(asked, second)),
        ];
        (headers, body.to_string()).into_response()
    }
}

fn rfc(second: i64) -> String {
    let moment = start() + TimeDelta::seconds(second);
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn seconds(moment: DateTime<Utc>) -> i64 {
    (moment - start()).num_seconds()
}

fn settings(overlap: i64, sweeps: &[i64]) -> Settings {
    Settings {
        interval: TimeDelta::hours(1),
        max_interval: TimeDelta::hours(6),
        overlap: Overlap::Span(TimeDelta::seconds(overlap)),
        sweeps: sweeps.iter().map(|age| TimeDelta::seconds(*age)).collect(),
        backfill_since: BackfillSince::Span(TimeDelta::days(3)),
        page_size: 100,
    }
}

/// An orgtrail that polls the other one.
struct Chain {
    clock: Clock,
    polled: Arc<Mutex<Polled>>,
    sweeps: Vec<TimeDelta>,
    store: Store,
    poller: Poller,
    dir: tempfile::TempDir,
    _servers: JoinSet<()>,
}

impl Chain {
    async fn new(polled: Polled, settings: Settings) -> Self {
        let clock = Clock::manual(start());
        let polled = Arc::new(Mutex::new(polled));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/client/v4", listener.local_addr().unwrap());
        let (now, answering) = (clock.reader(), Arc::clone(&polled));
        let now = Arc::new(now);
        let router = Router::new().fallback(move |uri: Uri| {
            let answer = answering.lock().unwrap().answer(&uri, now());
            async move { answer }
        });
        let mut servers = JoinSet::new();
        servers.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let upstream = Upstream::new(
            url.parse().unwrap(),
            Arc::new(|| Ok("token".into())),
            Quota::new(1_200, None, clock.steady()),
            clock.clone(),
            Timeouts::default(),
        );
        let source = SourceSeen {
            source: account(),
            organization: None,
            label: None,
            created_at: None,
        };
        let following = Following {
            sources: vec![source],
            ..Following::default()
        };
        let sweeps = settings.sweeps.clone();
        let poller = Poller::new(
            store.clone(),
            upstream.unwrap(),
            "env:TEST".to_owned(),
            following,
            settings,
            Board::default(),
            clock.clone(),
        );
        Self {
            poller: poller.unwrap(),
            clock,
            polled,
            sweeps,
            store,
            dir,
            _servers: servers,
        }
    }

    fn now(&self) -> i64 {
        seconds(self.clock.now())
    }

    /// Polls until `end`, and checks after each call that no more is claimed than was proven.
    async fn poll_to(&mut self, end: i64) {
        let mut checked = 0;
        while self.now() < end {
            match self.poller.next_turn(self.clock.now()) {
                Next::Turn(turn) => {
                    let outcome = turn.perform().await;
                    self.poller.record_outcome(outcome).unwrap();
                    checked += 1;
                    if checked % 8 == 0 {
                        self.claims_no_more_than_is_proven();
                    }
                }
                Next::Wait(until) => {
                    let wait = until - self.clock.now();
                    self.clock.advance(wait.max(TimeDelta::milliseconds(1)));
                }
            }
        }
        self.claims_no_more_than_is_proven();
    }

    fn claims_no_more_than_is_proven(&self) {
        let now = self.now();
        let polled = self.polled.lock().unwrap();
        let progress = self.store.progress(&account()).unwrap();
        for piece in progress.proven.iter() {
            let (since, before) = (seconds(piece.window.since), seconds(piece.window.before));
            assert_eq!(
                polled.proven((since, before), now),
                [(since, before)],
                "{} is claimed at {now}",
                piece.window
            );
            if piece.is_complete(&self.sweeps) && !self.sweeps.is_empty() {
                let age = now - before;
                assert!(
                    age >= SETTLED_AFTER,
                    "{} is complete at the age of {age}",
                    piece.window
                );
            }
        }
    }

    fn held(&self) -> BTreeSet<i64> {
        let db = rusqlite::Connection::open(self.dir.path().join("orgtrail.db")).unwrap();
        let mut ask = db.prepare("SELECT time_us FROM event").unwrap();
        let times = ask.query_map([], |row| row.get::<_, i64>(0)).unwrap();
        let zero = start().timestamp();
        times.map(|time| time.unwrap() / 1_000_000 - zero).collect()
    }

    /// The entries that the other one shows and this one lacks.
    fn lacks(&self, since: i64, before: i64) -> Vec<i64> {
        let (held, now) = (self.held(), self.now());
        let polled = self.polled.lock().unwrap();
        let shown = polled.entries.range(since..before);
        let shown = shown.filter(|(time, visible)| polled.shows(**time, **visible, now));
        shown
            .map(|(time, _)| *time)
            .filter(|time| !held.contains(time))
            .collect()
    }

    fn calls(&self) -> usize {
        self.polled.lock().unwrap().calls
    }

    /// Polls hour by hour, and gives the most calls of an hour.
    async fn most_calls_of_an_hour(&mut self, end: i64) -> usize {
        let mut most = 0;
        while self.now() < end {
            let before = self.calls();
            let hour = self.now() + HOUR;
            self.poll_to(hour).await;
            most = most.max(self.calls() - before);
        }
        most
    }
}

/// An entry each quarter of an hour from four days before the begin to nine days after it.
fn entries() -> BTreeMap<i64, i64> {
    let times = (-4 * 96..9 * 96).map(|n| n * 15 * MINUTE + n.rem_euclid(61));
    times.map(|time| (time, time)).collect()
}

fn lost(seconds: &[i64]) -> Vec<Hole> {
    let hole = |second: &i64| Hole {
        since: *second,
        before: *second + 1,
        until: None,
    };
    seconds.iter().map(hole).collect()
}

#[tokio::test]
async fn damaged_seconds_close_to_each_other_stop_nothing_that_is_new() {
    let polled = Polled {
        entries: entries(),
        // In the overlap of the first window, at its begin, and later.
        holes: lost(&[
            -15 * MINUTE,
            -10 * MINUTE,
            -9 * MINUTE,
            -8 * MINUTE,
            HOUR,
            HOUR + 2,
        ]),
        interval: MINUTE,
        ..Polled::default()
    };
    for overlap in [0, 15 * MINUTE] {
        let mut chain = Chain::new(polled.clone(), settings(overlap, &[])).await;
        let most = chain.most_calls_of_an_hour(6 * HOUR).await;
        assert!(most < 60, "{most} calls in an hour");
        assert_eq!(
            chain.lacks(-3 * DAY, 4 * HOUR),
            NONE,
            "with an overlap of {overlap} s"
        );
        let gaps = chain.store.progress(&account()).unwrap().gaps.to_vec();
        let gaps: Vec<_> = gaps.iter().map(|(gap, _)| seconds(gap.since)).collect();
        assert!(gaps.contains(&(-9 * MINUTE)) && gaps.len() <= 6, "{gaps:?}");
    }
}

#[tokio::test]
async fn a_source_that_the_polled_orgtrail_reads_no_more_is_asked_for_with_pauses() {
    let polled = Polled {
        entries: entries(),
        interval: 10 * MINUTE,
        left_at: Some(2 * HOUR),
        ..Polled::default()
    };
    let mut chain = Chain::new(polled, settings(2 * MINUTE, &[15 * MINUTE, 7 * DAY])).await;
    chain.poll_to(3 * HOUR).await;
    let most = chain.most_calls_of_an_hour(2 * DAY).await;
    assert!(most <= 12, "{most} calls in an hour");
    assert_eq!(chain.lacks(-3 * DAY, 2 * HOUR), NONE);
}

#[tokio::test]
async fn hours_and_days_that_the_polled_orgtrail_has_not_proven_are_passed() {
    let hole = |since, before, until| Hole {
        since,
        before,
        until,
    };
    let polled = Polled {
        entries: entries(),
        holes: vec![
            hole(-2 * DAY, -DAY, Some(2 * DAY)),
            hole(HOUR, 4 * HOUR, Some(DAY)),
            // Nothing at all of what the first window asks for.
            hole(-3 * HOUR, 0, None),
        ],
        interval: MINUTE,
        ..Polled::default()
    };
    let mut chain = Chain::new(polled, settings(15 * MINUTE, &[15 * MINUTE, DAY])).await;
    chain.poll_to(8 * HOUR).await;
    assert_eq!(
        chain.lacks(-3 * DAY, -2 * DAY),
        NONE,
        "history is read past the hole"
    );
    assert_eq!(
        chain.lacks(4 * HOUR, 6 * HOUR),
        NONE,
        "what is new is read past the hole"
    );
    let most = chain.most_calls_of_an_hour(6 * DAY).await;
    assert!(most < 60, "{most} calls in an hour");
    assert_eq!(chain.lacks(-3 * DAY, 5 * DAY), NONE);
}

#[tokio::test]
async fn an_entry_that_only_the_last_sweep_of_the_polled_orgtrail_finds_arrives() {
    let mut entries = entries();
    // Shown after the last sweep of the one that polls.
    entries.insert(3 * HOUR + 5, 3 * HOUR + SETTLED_AFTER - HOUR);
    let polled = Polled {
        entries,
        interval: MINUTE,
        holes: vec![Hole {
            since: 5 * HOUR,
            before: 6 * HOUR,
            // And what it repairs even later.
            until: Some(9 * DAY),
        }],
        ..Polled::default()
    };
    let mut chain = Chain::new(polled, settings(15 * MINUTE, &[15 * MINUTE, 7 * DAY])).await;
    chain.poll_to(14 * DAY).await;
    assert_eq!(chain.lacks(-3 * DAY, 9 * DAY), NONE);
}

/// Where a hole begins, how long it is, and for how long after its begin, or after the first call, it stays.
fn holes() -> impl Strategy<Value = Vec<Hole>> {
    let length = prop::sample::select(vec![1, 2, MINUTE, HOUR, 3 * HOUR, 2 * DAY]);
    let lasts = prop::option::of(MINUTE..6 * DAY);
    let hole = (-3 * DAY..5 * DAY, length, lasts).prop_map(|(since, length, lasts)| Hole {
        since,
        before: since + length,
        until: lasts.map(|lasts| since.max(0) + lasts),
    });
    let near = (-30 * MINUTE..30 * MINUTE, 1..4_i64).prop_map(|(since, length)| Hole {
        since,
        before: since + length,
        until: None,
    });
    let many = (-2 * DAY..4 * DAY, 0..150_i64)
        .prop_map(|(since, n)| lost(&(0..n).map(|at| since + at * 7).collect::<Vec<_>>()));
    let several = (
        prop::collection::vec(hole, 0..8),
        prop::collection::vec(near, 0..5),
        many,
    );
    several.prop_map(|(holes, near, many)| [holes, near, many].concat())
}

fn cases() -> u32 {
    match std::env::var_os("ORGTRAIL_SLOW_TESTS") {
        Some(_) => 60,
        None => 2,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 40, ..ProptestConfig::default() })]
    #[test]
    fn whatever_holes_the_polled_orgtrail_has_its_entries_arrive_and_no_more_is_claimed(
        holes in holes(),
        interval in prop::sample::select(vec![MINUTE, 10 * MINUTE, 3 * HOUR]),
        overlap in prop::sample::select(vec![0, 2 * MINUTE, 15 * MINUTE]),
        sweeps in prop::sample::select(vec![vec![], vec![15 * MINUTE, 2 * DAY], vec![7 * DAY]]),
        left_at in prop::option::weighted(0.2, 0..4 * DAY),
        late in prop::collection::vec((-2 * DAY..4 * DAY, 0..SETTLED_AFTER - HOUR), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut entries = entries();
            // Without sweeps what is late is not looked for.
            let late = late.into_iter().filter(|_| !sweeps.is_empty());
            entries.extend(late.map(|(time, by)| (time, time + by)));
            let polled = Polled { entries, holes, interval, left_at, ..Polled::default() };
            let mut chain = Chain::new(polled, settings(overlap, &sweeps)).await;
            chain.poll_to(DAY).await;
            let most = chain.most_calls_of_an_hour(9 * DAY).await;
            assert!(most < 150, "{most} calls in an hour");
            chain.poll_to(20 * DAY).await;
            let lacks = chain.lacks(-3 * DAY + HOUR, 9 * DAY);
            assert!(lacks.is_empty(), "{lacks:?}");
            let polled = chain.polled.lock().unwrap();
            assert!(polled.calls < 6_000, "{} calls", polled.calls);
            assert!(polled.shown < 60 * polled.entries.len(), "{} entries were read", polled.shown);
        });
    }
}
