//! The rules that a command line names: by id, by name, or by their file.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::rules::{Rule, RuleError, Rules};
use crate::terminal::{harmless, note};
use crate::wording::{nearest, quoted};

/// Whether a file is meant, and not an id or a name.
pub(super) fn is_file(name: &str) -> bool {
    name.ends_with(".yml") || name.ends_with(".yaml") || Path::new(name).is_file()
}

/// The rules with an id or a name.
pub(super) fn with_name<'a>(rules: &'a Rules, name: &'a str) -> impl Iterator<Item = &'a Rule> {
    let is_named =
        move |rule: &&Rule| rule.id.as_str() == name || rule.name.as_deref() == Some(name);
    rules.iter().filter(is_named)
}

/// The rules with these ids or names, and those of these files; all if nothing is named.
pub(super) fn chosen<'a>(rules: &'a Rules, wanted: &'a [String]) -> Result<Vec<&'a Rule>> {
    if wanted.is_empty() {
        return Ok(rules.iter().collect());
    }
    let mut chosen = Vec::new();
    for name in wanted {
        if is_file(name) {
            let of_file = |rule: &&Rule| !rule.is_built_in && rule.file == *name;
            chosen.extend(rules.iter().filter(of_file));
            continue;
        }
        let before = chosen.len();
        chosen.extend(with_name(rules, name));
        ensure!(chosen.len() > before, "{}", unknown(rules, name));
    }
    Ok(chosen)
}

fn unknown(rules: &Rules, name: &str) -> String {
    let ids = rules.iter().map(|rule| rule.id.as_str());
    let names = rules.iter().filter_map(|rule| rule.name.as_deref());
    let hint = match nearest(name, names.chain(ids)) {
        Some(near) => format!("did you mean {}?", quoted(near)),
        None => "`orgtrail rules list` shows them".to_owned(),
    };
    format!(
        "there is no rule with the id or name {}; {hint}",
        quoted(name)
    )
}

/// Says on standard error what is wrong with rules.
pub(super) fn report<'a>(errors: impl IntoIterator<Item = &'a RuleError>) -> Result<()> {
    for error in errors {
        note(harmless(&error.to_string()))?;
    }
    Ok(())
}
