//! Which events a caller may see. The engine adds it to the query, so other events do not affect the answer.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::field;
use crate::position::Source;
use crate::query::Query;

/// The field whose values are sources.
const SOURCE: &str = "source";

/// Which events a question may find, and whether it may look into the bodies of requests and answers. A clone costs a
/// reference count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// `None` for all of them.
    sources: Option<Arc<BTreeSet<Source>>>,
    bodies: bool,
}

impl Scope {
    /// Every event, and all of it.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            sources: None,
            bodies: true,
        }
    }

    /// The events of these sources alone.
    #[must_use]
    pub fn of_sources(sources: impl IntoIterator<Item = Source>) -> Self {
        Self {
            sources: Some(Arc::new(sources.into_iter().collect())),
            bodies: true,
        }
    }

    /// The same events without their bodies: see [`field::is_body`].
    #[must_use]
    pub fn without_bodies(self) -> Self {
        Self {
            bodies: false,
            ..self
        }
    }

    /// Whether nothing is hidden.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.sources.is_none() && self.bodies
    }

    /// Whether it has all sources.
    #[must_use]
    pub fn has_all_sources(&self) -> bool {
        self.sources.is_none()
    }

    /// The sources that it has; `None` for all of them.
    #[must_use]
    pub fn sources(&self) -> Option<&BTreeSet<Source>> {
        self.sources.as_deref()
    }

    /// Whether it has the events of a source.
    #[must_use]
    pub fn has_source(&self, source: &Source) -> bool {
        self.sources
            .as_ref()
            .is_none_or(|sources| sources.contains(source))
    }

    /// Whether it has the bodies of requests and answers.
    #[must_use]
    pub fn has_bodies(&self) -> bool {
        self.bodies
    }

    /// Whether the values at a path are hidden.
    #[must_use]
    pub fn hides(&self, path: &str) -> bool {
        !self.bodies && field::is_body(path)
    }

    /// Restricts a query to the scope. Exception: in searches for words, and for paths above a body, the engine must skip bodies
    /// itself.
    #[must_use]
    pub fn narrowed<'q>(&self, query: &'q Query) -> Cow<'q, Query> {
        let visible = if self.bodies {
            Cow::Borrowed(query)
        } else {
            Cow::Owned(without_bodies(query))
        };
        let Some(sources) = &self.sources else {
            return visible;
        };
        let of_sources = Query::OneOf {
            path: SOURCE.to_owned(),
            values: sources.iter().map(ToString::to_string).collect(),
        };
        Cow::Owned(Query::and(vec![visible.into_owned(), of_sources]))
    }
}

/// A question in which nothing is at the paths of bodies.
fn without_bodies(query: &Query) -> Query {
    let all = |parts: &[Query]| parts.iter().map(without_bodies).collect();
    match query {
        Query::And(parts) => Query::And(all(parts)),
        Query::Or(parts) => Query::Or(all(parts)),
        Query::Not(part) => Query::Not(Box::new(without_bodies(part))),
        Query::OneOf { path, .. } if field::is_body(path) => Query::Or(Vec::new()),
        leaf => {
            let mut is_hidden = false;
            leaf.paths(&mut |path, _| is_hidden = field::is_body(path));
            if is_hidden {
                Query::Or(Vec::new())
            } else {
                leaf.clone()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    #[test]
    fn bodies_are_hidden_whatever_they_are_called_in_the_question() {
        let scope = Scope::everything().without_bodies();
        for path in [
            "resource.request",
            "Resource.REQUEST.name",
            "resource.response.a.b",
            "resource.value",
        ] {
            assert!(scope.hides(path), "{path}");
            assert!(!Scope::everything().hides(path), "{path}");
        }
        for path in ["resource", "resource.requested", "resource.id", "request"] {
            assert!(!scope.hides(path), "{path}");
        }
        let query = crate::query::parse("a:b -resource.value.x:c", from_micros(0)).unwrap();
        let narrowed = scope.narrowed(&query).into_owned();
        let Query::And(parts) = narrowed else {
            panic!("{narrowed:?}")
        };
        assert_eq!(parts[1], Query::Not(Box::new(Query::Or(Vec::new()))));
    }

    #[test]
    fn sources_are_a_part_of_the_question() {
        let source = Source::account("A1").unwrap();
        let scope = Scope::of_sources([source.clone()]);
        assert!(scope.has_source(&source));
        assert!(!scope.has_source(&Source::account("b2").unwrap()));
        let Query::OneOf { path, values } = scope.narrowed(&Query::All).into_owned() else {
            panic!("not narrowed")
        };
        assert_eq!((path.as_str(), values.len()), (SOURCE, 1));
    }
}
