//! How many bytes each part of the index takes: for measuring.

use std::collections::BTreeMap;

use tantivy::TantivyError;
use tantivy::schema::Field;

use super::schema::{EMPTY, NULL, OTHER_TIME, PATH_END, REPLACES};
use super::snapshot::Snapshot;
use crate::engine::error::EngineError;

/// How many of the paths that are not in the table of fields are named, the largest ones.
const MAX_PATHS: usize = 20;

impl Snapshot {
    /// The bytes of each field in each kind of file, and those of the lists of documents by kind of mark and by path, the largest first.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when a file cannot be read.
    pub fn sizes(&self) -> Result<Vec<(String, u64)>, EngineError> {
        let mut sizes = BTreeMap::new();
        let usage = self.searcher.space_usage().map_err(TantivyError::from)?;
        for segment in usage.segments() {
            let files = [
                ("dictionary", segment.termdict()),
                ("documents", segment.postings()),
                ("positions", segment.positions()),
                ("column", segment.fast_fields()),
            ];
            for (file, usage) in files {
                for field in usage.fields() {
                    let name = format!("{} {file}", field.field_name());
                    *sizes.entry(name).or_default() += field.total().get_bytes();
                }
            }
            *sizes.entry("stored fields".to_owned()).or_default() +=
                segment.store().total().get_bytes();
        }
        let of_marks = self.bytes_of_documents(self.shape.path, kind_of_mark)?;
        let of_marks = of_marks.into_iter();
        sizes
            .extend(of_marks.map(|(kind, bytes)| (format!("  of _path documents: {kind}"), bytes)));
        let of_paths = self.bytes_of_documents(self.shape.leaf, path_of)?;
        let mut of_paths: Vec<(String, u64)> = of_paths.into_iter().collect();
        largest_first(&mut of_paths);
        let of_paths = of_paths.into_iter().take(MAX_PATHS);
        sizes
            .extend(of_paths.map(|(path, bytes)| (format!("  of _leaf documents: {path}"), bytes)));
        let mut sizes: Vec<(String, u64)> = sizes.into_iter().collect();
        largest_first(&mut sizes);
        Ok(sizes)
    }

    /// The bytes of the lists of documents of a field's terms, by what `kind` says of a term.
    fn bytes_of_documents(
        &self,
        field: Field,
        kind: impl Fn(&str) -> &str,
    ) -> Result<BTreeMap<String, u64>, EngineError> {
        let mut bytes = BTreeMap::new();
        for dictionary in self.dictionaries(field)? {
            let mut terms = dictionary.terms().stream().map_err(TantivyError::from)?;
            while terms.advance() {
                let term = String::from_utf8_lossy(terms.key());
                let of_kind: &mut u64 = bytes.entry(kind(&term).to_owned()).or_default();
                *of_kind += terms.value().postings_range.len() as u64;
            }
        }
        Ok(bytes)
    }
}

fn largest_first(sizes: &mut [(String, u64)]) {
    sizes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
}

fn kind_of_mark(term: &str) -> &str {
    let kinds = [EMPTY, NULL, OTHER_TIME, REPLACES];
    let kind = kinds.into_iter().find(|kind| term.starts_with(kind));
    match kind {
        Some(kind) => kind.trim_matches([PATH_END, ' ']),
        None if term.starts_with(PATH_END) => term.trim_start_matches(PATH_END),
        None => "path",
    }
}

fn path_of(term: &str) -> &str {
    term.split(PATH_END).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_apart_by_their_kind() {
        let check = |term, expect| assert_eq!(kind_of_mark(term), expect, "{term:?}");
        check("actor.email", "path");
        check("\u{1f}empty a.b", "empty");
        check("\u{1f}null a", "null");
        check("\u{1f}time 2026-08-03T08:00:00Z", "time");
        check("\u{1f}times", "times");
        check("\u{1f}replaces 1 2", "replaces");
        check("\u{1f}respelled", "respelled");
    }
}
