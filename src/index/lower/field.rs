//! A field's values: exact, by their looks, or between two ends.

use tantivy::query::{BooleanQuery, Occur};

use super::{Lowered, Lowering};
use crate::field::{Kind, MAX_VALUE_LEN, Number};
use crate::index::IndexError;
use crate::index::automaton::Automaton;
use crate::index::places::Places;
use crate::index::schema::{Mark, OTHER_TIME, TIME_PATH};
use crate::index::sets::Set;
use crate::index::terms::{End, ValueTest};
use crate::query::Interval;

impl Lowering<'_> {
    /// A value, as a whole; a number outside the table of fields in every spelling.
    pub(super) fn equals(&self, path: &str, value: &str, at: usize) -> Result<Lowered, IndexError> {
        let as_written = self.term(self.shape.value_term(path, value));
        let (kind, ..) = self.shape.place_of(path);
        let number = match kind {
            Kind::Any => Number::with_exponent(value),
            _ => None,
        };
        let Some(number) = number else {
            return Ok(as_written);
        };
        let spelled = number.to_string();
        let mut ways = vec![as_written];
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
        let test = match interval {
            Interval::Time {
                since_us,
                before_us,
            } if path.eq_ignore_ascii_case(TIME_PATH) => {
                return self.happened(*since_us, *before_us);
            }
            Interval::Time {
                since_us,
                before_us,
            } => ValueTest::Time(*since_us, *before_us),
            Interval::Addresses { first, last } => ValueTest::Addresses(*first, *last),
            Interval::Values { lower, upper } => ValueTest::Between(End::of(lower), End::of(upper)),
        };
        let (_, field, prefix) = self.shape.place_of(path);
        self.gathered(Set::Terms(self.terms(field, prefix, Vec::new(), test)))
    }

    /// `action.time` in a stretch: mostly what events are ordered by, and for the others their own values.
    fn happened(&self, since_us: Option<i64>, before_us: Option<i64>) -> Lowered {
        let stretch = Places::new(self.snapshot.stretches(since_us, before_us));
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
