//! Texts with `*` as their only wildcard: they are matched without an automaton.

use super::pattern::{Pattern, Piece};
use crate::field::folded;

/// A text with `*` alone and nothing but ASCII besides: it needs no automaton.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    /// What it begins with, what comes in between, and what it ends with; without a `*` the whole.
    first: String,
    between: Vec<String>,
    last: Option<String>,
}

impl Glob {
    /// `None` for a pattern that needs an automaton.
    pub(super) fn of(pattern: &Pattern) -> Option<Self> {
        // The texts between the stars.
        let mut texts = vec![String::new()];
        for piece in pattern.pieces() {
            match piece {
                Piece::Text(text) if text.is_ascii() => texts.last_mut()?.push_str(&folded(text)),
                Piece::AnyText => texts.push(String::new()),
                Piece::Text(_) | Piece::AnyCharacter => return None,
            }
        }
        let first = texts.remove(0);
        let last = texts.pop();
        Some(Self {
            first,
            between: texts,
            last,
        })
    }

    /// Whether it matches the whole of a text, which is in lower case.
    pub(super) fn matches(&self, text: &str) -> bool {
        // The one other letter whose upper case is that of an ASCII letter: automata take both for the same.
        if text.contains('ſ') {
            return self.matches(&text.replace('ſ', "s"));
        }
        let Some(rest) = text.strip_prefix(self.first.as_str()) else {
            return false;
        };
        let Some(last) = &self.last else {
            return rest.is_empty();
        };
        let Some(mut rest) = rest.strip_suffix(last.as_str()) else {
            return false;
        };
        self.between
            .iter()
            .all(|text| match rest.split_once(text.as_str()) {
                Some((_, after)) => {
                    rest = after;
                    true
                }
                None => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::from_micros;
    use crate::query::Query;
    use crate::query::automaton::Automaton;

    proptest! {
        #[test]
        fn a_glob_matches_what_its_automaton_matches(
            glob in "[abs]{0,2}(\\*[abs]{0,2}){0,3}",
            text in "[absſ]{0,8}",
        ) {
            let Ok(Query::Like { pattern, .. }) = crate::query::parse(&format!("x:{glob}"), from_micros(0)) else {
                return Ok(());
            };
            let automaton = Automaton::of_pattern(&pattern, usize::MAX).unwrap();
            prop_assert_eq!(Glob::of(&pattern).unwrap().matches(&text), automaton.matches(&text));
        }
    }
}
