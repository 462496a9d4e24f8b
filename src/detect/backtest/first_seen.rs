//! Which pairs of each event had not occurred before it, exactly. The least times of a part of the pairs are in memory at once; the parts
//! are chosen so that they fit, each by two readings of the log.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use super::reading::{BacktestError, LogReading, ReadEvent};
use crate::detect::pairs::{PAIRS, pairs_of};
use crate::position::Seq;
use crate::rules::EntryFacts;
use crate::store::alerts::SeenPair;
use crate::sync::lock;

/// Pairs are hashed, so that a long value takes no more memory. Nothing leaves this process.
const KEY: [u8; 32] = [0; 32];

/// For each event: which pairs had not occurred before, one bit for each.
pub(super) struct FirstSeenMarks(Option<Vec<AtomicU8>>);

/// The pairs whose hashes are at this place, of so many: a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PairPart {
    place: u64,
    of: u64,
}

impl PairPart {
    fn contains(self, pair: &SeenPair) -> bool {
        let hash = u64::from_le_bytes(std::array::from_fn(|place| pair.hash[place]));
        hash % self.of == self.place
    }

    /// Half of it, and the other half.
    fn halves(self) -> (Self, Self) {
        let of = self.of * 2;
        let place = self.place + self.of;
        (Self { of, ..self }, Self { place, of })
    }
}

/// The least times of the pairs of a part.
struct LeastTimes {
    part: PairPart,
    /// What was taken out of the part since it became too large.
    left: Vec<PairPart>,
    times: HashMap<SeenPair, i64>,
    max: usize,
}

impl LeastTimes {
    fn add(&mut self, pairs: Vec<(SeenPair, i64)>) {
        for (pair, at_us) in pairs {
            if self.part.contains(&pair) {
                let least = self.times.entry(pair).or_insert(at_us);
                *least = at_us.min(*least);
            }
        }
        while self.times.len() > self.max {
            let (kept, left) = self.part.halves();
            self.part = kept;
            self.left.push(left);
            self.times.retain(|pair, _| kept.contains(pair));
        }
    }
}

impl FirstSeenMarks {
    /// Of rules that do not ask for them.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Finds them for all events.
    pub(super) fn find(reading: &LogReading<'_>) -> Result<Self, BacktestError> {
        let mut marks = Vec::new();
        marks.resize_with(reading.head().0 as usize, AtomicU8::default);
        let mut parts = vec![PairPart { place: 0, of: 1 }];
        while let Some(part) = parts.pop() {
            let least = Mutex::new(LeastTimes {
                part,
                left: Vec::new(),
                times: HashMap::new(),
                max: reading.limits().pairs,
            });
            let find = |events: &[ReadEvent]| {
                // The part may become smaller meanwhile.
                let part = lock(&least).part;
                let pairs = events.iter().flat_map(|one| timed_pairs(one, part));
                pairs.collect::<Vec<_>>()
            };
            reading.run(find, |pairs| {
                lock(&least).add(pairs);
                Ok(())
            })?;
            let least = least
                .into_inner()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let mark = |events: &[ReadEvent]| {
                for one in events {
                    let pairs = timed_pairs(one, least.part);
                    let first = pairs.filter(|(pair, at_us)| least.times.get(pair) == Some(at_us));
                    let bits = first.fold(0, |bits, (pair, _)| bits | bit_of(pair.pair));
                    if let Some(mark) = place_of(one.event.seq).and_then(|at| marks.get(at)) {
                        mark.fetch_or(bits, Ordering::Relaxed);
                    }
                }
            };
            reading.run(mark, Ok)?;
            parts.extend(least.left);
        }
        Ok(Self(Some(marks)))
    }

    /// What rules see of an event, with what had not been seen before it.
    pub(super) fn facts(&self, one: &ReadEvent) -> Option<EntryFacts> {
        let marks = self.0.as_ref()?;
        let mark = marks.get(place_of(one.event.seq)?)?.load(Ordering::Relaxed);
        let names = (0_u8..).zip(PAIRS);
        let first = names.filter(|(pair, _)| mark & bit_of(*pair) != 0);
        let names = first.map(|(_, (name, _))| name);
        Some(one.facts.clone().with_first_seen(names))
    }
}

fn timed_pairs(one: &ReadEvent, part: PairPart) -> impl Iterator<Item = (SeenPair, i64)> {
    let at_us = one.at_us();
    let pairs = pairs_of(&one.facts, &KEY).into_iter();
    let of_part = pairs.filter(move |pair| part.contains(pair));
    of_part.map(move |pair| (pair, at_us))
}

fn bit_of(pair: u8) -> u8 {
    1_u8.checked_shl(pair.into()).unwrap_or(0)
}

/// The place of an event's marks.
fn place_of(seq: Seq) -> Option<usize> {
    usize::try_from(seq.0.checked_sub(1)?).ok()
}
