//! Rules over the log, written in Sigma: parsed, checked, and matched against single events. Their tests are in their files. Correlations are
//! parsed here; their verdicts over the stored matches are found in `detect`.
//!
//! Only this module uses the Sigma library. Every input is bounded: the length of a file and of a regular expression, the depth and the number
//! of parts of its YAML, the number of files, rules and mistakes. A rule that cannot be used is reported with file, line and reason; the others
//! are used.

mod assemble;
mod cases;
mod correlation;
mod detection;
mod document;
mod facts;
mod files;
mod in_use;
mod layer;
mod listing;
mod load;
mod matcher;
mod names;
mod needed;
mod pack;
mod rule;
mod set;
mod trial;
mod yaml;

pub use self::cases::Case;
pub use self::detection::Detection;
pub use self::facts::{EntryFacts, LogService};
pub use self::in_use::{LoadedRules, RulesInUse};
pub use self::layer::layer;
pub use self::listing::{ListedRule, RuleList};
pub use self::matcher::{MatchedEntry, RuleMatcher, RulePlace};
pub use self::names::NAMES;
pub use self::rule::{
    Comparison, Correlation, CorrelationTest, Rule, RuleError, RuleHash, RuleId, RuleKind,
    RuleStatus, Threshold,
};
pub use self::set::Rules;
pub use self::trial::FailedCase;
