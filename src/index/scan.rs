//! Reading answers off the index, in the order of time.
//!
//! Segments are sorted newest first, so a question is answered by walking each segment's matches from one end and merging
//! the walks: the newest fifty of a million cost about fifty steps. There is no scoring and no heap over all matches.
//! The other order walks backwards, block by block.

use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use tantivy::columnar::ColumnValues;
use tantivy::index::SegmentId;
use tantivy::query::{EnableScoring, Scorer, Weight};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, IndexReader, Searcher, SegmentReader, TERMINATED};

use super::IndexError;
use super::lower::Lowering;
use super::places;
use super::schema::{AT, Mark, REPLACES, SEQ, Shape, micros_of, sort_key, spelled};
use super::stopwatch::Watch;
use crate::clock::Deadline;
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

/// The index as it was after one commit. It stays the same while events arrive. A clone is another handle to the same one.
#[derive(Clone)]
pub struct Snapshot {
    pub(super) searcher: Searcher,
    pub(super) shape: Shape,
    pub(super) seq: Seq,
    pub(super) segments: Arc<[Segment]>,
    /// How much time a question has.
    pub(super) watch: Watch,
}

/// The most paths that are listed.
const MAX_PATHS: usize = 10_000;

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
            watch: Watch::default(),
        })
    }

    /// The same snapshot for one question, which is cut off at `deadline`.
    #[must_use]
    pub fn until(&self, deadline: Deadline) -> Self {
        Self {
            watch: Watch::until(deadline),
            ..self.clone()
        }
    }

    /// For whoever works on with what was found: whether there is time left.
    ///
    /// # Errors
    /// [`IndexError::CutOff`] when there is none.
    pub fn check_time(&self) -> Result<(), IndexError> {
        self.watch.look();
        self.watch.check()
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The last event that can be found, with all before it.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The first `limit` answers after `after`, of the events up to `upto`, in order.
    ///
    /// # Errors
    /// [`IndexError::CutOff`] when it takes too long, [`IndexError::Question`] when it would take too much memory,
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
        let upto = upto.min(self.seq);
        let weight = self.weight(query, upto)?;
        let steps = self.watch.steps();
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
                if steps.step() {
                    break None;
                }
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
        self.watch.check()?;
        found.sort_unstable_by(|a, b| order.compare(*a, *b));
        found.truncate(limit);
        Ok(found)
    }

    /// How many events match, exactly.
    ///
    /// # Errors
    /// As [`Snapshot::hits`].
    pub fn count(&self, query: &Query, range: Range) -> Result<u64, IndexError> {
        let weight = self.weight(query, self.seq)?;
        // Beside a service the reader may hold more than the snapshot's events.
        let is_exact = self.searcher.num_docs() == self.seq.0;
        let steps = self.watch.steps();
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
                    while let Some(hit) = walk.next(weight.as_ref())?
                        && !steps.step()
                    {
                        counted += u64::from(hit.seq <= self.seq);
                    }
                    counted
                }
            };
            self.check_time()?;
        }
        Ok(count)
    }

    /// Whether any entry has a value at a path, or below it.
    ///
    /// # Errors
    /// [`IndexError::Engine`] when a file cannot be read.
    pub fn knows_path(&self, path: &str) -> Result<bool, IndexError> {
        let term = self.shape.mark(&Mark::Path(&spelled(path)));
        Ok(self.searcher.doc_freq(&term)? > 0)
    }

    /// The paths at which entries have values, or below which they have, in lower case and in order; 10,000 at most.
    ///
    /// # Errors
    /// As [`Snapshot::knows_path`].
    pub fn all_paths(&self) -> Result<Vec<String>, IndexError> {
        let mut paths = BTreeSet::new();
        for reader in self.searcher.segment_readers() {
            let inverted = reader.inverted_index(self.shape.path)?;
            let mut terms = inverted
                .terms()
                .range()
                // Whatever comes before is no path.
                .ge(" ")
                .into_stream()
                .map_err(tantivy::TantivyError::from)?;
            while terms.advance() && paths.len() < MAX_PATHS {
                paths.insert(String::from_utf8_lossy(terms.key()).into_owned());
            }
        }
        Ok(paths.into_iter().collect())
    }

    /// The events up to `upto` that another one up to there is the next revision of.
    pub(super) fn replaced(&self, upto: Seq) -> Result<Vec<Hit>, IndexError> {
        let steps = self.watch.steps();
        let mut replaced = Vec::new();
        for (segment, reader) in self.segments.iter().zip(self.searcher.segment_readers()) {
            let inverted = reader.inverted_index(self.shape.path)?;
            let mut terms = inverted
                .terms()
                .range()
                .ge(REPLACES)
                .into_stream()
                .map_err(tantivy::TantivyError::from)?;
            while terms.advance()
                && let Some(hit) = Mark::replaced(terms.key())
                && !steps.step()
            {
                let postings = inverted
                    .read_postings_from_terminfo(terms.value(), IndexRecordOption::Basic)
                    .map_err(tantivy::TantivyError::from)?;
                if postings.doc() != TERMINATED && segment.hit(postings.doc()).seq <= upto {
                    replaced.push(hit);
                }
            }
        }
        self.watch.check()?;
        Ok(replaced)
    }

    /// The documents of some events.
    pub(super) fn docs_of(&self, hits: &[Hit]) -> Vec<(SegmentId, places::Docs)> {
        // Many may be of one time, whose documents are then looked at once for all of them.
        let mut by_time: HashMap<i64, HashSet<u64>> = HashMap::new();
        for hit in hits {
            by_time.entry(hit.at_us).or_default().insert(hit.seq.0);
        }
        let segments = self.segments.iter().zip(self.searcher.segment_readers());
        segments
            .map(|(segment, reader)| {
                let of_times = by_time.iter().flat_map(|(at_us, seqs)| {
                    let of_that_time = segment.docs_at(*at_us);
                    of_that_time.filter(|doc| seqs.contains(&segment.seq.get_val(*doc)))
                });
                (reader.segment_id(), places::Docs::List(of_times.collect()))
            })
            .collect()
    }

    /// The documents of the events that are ordered into a stretch of time.
    pub(super) fn stretches(
        &self,
        since_us: Option<i64>,
        before_us: Option<i64>,
    ) -> impl Iterator<Item = (SegmentId, places::Docs)> + use<'_> {
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
                (reader.segment_id(), places::Docs::Stretch(docs))
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

    /// The engine's form of a question about the events up to `upto`.
    pub(super) fn weight(&self, query: &Query, upto: Seq) -> Result<Box<dyn Weight>, IndexError> {
        let lowered = Lowering::lower(query, self, upto)?;
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

    /// The documents that are ordered at one moment.
    fn docs_at(&self, at_us: i64) -> Docs {
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
