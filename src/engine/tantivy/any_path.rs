//! Documents that have a value at any path of a part of the entry, of the paths that are not in the table of fields.
//!
//! In their dictionary a path comes before its values: the walk reads each path once and, behind it, only what the value
//! begins with.

use std::sync::Arc;

use tantivy::schema::Field;

use super::bit_set_builder::BitSetBuilder;
use super::schema::PATH_END;
use crate::engine::budget::Steps;
use crate::field;
use crate::query::automaton::{self, Automaton};

/// The question: which value, below which key.
#[derive(Debug, Clone)]
pub(super) struct AnyPath {
    /// The field of the dictionary.
    pub(super) field: Field,
    /// The key that the paths begin with, or are.
    pub(super) above: &'static str,
    /// Whether the bodies of requests and answers are asked, too.
    pub(super) has_bodies: bool,
    /// The value, as it is in the index.
    pub(super) value: String,
    /// The spellings of the same number, if the value is one.
    pub(super) spellings: Option<Arc<Automaton>>,
}

impl AnyPath {
    /// Adds the documents of one segment.
    pub(super) fn gather(&self, into: &mut BitSetBuilder<'_>) -> tantivy::Result<()> {
        let inverted = into.reader.inverted_index(self.field)?;
        let walk = PathDictionaryWalk {
            asked: self,
            steps: into.budget.steps(),
        };
        let mut terms = inverted.terms().search(walk).into_stream()?;
        while terms.advance() && !into.budget.is_over() {
            if self.has_bodies || !is_of_body(terms.key()) {
                into.add_term(self.field, &inverted, terms.value())?;
            }
        }
        Ok(())
    }
}

/// Whether a term is of a path in a body.
fn is_of_body(term: &[u8]) -> bool {
    let path = term.split(|byte| *byte == PATH_END as u8).next();
    path.is_some_and(|path| field::is_body(&String::from_utf8_lossy(path)))
}

/// A walk through the dictionary.
struct PathDictionaryWalk<'a> {
    asked: &'a AnyPath,
    steps: Steps,
}

/// How far a term has been read.
#[derive(Clone, Copy)]
enum PathState {
    /// So much of the key above.
    Above(usize),
    /// Into the rest of the path.
    Path,
    /// So much of the value as long as it is the same, and the state of the automaton of its spellings.
    Value(Option<usize>, Option<automaton::AutomatonState>),
    /// As far as it can match.
    Over,
}

impl tantivy_fst::Automaton for PathDictionaryWalk<'_> {
    type State = PathState;

    fn start(&self) -> PathState {
        PathState::Above(0)
    }

    fn is_match(&self, state: &PathState) -> bool {
        // After the deadline the next term counts as a match. So the walk returns to its caller, which sees the deadline and stops.
        self.steps.step()
            || match state {
                PathState::Value(read, spelling) => {
                    *read == Some(self.asked.value.len())
                        || self
                            .asked
                            .spellings
                            .as_deref()
                            .zip(*spelling)
                            .is_some_and(|(automaton, state)| automaton.is_end(state))
                }
                _ => false,
            }
    }

    fn can_match(&self, state: &PathState) -> bool {
        !matches!(state, PathState::Over) && !self.steps.step()
    }

    fn accept(&self, state: &PathState, byte: u8) -> PathState {
        let spellings = self.asked.spellings.as_deref();
        match *state {
            PathState::Above(read) => match self.asked.above.as_bytes().get(read) {
                Some(expected) if *expected == byte => PathState::Above(read + 1),
                Some(_) => PathState::Over,
                None if byte == b'.' => PathState::Path,
                None if byte == PATH_END as u8 => self.value_begins(),
                None => PathState::Over,
            },
            PathState::Path if byte == PATH_END as u8 => self.value_begins(),
            PathState::Path => PathState::Path,
            PathState::Value(read, spelling) => {
                let is_same = |at: &usize| self.asked.value.as_bytes().get(*at) == Some(&byte);
                let read = read.filter(is_same).map(|at| at + 1);
                let spelling = spellings
                    .zip(spelling)
                    .map(|(automaton, state)| (automaton, automaton.after(state, byte)))
                    .filter(|(automaton, state)| !automaton.is_dead(*state))
                    .map(|(_, state)| state);
                match (read, spelling) {
                    (None, None) => PathState::Over,
                    (read, spelling) => PathState::Value(read, spelling),
                }
            }
            PathState::Over => PathState::Over,
        }
    }
}

impl PathDictionaryWalk<'_> {
    fn value_begins(&self) -> PathState {
        PathState::Value(
            Some(0),
            self.asked.spellings.as_deref().map(Automaton::begin),
        )
    }
}
