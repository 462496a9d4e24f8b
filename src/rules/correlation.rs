//! The `correlation` of a rule, read from YAML. Windows, groups and verdicts are in event time and ours; the library's are not used.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::names::our_name;
use super::rule::{Comparison, Correlation, CorrelationTest, RuleId, Threshold};
use super::yaml::{Fault, YamlNode, cut};

/// The longest window.
pub(super) const LONGEST: TimeDelta = TimeDelta::days(31);

/// The most rules that a correlation names.
const MAX_RULES: usize = 20;

/// The most fields that matches are grouped by.
const MAX_GROUP_BY: usize = 10;

/// The largest number in a condition.
const MAX_NUMBER: u64 = 1_000_000;

const KEYS: [&str; 8] = [
    "type",
    "rules",
    "group-by",
    "timespan",
    "timeframe",
    "condition",
    "aliases",
    "generate",
];

/// A correlation whose references to other rules are still texts.
#[derive(Debug, Clone)]
pub(super) struct Unresolved {
    test: CorrelationTest,
    /// Ids or names, with their lines.
    pub(super) rules: Vec<(usize, String)>,
    group_by: Vec<String>,
    /// Field by rule, by alias, with the lines of the rules.
    aliases: BTreeMap<String, Vec<(usize, String, String)>>,
    timespan: TimeDelta,
    generate: bool,
}

impl Unresolved {
    /// With ids instead of references. `resolve` finds the id that a reference means.
    pub(super) fn resolve(
        self,
        resolve: impl Fn(usize, &str) -> Result<RuleId, Fault>,
    ) -> Result<Correlation, Fault> {
        let rules = self.rules.iter();
        let rules = rules.map(|(line, reference)| resolve(*line, reference));
        let rules: Vec<RuleId> = rules.collect::<Result<_, _>>()?;
        let mut aliases = BTreeMap::new();
        for (alias, fields) in self.aliases {
            let mut of_rule = BTreeMap::new();
            for (line, reference, field) in fields {
                let id = resolve(line, &reference)?;
                if !rules.contains(&id) {
                    let reason = format!(
                        "the alias names `{}`, which is not in `rules`",
                        cut(&reference)
                    );
                    return Err(Fault::new(line, reason));
                }
                of_rule.insert(id, field);
            }
            aliases.insert(alias, of_rule);
        }
        Ok(Correlation {
            test: self.test,
            rules,
            group_by: self.group_by,
            aliases,
            timespan: self.timespan,
            generate: self.generate,
        })
    }
}

/// Reads the mapping under `correlation`; `generate` is what the rule says beside it.
pub(super) fn read(node: &YamlNode, generate: Option<&YamlNode>) -> Result<Unresolved, Fault> {
    let members = node
        .as_mapping()
        .ok_or_else(|| Fault::new(node.line, "`correlation` must be a mapping"))?;
    for member in members {
        if !KEYS.contains(&member.key.as_str()) {
            let reason = format!("unknown key `{}` in `correlation`", cut(&member.key));
            return Err(Fault::new(member.line, reason));
        }
    }
    let aliases = node.get("aliases").map(aliases).transpose()?;
    let aliases = aliases.unwrap_or_default();
    let named = |name: String| {
        if aliases.contains_key(&name) {
            name
        } else {
            our_name(&name)
        }
    };
    let rules = texts(node, "rules", MAX_RULES)?;
    if rules.is_empty() {
        return Err(Fault::new(
            node.line,
            "`rules` of the correlation is missing",
        ));
    }
    let group_by = texts(node, "group-by", MAX_GROUP_BY)?;
    let generate = match node.get("generate").or(generate) {
        None => false,
        Some(value) => value
            .as_scalar()
            .and_then(serde_json::Value::as_bool)
            .ok_or_else(|| Fault::new(value.line, "`generate` is true or false"))?,
    };
    Ok(Unresolved {
        test: test(node, &named)?,
        rules,
        group_by: group_by.into_iter().map(|(_, name)| named(name)).collect(),
        timespan: timespan(node)?,
        aliases,
        generate,
    })
}

fn test(node: &YamlNode, named: &impl Fn(String) -> String) -> Result<CorrelationTest, Fault> {
    let kind = node
        .get("type")
        .ok_or_else(|| Fault::new(node.line, "`type` of the correlation is missing"))?;
    let condition = node.get("condition");
    let needed = || {
        condition.ok_or_else(|| Fault::new(node.line, "`condition` of the correlation is missing"))
    };
    match kind.as_text() {
        Some("event_count") => Ok(CorrelationTest::EventCount(threshold(needed()?, false)?)),
        Some("value_count") => {
            let condition = needed()?;
            let field = condition
                .get("field")
                .and_then(YamlNode::as_text)
                .ok_or_else(|| {
                    Fault::new(condition.line, "`field` of the condition must be one field")
                })?;
            let field = named(field.to_owned());
            Ok(CorrelationTest::ValueCount(
                field,
                threshold(condition, true)?,
            ))
        }
        Some(ordered @ ("temporal" | "temporal_ordered")) => match condition {
            Some(condition) => Err(Fault::new(
                condition.line,
                "a temporal correlation has no condition: all of its rules must match",
            )),
            None if ordered == "temporal" => Ok(CorrelationTest::Temporal),
            None => Ok(CorrelationTest::TemporalOrdered),
        },
        _ => Err(Fault::new(
            kind.line,
            "`type` is event_count, value_count, temporal or temporal_ordered",
        )),
    }
}

