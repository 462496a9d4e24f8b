//! Documents that have any of many terms: those of a dictionary's part that an automaton or a test lets pass.
//!
//! A dictionary is walked once for each segment and question; its terms' documents become one set ([`super::sets`]).

use std::net::IpAddr;
use std::sync::Arc;

use tantivy::InvertedIndexReader;
use tantivy::postings::TermInfo;
use tantivy::schema::Field;

use super::automaton::{Automaton, DictionaryWalk};
use super::sets::Gathering;
use super::stopwatch::Watch;
use super::words;
use crate::field::{Number, folded, instant_us};
use crate::query::Bound;

/// Which terms.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    /// Of which field.
    pub(super) field: Field,
    /// How they begin, before their value.
    pub(super) prefix: String,
    /// How much of a longer value is kept before its hash.
    pub(super) kept_len: usize,
    /// Their value matches one of these; with none, any value does.
    pub(super) automata: Arc<[Automaton]>,
    /// Their value passes this.
    pub(super) test: ValueTest,
    /// How much time there is.
    pub(super) watch: Watch,
}

/// What a value has to be.
#[derive(Debug, Clone)]
pub(super) enum ValueTest {
    /// Anything.
    Any,
    /// One of which the whole is known, and not just its beginning.
    Whole,
    /// An opaque id.
    Opaque,
    /// Between two ends.
    Between(End, End),
    /// An address from one to another, both included.
    Addresses(IpAddr, IpAddr),
    /// A time, from one on, before another.
    Time(Option<i64>, Option<i64>),
    /// These words are side by side in it.
    Words(Arc<[String]>),
    /// One of its words matches as a whole.
    AnyWord(Arc<Automaton>),
}

/// An end of what values are between, and whether it belongs to it.
#[derive(Debug, Clone)]
pub(super) enum End {
    Open,
    Number(Number, bool),
    Text(String, bool),
}

impl End {
    pub(super) fn of(bound: &Bound) -> Self {
        let (text, is_included) = match bound {
            Bound::Open => return Self::Open,
            Bound::Including(text) => (text, true),
            Bound::Excluding(text) => (text, false),
        };
        match Number::with_exponent(text) {
            Some(number) => Self::Number(number, is_included),
            None => Self::Text(folded(text), is_included),
        }
    }

    /// Whether a value lies on the side of this end that `side` is.
    fn lets_pass(&self, value: &str, is_cut: bool, side: std::cmp::Ordering) -> bool {
        let (found, is_included) = match self {
            Self::Open => return true,
            Self::Number(end, is_included) => match number_of(value, is_cut) {
                Some(number) => (number.cmp(end), *is_included),
                None => return false,
            },
            Self::Text(end, is_included) => (value.cmp(end.as_str()), *is_included),
        };
        found == side || (is_included && found.is_eq())
    }
}

/// The number that a value is. A long one that was cut is one only if its exponent was kept.
fn number_of(value: &str, is_cut: bool) -> Option<Number> {
    match is_cut {
        false => Number::plain(value),
        true if value.contains("e+") || value.contains("e-") => Number::with_exponent(value),
        true => None,
    }
}

impl ValueTest {
    pub(super) fn passes(&self, value: &str, is_cut: bool) -> bool {
        use std::cmp::Ordering::{Greater, Less};
        match self {
            Self::Any => true,
            Self::Whole => !is_cut,
            Self::Opaque => !is_cut && words::is_opaque(value),
            Self::Between(lower, upper) => {
                lower.lets_pass(value, is_cut, Greater) && upper.lets_pass(value, is_cut, Less)
            }
            Self::Addresses(first, last) => value
                .parse::<IpAddr>()
                // Addresses of another family are never within: all of IPv4 comes before IPv6.
                .is_ok_and(|address| (*first..=*last).contains(&address)),
            Self::Time(since, before) => instant_us(value).is_some_and(|time| {
                since.is_none_or(|since| since <= time) && before.is_none_or(|before| time < before)
            }),
            Self::Words(asked) => has_run(&words::of(value), asked),
            Self::AnyWord(automaton) => words::of(value).iter().any(|word| automaton.matches(word)),
        }
    }
}

/// Whether some words are side by side among others.
fn has_run(found: &[String], asked: &[String]) -> bool {
    !asked.is_empty() && found.windows(asked.len()).any(|run| run == asked)
}

impl Terms {
    /// Calls `visit` with each term; until it fails, or time is up.
    fn each(
        &self,
        inverted: &InvertedIndexReader,
        mut visit: impl FnMut(&TermInfo) -> tantivy::Result<()>,
    ) -> tantivy::Result<()> {
        let prefix = self.prefix.as_bytes();
        let mut passes = |key: &[u8], info: &TermInfo| {
            let value = key.get(prefix.len()..).map(std::str::from_utf8);
            let Some(Ok(value)) = value else {
                return Ok(());
            };
            let kept = words::kept_text(value, self.kept_len);
            match self.test.passes(kept, kept.len() < value.len()) {
                true => visit(info),
                false => Ok(()),
            }
        };
        if self.automata.is_empty() {
            let steps = self.watch.steps();
            let mut terms = inverted.terms().range().ge(prefix).into_stream()?;
            while terms.advance() && terms.key().starts_with(prefix) && !steps.step() {
                passes(terms.key(), terms.value())?;
            }
        }
        for automaton in self.automata.iter() {
            let walk = DictionaryWalk {
                automaton,
                prefix,
                kept_len: self.kept_len,
                steps: self.watch.steps(),
            };
            let mut terms = inverted.terms().search(walk).into_stream()?;
            while terms.advance() && !self.watch.is_over() {
                passes(terms.key(), terms.value())?;
            }
        }
        Ok(())
    }

    /// Adds the documents of one segment that have any of the terms.
    pub(super) fn gather(&self, into: &mut Gathering<'_>) -> tantivy::Result<()> {
        let inverted = into.reader.inverted_index(self.field)?;
        self.each(&inverted, |info| into.add_term(self.field, &inverted, info))
    }

    /// The terms themselves.
    pub(super) fn infos(&self, inverted: &InvertedIndexReader) -> tantivy::Result<Vec<TermInfo>> {
        let mut infos = Vec::new();
        self.each(inverted, |info| {
            infos.push(info.clone());
            Ok(())
        })?;
        Ok(infos)
    }
}
