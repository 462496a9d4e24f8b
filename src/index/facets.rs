//! The values of a field, and how many of a question's events have each.
//!
//! The dictionaries of all segments are read side by side, in order, and each value is counted in each segment the cheapest
//! way there is: without a filter its dictionary's own count; by the column, for the fields that have one; or its postings,
//! held against the events found. So every field and every path of an entry can be asked for, and memory stays at the values
//! that are given back. A value that too few documents have to be among those is not looked at.
//!
//! Where a field has far more values than there are events, reading the events themselves is cheaper: see [`Reading`].
//!
//! An event counts once for each different value it has. A number is one value, however texts spell it: see [`super::spelling`].

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tantivy::columnar::{Cardinality, StrColumn};
use tantivy::index::InvertedIndexReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::termdict::TermStreamer;
use tantivy::{DocId, TantivyError};

use super::IndexError;
use super::matches::{Found, Matches};
use super::merged::Merged;
use super::scan::Snapshot;
use super::schema::{Shape, column_of};
use super::spelling::{Spellings, one_spelling};
use super::stopwatch::Steps;
use crate::event::AuditEvent;
use crate::field::{Kind, folded};

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

/// How a segment's values are counted.
enum Counter {
    /// All its documents were found: as many as the dictionary says.
    Whole,
    /// By the number of the value in the dictionary.
    Column(Vec<u32>),
    /// By its postings.
    Postings,
}