fn threshold(node: &YamlNode, has_field: bool) -> Result<Threshold, Fault> {
    let members = node.as_mapping().ok_or_else(|| {
        Fault::new(
            node.line,
            "the condition must be a mapping such as `gte: 10`",
        )
    })?;
    let mut comparisons = Vec::new();
    for member in members {
        let comparison = match member.key.as_str() {
            "lt" => Comparison::Lt,
            "lte" => Comparison::Lte,
            "gt" => Comparison::Gt,
            "gte" => Comparison::Gte,
            "eq" => Comparison::Eq,
            "neq" => Comparison::Neq,
            "field" if has_field => continue,
            key => {
                let reason = format!("unknown key `{}` in the condition", cut(key));
                return Err(Fault::new(member.line, reason));
            }
        };
        let number = member.value.as_scalar().and_then(serde_json::Value::as_u64);
        let number = number
            .filter(|number| *number <= MAX_NUMBER)
            .ok_or_else(|| {
                let reason = format!("the number of a condition is from 0 to {MAX_NUMBER}");
                Fault::new(member.line, reason)
            })?;
        comparisons.push((comparison, number));
    }
    if comparisons.is_empty() {
        return Err(Fault::new(node.line, "the condition compares with nothing"));
    }
    Ok(Threshold(comparisons))
}

/// The texts of a list, or the one text, with their lines.
fn texts(node: &YamlNode, key: &str, most: usize) -> Result<Vec<(usize, String)>, Fault> {
    let Some(value) = node.get(key) else {
        return Ok(Vec::new());
    };
    let items = value.as_list().unwrap_or(std::slice::from_ref(value));
    if items.len() > most {
        return Err(Fault::new(
            value.line,
            format!("`{key}` has more than {most} items"),
        ));
    }
    let texts = items.iter().map(|item| match item.as_text() {
        Some(text) if !text.is_empty() => Ok((item.line, text.to_owned())),
        _ => Err(Fault::new(
            item.line,
            format!("an item of `{key}` must be a text"),
        )),
    });
    texts.collect()
}

fn timespan(node: &YamlNode) -> Result<TimeDelta, Fault> {
    let value = node
        .get("timespan")
        .or_else(|| node.get("timeframe"))
        .ok_or_else(|| Fault::new(node.line, "`timespan` of the correlation is missing"))?;
    let span = value.as_text().and_then(read_timespan);
    let is_sound = |span: &TimeDelta| *span > TimeDelta::zero() && *span <= LONGEST;
    span.filter(is_sound).ok_or_else(|| {
        let reason = "`timespan` is a whole number and `s`, `m`, `h`, `d` or `w`, up to 31 days";
        Fault::new(value.line, reason)
    })
}

fn read_timespan(text: &str) -> Option<TimeDelta> {
    let (at, _) = text.char_indices().next_back()?;
    let (number, unit) = text.split_at(at);
    let number: i64 = number
        .parse()
        .ok()
        .filter(|number| *number <= 1_000_000_000)?;
    match unit {
        "s" => TimeDelta::try_seconds(number),
        "m" => TimeDelta::try_minutes(number),
        "h" => TimeDelta::try_hours(number),
        "d" => TimeDelta::try_days(number),
        "w" => TimeDelta::try_weeks(number),
        _ => None,
    }
}

type Aliases = BTreeMap<String, Vec<(usize, String, String)>>;

fn aliases(node: &YamlNode) -> Result<Aliases, Fault> {
    let wrong = |line| Fault::new(line, "`aliases` is a mapping: alias, rule, field");
    let members = node.as_mapping().ok_or_else(|| wrong(node.line))?;
    if members.len() > MAX_GROUP_BY {
        let reason = format!("more than {MAX_GROUP_BY} aliases");
        return Err(Fault::new(node.line, reason));
    }
    let mut aliases = BTreeMap::new();
    for alias in members {
        let fields = alias.value.as_mapping().ok_or_else(|| wrong(alias.line))?;
        let fields = fields.iter().map(|member| {
            let field = member.value.as_text().ok_or_else(|| wrong(member.line))?;
            Ok((member.line, member.key.clone(), our_name(field)))
        });
        aliases.insert(alias.key.clone(), fields.collect::<Result<_, _>>()?);
    }
    Ok(aliases)
}
