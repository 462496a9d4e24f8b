//! The values of a field, and how many of a question's events have each.
//!
//! The dictionaries of all segments are read side by side, in order, and each value is counted in each segment the cheapest
//! way there is: without a filter its dictionary's own count; by the column, for the fields that have one; or its postings,
//! held against the events found. So every field and every path of an entry can be asked for, and memory stays at the values
//! that are given back. A value that too few documents have to be among those is not looked at, unless all of them are wanted.
//!
//! Where a field has far more values than there are events, reading the events themselves is cheaper. Where it has many values,
//! the parts of its dictionaries are read at the same time ([`super::parts`]), or, where all events were found, its values are
//! counted by their hashes ([`super::value_hashes`]).
//!
//! An event counts once for each different value it has. A number is one value, however texts spell it: see [`super::spelling`].

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use tantivy::columnar::{Cardinality, StrColumn};
use tantivy::index::InvertedIndexReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, TantivyError};

use super::matches::{IndexMatches, MatchedDocs};
use super::merged::Merged;
use super::parts::{DictionaryPart, MIN_TERMS, parts};
use super::schema::column_of;
use super::snapshot::Snapshot;
use super::spelling::Spellings;
use super::value_hashes;
use crate::engine::budget::Steps;
use crate::engine::error::EngineError;
use crate::engine::ranking::{RankedValues, Ranking, ValuesOf};
use crate::field::Kind;
use crate::task;

/// Where a value's documents are this many times more than the events found, each of these is looked up among them.
const LOOKUP_RATIO: usize = 16;

/// With at least so many values in all segments together, they are counted by their hashes.
const MIN_HASHED: usize = 5_000;

/// The most values that are asked for of those that are counted by their hashes: they are read one by one.
const MAX_HASHED_SIZE: usize = 100;

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
        let counting = FacetCounting {
            matches: self,
            wanted,
            dictionaries: &dictionaries,
            counters: &counters,
            most_terms,
            n_terms: AtomicU64::new(0),
            min_terms: MIN_TERMS,
            min_hashed: MIN_HASHED,
        };
        if kind != Kind::Any && begin.is_empty() {
            let ranking = match counting.by_hashes(field)? {
                Some(ranking) => Some(ranking),
                None => counting.in_parts()?,
            };
            self.snapshot.budget.check()?;
            return Ok(ranking.map(Ranking::into_values));
        }
        let steps = self.snapshot.budget.steps();
        let spellings = match kind {
            Kind::Any => Spellings::read(&dictionaries, &before_value, most_terms, &steps)?,
            _ => Some(Spellings::default()),
        };
        let Some(mut spellings) = spellings else {
            return Ok(None);
        };
        let mut terms = Merged::new(&dictionaries, &begin)?;
        let before = before_value.len();
        let Some(mut ranking) = counting.ranked(&mut terms, before, &mut spellings)? else {
            return Ok(None);
        };
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

/// The values of a field while they are counted.
struct FacetCounting<'a> {
    matches: &'a IndexMatches,
    wanted: &'a ValuesOf<'a>,
    dictionaries: &'a [Arc<InvertedIndexReader>],
    counters: &'a [Counter],
    most_terms: Option<u64>,
    /// How many values were looked at.
    n_terms: AtomicU64,
    /// How many terms a part has at least.
    min_terms: usize,
    /// With how many terms at least they are counted by their hashes.
    min_hashed: usize,
}

impl<'a> FacetCounting<'a> {
    /// Counts the terms of `merged`, whose values begin after so many bytes. `None` when there are too many.
    fn ranked(
        &self,
        terms: &mut Merged<'_>,
        before_value: usize,
        spellings: &mut Spellings,
    ) -> Result<Option<Ranking<'a>>, EngineError> {
        let steps = self.matches.snapshot.budget.steps();
        let mut ranking = Ranking::new(self.wanted);
        while terms.advance() && !steps.step() {
            if let Some(most) = self.most_terms
                && self.n_terms.fetch_add(1, Relaxed) >= most
            {
                return Ok(None);
            }
            let value = String::from_utf8_lossy(&terms.key()[before_value..]);
            let at_most = terms.segments().map(|term| u64::from(term.info.doc_freq));
            if spellings.take(&value, terms) || !ranking.must_count(&value, at_most.sum()) {
                continue;
            }
            let counters = self.counters;
            let count = self
                .matches
                .count_present(terms, counters, self.dictionaries, &steps)?;
            ranking.take(&value, count);
        }
        Ok(Some(ranking))
    }

    /// Counts all values of a field by their hashes, where all documents were found and there are many values. `None` where that is not
    /// so, and when there are too many.
    fn by_hashes(&self, field: Field) -> Result<Option<Ranking<'a>>, EngineError> {
        let snapshot = &self.matches.snapshot;
        let n_terms = self.dictionaries.iter();
        let n_terms: usize = n_terms.map(|terms| terms.terms().num_terms()).sum();
        let are_whole = self
            .counters
            .iter()
            .all(|counter| matches!(counter, Counter::Whole));
        let are_few = self.most_terms.is_none_or(|most| n_terms as u64 <= most);
        let is_wanted = self.wanted.is_any() && self.wanted.size <= MAX_HASHED_SIZE;
        let has_room = n_terms >= self.min_hashed && snapshot.value_hashes.have_room(n_terms);
        if !(are_whole && are_few && is_wanted && has_room) {
            return Ok(None);
        }
        let mut hashes = Vec::new();
        let readers = snapshot.searcher.segment_readers().iter();
        for (reader, dictionary) in readers.zip(self.dictionaries) {
            let of = snapshot
                .value_hashes
                .of(reader, field, dictionary, &snapshot.budget)?;
            let Some(of) = of else {
                return Ok(None);
            };
            hashes.push(of);
        }
        let counted = value_hashes::count(&hashes, self.wanted.rank, self.wanted.size);
        let mut ranking = Ranking::new(self.wanted);
        let mut value = Vec::new();
        for found in counted.first {
            let terms = self.dictionaries[found.segment as usize].terms();
            let is_there = terms.ord_to_term(found.number.into(), &mut value);
            if is_there.map_err(TantivyError::from)? {
                ranking.take(&String::from_utf8_lossy(&value), found.count.into());
            }
        }
        Ok(Some(ranking.with_totals(counted.distinct, counted.total)))
    }

    /// Counts all values of a field, the parts of its dictionaries at the same time. `None` when there are too many.
    fn in_parts(&self) -> Result<Option<Ranking<'a>>, EngineError> {
        let count = |part: DictionaryPart| {
            let (first, before) = (part.first.as_slice(), part.before.as_deref());
            let mut terms = Merged::between(self.dictionaries, first, before)?;
            self.ranked(&mut terms, 0, &mut Spellings::default())
        };
        let mut all = Ranking::new(self.wanted);
        for ranking in task::side_by_side(parts(self.dictionaries, self.min_terms)?, &count) {
            let Some(ranking) = ranking? else {
                return Ok(None);
            };
            all.absorb(ranking);
        }
        Ok(Some(all))
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
