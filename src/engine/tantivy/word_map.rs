//! Which values of a segment's columns have a word: a map in memory, made from the dictionaries of these fields.
//!
//! The words of these values are not in the index: few values are in very many events, so a word is looked up among the values,
//! and their documents are known. The words of each value are there in their order, so that a phrase is checked without reading
//! the value.

use std::sync::Arc;

use tantivy::columnar::Column;
use tantivy::postings::TermInfo;
use tantivy::schema::Field;

use super::bits::Bits;
use super::dictionary_walk::DictionaryWalk;
use crate::engine::budget::Budget;
use crate::query::automaton::Automaton;
use crate::query::words;

/// What a word has to be.
#[derive(Debug, Clone)]
pub(super) enum WordPattern {
    /// This word.
    Is(String),
    /// What one of these matches.
    Like(Arc<[Automaton]>),
}

impl WordPattern {
    pub(super) fn is(&self, word: &str) -> bool {
        match self {
            Self::Is(wanted) => wanted == word,
            Self::Like(automata) => {
                let kept = words::kept_text(word, words::MAX_TERM_LEN);
                automata.iter().any(|automaton| automaton.matches(kept))
            }
        }
    }
}

/// A field whose values are asked for words.
pub(super) struct MappedField {
    pub(super) field: Field,
    /// The numbers of its values in its column, when they are those of its dictionary.
    pub(super) column: Option<Column<u64>>,
    /// Whether its values have one spelling, which events may not have used.
    pub(super) has_one_spelling: bool,
}

/// The values of a field that were found.
pub(super) struct FoundValues<'a> {
    pub(super) of: &'a MappedField,
    /// Their numbers in its dictionary, ascending.
    pub(super) numbers: Vec<u64>,
    /// Where their documents are.
    pub(super) infos: Vec<TermInfo>,
}

/// Where the documents of a value are, and how many.
pub(super) struct ValuePostings {
    start: usize,
    len: u32,
    doc_freq: u32,
}

impl ValuePostings {
    pub(super) fn of(info: &TermInfo) -> Self {
        Self {
            start: info.postings_range.start,
            // The list of one segment is shorter than that.
            len: u32::try_from(info.postings_range.len()).unwrap_or(u32::MAX),
            doc_freq: info.doc_freq,
        }
    }

    /// As the engine has it; values have no positions.
    fn info(&self) -> TermInfo {
        TermInfo {
            doc_freq: self.doc_freq,
            postings_range: self.start..self.start + self.len as usize,
            positions_range: 0..0,
        }
    }
}

/// Which values of a segment have a word.
pub(super) struct WordMap {
    /// The number of each word.
    pub(super) words: tantivy_fst::Map<Vec<u8>>,
    /// By the number of a word, the values that have it, ascending. All fields' values are numbered together.
    pub(super) values_of: NumberLists,
    /// By the number of a value, its words in order.
    pub(super) words_of: NumberLists,
    /// By the number of a value, where its documents are.
    pub(super) postings: Vec<ValuePostings>,
    /// The fields, and the number of the first value of each; by that number.
    pub(super) fields: Vec<(u32, MappedField)>,
    /// The fields that have too many values for a map.
    pub(super) unmapped: Vec<MappedField>,
    /// The documents that spell a value of a field with one spelling in another way: see [`super::schema::Mark::Respelled`].
    pub(super) respelled: Option<Arc<Bits>>,
}

/// Lists of numbers, one behind the other.
#[derive(Default)]
pub(super) struct NumberLists {
    items: Vec<u32>,
    /// Where each ends. It begins where the one before it ends.
    ends: Vec<u32>,
}

impl NumberLists {
    /// Adds a list.
    pub(super) fn push(&mut self, list: impl IntoIterator<Item = u32>) {
        self.items.extend(list);
        // So many numbers do not fit into the memory that a map may take.
        self.ends
            .push(u32::try_from(self.items.len()).unwrap_or(u32::MAX));
    }

    /// Keeps the first `len` lists.
    pub(super) fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        let end = self.ends.last().copied().unwrap_or_default();
        self.items.truncate(end as usize);
    }

    pub(super) fn get(&self, at: u32) -> &[u32] {
        let at = at as usize;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.items[start as usize..self.ends[at] as usize]
    }

    /// How many lists there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many numbers they have together.
    pub(super) fn n_items(&self) -> usize {
        self.items.len()
    }
}

