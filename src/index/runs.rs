//! Words side by side of which only the looks are known: `*evil-corp*`.

use std::collections::HashMap;

use tantivy::postings::{Postings, TermInfo};
use tantivy::query::{EnableScoring, Query, Weight};
use tantivy::schema::IndexRecordOption;
use tantivy::{BitSet, DocId, DocSet, InvertedIndexReader, SegmentReader, TERMINATED};

use super::gathered::{Found, Gathered, add};
use super::stopwatch::Watch;
use super::terms::Terms;

/// A run of words, each one of its terms; all of one field, which has positions.
#[derive(Debug, Clone)]
pub(super) struct WordRun {
    /// At least one.
    pub(super) words: Vec<Terms>,
    pub(super) watch: Watch,
}

/// Where runs may begin in each document: positions of their first word, ascending.
type Beginnings = HashMap<DocId, Vec<u32>>;

impl WordRun {
    fn docs(&self, reader: &SegmentReader) -> tantivy::Result<Found> {
        let steps = self.watch.steps();
        let Some(first) = self.words.first() else {
            return Ok(Found::Nothing);
        };
        let inverted = reader.inverted_index(first.field)?;
        let mut infos = Vec::new();
        for word in &self.words {
            infos.push(word.infos(&inverted)?);
        }
        let Some(candidates) = self.candidates(reader, &inverted, &infos)? else {
            return Ok(Found::Nothing);
        };
        let mut runs: Option<Beginnings> = None;
        for (offset, infos) in (0..).zip(&infos) {
            let mut here = self.beginnings(&inverted, infos, offset, |doc| {
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
        let mut docs = BitSet::with_max_value(reader.max_doc());
        for doc in runs.unwrap_or_default().keys() {
            docs.insert(*doc);
        }
        Ok(Found::Docs(docs))
    }

    /// The documents that have all of the words, somewhere.
    fn candidates(
        &self,
        reader: &SegmentReader,
        inverted: &InvertedIndexReader,
        infos: &[Vec<TermInfo>],
    ) -> tantivy::Result<Option<BitSet>> {
        let steps = self.watch.steps();
        let mut candidates: Option<BitSet> = None;
        for infos in infos {
            let mut docs = BitSet::with_max_value(reader.max_doc());
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

    /// Where runs may begin whose word at `offset` is one of these, in documents that are asked for.
    fn beginnings(
        &self,
        inverted: &InvertedIndexReader,
        infos: &[TermInfo],
        offset: u32,
        is_asked: impl Fn(DocId) -> bool,
    ) -> tantivy::Result<Beginnings> {
        let steps = self.watch.steps();
        let mut found = Beginnings::new();
        let mut positions = Vec::new();
        for info in infos {
            let mut postings = inverted
                .read_postings_from_terminfo(info, IndexRecordOption::WithFreqsAndPositions)?;
            while postings.doc() != TERMINATED && !steps.step() {
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

impl Query for WordRun {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let run = self.clone();
        Ok(Box::new(Gathered::new(move |reader| run.docs(reader))))
    }
}
