//! Log to index: the first follower.
//!
//! It reads events after the last one it added, in order, and adds them. With nothing more to read it commits at once, unless
//! it did so just now: each commit leaves a segment to be merged, and one for each page would cost more than indexing does.
//! Its progress is the index's own, so a crash anywhere means that the same events come again.
//! Announcements of a new head only wake it: one that is missed is found at the next look.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::durable::Breaker;
use crate::event::AuditEvent;
use crate::index::{Hit, Index, IndexError, Snapshot, Unverified};
use crate::invariant;
use crate::position::Seq;
use crate::store::{Store, StoreError};
use crate::task::{self, Panicked};

/// The most events taken in one turn, and so the most that wait for a stop.
const MAX_EVENTS: usize = 2_000;

/// About the most bytes taken in one turn.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Under load, how long events wait until they are committed.
const COMMIT_EVERY: TimeDelta = TimeDelta::seconds(1);

/// After a commit the next one waits this many times as long as that took, but no longer than [`COMMIT_EVERY`]: small commits
/// follow each other closely, and all of them together take a sixth of the time.
const RESTS: i32 = 5;

/// How often the log is looked at without an announcement.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long a stop waits for events that are not in yet; the rest comes in after the next start.
const FINISH_WITHIN: TimeDelta = TimeDelta::seconds(5);

/// How long to wait after a failure; twice as long after each that follows it at once, up to [`LONGEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest wait after a failure. A full disk must not fill up with lines that tell of it.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// How many times in a row the index may fail before all of its files are verified: a damage that shows only when they are
/// merged would else come back for ever.
const SUSPICIOUS_FAILURES: u32 = 3;

/// After a file was verified in the background, the next one waits this many times as long as that took.
const VERIFY_RESTS: u32 = 20;

/// How long to wait before files are verified again that could not be read.
const VERIFY_RETRY: Duration = Duration::from_secs(60);

