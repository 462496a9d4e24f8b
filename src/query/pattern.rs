//! What a text with wildcards looks like.

use std::fmt;

use super::escape::write_escaped;
use crate::field::continues_word;

/// A text with wildcards: pieces in order, which together are the whole of what they match.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Pattern(Vec<Piece>);

/// A piece of a [`Pattern`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Piece {
    /// This text.
    Text(String),
    /// `*`: any text, or none.
    AnyText,
    /// `?`: any one character.
    AnyCharacter,
}

impl Pattern {
    /// Its pieces: two texts, or two stars, are never adjacent.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// Adds a literal character.
    pub(super) fn push_char(&mut self, c: char) {
        match self.0.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => self.0.push(Piece::Text(c.into())),
        }
    }

    /// Adds a wildcard.
    pub(super) fn push_wildcard(&mut self, wildcard: Piece) {
        if wildcard != Piece::AnyText || self.0.last() != Some(&Piece::AnyText) {
            self.0.push(wildcard);
        }
    }

    /// Whether it is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it matches every text.
    pub(super) fn is_anything(&self) -> bool {
        self.0 == [Piece::AnyText]
    }

    /// The text it is, when it has no wildcards.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// What its words look like, in order: cut where a character is neither letter nor digit. A lone star is a word of any
    /// text between others, and nothing at an end.
    #[must_use]
    pub fn words(&self) -> Vec<Self> {
        let mut words = vec![Self::default()];
        let current = |words: &mut Vec<Self>| words.pop().unwrap_or_default();
        for piece in &self.0 {
            let Piece::Text(text) = piece else {
                let mut word = current(&mut words);
                word.push_wildcard(piece.clone());
                words.push(word);
                continue;
            };
            let mut before = None;
            for c in text.chars() {
                if continues_word(before.replace(c), c) {
                    let mut word = current(&mut words);
                    word.push_char(c);
                    words.push(word);
                } else {
                    words.push(Self::default());
                }
            }
        }
        words.retain(|word| !word.is_empty());
        while words.last().is_some_and(Self::is_anything) {
            words.pop();
        }
        let says_nothing = words.iter().take_while(|word| word.is_anything()).count();
        words.split_off(says_nothing)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => write_escaped(f, text),
            Piece::AnyText => f.write_str("*"),
            Piece::AnyCharacter => f.write_str("?"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        let mut pattern = Pattern::default();
        for c in text.chars() {
            match c {
                '*' => pattern.push_wildcard(Piece::AnyText),
                '?' => pattern.push_wildcard(Piece::AnyCharacter),
                c => pattern.push_char(c),
            }
        }
        pattern
    }

    #[test]
    fn patterns_are_cut_into_words() {
        let check = |text, expect: &[&str]| {
            let words: Vec<String> = pattern(text)
                .words()
                .iter()
                .map(Pattern::to_string)
                .collect();
            assert_eq!(words, expect, "{text}");
        };
        check("ali*", &["ali*"]);
        check("*.example.com", &["example", "com"]);
        check("*evil-corp*", &["*evil", "corp*"]);
        check("a - * - b", &["a", "*", "b"]);
        check("*-?", &["?"]);
        check("* *", &[]);
        check("a**b", &["a*b"]);
        check("i\u{307}st*", &["i\\\u{307}st*"]);
    }
}
