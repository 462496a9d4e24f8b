//! What is judged by itself: a rule over single events that raises alerts, a correlation, or the pairs of `first_seen`. Each has its
//! own place in the log.

use std::sync::Arc;

use crate::event::sha256;
use crate::position::Seq;
use crate::rules::{LogService, Rule, RuleKind, RuleMatcher, RulePlace, Rules};
use crate::store::alerts::{KnownRule, PAIRS_ID, RuleNumber, RuleVersion};

use super::pairs;

/// What is judged by itself.
pub(super) struct Unit {
    pub(super) number: RuleNumber,
    pub(super) judged: Seq,
    pub(super) live_from: Seq,
    /// It has judged every notice up to the one with this number.
    pub(super) noticed: u64,
    /// The notices up to the one with this number were there before it.
    pub(super) noticed_before: u64,
    pub(super) what: What,
}

/// What a unit is.
pub(super) enum What {
    /// A rule that raises alerts.
    Rule(RaisingRule),
    /// The pairs of `first_seen`.
    Pairs,
}

/// A rule over single events or a correlation, and where what it asks is.
#[derive(Clone)]
pub(super) struct RaisingRule {
    pub(super) rule: Arc<Rule>,
    /// Itself, or the rules that it names, in their order.
    pub(super) asks: Vec<RulePlace>,
}

impl RaisingRule {
    pub(super) fn new(rule: Arc<Rule>, matcher: &RuleMatcher) -> Self {
        let ids = match &rule.kind {
            RuleKind::Event(_) => std::slice::from_ref(&rule.id),
            RuleKind::Correlation(correlation) => &correlation.rules,
        };
        let asks = ids.iter().filter_map(|id| matcher.place(id)).collect();
        Self { rule, asks }
    }
}

impl Unit {
    pub(super) fn is_behind(&self) -> bool {
        self.judged < self.live_from
    }

    /// Whether it notes the pairs of `first_seen`.
    pub(super) fn is_of_pairs(&self) -> bool {
        matches!(self.what, What::Pairs)
    }

    /// The rule, if it looks at what the service noticed.
    pub(super) fn rule_over_notices(&self) -> Option<&Arc<Rule>> {
        let What::Rule(RaisingRule { rule, .. }) = &self.what else {
            return None;
        };
        let is_over_notices = matches!(&rule.kind, RuleKind::Event(detection) if detection.service() == LogService::Orgtrail);
        is_over_notices.then_some(rule)
    }

    /// Whether what it finds depends on what occurred first.
    pub(super) fn reads_first_seen(&self) -> bool {
        matches!(&self.what, What::Rule(raising) if raising.rule.reads_first_seen)
    }

    /// Whether it has judged an event that the follower has come to.
    pub(super) fn has_judged(&self, seq: Seq) -> bool {
        seq <= self.judged || seq > self.live_from
    }
}

/// The rules in `rules` that raise alerts by themselves, by id.
pub(super) fn raising(rules: &Rules) -> Vec<Arc<Rule>> {
    let raises = |rule: &&Rule| match rule.kind {
        RuleKind::Event(_) => rules.generates(&rule.id),
        RuleKind::Correlation(_) => !rules.is_disabled(&rule.id),
    };
    rules.iter().filter(raises).cloned().map(Arc::new).collect()
}

/// The ids of rules that are there and in use, and raise nothing by themselves: a correlation names them.
pub(super) fn silent(rules: &Rules) -> Vec<String> {
    let is_silent = |rule: &&Rule| !rules.is_disabled(&rule.id) && !rules.generates(&rule.id);
    let silent = rules.iter().filter(is_silent);
    let silent = silent.filter(|rule| matches!(rule.kind, RuleKind::Event(_)));
    silent.map(|rule| rule.id.0.clone()).collect()
}

/// What the log calls these rules and the pairs.
pub(super) fn versions(raising: &[Arc<Rule>]) -> Vec<RuleVersion> {
    let of_rules = raising.iter().map(|rule| RuleVersion {
        id: rule.id.0.clone(),
        hash: rule.hash.0,
    });
    let pairs = RuleVersion {
        id: PAIRS_ID.to_owned(),
        hash: sha256(pairs::VERSION),
    };
    of_rules.chain([pairs]).collect()
}

/// The units of these rules, with how far the log says they are.
pub(super) fn units(
    raising: &[Arc<Rule>],
    matcher: &RuleMatcher,
    known: Vec<KnownRule>,
) -> Vec<Unit> {
    let units = known.into_iter().filter_map(|known| {
        let what = if known.version.id == PAIRS_ID {
            What::Pairs
        } else {
            let rule = raising.iter().find(|rule| rule.id.0 == known.version.id)?;
            What::Rule(RaisingRule::new(Arc::clone(rule), matcher))
        };
        Some(Unit {
            number: known.number,
            judged: known.judged,
            live_from: known.live_from,
            noticed: known.noticed,
            noticed_before: known.noticed_before,
            what,
        })
    });
    units.collect()
}
