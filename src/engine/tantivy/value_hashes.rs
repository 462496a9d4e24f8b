//! How many documents have each value of a field, counted over all segments by the hashes of the values.
//!
//! Where nearly each event has a value of its own, its dictionaries have millions of values. To put them in order side by side costs
//! several times what counting does. So the hashes of a segment's values are kept, and only the values that are given back are
//! read. A hash has 96 bits with a key of the process: that two values share one does not happen.

use std::collections::{BinaryHeap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use tantivy::index::SegmentId;
use tantivy::schema::Field;
use tantivy::{InvertedIndexReader, SegmentReader};

use super::per_segment::PerSegment;
use crate::engine::budget::Budget;
use crate::engine::ranking::Rank;
use crate::task;

/// The most bytes that the hashes of all segments and fields take.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// A value of a segment.
#[derive(Clone, Copy)]
struct HashedValue {
    hash: [u32; 3],
    /// Its number in the dictionary.
    number: u32,
    /// How many documents have it.
    count: u32,
}

/// The values of a segment, by their hashes.
pub(super) struct ValueHashes(Vec<HashedValue>);

/// The values of all segments. They are shared by the snapshots of one index.
pub(super) struct AllValueHashes {
    kept: PerSegment<ValueHashes>,
    keys: [RandomState; 2],
}

impl Default for AllValueHashes {
    fn default() -> Self {
        Self::with_bytes(MAX_BYTES)
    }
}

impl AllValueHashes {
    pub(super) fn with_bytes(most: usize) -> Self {
        Self {
            kept: PerSegment::with_bytes(most),
            keys: [RandomState::new(), RandomState::new()],
        }
    }

    /// Whether the hashes of so many values fit.
    pub(super) fn have_room(&self, n_values: usize) -> bool {
        n_values.saturating_mul(size_of::<HashedValue>()) <= self.kept.most_bytes()
    }

    /// Those of a field of a segment; `None` when time was up before they were made.
    pub(super) fn of(
        &self,
        reader: &SegmentReader,
        field: Field,
        dictionary: &InvertedIndexReader,
        budget: &Budget,
    ) -> tantivy::Result<Option<Arc<ValueHashes>>> {
        self.kept.of((reader.segment_id(), Some(field)), || {
            let steps = budget.steps();
            let mut hashed = Vec::with_capacity(dictionary.terms().num_terms());
            let mut terms = dictionary.terms().stream()?;
            while terms.advance() {
                if steps.step() {
                    return Ok(None);
                }
                hashed.push(HashedValue {
                    hash: self.hash(terms.key()),
                    // A segment has no more documents than that, and each has few values.
                    number: u32::try_from(terms.term_ord()).unwrap_or(u32::MAX),
                    count: terms.value().doc_freq,
                });
            }
            hashed.sort_unstable_by_key(|value| value.hash);
            let bytes = hashed.capacity() * size_of::<HashedValue>();
            Ok(Some((ValueHashes(hashed), bytes)))
        })
    }

    fn hash(&self, value: &[u8]) -> [u32; 3] {
        let [first, second] = self.keys.each_ref().map(|key| key.hash_one(value));
        [(first >> 32) as u32, first as u32, second as u32]
    }

    /// How many fields of segments have their hashes here.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Forgets the hashes of segments that are no more.
    pub(super) fn retain(&self, segments: &HashSet<SegmentId>) {
        self.kept.retain(segments);
    }
}

/// A value, and how many documents of all segments have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CountedValue {
    pub(super) count: u32,
    /// A segment that has it, by its place among the segments.
    pub(super) segment: u32,
    /// Its number there.
    pub(super) number: u32,
}

/// The values of all segments counted.
pub(super) struct CountedValues {
    /// How many there are.
    pub(super) distinct: u64,
    /// Their counts added up.
    pub(super) total: u64,
    /// The first in their order, and those that are as frequent as the last of these: of each segment the first in the order of texts.
    pub(super) first: Vec<CountedValue>,
}

/// The values that are counted in one piece: so many fit into the processor's cache.
const PIECE_LEN: usize = 4_096;

/// Counts the values of all segments; the first `size` by `rank` are asked for.
pub(super) fn count(segments: &[Arc<ValueHashes>], rank: Rank, size: usize) -> CountedValues {
    let n_values: usize = segments.iter().map(|segment| segment.0.len()).sum();
    let n_pieces = (n_values / PIECE_LEN).next_power_of_two();
    let n_parts = task::processors().min(n_pieces);
    let parts = (0..n_parts).map(|i| i * n_pieces / n_parts..(i + 1) * n_pieces / n_parts);
    let counted = task::side_by_side(parts.collect(), &|part| {
        let mut counted = Vec::with_capacity(n_values / n_parts);
        for piece in part {
            count_piece(segments, (piece, n_pieces), &mut counted);
        }
        counted
    });
    let all = || counted.iter().flatten();
    CountedValues {
        distinct: all().count() as u64,
        total: all().map(|value| u64::from(value.count)).sum(),
        first: first(all, segments.len(), rank, size),
    }
}

