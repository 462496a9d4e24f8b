//! The values of a field, and how many of a question's events have each.
//!
//! A value's documents are its postings, so the dictionaries of all segments are read side by side, in order, and each
//! value's postings are held against the events found: no column is kept for it, every field and every path of an entry
//! can be asked for, and memory stays at the values that are given back, however many there are. A value that too few
//! documents have to be among those is not looked at. Without a filter, a dictionary's own counts are the answer.
//!
//! An event counts once for each different value it has.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tantivy::index::InvertedIndexReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::termdict::{TermMerger, TermStreamer};
use tantivy::{DocId, TantivyError};

use super::IndexError;
use super::matches::{Found, Matches};
use super::scan::Snapshot;
use super::schema::Shape;

/// Where a value's documents are this many times more than the events found, each of these is looked up among them.
const LOOKUP_RATIO: usize = 16;

/// A value, in lower case, and how many events have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueCount {
    /// The value as it is compared; one that is very long, by its beginning and its hash.
    pub value: String,
    /// How many events have it.
    pub count: u64,
}

impl Matches<'_> {
    /// The `size` values of a field or path that most of the events have, of those that begin with `prefix`: most first,
    /// equals by value.
    ///
    /// # Errors
    /// [`IndexError::Engine`] when a file cannot be read.
    pub fn values(
        &self,
        name: &str,
        prefix: &str,
        size: usize,
    ) -> Result<Vec<ValueCount>, IndexError> {
        let (field, before_value) = self.snapshot.shape.values_of(name);
        let dictionaries = self.snapshot.dictionaries(field)?;
        let begin = format!("{before_value}{}", prefix.to_lowercase());
        let mut best = Best::new(size);
        let mut terms = merged(&dictionaries, &begin)?;
        while terms.advance() {
            let segments: Vec<(usize, TermInfo)> =
                terms.current_segment_ords_and_term_infos().collect();
            let at_most = segments
                .iter()
                .map(|(_, term)| u64::from(term.doc_freq))
                .sum();
            if !best.has_room_for(at_most) {
                continue;
            }
            let mut count = 0;
            for (i, term) in &segments {
                count += self.count_of(*i, &dictionaries[*i], term)?;
            }
            if best.has_room_for(count) {
                let value = &terms.key()[before_value.len()..];
                best.take(String::from_utf8_lossy(value).into_owned(), count);
            }
        }
        Ok(best.into_values())
    }

    /// How many of a term's documents are among those found in a segment.
    fn count_of(
        &self,
        segment: usize,
        dictionary: &InvertedIndexReader,
        term: &TermInfo,
    ) -> Result<u64, IndexError> {
        let found = &self.found[segment];
        if let Found::Stretch(docs) = found
            && docs.len() == self.snapshot.segments[segment].len as usize
        {
            return Ok(term.doc_freq.into());
        }
        let mut postings = dictionary
            .read_block_postings_from_terminfo(term, IndexRecordOption::Basic)
            .map_err(TantivyError::from)?;
        Ok(match found {
            Found::Stretch(docs) => {
                let before = postings.rank(docs.start);
                (postings.rank(docs.end) - before).into()
            }
            Found::Few(few) if few.len() * LOOKUP_RATIO < term.doc_freq as usize => {
                look_up(few, &mut postings)
            }
            Found::Few(few) => count_if(&mut postings, |doc| few.binary_search(&doc).is_ok()),
            Found::Many(bits) => count_if(&mut postings, |doc| bits.contains(doc)),
        })
    }
}

