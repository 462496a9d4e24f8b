//! Words side by side, each of them known: `"add member"`.
//!
//! The engine's own phrases look for their next document without a pause, however many words they have and however long they
//! look in vain. Here every step is counted, so that a question's time ends this walk as any other.

use std::collections::BTreeMap;

use tantivy::postings::{Postings, SegmentPostings};
use tantivy::query::{ConstScorer, EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, Score, SegmentReader, TERMINATED, Term};

use super::explained::explained;
use crate::engine::budget::{Budget, Steps};

/// Adjacent words in this order, all of one field that has positions.
#[derive(Debug, Clone)]
pub(super) struct Phrase {
    words: Vec<Term>,
    budget: Budget,
}

impl Phrase {
    pub(super) fn new(words: Vec<Term>, budget: &Budget) -> Self {
        Self {
            words,
            budget: budget.clone(),
        }
    }

    /// Each different word with its positions in the phrase; the rarest first. `None` when the segment lacks one of them.
    fn lists(&self, reader: &SegmentReader) -> tantivy::Result<Option<Vec<PhrasePostings>>> {
        let mut offsets: BTreeMap<&Term, Vec<u32>> = BTreeMap::new();
        for (offset, word) in (0..).zip(&self.words) {
            offsets.entry(word).or_default().push(offset);
        }
        let mut lists = Vec::new();
        for (word, offsets) in offsets {
            let inverted = reader.inverted_index(word.field())?;
            let with_positions = IndexRecordOption::WithFreqsAndPositions;
            let Some(postings) = inverted.read_postings(word, with_positions)? else {
                return Ok(None);
            };
            lists.push(PhrasePostings {
                postings,
                offsets,
                positions: Vec::new(),
            });
        }
        lists.sort_by_key(|list| list.postings.size_hint());
        Ok((!lists.is_empty()).then_some(lists))
    }
}

impl Query for Phrase {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for Phrase {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let Some(lists) = self.lists(reader)? else {
            return Ok(Box::new(EmptyScorer));
        };
        let mut docs = PhraseDocs {
            doc: lists[0].postings.doc(),
            lists,
            steps: self.budget.steps(),
            is_over: self.budget.look(),
        };
        docs.find();
        Ok(Box::new(ConstScorer::new(docs, boost)))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        explained(self.scorer(reader, 1.0)?, doc)
    }
}

/// The documents that have a word, and where the phrase has it.
struct PhrasePostings {
    postings: SegmentPostings,
    offsets: Vec<u32>,
    /// Where the present document has it, ascending.
    positions: Vec<u32>,
}

impl PhrasePostings {
    /// The first document from `doc` on that has the word.
    fn seek(&mut self, doc: DocId) -> DocId {
        match self.postings.doc() {
            at if at < doc => self.postings.seek(doc),
            at => at,
        }
    }
}

/// The documents that have the phrase.
struct PhraseDocs {
    doc: DocId,
    /// The rarest word's leads.
    lists: Vec<PhrasePostings>,
    steps: Steps,
    is_over: bool,
}

impl PhraseDocs {
    /// Goes on from the present document to the first that has the phrase.
    fn find(&mut self) -> DocId {
        loop {
            self.meet();
            if self.doc == TERMINATED || self.has_phrase() {
                return self.doc;
            }
            self.doc = self.lists[0].postings.advance();
        }
    }

    /// Goes on to the first document that has every word, and to the end when time is up.
    fn meet(&mut self) {
        let mut i = 0;
        while i < self.lists.len() && self.doc != TERMINATED {
            if self.step() {
                self.doc = TERMINATED;
                return;
            }
            match self.lists[i].seek(self.doc) {
                at if at == self.doc => i += 1,
                later => {
                    self.doc = later;
                    i = 0;
                }
            }
        }
    }

    /// Whether the words are adjacent in the current document, which has all of them.
    fn has_phrase(&mut self) -> bool {
        for list in &mut self.lists {
            list.postings.positions(&mut list.positions);
        }
        let first = &self.lists[0];
        let beginnings = first.positions.iter();
        let mut beginnings = beginnings.filter_map(|at| at.checked_sub(first.offsets[0]));
        beginnings.any(|start| {
            self.lists.iter().all(|list| {
                let mut offsets = list.offsets.iter();
                offsets.all(|offset| {
                    let is_there = list.positions.binary_search(&(start + offset)).is_ok();
                    is_there && !self.steps.step()
                })
            })
        })
    }

    fn step(&mut self) -> bool {
        self.is_over |= self.steps.step();
        self.is_over
    }
}

impl DocSet for PhraseDocs {
    fn advance(&mut self) -> DocId {
        if self.doc == TERMINATED {
            return TERMINATED;
        }
        self.doc = self.lists[0].postings.advance();
        self.find()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if target == TERMINATED {
            self.doc = TERMINATED;
        } else if self.doc < target {
            self.doc = self.lists[0].seek(target);
            self.find();
        }
        self.doc
    }

    fn doc(&self) -> DocId {
        self.doc
    }

    fn size_hint(&self) -> u32 {
        self.lists[0].postings.size_hint()
    }
}
