//! The detection of a rule: Sigma's syntax, compiled by a library, whose only user is this folder. What the library would take but not
//! understand is refused here, with its line.

mod item;
mod literals;
mod needs;
mod regexes;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rsigma_eval::{CompiledRule, compile_rule, evaluate_rule};
use rsigma_parser::{
    ConditionExpr, Detection as Selection, Detections, LogSource, SigmaRule, parse_condition,
};

use super::facts::{EntryFacts, FIRST_SEEN, LogService};
use super::needed::{Needed, NeededText};
use super::yaml::{Fault, YamlNode, cut};
use crate::field;

/// The longest condition, in bytes.
const MAX_CONDITION_LEN: usize = 2_000;

/// How many selections, values and conditions a rule may have.
const MAX_PARTS: usize = 2_000;

/// How many times `not` and `(` may occur in a condition: each may be a level.
const MAX_CONDITION_DEPTH: usize = 60;

/// A compiled detection of single events.
#[derive(Clone)]
pub struct Detection {
    service: LogService,
    rule: Arc<CompiledRule>,
    fields: BTreeSet<String>,
    has_keywords: bool,
    needed: Needed<NeededText>,
}

impl std::fmt::Debug for Detection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detection")
            .field("service", &self.service)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

impl Detection {
    /// Whether an entry, or something the service noticed, matches.
    #[must_use]
    pub fn matches(&self, facts: &EntryFacts) -> bool {
        self.service == facts.service() && evaluate_rule(&self.rule, facts).is_some()
    }

    /// What it looks at.
    #[must_use]
    pub fn service(&self) -> LogService {
        self.service
    }

    /// The fields that it reads. Keywords read all of them.
    #[must_use]
    pub fn fields(&self) -> &BTreeSet<String> {
        &self.fields
    }

    /// Whether it reads a body of a request or an answer.
    #[must_use]
    pub fn reads_bodies(&self) -> bool {
        self.has_keywords || self.fields.iter().any(|name| field::is_body(name))
    }

    /// Whether it may depend on what was not seen before.
    #[must_use]
    pub fn reads_first_seen(&self) -> bool {
        self.has_keywords || self.fields.contains(FIRST_SEEN)
    }

    /// What an entry needs for this to match it; it may need more.
    pub(super) fn needed(&self) -> &Needed<NeededText> {
        &self.needed
    }

    /// Compiles the `detection` of a rule.
    pub(super) fn compile(service: LogService, detection: &YamlNode) -> Result<Self, Fault> {
        let parts = DetectionParts::read(detection)?;
        let rule = compile_rule(&parts.rule()).map_err(|error| {
            Fault::new(detection.line, format!("the detection is wrong: {error}"))
        })?;
        Ok(Self {
            service,
            rule: Arc::new(rule),
            has_keywords: parts.has_keywords,
            needed: needs::by_conditions(&parts.conditions, &parts.selections),
            fields: parts.fields,
        })
    }
}

/// What a `detection` consists of.
#[derive(Default)]
struct DetectionParts {
    selections: HashMap<String, Selection>,
    conditions: Vec<ConditionExpr>,
    texts: Vec<String>,
    fields: BTreeSet<String>,
    has_keywords: bool,
    count: usize,
}

impl DetectionParts {
    fn read(detection: &YamlNode) -> Result<Self, Fault> {
        let members = detection
            .as_mapping()
            .ok_or_else(|| Fault::new(detection.line, "`detection` must be a mapping"))?;
        let mut parts = Self::default();
        let mut condition = None;
        for member in members {
            match member.key.as_str() {
                "condition" => condition = Some(&member.value),
                "timeframe" => {
                    let reason = "`timeframe` is not supported; use a correlation";
                    return Err(Fault::new(member.line, reason));
                }
                name => {
                    let selection = parts.selection(&member.value)?;
                    parts.selections.insert(name.to_owned(), selection);
                }
            }
        }
        let condition =
            condition.ok_or_else(|| Fault::new(detection.line, "`condition` is missing"))?;
        parts.read_conditions(condition)?;
        Ok(parts)
    }

    /// What is named and looked for in an event.
    fn selection(&mut self, node: &YamlNode) -> Result<Selection, Fault> {
        self.count(node)?;
        if node.as_mapping().is_some() {
            return self.items(node);
        }
        let Some(list) = node.as_list() else {
            return self.keywords(std::slice::from_ref(node), node);
        };
        if list.iter().all(|item| item.as_scalar().is_some()) {
            return self.keywords(list, node);
        }
        let alternatives = list.iter().map(|item| {
            if item.as_mapping().is_some() {
                self.items(item)
            } else {
                self.keywords(std::slice::from_ref(item), item)
            }
        });
        Ok(Selection::AnyOf(alternatives.collect::<Result<_, _>>()?))
    }

