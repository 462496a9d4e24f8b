//! The shape of the index, made from the table of fields, and how names and values are spelled in it.
//!
//! Nothing is stored but an event's `seq` and its time: the log has the rest.

use tantivy::schema::{
    Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::{Order, Term};

use super::faults::Faults;
use super::tokenizer;
use crate::engine::hit::Hit;
use crate::engine::scope::Scope;
use crate::field::{self, FIELDS, Kind, Origin, folded};
pub(super) use crate::field::{PATH_END, spelled_path as spelled};
use crate::position::Seq;
use crate::query::words;

/// The sort key: an event's time, as a number in the order of time.
pub(super) const AT: &str = "_at";

/// An event's `seq`.
pub(super) const SEQ: &str = "_seq";

/// Values of paths that are not in the table of fields: the path, [`PATH_END`], the value.
const LEAF: &str = "_leaf";

/// The paths at which an entry has values, and what else is known of an event: see [`Mark`].
const PATH: &str = "_path";

/// The schema and its fields by their use.
#[derive(Clone)]
pub(super) struct IndexSchema {
    pub(super) schema: Schema,
    pub(super) at: Field,
    pub(super) seq: Field,
    pub(super) leaf: Field,
    pub(super) path: Field,
    /// The words of values, without those of bodies.
    words: WordFields,
    /// The words of the bodies of requests and answers: not everybody may look into them.
    body_words: WordFields,
    /// By [`FIELDS`]; `None` for those whose members are searched by their own paths.
    values: Vec<Option<Field>>,
    /// What a test makes fail.
    pub(super) faults: Faults,
}

impl IndexSchema {
    pub(super) fn new() -> Self {
        let mut builder = Schema::builder();
        let column = NumericOptions::default().set_fast();
        let at = builder.add_u64_field(AT, column.clone());
        let seq = builder.add_u64_field(SEQ, column);
        let leaf = builder.add_text_field(LEAF, whole());
        let path = builder.add_text_field(PATH, whole());
        let words = WordFields {
            one: builder.add_text_field("_word", by_words(IndexRecordOption::Basic)),
            several: builder.add_text_field("_words", by_words(WITH_POSITIONS)),
        };
        let body_words = WordFields {
            one: builder.add_text_field("_word_body", by_words(IndexRecordOption::Basic)),
            several: builder.add_text_field("_words_body", by_words(WITH_POSITIONS)),
        };
        let values = FIELDS
            .iter()
            .map(|field| {
                let options = if has_column(field) {
                    whole().set_fast("raw")
                } else {
                    whole()
                };
                let is_indexed = field.kind != Kind::Any && field.origin.is_indexed();
                is_indexed.then(|| builder.add_text_field(field.name, options))
            })
            .collect();
        Self {
            schema: builder.build(),
            at,
            seq,
            leaf,
            path,
            words,
            body_words,
            values,
            faults: Faults::default(),
        }
    }

    /// The index's order: newest first.
    pub(super) fn order() -> tantivy::IndexSortByField {
        tantivy::IndexSortByField {
            field: AT.to_owned(),
            order: Order::Desc,
        }
    }

    /// The fields that hold the words of the values at a path.
    pub(super) fn words_at(&self, path: &str) -> WordFields {
        if field::is_body(path) {
            self.body_words
        } else {
            self.words
        }
    }

    /// The fields that hold words, with or without those of bodies.
    pub(super) fn words_in(&self, scope: &Scope) -> impl Iterator<Item = WordFields> + use<> {
        let bodies = scope.has_bodies().then_some(self.body_words);
        [self.words].into_iter().chain(bodies)
    }

    /// How much of a longer term's text is kept before its hash, in bytes.
    pub(super) fn kept_len(&self, field: Field) -> usize {
        let mut words = [self.words, self.body_words].into_iter();
        if words.any(|words| words.both().contains(&field)) {
            words::MAX_TERM_LEN
        } else {
            words::MAX_VALUE_LEN
        }
    }

    /// How the values of `path` are indexed: their kind, their field, and the prefix of their terms.
    pub(super) fn place_of(&self, path: &str) -> (Kind, Field, String) {
        let path = spelled(path);
        for (field, indexed) in FIELDS.iter().zip(&self.values) {
            if let Some(indexed) = indexed
                && field.name == path
            {
                return (field.kind, *indexed, String::new());
            }
        }
        (Kind::Any, self.leaf, leaf_text(&path, ""))
    }

    /// The term for `value` at `path`; the value may be empty.
    pub(super) fn value_term(&self, path: &str, value: &str) -> Term {
        if value.is_empty() {
            return self.mark(&Mark::Empty(&spelled(path)));
        }
        let (kind, field, prefix) = self.place_of(path);
        let value = words::shortened_value(field::normal(kind, value));
        Term::from_field_text(field, &(prefix + &value))
    }

    /// The term of the values of `path` that are listed as `value`, if that is how a very long one is: its beginning and its hash.
    pub(super) fn listed_term(&self, path: &str, value: &str) -> Option<Term> {
        let listed = words::listed_value(value)?;
        let (_, field, prefix) = self.place_of(path);
        Some(Term::from_field_text(field, &(prefix + &listed)))
    }

    /// The term for a marker of the event, such as its problem.
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

    /// The fields of the entry whose words are looked up among their values.
    pub(super) fn worded(&self) -> impl Iterator<Item = Worded> {
        let fields = FIELDS.iter().zip(&self.values);
        fields.filter_map(|(field, indexed)| {
            let is_worded = field.origin == Origin::Entry && has_column(field);
            Some(Worded {
                name: field.name,
                kind: field.kind,
                field: (*indexed).filter(|_| is_worded)?,
            })
        })
    }

    /// The path that a term of [`IndexSchema::paths`] begins with.
    pub(super) fn path_of(term: &str) -> Option<&str> {
        Some(term.split_once(PATH_END)?.0)
    }

    /// How the terms of the values at `path` begin.
    pub(super) fn before_values(path: &str) -> String {
        format!("{path}{PATH_END}")
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

    /// The kind of a field of the table, and the field of its values.
    pub(super) fn known(&self, name: &str, origin: Origin) -> Option<(Kind, Option<Field>)> {
        let at = FIELDS
            .iter()
            .position(|field| field.name == name && field.origin == origin)?;
        Some((FIELDS[at].kind, self.values[at]))
    }
}

/// Where words are. Most values have one word, and of these no positions are kept: they are in no phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WordFields {
    /// Those of values with one word.
    pub(super) one: Field,
    /// Those of values with several words, and where they are.
    pub(super) several: Field,
}

impl WordFields {
    /// Both.
    pub(super) fn both(self) -> [Field; 2] {
        [self.one, self.several]
    }
}

const WITH_POSITIONS: IndexRecordOption = IndexRecordOption::WithFreqsAndPositions;

/// A field of the entry whose words are looked up among its values: they are not in the index.
pub(super) struct Worded {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) field: Field,
}

