//! How events spell a value that is compared in lower case.

use std::collections::HashMap;
use std::ops::ControlFlow;

use tantivy::postings::TermInfo;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{InvertedIndexReader, TantivyError, Term};

use super::IndexError;
use super::automaton::{Automaton, MAX_AUTOMATON_BYTES, TooLarge};
use super::matches::Matches;
use super::scan::Snapshot;
use super::schema::spelled;
use super::spelling::one_spelling;
use super::terms::{Terms, ValueTest};
use super::words;
use crate::event::AuditEvent;
use crate::field::{self, Kind, Number};
use crate::position::Seq;
use orgtrail_cloudflare::json::{self, Scalar};

impl Matches<'_> {
    /// The place in the log of one of the events that may spell a value, as [`Matches::values`] gives it, in another way than it
    /// is compared; `None` where none does.
    ///
    /// # Errors
    /// [`IndexError::Engine`] when a file cannot be read.
    pub fn place_with(&self, name: &str, value: &str) -> Result<Option<Seq>, IndexError> {
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
                let spellings = Automaton::of_regex(&number.spellings(), MAX_AUTOMATON_BYTES);
                let spellings = spellings.map_err(|TooLarge| IndexError::TooLarge)?;
                let terms = Terms {
                    field,
                    prefix: before_value,
                    kept_len: shape.kept_len(field),
                    automata: [spellings].into(),
                    test: ValueTest::Whole,
                    watch: self.snapshot.watch().clone(),
                };
                self.place_of(field, |inverted| terms.infos(inverted))
            }
        }
    }

    /// The place of one of the events that have any of some terms.
    fn place_of(
        &self,
        field: Field,
        terms: impl Fn(&InvertedIndexReader) -> tantivy::Result<Vec<TermInfo>>,
    ) -> Result<Option<Seq>, IndexError> {
        let steps = self.snapshot.watch().steps();
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
        self.snapshot.watch().check()?;
        Ok(None)
    }
}

impl Snapshot {
    /// How an event spells those of some values of a field or path, as [`Matches::values`] gives them: each with its place in
    /// `values`. One that the event does not have, or that is too long to be kept whole, is left out.
    #[must_use]
    pub fn spellings(
        &self,
        event: &AuditEvent,
        name: &str,
        values: &[&str],
    ) -> Vec<(usize, String)> {
        let (kind, ..) = self.shape().place_of(name);
        let places = values
            .iter()
            .enumerate()
            .map(|(place, value)| (*value, place));
        let mut wanted: HashMap<&str, usize> = places.collect();
        let mut found = Vec::new();
        // `text` is what is compared, `spelling` what is shown. Says whether all values are found.
        let mut look = |text: &str, spelling: &str| -> bool {
            let mut compared = field::normal(kind, text);
            if let (Kind::Any, Some(number)) = (kind, one_spelling(&compared)) {
                compared = number;
            }
            if text.len() <= words::MAX_VALUE_LEN
                && let Some(place) = wanted.remove(compared.as_str())
            {
                found.push((place, spelling.to_owned()));
            }
            wanted.is_empty()
        };
        match name.to_ascii_lowercase().as_str() {
            "source" => {
                let source = event.source.to_string();
                look(&source, &source);
                return found;
            }
            "problem" => {
                if let Some(problem) = &event.problem {
                    look(problem, problem);
                }
                return found;
            }
            _ => {}
        }
        let name = spelled(name);
        json::walk_until(event.entry.get(), |path, leaf| {
            if spelled(path) != name {
                return ControlFlow::Continue(());
            }
            let is_done = match leaf {
                Scalar::Text(text) => look(&text, &text),
                // A number in an entry is compared in plain digits, whatever the field.
                Scalar::Number(number) => {
                    let plain = Number::with_exponent(number).map(|number| number.to_string());
                    look(plain.as_deref().unwrap_or(number), number)
                }
                Scalar::Bool(true) => look("true", "true"),
                Scalar::Bool(false) => look("false", "false"),
                Scalar::Null => false,
            };
            match is_done {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        found
    }
}

/// Whether events may spell a value in another way than it is compared.
fn has_other_spellings(kind: Kind, value: &str) -> bool {
    let has_case = value.chars().any(|c| !c.to_uppercase().eq([c]));
    has_case || (kind == Kind::Address && value.contains(':'))
}
