//! Judges what the service noticed by the rules with `service: orgtrail`: one alert for each notice that a rule matches.
//!
//! Each such rule has its own place among the notices. The alerts and the place are one transaction, so a kill neither loses nor doubles
//! an alert.

use tracing::warn;

use super::finding;
use super::units::Unit;
use super::{Detect, InUse};
use crate::rules::{EntryFacts, Rule, RuleKind};
use crate::store::alerts::{AlertVerdict, JudgedEvents, Judgement, RuleNumber};
use crate::store::{Notice, StoreError};
use crate::task;

/// The most notices judged in one step.
const MAX_NOTICES: usize = 200;

impl Detect {
    /// Judges the next notices. Says whether there are more.
    pub(super) fn judge_notices(&mut self) -> Result<bool, StoreError> {
        let Some(from) = self.in_use.as_ref().and_then(InUse::first_noticed) else {
            return Ok(false);
        };
        let mut notices = self.store.notices_after(from, MAX_NOTICES)?;
        let Some(in_use) = self.in_use.as_mut() else {
            return Ok(false);
        };
        let has_read_all = notices.len() < MAX_NOTICES;
        // Rules that are as far judge together, until the next one joins them.
        let others = in_use.over_notices().map(|(unit, _)| unit.noticed);
        if let Some(next) = others.filter(|noticed| *noticed > from).min() {
            notices.retain(|notice| notice.number <= next);
        }
        let Some(last) = notices.last() else {
            return Ok(false);
        };
        let to = last.number;
        let mut rules: Vec<RuleNumber> = Vec::new();
        let mut verdicts = Vec::new();
        for (unit, rule) in in_use
            .over_notices()
            .filter(|(unit, _)| unit.noticed == from)
        {
            rules.push(unit.number);
            for notice in notices.iter().filter(|notice| matches(rule, notice)) {
                verdicts.push(AlertVerdict {
                    id: finding::id_of_notice(rule, notice),
                    rule: unit.number,
                    finding: Some(finding::of_notice(rule, notice, &self.mask)),
                    is_live: notice.number > unit.noticed_before,
                });
            }
        }
        let progress = JudgedEvents::Notices { rules, from, to };
        let judgement = Judgement::of_notices(progress, verdicts, self.clock.now());
        let judged = self.store.judge(&judgement)?;
        for unit in in_use.units.iter_mut().filter(|unit| unit.noticed == from) {
            if unit.rule_over_notices().is_some() {
                unit.noticed = to;
            }
        }
        // A rule that waits for this one's alerts may be retracted now.
        in_use.has_old = true;
        let is_last = in_use.first_noticed() == Some(to);
        self.report(&judgement, &judged);
        Ok(!(has_read_all && is_last))
    }
}

impl InUse {
    /// The rules over notices.
    fn over_notices(&self) -> impl Iterator<Item = (&Unit, &Rule)> {
        let units = self.units.iter();
        units.filter_map(|unit| Some((unit, &**unit.rule_over_notices()?)))
    }

    /// The number of the last notice that every rule over notices has judged; `None` without such a rule.
    fn first_noticed(&self) -> Option<u64> {
        self.over_notices().map(|(unit, _)| unit.noticed).min()
    }
}

fn matches(rule: &Rule, notice: &Notice) -> bool {
    let RuleKind::Event(detection) = &rule.kind else {
        return false;
    };
    let matches = || detection.matches(&EntryFacts::of_service(&notice.content));
    // A panic in one rule on one notice stops only that.
    task::catch(matches).unwrap_or_else(|_| {
        warn!(rule = %rule.id, notice = notice.number, "A rule could not judge a notice.");
        false
    })
}
