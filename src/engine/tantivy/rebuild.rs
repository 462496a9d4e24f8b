//! A new index begun, filled, and put in the place of the one before it; and room made for it on a full disk.

use std::sync::atomic::Ordering;

use tracing::warn;

use super::directory::{self, OpenWriter};
use super::folder::{self, Old};
use super::{Index, IndexError, close_writer, proof, steps};
use crate::position::Seq;
use crate::sync::lock;

impl Index {
    /// Begins a new index, to be filled up to `head` and beyond. The one before stays until that is done, but answers nothing.
    ///
    /// # Errors
    /// When not even an empty index can be made.
    pub fn clear(&self, head: Seq) -> Result<(), IndexError> {
        self.replace(head, Old::Usable)
    }

    /// The same when the one before is proven to be unusable: it is removed first.
    ///
    /// # Errors
    /// As [`Index::clear`].
    pub fn clear_unusable(&self, head: Seq) -> Result<(), IndexError> {
        self.replace(head, Old::Unusable)
    }

    fn replace(&self, head: Seq, old: Old) -> Result<(), IndexError> {
        let mut slot = lock(&self.0.writing);
        close_writer(&mut slot);
        *slot = Some(self.begin_anew(head, old)?);
        self.finish_rebuild(&mut slot)
    }

    /// Whether an error of the index says that its disk is full.
    #[must_use]
    pub fn is_disk_full(&self, error: &IndexError) -> bool {
        match error {
            // Of what happened on a thread of its own the engine says only that it failed.
            IndexError::Engine(tantivy::TantivyError::ErrorInThread(_)) => {
                folder::is_disk_full(&self.dir())
            }
            IndexError::Engine(error) => proof::is_no_space(error),
            IndexError::Io { source, .. } => proof::is_no_space_io(source),
            _ => false,
        }
    }

    /// Removes the index in whose place this one is to come, if it is proven to be unusable or not needed any more. Says whether
    /// it did. For a disk that is full.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_unusable(&self, head: Seq) -> Result<bool, IndexError> {
        if !self.0.is_beside.load(Ordering::SeqCst) {
            return Ok(false);
        }
        let current = self.0.folder.current();
        let is_unusable = match directory::open_beside(&current, &self.0.shape, self.0.log_id) {
            Ok(snapshot) => snapshot.seq() > head || self.0.is_stuck.load(Ordering::SeqCst),
            Err(error) => matches!(error, IndexError::Unusable(why) if why != "missing"),
        };
        if is_unusable {
            self.0.folder.empty_current()?;
        }
        Ok(is_unusable)
    }

    /// Gives up a rebuild beside a usable index, which [`Index::reopen`] then opens again. Says whether there was one. For a disk
    /// that is full.
    ///
    /// # Errors
    /// When what was built cannot be removed.
    pub fn give_up_rebuild(&self) -> Result<bool, IndexError> {
        let mut slot = lock(&self.0.writing);
        let (folder, shape) = (&self.0.folder, &self.0.shape);
        let is_building = self.0.is_beside.load(Ordering::SeqCst) && self.is_rebuilding();
        if !is_building || directory::open_beside(&folder.current(), shape, self.0.log_id).is_err()
        {
            return Ok(false);
        }
        close_writer(&mut slot);
        folder.remove_new()?;
        self.0.is_beside.store(false, Ordering::SeqCst);
        self.0.rebuild_to.store(0, Ordering::SeqCst);
        Ok(true)
    }

    /// An empty index, shown at once.
    pub(super) fn begin_anew(&self, head: Seq, old: Old) -> Result<OpenWriter, IndexError> {
        let dir = self.0.folder.make_room(old)?;
        let is_beside = dir != self.0.folder.current();
        let is_marked = !is_beside && head > Seq::ZERO;
        if is_marked {
            // First: an empty index without the mark would look like one that has caught up with an empty log.
            self.0.folder.mark_unfinished()?;
        }
        let make = || directory::make_anew(&dir, &self.0.shape, self.0.log_id);
        let mut writing = self.0.failpoints.run(steps::MAKE_EMPTY, make)?;
        self.0.is_marked.store(is_marked, Ordering::SeqCst);
        self.0.is_beside.store(is_beside, Ordering::SeqCst);
        self.0.is_stuck.store(false, Ordering::SeqCst);
        self.0.rebuild_to.store(head.0, Ordering::SeqCst);
        self.publish(&mut writing)?;
        Ok(writing)
    }

    /// Puts a rebuilt index in the place of the one before, once it holds what the log held when it was begun. Where that is not
    /// possible, it is used where it is.
    pub(super) fn finish_rebuild(&self, slot: &mut Option<OpenWriter>) -> Result<(), IndexError> {
        if self.is_rebuilding() {
            return Ok(());
        }
        if self.0.is_marked.swap(false, Ordering::SeqCst) {
            self.0.folder.mark_finished()?;
        }
        let is_stuck = self.0.is_stuck.load(Ordering::SeqCst);
        if !self.0.is_beside.load(Ordering::SeqCst) || is_stuck {
            return Ok(());
        }
        close_writer(slot);
        match self.0.folder.swap(&self.0.failpoints) {
            Ok(()) => self.0.is_beside.store(false, Ordering::SeqCst),
            Err(error @ IndexError::Io { .. }) => {
                self.0.is_stuck.store(true, Ordering::SeqCst);
                warn!(
                    error = %error,
                    old = %self.0.folder.current().display(),
                    new = %self.0.folder.new_one().display(),
                    "Moving the rebuilt index into place failed; it is used where it is. To finish this: \
                     stop orgtrail, delete or unmount the old directory, start again."
                );
            }
            Err(error) => return Err(error),
        }
        let newest = Seq(u64::MAX);
        let opened = directory::open_whole(&self.dir(), &self.0.shape, self.0.log_id, newest)?;
        self.show(opened.1);
        *slot = Some(opened.0);
        Ok(())
    }
}
