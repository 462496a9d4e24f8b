//! Rules that belong together: found by id, and which of them raise alerts. Does not know where they come from.

use std::collections::{BTreeMap, BTreeSet};

use super::detection::Detection;
use super::rule::{Correlation, Rule, RuleId, RuleKind};

/// Rules that were checked together: each id and name once, each reference resolved. Sorted by id.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: BTreeMap<RuleId, Rule>,
    /// Rules that raise nothing although a correlation may name them.
    disabled: BTreeSet<RuleId>,
}

impl Rules {
    pub(super) fn insert(&mut self, rule: Rule) {
        self.rules.insert(rule.id.clone(), rule);
    }

    /// Turns rules off.
    pub(super) fn disable(&mut self, ids: &[String]) {
        self.disabled = ids.iter().cloned().map(RuleId).collect();
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
