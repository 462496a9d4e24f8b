//! The tree of a question as a query of the engine.
//!
//! What is known as a term is asked as one; what only looks like terms walks a dictionary ([`Terms`]); what the order of a
//! segment says is a stretch of it (`DocRanges`).

mod fields;
mod words;

use tantivy::Term;
use tantivy::query::{
    AllQuery, BooleanQuery, EmptyQuery, EnableScoring, ExistsQuery, Occur, TermQuery, Weight,
};
use tantivy::schema::{Field, IndexRecordOption};

use super::bounded::Bounded;
use super::one_of::OneOf;
use super::paths::is_above_body;
use super::phrase::Phrase;
use super::schema::{IndexSchema, Mark, column_of, spelled};
use super::sets::{Gathered, Set};
use super::snapshot::Snapshot;
use super::terms::Terms;
use crate::engine::error::EngineError;
use crate::field::{self, FIELDS, has_words};
use crate::position::Seq;
use crate::query::automaton::{AutomataRoom, Automaton};
use crate::query::entry::leads_to;
use crate::query::value_test::ValueTest;
use crate::query::{Pattern, Query};

type Lowered = Box<dyn tantivy::query::Query>;

impl Snapshot {
    /// The engine's form of a question about the events up to `upto`, for one walk over each segment.
    pub(super) fn weight(&self, query: &Query, upto: Seq) -> Result<Box<dyn Weight>, EngineError> {
        self.weight_for(query, upto, false)
    }

    /// As [`Snapshot::weight`]; says whether a segment is walked over several times.
    pub(super) fn weight_for(
        &self,
        query: &Query,
        upto: Seq,
        keeps: bool,
    ) -> Result<Box<dyn Weight>, EngineError> {
        self.check_available()?;
        let lowered = Lowering::lower(query, self, upto, keeps)?;
        Ok(lowered.weight(EnableScoring::disabled_from_searcher(&self.searcher))?)
    }
}

/// Up to this many leaves, a question's terms are left to the engine's faster paths: walking few lists to their end takes less
/// than the time a question has.
const FEW_LEAVES: usize = 4;

/// Up to this many parts of a question that are gathered have a set each; with more, all of it becomes one set.
const FEW_GATHERED: usize = 4;

/// A question becoming a query of a snapshot's engine.
pub(super) struct Lowering<'a> {
    snapshot: &'a Snapshot,
    shape: &'a IndexSchema,
    /// The newest event that is asked about.
    upto: Seq,
    are_few: bool,
    /// How many bytes its automata may still take.
    automata: AutomataRoom,
    /// Whether all of it is folded into one set, because it has too many parts that are gathered.
    folds_all: bool,
    /// Whether what is gathered is walked over several times.
    keeps: bool,
}

impl<'a> Lowering<'a> {
    /// The engine's form of a question about the events up to `upto`. `keeps` says whether each segment is walked over several
    /// times.
    ///
    /// # Errors
    /// [`EngineError::Question`] when a part of it would take too much memory.
    pub(super) fn lower(
        query: &Query,
        snapshot: &'a Snapshot,
        upto: Seq,
        keeps: bool,
    ) -> Result<Lowered, EngineError> {
        let lowering = Self {
            snapshot,
            shape: snapshot.shape(),
            upto,
            are_few: leaves(query) <= FEW_LEAVES,
            automata: AutomataRoom::default(),
            folds_all: gathered_leaves(query) > FEW_GATHERED,
            keeps,
        };
        lowering.query(query)
    }

    fn query(&self, query: &Query) -> Result<Lowered, EngineError> {
        self.snapshot.check_time()?;
        Ok(match query {
            Query::All => Box::new(AllQuery),
            Query::And(parts) => self.and(parts)?,
            Query::Or(parts) => {
                let parts = self.or(parts)?;
                self.any(parts)
            }
            Query::Not(_) | Query::Latest => self.and(std::slice::from_ref(query))?,
            Query::Words { part: None, text } => self.words(text),
            Query::Words {
                part: Some(part),
                text,
            } => self.in_part(*part, text)?,
            Query::WordsLike { pattern, at } => self.words_like(pattern, *at)?,
            Query::WordMatches { regex, at } => self.word_matches(self.of_regex(regex, *at)?),
            Query::Equals { path, value, at } => self.equals(path, value, *at)?,
            Query::Contains { path, text, .. } => self.contains(path, text),
            Query::Like { path, pattern, at } => {
                let whole = self.matches(path, vec![self.of_pattern(pattern, *at)?]);
                if has_words(path) {
                    let word = self.of_pattern(pattern, *at)?;
                    self.any(vec![whole, self.has_word_like(path, word)])
                } else {
                    whole
                }
            }
            Query::Matches { path, regex, at } => {
                self.matches(path, vec![self.of_regex(regex, *at)?])
            }
            Query::Within { path, interval, .. } => self.within(path, interval),
            Query::Exists { path, .. } => self.exists(path)?,
            Query::OneOf { path, values } => self.one_of(path, values),
        })
    }

