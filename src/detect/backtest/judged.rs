//! A rule that is run over the log: what it matches in some events.

use super::first_seen::FirstSeenMarks;
use super::reading::ReadEvent;
use crate::detect::matched::CorrelationMatch;
use crate::detect::units::RaisingRule;
use crate::detect::verdict::Span;
use crate::rules::{Correlation, RuleMatcher};
use crate::task;

/// Groups are hashed, so that they are found quickly. Nothing leaves this process.
pub(super) const KEY: [u8; 32] = [0; 32];

/// A rule, and what it needs.
pub(super) struct JudgedRule<'a> {
    pub(super) raising: RaisingRule,
    pub(super) matcher: &'a RuleMatcher,
    pub(super) first_seen: &'a FirstSeenMarks,
}

impl JudgedRule<'_> {
    /// Whether a rule over single events matches. After a panic it does not, as in the follower.
    pub(super) fn matches(&self, one: &ReadEvent) -> bool {
        let seen = self.first_seen.facts(one);
        let mut asked = self.matcher.ask(seen.as_ref().unwrap_or(&one.facts));
        let mut places = self.raising.asks.iter();
        places.any(|place| task::catch(|| asked.matches(*place)).unwrap_or(false))
    }

    /// The matches of a correlation's rules in some events whose times are in a span.
    pub(super) fn correlated(
        &self,
        correlation: &Correlation,
        events: &[ReadEvent],
        span: Span,
    ) -> Vec<CorrelationMatch> {
        let mut found = Vec::new();
        for one in events.iter().filter(|one| span.contains(one.at_us())) {
            let seen = self.first_seen.facts(one);
            let facts = seen.as_ref().unwrap_or(&one.facts);
            let mut asked = self.matcher.ask(facts);
            let named = self.raising.asks.iter().zip(&correlation.rules);
            for (number, (place, named)) in (0_u32..).zip(named) {
                if task::catch(|| asked.matches(*place)).unwrap_or(false) {
                    let named = (number, named);
                    let event = &one.event;
                    found.push(CorrelationMatch::of(correlation, named, event, facts, &KEY));
                }
            }
        }
        found
    }
}
