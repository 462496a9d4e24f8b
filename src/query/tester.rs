//! A leaf of a question held against a value that is not in the index, with the meaning that it has in the index.

use std::sync::Arc;

use super::automaton::{AutomataRoom, Automaton};
use super::tree::{Query, QueryError};
use super::value_test::ValueTest;
use super::words;
use crate::field::{self, Kind, folded, has_words};

/// What a value of one field has to be.
pub struct ValueTester {
    kind: Kind,
    wanted: Vec<TestedValue>,
}

enum TestedValue {
    Text(String),
    Automaton(Arc<Automaton>),
    Passes(ValueTest),
}

impl ValueTester {
    /// Of a leaf that names a field; of any other question, no value passes.
    ///
    /// # Errors
    /// [`QueryError`] when a pattern would take too much memory.
    pub fn of(leaf: &Query) -> Result<Self, QueryError> {
        let mut path = "";
        leaf.paths(&mut |found, _| path = found);
        let kind = field::by_name(path).map_or(Kind::Any, |field| field.kind);
        let automata = AutomataRoom::default();
        let wanted = match leaf {
            Query::Equals { value, .. } if value.is_empty() => Vec::new(),
            Query::Equals { value, .. } => vec![TestedValue::Text(field::normal(kind, value))],
            Query::Contains { text, .. } => vec![
                TestedValue::Text(field::normal(kind, text)),
                TestedValue::Passes(ValueTest::Words(words::of(&folded(text)).into())),
            ],
            Query::Like { pattern, at, .. } => {
                let pattern = Arc::new(automata.of_pattern(pattern, *at)?);
                let mut wanted = vec![TestedValue::Automaton(pattern.clone())];
                if has_words(path) {
                    wanted.push(TestedValue::Passes(ValueTest::AnyWord(pattern)));
                }
                wanted
            }
            Query::Matches { regex, at, .. } => {
                vec![TestedValue::Automaton(Arc::new(
                    automata.of_regex(regex, *at)?,
                ))]
            }
            Query::Within { interval, .. } => {
                vec![TestedValue::Passes(ValueTest::within(interval))]
            }
            Query::Exists { .. } => vec![TestedValue::Passes(ValueTest::Any)],
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
            TestedValue::Text(text) => *text == value,
            TestedValue::Automaton(automaton) => automaton.matches(kept),
            TestedValue::Passes(test) => test.passes(kept, is_cut),
        })
    }
}
