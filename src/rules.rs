//! Rules over the log, written in Sigma: parsed, checked, and matched against single events. Their tests are in their files. Correlations are
//! parsed here; their verdicts over the stored matches are found in `detect`.
//!
//! Only this module uses the Sigma library. Every input is bounded: the length of a file and of a regular expression, the depth and the number
//! of parts of its YAML, the number of files, rules and mistakes. A rule that cannot be used is reported with file, line and reason; the others
//! are used.

mod cases;
mod correlation;
mod detection;
mod document;
mod facts;
mod layer;
mod listing;
mod load;
mod names;
mod pack;
mod rule;
mod trial;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub use self::cases::Case;
pub use self::detection::Detection;
pub use self::facts::{EntryFacts, Service};
pub use self::layer::layer;
pub use self::listing::{ListedRule, RuleList};
pub use self::names::NAMES;
pub use self::rule::{
    Comparison, Correlation, CorrelationTest, Rule, RuleError, RuleHash, RuleId, RuleKind,
    RuleStatus, Threshold,
};
pub use self::trial::FailedCase;

use self::load::Loader;

/// Rules that were checked together: each id and name once, each reference resolved. Sorted by id.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: BTreeMap<RuleId, Rule>,
    /// Rules that raise nothing although a correlation may name them.
    disabled: BTreeSet<RuleId>,
}

impl Rules {
    /// The built-in rules.
    #[must_use]
    pub fn built_in() -> Self {
        let (rules, errors) = Loader::with_built_in().finish();
        debug_assert!(errors.is_empty(), "{errors:?}");
        rules
    }

    /// The built-in rules and those of a directory, and what is wrong with those that cannot be used. The rules whose ids are in `disabled`
    /// raise nothing.
    #[must_use]
    pub fn load(dir: Option<&Path>, disabled: &[String]) -> (Self, Vec<RuleError>) {
        let mut loader = Loader::with_built_in();
        if let Some(dir) = dir {
            loader.add_directory(dir);
        }
        let (mut rules, errors) = loader.finish();
        rules.disabled = disabled.iter().cloned().map(RuleId).collect();
        (rules, errors)
    }

    /// The built-in rules and those of some files, by their names in messages.
    #[must_use]
    pub fn with_files(files: &[(&Path, &str)]) -> (Self, Vec<RuleError>) {
        let mut loader = Loader::with_built_in();
        for (path, name) in files {
            loader.add_file(path, name);
        }
        loader.finish()
    }

    /// The rules of one text alone, by the name of its file in messages.
    #[must_use]
    pub fn parse(name: &str, text: &str) -> (Self, Vec<RuleError>) {
        let mut loader = Loader::default();
        loader.add_text(name, text);
        loader.finish()
    }

    fn insert(&mut self, rule: Rule) {
        self.rules.insert(rule.id.clone(), rule);
    }

    /// The rule with an id.
    #[must_use]
    pub fn get(&self, id: &RuleId) -> Option<&Rule> {
        self.rules.get(id)
    }

    /// All rules, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.values()
    }

    /// The rules over single events that raise alerts or that a correlation in use names.
    pub fn events(&self) -> impl Iterator<Item = (&Rule, &Detection)> {
        self.iter().filter_map(|rule| match &rule.kind {
            RuleKind::Event(detection) if self.is_used(&rule.id) => Some((rule, detection)),
            _ => None,
        })
    }

    /// The correlations that raise alerts.
    pub fn correlations(&self) -> impl Iterator<Item = (&Rule, &Correlation)> {
        self.iter().filter_map(|rule| match &rule.kind {
            RuleKind::Correlation(correlation) if !self.is_disabled(&rule.id) => {
                Some((rule, correlation))
            }
            _ => None,
        })
    }

    /// Whether a rule raises alerts: it is not disabled, and no correlation in use names it, or one that does says `generate: true`.
    #[must_use]
    pub fn generates(&self, id: &RuleId) -> bool {
        if self.is_disabled(id) || !self.rules.contains_key(id) {
            return false;
        }
        let mut is_named = false;
        for (_, correlation) in self.correlations() {
            if correlation.rules.contains(id) {
                if correlation.generate {
                    return true;
                }
                is_named = true;
            }
        }
        !is_named
    }

    /// Whether the configuration turned a rule off.
    #[must_use]
    pub fn is_disabled(&self, id: &RuleId) -> bool {
        self.disabled.contains(id)
    }

    /// The ids that were turned off and are of no rule.
    pub fn unknown_disabled(&self) -> impl Iterator<Item = &RuleId> {
        self.disabled
            .iter()
            .filter(|id| !self.rules.contains_key(*id))
    }

    fn is_used(&self, id: &RuleId) -> bool {
        let mut correlations = self.correlations();
        !self.is_disabled(id) || correlations.any(|(_, correlation)| correlation.rules.contains(id))
    }
}
