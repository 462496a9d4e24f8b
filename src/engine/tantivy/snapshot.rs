//! The index as it was after one commit: its segments, opened for reading.

use std::sync::Arc;

use tantivy::index::SegmentId;
use tantivy::{IndexReader, Searcher};

use super::replacements::Replacements;
use super::schema::IndexSchema;
use super::segment::{Docs, Segment};
use super::value_hashes::AllValueHashes;
use super::word_maps::WordMaps;
use crate::clock::Deadline;
use crate::engine::ask::Caller;
use crate::engine::budget::Budget;
use crate::engine::error::EngineError;
use crate::engine::hit::{Order, Range};
use crate::engine::scope::Scope;
use crate::position::{LastEvent, Seq};

/// The index as it was after one commit. It stays the same while events arrive. A clone is another handle to the same one.
#[derive(Clone)]
pub struct Snapshot {
    pub(super) searcher: Searcher,
    pub(super) shape: Arc<IndexSchema>,
    pub(super) seq: Seq,
    pub(super) segments: Arc<[Segment]>,
    /// What a question may cost.
    pub(super) budget: Budget,
    /// What a question may find.
    pub(super) scope: Scope,
    /// The event at `seq`, where it was read beside a service.
    pub(super) last: Arc<LastEvent>,
    /// It holds no document of an event after `seq`. Beside a service the reader may be ahead.
    pub(super) is_exact: bool,
    /// A placeholder for an index that cannot be opened. It has no answers.
    pub(super) is_unavailable: bool,
    pub(super) replacements: Arc<Replacements>,
    pub(super) word_maps: Arc<WordMaps>,
    pub(super) value_hashes: Arc<AllValueHashes>,
}

impl Snapshot {
    pub(super) fn take(
        reader: &IndexReader,
        shape: &IndexSchema,
        seq: Seq,
    ) -> tantivy::Result<Self> {
        reader.reload()?;
        let searcher = reader.searcher();
        let segments = searcher
            .segment_readers()
            .iter()
            .map(Segment::open)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            searcher,
            shape: Arc::new(shape.clone()),
            seq,
            segments,
            budget: Budget::default(),
            scope: Scope::everything(),
            last: Arc::default(),
            is_exact: true,
            is_unavailable: false,
            replacements: Arc::default(),
            word_maps: Arc::default(),
            value_hashes: Arc::default(),
        })
    }

    /// The same snapshot for one question of `caller`.
    #[must_use]
    pub fn of_caller(&self, caller: &Caller) -> Self {
        Self {
            budget: caller.budget.clone(),
            scope: caller.scope.clone(),
            ..self.clone()
        }
    }

    /// What another question to this snapshot may cost, which is cut off at `deadline`.
    #[must_use]
    pub fn budget_until(&self, deadline: Option<Deadline>) -> Budget {
        self.budget.of_another(deadline)
    }

    pub(super) fn check_time(&self) -> Result<(), EngineError> {
        self.budget.check_time()
    }

    pub(super) fn shape(&self) -> &IndexSchema {
        &self.shape
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The last event that can be found, where the index was opened beside a service.
    #[must_use]
    pub fn last(&self) -> &LastEvent {
        &self.last
    }

    /// That there is an index to ask.
    pub(super) fn check_available(&self) -> Result<(), EngineError> {
        if self.is_unavailable {
            Err(EngineError::Unavailable)
        } else {
            Ok(())
        }
    }

    /// The last event that can be found, with all before it.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// How many documents it has.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.searcher.num_docs()
    }

    /// The documents of the events that are ordered into a stretch of time.
    pub(super) fn stretches(
        &self,
        since_us: Option<i64>,
        before_us: Option<i64>,
    ) -> impl Iterator<Item = (SegmentId, Docs)> + use<'_> {
        let range = Range {
            since_us,
            before_us,
        };
        let readers = self.searcher.segment_readers();
        self.segments
            .iter()
            .zip(readers)
            .map(move |(segment, reader)| {
                let docs = segment.docs(range, Order::Descending, None);
                (reader.segment_id(), docs)
            })
    }

    /// How the files of this snapshot's segments begin.
    pub(super) fn segment_names(&self) -> Vec<String> {
        self.searcher
            .segment_readers()
            .iter()
            .map(|reader| reader.segment_id().uuid_string())
            .collect()
    }

    /// The snapshot that follows this one: what is known of segments goes on, and so does the memory of questions.
    pub(super) fn followed_by(&self, next: Self) -> Self {
        let ids = next.searcher.segment_readers().iter();
        let ids = ids.map(tantivy::SegmentReader::segment_id).collect();
        self.replacements.retain(&ids);
        self.word_maps.retain(&ids);
        self.value_hashes.retain(&ids);
        if next.searcher.num_docs() < self.searcher.num_docs() {
            self.replacements.forget();
        }
        Self {
            replacements: Arc::clone(&self.replacements),
            word_maps: Arc::clone(&self.word_maps),
            value_hashes: Arc::clone(&self.value_hashes),
            budget: self.budget.clone(),
            ..next
        }
    }
}
