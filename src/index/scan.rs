//! Reading answers off the index, in the order of time.
//!
//! Segments are sorted newest first, so a question is answered by walking each segment's matches from one end and merging
//! the walks: the newest fifty of a million cost about fifty steps. There is no scoring and no heap over all matches.
//! The other order walks backwards, block by block.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tantivy::columnar::ColumnValues;
use tantivy::query::{EnableScoring, Scorer, Weight};
use tantivy::{DocId, DocSet, IndexReader, Searcher, SegmentReader, TERMINATED};

use super::schema::{AT, SEQ, Shape, micros_of, sort_key};
use super::{IndexError, lower};
use crate::position::Seq;
use crate::query::Query;

/// One answer: where it stands in time and in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// What it is ordered by, in microseconds since 1970.
    pub at_us: i64,
    /// Its place in the log.
    pub seq: Seq,
}

/// The order of answers: by time, then by place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Newest first.
    Descending,
    /// Oldest first.
    Ascending,
}

impl Order {
    fn compare(self, a: Hit, b: Hit) -> Ordering {
        let ascending = (a.at_us, a.seq).cmp(&(b.at_us, b.seq));
        match self {
            Self::Ascending => ascending,
            Self::Descending => ascending.reverse(),
        }
    }
}

/// A stretch of time, `[since, before)`, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Range {
    /// The first moment in it.
    pub since_us: Option<i64>,
    /// The first moment after it.
    pub before_us: Option<i64>,
}

/// The index as it was after one commit. It stays the same while events arrive.
pub struct Snapshot {
    pub(super) searcher: Searcher,
    pub(super) shape: Shape,
    pub(super) seq: Seq,
    pub(super) segments: Vec<Segment>,
}

/// The columns of one segment, opened once for all questions.
pub(super) struct Segment {
    /// Sort keys, descending.
    at: Arc<dyn ColumnValues<u64>>,
    pub(super) seq: Arc<dyn ColumnValues<u64>>,
    pub(super) len: DocId,
}

