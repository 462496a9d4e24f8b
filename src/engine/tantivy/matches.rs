//! The events a question means, found once and then counted in several ways.
//!
//! Within a segment, documents stand in the order of time, so a stretch of time is a stretch of documents: a histogram
//! asks for its edges by binary search and never for a document's own time.

use tantivy::DocId;
use tantivy::query::Weight;
use tantivy::{DocSet, SegmentReader};

use super::bits::Bits;
use super::schema::sort_key;
use super::segment::{Docs, Segment, from, within};
use super::snapshot::Snapshot;
use crate::engine::budget::Budget;
use crate::engine::error::EngineError;
use crate::engine::hit::{Order, Range};
use crate::position::Seq;
use crate::query::Query;

/// The events that a question means. What is counted of them is of one snapshot.
pub struct IndexMatches {
    pub(super) snapshot: Snapshot,
    /// One for each segment.
    pub(super) found: Vec<MatchedDocs>,
}

/// Which documents of a segment.
pub(super) enum MatchedDocs {
    /// All of a stretch.
    Stretch(Docs),
    /// These, in order.
    Few(Vec<DocId>),
    /// These.
    Many(Bits),
}

impl Snapshot {
    /// The events up to `upto` that a question means.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when a file cannot be read.
    pub fn matches(
        &self,
        query: &Query,
        range: Range,
        upto: Seq,
    ) -> Result<IndexMatches, EngineError> {
        let upto = upto.min(self.seq);
        let weight = self.weight(query, upto)?;
        let is_exact = upto == self.seq && self.is_exact;
        let mut found = Vec::new();
        for (segment, reader) in self.segments.iter().zip(self.searcher.segment_readers()) {
            let docs = segment.docs(range, Order::Descending, None);
            found.push(match query {
                _ if docs.is_empty() => MatchedDocs::Few(Vec::new()),
                Query::All if is_exact && segment.is_whole() => MatchedDocs::Stretch(docs),
                _ => {
                    let limit = if is_exact { None } else { Some(upto) };
                    MatchedDocs::collect(
                        segment,
                        reader,
                        weight.as_ref(),
                        &docs,
                        limit,
                        &self.budget,
                    )?
                }
            });
        }
        self.budget.check()?;
        Ok(IndexMatches {
            snapshot: self.clone(),
            found,
        })
    }
}

impl IndexMatches {
    /// How many they are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.found.iter().map(MatchedDocs::count).sum()
    }

    /// The `seq` of each, segment by segment.
    #[must_use]
    pub fn seqs(&self) -> Vec<Seq> {
        let mut seqs = Vec::new();
        for (found, segment) in self.found.iter().zip(self.snapshot.segments.iter()) {
            found.for_each(|doc| seqs.push(Seq(segment.seq.get_val(doc))));
        }
        seqs
    }

    /// What the oldest and the newest of them are ordered by, in microseconds since 1970.
    #[must_use]
    pub fn extent(&self) -> Option<(i64, i64)> {
        let ends = self.found.iter().zip(self.snapshot.segments.iter());
        ends.filter_map(|(found, segment)| {
            let (newest, oldest) = found.ends()?;
            Some((segment.at_us(oldest), segment.at_us(newest)))
        })
        .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// How many of them are in each stretch between two successive `edges`, which are times in microseconds, ascending.
    #[must_use]
    pub fn histogram(&self, edges: &[i64]) -> Vec<u64> {
        let mut counts = vec![0; edges.len().saturating_sub(1)];
        for (found, segment) in self.found.iter().zip(self.snapshot.segments.iter()) {
            // Newest first: the documents before an edge's place are not older than it.
            let places: Vec<DocId> = edges
                .iter()
                .map(|edge| segment.first_below(sort_key(*edge)))
                .collect();
            for (count, pair) in counts.iter_mut().zip(places.windows(2)) {
                *count += found.count_in(pair[1]..pair[0]);
            }
        }
        counts
    }
}

