//! The shape of the index, made from the table of fields, and the document an event becomes in it.
//!
//! Nothing is stored but an event's place and its order: the log has the rest. Each text is indexed once by its words, in
//! the field of its part of the entry; each value once as a whole, in lower case.

use tantivy::schema::{
    Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::{Order, TantivyDocument, Term};

use super::words;
use crate::event::AuditEvent;
use crate::field::{self, FIELDS, Kind, Origin, Part};
use crate::json::{self, Scalar};

/// The sort key: an event's time, as a number in the order of time.
pub(super) const AT: &str = "_at";

/// An event's place in the log.
pub(super) const SEQ: &str = "_seq";

/// Values of paths that are not in the table of fields: the path, [`PATH_END`], the value.
const LEAF: &str = "_leaf";

/// Stands between a path and a value. No text of an entry's path holds it in practice; one that does is found all the same,
/// only not told from another.
const PATH_END: char = '\u{1f}';

/// The schema and its fields by their use.
#[derive(Clone)]
pub(super) struct Shape {
    pub(super) schema: Schema,
    pub(super) at: Field,
    pub(super) seq: Field,
    leaf: Field,
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

    /// The term that stands for `path` having `value`.
    pub(super) fn value_term(&self, path: &str, value: &str) -> Term {
        for (field, indexed) in FIELDS.iter().zip(&self.values) {
            if let Some(indexed) = indexed
                && field.name.eq_ignore_ascii_case(path)
            {
                return Term::from_field_text(
                    *indexed,
                    &words::shortened(field::normal(field.kind, value)),
                );
            }
        }
        Term::from_field_text(self.leaf, &leaf_text(path, value))
    }

    /// The terms that stand for `id` being the value of any field of opaque ids, in a part or anywhere.
    pub(super) fn id_terms(&self, part: Option<Part>, id: &str) -> Vec<Term> {
        FIELDS
            .iter()
            .zip(&self.values)
            .filter(|(field, _)| field.kind == Kind::Id && field.origin == Origin::Entry)
            .filter(|(field, _)| part.is_none_or(|part| Part::of_path(field.name) == part))
            .filter_map(|(_, indexed)| Some(Term::from_field_text((*indexed)?, &id.to_lowercase())))
            .collect()
    }

    /// The field and the beginning of every term that stands for `path` having some value.
    pub(super) fn path_prefix(&self, path: &str) -> (Field, String) {
        let mut prefix = path.to_lowercase();
        prefix.push(PATH_END);
        (self.leaf, prefix)
    }

    /// Where the values of a field or path stand, and how each of its terms begins before the value.
    pub(super) fn values_of(&self, path: &str) -> (Field, String) {
        for (field, indexed) in FIELDS.iter().zip(&self.values) {
            if let Some(indexed) = indexed
                && field.name.eq_ignore_ascii_case(path)
            {
                return (*indexed, String::new());
            }
        }
        self.path_prefix(path)
    }

    /// The path that a term of [`Shape::paths`] begins with; `None` when the path is too long to be told from its value.
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

    /// The document an event becomes.
    pub(super) fn document(&self, event: &AuditEvent) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        document.add_u64(self.at, sort_key(event.ordered_at().timestamp_micros()));
        document.add_u64(self.seq, event.seq.0);
        self.add_own(&mut document, "source", &event.source.to_string());
        if let Some(problem) = &event.problem {
            self.add_own(&mut document, "problem", problem);
        }
        json::walk(event.entry.get(), |path, value| match value {
            Scalar::Text(text) => self.add(&mut document, path, &text),
            Scalar::Number(number) => self.add(&mut document, path, number),
            Scalar::Bool(true) => self.add(&mut document, path, "true"),
            Scalar::Bool(false) => self.add(&mut document, path, "false"),
            Scalar::Null => {}
        });
        document
    }

    /// Adds what orgtrail says of the event, beside the entry.
    fn add_own(&self, document: &mut TantivyDocument, name: &str, value: &str) {
        if let Some((kind, indexed)) = self.known(name, Origin::Event) {
            document.add_text(indexed, words::shortened(field::normal(kind, value)));
        }
    }

    /// Adds a leaf of the entry.
    fn add(&self, document: &mut TantivyDocument, path: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let known = self.known(path, Origin::Entry);
        match known {
            Some((kind, indexed)) => {
                document.add_text(indexed, words::shortened(field::normal(kind, value)))
            }
            None => document.add_text(self.leaf, leaf_text(path, value)),
        }
        let as_whole_only = match known {
            Some((Kind::Time, _)) => true,
            Some((Kind::Id, _)) => words::is_opaque(value),
            _ => false,
        };
        if !as_whole_only {
            document.add_text(self.words_of(Part::of_path(path)), value);
        }
    }

    fn known(&self, name: &str, origin: Origin) -> Option<(Kind, Field)> {
        let at = FIELDS
            .iter()
            .position(|field| field.name == name && field.origin == origin)?;
        Some((FIELDS[at].kind, self.values[at]?))
    }
}

fn leaf_text(path: &str, value: &str) -> String {
    words::shortened(format!(
        "{}{PATH_END}{}",
        path.to_lowercase(),
        value.to_lowercase()
    ))
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