impl Snapshot {
    pub(super) fn take(reader: &IndexReader, shape: &Shape, seq: Seq) -> Result<Self, IndexError> {
        reader.reload()?;
        let searcher = reader.searcher();
        let segments = searcher
            .segment_readers()
            .iter()
            .map(Segment::open)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            searcher,
            shape: shape.clone(),
            seq,
            segments,
        })
    }

    /// The last event that can be found, with all before it.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The first `limit` answers after `after`, of the events up to `upto`, in order.
    ///
    /// # Errors
    /// [`IndexError::Engine`] when a file cannot be read.
    pub fn hits(
        &self,
        query: &Query,
        range: Range,
        order: Order,
        after: Option<Hit>,
        upto: Seq,
        limit: usize,
    ) -> Result<Vec<Hit>, IndexError> {
        let weight = self.weight(query)?;
        let upto = upto.min(self.seq);
        let mut heap: BinaryHeap<Head<'_>> = BinaryHeap::new();
        for (segment, reader) in self.segments.iter().zip(self.searcher.segment_readers()) {
            let docs = segment.docs(range, order, after);
            let Some(best) = segment.best_of(&docs, order) else {
                continue;
            };
            let walk = Walk::new(segment, reader, docs, order);
            heap.push(Head {
                order,
                at_us: best,
                hit: None,
                walk,
            });
        }
        let mut found: Vec<Hit> = Vec::new();
        while let Some(mut head) = heap.pop() {
            // Whatever follows is of another time, so equal times are all here, and can be put in order below.
            if found.len() >= limit && found.last().is_some_and(|last| last.at_us != head.at_us) {
                break;
            }
            found.extend(head.hit);
            head.hit = loop {
                let Some(hit) = head.walk.next(weight.as_ref())? else {
                    break None;
                };
                let is_after =
                    after.is_none_or(|after| order.compare(hit, after) == Ordering::Greater);
                if is_after && hit.seq <= upto {
                    break Some(hit);
                }
            };
            if let Some(hit) = head.hit {
                head.at_us = hit.at_us;
                heap.push(head);
            }
        }
        found.sort_unstable_by(|a, b| order.compare(*a, *b));
        found.truncate(limit);
        Ok(found)
    }

    /// How many events match, exactly.
    ///
    /// # Errors
    /// As [`Snapshot::hits`].
    pub fn count(&self, query: &Query, range: Range) -> Result<u64, IndexError> {
        let weight = self.weight(query)?;
        // Beside a service the reader may hold more than the snapshot's events.
        let is_exact = self.searcher.num_docs() == self.seq.0;
        let mut count = 0;
        for (segment, reader) in self.segments.iter().zip(self.searcher.segment_readers()) {
            let docs = segment.docs(range, Order::Descending, None);
            count += match query {
                _ if docs.is_empty() => 0,
                Query::All if is_exact => docs.len() as u64,
                _ if is_exact && docs.len() == segment.len as usize => {
                    u64::from(weight.count(reader)?)
                }
                _ => {
                    let mut walk = Walk::new(segment, reader, docs, Order::Descending);
                    let mut counted = 0;
                    while let Some(hit) = walk.next(weight.as_ref())? {
                        counted += u64::from(hit.seq <= self.seq);
                    }
                    counted
                }
            };
        }
        Ok(count)
    }

    /// Whether any entry has a value at a path that is not in the table of fields.
    ///
    /// # Errors
    /// As [`Snapshot::hits`].
    pub fn knows_path(&self, path: &str) -> Result<bool, IndexError> {
        let (field, prefix) = self.shape.path_prefix(path);
        for reader in self.searcher.segment_readers() {
            let inverted = reader.inverted_index(field)?;
            let mut terms = inverted
                .terms()
                .range()
                .ge(&prefix)
                .into_stream()
                .map_err(tantivy::TantivyError::from)?;
            if terms.advance() && terms.key().starts_with(prefix.as_bytes()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How the files of this snapshot's segments begin.
    pub(super) fn segment_names(&self) -> Vec<String> {
        self.searcher
            .segment_readers()
            .iter()
            .map(|reader| reader.segment_id().uuid_string())
            .collect()
    }

    pub(super) fn weight(&self, query: &Query) -> Result<Box<dyn Weight>, IndexError> {
        let lowered = lower::lower(query, &self.shape);
        Ok(lowered.weight(EnableScoring::disabled_from_searcher(&self.searcher))?)
    }
}

/// Some documents of a segment that stand side by side.
pub(super) type Docs = std::ops::Range<DocId>;

impl Segment {
    fn open(reader: &SegmentReader) -> Result<Self, IndexError> {
        let columns = reader.fast_fields();
        Ok(Self {
            at: columns.u64(AT)?.values,
            seq: columns.u64(SEQ)?.values,
            len: reader.max_doc(),
        })
    }

    pub(super) fn at_us(&self, doc: DocId) -> i64 {
        micros_of(self.at.get_val(doc))
    }

    fn hit(&self, doc: DocId) -> Hit {
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
    fn best_of(&self, docs: &Docs, order: Order) -> Option<i64> {
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
struct Head<'a> {
    order: Order,
    at_us: i64,
    hit: Option<Hit>,
    walk: Walk<'a>,
}

impl Ord for Head<'_> {
    /// The next in the asked order is the greatest, since the heap gives the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        let ascending = self.at_us.cmp(&other.at_us);
        match self.order {
            Order::Descending => ascending,
            Order::Ascending => ascending.reverse(),
        }
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head<'_> {}

/// The matches of one segment, one after the other. Nothing is read before the first is asked for.
struct Walk<'a> {
    segment: &'a Segment,
    reader: &'a SegmentReader,
    docs: Docs,
    way: Way,
}

enum Way {
    Forward(Option<Box<dyn Scorer>>),
    /// The matches of the last block read, the next to give last; and how long the next block is.
    Backward(Vec<DocId>, DocId),
}

/// How many documents the first block of a backward walk covers; each next one is twice as long.
const FIRST_BLOCK: DocId = 1_024;

impl<'a> Walk<'a> {
    fn new(segment: &'a Segment, reader: &'a SegmentReader, docs: Docs, order: Order) -> Self {
        let way = match order {
            Order::Descending => Way::Forward(None),
            Order::Ascending => Way::Backward(Vec::new(), FIRST_BLOCK),
        };
        Self {
            segment,
            reader,
            docs,
            way,
        }
    }

    fn next(&mut self, weight: &dyn Weight) -> Result<Option<Hit>, IndexError> {
        let doc = match &mut self.way {
            Way::Forward(Some(scorer)) => within(scorer.advance(), &self.docs),
            Way::Forward(scorer) => {
                let opened = scorer.insert(weight.scorer(self.reader, 1.0)?);
                within(from(opened.as_mut(), self.docs.start), &self.docs)
            }
            Way::Backward(block, len) => {
                while block.is_empty() && !self.docs.is_empty() {
                    let start = self.docs.end.saturating_sub(*len).max(self.docs.start);
                    *block = block_of(weight, self.reader, start..self.docs.end)?;
                    self.docs.end = start;
                    *len = len.saturating_mul(2);
                }
                block.pop()
            }
        };
        Ok(doc.map(|doc| self.segment.hit(doc)))
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
) -> Result<Vec<DocId>, IndexError> {
    let mut scorer = weight.scorer(reader, 1.0)?;
    let mut block = Vec::new();
    let mut doc = from(scorer.as_mut(), docs.start);
    while let Some(found) = within(doc, &docs) {
        block.push(found);
        doc = scorer.advance();
    }
    Ok(block)
}
