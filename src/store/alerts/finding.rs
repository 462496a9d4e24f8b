//! What rules found, and what became of it.

use std::collections::BTreeSet;

use super::known::RuleNumber;
use crate::alert::{AlertGroup, AlertId, Level, RuleName};
use crate::position::Seq;

/// What an alert is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertVerdict {
    /// Its id.
    pub id: AlertId,
    /// The version of the rule that says so.
    pub rule: RuleNumber,
    /// What was found; `None` when there is nothing to raise an alert about.
    pub finding: Option<Finding>,
    /// Whether any of what is new in it is not history.
    pub is_live: bool,
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule, as the alert shows it.
    pub rule: RuleName,
    /// Whether the rule reads bodies.
    pub reads_bodies: bool,
    /// The group.
    pub group: AlertGroup,
    /// One plain sentence.
    pub summary: String,
    /// How many seconds after its time the latest of the events was received.
    pub late_s: i64,
    /// The events, each once, in the order of their times. Empty only for what the service noticed.
    pub events: Vec<AlertedEvent>,
    /// When the service noticed it, in microseconds since 1970: the time of an alert without events.
    pub noticed_us: Option<i64>,
    /// The names of their sources.
    pub sources: BTreeSet<String>,
}

/// An event of an alert. Ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlertedEvent {
    /// Its time, or when it was received if it has none, in microseconds since 1970.
    pub at_us: i64,
    /// Its place.
    pub seq: Seq,
}

/// What a step changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// The levels of the alerts that were raised.
    pub raised: Vec<Level>,
    /// How many alerts were retracted.
    pub retracted: usize,
}
