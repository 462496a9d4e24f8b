//! Reading answers off the index, in the order of time.
//!
//! Segments are sorted newest first, so a question is answered by walking each segment's matches from one end and merging
//! the walks: the newest fifty of a million cost about fifty steps. There is no scoring and no heap over all matches.
//! The other order walks backwards, block by block.

use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use tantivy::index::SegmentId;
use tantivy::query::{EnableScoring, Weight};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, IndexReader, Searcher, TERMINATED};

use super::IndexError;
use super::lower::Lowering;
use super::places;
use super::schema::{Mark, REPLACES, Shape, spelled};
use super::segment::{Head, Segment, Walk};
use super::stopwatch::Watch;
use crate::clock::Deadline;
use crate::event::NOT_INDEXED;
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

    /// Whether any entry has a value, an empty text or `null` at a path, or below it.
    ///
    /// # Errors
    /// [`IndexError::Engine`] when a file cannot be read.
    pub fn knows_path(&self, path: &str) -> Result<bool, IndexError> {
        let path = &*spelled(path);
        let term = self.shape.mark(&Mark::Path(path));
        if self.searcher.doc_freq(&term)? > 0 {
            return Ok(true);
        }
        for mark in [Mark::Empty(path), Mark::Null(path)].map(|mark| mark.text()) {
            if self.has_mark(&mark, false)? || self.has_mark(&format!("{mark}."), true)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether any entry has a mark with this text, or one that goes on after it.
    fn has_mark(&self, text: &str, may_go_on: bool) -> Result<bool, IndexError> {
        for reader in self.searcher.segment_readers() {
            let inverted = reader.inverted_index(self.shape.path)?;
            let terms = inverted.terms().range().ge(text).into_stream();
            let mut terms = terms.map_err(tantivy::TantivyError::from)?;
            if terms.advance()
                && terms.key().starts_with(text.as_bytes())
                && (may_go_on || terms.key().len() == text.len())
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Those of some events that are indexed by what their row says, because their documents could not be made.
    ///
    /// # Errors
    /// As [`Snapshot::knows_path`].
    pub fn not_indexed(
        &self,
        hits: impl IntoIterator<Item = Hit> + Clone,
    ) -> Result<HashSet<Seq>, IndexError> {
        let term = self.shape.value_term("problem", NOT_INDEXED);
        let mut found = HashSet::new();
        for (segment, reader) in self.segments.iter().zip(self.searcher.segment_readers()) {
            let inverted = reader.inverted_index(term.field())?;
            let Some(info) = inverted
                .get_term_info(&term)
                .map_err(tantivy::TantivyError::from)?
            else {
                continue;
            };
            for hit in hits.clone() {
                let mut docs = segment.docs_at(hit.at_us);
                let Some(doc) = docs.find(|doc| segment.seq.get_val(*doc) == hit.seq.0) else {
                    continue;
                };
                let mut postings = inverted
                    .read_postings_from_terminfo(&info, IndexRecordOption::Basic)
                    .map_err(tantivy::TantivyError::from)?;
                if postings.doc() == doc || (postings.doc() < doc && postings.seek(doc) == doc) {
                    found.insert(hit.seq);
                }
            }
        }
        Ok(found)
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
