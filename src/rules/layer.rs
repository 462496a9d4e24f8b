//! Which ATT&CK techniques the rules look for, as a layer of the ATT&CK Navigator.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::rule::Rule;

/// The format of layers.
const LAYER_VERSION: &str = "4.5";

/// The layer of some rules: a technique's score is the number of rules that are tagged with it.
#[must_use]
pub fn layer<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Value {
    let mut titles: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for rule in rules {
        for technique in rule.tags.iter().filter_map(|tag| technique(tag)) {
            titles.entry(technique).or_default().push(&rule.title);
        }
    }
    let most = titles.values().map(Vec::len).max().unwrap_or(0);
    let techniques: Vec<Value> = titles
        .iter()
        .map(|(technique, titles)| {
            json!({
                "techniqueID": technique,
                "score": titles.len(),
                "comment": titles.join("\n"),
                "enabled": true,
                "showSubtechniques": technique.contains('.'),
            })
        })
        .collect();
    json!({
        "name": "orgtrail",
        "versions": { "layer": LAYER_VERSION },
        "domain": "enterprise-attack",
        "description": "What orgtrail's rules look for in Cloudflare's audit logs. A technique's score is the number of its rules.",
        "sorting": 3,
        "gradient": { "colors": ["#dbeafe", "#1d4ed8"], "minValue": 0, "maxValue": most.max(1) },
        "techniques": techniques,
    })
}

/// The technique of a tag: `T1098.001` of `attack.t1098.001`. Tags of tactics and of other things have none.
fn technique(tag: &str) -> Option<String> {
    let id = tag.strip_prefix("attack.t")?;
    let is_number = |part: &str| part.len() >= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    id.split('.').all(is_number).then(|| format!("T{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_a_technique_is_told_from_others() {
        assert_eq!(technique("attack.t1098.001").as_deref(), Some("T1098.001"));
        assert_eq!(technique("attack.t1098").as_deref(), Some("T1098"));
        for tag in [
            "attack.persistence",
            "attack.tactic",
            "cve.2024.1",
            "attack.t",
            "attack.t1098.",
        ] {
            assert_eq!(technique(tag), None, "{tag}");
        }
    }
}
