//! The terms of several segments' dictionaries as one, in order.

use std::cmp::Ordering;
use std::sync::Arc;

use tantivy::postings::TermInfo;
use tantivy::termdict::TermStreamer;
use tantivy::{InvertedIndexReader, TantivyError};

use crate::engine::error::EngineError;

/// Terms in order, and for each the segments that have it.
pub(super) struct Merged<'d> {
    cursors: Vec<DictionaryCursor<'d>>,
    /// The places of those that have more terms. The least next term is the last.
    waiting: Vec<usize>,
    /// The places of those that have the present term.
    present: Vec<usize>,
    /// How long the text is that all terms begin with.
    shared_len: usize,
}

/// One dictionary at one of its terms.
struct DictionaryCursor<'d> {
    segment: usize,
    terms: TermStreamer<'d>,
    /// The first bytes of the term behind what all terms begin with, as a number: mostly they tell terms apart by themselves.
    first_bytes: u64,
}

/// What one segment knows of a term.
pub(super) struct SegmentDictionary<'t> {
    /// Which segment.
    pub(super) segment: usize,
    /// Where its documents are, and how many.
    pub(super) info: &'t TermInfo,
    /// Its number among the terms of that dictionary.
    pub(super) number: u64,
}

impl<'d> Merged<'d> {
    /// The terms that begin so, of all dictionaries.
    pub(super) fn new(
        dictionaries: &'d [Arc<InvertedIndexReader>],
        begin: &str,
    ) -> Result<Self, EngineError> {
        let mut after = begin.as_bytes().to_vec();
        // No text has a byte of 255, so this is the first text after all that begin so.
        if let Some(last) = after.last_mut() {
            *last += 1;
        }
        let after = (!after.is_empty()).then_some(after);
        let merged = Self::between(dictionaries, begin.as_bytes(), after.as_deref())?;
        Ok(Self {
            shared_len: begin.len(),
            ..merged
        })
    }

    /// The terms of all dictionaries from one text on, and before another.
    pub(super) fn between(
        dictionaries: &'d [Arc<InvertedIndexReader>],
        first: &[u8],
        before: Option<&[u8]>,
    ) -> Result<Self, EngineError> {
        let mut cursors = Vec::new();
        for (segment, dictionary) in dictionaries.iter().enumerate() {
            let terms = dictionary.terms().range().ge(first);
            let terms = match before {
                Some(before) => terms.lt(before),
                None => terms,
            };
            let terms = terms.into_stream().map_err(TantivyError::from)?;
            cursors.push(DictionaryCursor {
                segment,
                terms,
                first_bytes: 0,
            });
        }
        Ok(Self {
            waiting: Vec::with_capacity(cursors.len()),
            present: (0..cursors.len()).collect(),
            shared_len: 0,
            cursors,
        })
    }

    /// Goes to the next term; says whether there is one.
    pub(super) fn advance(&mut self) -> bool {
        for at in self.present.drain(..) {
            let cursor = &mut self.cursors[at];
            if cursor.advance(self.shared_len) {
                let cursors = &self.cursors;
                let is_after = |waits: &usize| cursors[*waits].compare(&cursors[at]).is_gt();
                let place = self.waiting.partition_point(is_after);
                self.waiting.insert(place, at);
            }
        }
        let Some(first) = self.waiting.pop() else {
            return false;
        };
        self.present.push(first);
        let cursors = &self.cursors;
        let is_same = |next: &mut usize| cursors[*next].compare(&cursors[first]).is_eq();
        while let Some(next) = self.waiting.pop_if(is_same) {
            self.present.push(next);
        }
        true
    }

    /// The present term.
    pub(super) fn key(&self) -> &[u8] {
        self.present
            .first()
            .map_or(&[], |at| self.cursors[*at].terms.key())
    }

    /// What the segments that have the present term know of it.
    pub(super) fn segments(&self) -> impl Iterator<Item = SegmentDictionary<'_>> {
        let present = self.present.iter().map(|at| &self.cursors[*at]);
        present.map(|cursor| SegmentDictionary {
            segment: cursor.segment,
            info: cursor.terms.value(),
            number: cursor.terms.term_ord(),
        })
    }
}

impl DictionaryCursor<'_> {
    /// Goes to the next term; says whether there is one.
    fn advance(&mut self, shared_len: usize) -> bool {
        if !self.terms.advance() {
            return false;
        }
        let rest = self.terms.key().get(shared_len..).unwrap_or_default();
        let mut first = [0; 8];
        let len = rest.len().min(first.len());
        first[..len].copy_from_slice(&rest[..len]);
        self.first_bytes = u64::from_be_bytes(first);
        true
    }

    /// Which term is first in order.
    fn compare(&self, other: &Self) -> Ordering {
        let by_first = self.first_bytes.cmp(&other.first_bytes);
        by_first.then_with(|| self.terms.key().cmp(other.terms.key()))
    }
}
