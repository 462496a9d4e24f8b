//! What values an event has, by its entry and its row: the same for every engine.

use std::borrow::Cow;

use crate::event::{AuditEvent, NOT_INDEXED, searchable};
use crate::field::{self, Kind, Number, Origin, folded, spelled_path};
use crate::position::rfc3339;
use crate::query::{Entry, EntryBuilder, words};
use orgtrail_cloudflare::json::Scalar;

/// The field that events are mostly ordered by.
pub(super) const TIME_PATH: &str = "action.time";

/// A value as text; `None` for what is no value.
#[must_use]
pub fn text_of<'a>(value: &'a Scalar<'_>) -> Option<Cow<'a, str>> {
    match value {
        Scalar::Text(text) => (!text.is_empty()).then_some(Cow::Borrowed(&**text)),
        Scalar::Number(number) => Some(match Number::with_exponent(number) {
            Some(number) => Cow::Owned(number.to_string()),
            None => Cow::Borrowed(*number),
        }),
        Scalar::Bool(true) => Some(Cow::Borrowed("true")),
        Scalar::Bool(false) => Some(Cow::Borrowed("false")),
        Scalar::Null => None,
    }
}

/// What orgtrail says of an event, by the names of the fields.
pub(super) fn own_of(event: &AuditEvent) -> impl Iterator<Item = (&'static str, String)> {
    let all = [
        ("source", event.source.to_string()),
        ("seq", event.seq.to_string()),
        ("revision", event.revision.to_string()),
        ("received_at", rfc3339(event.received_at)),
    ];
    let problem = event.problem.clone().map(|problem| ("problem", problem));
    all.into_iter().chain(problem)
}

/// The same of an event of which an engine knows only what its row says.
pub(super) fn own_of_row(event: &AuditEvent) -> impl Iterator<Item = (&'static str, String)> {
    let known = own_of(event).filter(|(name, _)| *name != "problem");
    known.chain([("problem", NOT_INDEXED.to_owned())])
}

/// The values of an entry that its event's row has, by their paths.
pub(super) fn of_row(event: &AuditEvent) -> impl Iterator<Item = (&'static str, String)> {
    let id = event.id.clone().map(|id| ("id", id));
    let time = event.time.map(|time| (TIME_PATH, rfc3339(time)));
    id.into_iter().chain(time)
}

/// Writes a value as it is compared behind what `text` holds.
pub(super) fn push_normal(text: &mut String, kind: Option<Kind>, value: &str) {
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

/// An event as questions see it.
#[must_use]
pub fn entry_of(event: &AuditEvent) -> Entry {
    if event.problem.as_deref() == Some(NOT_INDEXED) {
        return entry_of_row(event);
    }
    let mut entry = EntryBuilder::new(own_of(event));
    searchable::walk(event.entry.get(), |path, value, is_searchable| {
        let text = match value {
            Scalar::Null => None,
            _ => Some(text_of(&value).unwrap_or_default()),
        };
        entry.add(path, text.as_deref(), is_searchable);
    });
    entry.build()
}

/// An event of which an engine knows only what its row says.
pub(super) fn entry_of_row(event: &AuditEvent) -> Entry {
    let mut entry = EntryBuilder::new(own_of_row(event));
    for (path, value) in of_row(event) {
        entry.add(path, Some(&value), true);
    }
    entry.build()
}

/// Calls `visit` with each value that an event has at a field or path, as it is compared. One that is there twice is given
/// twice.
fn values_of(event: &AuditEvent, name: &str, mut visit: impl FnMut(String)) {
    if let Some(own) = field::by_name(name).filter(|field| field.origin == Origin::Event) {
        let value = own_of(event).find(|(name, _)| *name == own.name);
        if let Some((_, value)) = value {
            visit(words::shortened_value(field::normal(own.kind, &value)));
        }
        return;
    }
    let wanted = spelled_path(name);
    if event.problem.as_deref() == Some(NOT_INDEXED) {
        let found = of_row(event).filter(|(path, _)| *path == wanted);
        found.for_each(|(_, value)| visit(words::shortened_value(folded(&value))));
        return;
    }
    let kind = field::by_name(&wanted)
        .filter(|field| field.origin == Origin::Entry)
        .map(|field| field.kind);
    searchable::walk(event.entry.get(), |path, value, is_searchable| {
        if is_searchable
            && spelled_path(path) == wanted
            && let Some(text) = text_of(&value)
        {
            let mut normal = String::new();
            push_normal(&mut normal, kind, &text);
            visit(normal);
        }
    });
}

/// Calls `visit` with each value that an event has at a field or path, as it is counted: a number has one spelling, also where the
/// table of fields does not know it. A value that is there twice is given twice.
pub fn counted_values_of(event: &AuditEvent, name: &str, mut visit: impl FnMut(String)) {
    let kind = kind_of(name);
    values_of(event, name, |value| visit(counted(kind, value)));
}

/// How the values of a field or path are compared.
#[must_use]
pub fn kind_of(name: &str) -> Kind {
    field::by_name(name)
        .filter(|field| field.origin.is_indexed())
        .map_or(Kind::Any, |field| field.kind)
}

/// A value as it is counted.
#[must_use]
pub fn counted(kind: Kind, value: String) -> String {
    match kind {
        Kind::Any => words::one_spelling(&value).unwrap_or(value),
        _ => value,
    }
}

/// Whether events may spell a value in another way than it is compared.
pub(super) fn has_other_spellings(kind: Kind, value: &str) -> bool {
    let has_case = value.chars().any(|c| !c.to_uppercase().eq([c]));
    has_case || (kind == Kind::Address && value.contains(':'))
}
