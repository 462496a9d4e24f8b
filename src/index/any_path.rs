//! Documents that have a value at any path of a part of the entry, of the paths that are not in the table of fields.
//!
//! In their dictionary a path stands before its values: the walk reads each path once and, behind it, only what the value
//! begins with.

use std::sync::Arc;

use tantivy::postings::TermInfo;
use tantivy::query::{EnableScoring, Query, Weight};
use tantivy::schema::Field;
use tantivy::{BitSet, SegmentReader};

use super::automaton::Automaton;
use super::gathered::{Found, Gathered, add};
use super::schema::PATH_END;
use super::stopwatch::{Steps, Watch};

/// The question: which value, below which key.
#[derive(Debug, Clone)]
pub(super) struct AnyPath {
    /// The field of the dictionary.
    pub(super) field: Field,
    /// The key that the paths begin with, or are.
    pub(super) above: &'static str,
    /// The value, as it is in the index.
    pub(super) value: String,
    /// The spellings of the same number, if the value is one.
    pub(super) spellings: Option<Arc<Automaton>>,
    /// How much time there is.
    pub(super) watch: Watch,
}

impl AnyPath {
    /// The documents of a segment.
    fn docs(&self, reader: &SegmentReader) -> tantivy::Result<Found> {
        let inverted = reader.inverted_index(self.field)?;
        let steps = self.watch.steps();
        let mut infos: Vec<TermInfo> = Vec::new();
        let walk = Walk {
            asked: self,
            steps: self.watch.steps(),
        };
        let mut terms = inverted.terms().search(walk).into_stream()?;
        while terms.advance() && !self.watch.is_over() {
            infos.push(terms.value().clone());
        }
        Ok(match infos.as_slice() {
            [] => Found::Nothing,
            [one] => Found::OneTerm(self.field, one.clone()),
            several => {
                let mut docs = BitSet::with_max_value(reader.max_doc());
                for info in several {
                    add(&mut docs, &inverted, info, &steps, |_| true)?;
                }
                Found::Docs(docs)
            }
        })
    }
}

impl Query for AnyPath {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let asked = self.clone();
        Ok(Box::new(Gathered::new(move |reader| asked.docs(reader))))
    }
}

/// A walk through the dictionary.
struct Walk<'a> {
    asked: &'a AnyPath,
    steps: Steps,
}

/// How far a term has been read.
#[derive(Clone, Copy)]
enum State {
    /// So much of the key above.
    Above(usize),
    /// Into the rest of the path.
    Path,
    /// So much of the value as long as it is the same, and the state of the automaton of its spellings.
    Value(Option<usize>, Option<usize>),
    /// As far as it can match.
    Over,
}

impl tantivy_fst::Automaton for Walk<'_> {
    type State = State;

    fn start(&self) -> State {
        State::Above(0)
    }

    fn is_match(&self, state: &State) -> bool {
        // When time is up, the next term is said to match: the walk then comes back to whoever takes the terms, and ends there.
        self.steps.step()
            || match state {
                State::Value(read, spelling) => {
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

    fn can_match(&self, state: &State) -> bool {
        !matches!(state, State::Over) && !self.steps.step()
    }

    fn accept(&self, state: &State, byte: u8) -> State {
        let spellings = self.asked.spellings.as_deref();
        match *state {
            State::Above(read) => match self.asked.above.as_bytes().get(read) {
                Some(expected) if *expected == byte => State::Above(read + 1),
                Some(_) => State::Over,
                None if byte == b'.' => State::Path,
                None if byte == PATH_END as u8 => self.value_begins(),
                None => State::Over,
            },
            State::Path if byte == PATH_END as u8 => self.value_begins(),
            State::Path => State::Path,
            State::Value(read, spelling) => {
                let is_same = |at: &usize| self.asked.value.as_bytes().get(*at) == Some(&byte);
                let read = read.filter(is_same).map(|at| at + 1);
                let spelling = spellings
                    .zip(spelling)
                    .and_then(|(automaton, state)| automaton.after(state, byte));
                match (read, spelling) {
                    (None, None) => State::Over,
                    (read, spelling) => State::Value(read, spelling),
                }
            }
            State::Over => State::Over,
        }
    }
}

impl Walk<'_> {
    fn value_begins(&self) -> State {
        State::Value(
            Some(0),
            self.asked.spellings.as_deref().map(Automaton::begin),
        )
    }
}
