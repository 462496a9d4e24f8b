//! A set of places in the log.

use std::fmt;

use crate::position::Seq;

/// The bits of one word.
const WORD: u64 = 64;

/// A set of places in the log: a bit for each place up to the last.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct SeqSet {
    words: Vec<u64>,
    len: u64,
}

impl SeqSet {
    /// About how many bytes a set of places up to one takes.
    #[must_use]
    pub fn bytes_upto(seq: Seq) -> u64 {
        seq.0 / 8
    }

    /// Adds a place.
    pub fn insert(&mut self, seq: Seq) {
        let (word, bit) = place(seq);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.len += u64::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }

    /// Whether a place is in it.
    #[must_use]
    pub fn contains(&self, seq: Seq) -> bool {
        let (word, bit) = place(seq);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// How many places there are in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for SeqSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeqSet({})", self.len)
    }
}

fn place(seq: Seq) -> (usize, u64) {
    let word = usize::try_from(seq.0 / WORD).unwrap_or(usize::MAX);
    (word, 1 << (seq.0 % WORD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_added_and_counts_it_once() {
        let mut set = SeqSet::default();
        assert!(set.is_empty() && !set.contains(Seq(0)));
        for seq in [1, 63, 64, 64, 1_000] {
            set.insert(Seq(seq));
        }
        assert_eq!(set.len(), 4);
        let found: Vec<u64> = (0..2_000).filter(|seq| set.contains(Seq(*seq))).collect();
        assert_eq!(found, [1, 63, 64, 1_000]);
        assert!(!set.contains(Seq(u64::MAX)));
    }
}
