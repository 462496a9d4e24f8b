//! Matches a question against one event in memory. It defines what a question means. Tails use it, and so does the check of what an
//! index found.

use std::collections::HashSet;
use std::sync::Arc;

use super::automaton::{AutomataRoom, Automaton};
use super::entry::{Entry, Path, asked};
use super::glob::Glob;
use super::pattern::Pattern;
use super::seq_set::SeqSet;
use super::tree::{Query, QueryError};
use super::value_test::ValueTest;
use super::words;
use crate::field::{self, Kind, Number, Part, folded, has_words};

/// Whether a question says yes to an event. For many events, make a [`Matcher`] once.
///
/// # Errors
/// [`QueryError`] when a pattern would take too much memory.
pub fn matches(query: &Query, entry: &Entry) -> Result<bool, QueryError> {
    Ok(Matcher::of(query, true)?.matches(entry, &|| false))
}

/// A question that can be held against events one by one.
pub struct Matcher {
    pub(super) test: Test,
    pub(super) has_bodies: bool,
    bytes: usize,
}

impl Matcher {
    /// Of a question; says whether it looks into the bodies of requests and answers.
    ///
    /// # Errors
    /// [`QueryError`] when a pattern would take too much memory.
    pub fn of(query: &Query, has_bodies: bool) -> Result<Self, QueryError> {
        let making = Making::default();
        let test = making.test(query)?;
        Ok(Self {
            test,
            has_bodies,
            bytes: making.automata.taken(),
        })
    }

    /// About how much memory its patterns take, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes
    }

    /// Whether an event matches. Each step asks `is_over`, and when that says so, the answer may be anything.
    pub fn matches(&self, entry: &Entry, is_over: &impl Fn() -> bool) -> bool {
        let event = Event {
            entry,
            has_bodies: self.has_bodies,
            is_over,
        };
        self.test.matches(&event)
    }
}

/// What a question is held against.
struct Event<'a, F> {
    entry: &'a Entry,
    has_bodies: bool,
    is_over: &'a F,
}

pub(super) enum Test {
    Yes,
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    /// It has this value at a path.
    Has(Path, String),
    /// It has an empty text at a path.
    HasEmpty(Path),
    /// It has any value at a path or below it.
    Exists(Path),
    /// It has one of these values at a path.
    OneOf(Path, HashSet<String>),
    /// A value at a path is as wanted.
    Value(Path, ValuePattern),
    /// Below a key, or at it, there is a value that is as wanted.
    Below(&'static str, ValuePattern),
    /// Words side by side in one text.
    Words(Vec<ValuePattern>),
    /// It is one of these events.
    At(Arc<SeqSet>),
    /// No later revision has replaced it.
    Latest,
}

/// What a value or a word has to be.
#[derive(Clone)]
pub(super) enum ValuePattern {
    Text(String),
    Number(Number),
    Glob(Glob),
    Automaton(Arc<Automaton>),
    Passes(ValueTest),
}

impl Test {
    fn matches<F: Fn() -> bool>(&self, event: &Event<'_, F>) -> bool {
        let is_over = event.is_over;
        if is_over() {
            return false;
        }
        let Event {
            entry, has_bodies, ..
        } = *event;
        match self {
            Self::Yes => true,
            Self::All(parts) => parts.iter().all(|part| part.matches(event)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(event)),
            Self::Not(part) => !part.matches(event),
            Self::Has(path, text) => entry.has(path, text),
            Self::HasEmpty(path) => entry.has_empty(path),
            Self::Exists(path @ Path::Own(_)) => entry.values_at(path).next().is_some(),
            Self::Exists(Path::OfEntry(path)) => entry
                .values_below(path)
                .any(|(at, _)| has_bodies || !field::is_body(at)),
            Self::OneOf(path, values) => entry.values_at(path).any(|value| values.contains(value)),
            Self::Value(path, wanted) => entry
                .values_at(path)
                .any(|value| !is_over() && wanted.is(value, words::MAX_VALUE_LEN)),
            Self::Below(above, wanted) => entry
                .leaves_below(above)
                .filter(|(at, _)| has_bodies || !field::is_body(at))
                .any(|(_, value)| !is_over() && wanted.is(value, words::MAX_VALUE_LEN)),
            Self::Words(wanted) => entry.texts(has_bodies).any(|words| {
                words.windows(wanted.len()).any(|run| {
                    let mut pairs = wanted.iter().zip(run);
                    let is = |(wanted, word): (&ValuePattern, &String)| {
                        wanted.is(word, words::MAX_TERM_LEN)
                    };
                    !is_over() && pairs.all(is)
                })
            }),
            Self::At(places) => entry.seq().is_some_and(|seq| places.contains(seq)),
            Self::Latest => entry.is_latest(),
        }
    }
}

impl ValuePattern {
    /// Whether a term is as wanted, of whose text `kept_len` bytes are kept at most.
    pub(super) fn is(&self, term: &str, kept_len: usize) -> bool {
        let text = words::kept_text(term, kept_len);
        let is_cut = text.len() < term.len();
        match self {
            Self::Text(wanted) => wanted == term,
            Self::Number(number) => !is_cut && Number::plain(text).as_ref() == Some(number),
            Self::Glob(glob) => glob.matches(text),
            Self::Automaton(automaton) => automaton.matches(text),
            Self::Passes(test) => test.passes(text, is_cut),
        }
    }
}

/// A question becoming a test.
#[derive(Default)]
struct Making {
    automata: AutomataRoom,
}

impl Making {
    fn test(&self, query: &Query) -> Result<Test, QueryError> {
        Ok(match query {
            Query::All => Test::Yes,
            Query::And(parts) => Test::All(self.tests(parts)?),
            Query::Or(parts) => Test::Any(self.tests(parts)?),
            Query::Not(part) => Test::Not(Box::new(self.test(part)?)),
            Query::Words { part: None, text } => words_of(text),
            Query::Words {
                part: Some(part),
                text,
            } => in_part(*part, text),
            Query::WordsLike { pattern, at } => self.words_like(pattern, *at)?,
            Query::WordMatches { regex, at } => Test::Words(vec![self.regex(regex, *at)?]),
            Query::Equals { path, value, .. } => equals(path, value),
            Query::Contains { path, text, .. } => contains(path, text),
            Query::Like { path, pattern, at } => self.like(path, pattern, *at)?,
            Query::Matches { path, regex, at } => {
                Test::Value(Path::of(path), self.regex(regex, *at)?)
            }
            Query::Within { path, interval, .. } => {
                let test = ValueTest::within(interval);
                Test::Value(Path::of(path), ValuePattern::Passes(test))
            }
            Query::Exists { path, .. } => Test::Exists(Path::of(path)),
            Query::OneOf { path, values } => {
                let path = Path::of(path);
                let values = values.iter().filter(|value| !value.is_empty());
                let values = values.map(|value| asked(path.kind(), value)).collect();
                Test::OneOf(path, values)
            }
            Query::At(places) => Test::At(Arc::clone(places)),
            Query::Latest => Test::Latest,
        })
    }

