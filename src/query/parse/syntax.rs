//! What was read, with its places: the tree as it was written, for programs that show or change a question.

use crate::query::tree::Query;

/// A part of a question as it was written. Places are characters, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syntax {
    /// What it is.
    pub node: SyntaxNode,
    /// Its first character.
    pub at: usize,
    /// The first character after it.
    pub end: usize,
}

/// What a part of a question is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyntaxNode {
    /// All of these.
    And(Vec<Syntax>),
    /// Any of these.
    Or(Vec<Syntax>),
    /// What this is not.
    Not(Box<Syntax>),
    /// A term.
    Term(Query),
}

/// The parts that were read and belong to nothing yet, the last one on top.
#[derive(Debug, Default)]
pub(super) struct Parts(Vec<Syntax>);

impl Parts {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a term.
    pub(super) fn add_term(&mut self, query: &Query, at: usize, end: usize) {
        let node = SyntaxNode::Term(query.clone());
        self.0.push(Syntax { node, at, end });
    }

    /// Has the last part reach from `at` to `end`: with its name and its parentheses.
    pub(super) fn widen(&mut self, at: usize, end: usize) {
        if let Some(last) = self.0.last_mut() {
            (last.at, last.end) = (at, end);
        }
    }

    /// Negates the last part, which begins with its sign.
    pub(super) fn negate(&mut self, at: usize) {
        if let Some(last) = self.0.pop() {
            let end = last.end;
            let node = SyntaxNode::Not(Box::new(last));
            self.0.push(Syntax { node, at, end });
        }
    }

    /// Makes one part of those after the first `n`, if they are several.
    pub(super) fn join(&mut self, n: usize, make: fn(Vec<Syntax>) -> SyntaxNode) {
        if self.0.len() < n + 2 {
            return;
        }
        let parts = self.0.split_off(n);
        let at = parts.first().map_or(0, |first| first.at);
        let end = parts.last().map_or(0, |last| last.end);
        let node = make(parts);
        self.0.push(Syntax { node, at, end });
    }

    /// The whole.
    pub(super) fn into_whole(mut self) -> Option<Syntax> {
        self.0.pop()
    }
}
