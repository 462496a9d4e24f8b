//! A [`WordMap`] being made from the dictionaries of a segment.

use std::collections::HashMap;
use std::sync::Arc;

use tantivy::{InvertedIndexReader, SegmentReader, TantivyError};

use super::bit_set_builder::add;
use super::bits::Bits;
use super::schema::{IndexSchema, Mark, Worded};
use super::word_map::{MappedField, NumberLists, ValuePostings, WordMap};
use crate::engine::budget::{Budget, Steps};
use crate::field::Kind;
use crate::query::words::{self, Cutter, MAX_VALUE_LEN};

/// The most words of values, as often as they occur, in the map of one segment, a value's own place counted as [`PLACE_WORDS`]
/// of them: some sixteen megabytes. The dictionaries of fields that do not fit are read for each question.
pub(super) const MAX_WORDS: usize = 2_000_000;

/// So many words take as much as a value besides its words.
const PLACE_WORDS: usize = 2;

/// What a map holds so far.
#[derive(Default)]
struct Collected {
    /// The words by their number here.
    numbers: HashMap<Box<str>, u32>,
    /// By the number of a value, the numbers of its words.
    words_of: NumberLists,
    postings: Vec<ValuePostings>,
}

/// The map of a segment; `None` when time was up before it was whole.
pub(super) fn map_of(
    reader: &SegmentReader,
    shape: &IndexSchema,
    budget: &Budget,
    most_words: usize,
) -> tantivy::Result<Option<WordMap>> {
    let mut inverted = Vec::new();
    for worded in shape.worded() {
        inverted.push((reader.inverted_index(worded.field)?, worded));
    }
    inverted.sort_by_key(|(inverted, _)| inverted.terms().num_terms());
    let steps = budget.steps();
    let (mut collected, mut fields, mut unmapped) = (Collected::default(), Vec::new(), Vec::new());
    for (inverted, worded) in inverted {
        let field = mapped_field(reader, &inverted, &worded)?;
        let first = collected.words_of.len() as u32;
        if collected.take(&inverted, &worded, most_words, &steps)? {
            fields.push((first, field));
        } else {
            unmapped.push(field);
        }
        if budget.is_over() {
            return Ok(None);
        }
    }
    let respelled = respelled(reader, shape, budget)?;
    Ok(Some(collected.into_map(fields, unmapped, respelled)?))
}

fn mapped_field(
    reader: &SegmentReader,
    inverted: &InvertedIndexReader,
    worded: &Worded,
) -> tantivy::Result<MappedField> {
    let column = reader.fast_fields().str(worded.name)?;
    // Both dictionaries are of the same values, in the same order.
    let column = column.filter(|column| column.num_terms() == inverted.terms().num_terms());
    Ok(MappedField {
        field: worded.field,
        column: column.map(|column| column.ords().clone()),
        has_one_spelling: worded.has_one_spelling(),
    })
}

/// The documents that have other words than the spelling of a value in the index.
fn respelled(
    reader: &SegmentReader,
    shape: &IndexSchema,
    budget: &Budget,
) -> tantivy::Result<Option<Arc<Bits>>> {
    let mark = shape.mark(&Mark::Respelled);
    let inverted = reader.inverted_index(mark.field())?;
    let Some(info) = inverted.get_term_info(&mark)? else {
        return Ok(None);
    };
    let mut docs = Bits::new(reader.max_doc(), Budget::default().memory())?;
    add(&mut docs, &inverted, &info, &budget.steps(), |_| true)?;
    Ok(Some(Arc::new(docs)))
}

impl Collected {
    /// Takes the words of a field's values; none of them, and says so, when all would be more than `most`.
    fn take(
        &mut self,
        inverted: &InvertedIndexReader,
        worded: &Worded,
        most: usize,
        steps: &Steps,
    ) -> tantivy::Result<bool> {
        let (n_values, n_words) = (self.words_of.len(), self.numbers.len() as u32);
        let mut terms = inverted.terms().stream()?;
        let (mut word, mut numbers) = (String::new(), Vec::new());
        while terms.advance() && !steps.step() {
            let value = std::str::from_utf8(terms.key()).unwrap_or_default();
            numbers.clear();
            if has_words_here(worded.kind, value) {
                let mut cutter = Cutter::new(value);
                while cutter.next_into(&mut word).is_some() {
                    numbers.push(self.number(&word));
                }
            }
            self.words_of.push(numbers.iter().copied());
            self.postings.push(ValuePostings::of(terms.value()));
            if self.words_of.n_items() + PLACE_WORDS * self.words_of.len() > most {
                self.words_of.truncate(n_values);
                self.postings.truncate(n_values);
                self.numbers.retain(|_, number| *number < n_words);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn number(&mut self, word: &str) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(word.into(), number);
        number
    }

    fn into_map(
        self,
        fields: Vec<(u32, MappedField)>,
        unmapped: Vec<MappedField>,
        respelled: Option<Arc<Bits>>,
    ) -> tantivy::Result<WordMap> {
        let mut sorted: Vec<(Box<str>, u32)> = self.numbers.into_iter().collect();
        sorted.sort_unstable();
        let mut in_order = vec![0; sorted.len()];
        let mut words = tantivy_fst::MapBuilder::memory();
        for (number, (word, before)) in (0..).zip(&sorted) {
            in_order[*before as usize] = number;
            words.insert(&**word, number.into()).map_err(failed)?;
        }
        drop(sorted);
        let mut words_of = NumberLists::default();
        let mut values_of = vec![Vec::new(); in_order.len()];
        for value in 0..self.words_of.len() as u32 {
            let list = self.words_of.get(value);
            words_of.push(list.iter().map(|word| in_order[*word as usize]));
            for word in words_of.get(value) {
                let values: &mut Vec<u32> = &mut values_of[*word as usize];
                if values.last() != Some(&value) {
                    values.push(value);
                }
            }
        }
        let mut lists = NumberLists::default();
        values_of.into_iter().for_each(|values| lists.push(values));
        let words = words.into_inner().map_err(failed)?;
        Ok(WordMap {
            words: tantivy_fst::Map::from_bytes(words).map_err(failed)?,
            values_of: lists,
            words_of,
            postings: self.postings,
            fields,
            unmapped,
            respelled,
        })
    }
}

/// Whether a value's words are looked up among the values: those of opaque ids and of values that are cut are in the index.
pub(super) fn has_words_here(kind: Kind, value: &str) -> bool {
    value.len() <= MAX_VALUE_LEN && !(kind == Kind::Id && words::is_opaque(value))
}

fn failed(error: tantivy_fst::Error) -> TantivyError {
    TantivyError::InternalError(error.to_string())
}