/// Counts the values whose hashes are in one of several pieces of equal length.
fn count_piece(
    segments: &[Arc<ValueHashes>],
    (piece, n_pieces): (usize, usize),
    counted: &mut Vec<CountedValue>,
) {
    let border = |piece: usize| (piece as u64) * (1 << 32) / n_pieces as u64;
    let place = |segment: &ValueHashes, border: u64| {
        let is_before = |value: &HashedValue| u64::from(value.hash[0]) < border;
        segment.0.partition_point(is_before)
    };
    let slices: Vec<&[HashedValue]> = segments
        .iter()
        .map(|segment| {
            let (start, end) = (border(piece), border(piece + 1));
            &segment.0[place(segment, start)..place(segment, end)]
        })
        .collect();
    let n_values: usize = slices.iter().map(|slice| slice.len()).sum();
    let n_slots = (n_values * 2).next_power_of_two();
    // Which of the hashes here is at its place, counted from 1. The place is another part of it than the pieces are made of.
    let mut slots = vec![0_u32; n_slots];
    let mut hashes: Vec<[u32; 3]> = Vec::with_capacity(n_values);
    let before = counted.len();
    for (segment, slice) in (0..).zip(slices) {
        for value in slice {
            let mut at = value.hash[1] as usize % n_slots;
            let known = loop {
                match slots[at] {
                    0 => break None,
                    known if hashes[known as usize - 1] == value.hash => break Some(known),
                    _ => at = (at + 1) % n_slots,
                }
            };
            if let Some(known) = known {
                let known = &mut counted[before + known as usize - 1];
                known.count = known.count.saturating_add(value.count);
                continue;
            }
            hashes.push(value.hash);
            slots[at] = hashes.len() as u32;
            counted.push(CountedValue {
                count: value.count,
                segment,
                number: value.number,
            });
        }
    }
}

/// The first of some values, see [`CountedValues::first`].
fn first<'a, I: Iterator<Item = &'a CountedValue>>(
    all: impl Fn() -> I,
    n_segments: usize,
    rank: Rank,
    size: usize,
) -> Vec<CountedValue> {
    // Less for what comes first.
    let place = |value: &CountedValue| match rank {
        Rank::Frequent => u32::MAX - value.count,
        Rank::Rare => value.count,
    };
    let mut places = BinaryHeap::new();
    for value in all().filter(|value| value.count > 0) {
        if places.len() < size {
            places.push(place(value));
        } else if let Some(mut last) = places.peek_mut()
            && place(value) < *last
        {
            *last = place(value);
        }
    }
    let Some(last) = places.peek().copied() else {
        return Vec::new();
    };
    let mut first = Vec::new();
    let mut equal: Vec<BinaryHeap<(u32, u32)>> = vec![BinaryHeap::new(); n_segments];
    for value in all().filter(|value| value.count > 0 && place(value) <= last) {
        if place(value) < last {
            first.push(*value);
            continue;
        }
        let equal = &mut equal[value.segment as usize];
        if equal.len() < size {
            equal.push((value.number, value.count));
        } else if let Some(mut worst) = equal.peek_mut()
            && value.number < worst.0
        {
            *worst = (value.number, value.count);
        }
    }
    for (segment, equal) in (0..).zip(equal) {
        first.extend(equal.into_iter().map(|(number, count)| CountedValue {
            count,
            segment,
            number,
        }));
    }
    first
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The values of a segment with these counts, which are numbered in the order of texts.
    fn segment(values: &BTreeMap<u32, u32>) -> Arc<ValueHashes> {
        let hashed = values
            .iter()
            .zip(0..)
            .map(|((value, count), number)| HashedValue {
                // Many that differ in one part alone.
                hash: [value.wrapping_mul(0x9e37_79b9), value % 3, value / 3],
                number,
                count: *count,
            });
        let mut hashed: Vec<HashedValue> = hashed.collect();
        hashed.sort_unstable_by_key(|value| value.hash);
        Arc::new(ValueHashes(hashed))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
        #[test]
        fn values_of_all_segments_are_counted_once_and_the_first_are_among_those_given(
            segments in prop::collection::vec(
                (0..9_000_u32, 1..9_000_u32, 1..5_u32, 1..40_u32), 0..5),
            size in 0..7_usize,
            is_rare in any::<bool>(),
        ) {
            let segments: Vec<BTreeMap<u32, u32>> = segments
                .iter()
                .map(|(from, n, step, most)| {
                    let values = (0..*n).map(|i| from + i * step);
                    values.map(|value| (value, value % most + 1)).collect()
                })
                .collect();
            let mut expect: BTreeMap<u32, u32> = BTreeMap::new();
            for (value, count) in segments.iter().flatten() {
                *expect.entry(*value).or_default() += count;
            }
            let rank = if is_rare { Rank::Rare } else { Rank::Frequent };
            let hashes: Vec<_> = segments.iter().map(segment).collect();
            let counted = count(&hashes, rank, size);
            prop_assert_eq!(counted.distinct, expect.len() as u64);
            prop_assert_eq!(counted.total, expect.values().map(|count| u64::from(*count)).sum::<u64>());
            let mut in_order: Vec<(u32, u32)> = expect.iter().map(|(value, count)| (*value, *count)).collect();
            in_order.sort_by_key(|(value, count)| {
                let place = if is_rare { u64::from(*count) } else { u64::MAX - u64::from(*count) };
                (place, *value)
            });
            let found: Vec<(u32, u32)> = counted.first.iter().map(|found| {
                let value = segments[found.segment as usize].keys().nth(found.number as usize);
                (*value.unwrap(), found.count)
            }).collect();
            for value in in_order.iter().take(size) {
                prop_assert!(found.contains(value), "{:?} of {:?}", value, found.len());
            }
            for (value, count) in found {
                prop_assert_eq!(expect.get(&value), Some(&count));
            }
        }
    }
}
