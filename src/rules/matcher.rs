//! All detections together, prepared to be asked about one entry after another. Most detections cannot match most entries, which few cheap
//! tests show; only the others are evaluated.

use std::collections::HashMap;

use super::detection::Detection;
use super::facts::EntryFacts;
use super::needed::{Needed, NeededText};
use super::rule::{Rule, RuleId, RuleKind};
use super::set::Rules;

/// The place of a rule over single events in a [`RuleMatcher`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RulePlace(usize);

/// The detections of some rules.
#[derive(Debug, Default)]
pub struct RuleMatcher {
    rules: Vec<PreparedRule>,
    /// What some rule needs, each once.
    texts: Vec<NeededText>,
    places: HashMap<RuleId, RulePlace>,
}

#[derive(Debug)]
struct PreparedRule {
    id: RuleId,
    detection: Detection,
    /// By the places of the texts.
    needed: Needed<usize>,
}

impl RuleMatcher {
    /// Prepares the rules over single events.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        Self::of(rules.iter())
    }

    /// Prepares those of some rules that are over single events.
    #[must_use]
    pub fn of<'r>(rules: impl Iterator<Item = &'r Rule>) -> Self {
        let mut matcher = Self::default();
        let mut known: HashMap<NeededText, usize> = HashMap::new();
        for rule in rules {
            let RuleKind::Event(detection) = &rule.kind else {
                continue;
            };
            let place_of_text = &mut |text: &NeededText| {
                let next = known.len();
                *known.entry(text.clone()).or_insert_with(|| {
                    matcher.texts.push(text.clone());
                    next
                })
            };
            let needed = detection.needed().map(place_of_text);
            let place = RulePlace(matcher.rules.len());
            matcher.places.insert(rule.id.clone(), place);
            matcher.rules.push(PreparedRule {
                id: rule.id.clone(),
                detection: detection.clone(),
                needed,
            });
        }
        matcher
    }

    /// Where a rule over single events is.
    #[must_use]
    pub fn place(&self, rule: &RuleId) -> Option<RulePlace> {
        self.places.get(rule).copied()
    }

    /// Asks about an entry.
    #[must_use]
    pub fn ask<'a>(&'a self, facts: &'a EntryFacts) -> MatchedEntry<'a> {
        MatchedEntry {
            matcher: self,
            facts,
            texts: vec![None; self.texts.len()],
            rules: vec![None; self.rules.len()],
        }
    }

    /// The rules that match an entry.
    pub fn matches<'a>(&'a self, facts: &'a EntryFacts) -> impl Iterator<Item = &'a RuleId> {
        let mut entry = self.ask(facts);
        let places = (0..self.rules.len()).map(RulePlace);
        places
            .filter(move |place| entry.matches(*place))
            .map(|place| &self.rules[place.0].id)
    }
}

/// Which rules match one entry. Each is evaluated once at most.
#[derive(Debug)]
pub struct MatchedEntry<'a> {
    matcher: &'a RuleMatcher,
    facts: &'a EntryFacts,
    texts: Vec<Option<bool>>,
    rules: Vec<Option<bool>>,
}

impl<'a> MatchedEntry<'a> {
    /// What rules see of the entry.
    #[must_use]
    pub fn facts(&self) -> &'a EntryFacts {
        self.facts
    }

    /// The id of a rule.
    #[must_use]
    pub fn id_of(&self, place: RulePlace) -> &'a RuleId {
        &self.matcher.rules[place.0].id
    }

    /// Whether a rule matches. After a panic in it, it does not.
    pub fn matches(&mut self, place: RulePlace) -> bool {
        if let Some(known) = self.rules[place.0] {
            return known;
        }
        self.rules[place.0] = Some(false);
        let rule = &self.matcher.rules[place.0];
        let matches = self.may_match(&rule.needed) && rule.detection.matches(self.facts);
        self.rules[place.0] = Some(matches);
        matches
    }

    fn may_match(&mut self, needed: &Needed<usize>) -> bool {
        let (matcher, facts) = (self.matcher, self.facts);
        needed.is_met(&mut |place| {
            *self.texts[*place].get_or_insert_with(|| facts.may_have(&matcher.texts[*place]))
        })
    }
}
