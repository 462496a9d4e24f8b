//! Log to index: adds the events of the log to the search index.
//!
//! With nothing more to read it commits at once, unless it did so just now: each commit leaves a segment to be merged, and one
//! for each page would cost more than indexing does. Its checkpoint is the index's own, saved in each commit.

mod verify;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::durable::Failpoints;
use crate::engine::tantivy::{Index, IndexError};
use crate::engine::{Hit, View};
use crate::event::AuditEvent;
use crate::follow::board::FollowerBoard;
use crate::follow::{self, Follower, Wake, other_history};
use crate::invariant;
use crate::position::Seq;
use crate::store::{Store, StoreError};
use crate::task::{self, Panicked};

/// The name of the follower that writes the index.
pub const NAME: &str = "index";

/// The most events taken in one turn, and so the most that wait for a stop.
const MAX_EVENTS: usize = 2_000;

/// About the most bytes taken in one turn.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The most repaired events whose documents are made again in one turn.
const MAX_REPAIRED: usize = 64;

/// The most erased events whose documents are deleted in one turn.
const MAX_ERASED: usize = 20_000;

/// How long it takes at most until it is looked again whether anything is left of deleted documents.
const PURGE_EVERY: TimeDelta = TimeDelta::seconds(1);

/// How many times it is looked after the last deletion before its segments are merged.
const QUIET_LOOKS: u32 = 3;

/// Under load, how long events wait until they are committed.
const COMMIT_EVERY: TimeDelta = TimeDelta::seconds(1);

/// The same while a command fills the index and no question waits: each commit leaves a segment that must be merged. What was not
/// committed is indexed again after a kill.
const BULK_COMMIT_EVERY: TimeDelta = TimeDelta::seconds(20);

/// Pause after a commit, as a multiple of its duration, at most `commit_every`. Commits then take at most a sixth of the time.
const RESTS: i32 = 5;

/// How often the log is looked at without an announcement.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How many times in a row the index may fail before all of its files are verified: a damage that shows only when they are
/// merged would else come back for ever.
const SUSPICIOUS_FAILURES: u32 = 3;

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
    failpoints: Failpoints,
) -> Result<(Index, Option<String>), IndexingError> {
    let index = Index::unopened(data_dir, store.log_id(), failpoints)?;
    let why_anew = reopen(&index, store)?;
    Ok((index, why_anew))
}

