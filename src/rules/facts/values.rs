//! Values by path, in few allocations: the paths and texts of an entry are in one buffer. Its memory is in proportion to the entry and its
//! different paths.

use std::collections::HashMap;
use std::ops::Range;

/// Up to so many different paths a new one is compared with all of them.
const FEW_PATHS: usize = 64;

/// One value of an entry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum FactValue<'a> {
    Text(&'a str),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Null,
    /// An object or a list without anything in it.
    Empty,
}

/// A value whose text is in the buffer.
#[derive(Debug, Clone)]
enum StoredValue {
    Text(Range<usize>),
    Other(FactValue<'static>),
}

/// Values by path. The values of one path are in the order of the entry.
#[derive(Debug, Clone, Default)]
pub(super) struct PathValues {
    text: String,
    /// Sorted by path.
    paths: Vec<PathOfValues>,
    values: Vec<StoredValue>,
}

#[derive(Debug, Clone)]
struct PathOfValues {
    path: Range<usize>,
    values: Range<usize>,
}

impl PathValues {
    /// The values at a path.
    pub(super) fn get(&self, path: &str) -> impl ExactSizeIterator<Item = FactValue<'_>> {
        let found = self.place(path).ok();
        let values = found.map_or(0..0, |place| self.paths[place].values.clone());
        self.values[values].iter().map(|value| self.value(value))
    }

    /// Whether there is a value at a path that begins with this.
    pub(super) fn has_beginning(&self, beginning: &str) -> bool {
        let place = self.place(beginning).unwrap_or_else(|place| place);
        let next = self.paths.get(place);
        next.is_some_and(|next| self.text[next.path.clone()].starts_with(beginning))
    }

    /// All values.
    pub(super) fn all(&self) -> impl Iterator<Item = FactValue<'_>> {
        let of_paths = self
            .paths
            .iter()
            .flat_map(|path| &self.values[path.values.clone()]);
        of_paths.map(|value| self.value(value))
    }

    /// Puts texts at a path, in place of what is there. Without any, there is no such path.
    pub(super) fn replace<'t>(&mut self, path: &str, texts: impl IntoIterator<Item = &'t str>) {
        let first = self.values.len();
        for text in texts {
            let place = append(&mut self.text, text);
            self.values.push(StoredValue::Text(place));
        }
        let values = first..self.values.len();
        match (self.place(path), values.is_empty()) {
            (Ok(place), true) => drop(self.paths.remove(place)),
            (Ok(place), false) => self.paths[place].values = values,
            (Err(_), true) => {}
            (Err(place), false) => {
                let path = append(&mut self.text, path);
                self.paths.insert(place, PathOfValues { path, values });
            }
        }
    }

    fn place(&self, path: &str) -> Result<usize, usize> {
        self.paths
            .binary_search_by(|other| self.text[other.path.clone()].cmp(path))
    }

    fn value(&self, value: &StoredValue) -> FactValue<'_> {
        match value {
            StoredValue::Text(place) => FactValue::Text(&self.text[place.clone()]),
            StoredValue::Other(value) => *value,
        }
    }
}

/// Takes values in the order of an entry.
#[derive(Debug, Default)]
pub(super) struct PathValuesBuilder {
    text: String,
    paths: Vec<Range<usize>>,
    /// Each with the place of its path.
    values: Vec<(usize, StoredValue)>,
    /// The places of all paths, once they are many.
    known: HashMap<Box<str>, usize>,
}

impl PathValuesBuilder {
    /// For an entry of that length.
    pub(super) fn for_len(len: usize) -> Self {
        Self {
            text: String::with_capacity(len),
            paths: Vec::with_capacity(FEW_PATHS),
            values: Vec::with_capacity(FEW_PATHS),
            known: HashMap::new(),
        }
    }

    /// Adds a value at a path.
    pub(super) fn push(&mut self, path: &str, value: FactValue<'_>) {
        let path = self.place_of(path);
        let value = match value {
            FactValue::Text(text) => StoredValue::Text(append(&mut self.text, text)),
            FactValue::Integer(number) => StoredValue::Other(FactValue::Integer(number)),
            FactValue::Float(number) => StoredValue::Other(FactValue::Float(number)),
            FactValue::Bool(value) => StoredValue::Other(FactValue::Bool(value)),
            FactValue::Null => StoredValue::Other(FactValue::Null),
            FactValue::Empty => StoredValue::Other(FactValue::Empty),
        };
        self.values.push((path, value));
    }

    pub(super) fn finish(mut self) -> PathValues {
        // Stable: the values of a path keep their order.
        self.values.sort_by_key(|(path, _)| *path);
        let mut first = 0;
        let mut paths = Vec::with_capacity(self.paths.len() + 1);
        for (number, path) in self.paths.into_iter().enumerate() {
            let of_path = self.values[first..].iter();
            let len = of_path.take_while(|(path, _)| *path == number).count();
            let values = first..first + len;
            first = values.end;
            paths.push(PathOfValues { path, values });
        }
        let text = self.text;
        paths.sort_unstable_by(|one, other| text[one.path.clone()].cmp(&text[other.path.clone()]));
        PathValues {
            paths,
            values: self.values.into_iter().map(|(_, value)| value).collect(),
            text,
        }
    }

    /// The place of a path, which may be new.
    fn place_of(&mut self, path: &str) -> usize {
        if self.paths.len() < FEW_PATHS {
            let mut known = self.paths.iter();
            let is_same = |other: &Range<usize>| self.text[other.clone()] == *path;
            return match known.rposition(is_same) {
                Some(place) => place,
                None => self.add_path(path),
            };
        }
        if self.known.is_empty() {
            let known = self.paths.iter().enumerate();
            let known = known.map(|(place, path)| (self.text[path.clone()].into(), place));
            self.known = known.collect();
        }
        if let Some(place) = self.known.get(path) {
            return *place;
        }
        let place = self.add_path(path);
        self.known.insert(path.into(), place);
        place
    }

    fn add_path(&mut self, path: &str) -> usize {
        self.paths.push(append(&mut self.text, path));
        self.paths.len() - 1
    }
}

/// Adds a text to a buffer; gives where it is.
fn append(buffer: &mut String, text: &str) -> Range<usize> {
    let start = buffer.len();
    buffer.push_str(text);
    start..buffer.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_path_in_the_order_of_the_entry() {
        let mut builder = PathValuesBuilder::default();
        for number in 0..200 {
            builder.push(&format!("a.{}", number % 100), FactValue::Integer(number));
        }
        builder.push("z", FactValue::Text("last"));
        let mut values = builder.finish();
        let found: Vec<_> = values.get("a.7").collect();
        assert_eq!(found, [FactValue::Integer(7), FactValue::Integer(107)]);
        assert_eq!(values.get("a").len(), 0);
        assert!(values.has_beginning("a.") && !values.has_beginning("b"));
        assert_eq!(values.all().count(), 201);
        values.replace("m", ["x", "y"]);
        let found: Vec<_> = values.get("m").collect();
        assert_eq!(found, [FactValue::Text("x"), FactValue::Text("y")]);
        values.replace("m", ["z"]);
        assert_eq!(values.get("m").collect::<Vec<_>>(), [FactValue::Text("z")]);
        values.replace("m", []);
        assert_eq!((values.get("m").len(), values.get("z").len()), (0, 1));
        assert_eq!(values.all().count(), 201);
    }
}
