//! Numbers that texts spell in several ways, counted as the one value that they are: `300`, `0300` and `+300.0`.
//!
//! In the table of fields a number has one spelling in the index. At other paths each text stands there as it is, lest an id
//! such as `007` lose its zeros; a question for one of them finds all ([`Query::Equals`](crate::query::Query::Equals)).
//! So they are put together when they are counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use tantivy::postings::{SegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet as _, InvertedIndexReader, TERMINATED, TantivyError};

use super::IndexError;
use super::bits::Bits;
use super::facets::Best;
use super::matches::Matches;
use super::merged::Merged;
use super::stopwatch::Steps;
use super::words;
use crate::field::Number;

/// The most bytes that the spellings of one path may take, beside the one of each number that it is counted under.
const MAX_SPELLING_BYTES: usize = 32 * 1024 * 1024;

/// About how many bytes a spelling takes beside its text.
const SPELLING_BYTES: usize = 100;

/// The most lists of documents that are walked side by side. More are put into one set.
const MAX_LISTS: usize = 8;

/// The first characters of numbers.
const FIRST: [&str; 12] = ["+", "-", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// The one spelling of the number that a value of a path is, as it stands in the index; `None` if it is spelled so, or is no number.
pub(super) fn one_spelling(value: &str) -> Option<String> {
    let first = value.as_bytes().first()?;
    let may_be_number = first.is_ascii_digit() || matches!(first, b'+' | b'-');
    if !may_be_number || value.len() > words::MAX_VALUE_LEN {
        return None;
    }
    let spelled = Number::plain(value)?.to_string();
    (spelled != value).then_some(spelled)
}

/// The numbers of a path that are spelled in other ways too, and these ways.
#[derive(Default)]
pub(super) struct Spellings(BTreeMap<String, Vec<String>>);

impl Spellings {
    /// Reads the dictionaries of a path whose values' terms begin with `before_value`. `None` when there are more than
    /// `most_terms` values to look at, or too many spellings to keep while `most_terms` says that there is another way.
    ///
    /// # Errors
    /// [`IndexError::TooLarge`] when there are too many spellings.
    pub(super) fn read(
        dictionaries: &[Arc<InvertedIndexReader>],
        before_value: &str,
        most_terms: Option<u64>,
        steps: &Steps,
    ) -> Result<Option<Self>, IndexError> {
        let (mut found, mut n_terms, mut n_bytes) = (Self::default(), 0, 0);
        for first in FIRST {
            let mut terms = Merged::new(dictionaries, &format!("{before_value}{first}"))?;
            while terms.advance() && !steps.step() {
                n_terms += 1;
                let value = &terms.key()[before_value.len()..];
                let other = std::str::from_utf8(value).ok();
                if let Some((value, number)) =
                    other.and_then(|value| Some((value, one_spelling(value)?)))
                {
                    n_bytes += value.len() + number.len() + SPELLING_BYTES;
                    found.0.entry(number).or_default().push(value.to_owned());
                }
                let is_too_large = n_bytes > MAX_SPELLING_BYTES;
                match most_terms {
                    Some(most) if n_terms > most || is_too_large => return Ok(None),
                    None if is_too_large => return Err(IndexError::TooLarge),
                    _ => {}
                }
            }
        }
        Ok(Some(found))
    }

    /// Whether a value is counted with its number.
    pub(super) fn have(&self, value: &str) -> bool {
        !self.0.is_empty() && (self.0.contains_key(value) || one_spelling(value).is_some())
    }
}

impl Matches<'_> {
    /// Counts the numbers that are spelled in several ways and begin with `prefix`.
    pub(super) fn count_numbers(
        &self,
        spellings: &Spellings,
        (before_value, prefix): (&str, &str),
        dictionaries: &[Arc<InvertedIndexReader>],
        best: &mut Best,
        steps: &Steps,
    ) -> Result<(), IndexError> {
        for (number, others) in &spellings.0 {
            if steps.step() {
                break;
            }
            if !number.starts_with(prefix) {
                continue;
            }
            let mut in_segments: Vec<Vec<TermInfo>> = vec![Vec::new(); dictionaries.len()];
            for way in others.iter().chain([number]) {
                let key = format!("{before_value}{way}");
                for (dictionary, infos) in dictionaries.iter().zip(&mut in_segments) {
                    let info = dictionary.terms().get(&key);
                    infos.extend(info.map_err(TantivyError::from)?);
                }
            }
            let at_most = in_segments.iter().flatten();
            let at_most = at_most.map(|info| u64::from(info.doc_freq)).sum();
            if !best.has_room_for(at_most, number) {
                continue;
            }
            let mut count = 0;
            for (i, infos) in in_segments.iter().enumerate() {
                count += match infos.as_slice() {
                    [] => 0,
                    [info] => self.count_of(i, &dictionaries[i], info, steps)?,
                    infos => self.count_of_any(i, &dictionaries[i], infos, steps)?,
                };
            }
            best.take(number, count);
        }
        Ok(())
    }

    /// How many documents that have any of some terms are among those found in a segment.
    fn count_of_any(
        &self,
        segment: usize,
        dictionary: &InvertedIndexReader,
        terms: &[TermInfo],
        steps: &Steps,
    ) -> Result<u64, IndexError> {
        if terms.len() > MAX_LISTS {
            let mut docs = Bits::new(
                self.snapshot.segments[segment].len,
                self.snapshot.watch().memory(),
            )?;
            for term in terms {
                let mut postings = dictionary
                    .read_postings_from_terminfo(term, IndexRecordOption::Basic)
                    .map_err(TantivyError::from)?;
                while postings.doc() != TERMINATED && !steps.step() {
                    docs.insert(postings.doc());
                    postings.advance();
                }
            }
            let mut count = 0;
            docs.for_each(|doc| count += u64::from(self.found[segment].contains(doc)));
            return Ok(count);
        }
        let mut lists: Vec<SegmentPostings> = terms
            .iter()
            .map(|term| dictionary.read_postings_from_terminfo(term, IndexRecordOption::Basic))
            .collect::<Result<_, _>>()
            .map_err(TantivyError::from)?;
        let mut count = 0;
        loop {
            let doc = lists
                .iter()
                .map(SegmentPostings::doc)
                .min()
                .unwrap_or(TERMINATED);
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
}
