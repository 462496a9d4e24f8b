//! What is remembered of replaced events between questions: which document of one segment a document of another one replaces.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use tantivy::DocId;
use tantivy::index::SegmentId;

use super::bits::Bits;
use crate::position::Seq;
use crate::sync::lock;

/// The most replacements that are remembered: 32 MiB. With more, each question works them out for itself.
const MAX_REMEMBERED: usize = 4_000_000;

/// A document that is replaced, and the one of the other segment that replaces it.
pub(super) type Pair = (DocId, DocId);

/// What is remembered. It is shared by the snapshots of one index.
#[derive(Debug, Default)]
pub(super) struct Replacements(Mutex<KnownReplacements>);

#[derive(Debug, Default)]
pub(super) struct KnownReplacements {
    /// By the segment of the replaced documents and that of the replacing ones.
    pub(super) pairs: HashMap<(SegmentId, SegmentId), Arc<[Pair]>>,
    /// The replaced documents of a segment, as of the snapshot with this newest event.
    pub(super) latest: HashMap<SegmentId, (Seq, Arc<Bits>)>,
}

impl KnownReplacements {
    /// Whether so many more may be remembered.
    pub(super) fn has_room(&self, n_pairs: usize) -> bool {
        let known: usize = self.pairs.values().map(|pairs| pairs.len()).sum();
        known + n_pairs <= MAX_REMEMBERED
    }
}

impl Replacements {
    /// Forgets what is about segments that are no more.
    pub(super) fn retain(&self, segments: &HashSet<SegmentId>) {
        let mut remembered = self.lock();
        remembered
            .pairs
            .retain(|(of, by), _| segments.contains(of) && segments.contains(by));
        remembered.latest.retain(|of, _| segments.contains(of));
    }

    /// Forgets all: documents were deleted that may have replaced others.
    pub(super) fn forget(&self) {
        *self.lock() = KnownReplacements::default();
    }

    /// How many pairs of segments are remembered.
    #[cfg(test)]
    pub(super) fn n_pairs(&self) -> usize {
        self.lock().pairs.len()
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, KnownReplacements> {
        lock(&self.0)
    }
}
