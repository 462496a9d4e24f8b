//! What a request for entries asks: a window, an order, a page of it.
//!
//! A request is checked as a whole before anything is read. Which entries pass is decided by the [`EntryFilter`] beside it.

use std::sync::Arc;

use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use orgtrail_cloudflare::paging::Cursor;
use orgtrail_cloudflare::request::{CURSOR, Direction, LIMIT, LogQuery};
use orgtrail_cloudflare::source::Source;

use super::call::Call;
use super::chance::Seed;
use super::config::Bounds;
use super::cursor;
use super::cursor::CursorPosition;
use super::faults::{MAX_EMPTY_IN_A_ROW, RequestFaults};
use super::filter::Filters;
use super::log::{Key, LogRange};
use super::refusal::Refusal;
use super::resource::HistoryResource;
use super::simulator::Simulator;

/// A request that makes sense.
#[derive(Debug)]
pub(crate) struct PageRequest {
    window: LogRange,
    pub(crate) direction: Direction,
    pub(crate) limit: usize,
    /// Whether that is the limit that was asked for, and not a smaller one of the simulator's.
    is_limit_as_asked: bool,
    /// The last entry of the page before.
    pub(crate) from: Option<Key>,
    /// How many empty pages have led there.
    empty_pages: u16,
    /// Entries before this moment are not kept any more.
    kept_since: DateTime<Utc>,
    /// What cursors are bound to.
    seed: Seed,
}

/// Which entries are wanted.
#[derive(Debug)]
pub(crate) enum EntryFilter {
    /// Those that pass the request's filters.
    Filters(Filters),
    /// Those that tell of a resource.
    Resource(HistoryResource),
}

/// What has been read for an answer.
#[derive(Debug)]
pub(crate) struct ReadPage {
    pub(crate) entries: Vec<Arc<str>>,
    pub(crate) last: Option<Key>,
    pub(crate) has_more: bool,
}

