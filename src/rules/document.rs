//! One YAML document as a rule: which keys it may have, and what they must say.

use std::sync::Arc;

use serde_json::{Value, json};

use super::cases::{self, Case};
use super::correlation::{self, Unresolved};
use super::detection::Detection;
use super::facts::LogService;
use super::rule::{RuleHash, RuleId, RuleStatus};
use super::yaml::{Fault, YamlNode, cut};
use crate::alert::Level;
use crate::event::sha256;

/// The longest id, name, title or tag, in bytes.
const MAX_NAME_LEN: usize = 256;

/// The most tags and false positives.
const MAX_ITEMS: usize = 50;

/// Changes when the same text comes to mean other matches.
const HASH_VERSION: u32 = 1;

/// Changes when `first_seen` has another meaning.
const FIRST_SEEN_VERSION: u32 = 1;

/// The keys that a rule may have.
const KEYS: [&str; 22] = [
    "title",
    "id",
    "name",
    "related",
    "taxonomy",
    "status",
    "description",
    "license",
    "author",
    "references",
    "date",
    "modified",
    "logsource",
    "detection",
    "correlation",
    "generate",
    "fields",
    "falsepositives",
    "level",
    "tags",
    "scope",
    // Ours.
    "tests",
];

/// A document that was read. References to other rules are not resolved yet.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) id: RuleId,
    pub(super) id_line: usize,
    pub(super) name: Option<String>,
    pub(super) title: String,
    pub(super) level: Level,
    pub(super) status: RuleStatus,
    pub(super) tags: Vec<String>,
    pub(super) description: String,
    pub(super) falsepositives: Vec<String>,
    pub(super) cases: Vec<Case>,
    pub(super) line: usize,
    pub(super) text: Arc<str>,
    pub(super) body: RuleBody,
}

/// What decides a document's matches.
#[derive(Debug)]
pub(super) enum RuleBody {
    Event(Detection, RuleHash),
    /// With the text that its hash is made from, apart from the hashes of the rules that it names.
    Correlation(Unresolved, String),
}

/// Reads a document; `text` is its YAML.
pub(super) fn read(node: &YamlNode, text: Arc<str>) -> Result<Document, Fault> {
    let members = node
        .as_mapping()
        .ok_or_else(|| Fault::new(node.line, "a rule must be a mapping"))?;
    for member in members {
        if member.key == "filter" || member.key == "action" {
            let reason = format!("`{}` is not supported", member.key);
            return Err(Fault::new(member.line, reason));
        }
        if !KEYS.contains(&member.key.as_str()) {
            let reason = format!(
                "unknown key `{}`; the only key beside Sigma's is `tests`",
                cut(&member.key)
            );
            return Err(Fault::new(member.line, reason));
        }
    }
    let id = name(node, "id")?;
    let (id_line, id) = id.ok_or_else(|| Fault::new(node.line, "`id` is missing"))?;
    let title = name(node, "title")?;
    let (_, title) = title.ok_or_else(|| Fault::new(node.line, "`title` is missing"))?;
    Ok(Document {
        id: RuleId(id),
        id_line,
        name: name(node, "name")?.map(|(_, name)| name),
        title,
        level: level(node)?,
        status: status(node)?,
        tags: list(node, "tags")?,
        description: text_of(node, "description")?,
        falsepositives: list(node, "falsepositives")?,
        cases: node
            .get("tests")
            .map(cases::read)
            .transpose()?
            .unwrap_or_default(),
        line: node.line,
        text,
        body: body(node)?,
    })
}

fn body(node: &YamlNode) -> Result<RuleBody, Fault> {
    match (node.get("detection"), node.get("correlation")) {
        (Some(detection), None) => {
            if let Some(generate) = node.get("generate") {
                let reason = "`generate` belongs to correlations";
                return Err(Fault::new(generate.line, reason));
            }
            let service = service(node)?;
            let compiled = Detection::compile(service, detection)?;
            // The fields under our names: a name that comes to mean another field is another detection.
            let mut decides = json!({
                "service": service.as_str(),
                "detection": detection.to_json(),
                "fields": compiled.fields(),
            });
            if compiled.reads_first_seen() {
                decides["first_seen"] = json!(FIRST_SEEN_VERSION);
            }
            let hash = hash_of(&decides.to_string());
            Ok(RuleBody::Event(compiled, hash))
        }
        (None, Some(correlation)) => {
            if let Some(logsource) = node.get("logsource") {
                let reason = "a correlation has no `logsource`: its rules have";
                return Err(Fault::new(logsource.line, reason));
            }
            let unresolved = correlation::read(correlation, node.get("generate"))?;
            Ok(RuleBody::Correlation(
                unresolved,
                correlation.to_json().to_string(),
            ))
        }
        (Some(_), Some(correlation)) => Err(Fault::new(
            correlation.line,
            "a rule has either `detection` or `correlation`",
        )),
        (None, None) => Err(Fault::new(
            node.line,
            "a rule needs a `detection` or a `correlation`",
        )),
    }
}

