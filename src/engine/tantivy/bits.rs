//! A bit for each document of a segment.

use std::sync::Arc;

use tantivy::{DocId, DocSet, TERMINATED};

use crate::engine::budget::{MemoryBudget, Reserved};
use crate::engine::error::OutOfMemory;

/// A bit for each document of a segment.
#[derive(Debug)]
pub(super) struct Bits {
    words: Vec<u64>,
    /// How many are set.
    len: u64,
    /// How many documents there are.
    n_docs: DocId,
    _reserved: Reserved,
}

impl Bits {
    /// None of so many documents.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(super) fn new(n_docs: DocId, memory: &MemoryBudget) -> Result<Self, OutOfMemory> {
        let n_words = n_docs.div_ceil(64) as usize;
        Ok(Self {
            _reserved: memory.reserve(n_words * size_of::<u64>())?,
            words: vec![0; n_words],
            len: 0,
            n_docs,
        })
    }

    /// How many documents are in it.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }

    /// Adds a document.
    pub(super) fn insert(&mut self, doc: DocId) {
        let (word, bit) = (&mut self.words[doc as usize / 64], 1 << (doc % 64));
        self.len += u64::from(*word & bit == 0);
        *word |= bit;
    }

    pub(super) fn contains(&self, doc: DocId) -> bool {
        self.words[doc as usize / 64] >> (doc % 64) & 1 == 1
    }

    /// Adds what is in another.
    pub(super) fn add(&mut self, other: &Self) {
        self.combine(other, |word, other| word | other);
    }

    /// Keeps what is in another, too.
    pub(super) fn keep(&mut self, other: &Self) {
        self.combine(other, |word, other| word & other);
    }

    /// Takes away what is in another.
    pub(super) fn take_away(&mut self, other: &Self) {
        self.combine(other, |word, other| word & !other);
    }

    fn combine(&mut self, other: &Self, combine: impl Fn(u64, u64) -> u64) {
        let mut len = 0;
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word = combine(*word, *other);
            len += u64::from(word.count_ones());
        }
        self.len = len;
    }

    /// Has those that it had not, and no others.
    pub(super) fn invert(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        let beyond = self.n_docs % 64;
        if beyond > 0
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1 << beyond) - 1;
        }
        self.len = u64::from(self.n_docs) - self.len;
    }

    pub(super) fn first(&self) -> Option<DocId> {
        self.from(0)
    }

    pub(super) fn last(&self) -> Option<DocId> {
        let at = self.words.iter().rposition(|word| *word != 0)?;
        Some(at as DocId * 64 + 63 - self.words[at].leading_zeros())
    }

    /// The first document from one on.
    fn from(&self, doc: DocId) -> Option<DocId> {
        let mut at = doc as usize / 64;
        let mut word = self.words.get(at)? & (u64::MAX << (doc % 64));
        while word == 0 {
            at += 1;
            word = *self.words.get(at)?;
        }
        Some(at as DocId * 64 + word.trailing_zeros())
    }

    /// Calls `visit` with each document, in order.
    pub(super) fn for_each(&self, mut visit: impl FnMut(DocId)) {
        for (i, word) in self.words.iter().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                visit(i as DocId * 64 + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
    }

    pub(super) fn count_in(&self, docs: std::ops::Range<DocId>) -> u64 {
        if docs.is_empty() {
            return 0;
        }
        let (first, last) = (docs.start as usize / 64, (docs.end - 1) as usize / 64);
        let not_before = u64::MAX << (docs.start % 64);
        let not_after = u64::MAX >> (63 - (docs.end - 1) % 64);
        let words = self.words[first..=last].iter().enumerate();
        words
            .map(|(i, word)| {
                let word = if i == 0 { word & not_before } else { *word };
                let word = if first + i == last {
                    word & not_after
                } else {
                    word
                };
                u64::from(word.count_ones())
            })
            .sum()
    }
}

/// The documents of some bits, one after the other.
pub(super) struct BitDocs {
    bits: Arc<Bits>,
    doc: DocId,
}

impl BitDocs {
    pub(super) fn new(bits: Arc<Bits>) -> Self {
        let doc = bits.first().unwrap_or(TERMINATED);
        Self { bits, doc }
    }
}

impl DocSet for BitDocs {
    fn advance(&mut self) -> DocId {
        match self.doc {
            TERMINATED => TERMINATED,
            doc => self.seek(doc + 1),
        }
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if target > self.doc {
            self.doc = self.bits.from(target).unwrap_or(TERMINATED);
        }
        self.doc
    }

    fn doc(&self) -> DocId {
        self.doc
    }

    fn size_hint(&self) -> u32 {
        u32::try_from(self.bits.len).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn bits(docs: &BTreeSet<DocId>) -> Bits {
        let mut bits = Bits::new(300, &MemoryBudget::default()).unwrap();
        docs.iter().for_each(|doc| bits.insert(*doc));
        bits
    }

    fn docs(bits: &Bits) -> BTreeSet<DocId> {
        let mut docs = BTreeSet::new();
        bits.for_each(|doc| {
            docs.insert(doc);
        });
        assert_eq!(docs.len() as u64, bits.len());
        docs
    }

    fn any_docs() -> impl Strategy<Value = BTreeSet<DocId>> {
        prop::collection::btree_set(0..300_u32, 0..200)
    }

    proptest! {
        #[test]
        fn bits_are_sets(a in any_docs(), b in any_docs(), targets in prop::collection::vec(0..320_u32, 0..20)) {
            type Op = fn(&mut Bits, &Bits);
            let ops: [(Op, BTreeSet<DocId>); 3] = [
                (Bits::add, &a | &b),
                (Bits::keep, &a & &b),
                (Bits::take_away, &a - &b),
            ];
            for (op, expect) in ops {
                let mut result = bits(&a);
                op(&mut result, &bits(&b));
                prop_assert_eq!(docs(&result), expect);
            }
            let mut others = bits(&a);
            others.invert();
            prop_assert_eq!(docs(&others), (0..300).filter(|doc| !a.contains(doc)).collect::<BTreeSet<_>>());
            let mut walk = BitDocs::new(Arc::new(bits(&a)));
            let mut at = 0;
            for target in targets {
                at = at.max(target);
                let expect = a.range(at..).next().copied();
                prop_assert_eq!(walk.seek(at), expect.unwrap_or(TERMINATED));
                at = walk.advance();
            }
        }
    }

    #[test]
    fn memory_is_bounded_and_given_back() {
        let memory = MemoryBudget::of(100);
        let first = Bits::new(512, &memory).unwrap();
        assert!(Bits::new(512, &memory).is_err());
        drop(first);
        assert!(Bits::new(512, &memory).is_ok());
        assert_eq!(memory.used(), 0);
    }
}
