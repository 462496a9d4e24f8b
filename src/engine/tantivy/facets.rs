//! The values of a field, and how many of a question's events have each.
//!
//! The dictionaries of all segments are read side by side, in order, and each value is counted in each segment the cheapest
//! way there is: without a filter its dictionary's own count; by the column, for the fields that have one; or its postings,
//! held against the events found. So every field and every path of an entry can be asked for, and memory stays at the values
//! that are given back. A value that too few documents have to be among those is not looked at, unless all of them are wanted.
//!
//! Where a field has far more values than there are events, reading the events themselves is cheaper.
//!
//! An event counts once for each different value it has. A number is one value, however texts spell it: see [`super::spelling`].

use std::sync::Arc;

use tantivy::columnar::{Cardinality, StrColumn};
use tantivy::index::InvertedIndexReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, TantivyError};

use super::matches::{IndexMatches, MatchedDocs};
use super::merged::Merged;
use super::schema::column_of;
use super::snapshot::Snapshot;
use super::spelling::Spellings;
use crate::engine::budget::Steps;
use crate::engine::error::EngineError;
use crate::engine::ranking::{RankedValues, Ranking, ValuesOf};
use crate::field::Kind;

/// Where a value's documents are this many times more than the events found, each of these is looked up among them.
const LOOKUP_RATIO: usize = 16;

/// How a segment's values are counted.
enum Counter {
    /// All its documents were found: as many as the dictionary says.
    Whole,
    /// By the number of the value in the dictionary.
    Column(Vec<u32>),
    /// By its postings.
    Postings,
}

impl IndexMatches {
    /// The values of a field or path, each with how many of the events have it. `None` when there are more than `most_terms`
    /// values to look at.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when a file cannot be read.
    pub fn ranked(
        &self,
        wanted: &ValuesOf<'_>,
        most_terms: Option<u64>,
    ) -> Result<Option<RankedValues>, EngineError> {
        let name = wanted.name;
        if self.snapshot.scope.hides(name) {
            return Ok(Some(RankedValues::default()));
        }
        let (kind, field, before_value) = self.snapshot.shape.place_of(name);
        let dictionaries = self.snapshot.dictionaries(field)?;
        let counters = self.counters(name, &dictionaries)?;
        let begin = format!("{before_value}{}", wanted.prefix());
        let mut ranking = Ranking::new(wanted);
        let steps = self.snapshot.budget.steps();
        let spellings = match kind {
            Kind::Any => Spellings::read(&dictionaries, &before_value, most_terms, &steps)?,
            _ => Some(Spellings::default()),
        };
        let Some(mut spellings) = spellings else {
            return Ok(None);
        };
        let mut terms = Merged::new(&dictionaries, &begin)?;
        let mut n_terms = 0;
        while terms.advance() && !steps.step() {
            n_terms += 1;
            if most_terms.is_some_and(|most| n_terms > most) {
                return Ok(None);
            }
            let value = String::from_utf8_lossy(&terms.key()[before_value.len()..]);
            let at_most = terms.segments().map(|term| u64::from(term.info.doc_freq));
            if spellings.take(&value, &terms) || !ranking.must_count(&value, at_most.sum()) {
                continue;
            }
            let count = self.count_present(&terms, &counters, &dictionaries, &steps)?;
            ranking.take(&value, count);
        }
        self.count_numbers(&spellings, &dictionaries, &mut ranking, &steps)?;
        self.snapshot.budget.check()?;
        Ok(Some(ranking.into_values()))
    }

    /// How many of the events have the present one of some terms.
    fn count_present(
        &self,
        terms: &Merged<'_>,
        counters: &[Counter],
        dictionaries: &[Arc<InvertedIndexReader>],
        steps: &Steps,
    ) -> Result<u64, EngineError> {
        let mut count = 0;
        for term in terms.segments() {
            let i = term.segment;
            count += match &counters[i] {
                Counter::Whole => term.info.doc_freq.into(),
                Counter::Column(counts) => counts[term.number as usize].into(),
                Counter::Postings => self.count_of(i, &dictionaries[i], term.info, steps)?,
            };
        }
        Ok(count)
    }