    fn and(&self, parts: &[Query]) -> Result<Lowered, EngineError> {
        let mut clauses = Vec::new();
        for part in parts {
            match part {
                Query::Not(inner) => clauses.push((Occur::MustNot, self.query(inner)?)),
                Query::Latest => {
                    let replaced = self.snapshot.replaced(self.upto)?;
                    let replaced = replaced.map(|replaced| -> Lowered { Box::new(replaced) });
                    clauses.extend(replaced.map(|replaced| (Occur::MustNot, replaced)));
                }
                part => clauses.push((Occur::Must, self.query(part)?)),
            }
        }
        Ok(self.all(clauses))
    }

    /// The alternatives; patterns of one field become one walk through its dictionary.
    fn or(&self, parts: &[Query]) -> Result<Vec<Lowered>, EngineError> {
        let mut alternatives = Vec::new();
        let mut patterns: Vec<(&str, Vec<Automaton>)> = Vec::new();
        for part in parts {
            let (path, automaton) = match part {
                Query::Like { path, pattern, at } if !has_words(path) => {
                    (path, self.of_pattern(pattern, *at)?)
                }
                Query::Matches { path, regex, at } => (path, self.of_regex(regex, *at)?),
                part => {
                    alternatives.push(self.query(part)?);
                    continue;
                }
            };
            match patterns.iter_mut().find(|(known, _)| known == path) {
                Some((_, automata)) => automata.push(automaton),
                None => patterns.push((path, vec![automaton])),
            }
        }
        let walks = patterns
            .into_iter()
            .map(|(path, automata)| self.matches(path, automata));
        alternatives.extend(walks);
        Ok(alternatives)
    }

    /// Any value at a path or below it.
    fn exists(&self, path: &str) -> Result<Lowered, EngineError> {
        if !self.snapshot.scope.has_bodies() && is_above_body(path) {
            return self.exists_beside_bodies(&spelled(path));
        }
        let marked = self.term(self.shape.mark(&Mark::Path(&spelled(path))));
        Ok(match column_of(path) {
            Some(column) => self.any(vec![has_column(column), marked]),
            None => marked,
        })
    }

    /// Any value at a path, or below it and not in a body.
    fn exists_beside_bodies(&self, path: &str) -> Result<Lowered, EngineError> {
        let below = FIELDS.iter().map(|field| field.name);
        let below = below.filter(|name| leads_to(path, name) && !field::is_body(name));
        let mut ways: Vec<Lowered> = below.filter_map(column_of).map(has_column).collect();
        let (_, field, prefix) = self.shape.place_of(path);
        let values = self.terms(field, prefix, Vec::new(), ValueTest::Any);
        ways.push(self.gathered(Set::Terms(values)));
        ways.push(self.gathered(Set::OneOf(OneOf {
            field: self.shape.path,
            terms: self.snapshot.marks_beside_bodies(path)?.into(),
        })));
        Ok(self.any(ways))
    }

    fn of_regex(&self, regex: &str, at: usize) -> Result<Automaton, EngineError> {
        // Making automata takes time, too.
        self.snapshot.check_time()?;
        Ok(self.automata.of_regex(regex, at)?)
    }

    fn of_pattern(&self, pattern: &Pattern, at: usize) -> Result<Automaton, EngineError> {
        self.snapshot.check_time()?;
        Ok(self.automata.of_pattern(pattern, at)?)
    }

    fn term(&self, term: Term) -> Lowered {
        let query = Box::new(TermQuery::new(term, IndexRecordOption::Basic));
        if self.are_few {
            query
        } else {
            Box::new(Bounded::new(query, self.snapshot.budget()))
        }
    }

