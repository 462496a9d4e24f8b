//! Documents that are gathered for a whole segment at once, before the first of them is walked over.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tantivy::index::SegmentId;
use tantivy::postings::TermInfo;
use tantivy::query::{BitSetDocSet, ConstScorer, EmptyScorer, Explanation, Scorer, Weight};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{
    BitSet, DocId, DocSet, InvertedIndexReader, Score, SegmentReader, TERMINATED, TantivyError,
};

use super::stopwatch::Steps;

/// The documents of one segment.
#[derive(Clone)]
pub(super) enum Found {
    /// None.
    Nothing,
    /// Those of one term, not gathered but walked like any term's.
    OneTerm(Field, TermInfo),
    /// These.
    Docs(BitSet),
}

impl Found {
    fn scorer(self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        Ok(match self {
            Self::Nothing => Box::new(EmptyScorer),
            Self::OneTerm(field, info) => {
                let inverted = reader.inverted_index(field)?;
                let postings =
                    inverted.read_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
                Box::new(ConstScorer::new(postings, boost))
            }
            Self::Docs(docs) => Box::new(ConstScorer::new(BitSetDocSet::from(docs), boost)),
        })
    }
}

/// The weight of a question whose documents `gather` finds. They are kept: a walk backwards asks again for each block.
pub(super) struct Gathered<F> {
    gather: F,
    found: Mutex<HashMap<SegmentId, Found>>,
}

impl<F> Gathered<F>
where
    F: Fn(&SegmentReader) -> tantivy::Result<Found> + Send + Sync + 'static,
{
    pub(super) fn new(gather: F) -> Self {
        Self {
            gather,
            found: Mutex::default(),
        }
    }
}

impl<F> Weight for Gathered<F>
where
    F: Fn(&SegmentReader) -> tantivy::Result<Found> + Send + Sync + 'static,
{
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut kept = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.get(&reader.segment_id()) {
            return found.clone().scorer(reader, boost);
        }
        let found = (self.gather)(reader)?;
        kept.insert(reader.segment_id(), found.clone());
        found.scorer(reader, boost)
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        explained(self.scorer(reader, 1.0)?, doc)
    }
}

/// Adds those of a term's documents that are asked for to a set, as long as there is time.
pub(super) fn add(
    docs: &mut BitSet,
    inverted: &InvertedIndexReader,
    info: &TermInfo,
    steps: &Steps,
    is_asked: impl Fn(DocId) -> bool,
) -> tantivy::Result<()> {
    let mut postings =
        inverted.read_block_postings_from_terminfo(info, IndexRecordOption::Basic)?;
    while !postings.docs().is_empty() && !steps.step() {
        for doc in postings.docs().iter().filter(|doc| is_asked(**doc)) {
            docs.insert(*doc);
        }
        postings.advance();
    }
    Ok(())
}

/// Why a document matches: it does, and there are no scores to explain.
pub(super) fn explained(mut scorer: Box<dyn Scorer>, doc: DocId) -> tantivy::Result<Explanation> {
    let is_there = scorer.doc() != TERMINATED && scorer.doc() <= doc && scorer.seek(doc) == doc;
    match is_there {
        true => Ok(Explanation::new("matches", 1.0)),
        false => Err(TantivyError::InvalidArgument(
            "the document does not match".to_owned(),
        )),
    }
}