impl Matches<'_> {
    /// The `size` values of a field or path that most of the events have, of those that begin with `prefix`: most first,
    /// equals by value. `None` when there are more than `most_terms` values to look at.
    ///
    /// # Errors
    /// [`IndexError::Engine`] when a file cannot be read.
    pub fn values(
        &self,
        name: &str,
        prefix: &str,
        size: usize,
        most_terms: Option<u64>,
    ) -> Result<Option<Vec<ValueCount>>, IndexError> {
        let (kind, field, before_value) = self.snapshot.shape.place_of(name);
        let dictionaries = self.snapshot.dictionaries(field)?;
        let counters = self.counters(name, &dictionaries)?;
        let prefix = folded(prefix);
        let begin = format!("{before_value}{prefix}");
        let mut best = Best::new(size);
        let steps = self.snapshot.watch.steps();
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
            if spellings.take(&value, &terms) || !best.has_room_for(at_most.sum(), &value) {
                continue;
            }
            let mut count = 0;
            for term in terms.segments() {
                let i = term.segment;
                count += match &counters[i] {
                    Counter::Whole => term.info.doc_freq.into(),
                    Counter::Column(counts) => counts[term.number as usize].into(),
                    Counter::Postings => self.count_of(i, &dictionaries[i], term.info, &steps)?,
                };
            }
            best.take(&value, count);
        }
        self.count_numbers(&spellings, &prefix, &dictionaries, &mut best, &steps)?;
        self.snapshot.watch.check()?;
        Ok(Some(best.into_values()))
    }

    /// How each segment's values of a field are counted.
    fn counters(
        &self,
        name: &str,
        dictionaries: &[Arc<InvertedIndexReader>],
    ) -> Result<Vec<Counter>, IndexError> {
        let column = column_of(name);
        let mut counters = Vec::new();
        for (i, found) in self.found.iter().enumerate() {
            let n_docs = self.snapshot.segments[i].len as usize;
            counters.push(match (found, column) {
                (Found::Stretch(docs), _) if docs.len() == n_docs => Counter::Whole,
                (Found::Stretch(_), _) | (_, None) => Counter::Postings,
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
    ) -> Result<u64, IndexError> {
        let mut postings = dictionary
            .read_block_postings_from_terminfo(term, IndexRecordOption::Basic)
            .map_err(TantivyError::from)?;
        Ok(match &self.found[segment] {
            Found::Stretch(docs) => {
                let before = postings.rank(docs.start);
                (postings.rank(docs.end) - before).into()
            }
            Found::Few(few) if few.len() * LOOKUP_RATIO < term.doc_freq as usize => {
                look_up(few, &mut postings)
            }
            Found::Few(few) => {
                count_if(&mut postings, steps, |doc| few.binary_search(&doc).is_ok())
            }
            Found::Many(bits) => count_if(&mut postings, steps, |doc| bits.contains(doc)),
        })
    }
}

/// How many of the documents found have each value, by its number in the column's dictionary.
fn count_by(column: &StrColumn, found: &Found) -> Vec<u32> {
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

/// The values of a field, counted by reading events: for few events and a field of very many values.
pub struct Reading<'s> {
    shape: &'s Shape,
    kind: Kind,
    name: String,
    prefix: String,
    counts: HashMap<String, u64>,
}

impl Reading<'_> {
    /// Counts an event's values, as they stand in the index.
    pub fn take(&mut self, event: &AuditEvent) {
        let mut different = BTreeSet::new();
        self.shape.values_of(event, &self.name, |value| {
            let number = match self.kind {
                Kind::Any => one_spelling(&value),
                _ => None,
            };
            let value = number.unwrap_or(value);
            if value.starts_with(&self.prefix) {
                different.insert(value);
            }
        });
        for value in different {
            *self.counts.entry(value).or_default() += 1;
        }
    }

    /// The `size` values that most of the events have: most first, equals by value.
    #[must_use]
    pub fn into_values(self, size: usize) -> Vec<ValueCount> {
        let counts = self.counts.into_iter();
        let mut values: Vec<ValueCount> = counts
            .map(|(value, count)| ValueCount { value, count })
            .collect();
        values.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
        values.truncate(size);
        values
    }
}

impl Snapshot {
    /// The paths that entries have and the table of fields has not, those that begin with `prefix`: the first `limit` by
    /// name.
    ///
    /// # Errors
    /// [`IndexError::Engine`] when a file cannot be read.
    pub fn paths(&self, prefix: &str, limit: usize) -> Result<Vec<String>, IndexError> {
        let prefix = folded(prefix);
        let steps = self.watch.steps();
        let mut found = BTreeSet::new();
        for dictionary in self.dictionaries(self.shape.paths())? {
            let mut begin = prefix.clone();
            for _ in 0..limit {
                let mut terms = stream(&dictionary, &begin)?;
                if !terms.advance() || !terms.key().starts_with(prefix.as_bytes()) || steps.step() {
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
        self.watch.check()?;
        Ok(found.into_iter().take(limit).collect())
    }

    /// Counts the values of a field or path that begin with `prefix` by reading events.
    #[must_use]
    pub fn reading(&self, name: &str, prefix: &str) -> Reading<'_> {
        Reading {
            shape: &self.shape,
            kind: self.shape.place_of(name).0,
            name: name.to_owned(),
            prefix: folded(prefix),
            counts: HashMap::new(),
        }
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

/// The best values so far: those that most events have, equals by value.
pub(super) struct Best {
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

    /// Whether a value with that count would be among them.
    pub(super) fn has_room_for(&self, count: u64, value: &str) -> bool {
        let is_full = self.heap.len() >= self.size;
        let worst = self.heap.peek().filter(|_| is_full);
        let is_better = worst.is_none_or(|Reverse((worst, Reverse(last)))| {
            (count, Reverse(value)) > (*worst, Reverse(last.as_str()))
        });
        count > 0 && self.size > 0 && is_better
    }

    /// Takes a value, if there is room for it. No value is given twice.
    pub(super) fn take(&mut self, value: &str, count: u64) {
        if !self.has_room_for(count, value) {
            return;
        }
        if self.heap.len() >= self.size {
            self.heap.pop();
        }
        self.heap.push(Reverse((count, Reverse(value.to_owned()))));
    }

    fn into_values(self) -> Vec<ValueCount> {
        let ranked = self.heap.into_sorted_vec().into_iter();
        ranked
            .map(|Reverse((count, Reverse(value)))| ValueCount { value, count })
            .collect()
    }
}
