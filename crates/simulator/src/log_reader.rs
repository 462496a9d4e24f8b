//! Reads a page of a log at one moment, piece by piece, giving way to other tasks between the pieces.
//!
//! The work of a request is bounded: under filters that match rarely a page ends early, with what it has found and a
//! cursor; and when it has found nothing at all, the request is refused, because an empty page would tell clients that
//! there is nothing more. Where entries come from is the log's business.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use orgtrail_cloudflare::request::Direction;

use super::call::Call;
use super::faults::RequestFaults;
use super::log::{EntryOrigin, Key, LogRange};
use super::logs::Log;
use super::page_request::{EntryFilter, PageRequest, ReadPage};
use super::simulator::Simulator;

/// Keys that are read at a time.
const PIECE: usize = 256;
/// The most entries that one request looks at.
const MAX_SCANNED: usize = 100_000;
/// The most entries of the page before that a repeating page repeats.
const MAX_REPEATED: usize = 3;

/// Reads one log at one moment.
#[derive(Debug)]
pub(crate) struct LogReader<'a> {
    simulator: &'a Simulator,
    log: &'a Log,
    now: DateTime<Utc>,
}

/// Nothing passes the filters among as many entries as a request may look at.
#[derive(Debug)]
pub(crate) struct TooRare {
    pub(crate) n_scanned: usize,
}

/// What a scan has found.
struct ScanMatch {
    entries: Vec<(Key, Arc<str>)>,
    n_scanned: usize,
    /// Whether it stopped before its stretch ended, though it had not found enough.
    is_cut: bool,
}

impl<'a> LogReader<'a> {
    /// A reader at the moment of a call.
    pub(crate) fn new(simulator: &'a Simulator, call: &Call, log: &'a Log) -> Self {
        Self {
            simulator,
            log,
            now: call.at,
        }
    }

    /// The page that a request asks for.
    pub(crate) async fn page(
        &self,
        request: &PageRequest,
        filter: &EntryFilter,
        faults: &RequestFaults,
    ) -> Result<ReadPage, TooRare> {
        let limit = request.limit;
        let repeated = match request.from {
            Some(from) if faults.repeat_across_pages => {
                self.before(request, filter, from, MAX_REPEATED.min(limit - 1))
                    .await
            }
            _ => Vec::new(),
        };
        let room = limit - repeated.len();
        let rest = request.rest(request.from);
        let mut found = self.scan(rest, request.direction, room + 1, filter).await;
        if found.is_cut && found.entries.is_empty() {
            return Err(TooRare {
                n_scanned: found.n_scanned,
            });
        }
        let mut has_more = found.is_cut || found.entries.len() > room;
        found.entries.truncate(room);
        if faults.short_page && found.entries.len() > 1 {
            let fewer = faults
                .seed
                .named("short")
                .below(found.entries.len() as u64 - 1);
            found.entries.truncate(fewer as usize + 1);
            has_more = true;
        }
        Ok(ReadPage {
            last: found.entries.last().map(|(key, _)| *key),
            entries: repeated
                .into_iter()
                .chain(found.entries)
                .map(|(_, text)| text)
                .collect(),
            has_more,
        })
    }

    /// The first entry of a stretch that passes.
    pub(crate) async fn find(&self, stretch: LogRange, filter: &EntryFilter) -> Option<Arc<str>> {
        let found = self.scan(stretch, Direction::Ascending, 1, filter).await;
        found.entries.into_iter().map(|(_, text)| text).next()
    }

    /// The last `count` entries up to and with the one at `from`, in the request's order.
    async fn before(
        &self,
        request: &PageRequest,
        filter: &EntryFilter,
        from: Key,
        count: usize,
    ) -> Vec<(Key, Arc<str>)> {
        let backwards = match request.direction {
            Direction::Ascending => Direction::Descending,
            Direction::Descending => Direction::Ascending,
        };
        let found = self
            .scan(request.passed(from), backwards, count, filter)
            .await;
        found.entries.into_iter().rev().collect()
    }

    /// The first `count` entries of a stretch that pass, among as many as a request may look at.
    async fn scan(
        &self,
        mut rest: LogRange,
        direction: Direction,
        count: usize,
        filter: &EntryFilter,
    ) -> ScanMatch {
        let mut found = ScanMatch {
            entries: Vec::new(),
            n_scanned: 0,
            is_cut: false,
        };
        let world = self.simulator.world();
        while found.entries.len() < count {
            if found.n_scanned >= MAX_SCANNED {
                found.is_cut = true;
                break;
            }
            let piece = if filter.is_open() {
                PIECE.min(count - found.entries.len())
            } else {
                PIECE.min(MAX_SCANNED - found.n_scanned)
            };
            let keys = self
                .simulator
                .keys(self.log, rest, direction, self.now, piece);
            let Some(&last) = keys.last() else {
                break;
            };
            for key in &keys {
                if found.entries.len() == count {
                    break;
                }
                let text = self.log.text(world, *key);
                if filter.keeps(&text, key.lane != EntryOrigin::Published) {
                    found.entries.push((*key, text));
                }
            }
            found.n_scanned += keys.len();
            match direction {
                Direction::Ascending => rest.low = last.next(),
                Direction::Descending => rest.high = last,
            }
            tokio::task::yield_now().await;
        }
        found
    }
}
