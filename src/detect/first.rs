//! What is first seen in events that are being judged: which of their pairs had not occurred before in event time, in what the log has
//! noted and in these events.

use std::collections::{BTreeSet, HashMap};

use super::pairs::PAIRS;
use crate::position::Seq;
use crate::store::alerts::{FirstSeen, SeenPair};
use crate::store::{Store, StoreError};

/// When pairs occur first.
#[derive(Debug, Default)]
pub(super) struct FirstTimes {
    /// As the log has noted it.
    noted: HashMap<SeenPair, FirstSeen>,
    /// With what is being judged, in microseconds since 1970.
    least: HashMap<SeenPair, i64>,
}

impl FirstTimes {
    /// Takes in pairs that occur at a time each.
    pub(super) fn add(
        &mut self,
        store: &Store,
        pairs: impl Iterator<Item = (SeenPair, i64)>,
    ) -> Result<(), StoreError> {
        let mut unknown = Vec::new();
        for (pair, at_us) in pairs {
            let least = self.least.entry(pair).or_insert_with(|| {
                unknown.push(pair);
                at_us
            });
            *least = (*least).min(at_us);
        }
        for (pair, first) in store.first_seen(unknown)? {
            let least = self.least.entry(pair).or_insert(first.at_us);
            *least = (*least).min(first.at_us);
            self.noted.insert(pair, first);
        }
        Ok(())
    }

    /// Whether a pair in an event at a time had not occurred before.
    pub(super) fn is_first(&self, pair: &SeenPair, at_us: i64) -> bool {
        self.least.get(pair).is_none_or(|least| at_us <= *least)
    }

    /// The names of those pairs of an event at a time that had not occurred before.
    pub(super) fn names(&self, pairs: &[SeenPair], at_us: i64) -> Vec<&'static str> {
        let first = pairs.iter().filter(|pair| self.is_first(pair, at_us));
        let names = first.filter_map(|pair| PAIRS.get(usize::from(pair.pair)));
        names.map(|(name, _)| *name).collect()
    }

    /// The events that were the first for some pair and no longer are.
    pub(super) fn displaced(&self) -> BTreeSet<Seq> {
        let is_earlier = |pair: &SeenPair, first: &FirstSeen| {
            self.least
                .get(pair)
                .is_some_and(|least| *least < first.at_us)
        };
        let displaced = self
            .noted
            .iter()
            .filter(|(pair, first)| is_earlier(pair, first));
        displaced
            .flat_map(|(_, first)| first.events.iter().copied())
            .collect()
    }
}
