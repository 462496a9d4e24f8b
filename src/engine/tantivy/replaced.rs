//! Which events a later revision has replaced: computed once for each pair of segments, and remembered for later questions.
//!
//! The mark of a replacement stands in the document of the later revision, and the document it is about may be in another
//! segment. Segments do not change, so what one says of another is true as long as both are there.

use std::collections::HashMap;
use std::sync::Arc;

use tantivy::index::SegmentId;
use tantivy::query::{ConstScorer, EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, Score, SegmentReader, TERMINATED};

use super::bits::{BitDocs, Bits};
use super::explained::explained;
use super::replacements::Pair;
use super::schema::{Mark, REPLACES};
use super::segment::Segment;
use super::snapshot::Snapshot;
use crate::engine::error::EngineError;
use crate::position::Seq;

/// The pairs that were worked out, by the segment of the replaced documents and that of the replacing ones.
type Pairs = HashMap<(usize, usize), Arc<[Pair]>>;

impl Snapshot {
    /// The documents that another one up to `upto` has replaced; `None` when there are none.
    pub(super) fn replaced(&self, upto: Seq) -> Result<Option<Replaced>, EngineError> {
        let ids = self.segment_ids();
        let mut of_segments = HashMap::new();
        let pairs = self.pairs(&ids)?;
        for (of, segment) in self.segments.iter().enumerate() {
            let others = (0..ids.len()).filter_map(|by| Some((by, pairs.get(&(of, by))?)));
            let others: Vec<(usize, &Arc<[Pair]>)> =
                others.filter(|(_, pairs)| !pairs.is_empty()).collect();
            if others.is_empty() {
                continue;
            }
            if let Some((at, bits)) = self.replacements.lock().latest.get(&ids[of])
                && *at == upto
            {
                of_segments.insert(ids[of], Arc::clone(bits));
                continue;
            }
            let mut bits = Bits::new(segment.len, self.budget.memory())?;
            let steps = self.budget.steps();
            for (by, pairs) in others {
                let by = &self.segments[by];
                let is_whole = by.seq.max_value() <= upto.0;
                for (doc, by_doc) in pairs.iter() {
                    if steps.step() {
                        break;
                    }
                    if is_whole || by.seq.get_val(*by_doc) <= upto.0 {
                        bits.insert(*doc);
                    }
                }
            }
            self.budget.check()?;
            let bits = Arc::new(bits);
            if upto == self.seq {
                let latest = &mut self.replacements.lock().latest;
                latest.insert(ids[of], (upto, Arc::clone(&bits)));
            }
            of_segments.insert(ids[of], bits);
        }
        Ok((!of_segments.is_empty()).then(|| Replaced(Arc::new(of_segments))))
    }

    /// What each segment says of each. A later revision has a later place, so a segment says nothing of one that begins after
    /// its end.
    fn pairs(&self, ids: &[SegmentId]) -> Result<Pairs, EngineError> {
        let mut pairs = Pairs::new();
        for by in 0..ids.len() {
            let mut unknown = Vec::new();
            for of in 0..ids.len() {
                let of_begin = self.segments[of].seq.min_value();
                if self.segments[by].seq.max_value() <= of_begin {
                    continue;
                }
                match self.replacements.lock().pairs.get(&(ids[of], ids[by])) {
                    Some(known) => {
                        pairs.insert((of, by), Arc::clone(known));
                    }
                    None => unknown.push(of),
                }
            }
            if unknown.is_empty() {
                continue;
            }
            let found = self.said_by(by, &unknown)?;
            let mut remembered = self.replacements.lock();
            let n_found: usize = found.iter().map(Vec::len).sum();
            let has_room = remembered.has_room(n_found);
            for (of, found) in unknown.into_iter().zip(found) {
                let found: Arc<[Pair]> = found.into();
                if has_room {
                    let key = (ids[of], ids[by]);
                    remembered.pairs.insert(key, Arc::clone(&found));
                }
                pairs.insert((of, by), found);
            }
        }
        Ok(pairs)
    }

    /// What one segment says of some others. Its marks come in the order of time, so those of one time come together.
    fn said_by(&self, by: usize, of: &[usize]) -> Result<Vec<Vec<Pair>>, EngineError> {
        let reader = &self.searcher.segment_readers()[by];
        let inverted = reader.inverted_index(self.shape.path)?;
        let mut found: Vec<Vec<Pair>> = vec![Vec::new(); of.len()];
        // The marks of one time: places in the log, ascending, and the documents that carry them.
        let mut of_time: Vec<(u64, DocId)> = Vec::new();
        let mut time = i64::MIN;
        let steps = self.budget.steps();
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
            // What a deleted document replaced is no longer replaced.
            if postings.doc() == TERMINATED || !self.segments[by].is_alive(postings.doc()) {
                continue;
            }
            if hit.at_us != time {
                self.locate(time, &of_time, of, &mut found);
                of_time.clear();
                time = hit.at_us;
            }
            of_time.push((hit.seq.0, postings.doc()));
        }
        self.locate(time, &of_time, of, &mut found);
        self.budget.check()?;
        Ok(found)
    }

    /// Finds the documents of events of one time in some segments.
    fn locate(&self, at_us: i64, marks: &[(u64, DocId)], of: &[usize], found: &mut [Vec<Pair>]) {
        let (Some(first), Some(last)) = (marks.first(), marks.last()) else {
            return;
        };
        for (of, found) in of.iter().zip(found) {
            let segment: &Segment = &self.segments[*of];
            if last.0 < segment.seq.min_value() || first.0 > segment.seq.max_value() {
                continue;
            }
            for doc in segment.docs_at(at_us) {
                let seq = segment.seq.get_val(doc);
                if let Ok(at) = marks.binary_search_by_key(&seq, |(seq, _)| *seq) {
                    found.push((doc, marks[at].1));
                }
            }
        }
    }

    fn segment_ids(&self) -> Vec<SegmentId> {
        let readers = self.searcher.segment_readers();
        readers.iter().map(SegmentReader::segment_id).collect()
    }
}

/// The documents that have been replaced, by segment; a segment that is not named has none.
#[derive(Debug, Clone)]
pub(super) struct Replaced(Arc<HashMap<SegmentId, Arc<Bits>>>);

impl Query for Replaced {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for Replaced {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        Ok(match self.0.get(&reader.segment_id()) {
            None => Box::new(EmptyScorer),
            Some(bits) => Box::new(ConstScorer::new(BitDocs::new(Arc::clone(bits)), boost)),
        })
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        explained(self.scorer(reader, 1.0)?, doc)
    }
}
