//! Where in an entry's values a question finds what it asks for.
//!
//! What is excluded, and what asks for any value, is nowhere. The rest is found by the same tests as [`Matcher`] uses: a value as a
//! whole, or words side by side.

use super::entry::{Path, kind_of, leads_to};
use super::matcher::{Matcher, Test, ValuePattern};
use super::value_test::ValueTest;
use super::words::{self, Cutter};
use crate::field::{self, Kind, spelled_path};

/// The most ranges in one value.
const MAX_RANGES: usize = 100;

/// A range of characters: the first, and the first after it.
pub type CharRange = [usize; 2];

/// A value at the end of a path of an entry.
#[derive(Debug, Clone, Copy)]
pub struct ShownValue<'a> {
    /// The path, as the entry spells it.
    pub path: &'a str,
    /// The value as it is compared, before it is folded.
    pub text: &'a str,
    /// The value as the entry shows it.
    pub shown: &'a str,
    /// Whether it can be searched by its path.
    pub is_searchable: bool,
}

/// A value with what it is compared by.
struct ComparedValue<'a> {
    path: &'a str,
    kind: Kind,
    /// As a whole; `None` where it is searchable by its words alone.
    whole: Option<String>,
}

impl Matcher {
    /// The ranges of a value that the question asks for, in order and apart from each other. Each step asks `is_over`, and when that
    /// says so, some may be missing.
    pub fn ranges(&self, value: ShownValue<'_>, is_over: &impl Fn() -> bool) -> Vec<CharRange> {
        let path = &*spelled_path(value.path);
        if value.text.is_empty() || (!self.has_bodies && field::is_body(path)) {
            return Vec::new();
        }
        let kind = kind_of(path);
        let whole = || words::shortened_value(field::normal(kind, value.text));
        let compared = ComparedValue {
            path,
            kind,
            whole: value.is_searchable.then(whole),
        };
        if self.test.is_whole(&compared, is_over) {
            return vec![[0, value.shown.chars().count()]];
        }
        let mut runs: Vec<&[ValuePattern]> = Vec::new();
        let mut single = Vec::new();
        self.test.runs(&compared, &mut runs, &mut single);
        if runs.is_empty() && single.is_empty() {
            return Vec::new();
        }
        let words = bounded_words(value.text);
        let mut found = Vec::new();
        for run in runs.into_iter().chain(single.iter().map(Vec::as_slice)) {
            find_run(run, &words, &mut found, is_over);
        }
        if value.text != value.shown && !found.is_empty() {
            // A number that the entry spells in another way has other places.
            return vec![[0, value.shown.chars().count()]];
        }
        in_characters(value.text, joined(found))
    }
}

