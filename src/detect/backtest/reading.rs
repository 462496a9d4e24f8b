//! Reads the whole log once, in parts, by several threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::event::AuditEvent;
use crate::position::Seq;
use crate::rules::EntryFacts;
use crate::store::{Store, StoreError};
use crate::sync::lock;
use crate::task::{self, Panicked};

/// How many events a thread takes at once.
const PART_EVENTS: u64 = 2_000;

/// About the most bytes of events in memory for each thread.
const PART_BYTES: usize = 8 * 1024 * 1024;

/// The most threads.
const MAX_THREADS: usize = 32;

/// Why a backtest failed.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// The log.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A part of it panicked.
    #[error("reading a part of the log panicked")]
    Panicked(#[from] Panicked),
    /// More matches in one timespan than fit into memory.
    #[error(
        "more than {0} matches are in one timespan of the rule: match less, or name a shorter timespan"
    )]
    TooManyMatches(usize),
    /// More groups than fit into memory.
    #[error("more than {0} groups have alerts: name a shorter range with `--since` and `--before`")]
    TooManyGroups(usize),
}

/// How much a backtest has in memory at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BacktestLimits {
    /// Pairs of `first_seen`.
    pub pairs: usize,
    /// Matches of a correlation. One bucket may have four times as many.
    pub matches: usize,
}

impl Default for BacktestLimits {
    /// Some 250 MB of each.
    fn default() -> Self {
        Self {
            pairs: 4_000_000,
            matches: 1_000_000,
        }
    }
}

/// How far a backtest has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BacktestProgress {
    /// How many events were read, in all readings of the log.
    pub read: u64,
    /// How many there are to read, as far as is known now: it may grow.
    pub total: u64,
}

/// Readings of the log up to one place.
pub(super) struct LogReading<'a> {
    store: &'a Store,
    head: Seq,
    threads: usize,
    limits: BacktestLimits,
    progress: &'a (dyn Fn(BacktestProgress) + Sync),
    read: AtomicU64,
    total: AtomicU64,
    unreadable: AtomicU64,
}

impl<'a> LogReading<'a> {
    pub(super) fn new(
        store: &'a Store,
        head: Seq,
        threads: usize,
        limits: BacktestLimits,
        progress: &'a (dyn Fn(BacktestProgress) + Sync),
    ) -> Self {
        Self {
            store,
            head,
            limits,
            threads: threads.clamp(1, MAX_THREADS),
            progress,
            read: AtomicU64::new(0),
            total: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
        }
    }

    pub(super) fn head(&self) -> Seq {
        self.head
    }

    pub(super) fn limits(&self) -> BacktestLimits {
        self.limits
    }

    /// How many events could not be judged, in the last reading.
    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Reads the log: `find` looks at some events, on several threads, `take` gets what it found, in any order.
    pub(super) fn run<T: Send>(
        &self,
        find: impl Fn(&[ReadEvent]) -> T + Sync,
        take: impl FnMut(T) -> Result<(), BacktestError> + Send,
    ) -> Result<(), BacktestError> {
        self.total.fetch_add(self.head.0, Ordering::Relaxed);
        self.unreadable.store(0, Ordering::Relaxed);
        let next = AtomicU64::new(0);
        let has_failed = AtomicBool::new(false);
        let take = Mutex::new(take);
        let work = || {
            let done = task::catch(|| self.read_parts(&next, &has_failed, &find, &take));
            let done = done.unwrap_or_else(|panicked| Err(panicked.into()));
            if done.is_err() {
                has_failed.store(true, Ordering::Relaxed);
            }
            done
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
            let mut ended = threads.into_iter().map(thread::ScopedJoinHandle::join);
            // A panic was caught inside.
            ended.try_for_each(|end| end.unwrap_or(Err(Panicked.into())))
        })
    }

    /// Takes one part after the other until there is none.
    fn read_parts<T>(
        &self,
        next: &AtomicU64,
        has_failed: &AtomicBool,
        find: &impl Fn(&[ReadEvent]) -> T,
        take: &Mutex<impl FnMut(T) -> Result<(), BacktestError>>,
    ) -> Result<(), BacktestError> {
        while !has_failed.load(Ordering::Relaxed) {
            let mut from = Seq(next.fetch_add(PART_EVENTS, Ordering::Relaxed));
            let end = Seq(from.0.saturating_add(PART_EVENTS).min(self.head.0));
            if from >= end {
                return Ok(());
            }
            while from < end {
                let limit = usize::try_from(end.0 - from.0).unwrap_or(usize::MAX);
                let events = self.store.events_after(from, limit, PART_BYTES)?;
                let Some(last) = events.last().map(|event| event.seq) else {
                    break;
                };
                let read = self.read_events(events);
                let found = find(&read);
                lock(take)(found)?;
                self.advance(last.0 - from.0);
                from = last;
            }
        }
        Ok(())
    }

    /// What rules see of some events.
    fn read_events(&self, events: Vec<AuditEvent>) -> Vec<ReadEvent> {
        let all = events.len();
        let readable = events
            .into_iter()
            .filter(|event| !event.is_erased() && !event.is_damaged());
        let read: Vec<ReadEvent> = readable
            .filter_map(|event| {
                let facts = task::catch(|| EntryFacts::of(&event)).ok()?;
                Some(ReadEvent { event, facts })
            })
            .collect();
        let unreadable = (all - read.len()) as u64;
        self.unreadable.fetch_add(unreadable, Ordering::Relaxed);
        read
    }

    fn advance(&self, events: u64) {
        let read = self.read.fetch_add(events, Ordering::Relaxed) + events;
        (self.progress)(BacktestProgress {
            read,
            total: self.total.load(Ordering::Relaxed),
        });
    }
}

/// An event, and what rules see of it.
pub(super) struct ReadEvent {
    pub(super) event: AuditEvent,
    pub(super) facts: EntryFacts,
}

impl ReadEvent {
    pub(super) fn at_us(&self) -> i64 {
        self.event.ordered_at().timestamp_micros()
    }
}