impl MatchedDocs {
    fn collect(
        segment: &Segment,
        reader: &SegmentReader,
        weight: &dyn Weight,
        docs: &Docs,
        upto: Option<Seq>,
        budget: &Budget,
    ) -> Result<Self, EngineError> {
        let steps = budget.steps();
        let mut scorer = weight.scorer(reader, 1.0)?;
        let mut found = Self::Few(Vec::new());
        let mut next = within(from(scorer.as_mut(), docs.start), docs);
        while let Some(doc) = next
            && !steps.step()
        {
            if segment.is_alive(doc) && upto.is_none_or(|upto| segment.seq.get_val(doc) <= upto.0) {
                found.push(doc, segment.len, budget)?;
            }
            next = within(scorer.advance(), docs);
        }
        Ok(found)
    }

    /// Takes the next document; changes over to a bit for each of the segment's `len` when that is smaller.
    pub(super) fn push(
        &mut self,
        doc: DocId,
        len: DocId,
        budget: &Budget,
    ) -> Result<(), EngineError> {
        match self {
            Self::Few(few) if few.len() >= len as usize / 32 => {
                let mut bits = Bits::new(len, budget.memory())?;
                few.iter().for_each(|doc| bits.insert(*doc));
                bits.insert(doc);
                *self = Self::Many(bits);
            }
            Self::Few(few) => few.push(doc),
            Self::Many(bits) => bits.insert(doc),
            Self::Stretch(docs) => docs.end = doc + 1,
        }
        Ok(())
    }

    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Stretch(docs) => docs.len() as u64,
            Self::Few(few) => few.len() as u64,
            Self::Many(bits) => bits.len(),
        }
    }

    /// Whether a document is one of them.
    pub(super) fn contains(&self, doc: DocId) -> bool {
        match self {
            Self::Stretch(docs) => docs.contains(&doc),
            Self::Few(few) => few.binary_search(&doc).is_ok(),
            Self::Many(bits) => bits.contains(doc),
        }
    }

    /// Calls `visit` with each document, in order.
    pub(super) fn for_each(&self, visit: impl FnMut(DocId)) {
        match self {
            Self::Stretch(docs) => docs.clone().for_each(visit),
            Self::Few(few) => few.iter().copied().for_each(visit),
            Self::Many(bits) => bits.for_each(visit),
        }
    }

    fn count_in(&self, docs: Docs) -> u64 {
        match self {
            Self::Stretch(all) => {
                let (start, end) = (all.start.max(docs.start), all.end.min(docs.end));
                u64::from(end.saturating_sub(start))
            }
            Self::Few(few) => {
                let before = |end| few.partition_point(|doc| *doc < end);
                (before(docs.end) - before(docs.start)) as u64
            }
            Self::Many(bits) => bits.count_in(docs),
        }
    }

    /// The first and the last document.
    fn ends(&self) -> Option<(DocId, DocId)> {
        match self {
            Self::Stretch(docs) => (!docs.is_empty()).then(|| (docs.start, docs.end - 1)),
            Self::Few(few) => Some((*few.first()?, *few.last()?)),
            Self::Many(bits) => Some((bits.first()?, bits.last()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::budget::MemoryBudget;

    proptest! {
        #[test]
        fn documents_are_counted_the_same_however_they_are_kept(
            docs in prop::collection::btree_set(0..300_u32, 0..200),
            (start, span) in (0..300_u32, 0..300_u32),
        ) {
            let mut bits = Bits::new(300, &MemoryBudget::default()).unwrap();
            docs.iter().for_each(|doc| bits.insert(*doc));
            let few = MatchedDocs::Few(docs.iter().copied().collect());
            let many = MatchedDocs::Many(bits);
            let stretch = start..(start + span).min(300);
            let expect = docs.iter().filter(|doc| stretch.contains(doc)).count() as u64;
            prop_assert_eq!(few.count_in(stretch.clone()), expect);
            prop_assert_eq!(many.count_in(stretch), expect);
            prop_assert_eq!(few.ends(), many.ends());
            let mut visited = Vec::new();
            many.for_each(|doc| visited.push(doc));
            prop_assert_eq!(visited, docs.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(many.count(), docs.len() as u64);
        }
    }
}
