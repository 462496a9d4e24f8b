//! Documents from several places, window by window: those of postings and sets, and those whose column has one of some values.

use std::sync::Arc;

use tantivy::columnar::{Cardinality, Column};
use tantivy::query::Scorer;
use tantivy::{DocId, DocSet, Score, TERMINATED};

use super::bits::Bits;
use crate::engine::budget::{Budget, Reserved, Steps};

/// The documents of the longest window.
const LONGEST: DocId = 4_096;

/// The documents of the first window after a leap. Each next one is twice as long.
const SHORTEST: DocId = 64;

/// Some values of a column.
pub(super) struct ColumnValues {
    column: Column<u64>,
    /// A bit for each value.
    wanted: Vec<u64>,
    _reserved: Reserved,
}

impl ColumnValues {
    /// The values with these numbers, of so many.
    pub(super) fn new(
        column: Column<u64>,
        numbers: &[u64],
        n_values: usize,
        budget: &Budget,
    ) -> tantivy::Result<Self> {
        let n_words = n_values.div_ceil(64);
        let reserved = budget.memory().reserve(n_words * size_of::<u64>())?;
        let mut wanted = vec![0; n_words];
        for number in numbers {
            wanted[*number as usize / 64] |= 1 << (number % 64);
        }
        Ok(Self {
            column,
            wanted,
            _reserved: reserved,
        })
    }

    fn has(&self, doc: DocId) -> bool {
        let is_wanted = |number: u64| {
            let word = self.wanted.get(number as usize / 64);
            word.is_some_and(|word| word >> (number % 64) & 1 == 1)
        };
        match self.column.get_cardinality() {
            Cardinality::Multivalued => self.column.values_for_doc(doc).any(is_wanted),
            _ => self.column.first(doc).is_some_and(is_wanted),
        }
    }
}

/// One of the places.
struct DocPlace {
    from: PlaceDocs,
    /// Documents that are not taken from here.
    without: Option<Arc<Bits>>,
}

enum PlaceDocs {
    Docs(Box<dyn DocSet>),
    Column(ColumnValues),
}

/// The documents, in order.
pub(super) struct WordDocs {
    places: Vec<DocPlace>,
    n_docs: DocId,
    /// The documents of the present window are `start..end`.
    start: DocId,
    end: DocId,
    /// A bit for each document of the window.
    window: [u64; LONGEST as usize / 64],
    doc: DocId,
    size_hint: u32,
    steps: Steps,
    budget: Budget,
}

impl WordDocs {
    pub(super) fn new(n_docs: DocId, budget: &Budget) -> Self {
        Self {
            places: Vec::new(),
            n_docs,
            start: 0,
            end: 0,
            window: [0; LONGEST as usize / 64],
            doc: 0,
            size_hint: 0,
            steps: budget.steps(),
            budget: budget.clone(),
        }
    }

    /// Adds those of `docs`, but none of `without`.
    pub(super) fn add_docs(&mut self, docs: Box<dyn DocSet>, without: Option<Arc<Bits>>) {
        self.size_hint = self.size_hint.saturating_add(docs.size_hint());
        self.places.push(DocPlace {
            from: PlaceDocs::Docs(docs),
            without,
        });
    }

    /// Adds those whose column has one of some values, but none of `without`.
    pub(super) fn add_column(&mut self, values: ColumnValues, without: Option<Arc<Bits>>) {
        self.size_hint = self.n_docs;
        self.places.push(DocPlace {
            from: PlaceDocs::Column(values),
            without,
        });
    }

    /// Goes to the first document.
    pub(super) fn begin(&mut self) {
        self.size_hint = self.size_hint.min(self.n_docs);
        self.find(0, SHORTEST);
    }

    /// Goes to the first document from `start` on, which is not in the window; the next one is `len` long.
    fn find(&mut self, start: DocId, len: DocId) {
        let mut len = len.min(LONGEST);
        self.end = start;
        while self.end < self.n_docs && !self.places.is_empty() && !self.is_over() {
            self.fill(self.end, len);
            if let Some(doc) = self.from(self.start) {
                self.doc = doc;
                return;
            }
            len = (len * 2).min(LONGEST);
        }
        self.doc = TERMINATED;
    }

    /// Makes a window of `len` documents from `start` on.
    fn fill(&mut self, start: DocId, len: DocId) {
        self.start = start;
        self.end = start.saturating_add(len).min(self.n_docs);
        self.window = [0; LONGEST as usize / 64];
        for place in &mut self.places {
            place.fill(self.start, self.end, &mut self.window);
        }
    }

