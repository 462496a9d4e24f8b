//! What an engine is asked, and for whom.

use super::budget::Budget;
use super::hit::Range;
use super::scope::Scope;
use crate::query::Query;

/// Whoever asks: what they may see, and what their question may cost. A clone is the same one.
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
