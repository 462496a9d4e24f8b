//! The document an event becomes.
//!
//! Each text is indexed once by its words, in the field of its part of the entry; each value once as a whole, in its normal
//! form; each path once, with those above it. Entries have few paths and say them again and again, so what a path comes to
//! is worked out once ([`Paths`]), and the paths above it are shared. Which values can be searched by their path is decided
//! in [`searchable`]: a document takes memory in proportion to its entry.

use std::collections::HashMap;

use tantivy::schema::Field;

use super::batch::DocumentBatch;
use super::faults::{NoDocument, Work};
use super::schema::{
    IndexSchema, Mark, PATH_END, WordFields, column_of, has_one_spelling, sort_key, spelled,
};
use crate::engine::hit::Hit;
use crate::engine::values::{of_row, own_of, own_of_row, push_normal, text_of};
use crate::event::{AuditEvent, searchable};
use crate::field::{self, FIELDS, Kind, Origin, folded, instant_us};
use crate::query::words;
use orgtrail_cloudflare::json::Scalar;

/// The most paths that are remembered between entries. Upstream has some hundreds; a hostile entry can have any.
const MAX_PATHS: usize = 10_000;

/// The most bytes of paths that are remembered between entries.
const MAX_PATH_BYTES: usize = 1024 * 1024;

/// What is known of the paths that entries have had.
#[derive(Default)]
pub(super) struct Paths {
    /// The number of each path, as entries spell it.
    as_written: HashMap<String, usize>,
    /// The number of each path in the index.
    numbers: HashMap<String, usize>,
    /// By number.
    known: Vec<PathInfo>,
    /// The length of all paths.
    n_bytes: usize,
    /// How many documents there have been.
    documents: u64,
}

/// A path.
struct PathInfo {
    /// Its form in the index.
    path: String,
    /// What marks a document that has a value at it or below it.
    mark: String,
    /// Its kind, when it is in the table of fields.
    kind: Option<Kind>,
    /// The field of its values, and how their terms begin.
    values: (Field, String),
    /// The fields of its words.
    words: WordFields,
    /// The number of the path above it.
    above: Option<usize>,
    /// Whether documents are marked with it: what orgtrail says of an event has marks of its own.
    has_mark: bool,
    /// Whether a column says which documents have a value at it.
    has_column: bool,
    /// Whether words are looked up among its values: it has a column, and that is of entries.
    has_words_in_column: bool,
    /// The last document that has its mark, and a mark for each path above it.
    marked: u64,
    /// The last document that is marked as having an empty text at it.
    marked_empty: u64,
    /// The last document that is marked as having `null` at it.
    marked_null: u64,
}

impl Paths {
    /// Begins another document.
    fn begin(&mut self) {
        if self.known.len() > MAX_PATHS || self.n_bytes > MAX_PATH_BYTES {
            *self = Self {
                documents: self.documents,
                ..Self::default()
            };
        }
        self.documents += 1;
    }

    /// The number of a path, as an entry spells it.
    fn get(&mut self, path: &str, shape: &IndexSchema) -> usize {
        if let Some(number) = self.as_written.get(path) {
            return *number;
        }
        let number = self.number(&spelled(path), shape);
        self.as_written.insert(path.to_owned(), number);
        self.n_bytes += path.len();
        number
    }

    /// The number of a path in the index. Parents get their numbers first.
    fn number(&mut self, path: &str, shape: &IndexSchema) -> usize {
        let mut new = Vec::new();
        let mut next = Some(path);
        let mut above = None;
        while let Some(path) = next {
            above = self.numbers.get(path).copied();
            if above.is_some() {
                break;
            }
            new.push(path);
            next = path.rsplit_once('.').map(|(above, _)| above);
            next = next.filter(|path| !path.is_empty());
        }
        for path in new.into_iter().rev() {
            let number = self.known.len();
            self.n_bytes += 2 * path.len();
            self.known.push(PathInfo::new(path, above, shape));
            self.numbers.insert(path.to_owned(), number);
            above = Some(number);
        }
        above.unwrap_or_default()
    }
}

