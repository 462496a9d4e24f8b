//! The tree of a question as a query of the engine.
//!
//! What is known as a term is asked as one; what only looks like terms walks a dictionary ([`Terms`]); what the order of a
//! segment says is a stretch of it ([`Places`]).

mod field;
mod words;

use std::cell::Cell;

use tantivy::Term;
use tantivy::query::{AllQuery, BooleanQuery, EmptyQuery, ExistsQuery, Occur, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};

use super::IndexError;
use super::automaton::{Automaton, MAX_AUTOMATA_BYTES, MAX_AUTOMATON_BYTES, TooLarge};
use super::phrase::Phrase;
use super::places::Places;
use super::scan::Snapshot;
use super::schema::{Mark, Shape, column_of, spelled};
use super::stopwatch::Watched;
use super::terms::{Terms, ValueTest};
use crate::position::Seq;
use crate::query::{Pattern, Query, QueryError};

type Lowered = Box<dyn tantivy::query::Query>;

/// Up to this many leaves, a question's terms are left to the engine's faster paths: walking few lists to their end takes less
/// than the time a question has.
const FEW_LEAVES: usize = 4;

/// A question becoming a query of a snapshot's engine.
pub(super) struct Lowering<'a> {
    snapshot: &'a Snapshot,
    shape: &'a Shape,
    /// The newest event that is asked about.
    upto: Seq,
    are_few: bool,
    /// How many bytes its automata may still take.
    automata_room: Cell<usize>,
}

impl<'a> Lowering<'a> {
    /// The engine's form of a question about the events up to `upto`.
    ///
    /// # Errors
    /// [`IndexError::Question`] when a part of it would take too much memory.
    pub(super) fn lower(
        query: &Query,
        snapshot: &'a Snapshot,
        upto: Seq,
    ) -> Result<Lowered, IndexError> {
        let lowering = Self {
            snapshot,
            shape: snapshot.shape(),
            upto,
            are_few: leaves(query) <= FEW_LEAVES,
            automata_room: Cell::new(MAX_AUTOMATA_BYTES),
        };
        lowering.query(query)
    }

    fn query(&self, query: &Query) -> Result<Lowered, IndexError> {
        self.snapshot.check_time()?;
        Ok(match query {
            Query::All => Box::new(AllQuery),
            Query::And(parts) => self.and(parts)?,
            Query::Or(parts) => any(self.or(parts)?),
            Query::Not(_) => self.and(std::slice::from_ref(query))?,
            Query::Words { part, text } => self.words(*part, text),
            Query::WordsLike { pattern, at } => self.words_like(pattern, *at)?,
            Query::WordMatches { regex, at } => self.word_matches(self.of_regex(regex, *at)?),
            Query::Equals { path, value, at } => self.equals(path, value, *at)?,
            Query::Like { path, pattern, at } => {
                self.matches(path, vec![self.of_pattern(pattern, *at)?])
            }
            Query::Matches { path, regex, at } => {
                self.matches(path, vec![self.of_regex(regex, *at)?])
            }
            Query::Within { path, interval, .. } => self.within(path, interval),
            Query::Exists { path, .. } => self.exists(path),
            Query::Latest => self.latest()?,
        })
    }

    fn and(&self, parts: &[Query]) -> Result<Lowered, IndexError> {
        let mut clauses = Vec::new();
        for part in parts {
            clauses.push(match part {
                Query::Not(inner) => (Occur::MustNot, self.query(inner)?),
                part => (Occur::Must, self.query(part)?),
            });
        }
        if clauses.iter().all(|(occur, _)| *occur == Occur::MustNot) {
            clauses.push((Occur::Must, Box::new(AllQuery)));
        }
        Ok(Box::new(BooleanQuery::new(clauses)))
    }

    /// The alternatives; patterns of one field become one walk through its dictionary.
    fn or(&self, parts: &[Query]) -> Result<Vec<Lowered>, IndexError> {
        let mut alternatives = Vec::new();
        let mut patterns: Vec<(&str, Vec<Automaton>)> = Vec::new();
        for part in parts {
            let (path, automaton) = match part {
                Query::Like { path, pattern, at } => (path, self.of_pattern(pattern, *at)?),
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

    /// Events that no other among those asked about has replaced.
    fn latest(&self) -> Result<Lowered, IndexError> {
        let replaced = self.snapshot.replaced(self.upto)?;
        if replaced.is_empty() {
            return Ok(Box::new(AllQuery));
        }
        let places = Places::new(self.snapshot.docs_of(&replaced).into_iter());
        Ok(Box::new(BooleanQuery::new(vec![
            (Occur::Must, Box::new(AllQuery)),
            (Occur::MustNot, Box::new(places)),
        ])))
    }

    /// Any value at a path or below it.
    fn exists(&self, path: &str) -> Lowered {
        let marked = self.term(self.shape.mark(&Mark::Path(&spelled(path))));
        match column_of(path) {
            Some(column) => any(vec![
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

fn any(mut parts: Vec<Lowered>) -> Lowered {
    match parts.len() {
        0 => Box::new(EmptyQuery),
        1 => parts.remove(0),
        _ => Box::new(BooleanQuery::union(parts)),
    }
}
