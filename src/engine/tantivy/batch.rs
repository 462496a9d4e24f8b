//! The documents of some events, in one block of memory.
//!
//! An entry has about a hundred short texts. A document of its own for each would cost more in allocations than its texts do in
//! copying, so the documents of a batch share theirs.

use std::iter;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use tantivy::schema::Field;
use tantivy::schema::document::{Document, ReferenceValue, ReferenceValueLeaf, Value};

/// About the most bytes of texts in one batch: small enough to be freed soon, large enough to be seldom allocated.
const MAX_BYTES: usize = 256 * 1024;

/// Documents that are being made.
#[derive(Default)]
pub(super) struct DocumentBatch {
    texts: Texts,
    made: Vec<DocumentSpan>,
}

/// The texts of a batch, one after the other.
#[derive(Debug, Default)]
struct Texts {
    bytes: String,
    /// Of each text its field and where it ends. It begins where the one before it ends.
    ends: Vec<(Field, usize)>,
}

/// A document of a batch: its numbers, and which of the texts are its own.
#[derive(Debug, Clone)]
struct DocumentSpan {
    numbers: [(Field, u64); 2],
    texts: Range<usize>,
}

/// A document as the index takes it.
#[derive(Debug, Clone)]
pub(super) struct IndexDocument {
    texts: Arc<Texts>,
    made: DocumentSpan,
}

impl DocumentBatch {
    /// Begins a document with the numbers that each has.
    pub(super) fn begin(&mut self, numbers: [(Field, u64); 2]) {
        let next = self.texts.ends.len();
        self.made.push(DocumentSpan {
            numbers,
            texts: next..next,
        });
    }

    /// Adds a text to the document that was begun last.
    pub(super) fn add_text(&mut self, field: Field, text: &str) {
        self.add_parts(field, &[text]);
    }

    /// Adds a text that is given in parts.
    pub(super) fn add_parts(&mut self, field: Field, parts: &[&str]) {
        self.add_with(field, |bytes| {
            parts.iter().for_each(|part| bytes.push_str(part));
        });
    }

    /// Adds a text that `write` appends to what it is given.
    pub(super) fn add_with(&mut self, field: Field, write: impl FnOnce(&mut String)) {
        write(&mut self.texts.bytes);
        self.texts.ends.push((field, self.texts.bytes.len()));
        if let Some(last) = self.made.last_mut() {
            last.texts.end = self.texts.ends.len();
        }
    }

    /// The text that was added last.
    pub(super) fn last_text(&self) -> &str {
        let ends = self.texts.ends.iter().rev().skip(1);
        let start = ends.map(|(_, end)| *end).next().unwrap_or_default();
        &self.texts.bytes[start..]
    }

    /// How many documents there are.
    pub(super) fn len(&self) -> usize {
        self.made.len()
    }

    /// Forgets the documents after the first `len`, also one that is only half made.
    pub(super) fn truncate(&mut self, len: usize) {
        let Some(first) = self.made.get(len) else {
            return;
        };
        let n_texts = first.texts.start;
        self.made.truncate(len);
        self.texts.ends.truncate(n_texts);
        let end = self.texts.ends.last().map_or(0, |(_, end)| *end);
        self.texts.bytes.truncate(end);
    }

    /// Whether the next document should begin another batch.
    pub(super) fn is_full(&self) -> bool {
        self.texts.bytes.len() >= MAX_BYTES
    }

    /// The last document in a block of its own.
    pub(super) fn last_alone(&self) -> Option<IndexDocument> {
        let last = self.made.last()?;
        let mut alone = Self::default();
        alone.begin(last.numbers);
        for (field, text) in self.texts.of(last) {
            alone.add_text(field, text);
        }
        alone.take().next()
    }

    /// The documents that were made, in their order. The next one begins another batch.
    pub(super) fn take(&mut self) -> impl Iterator<Item = IndexDocument> + use<> {
        let Self { texts, made } = mem::take(self);
        let texts = Arc::new(texts);
        made.into_iter().map(move |made| IndexDocument {
            texts: Arc::clone(&texts),
            made,
        })
    }
}

impl Texts {
    fn of(&self, made: &DocumentSpan) -> impl Iterator<Item = (Field, &str)> + Clone {
        let before = made.texts.start.checked_sub(1);
        let mut start = before.map_or(0, |before| self.ends[before].1);
        self.ends[made.texts.clone()]
            .iter()
            .map(move |(field, end)| {
                let text = &self.bytes[start..*end];
                start = *end;
                (*field, text)
            })
    }
}

/// A value of a document.
#[derive(Debug, Clone, Copy)]
pub(super) enum DocumentValue<'a> {
    Number(u64),
    Text(&'a str),
}

impl<'a> Value<'a> for DocumentValue<'a> {
    type ArrayIter = iter::Empty<Self>;
    type ObjectIter = iter::Empty<(&'a str, Self)>;

    fn as_value(&self) -> ReferenceValue<'a, Self> {
        ReferenceValue::Leaf(match *self {
            Self::Number(number) => ReferenceValueLeaf::U64(number),
            Self::Text(text) => ReferenceValueLeaf::Str(text),
        })
    }
}

impl Document for IndexDocument {
    type Value<'a> = DocumentValue<'a>;
    type FieldsValuesIter<'a> = Box<dyn Iterator<Item = (Field, DocumentValue<'a>)> + 'a>;

    fn iter_fields_and_values(&self) -> Self::FieldsValuesIter<'_> {
        let numbers = self.made.numbers.iter();
        let numbers = numbers.map(|(field, number)| (*field, DocumentValue::Number(*number)));
        let texts = self.texts.of(&self.made);
        Box::new(numbers.chain(texts.map(|(field, text)| (field, DocumentValue::Text(text)))))
    }
}
