//! The audit log's list: parameters, pages, cursors, and what goes wrong with them.
//!
//! A page is read in small pieces, giving way to other tasks between them, so that a rare filter over a long
//! history holds nobody up. Where entries come from is the log's business.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use crate::position::Source;

use super::chance::Seed;
use super::door::Call;
use super::envelope::{self, Refusal};
use super::faults::Mischief;
use super::filter::Filters;
use super::log::{Direction, Key, Stretch};
use super::{Bounds, Simulator, cursor, parameters};

/// Entries on a page unless the request says otherwise.
const DEFAULT_LIMIT: usize = 100;
/// The most entries a request may ask for.
const MAX_LIMIT: usize = 1_000;
/// Keys that are read at a time.
const PIECE: usize = 256;
/// A page that has found something ends, though not full, when it has looked at this many entries.
const MAX_SCANNED: usize = 100_000;
/// The most entries of the page before that a repeating page repeats.
const MAX_REPEATED: usize = 3;

/// `GET /organizations/{organization_id}/logs/audit`
pub(super) async fn list_organization(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let source = Source::organization(&id).map_err(|_| Refusal::no_route())?;
    list(&simulator, &call, &source, query.as_deref()).await
}

/// `GET /accounts/{account_id}/logs/audit`
pub(super) async fn list_account(
    State(simulator): State<Simulator>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let source = Source::account(&id).map_err(|_| Refusal::no_route())?;
    list(&simulator, &call, &source, query.as_deref()).await
}

async fn list(
    simulator: &Simulator,
    call: &Call,
    source: &Source,
    query: Option<&str>,
) -> Result<Response, Refusal> {
    let place = simulator.place(source).ok_or_else(Refusal::no_route)?;
    let parameters = parameters::parse(query)?;
    let question = Question::parse(simulator, source, &parameters).map_err(Refusal::invalid)?;
    if question.from.is_some() && call.mischief.expired_cursor {
        return Err(Refusal::invalid("cursor has expired"));
    }
    let reader = Reader {
        simulator,
        place,
        question: &question,
        now: call.at,
    };
    let page = reader.page(&call.mischief).await;
    let next = question.next_cursor(&page, &call.mischief);
    Ok(envelope::audit_page(
        &page.entries,
        next.as_deref(),
        simulator.config().cursor_form,
    ))
}

/// A request that makes sense.
#[derive(Debug)]
struct Question {
    window: Stretch,
    direction: Direction,
    limit: usize,
    filters: Filters,
    /// The last entry of the page before.
    from: Option<Key>,
    /// What cursors are bound to.
    seed: Seed,
}

/// What has been read for an answer.
#[derive(Debug)]
struct Page {
    entries: Vec<Arc<str>>,
    last: Option<Key>,
    has_more: bool,
}

impl Question {
    fn parse(
        simulator: &Simulator,
        source: &Source,
        parameters: &[(String, String)],
    ) -> Result<Self, String> {
        let given = |name: &str| parameters::last(parameters, name);
        let moment = |name: &str| {
            let text = given(name).ok_or_else(|| format!("{name} is required"))?;
            parse_moment(text)
                .ok_or_else(|| format!("{name} must be a date (yyyy-mm-dd) or an RFC 3339 time"))
        };
        let (since, before) = (moment("since")?, moment("before")?);
        if since >= before {
            return Err("since must be earlier than before".to_owned());
        }
        let direction = match given("direction") {
            None | Some("desc") => Direction::Descending,
            Some("asc") => Direction::Ascending,
            Some(_) => return Err("direction must be one of: desc, asc".to_owned()),
        };
        let seed = bind(simulator.seed(), source, parameters);
        let from = match given("cursor") {
            None => None,
            Some(text) => {
                let key = cursor::decode(text, seed);
                Some(key.ok_or("cursor is not valid for this query")?)
            }
        };
        Ok(Self {
            window: stretch(simulator.config().bounds, since, before),
            direction,
            limit: parse_limit(given("limit"))?
                .min(simulator.config().max_limit)
                .max(1),
            filters: Filters::parse(source.kind(), parameters)?,
            from,
            seed,
        })
    }

    /// What is left to read after `key`, or everything.
    fn rest(&self, key: Option<Key>) -> Stretch {
        match (key, self.direction) {
            (None, _) => self.window,
            (Some(key), Direction::Ascending) => Stretch {
                low: self.window.low.max(key.next()),
                ..self.window
            },
            (Some(key), Direction::Descending) => Stretch {
                high: self.window.high.min(key),
                ..self.window
            },
        }
    }

    fn next_cursor(&self, page: &Page, mischief: &Mischief) -> Option<String> {
        let last = page.last.or(self.from);
        let place = match self.from {
            Some(from) if mischief.cursor_loop => Some(from),
            _ if page.has_more => last,
            _ if mischief.empty_with_cursor => Some(last.unwrap_or(self.end())),
            _ => None,
        };
        place.map(|key| cursor::encode(key, self.seed))
    }

