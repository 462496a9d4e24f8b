//! Wildcards and regular expressions as automata that walk a dictionary, of bounded size.

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

use super::stopwatch::Steps;
use super::words::HASH_MARK;
use crate::field::folded;
use crate::query::{Pattern, Piece};

/// The most memory that one automaton may take, and its making as much again, in bytes.
pub(super) const MAX_AUTOMATON_BYTES: usize = 1024 * 1024;

/// The most memory that all automata of one question may take together, in bytes.
pub(super) const MAX_AUTOMATA_BYTES: usize = 8 * 1024 * 1024;

/// The first byte of the mark before a hash.
const FIRST_OF_MARK: u8 = {
    let mut bytes = [0; 4];
    HASH_MARK.encode_utf8(&mut bytes);
    bytes[0]
};

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

/// A walk through the part of a dictionary that begins with `prefix`, for what an automaton matches after it.
///
/// Of a term with more than `kept_len` bytes after the prefix, the last are its hash, which the automaton must not match. The
/// length is known only at the end, so the state before each mark that may begin the hash is kept.
pub(super) struct DictionaryWalk<'a> {
    pub(super) automaton: &'a Automaton,
    pub(super) prefix: &'a [u8],
    /// See [`words::kept_text`](super::words::kept_text).
    pub(super) kept_len: usize,
    pub(super) steps: Steps,
}

/// How far a walk has come; `None` when nothing can match any more.
type State = Option<Place>;

#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// How much of the prefix has been read.
    prefix_len: usize,
    /// How much has been read after it.
    len: usize,
    /// The automaton's state there.
    state: StateID,
    /// Its state before the last mark that may begin the hash.
    before_hash: Option<StateID>,
}

impl DictionaryWalk<'_> {
    /// The automaton's state at the end of the text, if the term ends here.
    fn at_end(&self, place: &Place) -> StateID {
        match place.before_hash {
            Some(state) if place.len > self.kept_len => state,
            _ => place.state,
        }
    }
}

impl tantivy_fst::Automaton for DictionaryWalk<'_> {
    type State = State;

    fn start(&self) -> State {
        Some(Place {
            prefix_len: 0,
            len: 0,
            state: self.automaton.start,
            before_hash: None,
        })
    }

    fn is_match(&self, state: &State) -> bool {
        let dfa = &self.automaton.dfa;
        // When time is up, the next term is said to match: the walk then comes back to whoever takes the terms, and ends there.
        self.steps.step()
            || state.is_some_and(|place| {
                let is_whole = place.prefix_len == self.prefix.len();
                is_whole && dfa.is_match_state(dfa.next_eoi_state(self.at_end(&place)))
            })
    }

    fn can_match(&self, state: &State) -> bool {
        // When time is up, the walk ends because nothing seems to match any more.
        let can_go_on = |state| !self.automaton.dfa.is_dead_state(state);
        state
            .is_some_and(|place| can_go_on(place.state) || place.before_hash.is_some_and(can_go_on))
            && !self.steps.step()
    }

    fn accept(&self, state: &State, byte: u8) -> State {
        let mut place = (*state)?;
        if let Some(expected) = self.prefix.get(place.prefix_len) {
            place.prefix_len += 1;
            return (*expected == byte).then_some(place);
        }
        // The text was cut between characters, so the mark begins up to three bytes before the limit.
        let may_be_cut = place.len <= self.kept_len && place.len + 3 >= self.kept_len;
        if may_be_cut && byte == FIRST_OF_MARK {
            place.before_hash = Some(place.state);
        }
        place.state = self.automaton.dfa.next_state(place.state, byte);
        place.len += 1;
        Some(place)
    }
}
