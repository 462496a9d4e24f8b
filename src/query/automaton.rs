//! Wildcards and regular expressions as automata of bounded size.

use std::cell::Cell;

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

use super::pattern::{Pattern, Piece};
use super::tree::QueryError;
use crate::field::folded;

/// The most memory that one automaton may take, and its making as much again, in bytes.
const MAX_AUTOMATON_BYTES: usize = 1024 * 1024;

/// The most memory that all automata of one question may take together, in bytes.
const MAX_AUTOMATA_BYTES: usize = 8 * 1024 * 1024;

/// What matches a whole text in lower case.
#[derive(Debug)]
pub(crate) struct Automaton {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
}

/// An expression that would become too large an automaton.
#[derive(Debug)]
pub(crate) struct TooLarge;

/// The memory for the automata of one question.
#[derive(Debug, Default)]
pub(crate) struct AutomataRoom {
    taken: Cell<usize>,
}

impl AutomataRoom {
    /// How much is taken, in bytes.
    pub(crate) fn taken(&self) -> usize {
        self.taken.get()
    }

    /// An automaton of the regular expression at position `at` of the question.
    ///
    /// # Errors
    /// [`QueryError`] when it would take too much memory.
    pub(crate) fn of_regex(&self, regex: &str, at: usize) -> Result<Automaton, QueryError> {
        self.take(at, |most| Automaton::of_regex(regex, most))
    }

    /// The same of a text with wildcards.
    ///
    /// # Errors
    /// As [`AutomataRoom::of_regex`].
    pub(crate) fn of_pattern(&self, pattern: &Pattern, at: usize) -> Result<Automaton, QueryError> {
        self.take(at, |most| Automaton::of_pattern(pattern, most))
    }

    fn take(
        &self,
        at: usize,
        make: impl FnOnce(usize) -> Result<Automaton, TooLarge>,
    ) -> Result<Automaton, QueryError> {
        let room = MAX_AUTOMATA_BYTES.saturating_sub(self.taken.get());
        let automaton = make(room).map_err(|TooLarge| {
            let what = if room < MAX_AUTOMATON_BYTES {
                "the patterns of this query together would take too much memory: use fewer"
            } else {
                "this pattern would take too much memory: make it shorter"
            };
            let message = format!("{what}, with fewer repetitions or wildcards");
            QueryError::new(at, message)
        })?;
        self.taken.set(self.taken.get() + automaton.size());
        Ok(automaton)
    }
}

impl Automaton {
    /// An automaton of a regular expression, of at most `most` bytes.
    pub(crate) fn of_regex(regex: &str, most: usize) -> Result<Self, TooLarge> {
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
        let hir = syntax::parse_with(regex, &reading).map_err(|_| TooLarge)?;
        let nfa = thompson::Compiler::new()
            .configure(threads)
            .build_from_hir(&in_lower_case(hir))
            .map_err(|_| TooLarge)?;
        let dfa = dense::Builder::new()
            .configure(config)
            .build_from_nfa(&nfa)
            .map_err(|_| TooLarge)?;
        let start = dfa
            .start_state(&start::Config::new().anchored(Anchored::Yes))
            .map_err(|_| TooLarge)?;
        Ok(Self { dfa, start })
    }

    /// An automaton of a text with wildcards, of at most `most` bytes.
    pub(crate) fn of_pattern(pattern: &Pattern, most: usize) -> Result<Self, TooLarge> {
        let pieces = pattern.pieces().iter().map(|piece| match piece {
            Piece::Text(text) => regex_syntax::escape(&folded(text)),
            Piece::AnyText => ".*".to_owned(),
            Piece::AnyCharacter => ".".to_owned(),
        });
        Self::of_regex(&pieces.collect::<String>(), most)
    }

    /// Whether it matches the whole of a text, which is in lower case.
    pub(crate) fn matches(&self, text: &str) -> bool {
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
    pub(crate) fn size(&self) -> usize {
        self.dfa.memory_usage()
    }

    /// The state before a text, for who walks by itself.
    pub(crate) fn begin(&self) -> AutomatonState {
        AutomatonState(self.start)
    }

    /// The state after another byte.
    pub(crate) fn after(&self, state: AutomatonState, byte: u8) -> AutomatonState {
        AutomatonState(self.dfa.next_state(state.0, byte))
    }

    /// Whether nothing can match any more.
    pub(crate) fn is_dead(&self, state: AutomatonState) -> bool {
        self.dfa.is_dead_state(state.0)
    }

    /// Whether a text that ends in this state matches.
    pub(crate) fn is_end(&self, state: AutomatonState) -> bool {
        self.dfa.is_match_state(self.dfa.next_eoi_state(state.0))
    }
}

/// The state of an automaton.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AutomatonState(StateID);

/// The letter whose lower case is two characters, and these. All others an expression compares in both letter cases by itself.
const LONG_LETTER: char = 'İ';
const LONG_LETTER_IN_LOWER_CASE: &str = "i\u{307}";

/// An expression for texts in lower case: where it asks for `İ`, by name or in a short list of letters, it asks for what that
/// letter is there.
fn in_lower_case(hir: Hir) -> Hir {
    let all = |parts: Vec<Hir>| parts.into_iter().map(in_lower_case).collect();
    match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
            Ok(text) => Hir::literal(
                text.replace(LONG_LETTER, LONG_LETTER_IN_LOWER_CASE)
                    .into_bytes(),
            ),
            Err(_) => Hir::literal(literal.0),
        },
        HirKind::Class(class) if names_long_letter(&class) => Hir::alternation(vec![
            Hir::class(class),
            Hir::literal(LONG_LETTER_IN_LOWER_CASE.as_bytes()),
        ]),
        HirKind::Class(class) => Hir::class(class),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            sub: Box::new(in_lower_case(*repetition.sub)),
            ..repetition
        }),
        HirKind::Capture(capture) => in_lower_case(*capture.sub),
        HirKind::Concat(parts) => Hir::concat(all(parts)),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)),
    }
}

/// Whether a class of characters has `İ`, and is no class of nearly everything: those have `i` as well.
fn names_long_letter(class: &Class) -> bool {
    let Class::Unicode(class) = class else {
        return false;
    };
    let has = |c: char| {
        let mut ranges = class.ranges().iter();
        ranges.any(|range| (range.start()..=range.end()).contains(&c))
    };
    has(LONG_LETTER) && !has('i')
}
