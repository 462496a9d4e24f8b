//! The parameters that say what is counted: facets, and a histogram.

use super::params::{Given, bad, flag, number, zone};
use super::problem::Problem;
use crate::coverage::Asked;
use crate::engine::Rank;
use crate::search::{DEFAULT_SIZE, Facets, MAX_SIZE, Scale, Split, Tally};
use crate::wording::quoted;

/// What a route that lists takes, to count beside the page.
pub(super) const TALLY: [&str; 7] = [
    "count",
    "facet",
    "facet_size",
    "facet_sort",
    "exclude_own",
    "histogram",
    "histogram_by",
];

/// What is to be counted beside a page.
pub(super) fn beside_a_page(given: &Given) -> Result<Tally, Problem> {
    let count = flag(given, "count")?;
    let histogram = match given.one("histogram")? {
        Some(interval) => Some(scale(given, interval, "histogram")?),
        None => None,
    };
    let facets = facets_of(given, "facet", "facet_size", "facet_sort")?;
    let without_facets = ["facet_size", "facet_sort", "exclude_own"].into_iter();
    refuse_alone(given, without_facets, "facet=actor.email", facets.is_some())?;
    let is_histogram = histogram.is_some();
    refuse_alone(given, ["histogram_by"], "histogram=auto", is_histogram)?;
    Ok(Tally {
        count,
        facets,
        histogram,
        split: split(given, "histogram_by")?,
    })
}

/// Refuses parameters that say nothing without another one.
fn refuse_alone(
    given: &Given,
    names: impl IntoIterator<Item = &'static str>,
    needed: &str,
    is_there: bool,
) -> Result<(), Problem> {
    for name in names.into_iter().filter(|_| !is_there) {
        if given.all(name).next().is_some() {
            return Err(bad(name, format!("`{name}` needs `{needed}` beside it")));
        }
    }
    Ok(())
}

pub(super) fn facets_of(
    given: &Given,
    fields: &'static str,
    size_of_each: &'static str,
    order_of_each: &'static str,
) -> Result<Option<Facets>, Problem> {
    let names: Vec<String> = given.all(fields).map(ToOwned::to_owned).collect();
    if names.is_empty() {
        return Ok(None);
    }
    Ok(Some(Facets {
        fields: names,
        size: size(given, size_of_each)?,
        rank: rank(given, order_of_each)?,
        exclude_own: flag(given, "exclude_own")?,
        parameter: fields,
    }))
}

/// Which values come first.
pub(super) fn rank(given: &Given, name: &str) -> Result<Rank, Problem> {
    match given.one(name)? {
        None | Some("frequent") => Ok(Rank::Frequent),
        Some("rare") => Ok(Rank::Rare),
        Some(other) => Err(bad(
            name,
            format!("{} is neither `frequent` nor `rare`", quoted(other)),
        )),
    }
}

pub(super) fn split(given: &Given, name: &'static str) -> Result<Option<Split>, Problem> {
    let field = given.one(name)?.map(ToOwned::to_owned);
    Ok(field.map(|field| Split {
        field,
        parameter: name,
    }))
}

pub(super) fn size(given: &Given, name: &str) -> Result<usize, Problem> {
    match given.one(name)? {
        None => Ok(DEFAULT_SIZE),
        Some(text) => number(name, text, MAX_SIZE),
    }
}

pub(super) fn scale(
    given: &Given,
    interval: &str,
    parameter: &'static str,
) -> Result<Scale, Problem> {
    Scale::parse(interval, zone(given)?, parameter).map_err(|message| bad(parameter, message))
}

/// What the numbers are about: when the sources are counted without what the question says of them, all sources.
pub(super) fn counted_of(asked: Asked, wanted: &Tally) -> Asked {
    let of_all_sources = wanted.facets.as_ref().is_some_and(|facets| {
        let mut fields = facets.fields.iter();
        facets.exclude_own && fields.any(|field| field.eq_ignore_ascii_case("source"))
    });
    if of_all_sources {
        Asked {
            sources: Vec::new(),
            ..asked
        }
    } else {
        asked
    }
}
