//! The search index: a Tantivy directory that can be made again from the log at any time.
//!
//! The only user of Tantivy. What it has taken in is said by its own commits: each carries the log's id and the place of
//! the last event in it, so that effect and progress are saved together. Lost, damaged, ahead of the log, or built by
//! another schema, a new one is built, and the follower feeds it from the first event with the same code. An index that cannot be opened
//! for another reason stays as it is, and is tried again.
//!
//! Segments are sorted newest first, so the newest answers are read from the front and nothing else is touched.
//! It does not depend on the sources of events or on the HTTP parameters.

mod any_path;
mod arrivals;
mod batch;
mod bit_set_builder;
mod bits;
mod bounded;
mod dictionary_walk;
mod directory;
mod doc_ranges;
mod document;
mod erasure;
mod error;
mod explained;
mod facets;
mod faults;
mod folder;
mod having;
mod labels;
mod lower;
mod matches;
mod merged;
mod not_indexed;
mod one_of;
mod parts;
mod paths;
mod per_segment;
mod phrase;
mod proof;
mod rebuild;
mod renewal;
mod replaced;
mod replacements;
mod runs;
mod scan;
mod schema;
mod segment;
mod sets;
mod sizes;
mod snapshot;
mod spelling;
pub mod steps;
mod terms;
mod tokenizer;
mod value_hashes;
mod value_words;
mod verify;
mod word_docs;
mod word_map;
mod word_map_builder;
mod word_maps;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::watch;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::disk;
use crate::durable::Failpoints;
use crate::event::AuditEvent;
use crate::position::{LastEvent, Seq};
use crate::sync::lock;

use super::hit::Hit;
use super::recent::Recent;
use super::values::{entry_of, entry_of_row};

use self::batch::DocumentBatch;
use self::directory::OpenWriter;
use self::document::Paths;
pub use self::error::IndexError;
pub use self::faults::{Faults, Work};
pub use self::folder::DIR_NAME;
use self::folder::{Folder, Old};
pub use self::matches::IndexMatches;
use self::schema::IndexSchema;
pub use self::snapshot::Snapshot;
pub use self::verify::{Unverified, verify_beside};

/// The prefixes of the names of Tantivy's threads. The engine handles a panic in one of them: a merge ends, or the index is reopened.
pub const ENGINE_THREADS: &[&str] = &["merge_thread_", "segment_updater", "thrd-tantivy-index"];

/// The index. A clone is another handle to the same one and costs a reference count.
#[derive(Clone)]
pub struct Index(Arc<Inner>);

struct Inner {
    folder: Folder,
    log_id: Uuid,
    shape: IndexSchema,
    failpoints: Failpoints,
    writing: Mutex<Option<OpenWriter>>,
    /// The newest events, for tails.
    recent: Recent,
    /// The snapshot that questions read; replaced after each commit.
    snapshot: RwLock<Arc<Snapshot>>,
    /// The last event that can be found, announced after each commit.
    found: watch::Sender<Seq>,
    /// The log's head when a rebuild began. Until the rebuild reaches it, answers are incomplete.
    rebuild_to: AtomicU64,
    /// Whether it is being built in a directory beside the one that it will replace.
    is_beside: AtomicBool,
    /// Whether it is marked as unfinished, in the directory of the one that it replaces.
    is_marked: AtomicBool,
    /// Whether the new index could not be moved to its final place. It is used where it is until the next start.
    is_stuck: AtomicBool,
}

impl Index {
    /// The version of the library, as the manifest asks for it.
    pub(super) const VERSION: &str = "0.27";

    /// Opens the index in the data directory `data_dir` for the log `log_id`, whose newest event is at `head`, and says
    /// why it must be filled anew, if it must.
    ///
    /// # Errors
    /// When it cannot be opened, or not even an empty one can be made there.
    pub fn open(
        data_dir: &Path,
        log_id: Uuid,
        head: Seq,
        failpoints: Failpoints,
    ) -> Result<(Self, Option<String>), IndexError> {
        Self::open_with_faults(data_dir, log_id, head, failpoints, Faults::default())
    }

