//! A walk through a dictionary with an automaton.

use crate::engine::budget::Steps;
use crate::query::automaton::{Automaton, AutomatonState};
use crate::query::words::HASH_MARK;

/// The first byte of the mark before a hash.
const FIRST_OF_MARK: u8 = {
    let mut bytes = [0; 4];
    HASH_MARK.encode_utf8(&mut bytes);
    bytes[0]
};

/// A walk through the part of a dictionary that begins with `prefix`, for what an automaton matches after it.
///
/// Of a term with more than `kept_len` bytes after the prefix, the last are its hash, which the automaton must not match. The
/// length is known only at the end, so the state before each mark that may begin the hash is kept.
pub(super) struct DictionaryWalk<'a> {
    pub(super) automaton: &'a Automaton,
    pub(super) prefix: &'a [u8],
    /// See [`words::kept_text`](crate::query::words::kept_text).
    pub(super) kept_len: usize,
    pub(super) steps: Steps,
}

/// How far a walk has come; `None` when nothing can match any more.
type WalkState = Option<WalkPosition>;

#[derive(Debug, Clone, Copy)]
pub(super) struct WalkPosition {
    /// How much of the prefix has been read.
    prefix_len: usize,
    /// How much has been read after it.
    len: usize,
    /// The automaton's state there.
    state: AutomatonState,
    /// Its state before the last mark that may begin the hash.
    before_hash: Option<AutomatonState>,
}

impl DictionaryWalk<'_> {
    /// The automaton's state at the end of the text, if the term ends here.
    fn at_end(&self, place: &WalkPosition) -> AutomatonState {
        match place.before_hash {
            Some(state) if place.len > self.kept_len => state,
            _ => place.state,
        }
    }
}

impl tantivy_fst::Automaton for DictionaryWalk<'_> {
    type State = WalkState;

    fn start(&self) -> WalkState {
        Some(WalkPosition {
            prefix_len: 0,
            len: 0,
            state: self.automaton.begin(),
            before_hash: None,
        })
    }

    fn is_match(&self, state: &WalkState) -> bool {
        // After the deadline the next term counts as a match. So the walk returns to its caller, which sees the deadline and stops.
        self.steps.step()
            || state.is_some_and(|place| {
                let is_whole = place.prefix_len == self.prefix.len();
                is_whole && self.automaton.is_end(self.at_end(&place))
            })
    }

    fn can_match(&self, state: &WalkState) -> bool {
        // When time is up, the walk ends because nothing seems to match any more.
        let can_go_on = |state| !self.automaton.is_dead(state);
        state
            .is_some_and(|place| can_go_on(place.state) || place.before_hash.is_some_and(can_go_on))
            && !self.steps.step()
    }

    fn accept(&self, state: &WalkState, byte: u8) -> WalkState {
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
        place.state = self.automaton.after(place.state, byte);
        place.len += 1;
        Some(place)
    }
}
