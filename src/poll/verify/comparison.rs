//! What a comparison came to: how many entries differ and in what, and what could not be compared.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::position::{Seq, Window};
use crate::store::GapCause;

/// How many differences are described; all are counted.
const MAX_DESCRIBED: usize = 100;

/// In what upstream and the log differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Differs {
    /// Upstream shows it, and it is not held.
    NotHeld,
    /// It is held, and upstream does not show it any more.
    NotShown,
    /// It is held with other content only.
    OtherContent,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In what.
    pub differs: Differs,
    /// The entry's id upstream, if it has one; a long one is cut.
    pub id: Option<String>,
    /// When it happened, if that can be read.
    pub time: Option<DateTime<Utc>>,
    /// Where it is held.
    pub seq: Option<Seq>,
}

/// What a comparison came to.
#[derive(Debug, Clone, Default)]
pub struct UpstreamComparison {
    /// Pages that were read.
    pub pages: u64,
    /// Entries that upstream shows in the stretch.
    pub shown: u64,
    /// Of those, entries without a readable time.
    pub without_time: u64,
    /// How many differ, in each way.
    pub counts: HashMap<Differs, u64>,
    /// The first of them.
    pub differences: Vec<Difference>,
    /// What could not be compared; the earliest first.
    pub left_out: Vec<LeftOut>,
}

/// A stretch that could not be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// The stretch.
    pub window: Window,
    /// Why.
    pub cause: GapCause,
}

impl UpstreamComparison {
    /// How many entries differ in that way.
    #[must_use]
    pub fn count(&self, differs: Differs) -> u64 {
        self.counts.get(&differs).copied().unwrap_or(0)
    }

    /// How many entries differ.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Leaves out `window`, which comes after all that was left out before.
    pub(super) fn leave_out(&mut self, window: Window, cause: GapCause) {
        match self.left_out.last_mut() {
            Some(last) if last.window.before == window.since && last.cause == cause => {
                last.window.before = window.before;
            }
            _ => self.left_out.push(LeftOut { window, cause }),
        }
    }

    pub(super) fn note(&mut self, difference: impl FnOnce() -> Difference, differs: Differs) {
        *self.counts.entry(differs).or_default() += 1;
        if self.differences.len() < MAX_DESCRIBED {
            self.differences.push(difference());
        }
    }
}
