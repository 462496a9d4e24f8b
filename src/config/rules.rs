//! The keys of `[alerts]` that say which rules are used.

use super::error::Read;
use super::kinds;
use super::reader::Table;
use super::value::Value;
use super::values::RulesConfig;

/// The most rules that can be turned off.
const MAX_DISABLED: usize = 2_000;

/// The longest id of a rule, in bytes.
const MAX_ID_LEN: usize = 256;

/// Reads them from `[alerts]`.
pub(super) fn read(table: &mut Table<'_, '_>) -> Option<RulesConfig> {
    let dir = table.take("rules_dir", None, kinds::path_or_nothing);
    let disabled = table.take("disabled", Vec::new(), ids);
    Some(RulesConfig {
        dir: dir.value?,
        disabled: disabled.value?,
    })
}

fn ids(value: &Value<'_>) -> Read<Vec<String>> {
    let wanted = "a list of rule ids, as `orgtrail rules list` shows them";
    let ids = value.list(wanted, MAX_DISABLED, id)?;
    Ok(ids.into_iter().map(|(id, _)| id).collect())
}

fn id(value: &Value<'_>) -> Read<String> {
    let text = value.text("the id of a rule, in quotes")?;
    if text.trim().is_empty() || text.len() > MAX_ID_LEN {
        return value.refuse("the id of a rule is a text, as `orgtrail rules list` shows it");
    }
    Ok(text.to_owned())
}
