//! The tree of a question as a query of the engine.

use tantivy::Term;
use tantivy::query::{AllQuery, BooleanQuery, EmptyQuery, PhraseQuery, TermQuery};
use tantivy::schema::IndexRecordOption;

use super::schema::Shape;
use super::words;
use crate::field::Part;
use crate::query::Query;

type Lowered = Box<dyn tantivy::query::Query>;

/// The engine's form of a question.
pub(super) fn lower(query: &Query, shape: &Shape) -> Lowered {
    match query {
        Query::All => Box::new(AllQuery),
        Query::And(parts) => Box::new(BooleanQuery::intersection(all(parts, shape))),
        Query::Or(parts) => any(all(parts, shape)),
        Query::Words { part, text } => words_query(*part, text, shape),
        Query::Equals { path, value, .. } => term(shape.value_term(path, value)),
    }
}

fn all(parts: &[Query], shape: &Shape) -> Vec<Lowered> {
    parts.iter().map(|part| lower(part, shape)).collect()
}

fn any(mut parts: Vec<Lowered>) -> Lowered {
    match parts.len() {
        0 => Box::new(EmptyQuery),
        1 => parts.remove(0),
        _ => Box::new(BooleanQuery::union(parts)),
    }
}

fn term(term: Term) -> Lowered {
    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
}

/// The words side by side, in any of the parts' texts; and an opaque id as the whole value of an id.
fn words_query(part: Option<Part>, text: &str, shape: &Shape) -> Lowered {
    let words = words::of(text);
    let parts = Part::ALL
        .into_iter()
        .filter(|candidate| part.is_none_or(|part| part == *candidate));
    let mut ways: Vec<Lowered> = match words.as_slice() {
        [] => Vec::new(),
        [word] => parts
            .map(|part| term(Term::from_field_text(shape.words_of(part), word)))
            .collect(),
        words => parts.map(|part| phrase(shape, part, words)).collect(),
    };
    if let [word] = words.as_slice()
        && words::is_opaque(word)
    {
        ways.extend(shape.id_terms(part, word).into_iter().map(term));
    }
    any(ways)
}

fn phrase(shape: &Shape, part: Part, words: &[String]) -> Lowered {
    let field = shape.words_of(part);
    Box::new(PhraseQuery::new(
        words
            .iter()
            .map(|word| Term::from_field_text(field, word))
            .collect(),
    ))
}