impl PageRequest {
    /// Reads a request's parameters. Its cursors are bound to `seed`, to the log, and to all parameters but the page's size.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub(crate) fn parse(
        simulator: &Simulator,
        call: &Call,
        seed: Seed,
        source: &Source,
        parameters: &[(String, String)],
    ) -> Result<Self, Refusal> {
        let LogQuery {
            since,
            before,
            direction,
            limit: asked_limit,
            cursor: given_cursor,
        } = LogQuery::read(parameters).map_err(Refusal::invalid)?;
        let longest = call.faults.longest_window;
        if given_cursor.is_none() && longest.is_some_and(|longest| before - since > longest) {
            return Err(Refusal::invalid("the window is too long"));
        }
        let refused_before = call.faults.refused_before;
        if refused_before.is_some_and(|refused_before| since < refused_before) {
            return Err(Refusal::invalid("the window begins too early"));
        }
        let failing_before = call.faults.failing_before;
        if failing_before.is_some_and(|failing_before| since < failing_before) {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Refusal::internal(status, "Service unavailable"));
        }
        let is_in = |moment: DateTime<Utc>| since <= moment && moment < before;
        let at = call.faults.failing_at.iter();
        let mut statuses = at.filter(|(moment, _)| is_in(*moment)).map(|(_, s)| *s);
        let of_cursors = call.faults.failing_cursors;
        let of_cursors = of_cursors.filter(|_| given_cursor.is_some());
        if let Some(status) = statuses.next().or(of_cursors) {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            return Err(Refusal::coded(status, 1001, "this cannot be answered"));
        }
        let seed = bind(seed, source, parameters);
        let from = match given_cursor {
            None => None,
            Some(text) => Some(
                cursor::decode(text, seed)
                    .ok_or_else(|| Refusal::invalid("cursor is not valid for this query"))?,
            ),
        };
        let max_limit = simulator.config().max_limit;
        Ok(Self {
            window: stretch(simulator.config().bounds, since, before),
            direction,
            limit: asked_limit.min(max_limit).max(1),
            is_limit_as_asked: asked_limit <= max_limit,
            from: from.map(|mark| mark.key),
            empty_pages: from.map_or(0, |mark| mark.empty_pages),
            kept_since: call.at - simulator.retention(),
            seed,
        })
    }

    /// What is left to read after `key`, or everything.
    pub(crate) fn rest(&self, key: Option<Key>) -> LogRange {
        let rest = match (key, self.direction) {
            (None, _) => self.window,
            (Some(key), Direction::Ascending) => LogRange {
                low: self.window.low.max(key.next()),
                ..self.window
            },
            (Some(key), Direction::Descending) => LogRange {
                high: self.window.high.min(key),
                ..self.window
            },
        };
        self.kept(rest)
    }

    /// What was read up to and with the entry at `key`.
    pub(crate) fn passed(&self, key: Key) -> LogRange {
        let passed = match self.direction {
            Direction::Ascending => LogRange {
                high: key.next(),
                ..self.window
            },
            Direction::Descending => LogRange {
                low: key,
                ..self.window
            },
        };
        self.kept(passed)
    }

    /// The part of a stretch that is kept.
    pub(crate) fn kept(&self, stretch: LogRange) -> LogRange {
        LogRange {
            low: stretch.low.max(Key::first_at(self.kept_since)),
            ..stretch
        }
    }

    /// Whether the page is to be an empty one, whose cursor leads on.
    pub(crate) fn is_skipped(&self, faults: &RequestFaults) -> bool {
        faults.empty_page && self.empty_pages < MAX_EMPTY_IN_A_ROW
    }

    /// The cursor of an empty page that leads on.
    pub(crate) fn skip_cursor(&self) -> Cursor {
        let mark = CursorPosition {
            key: self.from.unwrap_or(self.beginning()),
            empty_pages: self.empty_pages.saturating_add(1),
        };
        cursor::encode(mark, self.seed)
    }

    /// What a page says of where the next one begins.
    pub(crate) fn next_cursor(&self, page: &ReadPage, faults: &RequestFaults) -> Option<Cursor> {
        let last = page.last.or(self.from);
        let is_full = page.entries.len() >= self.limit;
        let (place, empty_pages) = match self.from {
            Some(from) if faults.cursor_loop => (Some(from), self.empty_pages),
            // A client takes a page that is shorter than requested for the last one.
            _ if page.has_more && is_full && self.is_limit_as_asked && faults.no_cursor => {
                (None, 0)
            }
            _ if page.has_more => (last, 0),
            _ if faults.empty_with_cursor => (Some(last.unwrap_or(self.end())), 0),
            _ => (None, 0),
        };
        place.map(|key| cursor::encode(CursorPosition { key, empty_pages }, self.seed))
    }

    /// A place before which nothing is.
    fn beginning(&self) -> Key {
        match self.direction {
            Direction::Ascending => {
                let low = self.window.low.time;
                Key::first_at(
                    low.checked_sub_signed(TimeDelta::nanoseconds(1))
                        .unwrap_or(low),
                )
            }
            Direction::Descending => self.window.high,
        }
    }

    /// A place behind which nothing is left.
    fn end(&self) -> Key {
        match self.direction {
            Direction::Ascending => self.window.high,
            Direction::Descending => self.window.low,
        }
    }
}

impl EntryFilter {
    /// Whether everything passes, and entries need not be looked at.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Filters(filters) => filters.is_empty(),
            Self::Resource(_) => false,
        }
    }

    /// Whether an entry passes. `is_ours` says that the simulator wrote it itself, so that a text without a wanted value
    /// need not be read.
    pub(crate) fn keeps(&self, entry: &str, is_ours: bool) -> bool {
        match self {
            Self::Filters(filters) => filters.keep(entry, is_ours),
            Self::Resource(resource) => resource.is_told_by(entry, is_ours),
        }
    }
}

/// Everything about a query that its cursors depend on, folded into a number. The order of parameters is no part of it,
/// and neither is the page's size.
fn bind(seed: Seed, source: &Source, parameters: &[(String, String)]) -> Seed {
    let mut bound: Vec<_> = parameters
        .iter()
        .filter(|(name, _)| name != CURSOR && name != LIMIT)
        .collect();
    bound.sort_unstable();
    let start = seed.named("cursor").named(&source.to_string());
    bound
        .into_iter()
        .fold(start, |seed, (name, value)| seed.named(name).named(value))
}

fn stretch(bounds: Bounds, since: DateTime<Utc>, before: DateTime<Utc>) -> LogRange {
    let (with_since, with_before) = match bounds {
        Bounds::HalfOpen => (true, false),
        Bounds::Closed => (true, true),
        Bounds::Open => (false, false),
    };
    let edge = |moment, is_after| {
        if is_after {
            Key::first_after(moment)
        } else {
            Key::first_at(moment)
        }
    };
    LogRange {
        low: edge(since, !with_since),
        high: edge(before, with_before),
    }
}