impl PathInfo {
    fn new(path: &str, above: Option<usize>, shape: &IndexSchema) -> Self {
        let known = shape.known(path, Origin::Entry);
        let values = match known {
            Some((_, Some(field))) => (field, String::new()),
            _ => {
                let mut prefix = words::shortened_value(path.to_owned());
                prefix.push(PATH_END);
                (shape.leaf, prefix)
            }
        };
        let is_own = FIELDS
            .iter()
            .any(|field| field::is_own(field.name) && field.name == path);
        Self {
            path: path.to_owned(),
            mark: Mark::Path(path).text(),
            kind: known.map(|(kind, _)| kind),
            values,
            words: shape.words_at(path),
            above,
            has_mark: !is_own && !path.is_empty(),
            has_column: column_of(path).is_some(),
            has_words_in_column: known.is_some() && column_of(path).is_some(),
            marked: 0,
            marked_empty: 0,
            marked_null: 0,
        }
    }
}

impl IndexSchema {
    /// Adds the document an event becomes to `batch`; `replaced` is the revision before it, if it has one.
    ///
    /// # Errors
    /// [`NoDocument`] when a test says so.
    pub(super) fn add_document(
        &self,
        event: &AuditEvent,
        replaced: Option<Hit>,
        paths: &mut Paths,
        batch: &mut DocumentBatch,
    ) -> Result<(), NoDocument> {
        self.faults.check(Work::MakeDocument, event.entry.get())?;
        let mut entry = DocumentBuilder::begin(self, event, own_of(event), paths, batch);
        searchable::walk(event.entry.get(), |path, value, is_searchable| {
            entry.add(path, &value, is_searchable);
        });
        entry.end(event, replaced);
        Ok(())
    }

    /// Adds the document of an event whose entry makes none: what its row says.
    pub(super) fn add_document_of_row(
        &self,
        event: &AuditEvent,
        replaced: Option<Hit>,
        batch: &mut DocumentBatch,
    ) {
        let mut paths = Paths::default();
        let mut entry = DocumentBuilder::begin(self, event, own_of_row(event), &mut paths, batch);
        for (path, value) in of_row(event) {
            entry.add(path, &Scalar::Text(value.into()), true);
        }
        entry.end(event, replaced);
    }
}

/// An entry becoming a document.
struct DocumentBuilder<'a> {
    shape: &'a IndexSchema,
    batch: &'a mut DocumentBatch,
    paths: &'a mut Paths,
    /// What `action.time` says, mostly once.
    times: Vec<String>,
    /// Whether it spells an address or a number of a column in another way than the index.
    is_respelled: bool,
}