    /// Fields with their values, all of which must match.
    fn items(&mut self, node: &YamlNode) -> Result<Selection, Fault> {
        let members = node.as_mapping().unwrap_or_default();
        if members.is_empty() {
            return Err(Fault::new(
                node.line,
                "an empty selection matches everything",
            ));
        }
        let mut items = Vec::with_capacity(members.len());
        let mut others = Vec::new();
        for member in members {
            self.count(&member.value)?;
            let item = item::read(member)?;
            match &item.field.name {
                Some(name) => {
                    self.fields.insert(name.clone());
                    self.fields.extend(item::fields_referred_to(&item));
                }
                None => self.has_keywords = true,
            }
            if let Some(each) = item::split_keywords(&item) {
                items.extend(each);
                continue;
            }
            match item::split_null(&item) {
                Some(alternatives) => others.push(Selection::AnyOf(alternatives.into())),
                None => items.push(item),
            }
        }
        if others.is_empty() {
            return Ok(Selection::AllOf(items));
        }
        if !items.is_empty() {
            others.push(Selection::AllOf(items));
        }
        Ok(Selection::And(others))
    }

    /// Texts that may be anywhere in an event.
    fn keywords(&mut self, list: &[YamlNode], node: &YamlNode) -> Result<Selection, Fault> {
        self.has_keywords = true;
        if list.is_empty() {
            return Err(Fault::new(node.line, "an empty list matches nothing"));
        }
        Ok(Selection::AllOf(vec![item::keywords(list)?]))
    }

    fn count(&mut self, node: &YamlNode) -> Result<(), Fault> {
        self.count += 1 + node.as_list().map_or(0, <[YamlNode]>::len);
        if self.count > MAX_PARTS {
            let reason = format!("a detection has at most {MAX_PARTS} values");
            return Err(Fault::new(node.line, reason));
        }
        Ok(())
    }

    /// One condition, or several of which one must hold.
    fn read_conditions(&mut self, node: &YamlNode) -> Result<(), Fault> {
        let conditions = node.as_list().unwrap_or(std::slice::from_ref(node));
        if conditions.is_empty() {
            return Err(Fault::new(node.line, "`condition` is empty"));
        }
        for condition in conditions {
            let text = condition
                .as_text()
                .ok_or_else(|| Fault::new(condition.line, "a condition must be a text"))?;
            self.count(condition)?;
            let parsed = parse(text).map_err(|reason| Fault::new(condition.line, reason))?;
            self.check(&parsed)
                .map_err(|reason| Fault::new(condition.line, reason))?;
            self.conditions.push(parsed);
            self.texts.push(text.to_owned());
        }
        Ok(())
    }

    /// Whether everything that a condition names is there.
    fn check(&self, condition: &ConditionExpr) -> Result<(), String> {
        match condition {
            ConditionExpr::And(parts) | ConditionExpr::Or(parts) => {
                parts.iter().try_for_each(|part| self.check(part))
            }
            ConditionExpr::Not(part) => self.check(part),
            ConditionExpr::Identifier(name) if self.selections.contains_key(name) => Ok(()),
            ConditionExpr::Identifier(name) => Err(format!(
                "the condition names `{}`, which is not in the detection",
                cut(name)
            )),
            ConditionExpr::Selector { pattern, .. } => {
                let mut names = self.selections.keys();
                if names.any(|name| pattern.matches_detection_name(name)) {
                    return Ok(());
                }
                let pattern = cut(&pattern.to_string());
                Err(format!("nothing in the detection is named `{pattern}`"))
            }
        }
    }

    /// The rule in the form that the library takes. Only its detection counts.
    fn rule(&self) -> SigmaRule {
        SigmaRule {
            title: String::new(),
            logsource: LogSource::default(),
            detection: Detections {
                named: self.selections.clone(),
                conditions: self.conditions.clone(),
                condition_strings: self.texts.clone(),
                timeframe: None,
            },
            sigma_version: None,
            id: None,
            name: None,
            related: Vec::new(),
            taxonomy: None,
            status: None,
            description: None,
            license: None,
            author: None,
            references: Vec::new(),
            date: None,
            modified: None,
            fields: Vec::new(),
            falsepositives: Vec::new(),
            level: None,
            tags: Vec::new(),
            scope: Vec::new(),
            custom_attributes: HashMap::new(),
        }
    }
}

fn parse(condition: &str) -> Result<ConditionExpr, String> {
    if condition.len() > MAX_CONDITION_LEN {
        return Err(format!(
            "a condition is at most {MAX_CONDITION_LEN} bytes long"
        ));
    }
    let words = condition.split(|c: char| !c.is_ascii_alphanumeric());
    let nots = words.filter(|word| *word == "not").count();
    if nots + condition.matches('(').count() > MAX_CONDITION_DEPTH {
        return Err(format!(
            "a condition has at most {MAX_CONDITION_DEPTH} parentheses and `not`"
        ));
    }
    if condition.contains('|') {
        return Err("aggregations are not supported in a condition; use a correlation".to_owned());
    }
    parse_condition(condition).map_err(|error| {
        let at = error
            .location()
            .map_or(String::new(), |place| format!(" at column {}", place.col));
        format!("the condition cannot be read{at}")
    })
}
