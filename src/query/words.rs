//! What a word is: the one rule by which texts are cut up, both when they are indexed and when they are asked for.
//!
//! A word is a run of letters and digits of any script, in lower case; a text and its lower case have the same words. A UUID is always one word, so that an
//! id is found whole; so is any long run. A word too long to be typed is known by its beginning and its hash.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::field::{Number, continues_word, folded};

/// The longest value or path that is kept as it is, in bytes. Of a longer one this much is kept, and its hash behind it.
pub(crate) use crate::field::MAX_VALUE_LEN;

/// The longest word that is kept as it is, in bytes. Of a longer one this much is kept, and its hash behind it.
pub(crate) const MAX_TERM_LEN: usize = 256;

/// Of a number that is longer than a value may be, at least this many bytes are kept before its exponent.
const NUMBER_KEPT_LEN: usize = 1_000;

/// The longest text that is a whole number in its one spelling for sure.
const MAX_PLAIN_LEN: usize = 40;

/// Stands between the text that is kept and its hash.
pub(crate) const HASH_MARK: char = '…';

/// How many bytes of the hash are kept. Each is two characters.
const HASH_BYTES: usize = 16;

/// The length of the mark and the hash, in bytes. A text and its hash are longer than the longest text without one, which is
/// how they are told apart.
const MARK_AND_HASH_LEN: usize = HASH_MARK.len_utf8() + 2 * HASH_BYTES;

/// The words of a text.
pub(crate) fn of(text: &str) -> Vec<String> {
    let mut cutter = Cutter::new(text);
    let mut found = Vec::new();
    let mut word = String::new();
    while cutter.next_into(&mut word).is_some() {
        found.push(word.clone());
    }
    found
}

/// How many words a text has, when it has fewer than two; two when it has more.
pub(crate) fn count_to_two(text: &str) -> usize {
    let mut cutter = Cutter::new(text);
    let mut words = std::iter::from_fn(|| cutter.next_bounds());
    words.by_ref().take(2).count()
}

/// Whether a value means nothing to a reader, and is one word: a UUID, or sixteen hexadecimal digits and more.
pub(crate) fn is_opaque(value: &str) -> bool {
    let bytes = value.as_bytes();
    ((16..=MAX_TERM_LEN).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_hexdigit))
        || (bytes.len() == UUID_LEN && starts_with_uuid(bytes))
}

/// A word in its indexed form: itself, or, when it is very long, its beginning and its hash.
fn shortened(word: String) -> String {
    if word.len() <= MAX_TERM_LEN {
        return word;
    }
    with_hash(cut(&word, MAX_TERM_LEN), &word)
}

/// A value or a path in its indexed form: itself, or, when it is very long, its beginning and its hash.
pub(crate) fn shortened_value(value: String) -> String {
    if value.len() <= MAX_VALUE_LEN {
        return value;
    }
    match number_cut(&value) {
        Some(kept) => with_hash(&kept, &value),
        None => with_hash(cut(&value, MAX_VALUE_LEN), &value),
    }
}

fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// A number that is spelled with an exponent, cut so that it stays a number of about the same size: its last digits are left
/// out, and of an exponent that is very long itself the last ones too.
fn number_cut(value: &str) -> Option<String> {
    let (digits, exponent) = value.split_at(value.find('e')?);
    Number::plain(value)?;
    let room = MAX_VALUE_LEN.saturating_sub(exponent.len());
    let digits = cut(digits, room.max(NUMBER_KEPT_LEN));
    Some(format!(
        "{digits}{}",
        cut(exponent, MAX_VALUE_LEN - digits.len())
    ))
}

fn with_hash(kept: &str, text: &str) -> String {
    let mut with_hash = format!("{kept}{HASH_MARK}");
    for byte in &Sha256::digest(text.as_bytes())[..HASH_BYTES] {
        // Writing to a string cannot fail.
        write!(with_hash, "{byte:02x}").unwrap_or_default();
    }
    with_hash
}

/// What is kept of a term's text: all that patterns, expressions and ranges may see. The hash is no text.
pub(crate) fn kept_text(term: &str, limit: usize) -> &str {
    if term.len() <= limit {
        return term;
    }
    let len = term.len().saturating_sub(MARK_AND_HASH_LEN);
    term.get(..len).unwrap_or(term)
}

