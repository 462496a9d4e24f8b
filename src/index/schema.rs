//! The shape of the index, made from the table of fields, and the document an event becomes in it.
//!
//! Nothing is stored but an event's place and its order: the log has the rest. Each text is indexed once by its words, in
//! the field of its part of the entry; each value once as a whole, in its normal form; each path once, with those above it.

use std::borrow::Cow;
use std::collections::HashSet;

use tantivy::schema::{
    Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::{Order, TantivyDocument, Term};

use super::scan::Hit;
use super::words;
use crate::event::AuditEvent;
use crate::field::{self, FIELDS, Kind, Number, Origin, Part, folded, instant_us};
use crate::json::{self, Scalar};
use crate::position::Seq;

/// The sort key: an event's time, as a number in the order of time.
pub(super) const AT: &str = "_at";

/// An event's place in the log.
pub(super) const SEQ: &str = "_seq";

/// Values of paths that are not in the table of fields: the path, [`PATH_END`], the value.
const LEAF: &str = "_leaf";

/// The paths at which an entry has values, and what else is known of an event: see [`Mark`].
const PATH: &str = "_path";

/// Stands between a path and a value, and before a [`Mark`] that is no path. No path holds it: see [`spelled`].
const PATH_END: char = '\u{1f}';

/// The schema and its fields by their use.
#[derive(Clone)]
pub(super) struct Shape {
    pub(super) schema: Schema,
    pub(super) at: Field,
    pub(super) seq: Field,
    leaf: Field,
    pub(super) path: Field,
    /// By [`Part::ALL`].
    words: [Field; 4],
    /// By [`FIELDS`]; `None` for those whose members are searched by their own paths.
    values: Vec<Option<Field>>,
}

impl Shape {
    pub(super) fn new() -> Self {
        let mut builder = Schema::builder();
        let column = NumericOptions::default().set_fast();
        let at = builder.add_u64_field(AT, column.clone());
        let seq = builder.add_u64_field(SEQ, column);
        let leaf = builder.add_text_field(LEAF, whole());
        let path = builder.add_text_field(PATH, whole());
        let words = Part::ALL.map(|part| builder.add_text_field(words_name(part), by_words()));
        let values = FIELDS
            .iter()
            .map(|field| {
                let options = if has_column(field) {
                    whole().set_fast("raw")
                } else {
                    whole()
                };
                (field.kind != Kind::Any).then(|| builder.add_text_field(field.name, options))
            })
            .collect();
        Self {
            schema: builder.build(),
            at,
            seq,
            leaf,
            path,
            words,
            values,
        }
    }

    /// The index's order: newest first.
    pub(super) fn order() -> tantivy::IndexSortByField {
        tantivy::IndexSortByField {
            field: AT.to_owned(),
            order: Order::Desc,
        }
    }

    /// The field that holds the words of a part.
    pub(super) fn words_of(&self, part: Part) -> Field {
        self.words[part as usize]
    }

    /// Where the values of `path` stand: their kind, their field, and how their terms begin.
    pub(super) fn place_of(&self, path: &str) -> (Kind, Field, String) {
        for (field, indexed) in FIELDS.iter().zip(&self.values) {
            if let Some(indexed) = indexed
                && field.name.eq_ignore_ascii_case(path)
            {
                return (field.kind, *indexed, String::new());
            }
        }
        (Kind::Any, self.leaf, leaf_text(&spelled(path), ""))
    }

    /// The term that stands for `path` having `value`, an empty text included.
    pub(super) fn value_term(&self, path: &str, value: &str) -> Term {
        if value.is_empty() {
            return self.mark(&Mark::Empty(&spelled(path)));
        }
        let (kind, field, prefix) = self.place_of(path);
        let value = words::shortened_value(field::normal(kind, value));
        Term::from_field_text(field, &(prefix + &value))
    }

    /// The term that stands for what else is known of an event.
    pub(super) fn mark(&self, mark: &Mark<'_>) -> Term {
        Term::from_field_text(self.path, &mark.text())
    }

    /// The fields of opaque ids.
    pub(super) fn id_fields(&self) -> impl Iterator<Item = (&'static field::Field, Field)> {
        FIELDS
            .iter()
            .zip(&self.values)
            .filter(|(field, _)| field.kind == Kind::Id && field.origin == Origin::Entry)
            .filter_map(|(field, indexed)| Some((field, (*indexed)?)))
    }

    /// The path that a term of [`Shape::paths`] begins with.
    pub(super) fn path_of(term: &str) -> Option<&str> {
        Some(term.split_once(PATH_END)?.0)
    }

    /// The first text after every term of `path`.
    pub(super) fn after_path(path: &str) -> String {
        let mut next = path.to_owned();
        next.push(' ');
        next
    }

    /// The field whose terms begin with a path.
    pub(super) fn paths(&self) -> Field {
        self.leaf
    }

    /// The document an event becomes; `replaced` is the revision before it, if it has one.
    pub(super) fn document(&self, event: &AuditEvent, replaced: Option<Hit>) -> TantivyDocument {
        let at_us = event.ordered_at().timestamp_micros();
        let mut document = TantivyDocument::new();
        document.add_u64(self.at, sort_key(at_us));
        document.add_u64(self.seq, event.seq.0);
        let mut entry = Entry {
            shape: self,
            document,
            paths: HashSet::new(),
            times: Vec::new(),
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

    fn known(&self, name: &str, origin: Origin) -> Option<(Kind, Option<Field>)> {
        let at = FIELDS
            .iter()
            .position(|field| field.name == name && field.origin == origin)?;
        Some((FIELDS[at].kind, self.values[at]))
    }
}

/// What is known of an event beside its values, as terms of one field.
pub(super) enum Mark<'a> {
    /// It has a value at this path, or below it.
    Path(&'a str),
    /// It has an empty text at this path.
    Empty(&'a str),
    /// The values of its `action.time` are not just the time it is ordered by.
    HasOtherTimes,
    /// One of those values, in its normal form.
    OtherTime(&'a str),
    /// It is the next revision of the event there.
    Replaces(Hit),
}

/// How the terms of [`Mark::OtherTime`] begin.
pub(super) const OTHER_TIME: &str = "\u{1f}time ";

/// How the terms of [`Mark::Replaces`] begin.
pub(super) const REPLACES: &str = "\u{1f}replaces ";

impl Mark<'_> {
    fn text(&self) -> String {
        match self {
            Self::Path(path) => words::shortened_value((*path).to_owned()),
            Self::Empty(path) => {
                format!("\u{1f}empty {}", words::shortened_value((*path).to_owned()))
            }
            Self::HasOtherTimes => "\u{1f}times".to_owned(),
            Self::OtherTime(time) => {
                format!("{OTHER_TIME}{}", words::shortened_value((*time).to_owned()))
            }
            Self::Replaces(Hit { at_us, seq }) => {
                format!("{REPLACES}{:016x} {:016x}", sort_key(*at_us), seq.0)
            }
        }
    }

    /// The event that a term which begins with [`REPLACES`] names.
    pub(super) fn replaced(term: &[u8]) -> Option<Hit> {
        let (at, seq) = std::str::from_utf8(term)
            .ok()?
            .strip_prefix(REPLACES)?
            .split_once(' ')?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        Some(Hit {
            at_us: micros_of(number(at)?),
            seq: Seq(number(seq)?),
        })
    }
}

/// An entry becoming a document.
struct Entry<'a> {
    shape: &'a Shape,
    document: TantivyDocument,
    /// Those that are in.
    paths: HashSet<String>,
    /// What `action.time` says, mostly once.
    times: Vec<String>,
}

impl Entry<'_> {
    /// Adds what orgtrail says of the event, beside the entry.
    fn add_own(&mut self, name: &str, value: &str) {
        if let Some((kind, Some(indexed))) = self.shape.known(name, Origin::Event) {
            let value = words::shortened_value(field::normal(kind, value));
            self.document.add_text(indexed, value);
            self.add_mark(&Mark::Path(name));
        }
    }

    /// Adds a leaf of the entry.
    fn add(&mut self, path: &str, value: &Scalar<'_>) {
        let path = spelled(path);
        match value {
            Scalar::Text(text) if text.is_empty() => self.add_mark(&Mark::Empty(&path)),
            Scalar::Text(text) => self.add_value(&path, text),
            Scalar::Number(number) => match Number::with_exponent(number) {
                Some(plain) => self.add_value(&path, &plain.to_string()),
                None => self.add_value(&path, number),
            },
            Scalar::Bool(true) => self.add_value(&path, "true"),
            Scalar::Bool(false) => self.add_value(&path, "false"),
            Scalar::Null => {}
        }
    }

    fn add_value(&mut self, path: &str, value: &str) {
        self.add_path(path);
        let known = self.shape.known(path, Origin::Entry);
        if let Some((Kind::Time, _)) = known {
            self.times.push(value.to_owned());
        }
        match known {
            Some((kind, Some(indexed))) => {
                let value = words::shortened_value(field::normal(kind, value));
                self.document.add_text(indexed, value);
            }
            _ => self
                .document
                .add_text(self.shape.leaf, leaf_text(path, value)),
        }
        let as_whole_only = match known {
            Some((Kind::Time, _)) => true,
            Some((Kind::Id, _)) => words::is_opaque(value),
            _ => false,
        };
        if !as_whole_only {
            let words = self.shape.words_of(Part::of_path(path));
            self.document.add_text(words, value);
        }
    }

    /// Adds a path and those above it, unless they are in.
    fn add_path(&mut self, mut path: &str) {
        while !path.is_empty() && !self.paths.contains(path) {
            self.paths.insert(path.to_owned());
            let is_own = FIELDS
                .iter()
                .any(|field| field.origin == Origin::Event && field.name == path);
            if !is_own {
                self.add_mark(&Mark::Path(path));
            }
            path = path.rsplit_once('.').map_or("", |(above, _)| above);
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

/// The field that events are mostly ordered by.
pub(super) const TIME_PATH: &str = "action.time";

/// A path as it stands in the index: folded, and without the sign that ends it, lest an entry's own key pass for a mark.
pub(super) fn spelled(path: &str) -> Cow<'_, str> {
    let is_plain =
        |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase() && byte != PATH_END as u8;
    match path.bytes().all(is_plain) {
        true => Cow::Borrowed(path),
        false => Cow::Owned(folded(path).replace(PATH_END, "\u{241f}")),
    }
}

/// The term of a value at a path that is not in the table of fields.
fn leaf_text(path: &str, value: &str) -> String {
    let path = words::shortened_value(path.to_owned());
    let value = words::shortened_value(folded(value));
    format!("{path}{PATH_END}{value}")
}

/// Whether a field's values are kept by document too, to be counted for any few documents. It costs a byte or two where many
/// entries share a value; where nearly each has its own, its dictionary would be stored twice.
pub(super) fn has_column(field: &field::Field) -> bool {
    let has_own_values = [
        "id",
        "action.time",
        "raw.cf_ray_id",
        "raw.uri",
        "resource.id",
        "problem",
    ];
    field.kind != Kind::Any && !has_own_values.contains(&field.name)
}

fn words_name(part: Part) -> &'static str {
    match part {
        Part::Actor => "_words_actor",
        Part::Action => "_words_action",
        Part::Resource => "_words_resource",
        Part::Other => "_words_other",
    }
}

fn whole() -> TextOptions {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer("raw")
        .set_fieldnorms(false);
    TextOptions::default().set_indexing_options(indexing.set_index_option(IndexRecordOption::Basic))
}

fn by_words() -> TextOptions {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(words::NAME)
        .set_fieldnorms(false);
    TextOptions::default()
        .set_indexing_options(indexing.set_index_option(IndexRecordOption::WithFreqsAndPositions))
}

/// A time in microseconds as a number that keeps its order without a sign.
pub(super) fn sort_key(micros: i64) -> u64 {
    micros.cast_unsigned() ^ (1 << 63)
}

/// The time a sort key was made of.
pub(super) fn micros_of(key: u64) -> i64 {
    (key ^ (1 << 63)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sort_keys_keep_the_order_of_time() {
        let times = [i64::MIN, -1, 0, 1, 1_785_000_000_000_000, i64::MAX];
        assert!(times.map(sort_key).is_sorted());
        assert_eq!(times.map(sort_key).map(micros_of), times);
    }
}
