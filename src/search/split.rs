//! A histogram, and each of its stretches split by the values of a field.

use super::counting::Counting;
use super::counting::LabelledValue;
use super::error::SearchError;
use super::first::is_first_seen;
use super::histogram::{Bucket, Histogram, Scale};
use super::known::is_of_lists;
use super::question::resolved;
use crate::engine::{Ask, ValuesOf};
use crate::query::Query;

/// The most values by which a stretch is split: the most frequent ones.
pub const MAX_SPLIT: usize = 10;

/// By whose values a histogram's stretches are split.
#[derive(Debug, Clone)]
pub struct Split {
    /// A field of the table, or a path that entries have.
    pub field: String,
    /// The parameter that asked for it, for errors.
    pub parameter: &'static str,
}

impl Counting<'_> {
    /// How the events are spread over time, split if that is wanted.
    pub(super) fn histogram(
        &self,
        scale: &Scale,
        split: Option<&Split>,
    ) -> Result<Histogram, SearchError> {
        let (interval, edges) = scale.fitting(self.matches, self.question.range)?;
        let counts = self.matches.histogram(&edges);
        let mut buckets = Bucket::between(&edges, &counts);
        let Some(Split { field, .. }) = split else {
            return Ok(Histogram::new(interval, scale, buckets));
        };
        let values = self.values(&ValuesOf::new(field, MAX_SPLIT))?.values;
        for bucket in &mut buckets {
            bucket.split = Some(Vec::with_capacity(values.len()));
        }
        for value in &values {
            self.caller.budget.check_time()?;
            let counts = self.over_time(field, value, &edges)?;
            for (bucket, count) in buckets.iter_mut().zip(counts) {
                bucket.split.get_or_insert_default().push(count);
            }
        }
        Ok(Histogram {
            by: Some(field.clone()),
            values: Some(values),
            ..Histogram::new(interval, scale, buckets)
        })
    }

    /// How the events that have a value are spread over time.
    fn over_time(
        &self,
        field: &str,
        value: &LabelledValue,
        edges: &[i64],
    ) -> Result<Vec<u64>, SearchError> {
        if !is_of_lists(field) && !is_first_seen(field) {
            return Ok(self.matches.with(field, &value.value)?.histogram(edges));
        }
        let of_value = Query::equals(field, &value.label);
        let range = self.question.range;
        let of_value = resolved(self.store, self.caller, self.upto, range, &of_value)?;
        let query = Query::And(vec![self.question.query.clone(), of_value.into_owned()]);
        let ask = Ask {
            query: &query,
            range,
            caller: self.caller,
        };
        Ok(self.view.matches(&ask, self.upto)?.histogram(edges))
    }
}
