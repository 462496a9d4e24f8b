//! Messages about unknown keys and variables: the key that was probably meant, and where it belongs.
//!
//! Only names are compared, never values: the value of a misspelt key may be a secret.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeValue;

use super::error::Place;
use super::header::{Header, LIKE_OURS, VARIABLE_PREFIX};
use crate::wording::{nearest, quoted};

/// Names under which people write the secret itself.
const SECRETS: [&str; 7] = [
    "token",
    "api_token",
    "apitoken",
    "api_key",
    "key",
    "secret",
    "password",
];

/// The keys that exist under each header.
pub(super) type ValidKeys = BTreeMap<Header, BTreeSet<&'static str>>;

/// An unknown key.
pub(super) struct UnknownKey {
    header: Header,
    name: String,
    pub(super) place: Place,
    /// How the file writes it, when it is a table.
    table: Option<String>,
}

impl UnknownKey {
    pub(super) fn new(header: Header, name: &str, place: Place, value: &DeValue<'_>) -> Self {
        Self {
            header,
            name: name.to_owned(),
            place,
            table: header_of(name, value),
        }
    }

    /// How the key begins that names the place of the secret, if somebody has written a secret here.
    fn key_of_secret(&self) -> Option<&'static str> {
        let name = self.name.to_ascii_lowercase();
        let is_secret = SECRETS.contains(&name.as_str());
        match self.header {
            Header::Each("alerts.destinations") if name == "url" => Some("url"),
            Header::Each("alerts.destinations") if is_secret => Some("secret"),
            _ if is_secret => Some("token"),
            _ => None,
        }
    }

    /// The message about it, once all keys are known.
    pub(super) fn unknown_key(&self, known: &ValidKeys) -> String {
        let name = &self.name;
        if let Some(key) = self.key_of_secret() {
            return format!(
                "unknown key {}: secrets are not allowed in this file; name an environment variable in `{key}_env` or \
                 a file in `{key}_file`",
                quoted(name)
            );
        }
        let unknown = match &self.table {
            Some(table) => format!("unknown table {}", quoted(table)),
            None => format!("unknown key {} {}", quoted(name), self.header),
        };
        let home = known.iter().find(|(_, keys)| keys.contains(name.as_str()));
        if let Some((header, _)) = home {
            return format!("{unknown}: it belongs {header}");
        }
        let here = known.get(&self.header).into_iter().flatten().copied();
        match nearest(name, here.clone()) {
            Some(near) => format!("{unknown}, did you mean `{near}`?"),
            None => {
                let names: Vec<String> = here.map(|name| format!("`{name}`")).collect();
                format!("{unknown}: there are {}", names.join(", "))
            }
        }
    }
}

/// How the file writes a table of this name; `None` for other values.
fn header_of(name: &str, value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Table(_) => Some(format!("[{name}]")),
        DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()) => {
            Some(format!("[[{name}]]"))
        }
        _ => None,
    }
}

/// The message about a variable that has our prefix and sets no key.
pub(super) fn unknown_variable(name: &str, known: &BTreeSet<String>) -> String {
    let key_of = |name| str::strip_prefix(name, VARIABLE_PREFIX);
    let keys = known.iter().filter_map(|name| key_of(name));
    match nearest(key_of(name).unwrap_or(name), keys) {
        Some(near) => format!("no key has this variable, did you mean `{VARIABLE_PREFIX}{near}`?"),
        None => format!(
            "no key has this variable: it is `{VARIABLE_PREFIX}TABLE__KEY`, as in `{VARIABLE_PREFIX}HTTP__LISTEN`, and \
             `[[organizations]]` and `[[accounts]]` are in the file only"
        ),
    }
}

/// The message about a variable with nearly our prefix, which has no effect.
pub(super) fn unused_variable(name: &str, known: &BTreeSet<String>) -> String {
    let bare = |name: &str| {
        let rest = name.strip_prefix(LIKE_OURS).unwrap_or(name);
        rest.trim_start_matches('_').replace("__", "_")
    };
    let meant: BTreeMap<String, &String> = known.iter().map(|name| (bare(name), name)).collect();
    let near = nearest(&bare(name), meant.keys().map(String::as_str));
    match near.and_then(|near| meant.get(near)) {
        Some(near) => {
            format!(
                "the variable {} has no effect, did you mean `{near}`?",
                quoted(name)
            )
        }
        None => format!(
            "the variable {} has no effect: variables that set a key begin with `{VARIABLE_PREFIX}`",
            quoted(name)
        ),
    }
}