impl Worded {
    /// Whether its values have one spelling, which may have other words than that of an event.
    pub(super) fn has_one_spelling(&self) -> bool {
        has_one_spelling(self.kind)
    }
}

/// Whether values of a kind are spelled in one way in the index, however events spell them.
pub(super) fn has_one_spelling(kind: Kind) -> bool {
    matches!(kind, Kind::Address | Kind::Number | Kind::Time)
}

/// What is known of an event beside its values, as terms of one field.
pub(super) enum Mark<'a> {
    /// It has a value at this path, or below it. Where a column has the values at the path, it is said of those below it alone.
    Path(&'a str),
    /// It has an empty text at this path.
    Empty(&'a str),
    /// It has `null` at this path, and the path is not in the table of fields.
    Null(&'a str),
    /// The values of its `action.time` are not just the time it is ordered by.
    HasOtherTimes,
    /// One of those values, in its normal form.
    OtherTime(&'a str),
    /// It is the next revision of the event there.
    Replaces(Hit),
    /// It spells an address or a number of a column in another way than the index does: the words of these are in the index.
    Respelled,
}

/// How the terms of [`Mark::Empty`] begin.
pub(super) const EMPTY: &str = "\u{1f}empty ";

/// How the terms of [`Mark::Null`] begin.
pub(super) const NULL: &str = "\u{1f}null ";

/// How the terms of [`Mark::OtherTime`] begin.
pub(super) const OTHER_TIME: &str = "\u{1f}time ";

/// How the terms of [`Mark::Replaces`] begin.
pub(super) const REPLACES: &str = "\u{1f}replaces ";

impl Mark<'_> {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Path(path) => words::shortened_value((*path).to_owned()),
            Self::Empty(path) => {
                format!("{EMPTY}{}", words::shortened_value((*path).to_owned()))
            }
            Self::Null(path) => {
                format!("{NULL}{}", words::shortened_value((*path).to_owned()))
            }
            Self::HasOtherTimes => "\u{1f}times".to_owned(),
            Self::Respelled => "\u{1f}respelled".to_owned(),
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

/// The term of a value at a path that is not in the table of fields.
fn leaf_text(path: &str, value: &str) -> String {
    let path = words::shortened_value(path.to_owned());
    let value = words::shortened_value(folded(value));
    format!("{path}{PATH_END}{value}")
}

/// Whether a field's values are kept by document too, to be counted for any few documents. It costs a byte or two where many
/// entries share a value; where nearly each has its own, its dictionary would be stored twice.
fn has_column(field: &field::Field) -> bool {
    let has_own_values = [
        "id",
        "action.time",
        "raw.cf_ray_id",
        "raw.uri",
        "resource.id",
        "seq",
        "received_at",
        "problem",
    ];
    field.kind != Kind::Any && field.origin.is_indexed() && !has_own_values.contains(&field.name)
}

/// The name of the column that has the values of `path` by document, if there is one: it also says which documents have any.
pub(super) fn column_of(path: &str) -> Option<&'static str> {
    let field = field::by_name(path).filter(|field| has_column(field))?;
    Some(field.name)
}

fn whole() -> TextOptions {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer("raw")
        .set_fieldnorms(false);
    TextOptions::default().set_indexing_options(indexing.set_index_option(IndexRecordOption::Basic))
}

fn by_words(option: IndexRecordOption) -> TextOptions {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(tokenizer::NAME)
        .set_fieldnorms(false);
    TextOptions::default().set_indexing_options(indexing.set_index_option(option))
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
