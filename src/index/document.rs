//! The document an event becomes.
//!
//! Each text is indexed once by its words, in the field of its part of the entry; each value once as a whole, in its normal
//! form; each path once, with those above it. Entries have few paths and say them again and again, so what a path comes to
//! is worked out once ([`Paths`]).

use std::collections::HashMap;
use std::sync::Arc;

use tantivy::TantivyDocument;
use tantivy::schema::Field;

use super::scan::Hit;
use super::schema::{Mark, PATH_END, Shape, column_of, sort_key, spelled};
use super::words;
use crate::event::AuditEvent;
use crate::field::{self, FIELDS, Kind, Number, Origin, Part, folded, instant_us};
use crate::json::{self, Scalar};

/// The most paths that are remembered. Upstream has some hundreds; a hostile entry can have any.
const MAX_PATHS: usize = 10_000;

/// What is known of the paths that entries have had.
#[derive(Default)]
pub(super) struct Paths {
    /// By path, as entries spell it.
    known: HashMap<String, Arc<Known>>,
    /// The number of each path's mark, by path as it stands in the index.
    numbers: HashMap<String, usize>,
    /// By number: the last document that has the mark.
    marked: Vec<u64>,
    /// How many documents there have been.
    documents: u64,
}

/// A path.
struct Known {
    /// As it stands in the index.
    path: String,
    /// Its kind, when it is in the table of fields.
    kind: Option<Kind>,
    /// The field of its values, and how their terms begin.
    values: (Field, String),
    /// The field of its words.
    words: Field,
    /// The numbers and texts of its mark, and of those of the paths above it.
    marks: Vec<(usize, String)>,
}

impl Paths {
    /// Begins another document.
    fn begin(&mut self) {
        if self.known.len() > MAX_PATHS {
            *self = Self {
                documents: self.documents,
                ..Self::default()
            };
        }
        self.documents += 1;
    }

    /// What is known of a path, as an entry spells it.
    fn get(&mut self, path: &str, shape: &Shape) -> Arc<Known> {
        if let Some(known) = self.known.get(path) {
            return Arc::clone(known);
        }
        let known = Arc::new(self.work_out(&spelled(path), shape));
        self.known.insert(path.to_owned(), Arc::clone(&known));
        known
    }

    fn work_out(&mut self, path: &str, shape: &Shape) -> Known {
        let known = shape.known(path, Origin::Entry);
        let values = match known {
            Some((_, Some(field))) => (field, String::new()),
            _ => {
                let mut prefix = words::shortened_value(path.to_owned());
                prefix.push(PATH_END);
                (shape.leaf, prefix)
            }
        };
        let mut marks = Vec::new();
        let mut above = path;
        while !above.is_empty() {
            // What orgtrail says of an event has marks of its own.
            let is_own = FIELDS
                .iter()
                .any(|field| field.origin == Origin::Event && field.name == above);
            let is_said_by_column = above == path && column_of(path).is_some();
            if !is_own && !is_said_by_column {
                marks.push((self.number(above), Mark::Path(above).text()));
            }
            above = above.rsplit_once('.').map_or("", |(above, _)| above);
        }
        Known {
            path: path.to_owned(),
            kind: known.map(|(kind, _)| kind),
            values,
            words: shape.words_of(Part::of_path(path)),
            marks,
        }
    }

    fn number(&mut self, path: &str) -> usize {
        if let Some(number) = self.numbers.get(path) {
            return *number;
        }
        let number = self.marked.len();
        self.marked.push(0);
        self.numbers.insert(path.to_owned(), number);
        number
    }

    /// Marks the present document; says whether it was not marked so yet.
    fn mark(&mut self, number: usize) -> bool {
        std::mem::replace(&mut self.marked[number], self.documents) != self.documents
    }
}

impl Shape {
    /// The document an event becomes; `replaced` is the revision before it, if it has one.
    pub(super) fn document(
        &self,
        event: &AuditEvent,
        replaced: Option<Hit>,
        paths: &mut Paths,
    ) -> TantivyDocument {
        let at_us = event.ordered_at().timestamp_micros();
        let mut document = TantivyDocument::new();
        document.add_u64(self.at, sort_key(at_us));
        document.add_u64(self.seq, event.seq.0);
        paths.begin();
        let mut entry = Entry {
            shape: self,
            document,
            paths,
            times: Vec::new(),
            text: String::new(),
        };
        entry.add_own("source", &event.source.to_string());
        if let Some(problem) = &event.problem {
            entry.add_own("problem", problem);
        }
        json::walk(event.entry.get(), |path, value| entry.add(path, &value));
        entry.add_times(at_us);
        if let Some(replaced) = replaced {
            entry.add_mark(&Mark::Replaces(replaced));
        }
        entry.document
    }
}

/// An entry becoming a document.
struct Entry<'a> {
    shape: &'a Shape,
    document: TantivyDocument,
    paths: &'a mut Paths,
    /// What `action.time` says, mostly once.
    times: Vec<String>,
    /// Room for a term.
    text: String,
}

impl Entry<'_> {
    /// Adds what orgtrail says of the event, beside the entry.
    fn add_own(&mut self, name: &str, value: &str) {
        if let Some((kind, Some(indexed))) = self.shape.known(name, Origin::Event) {
            let value = words::shortened_value(field::normal(kind, value));
            self.document.add_text(indexed, value);
            if column_of(name).is_none() {
                self.add_mark(&Mark::Path(name));
            }
        }
    }

    /// Adds a leaf of the entry.
    fn add(&mut self, path: &str, value: &Scalar<'_>) {
        let known = self.paths.get(path, self.shape);
        match value {
            Scalar::Text(text) if text.is_empty() => self.add_mark(&Mark::Empty(&known.path)),
            Scalar::Text(text) => self.add_value(&known, text),
            Scalar::Number(number) => match Number::with_exponent(number) {
                Some(plain) => self.add_value(&known, &plain.to_string()),
                None => self.add_value(&known, number),
            },
            Scalar::Bool(true) => self.add_value(&known, "true"),
            Scalar::Bool(false) => self.add_value(&known, "false"),
            Scalar::Null => {}
        }
    }

    fn add_value(&mut self, known: &Known, value: &str) {
        for (number, mark) in &known.marks {
            if self.paths.mark(*number) {
                self.document.add_text(self.shape.path, mark);
            }
        }
        let (field, prefix) = &known.values;
        self.text.clear();
        self.text.push_str(prefix);
        push_normal(&mut self.text, known.kind, value);
        self.document.add_text(*field, &self.text);
        let as_whole_only = match known.kind {
            Some(Kind::Time) => {
                self.times.push(value.to_owned());
                true
            }
            Some(Kind::Id) => words::is_opaque(value),
            _ => false,
        };
        if !as_whole_only {
            self.document.add_text(known.words, value);
        }
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
        self.document.add_text(self.shape.path, mark.text());
    }
}

/// Writes a value as it stands in the index behind what `text` holds.
fn push_normal(text: &mut String, kind: Option<Kind>, value: &str) {
    let is_compared_as_text = matches!(kind, None | Some(Kind::Id | Kind::Text | Kind::Any));
    if is_compared_as_text && value.is_ascii() && value.len() <= words::MAX_VALUE_LEN {
        let start = text.len();
        text.push_str(value);
        text[start..].make_ascii_lowercase();
        return;
    }
    let normal = match kind {
        Some(kind) => field::normal(kind, value),
        None => folded(value),
    };
    text.push_str(&words::shortened_value(normal));
}
