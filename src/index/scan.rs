//! Reading answers off the index, in the order of time.
//!
//! Segments are sorted newest first, so a question is answered by walking each segment's matches from one end and merging
//! the walks: the newest fifty of a million cost about fifty steps. There is no scoring and no heap over all matches.
//! The other order walks backwards, block by block.

use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use tantivy::index::SegmentId;
use tantivy::query::{EnableScoring, Weight};
use tantivy::{IndexReader, Searcher};

use super::IndexError;
use super::lower::Lowering;
use super::replaced::Replacements;
use super::schema::{Mark, Shape, spelled};
use super::segment::{Docs, Head, Segment, Walk};
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
    /// The SHA-256 of the event at `seq`, where the commit says it and it was read beside a service.
    pub(super) last_hash: Option<Arc<str>>,
    /// It holds no document of an event after `seq`. Beside a service the reader may be ahead.
    pub(super) is_exact: bool,
    /// It stands for an index that cannot be opened, and answers nothing.
    pub(super) is_unavailable: bool,
    pub(super) replacements: Arc<Replacements>,
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
            last_hash: None,
            is_exact: true,
            is_unavailable: false,
            replacements: Arc::default(),
        })
    }

    /// The same snapshot for one question, which is cut off at `deadline`.
    #[must_use]
    pub fn until(&self, deadline: Deadline) -> Self {
        Self {
            watch: self.watch.until(deadline),
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

    /// The SHA-256 of the last event that can be found, where the index says it and was opened beside a service.
    #[must_use]
    pub fn last_hash(&self) -> Option<&str> {
        self.last_hash.as_deref()
    }

    /// That there is an index to ask.
    fn check_available(&self) -> Result<(), IndexError> {
        match self.is_unavailable {
            true => Err(IndexError::Unavailable),
            false => Ok(()),
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
        let weight = self.weight_for(query, upto, order == Order::Ascending)?;
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
        let steps = self.watch.steps();
        let mut count = 0;
        for (segment, reader) in self.segments.iter().zip(self.searcher.segment_readers()) {
            let docs = segment.docs(range, Order::Descending, None);
            count += match query {
                _ if docs.is_empty() => 0,
                // Every document of the stretch counts.
                Query::All if self.is_exact && segment.is_whole() => docs.len() as u64,
                _ if self.is_exact && segment.is_whole() && docs.len() == segment.len as usize => {
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
        self.check_available()?;
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

    /// The paths at which entries have values, or below which they have, in lower case and in order; 10,000 at most.
    ///
    /// # Errors
    /// As [`Snapshot::knows_path`].
    pub fn all_paths(&self) -> Result<Vec<String>, IndexError> {
        self.check_available()?;
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
        Self {
            replacements: Arc::clone(&self.replacements),
            watch: self.watch.clone(),
            ..next
        }
    }

    /// The engine's form of a question about the events up to `upto`, for one walk over each segment.
    pub(super) fn weight(&self, query: &Query, upto: Seq) -> Result<Box<dyn Weight>, IndexError> {
        self.weight_for(query, upto, false)
    }

    /// As [`Snapshot::weight`]; says whether a segment is walked over several times.
    fn weight_for(
        &self,
        query: &Query,
        upto: Seq,
        keeps: bool,
    ) -> Result<Box<dyn Weight>, IndexError> {
        self.check_available()?;
        let lowered = Lowering::lower(query, self, upto, keeps)?;
        Ok(lowered.weight(EnableScoring::disabled_from_searcher(&self.searcher))?)
    }
}
