//! Reads a parsed file key by key, with the environment over it, and reports unknown keys.
//!
//! Asking for a key declares it. The known keys, their environment variables and the suggestions for a misspelt one all come
//! from the keys that were asked for. `keys` has their names.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};

use super::error::{KeyMistake, Place, Read};
use super::header::{Header, LIKE_OURS, SERVER_TOKEN, VARIABLE_PREFIX};
use super::unknown_key::{UnknownKey, ValidKeys, unknown_variable, unused_variable};
use super::value::{Value, kind_of};
use crate::position::Source;

/// What was given for a key, if anything.
pub(super) struct Taken<T> {
    /// The value, its default, or `None` when there is neither or it was refused.
    pub(super) value: Option<T>,
    /// Where it was given; `None` when it was not.
    pub(super) place: Option<Place>,
}

impl<T> Taken<T> {
    /// Whether the environment gave it.
    pub(super) fn is_from_environment(&self) -> bool {
        matches!(self.place, Some(Place::Variable(_)))
    }
}

/// A table of the file.
#[derive(Clone)]
pub(super) struct TableEntry<'t> {
    place: Place,
    keys: &'t DeTable<'t>,
}

/// The keys asked for so far, and the mistakes found.
pub(super) struct Reader<'t> {
    text: &'t str,
    variables: BTreeMap<String, String>,
    /// The variables that set a key.
    known_variables: BTreeSet<String>,
    /// The keys that exist under each header.
    known: ValidKeys,
    unknown_keys: Vec<UnknownKey>,
    sources: BTreeMap<Source, Place>,
    findings: Vec<KeyMistake>,
}

impl<'t> Reader<'t> {
    /// A reader of the file `text`, with the variables that have our prefix laid over it.
    pub(super) fn new(text: &'t str, environment: impl Iterator<Item = (String, String)>) -> Self {
        Self {
            text,
            variables: environment
                .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX))
                .collect(),
            known_variables: BTreeSet::new(),
            known: BTreeMap::new(),
            unknown_keys: Vec::new(),
            sources: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    /// The file's outermost table.
    pub(super) fn top(keys: &'t DeTable<'t>) -> TableEntry<'t> {
        TableEntry {
            place: Place::File,
            keys,
        }
    }

    /// Reads one table: `read` takes its keys, and those that it leaves are unknown. A table that is not in the file
    /// has its defaults and the environment.
    pub(super) fn read<T>(
        &mut self,
        header: Header,
        entry: Option<TableEntry<'t>>,
        read: impl FnOnce(&mut Table<'_, 't>) -> T,
    ) -> T {
        let result = read(&mut Table {
            reader: self,
            header,
            entry: entry.clone(),
        });
        let known = self.known.entry(header).or_default();
        for (key, value) in entry.iter().flat_map(|entry| entry.keys.iter()) {
            let name: &str = key.get_ref();
            if !known.contains(name) {
                let place = Place::Byte(key.span().start);
                self.unknown_keys
                    .push(UnknownKey::new(header, name, place, value.get_ref()));
            }
        }
        result
    }

    /// Records that something is wrong.
    pub(super) fn object(&mut self, place: Option<Place>, message: impl Into<String>) {
        self.findings.push(KeyMistake {
            place: place.unwrap_or(Place::File),
            message: message.into(),
        });
    }

    /// Everything that is wrong, given what the parser said about the syntax.
    ///
    /// After its first mistake the parser guesses, so only what comes before it is reported beside the syntax errors.
    pub(super) fn finish(mut self, syntax: &[toml::de::Error]) -> Vec<KeyMistake> {
        self.report_unknown_keys();
        let starts = syntax
            .iter()
            .map(|error| error.span().map_or(0, |span| span.start));
        if let Some(first) = starts.min() {
            let line_starts = self.text[..self.text.floor_char_boundary(first)]
                .rfind('\n')
                .map_or(0, |newline| newline + 1);
            self.findings.retain(|finding| match finding.place {
                Place::Byte(at) => at < line_starts,
                Place::Variable(_) => true,
                Place::File => false,
            });
        }
        self.findings.extend(syntax.iter().map(syntax_error));
        self.findings
    }

    /// Every key that has been asked for, as a message names it with its header.
    #[cfg(test)]
    pub(super) fn known_keys(&self) -> BTreeSet<String> {
        let keys = self.known.iter();
        keys.flat_map(|(header, keys)| keys.iter().map(move |key| format!("{header} {key}")))
            .collect()
    }

    /// What is to be said of a variable that begins like ours but not as keys do; `None` for others.
    pub(super) fn unused_variable(&self, name: &str) -> Option<String> {
        let is_like_ours = name.starts_with(LIKE_OURS)
            && !name.starts_with(VARIABLE_PREFIX)
            && name != SERVER_TOKEN;
        is_like_ours.then(|| unused_variable(name, &self.known_variables))
    }

    fn report_unknown_keys(&mut self) {
        for unknown_key in std::mem::take(&mut self.unknown_keys) {
            let message = unknown_key.unknown_key(&self.known);
            self.object(Some(unknown_key.place), message);
        }
        for name in self.variables.keys() {
            if !self.known_variables.contains(name) {
                self.findings.push(KeyMistake {
                    place: Place::Variable(name.clone()),
                    message: unknown_variable(name, &self.known_variables),
                });
            }
        }
    }
}

