//! The terms of several segments' dictionaries as one, in order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tantivy::postings::TermInfo;
use tantivy::termdict::TermStreamer;
use tantivy::{InvertedIndexReader, TantivyError};

use crate::engine::error::EngineError;

/// Terms in order, and for each the segments that have it.
pub(super) struct Merged<'d> {
    /// The dictionaries that have more terms, the least next one on top.
    waiting: BinaryHeap<DictionaryCursor<'d>>,
    /// Those that have the present term.
    present: Vec<DictionaryCursor<'d>>,
}

/// One dictionary at one of its terms.
struct DictionaryCursor<'d> {
    segment: usize,
    terms: TermStreamer<'d>,
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
        let mut present = Vec::new();
        for (segment, dictionary) in dictionaries.iter().enumerate() {
            let terms = dictionary.terms().range().ge(begin);
            let terms = match after.is_empty() {
                true => terms,
                false => terms.lt(&after),
            };
            let terms = terms.into_stream().map_err(TantivyError::from)?;
            present.push(DictionaryCursor { segment, terms });
        }
        Ok(Self {
            waiting: BinaryHeap::new(),
            present,
        })
    }

    /// Goes to the next term; says whether there is one.
    pub(super) fn advance(&mut self) -> bool {
        for mut head in self.present.drain(..) {
            if head.terms.advance() {
                self.waiting.push(head);
            }
        }
        while let Some(next) = self.waiting.peek() {
            let is_same = self
                .present
                .first()
                .is_none_or(|first| first.terms.key() == next.terms.key());
            if !is_same {
                break;
            }
            self.present.extend(self.waiting.pop());
        }
        !self.present.is_empty()
    }

    /// The present term.
    pub(super) fn key(&self) -> &[u8] {
        self.present.first().map_or(&[], |head| head.terms.key())
    }

    /// What the segments that have the present term know of it.
    pub(super) fn segments(&self) -> impl Iterator<Item = SegmentDictionary<'_>> {
        self.present.iter().map(|head| SegmentDictionary {
            segment: head.segment,
            info: head.terms.value(),
            number: head.terms.term_ord(),
        })
    }
}

impl Ord for DictionaryCursor<'_> {
    /// The least term is the greatest, since the heap gives the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.terms.key(), other.segment).cmp(&(self.terms.key(), self.segment))
    }
}

impl PartialOrd for DictionaryCursor<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for DictionaryCursor<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for DictionaryCursor<'_> {}
