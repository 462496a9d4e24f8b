//! A question held against one event in memory, by the event's terms. It means here what `lower` makes it mean to the index.

use std::sync::Arc;

use tantivy::Term;
use tantivy::schema::Field;

use super::automaton::{Automaton, MAX_AUTOMATA_BYTES, TooLarge};
use super::lower::{fields_of, has_words};
use super::recent::Laid;
use super::schema::{Mark, OTHER_TIME, PATH_END, Shape, TIME_PATH, column_of, spelled};
use super::stopwatch::Steps;
use super::terms::{End, ValueTest};
use super::words;
use crate::field::{Kind, Number, Part, folded};
use crate::query::{Interval, Pattern, Piece, Query};

/// A question that can be held against events one by one.
pub struct Matcher {
    test: Test,
    bytes: usize,
}

impl Matcher {
    /// `None` for a question that cannot be answered by one event alone, or would take too much memory.
    pub(super) fn of(query: &Query, shape: &Shape) -> Option<Self> {
        let mut making = Making { shape, bytes: 0 };
        let test = making.test(query)?;
        Some(Self {
            test,
            bytes: making.bytes,
        })
    }

    /// About how much memory its patterns take, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes
    }

    /// Whether an event matches. When time is up, it may say anything.
    pub(super) fn matches(&self, event: &Laid, steps: &Steps) -> bool {
        self.test.matches(event, steps)
    }
}

enum Test {
    Yes,
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    /// It has a term.
    Has(Field, String),
    /// It has any term of a field.
    HasAny(Field),
    /// A term of a field that begins so goes on as is wanted.
    Value(Field, String, Wanted),
    /// Below a key, or at it, there is a value that is as wanted; the field's terms are paths with values.
    Below(Field, &'static str, Wanted),
    /// Words side by side in one text of these fields.
    Words(Vec<Field>, Vec<Wanted>),
    /// It is ordered from one time on, before another.
    At(Option<i64>, Option<i64>),
}

/// What a value or a word has to be.
#[derive(Clone)]
enum Wanted {
    Text(String),
    Number(Number),
    Glob(Glob),
    Automaton(Arc<Automaton>),
    /// An opaque id that is wanted besides.
    Opaque(Box<Self>),
    Passes(ValueTest),
}

impl Test {
    fn matches(&self, event: &Laid, steps: &Steps) -> bool {
        if steps.step() {
            return false;
        }
        match self {
            Self::Yes => true,
            Self::All(parts) => parts.iter().all(|part| part.matches(event, steps)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(event, steps)),
            Self::Not(part) => !part.matches(event, steps),
            Self::Has(field, text) => event.has(*field, text),
            Self::HasAny(field) => event.has_any(*field),
            Self::Value(field, prefix, wanted) => event
                .values_of(*field, prefix)
                .any(|value| !steps.step() && wanted.is(value, words::MAX_VALUE_LEN)),
            Self::Below(field, above, wanted) => event
                .values_of(*field, above)
                .filter_map(|rest| rest.split_once(PATH_END))
                .filter(|(path, _)| path.is_empty() || path.starts_with('.'))
                .any(|(_, value)| !steps.step() && wanted.is(value, words::MAX_VALUE_LEN)),
            Self::Words(fields, wanted) => event.texts_of(fields).any(|words| {
                words.windows(wanted.len()).any(|run| {
                    let mut pairs = wanted.iter().zip(run);
                    let is =
                        |(wanted, word): (&Wanted, &String)| wanted.is(word, words::MAX_TERM_LEN);
                    !steps.step() && pairs.all(is)
                })
            }),
            Self::At(since, before) => {
                since.is_none_or(|since| event.at_us >= since)
                    && before.is_none_or(|before| event.at_us < before)
            }
        }
    }
}

impl Wanted {
    /// Whether a term is as wanted, of whose text `kept_len` bytes are kept at most.
    fn is(&self, term: &str, kept_len: usize) -> bool {
        let text = words::kept_text(term, kept_len);
        let is_cut = text.len() < term.len();
        match self {
            Self::Text(wanted) => wanted == term,
            Self::Number(number) => !is_cut && Number::plain(text).as_ref() == Some(number),
            Self::Glob(glob) => glob.matches(text),
            Self::Automaton(automaton) => automaton.matches(text),
            Self::Opaque(wanted) => words::is_opaque(term) && wanted.is(term, kept_len),
            Self::Passes(test) => test.passes(text, is_cut),
        }
    }
}

/// A question becoming a test.
struct Making<'a> {
    shape: &'a Shape,
    bytes: usize,
}

