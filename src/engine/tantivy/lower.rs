//! The tree of a question as a query of the engine.
//!
//! What is known as a term is asked as one; what only looks like terms walks a dictionary ([`Terms`]); what the order of a
//! segment says is a stretch of it (`Places`).

mod field;
mod words;

pub(super) use self::field::{fields_of, has_words};

use std::cell::Cell;

use tantivy::Term;
use tantivy::query::{AllQuery, BooleanQuery, EmptyQuery, ExistsQuery, Occur, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};

use super::IndexError;
use super::automaton::{Automaton, MAX_AUTOMATA_BYTES, MAX_AUTOMATON_BYTES, TooLarge};
use super::phrase::Phrase;
use super::scan::Snapshot;
use super::schema::{Mark, Shape, column_of, spelled};
use super::sets::{Gathered, Set};
use super::stopwatch::Watched;
use super::terms::{Terms, ValueTest};
use crate::position::Seq;
use crate::query::{Pattern, Query, QueryError};

type Lowered = Box<dyn tantivy::query::Query>;

/// Up to this many leaves, a question's terms are left to the engine's faster paths: walking few lists to their end takes less
/// than the time a question has.
const FEW_LEAVES: usize = 4;

/// Up to this many parts of a question that are gathered have a set each; with more, all of it becomes one set.
const FEW_GATHERED: usize = 4;

/// A question becoming a query of a snapshot's engine.
pub(super) struct Lowering<'a> {
    snapshot: &'a Snapshot,
    shape: &'a Shape,
    /// The newest event that is asked about.
    upto: Seq,
    are_few: bool,
    /// How many bytes its automata may still take.
    automata_room: Cell<usize>,
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
    /// [`IndexError::Question`] when a part of it would take too much memory.
    pub(super) fn lower(
        query: &Query,
        snapshot: &'a Snapshot,
        upto: Seq,
        keeps: bool,
    ) -> Result<Lowered, IndexError> {
        let lowering = Self {
            snapshot,
            shape: snapshot.shape(),
            upto,
            are_few: leaves(query) <= FEW_LEAVES,
            automata_room: Cell::new(MAX_AUTOMATA_BYTES),
            folds_all: gathered_leaves(query) > FEW_GATHERED,
            keeps,
        };
        lowering.query(query)
    }

    fn query(&self, query: &Query) -> Result<Lowered, IndexError> {
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
                match has_words(path) {
                    true => {
                        let word = self.of_pattern(pattern, *at)?;
                        self.any(vec![whole, self.has_word_like(path, word)])
                    }
                    false => whole,
                }
            }
            Query::Matches { path, regex, at } => {
                self.matches(path, vec![self.of_regex(regex, *at)?])
            }
            Query::Within { path, interval, .. } => self.within(path, interval),
            Query::Exists { path, .. } => self.exists(path),
            Query::OneOf { path, values } => self.one_of(path, values),
        })
    }

    fn and(&self, parts: &[Query]) -> Result<Lowered, IndexError> {
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
    fn or(&self, parts: &[Query]) -> Result<Vec<Lowered>, IndexError> {
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
    fn exists(&self, path: &str) -> Lowered {
        let marked = self.term(self.shape.mark(&Mark::Path(&spelled(path))));
        match column_of(path) {
            Some(column) => self.any(vec![
                Box::new(ExistsQuery::new(column.to_owned(), false)),
                marked,
            ]),
            None => marked,
        }
    }

    fn of_regex(&self, regex: &str, at: usize) -> Result<Automaton, IndexError> {
        self.automaton(at, |most| Automaton::of_regex(regex, most))
    }

    fn of_pattern(&self, pattern: &Pattern, at: usize) -> Result<Automaton, IndexError> {
        self.automaton(at, |most| Automaton::of_pattern(pattern, most))
    }

    /// Makes an automaton in what room is left. The error for one that is too large has its place in the question.
    fn automaton(
        &self,
        at: usize,
        make: impl FnOnce(usize) -> Result<Automaton, TooLarge>,
    ) -> Result<Automaton, IndexError> {
        // Making automata takes time, too.
        self.snapshot.check_time()?;
        let room = self.automata_room.get();
        let automaton = make(room).map_err(|TooLarge| {
            let what = match room < MAX_AUTOMATON_BYTES {
                true => "the patterns of this query together would take too much memory: use fewer",
                false => "this pattern would take too much memory: make it shorter",
            };
            let message = format!("{what}, with fewer repetitions or wildcards");
            QueryError::new(at, message)
        })?;
        self.automata_room
            .set(room.saturating_sub(automaton.size()));
        Ok(automaton)
    }

    fn term(&self, term: Term) -> Lowered {
        let query = Box::new(TermQuery::new(term, IndexRecordOption::Basic));
        match self.are_few {
            true => query,
            false => Box::new(Watched::new(query, self.snapshot.watch())),
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
            watch: self.snapshot.watch().clone(),
            keeps: self.keeps,
        })
    }

    fn phrase(&self, words: Vec<Term>) -> Lowered {
        Box::new(Phrase::new(words, self.snapshot.watch()))
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
            watch: self.snapshot.watch().clone(),
        }
    }
}

/// How many lists of documents a question walks, about.
fn leaves(query: &Query) -> usize {
    match query {
        Query::And(parts) | Query::Or(parts) => parts.iter().map(leaves).sum(),
        Query::Not(inner) => leaves(inner),
        _ => 1,
    }
}

/// How many parts of a question are gathered: those that are known by their looks alone.
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
