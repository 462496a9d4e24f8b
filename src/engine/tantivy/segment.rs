//! One segment, sorted newest first: finds the position of a time, and iterates matches from either end.

use std::cmp::Ordering;
use std::sync::Arc;

use tantivy::columnar::ColumnValues;
use tantivy::fastfield::AliveBitSet;
use tantivy::query::{Scorer, Weight};
use tantivy::{DocId, DocSet, SegmentReader, TERMINATED};

use super::schema::{AT, SEQ, micros_of, sort_key};
use crate::engine::error::EngineError;
use crate::engine::hit::{Hit, Order, Range};
use crate::position::Seq;

/// The columns of one segment, opened once for all questions.
pub(super) struct Segment {
    /// Sort keys, descending.
    at: Arc<dyn ColumnValues<u64>>,
    pub(super) seq: Arc<dyn ColumnValues<u64>>,
    /// How many documents it has, deleted ones included: how far their numbers go.
    pub(super) len: DocId,
    /// Which of them are not deleted; `None` when none is.
    alive: Option<AliveBitSet>,
}

/// A contiguous range of a segment's documents.
pub(super) type Docs = std::ops::Range<DocId>;

impl Segment {
    pub(super) fn open(reader: &SegmentReader) -> tantivy::Result<Self> {
        let columns = reader.fast_fields();
        Ok(Self {
            at: columns.u64(AT)?.values,
            seq: columns.u64(SEQ)?.values,
            len: reader.max_doc(),
            alive: reader.alive_bitset().cloned(),
        })
    }

    /// Whether none of its documents is deleted.
    pub(super) fn is_whole(&self) -> bool {
        self.alive.is_none()
    }

    /// Whether a document is not deleted. The engine's own walks pass over none.
    pub(super) fn is_alive(&self, doc: DocId) -> bool {
        self.alive.as_ref().is_none_or(|alive| alive.is_alive(doc))
    }

    pub(super) fn at_us(&self, doc: DocId) -> i64 {
        micros_of(self.at.get_val(doc))
    }

    pub(super) fn hit(&self, doc: DocId) -> Hit {
        Hit {
            at_us: self.at_us(doc),
            seq: Seq(self.seq.get_val(doc)),
        }
    }

    /// The documents of a stretch of time; where a page goes on after a hit, those before it left out, except for its equals
    /// in time.
    pub(super) fn docs(&self, range: Range, order: Order, after: Option<Hit>) -> Docs {
        let not_before = range
            .before_us
            .map_or(0, |before| self.first_below(sort_key(before)));
        let until = range
            .since_us
            .map_or(self.len, |since| self.first_below(sort_key(since)));
        let (mut start, mut end) = (not_before, until);
        match (order, after) {
            // The documents at the hit's own time begin where those later end.
            (Order::Descending, Some(after)) => {
                start = start.max(self.first_not_above(sort_key(after.at_us)))
            }
            (Order::Ascending, Some(after)) => {
                end = end.min(self.first_below(sort_key(after.at_us)))
            }
            (_, None) => {}
        }
        start..end.max(start)
    }

    /// The documents that are ordered at one moment.
    pub(super) fn docs_at(&self, at_us: i64) -> Docs {
        let key = sort_key(at_us);
        self.first_not_above(key)..self.first_below(key)
    }

    /// The first document whose key is less than `key`.
    pub(super) fn first_below(&self, key: u64) -> DocId {
        self.partition(|at| at >= key)
    }

    /// The first document whose key is at most `key`.
    fn first_not_above(&self, key: u64) -> DocId {
        self.partition(|at| at > key)
    }