impl Snapshot {
    /// The paths that entries have and the table of fields has not, those that begin with `prefix`: the first `limit` by
    /// name.
    ///
    /// # Errors
    /// [`IndexError::Engine`] when a file cannot be read.
    pub fn paths(&self, prefix: &str, limit: usize) -> Result<Vec<String>, IndexError> {
        let prefix = prefix.to_lowercase();
        let mut found = BTreeSet::new();
        for dictionary in self.dictionaries(self.shape.paths())? {
            let mut begin = prefix.clone();
            for _ in 0..limit {
                let mut terms = stream(&dictionary, &begin)?;
                if !terms.advance() || !terms.key().starts_with(prefix.as_bytes()) {
                    break;
                }
                let term = String::from_utf8_lossy(terms.key());
                let Some(path) = Shape::path_of(&term) else {
                    begin = format!("{term}\0");
                    continue;
                };
                // On to the next path, whatever values this one has.
                begin = Shape::after_path(path);
                found.insert(path.to_owned());
            }
        }
        Ok(found.into_iter().take(limit).collect())
    }

    fn dictionaries(&self, field: Field) -> Result<Vec<Arc<InvertedIndexReader>>, IndexError> {
        let readers = self.searcher.segment_readers().iter();
        Ok(readers
            .map(|reader| reader.inverted_index(field))
            .collect::<Result<_, _>>()?)
    }
}

/// The terms of a dictionary from `begin` on.
fn stream<'d>(
    dictionary: &'d InvertedIndexReader,
    begin: &str,
) -> Result<TermStreamer<'d>, IndexError> {
    let terms = dictionary.terms().range().ge(begin);
    Ok(terms.into_stream().map_err(TantivyError::from)?)
}

/// The terms that begin so, of all dictionaries, in order.
fn merged<'d>(
    dictionaries: &'d [Arc<InvertedIndexReader>],
    begin: &str,
) -> Result<TermMerger<'d>, IndexError> {
    let mut after = begin.as_bytes().to_vec();
    // No text has a byte of 255, so this is the first text after all that begin so.
    if let Some(last) = after.last_mut() {
        *last += 1;
    }
    let streams = dictionaries
        .iter()
        .map(|dictionary| {
            let terms = dictionary.terms().range().ge(begin);
            let terms = if after.is_empty() {
                terms
            } else {
                terms.lt(&after)
            };
            terms.into_stream().map_err(TantivyError::from)
        })
        .collect::<Result<_, _>>()?;
    Ok(TermMerger::new(streams))
}

/// How many of `docs`, which are in order, the postings hold.
fn look_up(docs: &[DocId], postings: &mut BlockSegmentPostings) -> u64 {
    let mut count = 0;
    for doc in docs {
        let at = postings.seek(*doc);
        count += u64::from(postings.doc(at) == *doc);
    }
    count
}

fn count_if(postings: &mut BlockSegmentPostings, is_found: impl Fn(DocId) -> bool) -> u64 {
    let mut count = 0;
    while !postings.docs().is_empty() {
        count += postings.docs().iter().filter(|doc| is_found(**doc)).count() as u64;
        postings.advance();
    }
    count
}

/// The best values so far: those that most events have, equals by value.
struct Best {
    size: usize,
    /// The worst of them on top.
    heap: BinaryHeap<Reverse<(u64, Reverse<String>)>>,
}

impl Best {
    fn new(size: usize) -> Self {
        Self {
            size,
            heap: BinaryHeap::new(),
        }
    }

    /// Whether a value with that count would be among them. Values come in order, so an equal comes too late.
    fn has_room_for(&self, count: u64) -> bool {
        let is_full = self.heap.len() >= self.size;
        let worst = self.heap.peek().map_or(0, |Reverse((count, _))| *count);
        count > if is_full { worst } else { 0 } && self.size > 0
    }

    fn take(&mut self, value: String, count: u64) {
        if self.heap.len() >= self.size {
            self.heap.pop();
        }
        self.heap.push(Reverse((count, Reverse(value))));
    }

    fn into_values(self) -> Vec<ValueCount> {
        let ranked = self.heap.into_sorted_vec().into_iter();
        ranked
            .map(|Reverse((count, Reverse(value)))| ValueCount { value, count })
            .collect()
    }
}
