//! Which values of a field are wanted, and the best of those that come by one after the other. The same for every engine.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::hit::ValueCount;
use crate::field::folded;

/// Which values come first. Of values that equally many events have, the first in the order of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rank {
    /// Those that most events have.
    #[default]
    Frequent,
    /// Those that fewest events have.
    Rare,
}

/// Which values of a field or path are wanted.
#[derive(Debug, Clone)]
pub struct ValuesOf<'a> {
    /// The field of the table, or the path.
    pub name: &'a str,
    /// How they begin, in lower case.
    prefix: String,
    /// What is somewhere in them, in lower case.
    part: String,
    /// Values that are not wanted.
    except: Option<&'a BTreeSet<String>>,
    /// Which of them come first.
    pub rank: Rank,
    /// The most values.
    pub size: usize,
    /// Whether [`RankedValues::distinct`] and [`RankedValues::total`] are wanted too: then each value has to be counted.
    pub totals: bool,
}

impl<'a> ValuesOf<'a> {
    /// The `size` values that most events have.
    #[must_use]
    pub fn new(name: &'a str, size: usize) -> Self {
        Self {
            name,
            prefix: String::new(),
            part: String::new(),
            except: None,
            rank: Rank::Frequent,
            size,
            totals: false,
        }
    }

    /// Of those that begin so.
    #[must_use]
    pub fn beginning(self, prefix: &str) -> Self {
        Self {
            prefix: folded(prefix),
            ..self
        }
    }

    /// Of those that have this text somewhere.
    #[must_use]
    pub fn containing(self, part: &str) -> Self {
        Self {
            part: folded(part),
            ..self
        }
    }

    /// Of those that are none of these.
    #[must_use]
    pub fn without(self, except: &'a BTreeSet<String>) -> Self {
        Self {
            except: Some(except),
            ..self
        }
    }

    /// In this order.
    #[must_use]
    pub fn ranked(self, rank: Rank) -> Self {
        Self { rank, ..self }
    }

    /// With the totals of all of them.
    #[must_use]
    pub fn with_totals(self) -> Self {
        Self {
            totals: true,
            ..self
        }
    }

    /// Whether every value of the field is wanted.
    pub(super) fn is_any(&self) -> bool {
        self.prefix.is_empty() && self.part.is_empty() && self.except.is_none()
    }

    /// How the wanted values begin.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether a value, as it is compared, is wanted.
    #[must_use]
    pub fn passes(&self, value: &str) -> bool {
        value.starts_with(&self.prefix)
            && (self.part.is_empty() || value.contains(&self.part))
            && self.except.is_none_or(|except| !except.contains(value))
    }
}

/// The values that were wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RankedValues {
    /// The first of them, in their order.
    pub values: Vec<ValueCount>,
    /// How many different ones there are; 0 where nobody asked.
    pub distinct: u64,
    /// The counts of all of them, added up; 0 where nobody asked.
    pub total: u64,
}

/// The best values so far.
pub struct Ranking<'a> {
    wanted: &'a ValuesOf<'a>,
    /// The worst of them on top.
    heap: BinaryHeap<Reverse<(u64, Reverse<String>)>>,
    distinct: u64,
    total: u64,
}

impl<'a> Ranking<'a> {
    /// Without any value yet.
    #[must_use]
    pub fn new(wanted: &'a ValuesOf<'a>) -> Self {
        Self {
            wanted,
            heap: BinaryHeap::new(),
            distinct: 0,
            total: 0,
        }
    }

    /// Whether a value has to be counted that at most so many events have.
    pub(super) fn must_count(&self, value: &str, at_most: u64) -> bool {
        let may_be_first = self.wanted.rank == Rank::Rare || self.has_room_for(at_most, value);
        at_most > 0 && (self.wanted.totals || may_be_first) && self.wanted.passes(value)
    }

    /// Takes a wanted value. No value is given twice.
    pub fn take(&mut self, value: &str, count: u64) {
        if count == 0 {
            return;
        }
        self.distinct += 1;
        self.total = self.total.saturating_add(count);
        if !self.has_room_for(count, value) {
            return;
        }
        if self.heap.len() >= self.wanted.size {
            self.heap.pop();
        }
        let score = self.score(count);
        self.heap.push(Reverse((score, Reverse(value.to_owned()))));
    }

    /// Replaces the totals by those of all values, of which only the first were taken.
    pub(super) fn with_totals(self, distinct: u64, total: u64) -> Self {
        Self {
            distinct,
            total,
            ..self
        }
    }

    /// Takes what another ranking of the same question has. None of its values may be here.
    pub(super) fn absorb(&mut self, other: Self) {
        for Reverse((score, Reverse(value))) in other.heap {
            self.take(&value, self.score(score));
            // They are in the totals of the other one.
            self.distinct -= 1;
            self.total = self.total.saturating_sub(self.score(score));
        }
        self.distinct += other.distinct;
        self.total = self.total.saturating_add(other.total);
    }

    /// Whether a value with that count would be among the first.
    fn has_room_for(&self, count: u64, value: &str) -> bool {
        let is_full = self.heap.len() >= self.wanted.size;
        let worst = self.heap.peek().filter(|_| is_full);
        let is_better = worst.is_none_or(|Reverse((worst, Reverse(last)))| {
            (self.score(count), Reverse(value)) > (*worst, Reverse(last.as_str()))
        });
        self.wanted.size > 0 && is_better
    }

    /// What is higher for a better value. It is its own inverse.
    fn score(&self, count: u64) -> u64 {
        match self.wanted.rank {
            Rank::Frequent => count,
            Rank::Rare => u64::MAX - count,
        }
    }

    /// The values, the best first.
    #[must_use]
    pub fn into_values(mut self) -> RankedValues {
        let ranked = std::mem::take(&mut self.heap).into_sorted_vec().into_iter();
        let values = ranked.map(|Reverse((score, Reverse(value)))| ValueCount {
            value,
            count: self.score(score),
        });
        let values = values.collect();
        let (distinct, total) = if self.wanted.totals {
            (self.distinct, self.total)
        } else {
            (0, 0)
        };
        RankedValues {
            values,
            distinct,
            total,
        }
    }
}
