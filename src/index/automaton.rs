//! Wildcards and regular expressions as automata that walk a dictionary, of bounded size.

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};

use super::stopwatch::Steps;
use crate::field::folded;
use crate::query::{Pattern, Piece};

/// The most memory that one automaton may take, and its making as much again, in bytes.
pub(super) const MAX_AUTOMATON_BYTES: usize = 1024 * 1024;

/// The most memory that all automata of one question may take together, in bytes.
pub(super) const MAX_AUTOMATA_BYTES: usize = 8 * 1024 * 1024;

/// What matches a whole text in lower case.
#[derive(Debug)]
pub(super) struct Automaton {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
}

/// An expression that would become too large an automaton.
#[derive(Debug)]
pub(super) struct TooLarge;

impl Automaton {
    /// An automaton of a regular expression, of at most `most` bytes.
    pub(super) fn of_regex(regex: &str, most: usize) -> Result<Self, TooLarge> {
        let most = most.min(MAX_AUTOMATON_BYTES);
        let config = dense::Config::new()
            .accelerate(false)
            .start_kind(StartKind::Anchored)
            // Every way to match goes on until the end of the text, where it is asked whether there is one.
            .match_kind(MatchKind::All)
            .dfa_size_limit(Some(most))
            .determinize_size_limit(Some(MAX_AUTOMATON_BYTES));
        let reading = syntax::Config::new()
            .case_insensitive(true)
            .dot_matches_new_line(true);
        let threads = thompson::Config::new()
            .nfa_size_limit(Some(MAX_AUTOMATON_BYTES))
            .which_captures(thompson::WhichCaptures::None);
        let dfa = dense::Builder::new()
            .configure(config)
            .syntax(reading)
            .thompson(threads)
            .build(regex)
            .map_err(|_| TooLarge)?;
        let start = dfa
            .start_state(&start::Config::new().anchored(Anchored::Yes))
            .map_err(|_| TooLarge)?;
        Ok(Self { dfa, start })
    }

    /// An automaton of a text with wildcards, of at most `most` bytes.
    pub(super) fn of_pattern(pattern: &Pattern, most: usize) -> Result<Self, TooLarge> {
        let pieces = pattern.pieces().iter().map(|piece| match piece {
            Piece::Text(text) => regex_syntax::escape(&folded(text)),
            Piece::AnyText => ".*".to_owned(),
            Piece::AnyCharacter => ".".to_owned(),
        });
        Self::of_regex(&pieces.collect::<String>(), most)
    }

    /// Whether it matches the whole of a text, which is in lower case.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut state = self.start;
        for byte in text.bytes() {
            state = self.dfa.next_state(state, byte);
            if self.dfa.is_dead_state(state) {
                return false;
            }
        }
        self.dfa.is_match_state(self.dfa.next_eoi_state(state))
    }

    /// How much memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        self.dfa.memory_usage()
    }

    /// The state before a text, for who walks by itself.
    pub(super) fn begin(&self) -> usize {
        self.start.as_usize()
    }

    /// The state after another byte; `None` when nothing can match any more.
    pub(super) fn after(&self, state: usize, byte: u8) -> Option<usize> {
        let next = self.dfa.next_state(StateID::new(state).ok()?, byte);
        (!self.dfa.is_dead_state(next)).then(|| next.as_usize())
    }

    /// Whether a text that ends in this state matches.
    pub(super) fn is_end(&self, state: usize) -> bool {
        let state = StateID::new(state).ok();
        state.is_some_and(|state| self.dfa.is_match_state(self.dfa.next_eoi_state(state)))
    }
}

/// A walk through the part of a dictionary that begins with `prefix`, for what an automaton matches after it.
pub(super) struct DictionaryWalk<'a> {
    pub(super) automaton: &'a Automaton,
    pub(super) prefix: &'a [u8],
    pub(super) steps: Steps,
}

/// How much of the prefix has been read, and then the automaton's state; `None` when nothing can match any more.
type State = Option<(usize, StateID)>;

impl tantivy_fst::Automaton for DictionaryWalk<'_> {
    type State = State;

    fn start(&self) -> State {
        Some((0, self.automaton.start))
    }

    fn is_match(&self, state: &State) -> bool {
        let dfa = &self.automaton.dfa;
        // When time is up, the next term is said to match: the walk then comes back to whoever takes the terms, and ends there.
        self.steps.step()
            || state.is_some_and(|(read, state)| {
                read == self.prefix.len() && dfa.is_match_state(dfa.next_eoi_state(state))
            })
    }

    fn can_match(&self, state: &State) -> bool {
        // When time is up, the walk ends because nothing seems to match any more.
        state.is_some_and(|(_, state)| !self.automaton.dfa.is_dead_state(state))
            && !self.steps.step()
    }

    fn accept(&self, state: &State, byte: u8) -> State {
        let (read, state) = (*state)?;
        match self.prefix.get(read) {
            Some(expected) => (*expected == byte).then_some((read + 1, state)),
            None => Some((read, self.automaton.dfa.next_state(state, byte))),
        }
    }
}