impl Test {
    /// Whether a value as a whole is what some part of the question asks for.
    fn is_whole(&self, value: &ComparedValue<'_>, is_over: &impl Fn() -> bool) -> bool {
        let Some(whole) = &value.whole else {
            return false;
        };
        if is_over() {
            return false;
        }
        let is_at = |path: &Path| matches!(path, Path::OfEntry(path) if path == value.path);
        let is = |wanted: &ValuePattern| wanted.is(whole, words::MAX_VALUE_LEN);
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().any(|part| part.is_whole(value, is_over))
            }
            Self::Has(path, text) => is_at(path) && text == whole,
            Self::OneOf(path, values) => is_at(path) && values.contains(whole.as_str()),
            Self::Value(path, wanted) => is_at(path) && !wanted.is_of_words() && is(wanted),
            Self::Below(above, wanted) => {
                value.kind == Kind::Any && leads_to(above, value.path) && is(wanted)
            }
            Self::Yes
            | Self::Not(_)
            | Self::HasEmpty(_)
            | Self::Exists(_)
            | Self::Words(_)
            | Self::At(_)
            | Self::Latest => false,
        }
    }

    /// Adds what the question asks for as words side by side in a value: runs that are there already, and runs that are made here.
    fn runs<'t>(
        &'t self,
        value: &ComparedValue<'_>,
        runs: &mut Vec<&'t [ValuePattern]>,
        made: &mut Vec<Vec<ValuePattern>>,
    ) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().for_each(|part| part.runs(value, runs, made));
            }
            Self::Words(wanted) if value.kind != Kind::Time => runs.push(wanted),
            Self::Value(Path::OfEntry(path), ValuePattern::Passes(test)) if path == value.path => {
                match test {
                    ValueTest::Words(words) => {
                        made.push(words.iter().cloned().map(ValuePattern::Text).collect());
                    }
                    ValueTest::AnyWord(automaton) => {
                        made.push(vec![ValuePattern::Automaton(automaton.clone())]);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

impl ValuePattern {
    /// Whether it asks for words of a value.
    fn is_of_words(&self) -> bool {
        matches!(
            self,
            Self::Passes(ValueTest::Words(_) | ValueTest::AnyWord(_))
        )
    }
}

/// A word as it is compared, and where it is, in bytes.
type BoundedWord = (String, usize, usize);

fn bounded_words(text: &str) -> Vec<BoundedWord> {
    let mut cutter = Cutter::new(text);
    let (mut words, mut word) = (Vec::new(), String::new());
    while let Some((start, end)) = cutter.next_into(&mut word) {
        words.push((word.clone(), start, end));
    }
    words
}

/// Adds the places, in bytes, at which words are side by side.
fn find_run(
    run: &[ValuePattern],
    words: &[BoundedWord],
    found: &mut Vec<(usize, usize)>,
    is_over: &impl Fn() -> bool,
) {
    if run.is_empty() {
        return;
    }
    let mut n_found = 0;
    for window in words.windows(run.len()) {
        if is_over() || n_found == MAX_RANGES {
            return;
        }
        let mut pairs = run.iter().zip(window);
        if pairs.all(|(wanted, (word, ..))| wanted.is(word, words::MAX_TERM_LEN)) {
            let (_, start, _) = window[0];
            let (_, _, end) = window[window.len() - 1];
            found.push((start, end));
            n_found += 1;
        }
    }
}

/// Ranges in order; those that touch are one.
fn joined(mut found: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    found.sort_unstable();
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for (start, end) in found {
        match joined.last_mut() {
            Some((_, last)) if start <= *last => *last = end.max(*last),
            _ => joined.push((start, end)),
        }
    }
    joined.truncate(MAX_RANGES);
    joined
}

/// Ranges of bytes, which are in order, as ranges of characters.
fn in_characters(text: &str, ranges: Vec<(usize, usize)>) -> Vec<CharRange> {
    let (mut bytes, mut characters) = (0, 0);
    let mut upto = |at: usize| {
        characters += text[bytes..at].chars().count();
        bytes = at;
        characters
    };
    ranges
        .into_iter()
        .map(|(start, end)| [upto(start), upto(end)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    /// The value with what is found of it in brackets.
    fn marked(question: &str, path: &str, text: &str) -> String {
        let query = crate::query::parse(question, from_micros(0)).unwrap();
        let matcher = Matcher::of(&query, true).unwrap();
        let value = ShownValue {
            path,
            text,
            shown: text,
            is_searchable: true,
        };
        let ranges = matcher.ranges(value, &|| false);
        let mut marked = String::new();
        for (i, c) in text.chars().chain(['\0']).enumerate() {
            marked.extend(ranges.iter().filter(|[_, end]| *end == i).map(|_| ']'));
            marked.extend(ranges.iter().filter(|[start, _]| *start == i).map(|_| '['));
            marked.push(c);
        }
        marked.trim_end_matches('\0').to_owned()
    }

    #[test]
    fn words_and_values_are_marked_where_they_are() {
        let check = |question: &str, path: &str, expected: &str| {
            let text = expected.replace(['[', ']'], "");
            assert_eq!(
                marked(question, path, &text),
                expected,
                "{question} at {path}"
            );
        };
        check(
            "member",
            "action.description",
            "Add [Member] to zone, [member] twice",
        );
        check(
            "\"to zone\"",
            "action.description",
            "Add Member [to zone], member",
        );
        check("zone member", "note", "Add [Member] to [zone]");
        check("üb*", "note", "äöü [Über] x");
        check("/.*e/", "note", "[one] two [three]");
        check("evil-corp.com", "actor.email", "bob@[evil-corp.com]");
        check("actor.email:bob*", "actor.email", "[bob@evil-corp.com]");
        check(
            "Actor.Email:BOB@evil-corp.com",
            "actor.email",
            "[bob@evil-corp.com]",
        );
        check("actor.email:bob*", "note", "bob@evil-corp.com");
        check(
            "action.description:zone",
            "action.description",
            "Add a [zone] here",
        );
        check(
            "action.description:\"zone\"",
            "action.description",
            "Add a zone here",
        );
        check(
            "action.description:z*e",
            "action.description",
            "Add a [zone] here",
        );
        check("n:[1 TO 5]", "n", "[3]");
        check("n:300", "n", "[0300]");
        check(
            "actor.ip_address:10.0.0.0/8",
            "actor.ip_address",
            "[10.1.2.3]",
        );
        // What is excluded, and what asks for anything, is nowhere.
        check("-zone x", "note", "zone [x]");
        check("note:* -note:zone", "note", "zone");
        check("_exists_:note", "note", "zone");
        check("a OR (b -c)", "note", "[a] [b] c");
        // Ranges that touch are one.
        check("add \"add member\" member", "note", "[add member]");
    }

    #[test]
    fn a_number_is_marked_as_it_is_shown() {
        let query = crate::query::parse("100000", from_micros(0)).unwrap();
        let value = ShownValue {
            path: "note",
            text: "100000",
            shown: "1e5",
            is_searchable: true,
        };
        let matcher = Matcher::of(&query, true).unwrap();
        assert_eq!(matcher.ranges(value, &|| false), [[0, 3]]);
    }

    #[test]
    fn a_value_of_many_words_has_a_bounded_number_of_ranges() {
        let query = crate::query::parse("a", from_micros(0)).unwrap();
        let matcher = Matcher::of(&query, true).unwrap();
        let text = "a b ".repeat(1_000);
        let value = ShownValue {
            path: "note",
            text: &text,
            shown: &text,
            is_searchable: true,
        };
        assert_eq!(matcher.ranges(value, &|| false).len(), MAX_RANGES);
    }
}
