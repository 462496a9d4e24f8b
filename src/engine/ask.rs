//! What an engine is asked, and for whom.

use super::budget::Budget;
use super::hit::Range;
use super::scope::Scope;
use crate::query::Query;

/// What one question may see (`scope`) and cost (`budget`). A clone shares the budget.
///
/// A principal is who sends a request (`http`); a caller is its scope and budget for one question.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What they may see.
    pub scope: Scope,
    /// Their time and memory.
    pub budget: Budget,
}

/// Which events, in which stretch of time, for whom.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Which events.
    pub query: &'a Query,
    /// In which stretch of time.
    pub range: Range,
    /// For whom.
    pub caller: &'a Caller,
}