/// What can be asked of the index in `data_dir` now, beside a service that may be writing it.
///
/// # Errors
/// [`IndexError::Unusable`] when there is no index of this log.
pub fn open_beside(data_dir: &Path, store: &Store) -> Result<View, IndexingError> {
    let snapshot = Index::open_beside(data_dir, store.log_id())?;
    match other_history(store, snapshot.seq(), snapshot.last())? {
        None => Ok(Arc::new(snapshot).into()),
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
    match other_history(store, index.added(), &index.last())? {
        None => Ok(why_anew),
        Some(why) => {
            index.clear_unusable(head)?;
            Ok(Some(format!("the index is {why}")))
        }
    }
}

/// When the disk is full: removes an old index that is unusable, or gives up a rebuild beside a usable one. Otherwise the disk
/// would stay full, and the log could not be written.
fn make_room(index: &Index, store: &Store, error: &IndexError) -> Result<(), IndexError> {
    if !index.is_disk_full(error) {
        return Ok(());
    }
    if index.remove_unusable(store.head())? {
        warn!("The disk is full; the unusable index was removed.");
    } else if index.give_up_rebuild()? {
        warn!(
            "The disk is full; the rebuild of the index is given up, and the index before it is used."
        );
    }
    Ok(())
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turned {
    /// How many events were added.
    pub added: usize,
    /// Whether the log holds more.
    pub has_more: bool,
    /// If what was added is not committed yet, or something is left of deleted documents: how long until there is more to do.
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
    /// Under load, how long events wait until they are committed.
    commit_every: TimeDelta,
    /// Where the index was when it was last reopened by [`Indexing::steady_turn`].
    reopened_at: Option<Seq>,
    /// Whether something may be left of deleted documents in the index's files: after a start, a crash may have left it.
    is_purging: bool,
    /// How often it was looked since documents were last deleted.
    quiet_looks: u32,
    /// How many times in a row the index has failed.
    failures: u32,
    /// What the verification of its files found damaged, until the next turn.
    damage: Arc<Mutex<Option<String>>>,
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
            commit_every: COMMIT_EVERY,
            reopened_at: None,
            is_purging: true,
            quiet_looks: QUIET_LOOKS,
            failures: 0,
            damage: Arc::default(),
        }
    }

    /// As [`Indexing::new`], for a command that fills the index while no question waits.
    #[must_use]
    pub fn in_bulk(store: Store, index: Index, clock: Clock) -> Self {
        Self {
            commit_every: BULK_COMMIT_EVERY,
            ..Self::new(store, index, clock)
        }
    }

    /// Follows until told to stop, and verifies the index's files meanwhile.
    ///
    /// # Errors
    /// At the end, when what came in last could not be committed.
    pub async fn run(
        self,
        board: FollowerBoard,
        stop: CancellationToken,
    ) -> Result<(), IndexingError> {
        let wake = Wake::on_heads(&self.store, LOOK_EVERY);
        let (nudge, damage) = (wake.nudge(), Arc::clone(&self.damage));
        let (index, clock) = (self.index.clone(), self.clock.clone());
        let verifying = async move {
            if let Some(why) = verify::verify(index).await {
                *damage.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                nudge.notify_one();
            }
        };
        let following = follow::run(self, wake, board, clock, stop);
        tokio::pin!(following);
        tokio::select! {
            ended = &mut following => return ended,
            () = verifying => {}
        }
        following.await
    }

    /// Takes in all that the log holds, and commits it.
    ///
    /// # Errors
    /// As [`Indexing::index_once`].
    pub fn catch_up(&mut self) -> Result<(), IndexingError> {
        while self.steady_turn()?.has_more {}
        Ok(())
    }

    /// As [`Indexing::index_once`], and commits when there is no more. When the index fails, goes back to its last commit and tries
    /// each event by itself, once: an entry that makes it fail is then indexed by what its row says.
    ///
    /// # Errors
    /// As [`Indexing::index_once`].
    pub fn steady_turn(&mut self) -> Result<Turned, IndexingError> {
        loop {
            let turned =
                task::catch(|| self.index_once()).unwrap_or_else(|panicked| Err(panicked.into()));
            let result = turned.and_then(|turned| {
                if turned.has_more {
                    Ok(turned)
                } else {
                    self.commit().map(|()| turned)
                }
            });
            match result {
                Err(IndexingError::Index(error))
                    if self.index.is_disk_full(&error)
                        && self.index.remove_unusable(self.store.head())? =>
                {
                    warn!(error = %error, "The disk is full; the unusable index was removed.");
                    reopen(&self.index, &self.store)?;
                }
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
    pub fn index_once(&mut self) -> Result<Turned, IndexingError> {
        self.index.check_open()?;
        let has_repaired = self.renew_repaired()?;
        let has_erased = self.delete_erased()?;
        let head = self.store.head();
        let is_suspicious = self.index.is_suspicious();
        let events = self
            .store
            .events_after(self.index.added(), MAX_EVENTS, MAX_BYTES)?;
        self.add(&events)?;
        let has_more =
            has_repaired || has_erased || events.last().is_some_and(|last| last.seq < head);
        let mut commit_in = None;
        if self.is_ahead() {
            let (done, took) = self.last_commit;
            let rest = if has_more {
                self.commit_every
            } else {
                self.commit_every.min(took * RESTS)
            };
            let wait = done + rest - self.clock.steady();
            // What was tried by itself is not tried again when another event fails.
            if wait <= TimeDelta::zero() || is_suspicious {
                self.commit()?;
            } else {
                commit_in = Some(wait);
            }
        }
        if self.is_purging {
            // While more are erased, the same segments would be merged again and again.
            self.quiet_looks += 1;
            if self.quiet_looks > QUIET_LOOKS {
                self.is_purging = self.index.purge()?;
            }
            if self.is_purging {
                commit_in = Some(commit_in.map_or(PURGE_EVERY, |wait| wait.min(PURGE_EVERY)));
            }
        }
        Ok(Turned {
            added: events.len(),
            has_more,
            commit_in,
        })
    }

    /// Makes the documents again of events that were damaged when they were taken in and have been repaired since, and
    /// commits them. Says whether there are more. If we crash before the log knows, they are made again.
    fn renew_repaired(&mut self) -> Result<bool, IndexingError> {
        if self.is_ahead() {
            return Ok(false);
        }
        let repaired = self.store.repaired(self.index.checkpoint(), MAX_REPAIRED)?;
        if repaired.is_empty() {
            return Ok(false);
        }
        let events = self.store.events(&repaired, MAX_BYTES)?;
        self.index.renew(&events, &self.replaced_by(&events)?)?;
        self.commit_index()?;
        let renewed: Vec<Seq> = events.iter().map(|event| event.seq).collect();
        self.store.forget_repaired(&renewed)?;
        info!(events = renewed.len(), "Indexed repaired events again.");
        Ok(renewed.len() == MAX_REPAIRED || renewed.len() < repaired.len())
    }

    /// Deletes the documents of erased events, and commits that. Says whether there are more. If we crash before the log knows, they
    /// are deleted again.
    fn delete_erased(&mut self) -> Result<bool, IndexingError> {
        if self.is_ahead() {
            return Ok(false);
        }
        let erased = self
            .store
            .erased_documents(self.index.checkpoint(), MAX_ERASED)?;
        if erased.is_empty() {
            return Ok(false);
        }
        self.index.delete(&erased)?;
        self.commit_index()?;
        self.store.forget_erased_documents(&erased)?;
        self.is_purging = true;
        self.quiet_looks = 0;
        debug!(
            events = erased.len(),
            "Deleted the documents of erased events."
        );
        Ok(erased.len() == MAX_ERASED)
    }

    /// Whether anything was added that is not committed.
    fn is_ahead(&self) -> bool {
        self.index.added() > self.index.checkpoint()
    }

    /// Commits what was added, if anything was.
    ///
    /// # Errors
    /// As [`Indexing::index_once`].
    pub fn commit(&mut self) -> Result<(), IndexingError> {
        if !self.is_ahead() {
            return Ok(());
        }
        let begun = self.clock.steady();
        self.commit_index()?;
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
            head = self.store.head().0,
            "Committed the index."
        );
        Ok(())
    }

    /// Commits the index with what is known of its last event.
    fn commit_index(&self) -> Result<(), IndexingError> {
        let run = self.store.run_at(self.index.added())?;
        self.index.set_last_run(run);
        Ok(self.index.commit()?)
    }

    /// Adds events, later revisions with what they replace.
    fn add(&self, events: &[AuditEvent]) -> Result<(), IndexingError> {
        let replaced = self.replaced_by(events)?;
        Ok(self.index.add_revisions(events, &replaced)?)
    }

    /// What those of the events replace that are later revisions.
    fn replaced_by(&self, events: &[AuditEvent]) -> Result<HashMap<Seq, Hit>, IndexingError> {
        let is_later = |event: &&AuditEvent| event.revision > 0;
        let later: Vec<Seq> = events
            .iter()
            .filter(is_later)
            .map(|event| event.seq)
            .collect();
        let mut replaced = HashMap::new();
        if later.is_empty() {
            return Ok(replaced);
        }
        for (seq, older, at) in self.store.replaced(&later)? {
            let hit = Hit {
                at_us: at.timestamp_micros(),
                seq: older,
            };
            replaced.insert(seq, hit);
        }
        Ok(replaced)
    }

    /// What the verification found damaged, once.
    fn take_damage(&self) -> Option<String> {
        let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        damage.take()
    }

    /// After several failures in a row, all files are verified: a damaged one leads to a rebuild.
    fn verify_suspicious(&self) {
        if self.failures < SUSPICIOUS_FAILURES {
            return;
        }
        if let Err(IndexError::Unusable(why)) = self.index.verify() {
            self.start_over(&why);
        }
    }

    /// Reopens the index at its last commit; makes room first, and after a failure, when the disk is full.
    fn go_back(&self, error: &IndexingError) -> Result<Option<String>, IndexingError> {
        if let IndexingError::Index(error) = error {
            make_room(&self.index, &self.store, error)?;
        }
        let reopened = reopen(&self.index, &self.store);
        if let Err(IndexingError::Index(error)) = &reopened {
            make_room(&self.index, &self.store, error)?;
        }
        reopened
    }

    fn start_over(&self, why: &str) {
        match self.index.clear_unusable(self.store.head()) {
            Ok(()) => self.tell_rebuild(why),
            Err(error) => tell_stuck(&error),
        }
    }

    fn tell_rebuild(&self, why: &str) {
        info!(
            why,
            head = self.store.head().0,
            "Rebuilding the index from the log; answers are incomplete until it is done."
        );
    }
}

impl Follower for Indexing {
    type Error = IndexingError;

    fn name(&self) -> &'static str {
        NAME
    }

    fn checkpoint(&self) -> Seq {
        self.index.checkpoint()
    }

    fn turn_once(&mut self) -> Result<follow::Turned, IndexingError> {
        if let Some(why) = self.take_damage() {
            self.start_over(&why);
        }
        let turned = self.index_once()?;
        if !turned.has_more {
            self.failures = 0;
        }
        Ok(follow::Turned {
            has_more: turned.has_more,
            next_in: turned.commit_in,
        })
    }

    /// Goes back to the index's last commit. The log is never given up: its writer knows better whether it can still be used.
    fn recover(&mut self, error: IndexingError) {
        if matches!(error, IndexingError::Store(_)) {
            return;
        }
        self.failures += 1;
        match self.go_back(&error) {
            Ok(None) => self.verify_suspicious(),
            Ok(Some(why)) => self.tell_rebuild(&why),
            Err(error) => tell_stuck(&error),
        }
    }

    fn close(&mut self) -> Result<(), IndexingError> {
        self.commit()?;
        Ok(self.index.close()?)
    }
}

/// The next turn fails, and leads here again: the log goes on meanwhile, and answers come from what was indexed last.
fn tell_stuck(error: &dyn std::fmt::Display) {
    warn!(error = %error, "The index cannot be opened or created; retrying.");
}
