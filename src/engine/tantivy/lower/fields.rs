//! A field's values: exact, by their looks, or between two ends.

use std::ops::Bound;
use std::sync::Arc;

use tantivy::Term;
use tantivy::query::{BooleanQuery, Occur, RangeQuery};

use super::{Lowered, Lowering};
use crate::engine::error::EngineError;
use crate::engine::tantivy::any_path::AnyPath;
use crate::engine::tantivy::bounded::Bounded;
use crate::engine::tantivy::doc_ranges::DocRanges;
use crate::engine::tantivy::one_of::OneOf;
use crate::engine::tantivy::schema::{Mark, OTHER_TIME};
use crate::engine::tantivy::sets::Set;
use crate::engine::values::TIME_PATH;
use crate::field::{Kind, MAX_VALUE_LEN, Number, Part, fields_of, folded};
use crate::query::automaton::Automaton;
use crate::query::value_test::ValueTest;
use crate::query::words;
use crate::query::{self, Interval};

impl Lowering<'_> {
    /// A value, as a whole or as it is listed; a number outside the table of fields in every spelling.
    pub(super) fn equals(
        &self,
        path: &str,
        value: &str,
        at: usize,
    ) -> Result<Lowered, EngineError> {
        let mut ways = vec![self.term(self.shape.value_term(path, value))];
        let listed = self.shape.listed_term(path, value);
        ways.extend(listed.map(|term| self.term(term)));
        let (kind, ..) = self.shape.place_of(path);
        let number = match kind {
            Kind::Any => Number::plain(value),
            _ => None,
        };
        let Some(number) = number else {
            return Ok(self.any(ways));
        };
        let spelled = number.to_string();
        if spelled != value {
            // One that is too long for a pattern is found by the hash of its one spelling.
            ways.push(self.term(self.shape.value_term(path, &spelled)));
        }
        if spelled.len() <= MAX_VALUE_LEN {
            let spellings = self.of_regex(&number.spellings(), at)?;
            let (_, field, prefix) = self.shape.place_of(path);
            let whole = ValueTest::Whole;
            let terms = self.terms(field, prefix, vec![spellings], whole);
            ways.push(self.gathered(Set::Terms(terms)));
        }
        Ok(self.any(ways))
    }

    /// One of many values, as a whole.
    pub(super) fn one_of(&self, path: &str, values: &[String]) -> Lowered {
        let (_, field, _) = self.shape.place_of(path);
        let terms = values.iter().filter(|value| !value.is_empty());
        self.gathered(Set::OneOf(OneOf {
            field,
            terms: terms
                .map(|value| self.shape.value_term(path, value))
                .collect(),
        }))
    }

    /// A value as a whole, or words side by side in it.
    pub(super) fn contains(&self, path: &str, text: &str) -> Lowered {
        let (_, field, prefix) = self.shape.place_of(path);
        let words = words::of(&folded(text)).into();
        let by_words = self.terms(field, prefix, Vec::new(), ValueTest::Words(words));
        self.any(vec![
            self.term(self.shape.value_term(path, text)),
            self.gathered(Set::Terms(by_words)),
        ])
    }

    /// A word of a value that looks so as a whole.
    pub(super) fn has_word_like(&self, path: &str, automaton: Automaton) -> Lowered {
        let (_, field, prefix) = self.shape.place_of(path);
        let test = ValueTest::AnyWord(Arc::new(automaton));
        self.gathered(Set::Terms(self.terms(field, prefix, Vec::new(), test)))
    }

    /// A value of a part of the entry, as a whole, or words of its fields that have words.
    pub(super) fn in_part(&self, part: Part, text: &str) -> Result<Lowered, EngineError> {
        let mut ways = Vec::new();
        for field in fields_of(part) {
            ways.push(if field.words {
                self.contains(field.name, text)
            } else {
                self.equals(field.name, text, 0)?
            });
        }
        if let Some(name) = part.name() {
            let at_any_path = |value: String, spellings| {
                self.gathered(Set::AnyPath(AnyPath {
                    field: self.shape.paths(),
                    above: name,
                    has_bodies: self.snapshot.scope.has_bodies(),
                    value,
                    spellings,
                }))
            };
            if let Some(listed) = words::listed_value(text) {
                ways.push(at_any_path(listed, None));
            }
            let as_written = words::shortened_value(folded(text));
            let mut spellings = None;
            if let Some(number) = Number::with_exponent(text) {
                let spelled = number.to_string();
                if spelled.len() <= MAX_VALUE_LEN {
                    let made = self.of_regex(&number.spellings(), 0);
                    let made = made.map_err(|error| error.in_parameter(name))?;
                    spellings = Some(Arc::new(made));
                } else {
                    // One that is too long for a pattern is found by the hash of its one spelling.
                    let spelled = words::shortened_value(spelled);
                    if spelled != as_written {
                        ways.push(at_any_path(spelled, None));
                    }
                }
            }
            ways.push(at_any_path(as_written, spellings));
        }
        Ok(self.any(ways))
    }

    /// A value that one of some automata matches.
    pub(super) fn matches(&self, path: &str, automata: Vec<Automaton>) -> Lowered {
        let (_, field, prefix) = self.shape.place_of(path);
        self.gathered(Set::Terms(self.terms(
            field,
            prefix,
            automata,
            ValueTest::Any,
        )))
    }

    pub(super) fn within(&self, path: &str, interval: &Interval) -> Lowered {
        if let Interval::Time {
            since_us,
            before_us,
        } = interval
            && path.eq_ignore_ascii_case(TIME_PATH)
        {
            return self.happened(*since_us, *before_us);
        }
        if path.eq_ignore_ascii_case("seq")
            && let Some(places) = self.docs_between(interval)
        {
            return places;
        }
        let test = ValueTest::within(interval);
        let (_, field, prefix) = self.shape.place_of(path);
        self.gathered(Set::Terms(self.terms(field, prefix, Vec::new(), test)))
    }

    /// Events between two values of `seq`: a column has them. `None` for other bounds.
    fn docs_between(&self, interval: &Interval) -> Option<Lowered> {
        let Interval::Values { lower, upper } = interval else {
            return None;
        };
        let bound = |bound: &query::Bound| {
            let place = |text: &str| {
                let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
                let place = text.parse().ok().filter(|_| is_plain)?;
                Some(Term::from_field_u64(self.shape.seq, place))
            };
            Some(match bound {
                query::Bound::Open => Bound::Unbounded,
                query::Bound::Including(text) => Bound::Included(place(text)?),
                query::Bound::Excluding(text) => Bound::Excluded(place(text)?),
            })
        };
        let places = RangeQuery::new(bound(lower)?, bound(upper)?);
        let bounded = Bounded::new(Box::new(places), self.snapshot.budget());
        Some(Box::new(bounded))
    }

    /// `action.time` in a stretch: mostly what events are ordered by, and for the others their own values.
    fn happened(&self, since_us: Option<i64>, before_us: Option<i64>) -> Lowered {
        let stretch = DocRanges::new(self.snapshot.stretches(since_us, before_us));
        let others = || self.term(self.shape.mark(&Mark::HasOtherTimes));
        let ordered = BooleanQuery::new(vec![
            (Occur::Must, Box::new(stretch)),
            (Occur::MustNot, others()),
        ]);
        let values = self.terms(
            self.shape.path,
            OTHER_TIME.to_owned(),
            Vec::new(),
            ValueTest::Time(since_us, before_us),
        );
        self.any(vec![Box::new(ordered), self.gathered(Set::Terms(values))])
    }
}