    /// How many documents are at the front for which `is_front` holds.
    fn partition(&self, is_front: impl Fn(u64) -> bool) -> DocId {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            if is_front(self.at.get_val(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The time that the first answer among some documents can have at best.
    pub(super) fn best_of(&self, docs: &Docs, order: Order) -> Option<i64> {
        if docs.is_empty() {
            return None;
        }
        Some(self.at_us(match order {
            Order::Descending => docs.start,
            Order::Ascending => docs.end - 1,
        }))
    }
}

/// A segment's next answer, among those of other segments. Before its walk has begun, only the best it can be.
pub(super) struct SegmentCursor<'a> {
    pub(super) order: Order,
    pub(super) at_us: i64,
    pub(super) hit: Option<Hit>,
    pub(super) walk: Walk<'a>,
}

impl Ord for SegmentCursor<'_> {
    /// The next in the asked order is the greatest, since the heap gives the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        let ascending = self.at_us.cmp(&other.at_us);
        match self.order {
            Order::Descending => ascending,
            Order::Ascending => ascending.reverse(),
        }
    }
}

impl PartialOrd for SegmentCursor<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SegmentCursor<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for SegmentCursor<'_> {}

/// The matches of one segment, one after the other. Nothing is read before the first is asked for.
pub(super) struct Walk<'a> {
    segment: &'a Segment,
    reader: &'a SegmentReader,
    docs: Docs,
    way: ScanDirection,
}

enum ScanDirection {
    Forward(Option<Box<dyn Scorer>>),
    /// The matches of the last block read, the next to give last; and how long the next block is.
    Backward(Vec<DocId>, DocId),
}

/// How many documents the first block of a backward walk covers; each next one is twice as long.
const FIRST_BLOCK: DocId = 1_024;

impl<'a> Walk<'a> {
    pub(super) fn new(
        segment: &'a Segment,
        reader: &'a SegmentReader,
        docs: Docs,
        order: Order,
    ) -> Self {
        let way = match order {
            Order::Descending => ScanDirection::Forward(None),
            Order::Ascending => ScanDirection::Backward(Vec::new(), FIRST_BLOCK),
        };
        Self {
            segment,
            reader,
            docs,
            way,
        }
    }

    pub(super) fn next(&mut self, weight: &dyn Weight) -> Result<Option<Hit>, EngineError> {
        loop {
            let doc = self.next_doc(weight)?;
            if doc.is_none_or(|doc| self.segment.is_alive(doc)) {
                return Ok(doc.map(|doc| self.segment.hit(doc)));
            }
        }
    }

    /// The next match, deleted ones included.
    fn next_doc(&mut self, weight: &dyn Weight) -> Result<Option<DocId>, EngineError> {
        Ok(match &mut self.way {
            ScanDirection::Forward(Some(scorer)) => within(scorer.advance(), &self.docs),
            ScanDirection::Forward(scorer) => {
                let opened = scorer.insert(weight.scorer(self.reader, 1.0)?);
                within(from(opened.as_mut(), self.docs.start), &self.docs)
            }
            ScanDirection::Backward(block, len) => {
                while block.is_empty() && !self.docs.is_empty() {
                    let start = self.docs.end.saturating_sub(*len).max(self.docs.start);
                    *block = block_of(weight, self.reader, start..self.docs.end)?;
                    self.docs.end = start;
                    *len = len.saturating_mul(2);
                }
                block.pop()
            }
        })
    }
}

pub(super) fn from(scorer: &mut dyn Scorer, start: DocId) -> DocId {
    if scorer.doc() < start {
        scorer.seek(start)
    } else {
        scorer.doc()
    }
}

pub(super) fn within(doc: DocId, docs: &Docs) -> Option<DocId> {
    (doc != TERMINATED && doc < docs.end).then_some(doc)
}

fn block_of(
    weight: &dyn Weight,
    reader: &SegmentReader,
    docs: Docs,
) -> Result<Vec<DocId>, EngineError> {
    let mut scorer = weight.scorer(reader, 1.0)?;
    let mut block = Vec::new();
    let mut doc = from(scorer.as_mut(), docs.start);
    while let Some(found) = within(doc, &docs) {
        block.push(found);
        doc = scorer.advance();
    }
    Ok(block)
}