/// A value as facets list one that is very long, folded; `None` for what is not of that form.
pub(crate) fn listed_value(value: &str) -> Option<String> {
    let value = folded(value);
    let kept_len = value.len().checked_sub(MARK_AND_HASH_LEN)?;
    let (kept, mark_and_hash) = value.split_at_checked(kept_len)?;
    let hash = mark_and_hash.strip_prefix(HASH_MARK)?;
    let is_hash = hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    // The text is cut between characters, of at most four bytes.
    let is_cut = (MAX_VALUE_LEN - 3..=MAX_VALUE_LEN).contains(&kept.len());
    (is_hash && is_cut).then_some(value)
}

/// The indexed spelling of a value that is a number; `None` if the value has that spelling already, or is no number.
pub(crate) fn one_spelling(value: &str) -> Option<String> {
    let first = value.as_bytes().first()?;
    let may_be_number = first.is_ascii_digit() || matches!(first, b'+' | b'-');
    if !may_be_number || value.len() > MAX_VALUE_LEN {
        return None;
    }
    let is_plain = *first != b'0' && value.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain && value.len() <= MAX_PLAIN_LEN {
        return None;
    }
    let spelled = Number::plain(value)?.to_string();
    (spelled != value).then_some(spelled)
}

/// How long the run of letters and digits is that a text begins with, in bytes.
fn run_len(text: &str) -> usize {
    // Nearly all texts are ASCII here.
    let bytes = text.as_bytes();
    let ascii = bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric());
    let len = ascii.count();
    if bytes.get(len).is_none_or(u8::is_ascii) {
        return len;
    }
    let mut before = None;
    let mut end = text.char_indices();
    let end = end.find(|(_, c)| !continues_word(before.replace(*c), *c));
    end.map_or(text.len(), |(at, _)| at)
}

const UUID_LEN: usize = 36;

