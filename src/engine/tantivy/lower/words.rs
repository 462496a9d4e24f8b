//! Words in any field: exact words, phrases, and patterns.

use std::sync::Arc;

use tantivy::Term;
use tantivy::schema::Field;

use super::{Lowered, Lowering};
use crate::engine::error::EngineError;
use crate::engine::tantivy::runs::{AT_ONCE, WordRun};
use crate::engine::tantivy::schema::WordFields;
use crate::engine::tantivy::sets::Set;
use crate::engine::tantivy::terms::Terms;
use crate::engine::tantivy::value_words::ValueWords;
use crate::engine::tantivy::word_map::WordPattern;
use crate::query::Pattern;
use crate::query::automaton::Automaton;
use crate::query::value_test::ValueTest;
use crate::query::words;

impl Lowering<'_> {
    /// Where words are looked for.
    fn word_fields(&self) -> impl Iterator<Item = Field> + use<> {
        self.shape
            .words_in(&self.snapshot.scope)
            .flat_map(WordFields::both)
    }

    /// Where words side by side are looked for.
    fn phrase_fields(&self) -> impl Iterator<Item = Field> + use<> {
        let fields = self.shape.words_in(&self.snapshot.scope);
        fields.map(|fields| fields.several)
    }

    /// The words side by side, in any text; and an opaque id, which is one word, as the whole value of an id.
    pub(super) fn words(&self, text: &str) -> Lowered {
        let found = words::of(text);
        if found.is_empty() {
            return self.any(Vec::new());
        }
        let is_word = |word: &String| WordPattern::Is(word.clone());
        let asked = found.iter().map(is_word).collect();
        let [word] = found.as_slice() else {
            let phrase = |field| -> Lowered {
                let term = |word: &String| Term::from_field_text(field, word);
                self.phrase(found.iter().map(term).collect())
            };
            let mut ways: Vec<Lowered> = self.phrase_fields().map(phrase).collect();
            ways.push(Box::new(self.value_words(asked, Vec::new())));
            return self.any(ways);
        };
        let ids = self.shape.id_fields().map(|(_, field)| field);
        let ids = ids.filter(|_| words::is_opaque(word));
        let fields = self.word_fields();
        let term = |field| Term::from_field_text(field, word);
        Box::new(self.value_words(asked, fields.chain(ids).map(term).collect()))
    }

    /// Words side by side in a value of a column, or one of some terms.
    fn value_words(&self, asked: Arc<[WordPattern]>, terms: Vec<Term>) -> ValueWords {
        ValueWords {
            asked,
            terms,
            shape: Arc::clone(&self.snapshot.shape),
            maps: Arc::clone(&self.snapshot.word_maps),
            budget: self.snapshot.budget().clone(),
        }
    }

    /// The same as a set.
    fn gathered_value_words(&self, asked: Arc<[WordPattern]>) -> Lowered {
        let walked = Box::new(self.value_words(asked, Vec::new()));
        self.gathered(Set::Walked(walked))
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
        ways.extend(self.phrase_fields().map(run));
        let like = |automata| WordPattern::Like(Arc::clone(automata));
        ways.push(self.gathered_value_words(automata.iter().map(like).collect()));
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
        let like = Arc::from([WordPattern::Like(Arc::clone(&automata))]);
        let values = self.gathered_value_words(like);
        self.any(texts.chain(ids).chain([values]).collect())
    }
}