impl Making<'_> {
    fn test(&mut self, query: &Query) -> Option<Test> {
        Some(match query {
            Query::All => Test::Yes,
            Query::And(parts) => Test::All(self.tests(parts)?),
            Query::Or(parts) => Test::Any(self.tests(parts)?),
            Query::Not(part) => Test::Not(Box::new(self.test(part)?)),
            Query::Words { part: None, text } => self.words(text),
            Query::Words {
                part: Some(part),
                text,
            } => self.in_part(*part, text),
            Query::WordsLike { pattern, .. } => self.words_like(pattern)?,
            Query::WordMatches { regex, .. } => {
                let wanted = self.regex(regex)?;
                self.word_matches(wanted)
            }
            Query::Equals { path, value, .. } => self.equals(path, value),
            Query::Contains { path, text, .. } => self.contains(path, text),
            Query::Like { path, pattern, .. } => {
                let wanted = self.pattern(pattern)?;
                let whole = self.value(path, wanted);
                match has_words(path) {
                    true => Test::Any(vec![whole, self.has_word_like(path, pattern)?]),
                    false => whole,
                }
            }
            Query::Matches { path, regex, .. } => {
                let wanted = self.regex(regex)?;
                self.value(path, wanted)
            }
            Query::Within { path, interval, .. } => self.within(path, interval),
            Query::Exists { path, .. } => self.exists(path),
            Query::OneOf { path, values } => {
                let values = values.iter().filter(|value| !value.is_empty());
                Test::Any(values.map(|value| self.equals(path, value)).collect())
            }
            // Whether an event was replaced is said by another one.
            Query::Latest => return None,
        })
    }

    fn tests(&mut self, parts: &[Query]) -> Option<Vec<Test>> {
        parts.iter().map(|part| self.test(part)).collect()
    }

    /// A field of text has this value, or it has words side by side in one.
    fn contains(&self, path: &str, text: &str) -> Test {
        let words = words::of(&folded(text)).into();
        let by_words = Wanted::Passes(ValueTest::Words(words));
        Test::Any(vec![self.equals(path, text), self.value(path, by_words)])
    }

    /// A field of text has a word that looks so.
    fn has_word_like(&mut self, path: &str, pattern: &Pattern) -> Option<Test> {
        let Wanted::Automaton(word) =
            self.automaton(|most| Automaton::of_pattern(pattern, most))?
        else {
            return None;
        };
        Some(self.value(path, Wanted::Passes(ValueTest::AnyWord(word))))
    }

    /// A value of a part of the entry, as a whole, or words of its fields that have words.
    fn in_part(&self, part: Part, text: &str) -> Test {
        let fields = fields_of(part).map(|field| match field.words {
            true => self.contains(field.name, text),
            false => self.equals(field.name, text),
        });
        let mut ways: Vec<Test> = fields.collect();
        if let Some(above) = part.name() {
            let leaves = self.shape.paths();
            let value = Wanted::Text(words::shortened_value(folded(text)));
            ways.push(Test::Below(leaves, above, value));
            if let Some(listed) = words::listed_value(text) {
                ways.push(Test::Below(leaves, above, Wanted::Text(listed)));
            }
            if let Some(number) = Number::with_exponent(text) {
                let spelled = words::shortened_value(number.to_string());
                ways.push(Test::Below(leaves, above, Wanted::Text(spelled)));
                ways.push(Test::Below(leaves, above, Wanted::Number(number)));
            }
        }
        Test::Any(ways)
    }

    fn words(&self, text: &str) -> Test {
        let found = words::of(text);
        let fields = self.all_words();
        let mut ways = Vec::new();
        if let [word] = found.as_slice()
            && words::is_opaque(word)
        {
            let ids = self.shape.id_fields();
            ways.extend(ids.map(|(_, field)| Test::Has(field, word.clone())));
        }
        if !found.is_empty() {
            let wanted = found.into_iter().map(Wanted::Text).collect();
            ways.push(Test::Words(fields, wanted));
        }
        Test::Any(ways)
    }

    fn words_like(&mut self, pattern: &Pattern) -> Option<Test> {
        let whole = self.pattern(pattern)?;
        let mut ways = vec![self.word_matches(whole)];
        let pieces = pattern.words();
        match pieces.as_slice() {
            [first, ..] if first == pattern => {}
            [piece] => {
                let piece = self.pattern(piece)?;
                ways.push(self.word_matches(piece));
            }
            [] => {}
            pieces => {
                let fields = self.all_words();
                let pieces = pieces.iter().map(|piece| self.pattern(piece));
                ways.push(Test::Words(fields, pieces.collect::<Option<_>>()?));
            }
        }
        Some(Test::Any(ways))
    }

    /// One word that is as wanted; opaque ids are words.
    fn word_matches(&self, wanted: Wanted) -> Test {
        let ids = self.shape.id_fields().map(|(_, field)| {
            let opaque = Wanted::Opaque(Box::new(wanted.clone()));
            Test::Value(field, String::new(), opaque)
        });
        let mut ways: Vec<Test> = ids.collect();
        ways.push(Test::Words(self.all_words(), vec![wanted]));
        Test::Any(ways)
    }

    fn all_words(&self) -> Vec<Field> {
        Part::ALL.map(|part| self.shape.words_of(part)).to_vec()
    }

    fn equals(&self, path: &str, value: &str) -> Test {
        let has = |term: Term| {
            let text = term.value().as_str().unwrap_or_default().to_owned();
            Test::Has(term.field(), text)
        };
        let mut ways = vec![has(self.shape.value_term(path, value))];
        ways.extend(self.shape.listed_term(path, value).map(has));
        let (kind, ..) = self.shape.place_of(path);
        if let (Kind::Any, Some(number)) = (kind, Number::plain(value)) {
            ways.push(has(self.shape.value_term(path, &number.to_string())));
            ways.push(self.value(path, Wanted::Number(number)));
        }
        Test::Any(ways)
    }

    fn value(&self, path: &str, wanted: Wanted) -> Test {
        let (_, field, prefix) = self.shape.place_of(path);
        Test::Value(field, prefix, wanted)
    }

    fn within(&self, path: &str, interval: &Interval) -> Test {
        let test = match interval {
            Interval::Time {
                since_us,
                before_us,
            } => {
                let test = ValueTest::Time(*since_us, *before_us);
                if path.eq_ignore_ascii_case(TIME_PATH) {
                    return self.happened(*since_us, *before_us, test);
                }
                test
            }
            Interval::Addresses { first, last } => ValueTest::Addresses(*first, *last),
            Interval::Values { lower, upper } => ValueTest::Between(End::of(lower), End::of(upper)),
        };
        self.value(path, Wanted::Passes(test))
    }

    /// `action.time` in a stretch: mostly what events are ordered by, and for the others their own values.
    fn happened(&self, since_us: Option<i64>, before_us: Option<i64>, test: ValueTest) -> Test {
        let has_others = self.mark(&Mark::HasOtherTimes);
        let ordered = vec![
            Test::At(since_us, before_us),
            Test::Not(Box::new(has_others)),
        ];
        let others = Test::Value(self.shape.path, OTHER_TIME.to_owned(), Wanted::Passes(test));
        Test::Any(vec![Test::All(ordered), others])
    }

    fn exists(&self, path: &str) -> Test {
        let marked = self.mark(&Mark::Path(&spelled(path)));
        match column_of(path) {
            Some(column) => {
                let (_, field, _) = self.shape.place_of(column);
                Test::Any(vec![Test::HasAny(field), marked])
            }
            None => marked,
        }
    }

    fn mark(&self, mark: &Mark<'_>) -> Test {
        Test::Has(self.shape.path, mark.text())
    }

    fn regex(&mut self, regex: &str) -> Option<Wanted> {
        self.automaton(|most| Automaton::of_regex(regex, most))
    }

    fn pattern(&mut self, pattern: &Pattern) -> Option<Wanted> {
        match Glob::of(pattern) {
            Some(glob) => Some(Wanted::Glob(glob)),
            None => self.automaton(|most| Automaton::of_pattern(pattern, most)),
        }
    }

    fn automaton(
        &mut self,
        make: impl FnOnce(usize) -> Result<Automaton, TooLarge>,
    ) -> Option<Wanted> {
        let automaton = make(MAX_AUTOMATA_BYTES.saturating_sub(self.bytes)).ok()?;
        self.bytes += automaton.size();
        Some(Wanted::Automaton(Arc::new(automaton)))
    }
}

/// A text with `*` alone and nothing but ASCII besides: it needs no automaton.
#[derive(Debug, Clone)]
struct Glob {
    /// What it begins with, what comes in between, and what it ends with; without a `*` the whole.
    first: String,
    between: Vec<String>,
    last: Option<String>,
}

impl Glob {
    fn of(pattern: &Pattern) -> Option<Self> {
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

    fn matches(&self, text: &str) -> bool {
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