    /// What any of these finds. Parts that are gathered become one set.
    fn any(&self, mut parts: Vec<Lowered>) -> Lowered {
        if parts.len() < 2 {
            return parts.pop().unwrap_or_else(|| Box::new(EmptyQuery));
        }
        let (sets, others) = self.folded(parts);
        let mut parts = others;
        match sets.len() {
            0 => {}
            _ => parts.push(self.gathered(Set::Any(sets))),
        }
        match parts.len() {
            1 => parts.remove(0),
            _ => Box::new(BooleanQuery::union(parts)),
        }
    }

    /// What all of these find that are to match, without those that are not. Parts that are gathered become one set.
    fn all(&self, clauses: Vec<(Occur, Lowered)>) -> Lowered {
        let (excluded, included): (Vec<_>, Vec<_>) = clauses
            .into_iter()
            .partition(|(occur, _)| *occur == Occur::MustNot);
        let queries = |clauses: Vec<(Occur, Lowered)>| clauses.into_iter().map(|(_, query)| query);
        let (mut sets, included) = self.folded(queries(included).collect());
        let (not_sets, excluded) = self.folded(queries(excluded).collect());
        if !not_sets.is_empty() {
            sets.push(Set::Not(Box::new(Set::Any(not_sets))));
        }
        let must = included.into_iter().map(|query| (Occur::Must, query));
        let must_not = excluded.into_iter().map(|query| (Occur::MustNot, query));
        let mut clauses: Vec<(Occur, Lowered)> = must.chain(must_not).collect();
        if !sets.is_empty() {
            let gathered = self.gathered(Set::All(sets));
            if clauses.is_empty() {
                // By itself, so that it can be folded into a larger one.
                return gathered;
            }
            clauses.push((Occur::Must, gathered));
        }
        if clauses.iter().all(|(occur, _)| *occur == Occur::MustNot) {
            clauses.push((Occur::Must, Box::new(AllQuery)));
        }
        Box::new(BooleanQuery::new(clauses))
    }

    /// Those parts that are gathered, as sets, and the others; all as sets where any is one and all is to be folded.
    fn folded(&self, parts: Vec<Lowered>) -> (Vec<Set>, Vec<Lowered>) {
        let has_sets = parts.iter().any(|part| part.is::<Gathered>());
        let (mut sets, mut others) = (Vec::new(), Vec::new());
        for part in parts {
            match part.downcast::<Gathered>() {
                Ok(gathered) => sets.push(gathered.set),
                Err(part) if has_sets && self.folds_all => sets.push(Set::Walked(part)),
                Err(part) => others.push(part),
            }
        }
        (sets, others)
    }

    fn gathered(&self, set: Set) -> Lowered {
        Box::new(Gathered {
            set,
            budget: self.snapshot.budget().clone(),
            keeps: self.keeps,
        })
    }

    fn phrase(&self, words: Vec<Term>) -> Lowered {
        Box::new(Phrase::new(words, self.snapshot.budget()))
    }

    /// A walk through a dictionary.
    fn terms(
        &self,
        field: Field,
        prefix: String,
        automata: Vec<Automaton>,
        test: ValueTest,
    ) -> Terms {
        Terms {
            field,
            prefix,
            kept_len: self.shape.kept_len(field),
            automata: automata.into(),
            test,
            budget: self.snapshot.budget().clone(),
        }
    }
}

fn has_column(column: &str) -> Lowered {
    Box::new(ExistsQuery::new(column.to_owned(), false))
}

/// How many lists of documents a question walks, about.
fn leaves(query: &Query) -> usize {
    match query {
        Query::And(parts) | Query::Or(parts) => parts.iter().map(leaves).sum(),
        Query::Not(inner) => leaves(inner),
        _ => 1,
    }
}

/// Number of leaves that are evaluated as sets: all except exact values, `_exists_`, `latest` and plain words.
fn gathered_leaves(query: &Query) -> usize {
    match query {
        Query::And(parts) | Query::Or(parts) => parts.iter().map(gathered_leaves).sum(),
        Query::Not(inner) => gathered_leaves(inner),
        Query::WordsLike { .. }
        | Query::WordMatches { .. }
        | Query::Like { .. }
        | Query::Matches { .. }
        | Query::Within { .. }
        | Query::Contains { .. }
        | Query::OneOf { .. }
        | Query::Words { part: Some(_), .. } => 1,
        Query::All
        | Query::Words { part: None, .. }
        | Query::Equals { .. }
        | Query::Exists { .. }
        | Query::Latest => 0,
    }
}
