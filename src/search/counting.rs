//! The values of one field among a question's events: from the index, from the events themselves, or from the lists of members
//! and accounts; each as an event or a list spells it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::error::SearchError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::first::is_first_seen;
use super::known::is_of_lists;
use super::page::report_not_indexed;
use super::question::Question;
use super::spelling::spellings;
use super::walk::read;
use crate::engine::{
    Caller, EngineError, Matches, OutOfMemory, RankedValues, Ranking, Reserved, ValueCount,
    ValuesOf, View, counted_values_of,
};
use crate::event::AuditEvent;
use crate::position::Seq;
use crate::store::Store;

/// The most events that are read to count a field's values.
const MAX_READ: u64 = 10_000;

/// How many values are looked at in the time that an event is read.
const TERMS_PER_READ: u64 = 150;

/// About how many bytes of entries are read at once.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// A value, how it is spelled, and how many events have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LabelledValue {
    /// The value as it is compared, in lower case; one that is very long, by its beginning and its hash.
    pub value: String,
    /// The value as one of the events spells it; as it is compared where that is not known.
    pub label: String,
    /// How many events have it.
    pub count: u64,
}

/// The values of one field, as they are shown.
#[derive(Debug, Default)]
pub(super) struct ListedValues {
    /// The first of them.
    pub(super) values: Vec<LabelledValue>,
    /// How many different ones there are.
    pub(super) distinct: u64,
    /// The counts of all of them, added up.
    pub(super) total: u64,
    /// How many events have any value; `None` where that is not known yet.
    pub(super) events: Option<u64>,
}

/// Where values are counted.
pub(super) struct Counting<'a> {
    pub(super) store: &'a Store,
    pub(super) view: &'a View,
    pub(super) caller: &'a Caller,
    /// Without fields that are not in the index.
    pub(super) question: &'a Question,
    pub(super) upto: Seq,
    pub(super) matches: &'a Matches,
}

impl Counting<'_> {
    /// The wanted values of a field, each as an event or a list spells it.
    pub(super) fn values(&self, wanted: &ValuesOf<'_>) -> Result<ListedValues, SearchError> {
        if is_first_seen(wanted.name) {
            self.values_of_first_seen(wanted)
        } else if is_of_lists(wanted.name) {
            self.values_of_lists(wanted)
        } else {
            self.values_of_entries(wanted)
        }
    }

    /// How many events have any value of a field.
    pub(super) fn count_with(&self, field: &str) -> Result<u64, SearchError> {
        if is_first_seen(field) {
            self.count_with_first_seen()
        } else if is_of_lists(field) {
            self.count_with_lists(field)
        } else {
            Ok(self.matches.count_with(field)?)
        }
    }

    /// The wanted values of a field of entries, each as an event spells it.
    pub(super) fn values_of_entries(
        &self,
        wanted: &ValuesOf<'_>,
    ) -> Result<ListedValues, SearchError> {
        let (counted, events) = self.counted(wanted)?;
        let mut values: Vec<LabelledValue> = counted
            .values
            .into_iter()
            .map(|ValueCount { value, count }| LabelledValue {
                label: value.clone(),
                value,
                count,
            })
            .collect();
        self.label(wanted.name, &mut values)?;
        Ok(ListedValues {
            values,
            distinct: counted.distinct,
            total: counted.total,
            events,
        })
    }

    /// Looks up how events spell some values.
    fn label(&self, field: &str, values: &mut [LabelledValue]) -> Result<(), SearchError> {
        // In the order of the log: one event may have several of the values.
        let mut spelled_at: BTreeMap<Seq, Vec<usize>> = BTreeMap::new();
        for (i, found) in values.iter().enumerate() {
            if let Some(seq) = self.matches.seq_with_spelling(field, &found.value)? {
                spelled_at.entry(seq).or_default().push(i);
            }
        }
        let seqs: Vec<Seq> = spelled_at.keys().copied().collect();
        let mut rest = seqs.as_slice();
        while !rest.is_empty() {
            self.caller.budget.check_time()?;
            let events = read(
                self.store,
                &self.caller.scope,
                rest.iter().copied(),
                READ_BYTES,
            )?;
            for event in &events {
                self.caller.budget.check_time()?;
                // One entry may have all the values, and is long then: it is read once for all of them.
                let places = spelled_at.get(&event.seq).map_or(&[][..], Vec::as_slice);
                let wanted: Vec<&str> = places.iter().map(|i| &*values[*i].value).collect();
                for (at, spelling) in spellings(event, field, &wanted) {
                    values[places[at]].label = spelling;
                }
            }
            rest = &rest[events.len()..];
        }
        Ok(())
    }

    /// The wanted values of a field: from the index, or from the events when these are few and its values many. Then how many
    /// events have any is known too.
    fn counted(&self, wanted: &ValuesOf<'_>) -> Result<(RankedValues, Option<u64>), SearchError> {
        let n_events = self.matches.count();
        let most_terms = (n_events <= MAX_READ).then_some(n_events * TERMS_PER_READ);
        if let Some(values) = self.matches.ranked(wanted, most_terms)? {
            return Ok((values, None));
        }
        let Ok(memory) = self.caller.budget.reserve_none() else {
            return Ok((self.ranked_by_index(wanted)?, None));
        };
        let mut reading = Reading::of(wanted.name, memory);
        let seqs = self.matches.seqs();
        let mut rest = seqs.as_slice();
        while !rest.is_empty() {
            self.caller.budget.check_time()?;
            let mut events = read(
                self.store,
                &self.caller.scope,
                rest.iter().copied(),
                READ_BYTES,
            )?;
            // What the index does not have of an entry is not counted here either.
            report_not_indexed(self.view, &mut events)?;
            // The index still knows the values that a damaged entry had.
            if events.iter().any(AuditEvent::is_damaged)
                && let Some(values) = self.matches.ranked(wanted, None)?
            {
                return Ok((values, None));
            }
            for event in events.iter().filter(|event| !event.is_erased()) {
                self.caller.budget.check_time()?;
                // The index counts without keeping the values, however long that takes.
                if reading.take(event).is_err() {
                    drop(reading);
                    return Ok((self.ranked_by_index(wanted)?, None));
                }
            }
            rest = &rest[events.len()..];
        }
        let events = reading.events;
        Ok((reading.into_values(wanted), Some(events)))
    }
}

