//! Which paths entries have: to tell an unknown field from an empty answer, and to complete names.
//!
//! A path belongs to a scope only if one of its events has a value there, so in a limited scope the documents of a path are
//! looked at, and not just the dictionary.

use std::collections::BTreeSet;

use tantivy::postings::TermInfo;
use tantivy::schema::IndexRecordOption;
use tantivy::{InvertedIndexReader, TantivyError, Term};

use super::matches::MatchedDocs;
use super::schema::{EMPTY, IndexSchema, Mark, NULL, spelled};
use super::segment::Segment;
use super::snapshot::Snapshot;
use crate::engine::error::EngineError;
use crate::engine::hit::{Order, Range};
use crate::field::{self, folded};
use crate::position::Seq;
use crate::query::Query;
use crate::query::entry::leads_to;

/// The most paths that are listed.
const MAX_PATHS: usize = 10_000;

/// The first text that can begin a path: what comes before are marks.
const FIRST_PATH: &str = " ";

/// The documents that a scope has, by segment; `None` for all of them.
struct Visible(Option<Vec<MatchedDocs>>);

impl Visible {
    /// Whether a scope has a document of a term.
    fn has_any(
        &self,
        segment: usize,
        inverted: &InvertedIndexReader,
        info: &TermInfo,
    ) -> Result<bool, TantivyError> {
        let Some(found) = &self.0 else {
            return Ok(info.doc_freq > 0);
        };
        let mut postings =
            inverted.read_block_postings_from_terminfo(info, IndexRecordOption::Basic)?;
        while !postings.docs().is_empty() {
            if postings
                .docs()
                .iter()
                .any(|doc| found[segment].contains(*doc))
            {
                return Ok(true);
            }
            postings.advance();
        }
        Ok(false)
    }
}

