//! The newest events as they were indexed, for those who follow: each is held against a question in memory, so that many
//! tails do not each search the index after every commit.
//!
//! What is kept of an event are the terms of its document, so it matches here exactly when the index finds it. Nothing is
//! kept while nobody follows.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tantivy::TantivyDocument;
use tantivy::schema::{Field, Value as _};

use super::schema::Shape;
use super::words;
use crate::field::Part;
use crate::position::Seq;

/// About the most bytes of events that are kept.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The most events that are kept.
const MAX_EVENTS: usize = 4_000;

/// What a text takes besides its characters, about.
const TEXT_BYTES: usize = 32;

/// The newest events. A clone has the same ones.
#[derive(Clone, Default)]
pub(super) struct Recent(Arc<Inner>);

#[derive(Default)]
struct Inner {
    followers: AtomicUsize,
    newest: Mutex<Newest>,
}

/// Events without a hole between them, the oldest first.
#[derive(Default)]
struct Newest {
    events: VecDeque<Arc<Laid>>,
    bytes: usize,
}

/// As long as there is one, the newest events are kept in memory.
pub struct Following(Recent);

impl Drop for Following {
    fn drop(&mut self) {
        if self.0.0.followers.fetch_sub(1, Ordering::SeqCst) == 1 {
            *self.0.newest() = Newest::default();
        }
    }
}

impl Recent {
    pub(super) fn follow(&self) -> Following {
        self.0.followers.fetch_add(1, Ordering::SeqCst);
        Following(self.clone())
    }

    /// Takes the next event's document, if anybody follows. After a failure the same events come again.
    pub(super) fn take(&self, seq: Seq, at_us: i64, document: &TantivyDocument, shape: &Shape) {
        if self.0.followers.load(Ordering::SeqCst) == 0 {
            return;
        }
        let laid = Laid::of(seq, at_us, document, shape);
        let mut newest = self.newest();
        while let Some(last) = newest.events.pop_back_if(|last| last.seq >= seq) {
            newest.bytes -= last.bytes;
        }
        let follows = newest.events.back();
        if follows.is_some_and(|last| last.seq.0 + 1 != seq.0) {
            *newest = Newest::default();
        }
        newest.bytes += laid.bytes;
        newest.events.push_back(Arc::new(laid));
        while newest.bytes > MAX_BYTES || newest.events.len() > MAX_EVENTS {
            let Some(first) = newest.events.pop_front() else {
                break;
            };
            newest.bytes -= first.bytes;
        }
    }

    /// The events after one place, up to another; `None` when not all of them are kept.
    pub(super) fn between(&self, after: Seq, upto: Seq) -> Option<Vec<Arc<Laid>>> {
        let newest = self.newest();
        let first = newest.events.front()?.seq.0;
        let last = newest.events.back()?.seq;
        if first > after.0 + 1 || last < upto {
            return None;
        }
        let skipped = usize::try_from(after.0 + 1 - first).ok()?;
        let wanted = newest.events.iter().skip(skipped);
        Some(
            wanted
                .take_while(|event| event.seq <= upto)
                .cloned()
                .collect(),
        )
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.0.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event's terms.
pub(super) struct Laid {
    pub(super) seq: Seq,
    pub(super) at_us: i64,
    /// The terms of the fields that are indexed as they are, in order.
    values: Vec<(Field, Box<str>)>,
    /// Each text's words, with the field of its part.
    texts: Vec<(Field, Vec<String>)>,
    bytes: usize,
}

impl Laid {
    fn of(seq: Seq, at_us: i64, document: &TantivyDocument, shape: &Shape) -> Self {
        let by_words = Part::ALL.map(|part| shape.words_of(part));
        let (mut values, mut texts) = (Vec::new(), Vec::new());
        let mut bytes = size_of::<Self>();
        for (field, value) in document.field_values() {
            // The others are numbers.
            let Some(text) = value.as_str() else { continue };
            bytes += text.len() + TEXT_BYTES;
            if by_words.contains(&field) {
                let words = words::of(text);
                bytes += words.len() * TEXT_BYTES;
                texts.push((field, words));
            } else {
                values.push((field, Box::from(text)));
            }
        }
        values.sort_unstable();
        Self {
            seq,
            at_us,
            values,
            texts,
            bytes,
        }
    }

    /// Whether it has a term.
    pub(super) fn has(&self, field: Field, text: &str) -> bool {
        let place = self
            .values
            .binary_search_by(|(at, value)| (*at, &**value).cmp(&(field, text)));
        place.is_ok()
    }

    /// Whether it has any term of a field.
    pub(super) fn has_any(&self, field: Field) -> bool {
        self.values_of(field, "").next().is_some()
    }

    /// What follows `prefix` in the terms of a field that begin so.
    pub(super) fn values_of<'a>(
        &'a self,
        field: Field,
        prefix: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        let start = self
            .values
            .partition_point(|(at, value)| (*at, &**value) < (field, prefix));
        let from_there = self.values[start..].iter();
        from_there.map_while(move |(at, value)| {
            (*at == field).then(|| value.strip_prefix(prefix)).flatten()
        })
    }

    /// The words of its texts in some fields.
    pub(super) fn texts_of<'a>(
        &'a self,
        fields: &'a [Field],
    ) -> impl Iterator<Item = &'a [String]> {
        let texts = self.texts.iter();
        let of_fields = texts.filter(|(field, _)| fields.contains(field));
        of_fields.map(|(_, words)| words.as_slice())
    }
}
