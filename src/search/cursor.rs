//! The cursor of a page of events: where the next page goes on, of which question, in which log.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::error::SearchError;
use super::fingerprint::of_question;
use super::question::Question;
use crate::clock::from_micros;
use crate::engine::{Hit, Scope};
use crate::position::Seq;

/// Where a page goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventCursor {
    /// For which moment the question was read.
    pub(super) asked_at_us: i64,
    /// The newest event of the first page's snapshot: what came later is not shown.
    pub(super) upto: Seq,
    /// The last event of the page before.
    pub(super) after: Hit,
}

/// The first byte of a cursor, raised when its form changes.
const CURSOR_VERSION: u8 = 3;

const CURSOR_LEN: usize = 1 + 16 + 8 + 4 * 8;

impl EventCursor {
    pub(super) fn write(self, question: &Question, scope: &Scope, log_id: Uuid) -> String {
        let mut bytes = Vec::with_capacity(CURSOR_LEN);
        bytes.push(CURSOR_VERSION);
        bytes.extend(log_id.as_bytes());
        bytes.extend(of_question(question, scope));
        bytes.extend(self.asked_at_us.to_be_bytes());
        bytes.extend(self.upto.0.to_be_bytes());
        bytes.extend(self.after.at_us.to_be_bytes());
        bytes.extend(self.after.seq.0.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn bytes(cursor: &str) -> Result<[u8; CURSOR_LEN], SearchError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).unwrap_or_default();
        if bytes
            .first()
            .is_some_and(|version| *version < CURSOR_VERSION)
        {
            return Err(SearchError::Cursor(
                "this cursor is of another version: start from the first page",
            ));
        }
        match <[u8; CURSOR_LEN]>::try_from(bytes) {
            Ok(bytes) if bytes[0] == CURSOR_VERSION => Ok(bytes),
            _ => Err(SearchError::Cursor(
                "this is no cursor of ours: take `next_cursor` as it is, or leave it out",
            )),
        }
    }

    fn number(bytes: &[u8; CURSOR_LEN], at: usize) -> u64 {
        let mut part = [0; 8];
        part.copy_from_slice(&bytes[at..at + 8]);
        u64::from_be_bytes(part)
    }

    pub(super) fn read(
        cursor: &str,
        question: &Question,
        scope: &Scope,
        log_id: Uuid,
    ) -> Result<Self, SearchError> {
        let bytes = Self::bytes(cursor)?;
        if bytes[1..17] != *log_id.as_bytes() {
            return Err(SearchError::Cursor(
                "this cursor is of another log: start from the first page",
            ));
        }
        if bytes[17..25] != of_question(question, scope) {
            return Err(SearchError::Cursor(
                "this cursor belongs to another question: repeat its parameters as they were",
            ));
        }
        let after = Hit {
            at_us: Self::number(&bytes, 41).cast_signed(),
            seq: Seq(Self::number(&bytes, 49)),
        };
        Ok(Self {
            asked_at_us: Self::number(&bytes, 25).cast_signed(),
            upto: Seq(Self::number(&bytes, 33)),
            after,
        })
    }
}

/// The moment for which a cursor's question was read: relative times mean the same on each of its pages. `None` for what is no
/// cursor of ours, which is an error of the page.
#[must_use]
pub fn asked_at(cursor: &str) -> Option<DateTime<Utc>> {
    let bytes = EventCursor::bytes(cursor).ok()?;
    Some(from_micros(EventCursor::number(&bytes, 25).cast_signed()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::{Order, Range};

    fn question(text: &str) -> Question {
        Question {
            query: crate::query::parse(text, from_micros(0)).unwrap(),
            range: Range::default(),
            order: Order::Descending,
        }
    }

    fn told(result: Result<EventCursor, SearchError>) -> String {
        result
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn a_cursor_is_bound_to_its_question_and_its_log() {
        let place = EventCursor {
            asked_at_us: 7,
            upto: Seq(9),
            after: Hit {
                at_us: -5,
                seq: Seq(3),
            },
        };
        let cursor = place.write(&question("a"), &Scope::everything(), Uuid::nil());
        assert_eq!(
            EventCursor::read(&cursor, &question("a"), &Scope::everything(), Uuid::nil()).unwrap(),
            place
        );
        assert_eq!(asked_at(&cursor), Some(from_micros(7)));
        assert!(
            told(EventCursor::read(
                &cursor,
                &question("b"),
                &Scope::everything(),
                Uuid::nil()
            ))
            .contains("another question")
        );
        assert!(
            told(EventCursor::read(
                &cursor,
                &question("a"),
                &Scope::everything(),
                Uuid::max()
            ))
            .contains("another log")
        );
        let ascending = Question {
            order: Order::Ascending,
            ..question("a")
        };
        assert!(
            told(EventCursor::read(
                &cursor,
                &ascending,
                &Scope::everything(),
                Uuid::nil()
            ))
            .contains("another question")
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_cursor_or_an_error(text in "[A-Za-z0-9_-]{0,80}") {
            prop_assert!(EventCursor::read(&text, &question("a"), &Scope::everything(), Uuid::nil()).is_err());
        }
    }
}