    /// The first document of the window from `doc` on.
    fn from(&self, doc: DocId) -> Option<DocId> {
        let first = (doc - self.start) as usize;
        let mut at = first / 64;
        let mut word = self.window.get(at)? & (u64::MAX << (first % 64));
        while word == 0 {
            at += 1;
            word = *self.window.get(at)?;
        }
        Some(self.start + at as DocId * 64 + word.trailing_zeros())
    }

    fn is_over(&self) -> bool {
        self.steps.step() || self.budget.is_over()
    }
}

impl DocPlace {
    fn fill(&mut self, start: DocId, end: DocId, window: &mut [u64]) {
        let without = self.without.as_deref();
        let mut set = |doc: DocId| {
            if without.is_none_or(|without| !without.contains(doc)) {
                window[(doc - start) as usize / 64] |= 1 << ((doc - start) % 64);
            }
        };
        match &mut self.from {
            PlaceDocs::Docs(docs) => {
                let mut doc = docs.doc();
                if doc < start {
                    doc = docs.seek(start);
                }
                while doc < end {
                    set(doc);
                    doc = docs.advance();
                }
            }
            PlaceDocs::Column(values) => (start..end).filter(|doc| values.has(*doc)).for_each(set),
        }
    }
}

impl DocSet for WordDocs {
    fn advance(&mut self) -> DocId {
        if self.doc == TERMINATED {
            return TERMINATED;
        }
        self.seek(self.doc + 1)
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if target <= self.doc {
            return self.doc;
        }
        if target < self.end
            && let Some(doc) = self.from(target)
        {
            self.doc = doc;
            return doc;
        }
        let is_next = target <= self.end;
        let len = if is_next {
            (self.end - self.start) * 2
        } else {
            SHORTEST
        };
        self.find(target.max(self.end), len);
        self.doc
    }

    fn doc(&self) -> DocId {
        self.doc
    }

    fn size_hint(&self) -> u32 {
        self.size_hint
    }

    fn count_including_deleted(&mut self) -> u32 {
        let mut count = 0;
        while self.doc != TERMINATED {
            let first = (self.doc - self.start) as usize;
            let mut words = self.window.iter().skip(first / 64);
            let of_first = words.next().map(|word| word >> (first % 64));
            let words = of_first.into_iter().chain(words.copied());
            count += words.map(u64::count_ones).sum::<u32>();
            self.find(self.end, (self.end - self.start) * 2);
        }
        count
    }
}

impl Scorer for WordDocs {
    fn score(&mut self) -> Score {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::tantivy::bits::BitDocs;

    /// The documents of a set.
    fn bits(docs: &BTreeSet<DocId>) -> Arc<Bits> {
        let mut bits = Bits::new(20_000, Budget::default().memory()).unwrap();
        docs.iter().for_each(|doc| bits.insert(*doc));
        Arc::new(bits)
    }

    proptest! {
        #[test]
        fn documents_of_several_places_come_in_order_however_they_are_walked_over(
            sets in prop::collection::vec(prop::collection::btree_set(0..20_000_u32, 0..60), 0..4),
            without in prop::collection::btree_set(0..20_000_u32, 0..60),
            leaps in prop::collection::vec(0..3_000_u32, 0..40),
        ) {
            let begun = || {
                let mut docs = WordDocs::new(20_000, &Budget::default());
                for (i, set) in sets.iter().enumerate() {
                    let without = (i == 0).then(|| bits(&without));
                    docs.add_docs(Box::new(BitDocs::new(bits(set))), without);
                }
                docs.begin();
                docs
            };
            let taken = sets.iter().enumerate().flat_map(|(i, set)| {
                let without = (i == 0).then_some(&without);
                set.iter().filter(move |doc| without.is_none_or(|without| !without.contains(doc)))
            });
            let expect: BTreeSet<DocId> = taken.copied().collect();
            prop_assert_eq!(begun().count_including_deleted(), expect.len() as u32);
            let (mut docs, mut at) = (begun(), 0);
            let next = |at: DocId| expect.range(at..).next().copied().unwrap_or(TERMINATED);
            for leap in leaps {
                prop_assert_eq!(docs.doc(), next(at));
                // A leap of nothing is a step.
                at = if docs.doc() == TERMINATED { TERMINATED } else { docs.doc() + leap.max(1) };
                let found = if leap == 0 { docs.advance() } else { docs.seek(at) };
                prop_assert_eq!(found, next(at));
            }
        }
    }
}