impl<'a> DocumentBuilder<'a> {
    /// With what stands in the event's row.
    fn begin(
        shape: &'a IndexSchema,
        event: &AuditEvent,
        own: impl Iterator<Item = (&'static str, String)>,
        paths: &'a mut Paths,
        batch: &'a mut DocumentBatch,
    ) -> Self {
        let at_us = event.ordered_at().timestamp_micros();
        batch.begin([(shape.at, sort_key(at_us)), (shape.seq, event.seq.0)]);
        paths.begin();
        let mut entry = Self {
            shape,
            batch,
            paths,
            times: Vec::new(),
            is_respelled: false,
        };
        for (name, value) in own {
            entry.add_own(name, &value);
        }
        entry
    }

    fn end(mut self, event: &AuditEvent, replaced: Option<Hit>) {
        self.add_times(event.ordered_at().timestamp_micros());
        if let Some(replaced) = replaced {
            self.add_mark(&Mark::Replaces(replaced));
        }
        if self.is_respelled {
            self.add_words_of_respelled(event);
        }
    }

    /// Adds the words of all values whose fields have one spelling: in the index they are not what the entry says.
    fn add_words_of_respelled(&mut self, event: &AuditEvent) {
        self.add_mark(&Mark::Respelled);
        searchable::walk(event.entry.get(), |path, value, is_searchable| {
            let number = self.paths.get(path, self.shape);
            let known = &self.paths.known[number];
            if is_searchable
                && known.has_words_in_column
                && known.kind.is_some_and(has_one_spelling)
                && let Some(text) = text_of(&value)
            {
                add_words(self.batch, known.words, &text);
            }
        });
    }

    /// Adds what orgtrail says of the event, beside the entry.
    fn add_own(&mut self, name: &str, value: &str) {
        if let Some((kind, Some(indexed))) = self.shape.known(name, Origin::Event) {
            let value = words::shortened_value(field::normal(kind, value));
            self.batch.add_text(indexed, &value);
            if column_of(name).is_none() {
                self.add_mark(&Mark::Path(name));
            }
        }
    }

    /// Adds a leaf of the entry; by its words alone, when it is not searchable by its path.
    fn add(&mut self, path: &str, value: &Scalar<'_>, is_searchable: bool) {
        let text = text_of(value);
        if !is_searchable {
            if let Some(text) = text {
                let words = self.shape.words_at(path);
                add_words(self.batch, words, &text);
            }
            return;
        }
        let number = self.paths.get(path, self.shape);
        match text {
            Some(text) => self.add_value(number, &text),
            None => self.add_nothing(number, *value == Scalar::Null),
        }
    }

    fn add_value(&mut self, number: usize, value: &str) {
        self.mark_path(number);
        let known = &self.paths.known[number];
        let (field, prefix) = &known.values;
        self.batch.add_with(*field, |text| {
            text.push_str(prefix);
            push_normal(text, known.kind, value);
        });
        let as_whole_only = match known.kind {
            Some(Kind::Time) => {
                self.times.push(value.to_owned());
                true
            }
            Some(Kind::Id) => words::is_opaque(value),
            _ => false,
        };
        if known.has_words_in_column {
            self.add_words_beside_column(number, value);
        } else if !as_whole_only {
            add_words(self.batch, known.words, value);
        }
    }

    /// Marks the document as having a value at a path, and below those above it.
    fn mark_path(&mut self, number: usize) {
        let mut next = Some(number);
        while let Some(at) = next {
            let known = &mut self.paths.known[at];
            next = known.above;
            // Of values at the path itself the column tells.
            if at == number && known.has_column {
                continue;
            }
            if std::mem::replace(&mut known.marked, self.paths.documents) == self.paths.documents {
                return;
            }
            if known.has_mark {
                self.batch.add_text(self.shape.path, &known.mark);
            }
        }
    }

    /// Adds what a column cannot say of the words of a value: it was added to it last.
    fn add_words_beside_column(&mut self, number: usize, value: &str) {
        let known = &self.paths.known[number];
        let in_column = self.batch.last_text();
        let is_cut = in_column.len() > words::MAX_VALUE_LEN;
        if known.kind.is_some_and(has_one_spelling) {
            let is_same = in_column.eq_ignore_ascii_case(value) || in_column == folded(value);
            self.is_respelled |= is_cut || !is_same;
        } else if is_cut {
            add_words(self.batch, known.words, value);
        }
    }

    /// Notes that there is an empty text at a path, or `null`.
    fn add_nothing(&mut self, number: usize, is_null: bool) {
        let document = self.paths.documents;
        let known = &mut self.paths.known[number];
        let mark = match is_null {
            // The table of fields is known whatever entries say.
            true if known.kind.is_some() => return,
            true if std::mem::replace(&mut known.marked_null, document) == document => return,
            true => Mark::Null(&known.path),
            false if std::mem::replace(&mut known.marked_empty, document) == document => return,
            false => Mark::Empty(&known.path),
        };
        self.batch.add_text(self.shape.path, &mark.text());
    }

    /// Notes it when the order of events does not say what `action.time` does.
    fn add_times(&mut self, at_us: i64) {
        let is_ordered_by_it = |time: &String| instant_us(time) == Some(at_us);
        if !self.times.is_empty() && self.times.iter().all(is_ordered_by_it) {
            return;
        }
        self.add_mark(&Mark::HasOtherTimes);
        for time in std::mem::take(&mut self.times) {
            self.add_mark(&Mark::OtherTime(&field::normal(Kind::Time, &time)));
        }
    }

    fn add_mark(&mut self, mark: &Mark<'_>) {
        self.batch.add_text(self.shape.path, &mark.text());
    }
}

/// Adds the words of a value.
fn add_words(batch: &mut DocumentBatch, fields: WordFields, value: &str) {
    match words::count_to_two(value) {
        0 => {}
        1 => batch.add_text(fields.one, value),
        _ => batch.add_text(fields.several, value),
    }
}
