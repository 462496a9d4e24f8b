//! Where a value can be looked up as events spell it.

use tantivy::postings::TermInfo;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{InvertedIndexReader, TantivyError, Term};

use super::matches::IndexMatches;
use super::terms::Terms;
use crate::engine::error::EngineError;
use crate::engine::values::has_other_spellings;
use crate::field::{Kind, Number};
use crate::position::Seq;
use crate::query::automaton::AutomataRoom;
use crate::query::value_test::ValueTest;

impl IndexMatches {
    /// The `seq` of one of the events that may spell a value, as [`IndexMatches::ranked`] gives it, in another way than it
    /// is compared; `None` where none does.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when a file cannot be read.
    pub fn seq_with_spelling(&self, name: &str, value: &str) -> Result<Option<Seq>, EngineError> {
        if self.snapshot.scope.hides(name) {
            return Ok(None);
        }
        let shape = self.snapshot.shape();
        let (kind, field, before_value) = shape.place_of(name);
        let term = Term::from_field_text(field, &format!("{before_value}{value}"));
        let as_compared = |inverted: &InvertedIndexReader| {
            let info = inverted.get_term_info(&term)?;
            Ok(info.into_iter().collect())
        };
        match Number::plain(value).filter(|_| kind == Kind::Any) {
            None if has_other_spellings(kind, value) => self.place_of(field, as_compared),
            None => Ok(None),
            Some(_) if self.place_of(field, as_compared)?.is_some() => Ok(None),
            Some(number) => {
                let spellings = AutomataRoom::default().of_regex(&number.spellings(), 0);
                let spellings = spellings.map_err(|_| EngineError::TooLarge)?;
                let terms = Terms {
                    field,
                    prefix: before_value,
                    kept_len: shape.kept_len(field),
                    automata: [spellings].into(),
                    test: ValueTest::Whole,
                    budget: self.snapshot.budget().clone(),
                };
                self.place_of(field, |inverted| terms.infos(inverted))
            }
        }
    }

    /// The `seq` of one of the events that have any of some terms.
    fn place_of(
        &self,
        field: Field,
        terms: impl Fn(&InvertedIndexReader) -> tantivy::Result<Vec<TermInfo>>,
    ) -> Result<Option<Seq>, EngineError> {
        let steps = self.snapshot.budget().steps();
        let segments = self.snapshot.searcher.segment_readers().iter();
        for ((found, reader), segment) in self
            .found
            .iter()
            .zip(segments)
            .zip(&*self.snapshot.segments)
        {
            let inverted = reader.inverted_index(field)?;
            for info in terms(&inverted)? {
                let mut postings = inverted
                    .read_block_postings_from_terminfo(&info, IndexRecordOption::Basic)
                    .map_err(TantivyError::from)?;
                while !postings.docs().is_empty() && !steps.step() {
                    let doc = postings.docs().iter().find(|doc| found.contains(**doc));
                    if let Some(doc) = doc {
                        return Ok(Some(Seq(segment.seq.get_val(*doc))));
                    }
                    postings.advance();
                }
            }
        }
        self.snapshot.budget().check()?;
        Ok(None)
    }
}