    /// A place behind which nothing is left.
    fn end(&self) -> Key {
        match self.direction {
            Direction::Ascending => self.window.high,
            Direction::Descending => self.window.low,
        }
    }
}

/// Reads one page, at one moment.
struct Reader<'a> {
    simulator: &'a Simulator,
    place: usize,
    question: &'a Question,
    now: DateTime<Utc>,
}

impl Reader<'_> {
    async fn page(&self, mischief: &Mischief) -> Page {
        let limit = self.question.limit;
        let repeated = match self.question.from {
            Some(from) if mischief.repeat_across_pages => {
                self.before(from, MAX_REPEATED.min(limit - 1)).await
            }
            _ => Vec::new(),
        };
        let room = limit - repeated.len();
        let mut found = self
            .read(self.question.rest(self.question.from), room + 1)
            .await;
        let mut has_more = found.is_cut || found.entries.len() > room;
        found.entries.truncate(room);
        if mischief.short_page && found.entries.len() > 1 {
            let fewer = mischief
                .seed
                .named("short")
                .below(found.entries.len() as u64 - 1);
            found.entries.truncate(fewer as usize + 1);
            has_more = true;
        }
        Page {
            last: found.entries.last().map(|(key, _)| *key),
            entries: repeated
                .into_iter()
                .chain(found.entries)
                .map(|(_, text)| text)
                .collect(),
            has_more,
        }
    }

    /// The last `count` entries up to and with the one at `from`, in the question's order.
    async fn before(&self, from: Key, count: usize) -> Vec<(Key, Arc<str>)> {
        let window = self.question.window;
        let (passed, backwards) = match self.question.direction {
            Direction::Ascending => (
                Stretch {
                    high: from.next(),
                    ..window
                },
                Direction::Descending,
            ),
            Direction::Descending => (
                Stretch {
                    low: from,
                    ..window
                },
                Direction::Ascending,
            ),
        };
        let mut found = self.scan(passed, backwards, count).await.entries;
        found.reverse();
        found
    }

    async fn read(&self, rest: Stretch, count: usize) -> Found {
        self.scan(rest, self.question.direction, count).await
    }

    /// The first `count` entries of a stretch that the filters keep.
    async fn scan(&self, mut rest: Stretch, direction: Direction, count: usize) -> Found {
        let mut entries = Vec::new();
        let mut n_scanned = 0;
        while entries.len() < count {
            let piece = match self.question.filters.is_empty() {
                true => PIECE.min(count - entries.len()),
                false => PIECE,
            };
            let keys = self
                .simulator
                .keys(self.place, rest, direction, self.now, piece);
            let Some(&last) = keys.last() else {
                break;
            };
            for key in &keys {
                let text = self.simulator.text(self.place, *key);
                if entries.len() < count && self.question.filters.keep(&text) {
                    entries.push((*key, text));
                }
            }
            n_scanned += keys.len();
            if n_scanned >= MAX_SCANNED && !entries.is_empty() && entries.len() < count {
                return Found {
                    entries,
                    is_cut: true,
                };
            }
            match direction {
                Direction::Ascending => rest.low = last.next(),
                Direction::Descending => rest.high = last,
            }
            tokio::task::yield_now().await;
        }
        Found {
            entries,
            is_cut: false,
        }
    }
}

/// What a scan has found.
struct Found {
    entries: Vec<(Key, Arc<str>)>,
    /// Whether it stopped before its stretch ended, though it had not found enough.
    is_cut: bool,
}

/// Everything about a query that its cursors depend on, folded into a number. The order of parameters is no part of it,
/// and neither is the page's size.
fn bind(seed: Seed, source: &Source, parameters: &[(String, String)]) -> Seed {
    let mut bound: Vec<_> = parameters
        .iter()
        .filter(|(name, _)| name != "cursor" && name != "limit")
        .collect();
    bound.sort_unstable();
    let start = seed.named("cursor").named(&source.to_string());
    bound
        .into_iter()
        .fold(start, |seed, (name, value)| seed.named(name).named(value))
}

fn stretch(bounds: Bounds, since: DateTime<Utc>, before: DateTime<Utc>) -> Stretch {
    let (with_since, with_before) = match bounds {
        Bounds::HalfOpen => (true, false),
        Bounds::Closed => (true, true),
        Bounds::Open => (false, false),
    };
    let edge = |moment, is_after| match is_after {
        true => Key::first_after(moment),
        false => Key::first_at(moment),
    };
    Stretch {
        low: edge(since, !with_since),
        high: edge(before, with_before),
    }
}

/// A date, which means its midnight in UTC, or a time with its offset.
fn parse_moment(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(date.and_time(NaiveTime::MIN).and_utc());
    }
    let moment = DateTime::parse_from_rfc3339(text).ok()?;
    Some(moment.with_timezone(&Utc))
}

fn parse_limit(text: Option<&str>) -> Result<usize, String> {
    let Some(text) = text else {
        return Ok(DEFAULT_LIMIT);
    };
    match text.parse() {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        _ => Err(format!("limit must be a number from 1 to {MAX_LIMIT}")),
    }
}
