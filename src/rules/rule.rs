//! A rule as the rest of the program sees it. Does not know YAML, files, or the library that evaluates detections.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use chrono::TimeDelta;
use serde::Serialize;
use utoipa::ToSchema;

use super::cases::Case;
use super::detection::Detection;
use crate::alert::Level;
use crate::event::hex;

/// The text under `id`: a UUID in the built-in rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String)]
pub struct RuleId(pub String);

impl RuleId {
    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The SHA-256 of what decides a rule's matches: its log source, its detection, its correlation, and the hashes of the rules that the
/// correlation names. Another title is not another rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleHash(pub [u8; 32]);

impl fmt::Display for RuleHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for RuleHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How mature a rule is, by its author.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuleStatus {
    /// Rarely wrong.
    Stable,
    /// Tested, may still need tuning.
    Test,
    /// May be wrong, or may never match. Rules without `status` are taken for it.
    Experimental,
    /// Replaced by another rule.
    Deprecated,
    /// Cannot work as it is.
    Unsupported,
}

impl RuleStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Stable,
        Self::Test,
        Self::Experimental,
        Self::Deprecated,
        Self::Unsupported,
    ];

    /// Its name in rules and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Test => "test",
            Self::Experimental => "experimental",
            Self::Deprecated => "deprecated",
            Self::Unsupported => "unsupported",
        }
    }
}

/// A rule that was parsed and checked.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its `id`.
    pub id: RuleId,
    /// Its `name`, by which a correlation may refer to it.
    pub name: Option<String>,
    /// What decides its matches.
    pub hash: RuleHash,
    /// Its `title`.
    pub title: String,
    /// How serious its alerts are; `medium` if the file says nothing.
    pub level: Level,
    /// How mature it is.
    pub status: RuleStatus,
    /// Its `tags`, such as `attack.t1098`.
    pub tags: Vec<String>,
    /// Its `description`: what it finds, why it matters, what to do next.
    pub description: String,
    /// What else looks like it.
    pub falsepositives: Vec<String>,
    /// Whether it reads a body: `resource.request`, `resource.response` or `resource.value`.
    pub reads_bodies: bool,
    /// Whether it may depend on what was not seen before: it, or a rule that it names, reads `first_seen`.
    pub reads_first_seen: bool,
    /// Whether it is one of the built-in rules.
    pub is_built_in: bool,
    /// The name of its file, for messages.
    pub file: String,
    /// The line of the file at which it begins, from 1.
    pub line: usize,
    /// Its YAML as written.
    pub text: Arc<str>,
    /// The tests in its file.
    pub cases: Vec<Case>,
    /// How it is evaluated.
    pub kind: RuleKind,
}

/// How a rule is evaluated.
#[derive(Debug, Clone)]
pub enum RuleKind {
    /// One event at a time.
    Event(Detection),
    /// The matches of other rules, over time.
    Correlation(Correlation),
}

/// A rule over the matches of other rules. How its verdicts are found is in `detect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlation {
    /// What must be true of the matches in the window.
    pub test: CorrelationTest,
    /// The rules whose matches it looks at, in the order of the file: each resolved to its id.
    pub rules: Vec<RuleId>,
    /// Fields or aliases whose values the matches of a group share.
    pub group_by: Vec<String>,
    /// The field that an alias stands for, by alias and rule.
    pub aliases: BTreeMap<String, BTreeMap<RuleId, String>>,
    /// The length of the window.
    pub timespan: TimeDelta,
    /// Whether the rules that it names raise alerts themselves.
    pub generate: bool,
}

impl Correlation {
    /// The field of an entry that a group-by name, or the counted field, stands for in the matches of a rule. An alias that says
    /// nothing about the rule stands for no field.
    #[must_use]
    pub fn field_of<'a>(&'a self, name: &'a str, rule: &RuleId) -> Option<&'a str> {
        match self.aliases.get(name) {
            Some(fields) => fields.get(rule).map(String::as_str),
            None => Some(name),
        }
    }

    /// The fields that it reads of the matches of its rules.
    #[must_use]
    pub fn fields(&self) -> BTreeSet<&str> {
        let counted = match &self.test {
            CorrelationTest::ValueCount(field, _) => Some(field.as_str()),
            _ => None,
        };
        let names = self.group_by.iter().map(String::as_str).chain(counted);
        let plain = names.filter(|name| !self.aliases.contains_key(*name));
        let aliased = self.aliases.values().flat_map(BTreeMap::values);
        plain.chain(aliased.map(String::as_str)).collect()
    }
}

/// What must be true of the matches in a correlation's window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorrelationTest {
    /// Their number.
    EventCount(Threshold),
    /// The number of different values of a field or an alias. A missing value does not count.
    ValueCount(String, Threshold),
    /// Each of the rules matched.
    Temporal,
    /// Each of the rules matched, in the order in which they are named, with times that do not decrease.
    TemporalOrdered,
}

/// A condition on a number: every comparison holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threshold(pub Vec<(Comparison, u64)>);

impl Threshold {
    /// Whether a number meets it.
    #[must_use]
    pub fn is_met_by(&self, number: u64) -> bool {
        self.0.iter().all(|(comparison, bound)| match comparison {
            Comparison::Lt => number < *bound,
            Comparison::Lte => number <= *bound,
            Comparison::Gt => number > *bound,
            Comparison::Gte => number >= *bound,
            Comparison::Eq => number == *bound,
            Comparison::Neq => number != *bound,
        })
    }
}

/// How a number is compared, by the names that Sigma uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Less than.
    Lt,
    /// Less than or equal.
    Lte,
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Gte,
    /// Equal.
    Eq,
    /// Not equal.
    Neq,
}

/// Why a rule, or a file of rules, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct RuleError {
    /// The name of the file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}
