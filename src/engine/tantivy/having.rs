//! Which of the events found have a value at a field or path: one value, or any.

use tantivy::columnar::Cardinality;
use tantivy::postings::TermInfo;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, InvertedIndexReader, TantivyError, Term};

use super::bit_set_builder::add;
use super::bits::Bits;
use super::matches::{IndexMatches, MatchedDocs};
use super::schema::{Mark, column_of, spelled};
use super::terms::Terms;
use crate::engine::error::EngineError;
use crate::field::{Kind, MAX_VALUE_LEN, Number};
use crate::query::automaton::AutomataRoom;
use crate::query::value_test::ValueTest;

/// The terms that are counted as one value.
struct TermsOf {
    field: Field,
    as_compared: Term,
    /// The other spellings of a number.
    spellings: Option<Terms>,
}

impl TermsOf {
    /// The terms themselves in one segment. One may be there twice.
    fn infos(&self, inverted: &InvertedIndexReader) -> tantivy::Result<Vec<TermInfo>> {
        let as_compared = inverted.get_term_info(&self.as_compared)?;
        let mut infos: Vec<TermInfo> = as_compared.into_iter().collect();
        if let Some(spellings) = &self.spellings {
            infos.extend(spellings.infos(inverted)?);
        }
        Ok(infos)
    }
}

impl IndexMatches {
    /// Those of them that have a value, as [`IndexMatches::ranked`] gives it.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when a file cannot be read.
    pub fn with(&self, name: &str, value: &str) -> Result<Self, EngineError> {
        let mut found = Vec::new();
        let terms = if self.snapshot.scope.hides(name) {
            None
        } else {
            Some(self.terms_of(name, value)?)
        };
        for i in 0..self.found.len() {
            found.push(match &terms {
                Some(terms) => self.found_with(i, terms)?,
                None => MatchedDocs::Few(Vec::new()),
            });
        }
        self.snapshot.budget.check()?;
        Ok(Self {
            snapshot: self.snapshot.clone(),
            found,
        })
    }

    fn terms_of(&self, name: &str, value: &str) -> Result<TermsOf, EngineError> {
        let shape = self.snapshot.shape();
        let (kind, field, before_value) = shape.place_of(name);
        let number =
            Number::plain(value).filter(|_| kind == Kind::Any && value.len() <= MAX_VALUE_LEN);
        let spellings = number.map(|number| {
            let automaton = AutomataRoom::default().of_regex(&number.spellings(), 0);
            let automaton = automaton.map_err(|_| EngineError::TooLarge)?;
            Ok::<_, EngineError>(Terms {
                field,
                prefix: before_value.clone(),
                kept_len: shape.kept_len(field),
                automata: [automaton].into(),
                test: ValueTest::Whole,
                budget: self.snapshot.budget().clone(),
            })
        });
        Ok(TermsOf {
            field,
            as_compared: Term::from_field_text(field, &format!("{before_value}{value}")),
            spellings: spellings.transpose()?,
        })
    }

    /// The documents found in a segment that have one of some terms.
    fn found_with(&self, segment: usize, terms: &TermsOf) -> Result<MatchedDocs, EngineError> {
        let (found, budget) = (&self.found[segment], self.snapshot.budget());
        let n_docs = self.snapshot.segments[segment].len;
        let reader = &self.snapshot.searcher.segment_readers()[segment];
        let inverted = reader.inverted_index(terms.field)?;
        let infos = terms.infos(&inverted)?;
        let steps = budget.steps();
        if let [info] = infos.as_slice() {
            let mut postings = inverted
                .read_block_postings_from_terminfo(info, IndexRecordOption::Basic)
                .map_err(TantivyError::from)?;
            let mut with = MatchedDocs::Few(Vec::new());
            while !postings.docs().is_empty() && !steps.step() {
                for doc in postings.docs().iter().filter(|doc| found.contains(**doc)) {
                    with.push(*doc, n_docs, budget)?;
                }
                postings.advance();
            }
            return Ok(with);
        }
        let mut with = if infos.is_empty() {
            return Ok(MatchedDocs::Few(Vec::new()));
        } else {
            Bits::new(n_docs, budget.memory())?
        };
        for info in &infos {
            add(&mut with, &inverted, info, &steps, |doc| {
                found.contains(doc)
            })?;
        }
        Ok(MatchedDocs::Many(with))
    }

    /// How many of them have any value at a field or path.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when a file cannot be read.
    pub fn count_with(&self, name: &str) -> Result<u64, EngineError> {
        if self.snapshot.scope.hides(name) {
            return Ok(0);
        }
        let mut count = 0;
        for i in 0..self.found.len() {
            count += match column_of(name) {
                Some(column) => self.count_in_column(i, column)?,
                None => self.count_at_path(i, name)?,
            };
        }
        self.snapshot.budget.check()?;
        Ok(count)
    }

    /// Of one segment, by the column of a field.
    fn count_in_column(&self, segment: usize, column: &str) -> Result<u64, EngineError> {
        let reader = &self.snapshot.searcher.segment_readers()[segment];
        let Some(values) = reader.fast_fields().str(column)? else {
            return self.count_by_values(segment, column);
        };
        let index = &values.ords().index;
        let found = &self.found[segment];
        Ok(match (found, index.get_cardinality()) {
            (_, Cardinality::Full) => found.count(),
            (MatchedDocs::Stretch(docs), Cardinality::Optional) => {
                index.docid_range_to_rowids(docs.clone()).len() as u64
            }
            _ => {
                let mut count = 0;
                found.for_each(|doc| count += u64::from(index.has_value(doc)));
                count
            }
        })
    }

    /// Of one segment, by the mark of a path: it says that there is a value at the path or below it.
    fn count_at_path(&self, segment: usize, name: &str) -> Result<u64, EngineError> {
        let path = spelled(name);
        let reader = &self.snapshot.searcher.segment_readers()[segment];
        let paths = reader.inverted_index(self.snapshot.shape().path)?;
        let below = format!("{path}.");
        let mut terms = paths
            .terms()
            .range()
            .ge(&below)
            .into_stream()
            .map_err(TantivyError::from)?;
        let has_paths_below = terms.advance() && terms.key().starts_with(below.as_bytes());
        if has_paths_below || path.len() > MAX_VALUE_LEN {
            return self.count_by_values(segment, name);
        }
        let mark = self.snapshot.shape().mark(&Mark::Path(&path));
        match paths.get_term_info(&mark).map_err(TantivyError::from)? {
            Some(info) => self.count_of(segment, &paths, &info, &self.snapshot.budget().steps()),
            None => Ok(0),
        }
    }

    /// Of one segment, by all values of a field or path.
    fn count_by_values(&self, segment: usize, name: &str) -> Result<u64, EngineError> {
        let (_, field, before_value) = self.snapshot.shape().place_of(name);
        let budget = self.snapshot.budget();
        let reader = &self.snapshot.searcher.segment_readers()[segment];
        let inverted = reader.inverted_index(field)?;
        let (found, steps) = (&self.found[segment], budget.steps());
        let mut with = Bits::new(self.snapshot.segments[segment].len, budget.memory())?;
        let begin = before_value.as_bytes();
        let terms = inverted.terms().range().ge(begin).into_stream();
        let mut terms = terms.map_err(TantivyError::from)?;
        while terms.advance() && terms.key().starts_with(begin) && !steps.step() {
            let is_found = |doc: DocId| found.contains(doc);
            add(&mut with, &inverted, terms.value(), &steps, is_found)?;
        }
        Ok(with.len())
    }
}