    fn tests(&self, parts: &[Query]) -> Result<Vec<Test>, QueryError> {
        parts.iter().map(|part| self.test(part)).collect()
    }

    /// A value looks so as a whole; in a field that has words, one of its words may.
    fn like(&self, path: &str, pattern: &Pattern, at: usize) -> Result<Test, QueryError> {
        let whole = Test::Value(Path::of(path), self.pattern(pattern, at)?);
        if !has_words(path) {
            return Ok(whole);
        }
        let word = Arc::new(self.automata.of_pattern(pattern, at)?);
        let by_word = ValuePattern::Passes(ValueTest::AnyWord(word));
        Ok(Test::Any(vec![whole, Test::Value(Path::of(path), by_word)]))
    }

    /// One word that looks so as a whole, or several side by side that look like its pieces.
    fn words_like(&self, pattern: &Pattern, at: usize) -> Result<Test, QueryError> {
        let mut ways = vec![Test::Words(vec![self.pattern(pattern, at)?])];
        let pieces = pattern.words();
        if pieces.first() != Some(pattern) && !pieces.is_empty() {
            let pieces = pieces.iter().map(|piece| self.pattern(piece, at));
            ways.push(Test::Words(pieces.collect::<Result<_, _>>()?));
        }
        Ok(Test::Any(ways))
    }

    fn regex(&self, regex: &str, at: usize) -> Result<ValuePattern, QueryError> {
        let automaton = self.automata.of_regex(regex, at)?;
        Ok(ValuePattern::Automaton(Arc::new(automaton)))
    }

    fn pattern(&self, pattern: &Pattern, at: usize) -> Result<ValuePattern, QueryError> {
        if let Some(glob) = Glob::of(pattern) {
            return Ok(ValuePattern::Glob(glob));
        }
        let automaton = self.automata.of_pattern(pattern, at)?;
        Ok(ValuePattern::Automaton(Arc::new(automaton)))
    }
}

/// The words of a text side by side.
fn words_of(text: &str) -> Test {
    let found = words::of(text);
    if found.is_empty() {
        Test::Any(Vec::new())
    } else {
        Test::Words(found.into_iter().map(ValuePattern::Text).collect())
    }
}

/// A value as a whole or as it is listed; a number outside the table of fields in every spelling.
fn equals(name: &str, value: &str) -> Test {
    let path = Path::of(name);
    if value.is_empty() {
        return Test::HasEmpty(path);
    }
    let kind = path.kind();
    let mut ways = vec![Test::Has(path.clone(), asked(kind, value))];
    ways.extend(words::listed_value(value).map(|listed| Test::Has(path.clone(), listed)));
    if let (Kind::Any, Some(number)) = (kind, Number::plain(value)) {
        // One that is very long is found by the hash of its one spelling.
        let spelled = words::shortened_value(number.to_string());
        ways.push(Test::Has(path.clone(), spelled));
        ways.push(Test::Value(path, ValuePattern::Number(number)));
    }
    Test::Any(ways)
}

/// A field of text has this value, or it has words side by side in one.
fn contains(path: &str, text: &str) -> Test {
    let words = words::of(&folded(text)).into();
    let by_words = ValuePattern::Passes(ValueTest::Words(words));
    Test::Any(vec![
        equals(path, text),
        Test::Value(Path::of(path), by_words),
    ])
}

/// A value of a part of the entry, as a whole, or words of its fields that have words.
fn in_part(part: Part, text: &str) -> Test {
    let fields = field::fields_of(part).map(|field| {
        if field.words {
            contains(field.name, text)
        } else {
            equals(field.name, text)
        }
    });
    let mut ways: Vec<Test> = fields.collect();
    if let Some(above) = part.name() {
        let value = ValuePattern::Text(words::shortened_value(folded(text)));
        ways.push(Test::Below(above, value));
        if let Some(listed) = words::listed_value(text) {
            ways.push(Test::Below(above, ValuePattern::Text(listed)));
        }
        if let Some(number) = Number::with_exponent(text) {
            let spelled = words::shortened_value(number.to_string());
            ways.push(Test::Below(above, ValuePattern::Text(spelled)));
            ways.push(Test::Below(above, ValuePattern::Number(number)));
        }
    }
    Test::Any(ways)
}
