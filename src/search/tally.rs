//! What is counted beside a page, or alone: how many, which values, and when. All of it is of one snapshot.

use super::counting::{Counting, LabelledValue};
use super::error::SearchError;
use super::facets::{Facets, FieldValues};
use super::histogram::{Histogram, Scale};
use super::names::known_field;
use super::question::Prepared;
use super::split::Split;
use crate::engine::{Caller, ValuesOf, View};
use crate::position::Seq;
use crate::store::Store;

/// What to count.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// How many events there are.
    pub count: bool,
    /// Fields whose values are wanted.
    pub facets: Option<Facets>,
    /// How they are spread over time.
    pub histogram: Option<Scale>,
    /// By whose values each stretch of the histogram is split.
    pub split: Option<Split>,
}

/// What was counted: `None` is what was not asked for.
#[derive(Debug, Default)]
pub struct Tallied {
    /// How many events there are, exactly.
    pub count: Option<u64>,
    /// The values, field by field.
    pub facets: Option<FieldValues>,
    /// How they are spread over time.
    pub histogram: Option<Histogram>,
}

/// Counts what is wanted of a question's events up to `upto`.
///
/// # Errors
/// [`SearchError`], named by whose fault it is.
pub fn tally(
    store: &Store,
    view: &View,
    caller: &Caller,
    question: &Prepared,
    upto: Seq,
    wanted: &Tally,
) -> Result<Tallied, SearchError> {
    if !wanted.count && wanted.facets.is_none() && wanted.histogram.is_none() {
        return Ok(Tallied::default());
    }
    if let Some(facets) = &wanted.facets {
        facets.check(view, caller)?;
    }
    if let Some(split) = &wanted.split {
        known_field(view, caller, &split.field, split.parameter)?;
    }
    let resolved = &question.resolved;
    let matches = view.matches(&resolved.ask(caller), upto)?;
    let counting = Counting {
        store,
        view,
        caller,
        question: resolved,
        upto,
        matches: &matches,
    };
    let facets = wanted.facets.as_ref();
    let histogram = wanted.histogram.as_ref();
    Ok(Tallied {
        count: wanted.count.then(|| matches.count()),
        facets: facets
            .map(|facets| counting.facets(facets, &question.asked))
            .transpose()?,
        histogram: histogram
            .map(|scale| counting.histogram(scale, wanted.split.as_ref()))
            .transpose()?,
    })
}

/// Values of one field that a question's events have.
///
/// # Errors
/// As [`tally`].
pub fn completions(
    store: &Store,
    view: &View,
    caller: &Caller,
    question: &Prepared,
    wanted: &ValuesOf<'_>,
) -> Result<Vec<LabelledValue>, SearchError> {
    known_field(view, caller, wanted.name, "name")?;
    let question = &question.resolved;
    let matches = view.matches(&question.ask(caller), view.seq())?;
    let counting = Counting {
        store,
        view,
        caller,
        question,
        upto: view.seq(),
        matches: &matches,
    };
    Ok(counting.values(wanted)?.values)
}