impl Counting<'_> {
    /// The wanted values of a field from the index, which keeps none of the others.
    fn ranked_by_index(&self, wanted: &ValuesOf<'_>) -> Result<RankedValues, SearchError> {
        let values = self.matches.ranked(wanted, None)?;
        Ok(values.ok_or(EngineError::from(OutOfMemory))?)
    }
}

/// About how many bytes one value takes beside its text.
const BYTES_OF_ONE_VALUE: usize = 64;

/// The values of a field, counted by reading events: for few events and a field of very many values.
struct Reading {
    name: String,
    counts: HashMap<String, u64>,
    /// How many events have any.
    events: u64,
    /// The question's memory that `counts` takes.
    memory: Reserved,
}

impl Reading {
    /// Of the values of a field or path.
    fn of(name: &str, memory: Reserved) -> Self {
        Self {
            name: name.to_owned(),
            counts: HashMap::new(),
            events: 0,
            memory,
        }
    }

    /// Counts an event's values. Fails when there is no memory for them.
    fn take(&mut self, event: &AuditEvent) -> Result<(), OutOfMemory> {
        let mut different = BTreeSet::new();
        counted_values_of(event, &self.name, |value| {
            different.insert(value);
        });
        self.events += u64::from(!different.is_empty());
        let new = different
            .iter()
            .filter(|value| !self.counts.contains_key(*value));
        self.memory
            .grow(new.map(|value| value.len() + BYTES_OF_ONE_VALUE).sum())?;
        for value in different {
            *self.counts.entry(value).or_default() += 1;
        }
        Ok(())
    }

    /// The wanted ones.
    fn into_values(self, wanted: &ValuesOf<'_>) -> RankedValues {
        let mut ranking = Ranking::new(wanted);
        let counts = self.counts.iter().filter(|(value, _)| wanted.passes(value));
        counts.for_each(|(value, count)| ranking.take(value, *count));
        ranking.into_values()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::value::RawValue;

    use super::*;
    use crate::engine::Budget;
    use crate::position::Source;

    fn event(n: usize) -> AuditEvent {
        let body = format!(r#"{{"id":"{n}","action":{{"type":"{}"}}}}"#, "x".repeat(n));
        AuditEvent {
            seq: Seq(1),
            source: Source::account("a").unwrap(),
            id: None,
            revision: 0,
            time: None,
            received_at: DateTime::UNIX_EPOCH,
            problem: None,
            entry: RawValue::from_string(body).unwrap(),
            sha256: None,
        }
    }

    #[test]
    fn values_that_are_read_take_the_memory_of_their_question() {
        let budget = Budget::with_bytes(10_000);
        let mut reading = Reading::of("action.type", budget.reserve_none().unwrap());
        for n in 1..50 {
            reading.take(&event(n)).unwrap();
            reading.take(&event(n)).unwrap();
        }
        let taken: Vec<_> = (50..200).map(|n| reading.take(&event(n))).collect();
        assert!(taken.iter().any(Result::is_err));
        drop(reading);
        let memory = budget.reserve_none().unwrap();
        Reading::of("action.type", memory)
            .take(&event(5_000))
            .unwrap();
    }
}