impl Snapshot {
    /// Whether any entry has a value, an empty text or `null` at a path, or below it.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when a file cannot be read.
    pub fn knows_path(&self, path: &str) -> Result<bool, EngineError> {
        self.check_available()?;
        if self.scope.hides(path) || field::is_own(path) {
            return Ok(false);
        }
        let path = &*spelled(path);
        if self.has_value_at(path)? {
            return Ok(true);
        }
        let visible = self.visible()?;
        for (mark, start) in [(Mark::Empty(path), EMPTY), (Mark::Null(path), NULL)] {
            let mark = mark.text();
            if self.has_mark(&mark, start, false, &visible)?
                || self.has_mark(&format!("{mark}."), start, true, &visible)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether an event of the scope has a value at a path or below it.
    fn has_value_at(&self, path: &str) -> Result<bool, EngineError> {
        if self.scope.is_everything() && self.is_whole() {
            let term = self.shape.mark(&Mark::Path(path));
            return Ok(self.searcher.doc_freq(&term)? > 0);
        }
        let exists = Query::Exists {
            path: path.to_owned(),
            at: 0,
        };
        let query = self.scope.narrowed(&exists);
        let (range, newest) = (Range::default(), Seq(u64::MAX));
        let hits = self.hits(&query, range, Order::Descending, None, newest, 1)?;
        Ok(!hits.is_empty())
    }

    /// Whether no document is deleted: a deleted one counts in the dictionaries until its segment is merged.
    fn is_whole(&self) -> bool {
        self.segments.iter().all(Segment::is_whole)
    }

    /// The documents of the scope.
    fn visible(&self) -> Result<Visible, EngineError> {
        if self.scope.has_all_sources() && self.is_whole() {
            return Ok(Visible(None));
        }
        let of_scope = self.scope.narrowed(&Query::All);
        let matches = self.matches(&of_scope, Range::default(), self.seq)?;
        Ok(Visible(Some(matches.found)))
    }

    /// Whether any entry has a mark with this text, or one that goes on after it; `start` comes before the path in it.
    fn has_mark(
        &self,
        text: &str,
        start: &str,
        may_go_on: bool,
        visible: &Visible,
    ) -> Result<bool, EngineError> {
        let steps = self.budget.steps();
        for (i, reader) in self.searcher.segment_readers().iter().enumerate() {
            let inverted = reader.inverted_index(self.shape.path)?;
            let terms = inverted.terms().range().ge(text).into_stream();
            let mut terms = terms.map_err(TantivyError::from)?;
            while terms.advance() && terms.key().starts_with(text.as_bytes()) && !steps.step() {
                let is_it = may_go_on || terms.key().len() == text.len();
                let path = String::from_utf8_lossy(&terms.key()[start.len()..]);
                if is_it
                    && !self.scope.hides(&path)
                    && visible.has_any(i, &inverted, terms.value())?
                {
                    return Ok(true);
                }
                if !is_it {
                    break;
                }
            }
        }
        self.budget.check()?;
        Ok(false)
    }

    /// The paths at which entries have values, or below which they have, in lower case and in order; 10,000 at most.
    ///
    /// # Errors
    /// As [`Snapshot::knows_path`].
    pub fn all_paths(&self) -> Result<Vec<String>, EngineError> {
        self.check_available()?;
        let visible = self.visible()?;
        let steps = self.budget.steps();
        let mut paths = BTreeSet::new();
        for (i, reader) in self.searcher.segment_readers().iter().enumerate() {
            let inverted = reader.inverted_index(self.shape.path)?;
            let terms = inverted.terms().range().ge(FIRST_PATH).into_stream();
            let mut terms = terms.map_err(TantivyError::from)?;
            while terms.advance() && paths.len() < MAX_PATHS && !steps.step() {
                let path = String::from_utf8_lossy(terms.key());
                if !self.scope.hides(&path) && visible.has_any(i, &inverted, terms.value())? {
                    paths.insert(path.into_owned());
                }
            }
        }
        self.budget.check()?;
        if !self.scope.has_bodies() {
            // A path above a body may have nothing else below it.
            let above: Vec<String> = paths
                .iter()
                .filter(|path| is_above_body(path))
                .cloned()
                .collect();
            for path in above {
                if !self.has_value_at(&path)? {
                    paths.remove(&path);
                }
            }
        }
        Ok(paths.into_iter().collect())
    }

    /// The paths that entries have and the table of fields has not, those that begin with `prefix`: the first `limit` by
    /// name.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when a file cannot be read.
    pub fn paths(&self, prefix: &str, limit: usize) -> Result<Vec<String>, EngineError> {
        let prefix = folded(prefix);
        let visible = self.visible()?;
        let mut found = BTreeSet::new();
        for (i, dictionary) in self.dictionaries(self.shape.paths())?.iter().enumerate() {
            self.paths_of(i, dictionary, &prefix, limit, &visible, &mut found)?;
        }
        self.budget.check()?;
        Ok(found.into_iter().take(limit).collect())
    }

    /// The first `limit` paths of one segment.
    fn paths_of(
        &self,
        segment: usize,
        dictionary: &InvertedIndexReader,
        prefix: &str,
        limit: usize,
        visible: &Visible,
        found: &mut BTreeSet<String>,
    ) -> Result<(), EngineError> {
        let steps = self.budget.steps();
        let mut begin = prefix.to_owned();
        let mut n_found = 0;
        while n_found < limit && !steps.step() {
            let terms = dictionary.terms().range().ge(&*begin).into_stream();
            let mut terms = terms.map_err(TantivyError::from)?;
            if !terms.advance() || !terms.key().starts_with(prefix.as_bytes()) {
                break;
            }
            let term = String::from_utf8_lossy(terms.key());
            let Some(path) = IndexSchema::path_of(&term) else {
                begin = format!("{term}\0");
                continue;
            };
            // On to the next path, whatever values this one has.
            begin = IndexSchema::after_path(path);
            if !self.scope.hides(path) && self.is_visible(segment, dictionary, path, visible)? {
                found.insert(path.to_owned());
                n_found += 1;
            }
        }
        Ok(())
    }

    /// Whether an event of the scope has a value at a path that is not in the table of fields.
    fn is_visible(
        &self,
        segment: usize,
        dictionary: &InvertedIndexReader,
        path: &str,
        visible: &Visible,
    ) -> Result<bool, EngineError> {
        if visible.0.is_none() {
            return Ok(true);
        }
        let reader = &self.searcher.segment_readers()[segment];
        let marks = reader.inverted_index(self.shape.path)?;
        let mark = Term::from_field_text(self.shape.path, path);
        let info = marks.get_term_info(&mark).map_err(TantivyError::from)?;
        if let Some(info) = info
            && !visible.has_any(segment, &marks, &info)?
        {
            return Ok(false);
        }
        // The mark says as much of the paths below.
        let steps = self.budget.steps();
        let begin = IndexSchema::before_values(path);
        let terms = dictionary.terms().range().ge(&*begin).into_stream();
        let mut terms = terms.map_err(TantivyError::from)?;
        while terms.advance() && terms.key().starts_with(begin.as_bytes()) && !steps.step() {
            if visible.has_any(segment, dictionary, terms.value())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The marks of the paths at and below a path that is above a body, those of bodies left out: what is there besides.
    pub(super) fn marks_beside_bodies(&self, above: &str) -> Result<Vec<Term>, EngineError> {
        let steps = self.budget.steps();
        let mut marks = BTreeSet::new();
        for reader in self.searcher.segment_readers() {
            let inverted = reader.inverted_index(self.shape.path)?;
            let terms = inverted.terms().range().ge(above).into_stream();
            let mut terms = terms.map_err(TantivyError::from)?;
            while terms.advance() && terms.key().starts_with(above.as_bytes()) && !steps.step() {
                let path = String::from_utf8_lossy(terms.key());
                if *path != *above && leads_to(above, &path) && !field::is_body(&path) {
                    marks.insert(path.into_owned());
                }
            }
        }
        self.budget.check()?;
        let term = |path: String| Term::from_field_text(self.shape.path, &path);
        Ok(marks.into_iter().map(term).collect())
    }
}

/// Whether bodies are below a path, and other values may be, too.
pub(super) fn is_above_body(path: &str) -> bool {
    path.eq_ignore_ascii_case("resource")
}
