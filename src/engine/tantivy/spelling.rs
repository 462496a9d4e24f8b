//! Numbers that texts spell in several ways, counted as the one value that they are: `300`, `0300` and `+300.0`.
//!
//! In the table of fields a number has one spelling in the index. At other paths each text is indexed as it is, so that an id
//! such as `007` lose its zeros; a question for one of them finds all ([`Query::Equals`](crate::query::Query::Equals)).
//! So they are put together when they are counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use tantivy::postings::{SegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet as _, InvertedIndexReader, TERMINATED, TantivyError};

use super::bits::Bits;
use super::matches::IndexMatches;
use super::merged::Merged;
use crate::engine::budget::Steps;
use crate::engine::error::EngineError;
use crate::engine::ranking::Ranking;
use crate::query::words::one_spelling;

/// The most bytes that is kept of the spellings of one path, beside the one of each number that it is counted under.
const MAX_SPELLING_BYTES: usize = 32 * 1024 * 1024;

/// About how many bytes a spelling in a segment takes, beside its number.
const SPELLING_BYTES: usize = 100;

/// The most lists of documents that are walked side by side. More are put into one set.
const MAX_LISTS: usize = 8;

/// The first characters of numbers.
const FIRST: [&str; 12] = ["+", "-", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// A term of the segment of that number.
type InSegment = (usize, TermInfo);

/// The numbers of a path that are spelled in other ways too, and the terms that spell them.
#[derive(Default)]
pub(super) struct Spellings(BTreeMap<String, Vec<InSegment>>);

impl Spellings {
    /// Reads the other ways from the dictionaries of a path whose values' terms begin with `before_value`. `None` when there are
    /// more than `most_terms` values to look at, or too many spellings to keep while `most_terms` says that there is another way.
    ///
    /// # Errors
    /// [`EngineError::TooLarge`] when there are too many spellings.
    pub(super) fn read(
        dictionaries: &[Arc<InvertedIndexReader>],
        before_value: &str,
        most_terms: Option<u64>,
        steps: &Steps,
    ) -> Result<Option<Self>, EngineError> {
        let (mut found, mut n_terms, mut n_bytes) = (Self::default(), 0, 0);
        for first in FIRST {
            let mut terms = Merged::new(dictionaries, &format!("{before_value}{first}"))?;
            while terms.advance() && !steps.step() {
                n_terms += 1;
                let value = std::str::from_utf8(&terms.key()[before_value.len()..]);
                if let Some(number) = value.ok().and_then(one_spelling) {
                    n_bytes += number.len() + SPELLING_BYTES * terms.segments().count();
                    found.add(number, &terms);
                }
                let is_too_large = n_bytes > MAX_SPELLING_BYTES;
                match most_terms {
                    Some(most) if n_terms > most || is_too_large => return Ok(None),
                    None if is_too_large => return Err(EngineError::TooLarge),
                    _ => {}
                }
            }
        }
        Ok(Some(found))
    }

    fn add(&mut self, number: String, terms: &Merged<'_>) {
        let in_segments = terms.segments();
        let in_segments = in_segments.map(|term| (term.segment, term.info.clone()));
        self.0.entry(number).or_default().extend(in_segments);
    }

    /// Whether the present value of `terms` is counted with its number. The one spelling of a number is added to the others.
    pub(super) fn take(&mut self, value: &str, terms: &Merged<'_>) -> bool {
        if self.0.is_empty() {
            return false;
        }
        if self.0.contains_key(value) {
            self.add(value.to_owned(), terms);
            return true;
        }
        one_spelling(value).is_some()
    }
}

impl IndexMatches {
    /// Counts the numbers that are spelled in several ways.
    pub(super) fn count_numbers(
        &self,
        spellings: &Spellings,
        dictionaries: &[Arc<InvertedIndexReader>],
        ranking: &mut Ranking<'_>,
        steps: &Steps,
    ) -> Result<(), EngineError> {
        for (number, terms) in &spellings.0 {
            if steps.step() {
                break;
            }
            let at_most = terms.iter().map(|(_, info)| u64::from(info.doc_freq));
            if !ranking.must_count(number, at_most.sum()) {
                continue;
            }
            let mut count = 0;
            for (i, dictionary) in dictionaries.iter().enumerate() {
                let here = terms.iter().filter(|(segment, _)| *segment == i);
                let here: Vec<&TermInfo> = here.map(|(_, info)| info).collect();
                count += match here.as_slice() {
                    [] => 0,
                    [info] => self.count_of(i, dictionary, info, steps)?,
                    infos if infos.len() > MAX_LISTS => {
                        self.count_in_one_set(i, dictionary, infos, steps)?
                    }
                    infos => self.count_side_by_side(i, dictionary, infos, steps)?,
                };
            }
            ranking.take(number, count);
        }
        Ok(())
    }

    /// How many documents that have any of a few terms are among those found in a segment.
    fn count_side_by_side(
        &self,
        segment: usize,
        dictionary: &InvertedIndexReader,
        terms: &[&TermInfo],
        steps: &Steps,
    ) -> Result<u64, EngineError> {
        let lists = terms.iter().map(|term| postings(dictionary, term));
        let mut lists: Vec<SegmentPostings> = lists.collect::<Result<_, _>>()?;
        let mut count = 0;
        loop {
            let next = lists.iter().map(SegmentPostings::doc).min();
            let doc = next.unwrap_or(TERMINATED);
            if doc == TERMINATED || steps.step() {
                return Ok(count);
            }
            count += u64::from(self.found[segment].contains(doc));
            for list in &mut lists {
                if list.doc() == doc {
                    list.advance();
                }
            }
        }
    }

    /// The same for many terms, one after the other.
    fn count_in_one_set(
        &self,
        segment: usize,
        dictionary: &InvertedIndexReader,
        terms: &[&TermInfo],
        steps: &Steps,
    ) -> Result<u64, EngineError> {
        let n_docs = self.snapshot.segments[segment].len;
        let mut docs = Bits::new(n_docs, self.snapshot.budget().memory())?;
        for term in terms {
            let mut list = postings(dictionary, term)?;
            while list.doc() != TERMINATED && !steps.step() {
                if self.found[segment].contains(list.doc()) {
                    docs.insert(list.doc());
                }
                list.advance();
            }
        }
        Ok(docs.len())
    }
}

fn postings(
    dictionary: &InvertedIndexReader,
    term: &TermInfo,
) -> Result<SegmentPostings, EngineError> {
    let postings = dictionary.read_postings_from_terminfo(term, IndexRecordOption::Basic);
    Ok(postings.map_err(TantivyError::from)?)
}