/// The hash of a JSON text, whatever the order of its members.
pub(super) fn hash_of(decides: &str) -> RuleHash {
    let canonical = orgtrail_cloudflare::json::canonical(decides);
    RuleHash(sha256(
        format!("orgtrail rule {HASH_VERSION}\n{canonical}").as_bytes(),
    ))
}

/// What `logsource` says the rule looks at.
fn service(node: &YamlNode) -> Result<LogService, Fault> {
    let logsource = node
        .get("logsource")
        .ok_or_else(|| Fault::new(node.line, "`logsource` is missing"))?;
    let members = logsource
        .as_mapping()
        .ok_or_else(|| Fault::new(logsource.line, "`logsource` must be a mapping"))?;
    for member in members {
        if !["product", "service", "definition"].contains(&member.key.as_str()) {
            let reason = format!(
                "`{}` in `logsource` is not known; entries have `product: cloudflare` and `service: audit`",
                cut(&member.key)
            );
            return Err(Fault::new(member.line, reason));
        }
    }
    let value = |key| {
        logsource
            .get(key)
            .map(|value| value.as_text().unwrap_or(""))
    };
    match (value("product"), value("service")) {
        (Some("cloudflare"), None | Some("audit")) => Ok(LogService::Audit),
        (Some("cloudflare"), Some("orgtrail")) => Ok(LogService::Orgtrail),
        _ => Err(Fault::new(
            logsource.line,
            "the log source is not `product: cloudflare` with `service: audit` or `service: orgtrail`",
        )),
    }
}

/// A short text on one line, with its line.
fn name(node: &YamlNode, key: &str) -> Result<Option<(usize, String)>, Fault> {
    let Some(value) = node.get(key) else {
        return Ok(None);
    };
    let text = value.as_text().map(str::trim).unwrap_or_default();
    if text.is_empty() || text.len() > MAX_NAME_LEN || text.contains(char::is_control) {
        let reason = format!("`{key}` must be a text of one line, of at most {MAX_NAME_LEN} bytes");
        return Err(Fault::new(value.line, reason));
    }
    Ok(Some((value.line, text.to_owned())))
}

fn text_of(node: &YamlNode, key: &str) -> Result<String, Fault> {
    let Some(value) = node.get(key) else {
        return Ok(String::new());
    };
    let text = value.as_text();
    let text = text.ok_or_else(|| Fault::new(value.line, format!("`{key}` must be a text")))?;
    Ok(text.trim().to_owned())
}

fn list(node: &YamlNode, key: &str) -> Result<Vec<String>, Fault> {
    let Some(value) = node.get(key) else {
        return Ok(Vec::new());
    };
    let items = value.as_list().unwrap_or(std::slice::from_ref(value));
    if items.len() > MAX_ITEMS {
        let reason = format!("`{key}` has more than {MAX_ITEMS} items");
        return Err(Fault::new(value.line, reason));
    }
    let texts = items
        .iter()
        .map(|item| match item.as_text().map(str::trim) {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(Fault::new(
                item.line,
                format!("an item of `{key}` must be a text"),
            )),
        });
    texts.collect()
}

fn level(node: &YamlNode) -> Result<Level, Fault> {
    let Some(value) = node.get("level") else {
        return Ok(Level::Medium);
    };
    let level = value.as_text().and_then(Level::by_name);
    level.ok_or_else(|| {
        let reason = "`level` is informational, low, medium, high or critical";
        Fault::new(value.line, reason)
    })
}

fn status(node: &YamlNode) -> Result<RuleStatus, Fault> {
    let Some(value) = node.get("status") else {
        return Ok(RuleStatus::Experimental);
    };
    let name = value
        .as_scalar()
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut all = RuleStatus::ALL.into_iter();
    all.find(|status| status.as_str() == name).ok_or_else(|| {
        let reason = "`status` is stable, test, experimental, deprecated or unsupported";
        Fault::new(value.line, reason)
    })
}