    /// How each segment's values of a field are counted.
    fn counters(
        &self,
        name: &str,
        dictionaries: &[Arc<InvertedIndexReader>],
    ) -> Result<Vec<Counter>, EngineError> {
        let column = column_of(name);
        let mut counters = Vec::new();
        for (i, found) in self.found.iter().enumerate() {
            let n_docs = self.snapshot.segments[i].len as usize;
            counters.push(match (found, column) {
                (MatchedDocs::Stretch(docs), _) if docs.len() == n_docs => Counter::Whole,
                (MatchedDocs::Stretch(_), _) | (_, None) => Counter::Postings,
                (_, Some(column)) => {
                    let reader = &self.snapshot.searcher.segment_readers()[i];
                    let n_terms = dictionaries[i].terms().num_terms();
                    match reader.fast_fields().str(column)? {
                        // Both dictionaries are of the same values, in the same order.
                        Some(column) if column.num_terms() == n_terms => {
                            Counter::Column(count_by(&column, found))
                        }
                        _ => Counter::Postings,
                    }
                }
            });
        }
        Ok(counters)
    }

    /// How many of a term's documents are among those found in a segment.
    pub(super) fn count_of(
        &self,
        segment: usize,
        dictionary: &InvertedIndexReader,
        term: &TermInfo,
        steps: &Steps,
    ) -> Result<u64, EngineError> {
        let mut postings = dictionary
            .read_block_postings_from_terminfo(term, IndexRecordOption::Basic)
            .map_err(TantivyError::from)?;
        Ok(match &self.found[segment] {
            MatchedDocs::Stretch(docs) => {
                let before = postings.rank(docs.start);
                (postings.rank(docs.end) - before).into()
            }
            MatchedDocs::Few(few) if few.len() * LOOKUP_RATIO < term.doc_freq as usize => {
                look_up(few, &mut postings)
            }
            MatchedDocs::Few(few) => {
                count_if(&mut postings, steps, |doc| few.binary_search(&doc).is_ok())
            }
            MatchedDocs::Many(bits) => count_if(&mut postings, steps, |doc| bits.contains(doc)),
        })
    }
}

/// How many of the documents found have each value, by its number in the column's dictionary.
fn count_by(column: &StrColumn, found: &MatchedDocs) -> Vec<u32> {
    let mut counts = vec![0; column.num_terms()];
    let numbers = column.ords();
    if numbers.get_cardinality() == Cardinality::Multivalued {
        let mut of_one = Vec::new();
        found.for_each(|doc| {
            of_one.clear();
            of_one.extend(numbers.values_for_doc(doc));
            of_one.sort_unstable();
            of_one.dedup();
            of_one
                .iter()
                .for_each(|number| counts[*number as usize] += 1);
        });
    } else {
        found.for_each(|doc| {
            if let Some(number) = numbers.first(doc) {
                counts[number as usize] += 1;
            }
        });
    }
    counts
}

impl Snapshot {
    pub(super) fn dictionaries(
        &self,
        field: Field,
    ) -> Result<Vec<Arc<InvertedIndexReader>>, EngineError> {
        let readers = self.searcher.segment_readers().iter();
        Ok(readers
            .map(|reader| reader.inverted_index(field))
            .collect::<Result<_, _>>()?)
    }
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

fn count_if(
    postings: &mut BlockSegmentPostings,
    steps: &Steps,
    is_found: impl Fn(DocId) -> bool,
) -> u64 {
    let mut count = 0;
    while !postings.docs().is_empty() && !steps.step() {
        count += postings.docs().iter().filter(|doc| is_found(**doc)).count() as u64;
        postings.advance();
    }
    count
}
