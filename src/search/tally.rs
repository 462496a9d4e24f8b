//! What is counted beside a page, or alone: how many, which values, and when. All of it is of one snapshot.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize, Serializer};
use utoipa::openapi::schema::{Array, ObjectBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::histogram::{Histogram, Scale};
use super::known::is_of_lists;
use super::spelling::spellings;
use super::walk::read;
use super::{Question, SearchError, known_field, report_not_indexed};
use crate::engine::{Caller, Matches, ValueCount, View, counted_values_of};
use crate::event::AuditEvent;
use crate::field::folded;
use crate::position::Seq;
use crate::store::Store;

/// The values of a field when nobody says how many.
pub const DEFAULT_SIZE: usize = 10;

/// The most values of a field.
pub const MAX_SIZE: usize = 1_000;

/// The most fields whose values are counted for one request.
pub const MAX_FACETS: usize = 20;

/// The most events that are read to count a field's values.
const MAX_READ: u64 = 10_000;

/// How many values are looked at in the time that an event is read.
const TERMS_PER_READ: u64 = 150;

/// About how many bytes of entries are read at once.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// What to count.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// How many events there are.
    pub count: bool,
    /// Fields whose most frequent values are wanted.
    pub facets: Option<Facets>,
    /// How they are spread over time.
    pub histogram: Option<Scale>,
}

/// Fields, and how many values of each.
#[derive(Debug, Clone)]
pub struct Facets {
    /// Fields of the table, or paths that entries have.
    pub fields: Vec<String>,
    /// The most values of each.
    pub size: usize,
    /// The parameter that asked for them, for errors.
    pub parameter: &'static str,
}

/// What was counted: `None` is what was not asked for.
#[derive(Debug, Default)]
pub struct Tallied {
    /// How many events there are, exactly.
    pub count: Option<u64>,
    /// The most frequent values, field by field.
    pub facets: Option<FieldValues>,
    /// How they are spread over time.
    pub histogram: Option<Histogram>,
}

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

/// The values of some fields: as JSON an object with a list for each field, in the order asked for.
#[derive(Debug)]
pub struct FieldValues(pub Vec<(String, Vec<LabelledValue>)>);

impl Serialize for FieldValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(field, values)| (field, values)))
    }
}

impl PartialSchema for FieldValues {
    fn schema() -> RefOr<Schema> {
        let values = LabelledValue::name();
        let values = Schema::Array(Array::new(Ref::from_schema_name(values)));
        let by_field = ObjectBuilder::new().additional_properties(Some(values));
        let description = "The values of each field that was asked for, the most frequent first.";
        by_field.description(Some(description)).into()
    }
}

impl ToSchema for FieldValues {
    fn name() -> Cow<'static, str> {
        "ValuesByField".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((LabelledValue::name().into(), LabelledValue::schema()));
    }
}

/// Counts what is wanted of a question's events up to `upto`.
///
/// # Errors
/// [`SearchError`], named by whose fault it is.
pub fn tally(
    store: &Store,
    view: &View,
    caller: &Caller,
    question: &Question,
    upto: Seq,
    wanted: &Tally,
) -> Result<Tallied, SearchError> {
    super::check_names(&question.query, view, caller)?;
    if !wanted.count && wanted.facets.is_none() && wanted.histogram.is_none() {
        return Ok(Tallied::default());
    }
    if let Some(facets) = &wanted.facets {
        check_fields(view, caller, facets)?;
    }
    let question = &super::resolved(store, &caller.scope, question)?;
    let matches = view.matches(&question.ask(caller), upto)?;
    let counting = Counting {
        store,
        view,
        caller,
        question,
        upto,
        matches: &matches,
    };
    let facets = wanted.facets.as_ref();
    let histogram = wanted.histogram.as_ref();
    Ok(Tallied {
        count: wanted.count.then(|| matches.count()),
        facets: facets.map(|facets| counting.all(facets)).transpose()?,
        histogram: histogram
            .map(|scale| scale.histogram(&matches, question.range))
            .transpose()?,
    })
}

/// The values of one field that begin with `prefix` and that most of a question's events have.
///
/// # Errors
/// As [`tally`].
pub fn completions(
    store: &Store,
    view: &View,
    caller: &Caller,
    question: &Question,
    field: &str,
    prefix: &str,
    size: usize,
) -> Result<Vec<LabelledValue>, SearchError> {
    super::check_names(&question.query, view, caller)?;
    known_field(view, caller, field, "name")?;
    let question = &super::resolved(store, &caller.scope, question)?;
    let matches = view.matches(&question.ask(caller), view.seq())?;
    let counting = Counting {
        store,
        view,
        caller,
        question,
        upto: view.seq(),
        matches: &matches,
    };
    counting.values(field, prefix, size)
}