/// Why a turn failed.
#[derive(Debug, thiserror::Error)]
pub enum IndexingError {
    /// The index; it is reopened, or emptied and filled anew.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The log.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The turn panicked; the index is reopened.
    #[error("a turn of the index's follower panicked")]
    Panicked(#[from] Panicked),
}

impl IndexingError {
    /// Whether going back to the index's last commit, and trying each event by itself, may help.
    fn may_be_an_entry(&self) -> bool {
        matches!(self, Self::Panicked(_) | Self::Index(IndexError::Engine(_)))
    }
}

/// Opens the index in `data_dir` that follows `store`, and says why it must be filled anew, if it must.
///
/// # Errors
/// When it cannot be opened, or not even an empty one can be made there.
pub fn open_index(
    data_dir: &Path,
    store: &Store,
    breaker: Breaker,
) -> Result<(Index, Option<String>), IndexingError> {
    let index = Index::unopened(data_dir, store.log_id(), breaker)?;
    let why_anew = reopen(&index, store)?;
    Ok((index, why_anew))
}

/// What can be asked of the index in `data_dir` now, beside a service that may be writing it.
///
/// # Errors
/// [`IndexError::Unusable`] when there is no index of this log.
pub fn open_beside(data_dir: &Path, store: &Store) -> Result<Snapshot, IndexingError> {
    let snapshot = Index::open_beside(data_dir, store.log_id())?;
    match other_history(store, snapshot.seq(), snapshot.last_hash())? {
        None => Ok(snapshot),
        Some(why) => Err(IndexError::Unusable(why).into()),
    }
}

/// Opens an index at its last commit, and begins a new one when it is unusable or does not follow `store`; then says why.
///
/// # Errors
/// As [`open_index`].
pub fn reopen(index: &Index, store: &Store) -> Result<Option<String>, IndexingError> {
    let head = store.head();
    let why_anew = index.reopen(head)?;
    let last_hash = index.last_hash();
    match other_history(store, index.added(), last_hash.as_deref())? {
        None => Ok(why_anew),
        Some(why) => {
            index.clear(head)?;
            Ok(Some(format!("the index is {why}")))
        }
    }
}

/// Whether the log has another event where an index ends: then it is an older copy of that log, which has grown since in another
/// way.
fn other_history(
    store: &Store,
    seq: Seq,
    last_hash: Option<&str>,
) -> Result<Option<String>, StoreError> {
    let Some(indexed) = last_hash else {
        return Ok(None);
    };
    let stored = store.hash_at(seq)?;
    let is_other = stored.is_some_and(|stored| stored != indexed);
    Ok(is_other.then(|| {
        format!("of another state of this log: event {seq} is not the one that was indexed")
    }))
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turned {
    /// How many events were added.
    pub added: usize,
    /// Whether the log holds more.
    pub has_more: bool,
    /// If what was added is not committed yet: how long until it may be.
    pub commit_in: Option<TimeDelta>,
}

/// The follower. A clone shares the log and the index, and has a commit clock of its own.
#[derive(Clone)]
pub struct Indexing {
    store: Store,
    index: Index,
    clock: Clock,
    /// When the last commit was done, and how long it took.
    last_commit: (DateTime<Utc>, TimeDelta),
    /// Where the index was when it was last reopened by [`Indexing::steady_turn`].
    reopened_at: Option<Seq>,
    /// How many times in a row the index has failed.
    failures: u32,
}

impl Indexing {
    /// Follows `store` into `index`.
    #[must_use]
    pub fn new(store: Store, index: Index, clock: Clock) -> Self {
        let last_commit = (clock.steady(), TimeDelta::zero());
        Self {
            store,
            index,
            clock,
            last_commit,
            reopened_at: None,
            failures: 0,
        }
    }

    /// Follows until told to stop, then takes in and commits what came in last.
    ///
    /// # Errors
    /// At the end, when what came in last could not be committed.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), IndexingError> {
        let mut heads = self.store.heads();
        let verify = self.verify();
        tokio::pin!(verify);
        let mut is_verified = false;
        let mut next_retry = FIRST_RETRY;
        while !stop.is_cancelled() {
            // Registered before looking: what is announced meanwhile wakes the next look.
            heads.mark_unchanged();
            let result;
            (self, result) = self.turn_blocking().await;
            let nap = match result {
                Ok(Turned { has_more: true, .. }) => continue,
                Ok(Turned { commit_in, .. }) => {
                    next_retry = FIRST_RETRY;
                    self.failures = 0;
                    commit_in.map_or(LOOK_EVERY, |wait| wait.to_std().unwrap_or_default())
                }
                Err(error) => {
                    self.recover(error).await;
                    let retry = next_retry;
                    next_retry = (retry * 2).min(LONGEST_RETRY);
                    retry
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                Ok(()) = heads.changed() => {}
                damage = &mut verify, if !is_verified => {
                    is_verified = true;
                    if let Some(why) = damage {
                        self.start_over(&why).await;
                    }
                }
                () = tokio::time::sleep(nap) => {}
            }
        }
        task::caught(move || self.finish()).await?
    }

    /// A turn, where it may block.
    async fn turn_blocking(mut self) -> (Self, Result<Turned, IndexingError>) {
        task::blocking(move || {
            let result = self.turn();
            (self, result)
        })
        .await
    }

    /// Takes in what came in last, as far as there is time, and lets go of the index.
    fn finish(&mut self) -> Result<(), IndexingError> {
        let until = self.clock.steady() + FINISH_WITHIN;
        while self.turn()?.has_more && self.clock.steady() < until {}
        self.commit()?;
        Ok(self.index.close()?)
    }

    /// Takes in all that the log holds, and commits it.
    ///
    /// # Errors
    /// As [`Indexing::turn`].
    pub fn catch_up(&mut self) -> Result<(), IndexingError> {
        while self.steady_turn()?.has_more {}
        Ok(())
    }

    /// As [`Indexing::turn`], and commits when there is no more. When the index fails, goes back to its last commit and tries
    /// each event by itself, once: an entry that makes it fail is then indexed by what its row says.
    ///
    /// # Errors
    /// As [`Indexing::turn`].
    pub fn steady_turn(&mut self) -> Result<Turned, IndexingError> {
        loop {
            let turned = self.turn();
            let result = turned.and_then(|turned| match turned.has_more {
                true => Ok(turned),
                false => self.commit().map(|()| turned),
            });
            match result {
                Err(error)
                    if error.may_be_an_entry()
                        && self.reopened_at != Some(self.index.checkpoint()) =>
                {
                    warn!(error = %error, "The index failed; trying each event since its last commit by itself.");
                    self.reopened_at = Some(self.index.checkpoint());
                    reopen(&self.index, &self.store)?;
                }
                result => return result,
            }
        }
    }

    /// Takes in the next events, and commits if it is time.
    ///
    /// # Errors
    /// [`IndexingError`]; then [`Index::reopen`] leads back to the last commit.
    pub fn turn(&mut self) -> Result<Turned, IndexingError> {
        // Whatever a panic leaves half done is the index's, which is then reopened.
        task::catch(|| self.uncaught_turn())?
    }

    fn uncaught_turn(&mut self) -> Result<Turned, IndexingError> {
        self.index.check_open()?;
        let head = self.store.head();
        let is_suspicious = self.index.is_suspicious();
        let events = self
            .store
            .events_after(self.index.added(), MAX_EVENTS, MAX_BYTES)?;
        self.add(&events)?;
        let has_more = events.last().is_some_and(|last| last.seq < head);
        let mut commit_in = None;
        if self.is_ahead() {
            let (done, took) = self.last_commit;
            let rest = match has_more {
                true => COMMIT_EVERY,
                false => COMMIT_EVERY.min(took * RESTS),
            };
            let wait = done + rest - self.clock.steady();
            // What was tried by itself is not tried again when another event fails.
            if wait <= TimeDelta::zero() || is_suspicious {
                self.commit()?;
            } else {
                commit_in = Some(wait);
            }
        }
        Ok(Turned {
            added: events.len(),
            has_more,
            commit_in,
        })
    }

    /// Whether anything was added that is not committed.
    fn is_ahead(&self) -> bool {
        self.index.added() > self.index.checkpoint()
    }

    /// Commits what was added, if anything was.
    ///
    /// # Errors
    /// As [`Indexing::turn`].
    pub fn commit(&mut self) -> Result<(), IndexingError> {
        if !self.is_ahead() {
            return Ok(());
        }
        let begun = self.clock.steady();
        self.index.commit()?;
        let snapshot = self.index.snapshot();
        let (checkpoint, head) = (snapshot.seq(), self.store.head());
        invariant!(
            CheckpointWithinHead,
            checkpoint <= head,
            "the index has events up to {checkpoint}, the log up to {head}"
        );
        invariant!(
            DocumentsWithinCheckpoint,
            snapshot.documents() <= checkpoint.0,
            "the index has {} documents of {checkpoint} events",
            snapshot.documents()
        );
        let done = self.clock.steady();
        self.last_commit = (done, done - begun);
        debug!(
            index.checkpoint = self.index.checkpoint().0,
            log.head = self.store.head().0,
            "Committed the index."
        );
        Ok(())
    }

    /// Adds events, later revisions with what they replace.
    fn add(&self, events: &[AuditEvent]) -> Result<(), IndexingError> {
        let is_later = |event: &&AuditEvent| event.revision > 0;
        let later: Vec<Seq> = events
            .iter()
            .filter(is_later)
            .map(|event| event.seq)
            .collect();
        let mut replaced = HashMap::new();
        if !later.is_empty() {
            for (seq, older, at) in self.store.replaced(&later)? {
                let hit = Hit {
                    at_us: at.timestamp_micros(),
                    seq: older,
                };
                replaced.insert(seq, hit);
            }
        }
        Ok(self.index.add_revisions(events, &replaced)?)
    }

    /// Compares the index's files with their checksums, once, while questions are answered: the new ones at once, the others one
    /// by one with rests between. Gives what is damaged.
    fn verify(&self) -> impl Future<Output = Option<String>> + use<> {
        let index = self.index.clone();
        async move {
            loop {
                match verify_gently(&index).await {
                    Ok(damage) => return damage,
                    Err(Unverifiable::Panicked) => {
                        warn!(
                            "Verifying the index panicked; this is a bug. Its files are not verified until the next start."
                        );
                        return None;
                    }
                    Err(Unverifiable::Index(error)) => {
                        debug!(error = %error, "The index could not be verified; trying again.");
                        tokio::time::sleep(VERIFY_RETRY).await;
                    }
                }
            }
        }
    }

    /// Goes back to where the next turn can begin. The log is never given up: who writes it knows better whether it still can
    /// be used.
    async fn recover(&mut self, error: IndexingError) {
        match error {
            IndexingError::Store(error) => {
                warn!(error = %error, "The log could not be read for the index; trying again.");
            }
            error => {
                self.failures += 1;
                warn!(error = %error, "The index failed; going back to its last commit.");
                let (index, store) = (self.index.clone(), self.store.clone());
                match task::caught(move || reopen(&index, &store)).await {
                    Ok(Ok(None)) => self.verify_suspicious().await,
                    Ok(Ok(Some(why))) => self.tell_rebuild(&why),
                    Ok(Err(error)) => tell_stuck(&error),
                    Err(error) => tell_stuck(&error),
                }
            }
        }
    }

    /// After several failures in a row, all files are verified: a damaged one leads to a rebuild.
    async fn verify_suspicious(&self) {
        if self.failures < SUSPICIOUS_FAILURES {
            return;
        }
        let index = self.index.clone();
        if let Ok(Err(IndexError::Unusable(why))) = task::caught(move || index.verify()).await {
            self.start_over(&why).await;
        }
    }

    async fn start_over(&self, why: &str) {
        let (index, head) = (self.index.clone(), self.store.head());
        match task::caught(move || index.clear(head)).await {
            Ok(Ok(())) => self.tell_rebuild(why),
            Ok(Err(error)) => tell_stuck(&error),
            Err(error) => tell_stuck(&error),
        }
    }

    fn tell_rebuild(&self, why: &str) {
        info!(
            why,
            log.head = self.store.head().0,
            "Rebuilding the index from the log; answers are not whole until it is done."
        );
    }
}

/// Why the files of the index could not be compared with their checksums.
enum Unverifiable {
    Index(IndexError),
    Panicked,
}

impl From<IndexError> for Unverifiable {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

impl From<Panicked> for Unverifiable {
    fn from(_: Panicked) -> Self {
        Self::Panicked
    }
}

async fn verify_gently(index: &Index) -> Result<Option<String>, Unverifiable> {
    let of = index.clone();
    let Unverified { new, rest } = task::caught(move || of.unverified()).await??;
    let pieces = std::iter::once(new).chain(rest.into_iter().map(|file| vec![file]));
    for files in pieces {
        let of = index.clone();
        let begun = Instant::now();
        let damaged = task::caught(move || of.verify_files(&files)).await??;
        if !damaged.is_empty() {
            return Ok(Some(format!(
                "the index is damaged in {}",
                damaged.join(", ")
            )));
        }
        tokio::time::sleep(begun.elapsed() * VERIFY_RESTS).await;
    }
    Ok(None)
}

/// The next turn fails, and leads here again: the log goes on meanwhile, and answers come from what was indexed last.
fn tell_stuck(error: &dyn std::fmt::Display) {
    warn!(error = %error, "The index cannot be opened or begun anew; trying again.");
}
