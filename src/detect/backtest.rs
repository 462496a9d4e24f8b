//! What a rule would have raised over the whole log, had it been there from the beginning. Writes nothing.
//!
//! The verdicts are the follower's. The log is read in parts, by several threads. Memory is bounded: what does not fit is found in
//! more than one reading of the log, by parts of the pairs of `first_seen` (`first_seen.rs`) and of event time (`correlation.rs`).
//!
//! An alert belongs to the moment at which it would have been raised if all entries had come at once: the time of its event, or of the
//! first verdict of its bucket.

mod correlation;
mod events;
mod first_seen;
mod judged;
mod reading;
mod tally;

use chrono::NaiveDate;

use self::first_seen::FirstSeenMarks;
use self::judged::JudgedRule;
use self::reading::LogReading;
pub use self::reading::{BacktestError, BacktestLimits, BacktestProgress};
use self::tally::AlertTally;
pub use self::tally::BacktestRange;
use super::units::RaisingRule;
use crate::alert::AlertGroup;
use crate::mask::Mask;
use crate::position::Seq;
use crate::rules::{Rule, RuleKind, RuleMatcher, Rules};
use crate::store::Store;

/// What a rule would have raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BacktestResult {
    /// How many alerts.
    pub alerts: u64,
    /// How many on each day (UTC), without days that have none.
    pub days: Vec<(NaiveDate, u64)>,
    /// The groups with the most alerts, as alerts show them.
    pub groups: Vec<(AlertGroup, u64)>,
    /// How many events were read.
    pub events: u64,
    /// How many of them could not be judged, because they are damaged or erased.
    pub unreadable: u64,
}

/// Some rules, the log, and how it is read.
pub struct Backtest<'a> {
    /// The log. Events that come meanwhile are left out.
    pub store: &'a Store,
    /// All rules: correlations find there what they name.
    pub rules: &'a Rules,
    /// Which alerts count.
    pub range: BacktestRange,
    /// By how many threads the log is read.
    pub threads: usize,
    /// How much is in memory at once.
    pub limits: BacktestLimits,
    /// Is told how far it is.
    pub progress: &'a (dyn Fn(BacktestProgress) + Sync),
}

impl Backtest<'_> {
    /// What these rules would have raised, together. A rule that raises nothing itself, because a correlation names it, has no alerts.
    ///
    /// # Errors
    /// When the log cannot be read, or what is found in it does not fit into memory.
    pub fn run(&self, rules: &[&Rule]) -> Result<BacktestResult, BacktestError> {
        let head = self.store.head();
        let mut tally = AlertTally::new(self.range);
        let mut unreadable = 0;
        for rule in rules {
            let of_rule = self.run_one(rule, head, &mut tally)?;
            unreadable = of_rule.max(unreadable);
        }
        Ok(BacktestResult {
            alerts: tally.alerts(),
            days: tally.days(),
            groups: tally.loudest(&Mask::default()),
            events: head.0,
            unreadable,
        })
    }

    /// Counts the alerts of a rule. Gives the number of events that could not be judged.
    fn run_one(
        &self,
        rule: &Rule,
        head: Seq,
        tally: &mut AlertTally,
    ) -> Result<u64, BacktestError> {
        let raises = match rule.kind {
            RuleKind::Event(_) => self.rules.generates(&rule.id),
            RuleKind::Correlation(_) => true,
        };
        if !raises {
            return Ok(0);
        }
        let asked = match &rule.kind {
            RuleKind::Event(_) => std::slice::from_ref(&rule.id),
            RuleKind::Correlation(correlation) => &correlation.rules,
        };
        let asked = asked.iter().filter_map(|id| self.rules.get(id));
        let matcher = RuleMatcher::of(asked);
        let reading = LogReading::new(self.store, head, self.threads, self.limits, self.progress);
        let first_seen = if rule.reads_first_seen {
            FirstSeenMarks::find(&reading)?
        } else {
            FirstSeenMarks::none()
        };
        let judged = JudgedRule {
            raising: RaisingRule::new(rule.clone().into(), &matcher),
            matcher: &matcher,
            first_seen: &first_seen,
        };
        match &rule.kind {
            RuleKind::Event(_) => events::count(&reading, &judged, tally)?,
            RuleKind::Correlation(correlation) => {
                correlation::count(&reading, &judged, correlation, tally)?;
            }
        }
        Ok(reading.unreadable())
    }
}
