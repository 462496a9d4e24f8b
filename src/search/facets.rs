//! Facets: the values of some fields among a question's events, and what is beside them: the events without a value, and the
//! values that are not listed.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::counting::{Counting, LabelledValue, ListedValues};
use super::error::SearchError;
use super::names::known_field;
use super::question::Question;
use crate::engine::{Caller, Rank, ValuesOf, View};
use crate::field::spelled_path;
use crate::query::Query;

/// The values of a field when nobody says how many.
pub const DEFAULT_SIZE: usize = 10;

/// The most values of a field.
pub const MAX_SIZE: usize = 1_000;

/// The most fields whose values are counted for one request.
pub const MAX_FACETS: usize = 20;

/// Fields, and how many values of each.
#[derive(Debug, Clone)]
pub struct Facets {
    /// Fields of the table, or paths that entries have.
    pub fields: Vec<String>,
    /// The most values of each.
    pub size: usize,
    /// Which values come first.
    pub rank: Rank,
    /// Whether what the question says of a field is left out when the values of that field are counted.
    pub exclude_own: bool,
    /// The parameter that asked for them, for errors.
    pub parameter: &'static str,
}

impl Facets {
    /// That there are not too many, and that the caller knows all of them.
    pub(super) fn check(&self, view: &View, caller: &Caller) -> Result<(), SearchError> {
        if self.fields.len() > MAX_FACETS {
            return Err(SearchError::Counting {
                parameter: self.parameter,
                message: format!("more than {MAX_FACETS} fields at once"),
            });
        }
        let mut fields = self.fields.iter();
        fields.try_for_each(|field| known_field(view, caller, field, self.parameter))
    }
}

/// The values of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Facet {
    /// The first of them.
    pub values: Vec<LabelledValue>,
    /// How many events have no value.
    pub missing: u64,
    /// How many different values there are.
    pub distinct: u64,
    /// The counts of the values that are not listed, added up.
    pub other: u64,
}

/// The values of some fields: as JSON an object with a member for each field, in the order asked for.
#[derive(Debug)]
pub struct FieldValues(pub Vec<(String, Facet)>);

impl Serialize for FieldValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(field, facet)| (field, facet)))
    }
}

impl PartialSchema for FieldValues {
    fn schema() -> RefOr<Schema> {
        let facet: RefOr<Schema> = Ref::from_schema_name(Facet::name()).into();
        let by_field = ObjectBuilder::new().additional_properties(Some(facet));
        let description = "The values of each field that was asked for.";
        by_field.description(Some(description)).into()
    }
}

impl ToSchema for FieldValues {
    fn name() -> Cow<'static, str> {
        "ValuesByField".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Facet::name().into(), Facet::schema()));
        Facet::schemas(schemas);
    }
}

impl Counting<'_> {
    /// The values of some fields. `asked` is the question as it was asked.
    pub(super) fn facets(
        &self,
        facets: &Facets,
        asked: &Question,
    ) -> Result<FieldValues, SearchError> {
        let mut all: Vec<(String, Facet)> = Vec::new();
        for field in &facets.fields {
            if all.iter().any(|(done, _)| done == field) {
                continue;
            }
            let wanted = ValuesOf::new(field, facets.size).ranked(facets.rank);
            let wanted = wanted.with_totals();
            let of_others = facets.exclude_own.then(|| without_own(&asked.query, field));
            let facet = match of_others.flatten() {
                None => self.facet(&wanted)?,
                Some(query) => self.facet_of(&wanted, asked, query)?,
            };
            all.push((field.clone(), facet));
        }
        Ok(FieldValues(all))
    }

    fn facet(&self, wanted: &ValuesOf<'_>) -> Result<Facet, SearchError> {
        let ListedValues {
            values,
            distinct,
            total,
            events,
        } = self.values(wanted)?;
        let with = match events {
            Some(events) => events,
            None => self.count_with(wanted.name)?,
        };
        let listed: u64 = values.iter().map(|found| found.count).sum();
        Ok(Facet {
            missing: self.matches.count().saturating_sub(with),
            distinct,
            other: total.saturating_sub(listed),
            values,
        })
    }

    /// As [`Counting::facet`], for another query in place of that of `asked`.
    fn facet_of(
        &self,
        wanted: &ValuesOf<'_>,
        asked: &Question,
        query: Query,
    ) -> Result<Facet, SearchError> {
        let other = Question {
            query,
            ..asked.clone()
        };
        let question = &other.resolved(self.store, self.caller, self.upto)?;
        let matches = self.view.matches(&question.ask(self.caller), self.upto)?;
        let counting = Counting {
            question,
            matches: &matches,
            ..*self
        };
        counting.facet(wanted)
    }
}

/// The query without what it demands of `field` alone; `None` where it demands nothing of it.
fn without_own(query: &Query, field: &str) -> Option<Query> {
    let mut demands = Vec::new();
    take_apart(query, &mut demands);
    let n_demands = demands.len();
    demands.retain(|demand| !is_about(demand, field));
    (demands.len() < n_demands).then(|| Query::and(demands))
}

/// What a query demands, each part by itself.
fn take_apart(query: &Query, demands: &mut Vec<Query>) {
    match query {
        Query::And(parts) => parts.iter().for_each(|part| take_apart(part, demands)),
        Query::Not(part) => match &**part {
            Query::Or(parts) => {
                let parts = parts.iter().map(|part| part.clone().negated());
                parts.for_each(|part| take_apart(&part, demands));
            }
            Query::Not(part) => take_apart(part, demands),
            _ => demands.push(query.clone()),
        },
        _ => demands.push(query.clone()),
    }
}

/// Whether a query asks about one field and nothing else.
fn is_about(query: &Query, field: &str) -> bool {
    match query {
        Query::And(parts) | Query::Or(parts) => {
            !parts.is_empty() && parts.iter().all(|part| is_about(part, field))
        }
        Query::Not(part) => is_about(part, field),
        Query::OneOf { path, .. } => spelled_path(path) == spelled_path(field),
        leaf => {
            let mut is_own = false;
            leaf.paths(&mut |path, _| is_own = spelled_path(path) == spelled_path(field));
            is_own
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    #[test]
    fn what_is_demanded_of_a_field_alone_is_left_out() {
        let check = |asked: &str, expected: Option<&str>| {
            let parse = |text| crate::query::parse(text, from_micros(0)).unwrap();
            let left = without_own(&parse(asked), "a.b");
            let text = |query: &Query| query.to_string();
            let expected = expected.map(|expected| text(&parse(expected)));
            assert_eq!(left.as_ref().map(text), expected, "{asked}");
        };
        check("a.b:x", Some(""));
        check("A.B:(x OR y) c:z", Some("c:z"));
        check("c:z -a.b:x -a.b:y", Some("c:z"));
        check("c:z -(a.b:x OR d:1)", Some("c:z -d:1"));
        check("(a.b:[1 TO 2] c:z) word", Some("c:z word"));
        check("a.b:* c:z", Some("c:z"));
        // What is said of several fields at once is no filter on one of them.
        check("a.b:x OR c:z", None);
        check("-(a.b:x c:z)", None);
        check("c:z word", None);
        check("", None);
        check("a.b.c:x", None);
    }
}
