//! Rules as lists show them: `/v1/rules` and `orgtrail rules list`.

use serde::Serialize;
use utoipa::ToSchema;

use super::rule::{Rule, RuleError, RuleId, RuleKind, RuleStatus};
use super::set::Rules;
use crate::alert::Level;

/// All rules, and why the others cannot be used.
#[derive(Debug, Serialize)]
pub struct RuleList<'a> {
    /// The rules, by level from the most serious, then by title.
    pub rules: Vec<ListedRule<'a>>,
    /// What is wrong with those that cannot be used.
    pub errors: &'a [RuleError],
}

/// A rule in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rule)]
pub struct ListedRule<'a> {
    /// Its id.
    pub id: &'a RuleId,
    /// Its title.
    pub title: &'a str,
    /// How serious its alerts are.
    pub level: Level,
    /// How mature it is.
    pub status: RuleStatus,
    /// Its tags.
    pub tags: &'a [String],
    /// What it finds, why it matters, what to do next.
    pub description: &'a str,
    /// What else looks like it.
    pub falsepositives: &'a [String],
    /// `event` or `correlation`.
    pub kind: &'static str,
    /// Whether it raises alerts: it is not turned off, nor only a part of a correlation.
    pub raises: bool,
    /// Whether it was turned off.
    pub disabled: bool,
    /// Whether it is built in.
    pub built_in: bool,
    /// The name of its file.
    pub file: &'a str,
    /// What decides its matches, as hexadecimal digits.
    pub hash: String,
    /// How many tests it has.
    pub tests: usize,
}

impl Rules {
    /// All rules as a list.
    #[must_use]
    pub fn list<'a>(&'a self, errors: &'a [RuleError]) -> RuleList<'a> {
        let mut rules: Vec<_> = self.iter().map(|rule| self.listed(rule)).collect();
        rules.sort_by(|a, b| (b.level, a.title, a.id).cmp(&(a.level, b.title, b.id)));
        RuleList { rules, errors }
    }

    fn listed<'a>(&self, rule: &'a Rule) -> ListedRule<'a> {
        let is_correlation = matches!(rule.kind, RuleKind::Correlation(_));
        ListedRule {
            id: &rule.id,
            title: &rule.title,
            level: rule.level,
            status: rule.status,
            tags: &rule.tags,
            description: &rule.description,
            falsepositives: &rule.falsepositives,
            kind: if is_correlation {
                "correlation"
            } else {
                "event"
            },
            raises: self.generates(&rule.id),
            disabled: self.is_disabled(&rule.id),
            built_in: rule.is_built_in,
            file: &rule.file,
            hash: rule.hash.to_string(),
            tests: rule.cases.len(),
        }
    }
}
