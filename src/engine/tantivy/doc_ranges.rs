//! Documents given by their positions: a contiguous range of a sorted segment.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use tantivy::index::SegmentId;
use tantivy::query::{ConstScorer, EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::{DocId, DocSet, Score, SegmentReader, TERMINATED};

use super::explained::explained;

/// Documents by segment; a segment that is not named has none.
#[derive(Debug, Clone)]
pub(super) struct DocRanges(Arc<HashMap<SegmentId, Range<DocId>>>);

impl DocRanges {
    pub(super) fn new(docs: impl Iterator<Item = (SegmentId, Range<DocId>)>) -> Self {
        Self(Arc::new(docs.collect()))
    }
}

impl Query for DocRanges {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for DocRanges {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        Ok(match self.0.get(&reader.segment_id()) {
            None => Box::new(EmptyScorer),
            Some(docs) => Box::new(ConstScorer::new(Stretch(docs.clone()), boost)),
        })
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        explained(self.scorer(reader, 1.0)?, doc)
    }
}

/// All documents from the range's start up to its end.
struct Stretch(Range<DocId>);

impl DocSet for Stretch {
    fn advance(&mut self) -> DocId {
        if !self.0.is_empty() {
            self.0.start += 1;
        }
        self.doc()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if target > self.0.start {
            self.0.start = target.min(self.0.end);
        }
        self.doc()
    }

    fn doc(&self) -> DocId {
        if self.0.is_empty() {
            TERMINATED
        } else {
            self.0.start
        }
    }

    fn size_hint(&self) -> u32 {
        self.0.end.saturating_sub(self.0.start)
    }
}
