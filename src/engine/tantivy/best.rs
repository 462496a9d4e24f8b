//! The values that most events have, of those that come by one after the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::engine::hit::ValueCount;

/// The best values so far: those that most events have, equals by value.
pub(super) struct Best {
    size: usize,
    /// The worst of them on top.
    heap: BinaryHeap<Reverse<(u64, Reverse<String>)>>,
}

impl Best {
    pub(super) fn new(size: usize) -> Self {
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

    /// They, the best first.
    pub(super) fn into_values(self) -> Vec<ValueCount> {
        let ranked = self.heap.into_sorted_vec().into_iter();
        ranked
            .map(|Reverse((count, Reverse(value)))| ValueCount { value, count })
            .collect()
    }
}
