//! One event's values, laid out so that a question can be held against them.
//!
//! Values are stored as they are compared: folded, normalized, and cut where they are very long. It does not know
//! where they come from.

use super::words;
use crate::field::{self, Kind, Origin, folded, spelled_path};
use crate::position::Seq;

/// What a text takes besides its characters, about.
const TEXT_BYTES: usize = 32;

/// An event as questions see it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The values of the entry by their paths, in order.
    values: Vec<(Box<str>, Box<str>)>,
    /// What orgtrail says of the event, by the names of the fields.
    own: Vec<(&'static str, Box<str>)>,
    /// The paths at which there is an empty text, or `null`, and which of the two.
    nothing: Vec<(Box<str>, bool)>,
    texts: Vec<Text>,
    is_latest: bool,
    bytes: usize,
}

/// The words of one value.
#[derive(Debug, Clone)]
struct Text {
    is_body: bool,
    words: Vec<String>,
}

/// An event whose values are being laid out.
#[derive(Debug)]
pub struct EntryBuilder(Entry);

impl EntryBuilder {
    /// An event without any values of its entry yet: what orgtrail says of it, by the names of the fields.
    #[must_use]
    pub fn new(own: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let normal = |(name, value): (&'static str, String)| {
            let field = field::by_name(name)?;
            let value = words::shortened_value(field::normal(field.kind, &value));
            Some((field.name, value.into_boxed_str()))
        };
        Self(Entry {
            values: Vec::new(),
            own: own.into_iter().filter_map(normal).collect(),
            nothing: Vec::new(),
            texts: Vec::new(),
            is_latest: true,
            bytes: size_of::<Entry>(),
        })
    }

    /// Adds the value at the end of a path of the entry: a text, a number in plain digits, `true` or `false`; `None` for
    /// `null`. Says also whether the value can be searched by its path, or by its words alone.
    pub fn add(&mut self, path: &str, value: Option<&str>, is_searchable: bool) {
        let entry = &mut self.0;
        let path = spelled_path(path);
        let is_null_of_table = value.is_none() && is_in_table(&path);
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            // The table of fields is known whatever entries say.
            if is_searchable && !is_null_of_table {
                entry.nothing.push((path.into(), value.is_none()));
            }
            return;
        };
        let kind = kind_of(&path);
        if kind != Kind::Time {
            let text = Text {
                is_body: field::is_body(&path),
                words: words::of(value),
            };
            entry.bytes += value.len() + TEXT_BYTES * (1 + text.words.len());
            entry.texts.push(text);
        }
        if is_searchable {
            let value = words::shortened_value(field::normal(kind, value));
            entry.bytes += path.len() + value.len() + TEXT_BYTES;
            entry.values.push((path.into(), value.into_boxed_str()));
        }
    }

    /// The event, ready to be asked about.
    #[must_use]
    pub fn build(mut self) -> Entry {
        self.0.values.sort_unstable();
        self.0
    }
}

impl Entry {
    /// The same event, which a later revision has replaced.
    #[must_use]
    pub fn replaced(self) -> Self {
        Self {
            is_latest: false,
            ..self
        }
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its place in the log, where what it was made from says so.
    pub(super) fn seq(&self) -> Option<Seq> {
        let (_, text) = self.own.iter().find(|(name, _)| *name == "seq")?;
        text.parse().ok().map(Seq)
    }

    pub(super) fn is_latest(&self) -> bool {
        self.is_latest
    }

    /// The different values of a field or path, as they are compared, in order.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        let mut values: Vec<&str> = self.values_at(&Path::of(name)).collect();
        values.dedup();
        values
    }

    /// The paths of its values, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(path, _)| &**path)
    }

    /// The paths at which it has an empty text or `null`.
    pub fn paths_of_nothing(&self) -> impl Iterator<Item = &str> {
        self.nothing.iter().map(|(path, _)| &**path)
    }

    /// The values at a path, in order.
    pub(super) fn values_at<'e>(&'e self, path: &Path) -> impl Iterator<Item = &'e str> + use<'e> {
        let (own, name) = match path {
            Path::Own(name) => (self.own.as_slice(), *name),
            Path::OfEntry(_) => (&[][..], ""),
        };
        let own = own.iter().filter(move |(known, _)| *known == name);
        let values = match path {
            Path::Own(_) => &[][..],
            Path::OfEntry(path) => {
                let start = self.values.partition_point(|(at, _)| **at < **path);
                let len = self.values[start..].partition_point(|(at, _)| **at == **path);
                &self.values[start..start + len]
            }
        };
        let values = values.iter().map(|(_, value)| &**value);
        own.map(|(_, value)| &**value).chain(values)
    }

    /// Whether it has a value at a path.
    pub(super) fn has(&self, path: &Path, value: &str) -> bool {
        match path {
            Path::Own(_) => self.values_at(path).any(|found| found == value),
            Path::OfEntry(path) => self
                .values
                .binary_search_by(|(at, found)| (&**at, &**found).cmp(&(path, value)))
                .is_ok(),
        }
    }

    /// Whether it has an empty text at a path.
    pub(super) fn has_empty(&self, path: &Path) -> bool {
        match path {
            Path::Own(_) => false,
            Path::OfEntry(path) => self
                .nothing
                .iter()
                .any(|(at, is_null)| !is_null && **at == **path),
        }
    }

    /// The paths and values at a path and below it, in order.
    pub(super) fn values_below<'a>(
        &'a self,
        above: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let start = self.values.partition_point(|(at, _)| **at < *above);
        let from_there = self.values[start..].iter();
        from_there
            .take_while(move |(at, _)| at.starts_with(above))
            .filter(move |(at, _)| leads_to(above, at))
            .map(|(at, value)| (&**at, &**value))
    }

    /// As [`Entry::values_below`], of the paths that the table of fields does not know.
    pub(super) fn leaves_below<'a>(
        &'a self,
        above: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values_below(above)
            .filter(|(at, _)| kind_of(at) == Kind::Any)
    }

    /// The words of its values, with or without those of bodies.
    pub(super) fn texts(&self, has_bodies: bool) -> impl Iterator<Item = &[String]> {
        let visible = self
            .texts
            .iter()
            .filter(move |text| has_bodies || !text.is_body);
        visible.map(|text| text.words.as_slice())
    }
}

/// Whether a path is another one, or goes on from it.
#[must_use]
pub fn leads_to(above: &str, path: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Where a question looks for values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Path {
    /// In what orgtrail says of the event.
    Own(&'static str),
    /// In the entry.
    OfEntry(String),
}

impl Path {
    pub(super) fn of(name: &str) -> Self {
        match field::by_name(name).filter(|field| field.origin == Origin::Event) {
            Some(field) => Self::Own(field.name),
            None => Self::OfEntry(spelled_path(name).into_owned()),
        }
    }

    /// How its values are compared.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Own(name) => field::by_name(name).map_or(Kind::Any, |field| field.kind),
            Self::OfEntry(path) => kind_of(path),
        }
    }
}

/// How the values at a path of the entry are compared.
pub(super) fn kind_of(path: &str) -> Kind {
    field::by_name(path)
        .filter(|field| field.origin == Origin::Entry)
        .map_or(Kind::Any, |field| field.kind)
}

/// Whether a path of the entry is in the table of fields.
fn is_in_table(path: &str) -> bool {
    field::by_name(path).is_some_and(|field| field.origin == Origin::Entry)
}

/// A value as it is asked for.
pub(super) fn asked(kind: Kind, value: &str) -> String {
    words::shortened_value(match kind {
        Kind::Any => folded(value),
        kind => field::normal(kind, value),
    })
}
