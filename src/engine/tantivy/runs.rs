//! Words side by side of which only the looks are known: `*evil-corp*`.
//!
//! Word positions must be collected before they can be compared, so this works on one range of documents at a time.

use std::collections::HashMap;
use std::ops::Range;

use tantivy::postings::{Postings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, InvertedIndexReader, SegmentReader};

use super::bit_set_builder::add;
use super::bits::Bits;
use super::terms::Terms;
use crate::engine::budget::Budget;

/// A run of words, each one of its terms; all of one field, which has positions.
#[derive(Debug, Clone)]
pub(super) struct WordRun {
    /// At least one.
    pub(super) words: Vec<Terms>,
    /// The most documents whose word positions are in memory at once.
    pub(super) at_once: usize,
    pub(super) budget: Budget,
}

/// What is usual for [`WordRun::at_once`]: some ten megabytes.
pub(super) const AT_ONCE: usize = 50_000;

/// Where runs may begin in each document: positions of their first word, ascending.
type Beginnings = HashMap<DocId, Vec<u32>>;

impl WordRun {
    /// The documents of one segment that have it.
    pub(super) fn docs(&self, reader: &SegmentReader) -> tantivy::Result<Option<Bits>> {
        let Some(first) = self.words.first() else {
            return Ok(None);
        };
        let inverted = reader.inverted_index(first.field)?;
        let mut infos = Vec::new();
        for word in &self.words {
            infos.push(word.infos(&inverted)?);
        }
        let Some(candidates) = self.candidates(reader, &inverted, &infos)? else {
            return Ok(None);
        };
        let mut docs = Bits::new(reader.max_doc(), self.budget.memory())?;
        for stretch in stretches(&candidates, reader.max_doc(), self.at_once) {
            let runs = self.runs(&inverted, &infos, &stretch, &candidates)?;
            for doc in runs.keys() {
                docs.insert(*doc);
            }
        }
        Ok(Some(docs))
    }

    /// The runs in those of a stretch of documents that are candidates.
    fn runs(
        &self,
        inverted: &InvertedIndexReader,
        infos: &[Vec<TermInfo>],
        stretch: &Range<DocId>,
        candidates: &Bits,
    ) -> tantivy::Result<Beginnings> {
        let steps = self.budget.steps();
        let mut runs: Option<Beginnings> = None;
        for (offset, infos) in (0..).zip(infos) {
            let mut here = self.beginnings(inverted, infos, offset, stretch, |doc| {
                candidates.contains(doc) && runs.as_ref().is_none_or(|runs| runs.contains_key(&doc))
            })?;
            if let Some(runs) = &runs {
                here.retain(|doc, beginnings| {
                    let before = runs.get(doc).map_or(&[][..], Vec::as_slice);
                    beginnings.retain(|at| !steps.step() && before.binary_search(at).is_ok());
                    !beginnings.is_empty()
                });
            }
            runs = Some(here);
        }
        Ok(runs.unwrap_or_default())
    }

    /// The documents that have all of the words, somewhere.
    fn candidates(
        &self,
        reader: &SegmentReader,
        inverted: &InvertedIndexReader,
        infos: &[Vec<TermInfo>],
    ) -> tantivy::Result<Option<Bits>> {
        let steps = self.budget.steps();
        let mut candidates: Option<Bits> = None;
        for infos in infos {
            let mut docs = Bits::new(reader.max_doc(), self.budget.memory())?;
            for info in infos {
                add(&mut docs, inverted, info, &steps, |doc| {
                    candidates
                        .as_ref()
                        .is_none_or(|before| before.contains(doc))
                })?;
            }
            if docs.len() == 0 {
                return Ok(None);
            }
            candidates = Some(docs);
        }
        Ok(candidates)
    }

    /// Where runs may begin whose word at `offset` is one of these, in documents of a stretch that are asked for.
    fn beginnings(
        &self,
        inverted: &InvertedIndexReader,
        infos: &[TermInfo],
        offset: u32,
        stretch: &Range<DocId>,
        is_asked: impl Fn(DocId) -> bool,
    ) -> tantivy::Result<Beginnings> {
        let steps = self.budget.steps();
        let mut found = Beginnings::new();
        let mut positions = Vec::new();
        for info in infos {
            let mut postings = inverted
                .read_postings_from_terminfo(info, IndexRecordOption::WithFreqsAndPositions)?;
            if postings.doc() < stretch.start {
                postings.seek(stretch.start);
            }
            while postings.doc() < stretch.end && !steps.step() {
                if is_asked(postings.doc()) {
                    postings.positions(&mut positions);
                    let beginnings = positions.iter().filter_map(|at| at.checked_sub(offset));
                    found.entry(postings.doc()).or_default().extend(beginnings);
                }
                postings.advance();
            }
        }
        for beginnings in found.values_mut() {
            beginnings.sort_unstable();
        }
        Ok(found)
    }
}

/// All documents up to `max_doc`, cut up so that each stretch has at most so many candidates.
fn stretches(candidates: &Bits, max_doc: DocId, most: usize) -> Vec<Range<DocId>> {
    let mut stretches = Vec::new();
    let (mut start, mut n_candidates) = (0, 0);
    for doc in (0..max_doc).filter(|doc| candidates.contains(*doc)) {
        if n_candidates == most {
            stretches.push(start..doc);
            (start, n_candidates) = (doc, 0);
        }
        n_candidates += 1;
    }
    stretches.push(start..max_doc);
    stretches
}