/// The words that a pattern means.
enum Meant {
    One(u32),
    /// These, and a bit for each word of the map.
    Many(Vec<u32>, Vec<u64>),
}

impl Meant {
    fn has(&self, word: u32) -> bool {
        match self {
            Self::One(meant) => *meant == word,
            Self::Many(_, bits) => bits[word as usize / 64] >> (word % 64) & 1 == 1,
        }
    }

    fn words(&self) -> &[u32] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Many(words, _) => words,
        }
    }
}

impl WordMap {
    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let lists = [&self.values_of, &self.words_of];
        let numbers: usize = lists.iter().map(|list| list.n_items() + list.len()).sum();
        let bits = self.respelled.as_ref().map_or(0, |bits| bits.bytes());
        let postings = self.postings.len() * size_of::<ValuePostings>();
        self.words.as_fst().size() + numbers * size_of::<u32>() + postings + bits
    }

    /// The values that have such words side by side, field by field; until time is up.
    pub(super) fn find(
        &self,
        asked: &[WordPattern],
        budget: &Budget,
    ) -> tantivy::Result<Vec<FoundValues<'_>>> {
        let mut meant = Vec::new();
        for pattern in asked {
            let words = self.meant(pattern, budget)?;
            if words.words().is_empty() {
                return Ok(Vec::new());
            }
            meant.push(words);
        }
        Ok(self.by_field(&self.values_with(&meant, budget)))
    }

    fn meant(&self, pattern: &WordPattern, budget: &Budget) -> tantivy::Result<Meant> {
        let mut found = Vec::new();
        let automata = match pattern {
            WordPattern::Is(word) => {
                let number = self.words.get(word);
                return Ok(match number {
                    Some(number) => Meant::One(number as u32),
                    None => Meant::Many(found, Vec::new()),
                });
            }
            WordPattern::Like(automata) => automata,
        };
        let mut bits = vec![0; self.words.len().div_ceil(64)];
        for automaton in automata.iter() {
            let walk = DictionaryWalk {
                automaton,
                prefix: &[],
                kept_len: words::MAX_TERM_LEN,
                steps: budget.steps(),
            };
            let mut stream = tantivy_fst::IntoStreamer::into_stream(self.words.search(walk));
            while let Some((_, number)) = tantivy_fst::Streamer::next(&mut stream)
                && !budget.is_over()
            {
                let (word, bit): (&mut u64, u64) =
                    (&mut bits[number as usize / 64], 1 << (number % 64));
                if *word & bit == 0 {
                    *word |= bit;
                    found.push(number as u32);
                }
            }
        }
        Ok(Meant::Many(found, bits))
    }

    /// The values that have the meant words side by side, ascending.
    fn values_with(&self, meant: &[Meant], budget: &Budget) -> Vec<u32> {
        let n_values = |meant: &&Meant| -> usize {
            let lists = meant.words().iter().map(|word| self.values_of.get(*word));
            lists.map(<[u32]>::len).sum()
        };
        let Some(rarest) = meant.iter().min_by_key(n_values) else {
            return Vec::new();
        };
        let lists = rarest.words().iter().map(|word| self.values_of.get(*word));
        let mut values: Vec<u32> = lists.flatten().copied().collect();
        if rarest.words().len() > 1 {
            values.sort_unstable();
            values.dedup();
        }
        if meant.len() > 1 {
            let steps = budget.steps();
            values.retain(|value| {
                let words = self.words_of.get(*value);
                let mut runs = words.windows(meant.len());
                !steps.step()
                    && runs.any(|run| run.iter().zip(meant).all(|(word, meant)| meant.has(*word)))
            });
        }
        values
    }

    /// Values by their fields.
    fn by_field(&self, mut values: &[u32]) -> Vec<FoundValues<'_>> {
        let mut found = Vec::new();
        let firsts = self.fields.iter().map(|(first, _)| *first).skip(1);
        let ends = firsts.chain([u32::MAX]);
        for ((first, of), end) in self.fields.iter().zip(ends) {
            let (of_field, others) = values.split_at(values.partition_point(|value| *value < end));
            if !of_field.is_empty() {
                let numbers = of_field.iter().map(|value| u64::from(value - first));
                let infos = of_field
                    .iter()
                    .map(|value| self.postings[*value as usize].info());
                found.push(FoundValues {
                    of,
                    numbers: numbers.collect(),
                    infos: infos.collect(),
                });
            }
            values = others;
        }
        found
    }
}