    /// As [`Index::open`], with the work on entries that a test makes fail.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn open_with_faults(
        data_dir: &Path,
        log_id: Uuid,
        head: Seq,
        failpoints: Failpoints,
        faults: Faults,
    ) -> Result<(Self, Option<String>), IndexError> {
        let index = Self::unopened_with_faults(data_dir, log_id, failpoints, faults)?;
        let why_anew = index.reopen(head)?;
        Ok((index, why_anew))
    }

    /// An index that [`Index::reopen`] opens. Until then it answers no question.
    ///
    /// # Errors
    /// [`IndexError::Engine`], which nothing is known to cause.
    pub fn unopened(
        data_dir: &Path,
        log_id: Uuid,
        failpoints: Failpoints,
    ) -> Result<Self, IndexError> {
        Self::unopened_with_faults(data_dir, log_id, failpoints, Faults::default())
    }

    fn unopened_with_faults(
        data_dir: &Path,
        log_id: Uuid,
        failpoints: Failpoints,
        faults: Faults,
    ) -> Result<Self, IndexError> {
        let mut shape = IndexSchema::new();
        shape.faults = faults;
        let snapshot = directory::unavailable(&shape)?;
        Ok(Self(Arc::new(Inner {
            folder: Folder::new(data_dir),
            log_id,
            shape,
            failpoints,
            writing: Mutex::default(),
            recent: Recent::default(),
            found: watch::Sender::new(snapshot.seq()),
            snapshot: RwLock::new(Arc::new(snapshot)),
            rebuild_to: AtomicU64::new(0),
            is_beside: AtomicBool::new(false),
            is_marked: AtomicBool::new(false),
            is_stuck: AtomicBool::new(false),
        })))
    }

    /// What can be asked now, beside a service that may be writing the index.
    ///
    /// # Errors
    /// [`IndexError::Unusable`] when there is no index of this log.
    pub fn open_beside(data_dir: &Path, log_id: Uuid) -> Result<Snapshot, IndexError> {
        Ok(directory::find_beside(data_dir, log_id)?.1)
    }

    /// Whether questions can be asked: it was opened once.
    #[must_use]
    pub fn is_available(&self) -> bool {
        !self.snapshot().is_unavailable
    }

    /// The last event added.
    #[must_use]
    pub fn last(&self) -> LastEvent {
        let writing = lock(&self.0.writing);
        let last = writing.as_ref().map(|writing| writing.last.clone());
        last.unwrap_or_default()
    }

    /// Takes in which run of the program added the last event to the log, to be saved with the next commit.
    pub fn set_last_run(&self, run: Option<String>) {
        if let Some(writing) = &mut *lock(&self.0.writing) {
            writing.last.run = run;
        }
    }

    /// The last event that can be found.
    #[must_use]
    pub fn checkpoint(&self) -> Seq {
        self.snapshot().seq()
    }

    /// Whether the index is being filled anew and has not caught up with what the log held then.
    #[must_use]
    pub fn is_rebuilding(&self) -> bool {
        self.checkpoint().0 < self.0.rebuild_to.load(Ordering::SeqCst)
    }

    /// The bytes of its files, those of one that is being built beside it included.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        let folder = &self.0.folder;
        disk::bytes_in(&folder.current()) + disk::bytes_in(&folder.new_one())
    }

    /// What can be asked now. It stays the same while events arrive.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(
            &self
                .0
                .snapshot
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Announces the last event that can be found, after each commit. A missed announcement is found by looking again.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<Seq> {
        self.0.found.subscribe()
    }

    /// That it is open for writing.
    ///
    /// # Errors
    /// [`IndexError::Unavailable`] when it is not: [`Index::reopen`] may open it.
    pub fn check_open(&self) -> Result<(), IndexError> {
        open(&mut lock(&self.0.writing)).map(|_| ())
    }

    /// The newest events, for tails.
    #[must_use]
    pub fn recent(&self) -> &Recent {
        &self.0.recent
    }

    /// The last event added, committed or not. The next event to add comes after it.
    #[must_use]
    pub fn added(&self) -> Seq {
        lock(&self.0.writing)
            .as_ref()
            .map_or(Seq::ZERO, |writing| writing.added)
    }

    /// Whether one of the next events may have made the index fail before. Each is then added and committed alone.
    #[must_use]
    pub fn is_suspicious(&self) -> bool {
        lock(&self.0.writing)
            .as_ref()
            .is_some_and(|writing| writing.added < writing.suspected_to)
    }

    /// Adds events, the next ones in the log's order. One whose body was erased has no document. The others are found after [`Index::commit`].
    ///
    /// # Errors
    /// [`IndexError::Engine`]: what was added since the last commit is then lost.
    pub fn add(&self, events: &[AuditEvent]) -> Result<(), IndexError> {
        self.add_revisions(events, &HashMap::new())
    }

    /// As [`Index::add`]; `replaced` has, for each event that is a later revision, the one before it.
    ///
    /// # Errors
    /// As [`Index::add`].
    pub fn add_revisions(
        &self,
        events: &[AuditEvent],
        replaced: &HashMap<Seq, Hit>,
    ) -> Result<(), IndexError> {
        let mut writing = lock(&self.0.writing);
        let writing = open(&mut writing)?;
        let mut batch = DocumentBatch::default();
        for event in events {
            if !event.is_erased() {
                let replaced = replaced.get(&event.seq).copied();
                let is_whole = self.add_document(event, replaced, writing, &mut batch);
                let hit = Hit {
                    at_us: event.ordered_at().timestamp_micros(),
                    seq: event.seq,
                };
                self.0.recent.take(hit, &event.source, || {
                    if is_whole {
                        entry_of(event)
                    } else {
                        entry_of_row(event)
                    }
                });
                if batch.is_full() {
                    writing.take_in(&mut batch)?;
                }
            }
            writing.added = event.seq;
            writing.last = LastEvent {
                sha256: event.sha256.clone(),
                run: None,
            };
        }
        writing.take_in(&mut batch)
    }

    /// Adds the document of an event to `batch`; that of its row, when its entry makes none that the engine can take in. Says
    /// whether it is of the whole entry.
    fn add_document(
        &self,
        event: &AuditEvent,
        replaced: Option<Hit>,
        writing: &mut OpenWriter,
        batch: &mut DocumentBatch,
    ) -> bool {
        let shape = &self.0.shape;
        let paths = &mut writing.paths;
        let before = batch.len();
        // What a panic leaves half done is the document, and the paths, which are made again.
        let make = AssertUnwindSafe(|| shape.add_document(event, replaced, paths, batch));
        let is_made = matches!(catch_unwind(make), Ok(Ok(())));
        let can_take = || {
            let document = batch.last_alone();
            document.is_some_and(|document| directory::can_take(shape, &document))
        };
        if is_made && (event.seq > writing.suspected_to || can_take()) {
            return true;
        }
        batch.truncate(before);
        warn!(
            event.seq = event.seq.0,
            "Making the document of an event failed; the event is indexed by its source, id and time only."
        );
        writing.paths = Paths::default();
        shape.add_document_of_row(event, replaced, batch);
        false
    }

    /// Makes everything added durable and searchable.
    ///
    /// # Errors
    /// As [`Index::add`].
    pub fn commit(&self) -> Result<(), IndexError> {
        let mut slot = lock(&self.0.writing);
        let writing = open(&mut slot)?;
        let said = directory::said(self.0.log_id, writing)?;
        self.0
            .failpoints
            .run(steps::COMMIT, || -> Result<(), IndexError> {
                let mut commit = writing.writer.prepare_commit()?;
                commit.set_payload(&said);
                // At this point, if we crash, the index is as it was after the last commit, and the same events come again.
                commit.commit()?;
                Ok(())
            })?;
        self.publish(writing)?;
        self.finish_rebuild(&mut slot)
    }

    /// Opens it at its last commit, after an error as well. Begins a new one when that is proven to be unusable, and says why,
    /// unless the log is empty too.
    ///
    /// # Errors
    /// When it cannot be opened now, or not even an empty index can be made.
    pub fn reopen(&self, head: Seq) -> Result<Option<String>, IndexError> {
        let mut slot = lock(&self.0.writing);
        let suspected_to = slot.as_ref().map_or(Seq::ZERO, |writing| {
            writing.added.next().max(writing.suspected_to)
        });
        close_writer(&mut slot);
        let why_anew = match self.open_last(head) {
            Ok((writing, snapshot)) => {
                // An earlier process began it.
                let is_new = self.0.is_beside.load(Ordering::SeqCst)
                    || self.0.is_marked.load(Ordering::SeqCst);
                let is_unfinished = is_new
                    && self.0.rebuild_to.load(Ordering::SeqCst) == 0
                    && snapshot.seq() < head;
                self.show(snapshot);
                *slot = Some(writing);
                if is_unfinished {
                    self.0.rebuild_to.store(head.0, Ordering::SeqCst);
                }
                is_unfinished.then(|| "the last rebuild was interrupted".to_owned())
            }
            Err(error @ IndexError::Unusable(_)) => {
                *slot = Some(self.begin_anew(head, Old::Unusable)?);
                (head > Seq::ZERO).then(|| error.to_string())
            }
            Err(error) => return Err(error),
        };
        if let Some(writing) = &mut *slot {
            writing.suspected_to = suspected_to;
        }
        self.finish_rebuild(&mut slot)?;
        Ok(why_anew)
    }

    /// Reads every file of the index and compares it with its checksum.
    ///
    /// # Errors
    /// [`IndexError::Unusable`] with the files that are not what was written; another one when that is not known.
    pub fn verify(&self) -> Result<(), IndexError> {
        let Unverified { new, rest } = self.unverified()?;
        verify::whole(self.verify_files(&new)?, self.verify_files(&rest)?)
    }

    /// The files of the index: those written since it was last closed in order, and the rest.
    ///
    /// # Errors
    /// When its directory cannot be read.
    pub fn unverified(&self) -> Result<Unverified, IndexError> {
        let dir = self.dir();
        let index = directory::open_existing(&dir, &self.0.shape)?;
        Ok(Unverified::of(&index, &dir, &self.snapshot()))
    }

    /// Compares some files with their checksums; those are returned that are not what was written. A file that a merge has
    /// removed meanwhile is no part of the index any more.
    ///
    /// # Errors
    /// When one cannot be read for a reason that may pass.
    pub fn verify_files(&self, files: &[PathBuf]) -> Result<Vec<String>, IndexError> {
        // On an index of its own: the checksums are then read without holding up the writer.
        let index = directory::open_existing(&self.dir(), &self.0.shape)?;
        verify::damaged_of(&index, files)
    }

    /// Waits for running merges, and closes the directory.
    ///
    /// # Errors
    /// When a merge failed; nothing that was committed is lost.
    pub fn close(&self) -> Result<(), IndexError> {
        if let Some(mut writing) = lock(&self.0.writing).take() {
            self.purge_all(&mut writing)?;
            writing.writer.wait_merging_threads()?;
            verify::save_closed(&self.dir(), &self.0.shape);
        }
        Ok(())
    }

    /// The directory in use.
    fn dir(&self) -> PathBuf {
        if self.0.is_beside.load(Ordering::SeqCst) {
            self.0.folder.new_one()
        } else {
            self.0.folder.current()
        }
    }

    /// The index at its last commit: the one that is being built, if there is one.
    fn open_last(&self, head: Seq) -> Result<(OpenWriter, Snapshot), IndexError> {
        let Inner {
            folder,
            shape,
            log_id,
            ..
        } = &*self.0;
        folder.recover()?;
        let is_beside = folder.is_building_beside()?;
        self.0.is_beside.store(is_beside, Ordering::SeqCst);
        if is_beside {
            match directory::open_whole(&folder.new_one(), shape, *log_id, head) {
                Err(IndexError::Unusable(_)) => folder.remove_new()?,
                opened => return opened,
            }
            self.0.is_beside.store(false, Ordering::SeqCst);
        }
        let is_marked = folder.is_unfinished()?;
        self.0.is_marked.store(is_marked, Ordering::SeqCst);
        directory::open_whole(&folder.current(), shape, *log_id, head)
    }

    fn publish(&self, writing: &mut OpenWriter) -> Result<(), IndexError> {
        let snapshot = Snapshot::take(&writing.reader, &self.0.shape, writing.added)?;
        self.show(snapshot);
        Ok(())
    }

    fn show(&self, snapshot: Snapshot) {
        let seq = snapshot.seq();
        let mut shown = self
            .0
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *shown = Arc::new(shown.followed_by(snapshot));
        drop(shown);
        self.0.found.send_replace(seq);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        close_writer(&mut lock(&self.writing));
    }
}

/// Closes the writer, so that the directory can be opened again. It waits for running merges: they delete files, which would
/// break a reader that opens the directory next. A failed merge loses nothing that was committed.
fn close_writer(slot: &mut Option<OpenWriter>) {
    if let Some(Err(error)) = slot
        .take()
        .map(|writing| writing.writer.wait_merging_threads())
    {
        debug!(error = %error, "A merge of the index failed.");
    }
}

fn open(writing: &mut Option<OpenWriter>) -> Result<&mut OpenWriter, IndexError> {
    writing.as_mut().ok_or(IndexError::Unavailable)
}

#[cfg(test)]
mod tests;
