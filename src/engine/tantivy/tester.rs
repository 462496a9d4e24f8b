//! A leaf of a question held against a value that is not in the index, with the meaning that it has in the index.

use std::sync::Arc;

use super::IndexError;
use super::automaton::{Automaton, MAX_AUTOMATA_BYTES, TooLarge};
use super::lower::has_words;
use super::terms::{End, ValueTest};
use super::words;
use crate::field::{self, Kind, folded};
use crate::query::{Interval, Query, QueryError};

/// What a value of one field has to be.
pub struct ValueTester {
    kind: Kind,
    wanted: Vec<Wanted>,
}

enum Wanted {
    Text(String),
    Automaton(Arc<Automaton>),
    Passes(ValueTest),
}

impl ValueTester {
    /// Of a leaf that names a field; of any other question, no value passes.
    ///
    /// # Errors
    /// [`IndexError::Question`] when a pattern would take too much memory.
    pub fn of(leaf: &Query) -> Result<Self, IndexError> {
        let mut path = "";
        leaf.paths(&mut |found, _| path = found);
        let kind = field::by_name(path).map_or(Kind::Any, |field| field.kind);
        let automaton = |made: Result<Automaton, TooLarge>, at: usize| {
            made.map(Arc::new).map_err(|TooLarge| {
                let message = "this pattern would take too much memory: make it shorter";
                IndexError::Question(QueryError::new(at, message))
            })
        };
        let wanted = match leaf {
            Query::Equals { value, .. } if value.is_empty() => Vec::new(),
            Query::Equals { value, .. } => vec![Wanted::Text(field::normal(kind, value))],
            Query::Contains { text, .. } => vec![
                Wanted::Text(field::normal(kind, text)),
                Wanted::Passes(ValueTest::Words(words::of(&folded(text)).into())),
            ],
            Query::Like { pattern, at, .. } => {
                let pattern = automaton(Automaton::of_pattern(pattern, MAX_AUTOMATA_BYTES), *at)?;
                let mut wanted = vec![Wanted::Automaton(pattern.clone())];
                if has_words(path) {
                    wanted.push(Wanted::Passes(ValueTest::AnyWord(pattern)));
                }
                wanted
            }
            Query::Matches { regex, at, .. } => {
                let regex = automaton(Automaton::of_regex(regex, MAX_AUTOMATA_BYTES), *at)?;
                vec![Wanted::Automaton(regex)]
            }
            Query::Within { interval, .. } => vec![Wanted::Passes(match interval {
                Interval::Time {
                    since_us,
                    before_us,
                } => ValueTest::Time(*since_us, *before_us),
                Interval::Addresses { first, last } => ValueTest::Addresses(*first, *last),
                Interval::Values { lower, upper } => {
                    ValueTest::Between(End::of(lower), End::of(upper))
                }
            })],
            Query::Exists { .. } => vec![Wanted::Passes(ValueTest::Any)],
            _ => Vec::new(),
        };
        Ok(Self { kind, wanted })
    }

    /// Whether a value passes, as it is spelled.
    #[must_use]
    pub fn passes(&self, value: &str) -> bool {
        let value = field::normal(self.kind, value);
        let term = words::shortened_value(value.clone());
        let kept = words::kept_text(&term, words::MAX_VALUE_LEN);
        let is_cut = kept.len() < term.len();
        self.wanted.iter().any(|wanted| match wanted {
            Wanted::Text(text) => *text == value,
            Wanted::Automaton(automaton) => automaton.matches(kept),
            Wanted::Passes(test) => test.passes(kept, is_cut),
        })
    }
}
