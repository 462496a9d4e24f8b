//! The fingerprint in a cursor, which tells questions apart.
//!
//! Its bytes are written out here, one tag for each kind of node, so that a change of names in the code makes no cursor
//! another question's. Raise [`VERSION`] when what is written changes.

use super::question::Question;
use crate::engine::{Order, Scope};
use crate::event::sha256;
use crate::field::Part;
use crate::query::{Bound, Interval, Query};

/// The version of what is written.
const VERSION: u8 = 1;

/// A fingerprint under construction.
pub struct Fingerprint(Vec<u8>);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(vec![VERSION])
    }
}

impl Fingerprint {
    /// The first 8 bytes of the SHA-256 of what was added.
    #[must_use]
    pub fn finish(self) -> [u8; 8] {
        let hash = sha256(&self.0);
        let mut short = [0; 8];
        short.copy_from_slice(&hash[..8]);
        short
    }

    /// Adds a text, with its length before it.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.0.extend((text.len() as u64).to_be_bytes());
        self.0.extend(text.as_bytes());
        self
    }

    /// Adds a number, or that there is none.
    #[must_use]
    pub fn number(mut self, number: Option<i64>) -> Self {
        self.0.push(u8::from(number.is_some()));
        self.0.extend(number.unwrap_or_default().to_be_bytes());
        self
    }

    /// Adds texts, with their number before them.
    #[must_use]
    pub fn texts<T: ToString>(self, texts: impl ExactSizeIterator<Item = T>) -> Self {
        let counted = self.count(texts.len());
        texts.fold(counted, |print, text| print.text(&text.to_string()))
    }

    fn count(mut self, count: usize) -> Self {
        self.0.extend((count as u64).to_be_bytes());
        self
    }

    fn tag(mut self, tag: u8) -> Self {
        self.0.push(tag);
        self
    }

    fn all(self, tag: u8, parts: &[Query]) -> Self {
        let counted = self.tag(tag).count(parts.len());
        parts.iter().fold(counted, Self::query)
    }

    /// Adds a query without the places of its parts: they mean nothing.
    fn query(self, query: &Query) -> Self {
        match query {
            Query::All => self.tag(0),
            Query::And(parts) => self.all(1, parts),
            Query::Or(parts) => self.all(2, parts),
            Query::Not(part) => self.tag(3).query(part),
            Query::Words { part, text } => {
                let part = match part {
                    None => 0,
                    Some(Part::Actor) => 1,
                    Some(Part::Action) => 2,
                    Some(Part::Resource) => 3,
                    Some(Part::Other) => 4,
                };
                self.tag(4).tag(part).text(text)
            }
            Query::WordsLike { pattern, .. } => self.tag(5).text(&pattern.to_string()),
            Query::WordMatches { regex, .. } => self.tag(6).text(regex),
            Query::Equals { path, value, .. } => self.tag(7).text(path).text(value),
            Query::Contains { path, text, .. } => self.tag(8).text(path).text(text),
            Query::Like { path, pattern, .. } => self.tag(9).text(path).text(&pattern.to_string()),
            Query::Matches { path, regex, .. } => self.tag(10).text(path).text(regex),
            Query::Within { path, interval, .. } => self.tag(11).text(path).interval(interval),
            Query::Exists { path, .. } => self.tag(12).text(path),
            Query::OneOf { path, values } => self.tag(13).text(path).texts(values.iter()),
            Query::Latest => self.tag(14),
            // What is asked has none: see `first`.
            Query::At(places) => self.tag(15).number(i64::try_from(places.len()).ok()),
        }
    }

    fn interval(self, interval: &Interval) -> Self {
        match interval {
            Interval::Time {
                since_us,
                before_us,
            } => self.tag(0).number(*since_us).number(*before_us),
            Interval::Addresses { first, last } => {
                self.tag(1).text(&first.to_string()).text(&last.to_string())
            }
            Interval::Values { lower, upper } => self.tag(2).bound(lower).bound(upper),
        }
    }

    fn bound(self, bound: &Bound) -> Self {
        match bound {
            Bound::Open => self.tag(0),
            Bound::Including(value) => self.tag(1).text(value),
            Bound::Excluding(value) => self.tag(2).text(value),
        }
    }
}

/// The fingerprint of a question in the scope in which it is asked.
pub(super) fn of_question(question: &Question, scope: &Scope) -> [u8; 8] {
    let order = match question.order {
        Order::Descending => 0,
        Order::Ascending => 1,
    };
    let print = Fingerprint::default()
        .query(&question.query)
        .number(question.range.since_us)
        .number(question.range.before_us)
        .tag(order)
        .tag(u8::from(scope.has_bodies()));
    let print = match scope.sources() {
        None => print.tag(0),
        Some(sources) => print.tag(1).texts(sources.iter()),
    };
    print.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;
    use crate::engine::Range;

    fn print_of(text: &str) -> [u8; 8] {
        let question = Question {
            query: crate::query::parse(text, from_micros(0)).unwrap(),
            range: Range::default(),
            order: Order::Descending,
        };
        of_question(&question, &Scope::everything())
    }

    #[test]
    fn the_cursors_that_clients_hold_stay_good() {
        // A new value refuses the cursors of every client: raise the cursor's version with it.
        let hex: String = print_of("action.type:delete actor.ip_address:[192.0.2.0 TO 192.0.2.9]")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, "67912cd9c1eb83c7");
    }

    #[test]
    fn what_is_asked_counts_and_where_it_stands_does_not() {
        assert_eq!(print_of("a:b  c:d"), print_of("a:b c:d"));
        let different = [
            "a:b", "a:c", "-a:b", "a:b*", "a:/b/", "a:*", "b", "\"a b\"", "a:>3", "a:>=3",
        ];
        for (i, one) in different.iter().enumerate() {
            for other in &different[i + 1..] {
                assert_ne!(print_of(one), print_of(other), "{one} and {other}");
            }
        }
    }
}