fn syntax_error(error: &toml::de::Error) -> KeyMistake {
    KeyMistake {
        place: error
            .span()
            .map_or(Place::File, |span| Place::Byte(span.start)),
        message: format!("not TOML: {}", error.message()),
    }
}

/// One table, whose keys are taken one after another.
pub(super) struct Table<'r, 't> {
    reader: &'r mut Reader<'t>,
    header: Header,
    entry: Option<TableEntry<'t>>,
}

impl<'t> Table<'_, 't> {
    /// Takes a key that has a default.
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Value<'_>) -> Read<T>,
    ) -> Taken<T> {
        let taken = self.find(key, read);
        match taken.place {
            Some(_) => taken,
            None => Taken {
                value: Some(default),
                place: None,
            },
        }
    }

    /// Takes a key that must be there.
    pub(super) fn require<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'_>) -> Read<T>,
    ) -> Taken<T> {
        let taken = self.find(key, read);
        if taken.place.is_none() {
            let message = format!("`{key}` is missing {}: add it", self.header);
            self.object(None, message);
        }
        taken
    }

    /// Takes a key that may be missing.
    pub(super) fn find<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'_>) -> Read<T>,
    ) -> Taken<T> {
        self.know(key);
        let variable = self.header.variable(key);
        if let Some(name) = &variable {
            self.reader.known_variables.insert(name.clone());
        }
        let set = variable
            .as_ref()
            .and_then(|name| self.reader.variables.get_key_value(name));
        let value = match (set, self.get(key)) {
            (Some((name, text)), _) => Value::from_variable(key, name, text),
            (None, Some((place, value))) => Value::from_toml(key, place, value),
            (None, None) => {
                return Taken {
                    value: None,
                    place: None,
                };
            }
        };
        let place = Some(value.place().clone());
        let result = read(&value);
        let value = self.keep(result);
        Taken { value, place }
    }

    /// Takes a table inside this one, such as `[http]`.
    pub(super) fn table(&mut self, name: &'static str) -> Option<TableEntry<'t>> {
        self.know(name);
        let (place, value) = self.get(name)?;
        match value {
            DeValue::Table(keys) => Some(TableEntry { place, keys }),
            other => {
                let found = kind_of(other);
                self.object(
                    Some(place),
                    format!("`{name}` is a table, not {found}: write `[{}]` on a line of its own and its keys below", self.header.path(name)),
                );
                None
            }
        }
    }

    /// Takes an array of tables, such as `[[accounts]]`; `None` when it is something else.
    pub(super) fn tables(&mut self, name: &'static str) -> Option<Vec<TableEntry<'t>>> {
        self.know(name);
        let Some((place, value)) = self.get(name) else {
            return Some(Vec::new());
        };
        let items = match value {
            DeValue::Array(items) => items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::Table(keys) => Some(TableEntry {
                        place: Place::Byte(item.span().start),
                        keys,
                    }),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        if items.is_none() {
            self.object(
                Some(place),
                format!("`{name}` is a list of tables: write `[[{}]]` with two brackets, and its keys below it", self.header.path(name)),
            );
        }
        items
    }

    /// Records that something is wrong; without a place, with the table as a whole.
    pub(super) fn object(&mut self, place: Option<Place>, message: impl Into<String>) {
        let table = self.entry.as_ref().map(|entry| entry.place.clone());
        self.reader.object(place.or(table), message);
    }

    /// Notes that a source is configured at `place`, and objects if it was before.
    pub(super) fn claim(&mut self, source: &Source, place: &Place) {
        match self.reader.sources.get(source) {
            None => {
                self.reader.sources.insert(source.clone(), place.clone());
            }
            Some(first) => {
                let first = first.mention(self.reader.text);
                self.object(
                    Some(place.clone()),
                    format!("`{source}` is configured already {first}: keep one of the two"),
                );
            }
        }
    }

    fn know(&mut self, key: &'static str) {
        self.reader
            .known
            .entry(self.header)
            .or_default()
            .insert(key);
    }

    /// The value of a key in the file.
    fn get(&self, key: &str) -> Option<(Place, &'t DeValue<'t>)> {
        let value = self.entry.as_ref()?.keys.get(key)?;
        Some((Place::Byte(value.span().start), value.get_ref()))
    }

    fn keep<T>(&mut self, result: Read<T>) -> Option<T> {
        result
            .map_err(|findings| self.reader.findings.extend(findings))
            .ok()
    }
}
