//! Words in any field: exact words, phrases, and patterns.

use std::sync::Arc;

use tantivy::Term;
use tantivy::schema::Field;

use super::{Lowered, Lowering};
use crate::engine::error::EngineError;
use crate::engine::tantivy::runs::{AT_ONCE, WordRun};
use crate::engine::tantivy::sets::Set;
use crate::engine::tantivy::terms::Terms;
use crate::query::Pattern;
use crate::query::automaton::Automaton;
use crate::query::value_test::ValueTest;
use crate::query::words;

impl Lowering<'_> {
    /// Where words are looked for.
    fn word_fields(&self) -> impl Iterator<Item = Field> + use<> {
        self.shape.words_in(&self.snapshot.scope)
    }

    /// The words side by side, in any text; and an opaque id, which is one word, as the whole value of an id.
    pub(super) fn words(&self, text: &str) -> Lowered {
        let found = words::of(text);
        let fields = self.word_fields();
        let mut ways: Vec<Lowered> = match found.as_slice() {
            [] => Vec::new(),
            [word] => fields
                .map(|field| self.term(Term::from_field_text(field, word)))
                .collect(),
            words => fields
                .map(|field| {
                    let term = |word: &String| Term::from_field_text(field, word);
                    self.phrase(words.iter().map(term).collect())
                })
                .collect(),
        };
        if let [word] = found.as_slice()
            && words::is_opaque(word)
        {
            let ids = self.shape.id_fields();
            ways.extend(ids.map(|(_, field)| self.term(Term::from_field_text(field, word))));
        }
        self.any(ways)
    }

    /// One word that looks so as a whole, or several side by side that look like its pieces.
    pub(super) fn words_like(&self, pattern: &Pattern, at: usize) -> Result<Lowered, EngineError> {
        let automaton = |pattern: &Pattern| self.of_pattern(pattern, at);
        let whole = self.word_matches(automaton(pattern)?);
        let pieces = pattern.words();
        if pieces.first() == Some(pattern) {
            return Ok(whole);
        }
        if let [piece] = pieces.as_slice() {
            return Ok(self.any(vec![whole, self.word_matches(automaton(piece)?)]));
        }
        let automata = pieces
            .iter()
            .map(|piece| Ok(Arc::from([automaton(piece)?])))
            .collect::<Result<Vec<Arc<[Automaton]>>, EngineError>>()?;
        let run = |field: Field| -> Lowered {
            let words = automata.iter().map(|automata| Terms {
                automata: Arc::clone(automata),
                ..self.terms(field, String::new(), Vec::new(), ValueTest::Any)
            });
            self.gathered(Set::Run(WordRun {
                words: words.collect(),
                at_once: AT_ONCE,
                budget: self.snapshot.budget().clone(),
            }))
        };
        let mut ways = vec![whole];
        ways.extend(self.word_fields().map(run));
        Ok(self.any(ways))
    }

    /// One word that an automaton matches; opaque ids are words.
    pub(super) fn word_matches(&self, automaton: Automaton) -> Lowered {
        let automata: Arc<[Automaton]> = Arc::from([automaton]);
        let walk = |field, test| -> Lowered {
            self.gathered(Set::Terms(Terms {
                automata: Arc::clone(&automata),
                ..self.terms(field, String::new(), Vec::new(), test)
            }))
        };
        let texts = self.word_fields().map(|field| walk(field, ValueTest::Any));
        let ids = self
            .shape
            .id_fields()
            .map(|(_, field)| walk(field, ValueTest::Opaque));
        self.any(texts.chain(ids).collect())
    }
}
