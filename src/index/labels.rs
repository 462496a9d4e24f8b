//! How events spell a value that is compared in lower case.

use std::collections::HashMap;
use std::ops::ControlFlow;

use tantivy::schema::IndexRecordOption;
use tantivy::{TantivyError, Term};

use super::IndexError;
use super::matches::{Found, Matches};
use super::scan::Snapshot;
use super::schema::spelled;
use super::words;
use crate::event::AuditEvent;
use crate::field::{self, Kind, Number};
use crate::position::Seq;
use orgtrail_cloudflare::json::{self, Scalar};

impl Matches<'_> {
    /// The place in the log of one of the events that has a value, as [`Matches::values`] gives it.
    ///
    /// # Errors
    /// [`IndexError::Engine`] when a file cannot be read.
    pub fn place_with(&self, name: &str, value: &str) -> Result<Option<Seq>, IndexError> {
        let (_, field, before_value) = self.snapshot.shape().place_of(name);
        let term = Term::from_field_text(field, &(before_value + value));
        let steps = self.snapshot.watch().steps();
        let segments = self.snapshot.searcher.segment_readers().iter();
        for ((found, reader), segment) in self
            .found
            .iter()
            .zip(segments)
            .zip(&*self.snapshot.segments)
        {
            let inverted = reader.inverted_index(field)?;
            let info = inverted.get_term_info(&term).map_err(TantivyError::from)?;
            let Some(info) = info else { continue };
            let mut postings = inverted
                .read_block_postings_from_terminfo(&info, IndexRecordOption::Basic)
                .map_err(TantivyError::from)?;
            while !postings.docs().is_empty() && !steps.step() {
                let doc = postings.docs().iter().find(|doc| match found {
                    Found::Stretch(docs) => docs.contains(doc),
                    Found::Few(few) => few.binary_search(doc).is_ok(),
                    Found::Many(bits) => bits.contains(**doc),
                });
                if let Some(doc) = doc {
                    return Ok(Some(Seq(segment.seq.get_val(*doc))));
                }
                postings.advance();
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
            if text.len() <= words::MAX_VALUE_LEN
                && let Some(place) = wanted.remove(field::normal(kind, text).as_str())
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

    /// Whether events may spell a value of a field or path in another way than it is compared.
    #[must_use]
    pub fn has_other_spellings(&self, name: &str, value: &str) -> bool {
        let (kind, ..) = self.shape().place_of(name);
        let has_case = value.chars().any(|c| !c.to_uppercase().eq([c]));
        has_case || (kind == Kind::Address && value.contains(':'))
    }
}