fn check_fields(view: &View, caller: &Caller, facets: &Facets) -> Result<(), SearchError> {
    if facets.fields.len() > MAX_FACETS {
        return Err(SearchError::Counting {
            parameter: facets.parameter,
            message: format!("more than {MAX_FACETS} fields at once"),
        });
    }
    let mut fields = facets.fields.iter();
    fields.try_for_each(|field| known_field(view, caller, field, facets.parameter))
}

/// Where values are counted.
pub(super) struct Counting<'a> {
    pub(super) store: &'a Store,
    pub(super) view: &'a View,
    pub(super) caller: &'a Caller,
    /// Without fields of lists.
    pub(super) question: &'a Question,
    pub(super) upto: Seq,
    pub(super) matches: &'a Matches,
}

impl Counting<'_> {
    fn all(&self, facets: &Facets) -> Result<FieldValues, SearchError> {
        let mut all: Vec<(String, Vec<LabelledValue>)> = Vec::new();
        for field in &facets.fields {
            if all.iter().all(|(done, _)| done != field) {
                all.push((field.clone(), self.values(field, "", facets.size)?));
            }
        }
        Ok(FieldValues(all))
    }

    /// The most frequent values of a field, each as an event or a list spells it.
    pub(super) fn values(
        &self,
        field: &str,
        prefix: &str,
        size: usize,
    ) -> Result<Vec<LabelledValue>, SearchError> {
        match is_of_lists(field) {
            true => self.values_of_lists(field, prefix, size),
            false => self.values_of_entries(field, prefix, size),
        }
    }

    /// The most frequent values of a field of entries, each as an event spells it.
    pub(super) fn values_of_entries(
        &self,
        field: &str,
        prefix: &str,
        size: usize,
    ) -> Result<Vec<LabelledValue>, SearchError> {
        let counted = self.counted(field, prefix, size)?;
        let mut values: Vec<LabelledValue> = counted
            .into_iter()
            .map(|ValueCount { value, count }| LabelledValue {
                label: value.clone(),
                value,
                count,
            })
            .collect();
        // In the order of the log: one event may have several of the values.
        let mut spelled_at: BTreeMap<Seq, Vec<usize>> = BTreeMap::new();
        for (i, found) in values.iter().enumerate() {
            if let Some(place) = self.matches.place_with(field, &found.value)? {
                spelled_at.entry(place).or_default().push(i);
            }
        }
        let places: Vec<Seq> = spelled_at.keys().copied().collect();
        let mut rest = places.as_slice();
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
        Ok(values)
    }

    /// The most frequent values of a field: from the index, or from the events when these are few and its values many.
    fn counted(
        &self,
        field: &str,
        prefix: &str,
        size: usize,
    ) -> Result<Vec<ValueCount>, SearchError> {
        let n_events = self.matches.count();
        let most_terms = (n_events <= MAX_READ).then_some(n_events * TERMS_PER_READ);
        if let Some(values) = self.matches.values(field, prefix, size, most_terms)? {
            return Ok(values);
        }
        let mut reading = Reading::of(field, prefix);
        let places = self.matches.places();
        let mut rest = places.as_slice();
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
                && let Some(values) = self.matches.values(field, prefix, size, None)?
            {
                return Ok(values);
            }
            for event in events.iter().filter(|event| !event.is_erased()) {
                self.caller.budget.check_time()?;
                reading.take(event);
            }
            rest = &rest[events.len()..];
        }
        Ok(reading.into_values(size))
    }
}

/// The values of a field, counted by reading events: for few events and a field of very many values.
struct Reading {
    name: String,
    prefix: String,
    counts: HashMap<String, u64>,
}

impl Reading {
    /// Of the values of a field or path that begin with `prefix`.
    fn of(name: &str, prefix: &str) -> Self {
        Self {
            name: name.to_owned(),
            prefix: folded(prefix),
            counts: HashMap::new(),
        }
    }

    /// Counts an event's values.
    fn take(&mut self, event: &AuditEvent) {
        let mut different = BTreeSet::new();
        counted_values_of(event, &self.name, |value| {
            if value.starts_with(&self.prefix) {
                different.insert(value);
            }
        });
        for value in different {
            *self.counts.entry(value).or_default() += 1;
        }
    }

    /// The `size` values that most of the events have: most first, equals by value.
    fn into_values(self, size: usize) -> Vec<ValueCount> {
        let counts = self.counts.into_iter();
        let mut values: Vec<ValueCount> = counts
            .map(|(value, count)| ValueCount { value, count })
            .collect();
        values.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
        values.truncate(size);
        values
    }
}