fn starts_with_uuid(bytes: &[u8]) -> bool {
    bytes.len() >= UUID_LEN
        && bytes[..UUID_LEN]
            .iter()
            .enumerate()
            .all(|(i, byte)| match i {
                8 | 13 | 18 | 23 => *byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
}

/// The words of a text, one after the other.
pub(crate) struct Cutter<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cutter<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// Writes the next word, as it is compared, in the place of what `word` holds, and gives its bounds in bytes.
    pub(crate) fn next_into(&mut self, word: &mut String) -> Option<(usize, usize)> {
        let (start, end) = self.next_bounds()?;
        let written = &self.text[start..end];
        word.clear();
        if written.is_ascii() {
            word.push_str(written);
            word.make_ascii_lowercase();
        } else {
            word.push_str(&folded(written));
        }
        if word.len() > MAX_TERM_LEN {
            *word = shortened(std::mem::take(word));
        }
        Some((start, end))
    }

    fn next_bounds(&mut self) -> Option<(usize, usize)> {
        let rest = &self.text[self.at..];
        let start = self.at + rest.find(char::is_alphanumeric)?;
        let rest = &self.text[start..];
        let mut len = run_len(rest);
        if len == 8 && starts_with_uuid(rest.as_bytes()) {
            let follows = rest[UUID_LEN..].chars().next();
            len = if follows.is_some_and(char::is_alphanumeric) {
                len
            } else {
                UUID_LEN
            };
        }
        self.at = start + len;
        Some((start, self.at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_cut_into_words() {
        let check = |text, expect: &[&str]| assert_eq!(of(text), expect, "{text}");
        check("Add Member", &["add", "member"]);
        check("alice@Example.com", &["alice", "example", "com"]);
        check(
            "Bücher & Söhne — 株式会社サンプル 🏢",
            &["bücher", "söhne", "株式会社サンプル"],
        );
        check(
            "/zones/9b2e4d6f8a0c1e3f5a7b9c1d3e5f7a90/dns",
            &["zones", "9b2e4d6f8a0c1e3f5a7b9c1d3e5f7a90", "dns"],
        );
        check(
            "id=2DC5CB28-f5e7-4c0c-ade0-bf58fbc3c103;",
            &["id", "2dc5cb28-f5e7-4c0c-ade0-bf58fbc3c103"],
        );
        check(
            "2dc5cb28-f5e7-4c0c-ade0-bf58fbc3c103x",
            &["2dc5cb28", "f5e7", "4c0c", "ade0", "bf58fbc3c103x"],
        );
        check(
            "İstanbul i̇stanbul I\u{307} \u{307}a",
            &["i\u{307}stanbul", "i\u{307}stanbul", "i\u{307}", "a"],
        );
        check("--- ///", &[]);
    }

    #[test]
    fn very_long_words_stay_different() {
        let (a, b) = ("x".repeat(1_000), "x".repeat(1_001));
        assert_ne!(of(&a), of(&b));
        assert_eq!(
            kept_text(&of(&a)[0], MAX_TERM_LEN),
            "x".repeat(MAX_TERM_LEN)
        );
        let just_fits = "x".repeat(MAX_TERM_LEN);
        assert_eq!(kept_text(&of(&just_fits)[0], MAX_TERM_LEN), just_fits);
    }

    #[test]
    fn very_long_values_stay_different_and_show_their_beginning() {
        for c in ['x', 'é', '…', '🏢'] {
            let text = |n: usize| c.to_string().repeat(n);
            let long = text(MAX_VALUE_LEN + 1);
            let term = shortened_value(long.clone());
            assert_ne!(term, shortened_value(long.clone() + "x"));
            assert!(term.len() > MAX_VALUE_LEN && term.len() < MAX_VALUE_LEN + 40);
            let kept = kept_text(&term, MAX_VALUE_LEN);
            assert!(
                long.starts_with(kept) && kept.len() > MAX_VALUE_LEN - 4,
                "{c}"
            );
        }
    }

    #[test]
    fn what_stands_for_a_very_long_value_is_known_by_its_form() {
        let number = Number::with_exponent(&format!("{}e99", "7".repeat(3_000))).unwrap();
        let texts = ['x', 'é', '…', '🏢'].map(|c| c.to_string().repeat(2_100));
        for long in texts.into_iter().chain([number.to_string()]) {
            let term = shortened_value(long.clone());
            assert_eq!(listed_value(&term.to_uppercase()), Some(term), "{long:.9}");
            assert_eq!(listed_value(&long), None, "{long:.9}");
        }
        for other in ["", "x", "…", "x…00112233445566778899aabbccddeeff"] {
            assert_eq!(listed_value(other), None, "{other}");
        }
    }

    #[test]
    fn very_long_numbers_keep_their_size() {
        let check = |number: String| {
            let spelled = Number::with_exponent(&number).unwrap().to_string();
            let term = shortened_value(spelled.clone());
            let kept = kept_text(&term, MAX_VALUE_LEN);
            assert_eq!(kept.len(), MAX_VALUE_LEN);
            let kept = Number::with_exponent(kept).unwrap();
            let whole = Number::with_exponent(&number).unwrap();
            let a_little_more = Number::with_exponent(&number.replacen("777", "778", 1)).unwrap();
            assert!(kept <= whole && whole < a_little_more);
        };
        check("7".repeat(3_000));
        check(format!("0.{}", "7".repeat(3_000)));
        check(format!("{}e{}", "7".repeat(3_000), "1".repeat(500)));
        check(format!("{}e{}", "7".repeat(3_000), "1".repeat(3_000)));
        check(format!("777e{}", "1".repeat(3_000)));
    }

    #[test]
    fn ids_are_opaque_and_names_are_not() {
        for id in [
            "2dc5cb28-f5e7-4c0c-ade0-bf58fbc3c103",
            "7fdbafab9bbb2e9f9f94738212edfd85",
            "97d37013be751b6a",
        ] {
            assert!(is_opaque(id), "{id}");
        }
        for name in ["ssl", "edge-api", "deadbeef", "alice@example.com", ""] {
            assert!(!is_opaque(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_text_is_cut_without_panic_and_words_stay_words(text in ".{0,80}") {
            prop_assert_eq!(count_to_two(&text), of(&text).len().min(2));
            prop_assert_eq!(of(&text), of(&folded(&text)));
            for word in of(&text) {
                prop_assert!(!word.is_empty());
                // Upper case may come back from a few letters that have no lower case of their own; cutting is stable.
                prop_assert!(of(&word).len() <= word.chars().count());
            }
        }
    }
}
