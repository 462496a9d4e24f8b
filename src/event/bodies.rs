//! An event without its bodies: a copy for principals that may not see what requests and responses contain.

use serde_json::value::RawValue;

use super::{AuditEvent, Reading};
use crate::field;
use orgtrail_cloudflare::json;

/// The only name above the bodies.
const ABOVE_BODIES: &str = "resource";

/// What is nested deeper than this above the bodies is left out.
const MAX_DEPTH: usize = 64;

impl AuditEvent {
    /// The event without bodies, see [`field::is_body`]: they are cut out of its entry, its problem is that of the rest, and it
    /// has no hash, because the hash is of the whole entry.
    #[must_use]
    pub fn without_bodies(self) -> Self {
        let text = cut(self.entry.get(), "", 0);
        let entry = RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned());
        let problem = if self.is_damaged() || self.is_erased() {
            self.problem
        } else {
            Reading::of(entry.get()).problem
        };
        Self {
            entry,
            problem,
            sha256: None,
            ..self
        }
    }
}

/// The JSON text without members at paths of bodies. `path` is where the text is.
fn cut(text: &str, path: &str, depth: usize) -> String {
    let is_above = path.is_empty() || path.eq_ignore_ascii_case(ABOVE_BODIES);
    let trimmed = text.trim_start();
    if !is_above || !trimmed.starts_with(['{', '[']) {
        return text.to_owned();
    }
    if depth > MAX_DEPTH {
        return "null".to_owned();
    }
    if trimmed.starts_with('[') {
        let elements = serde_json::from_str::<Vec<&RawValue>>(text).unwrap_or_default();
        let elements = elements.iter();
        let elements: Vec<_> = elements
            .map(|element| cut(element.get(), path, depth + 1))
            .collect();
        return format!("[{}]", elements.join(","));
    }
    let members: Vec<String> = json::members(text)
        .filter_map(|(name, value)| {
            let below = match path {
                "" => name.to_string(),
                _ => format!("{path}.{name}"),
            };
            let value = (!field::is_body(&below)).then(|| cut(value, &below, depth + 1))?;
            Some(format!("{}:{value}", serde_json::Value::from(&*name)))
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_cut_in_every_form_in_which_they_are_found() {
        let check = |text: &str, expected: &str| {
            assert_eq!(cut(text, "", 0), expected);
            // What is left has no value at a path of bodies.
            json::walk(expected, |path, _| assert!(!field::is_body(path), "{path}"));
        };
        check(
            r#"{"id":"a","n":1.50,"resource":{"id":"b","request":{"x":1},"requested":2,"response":[3],"value":null}}"#,
            r#"{"id":"a","n":1.50,"resource":{"id":"b","requested":2}}"#,
        );
        check(r#"{"Resource.REQUEST":1,"resource.value.x":2}"#, "{}");
        check(
            r#"{"":{"resource":{"value":1}}}"#,
            r#"{"":{"resource":{}}}"#,
        );
        check(
            r#"[[{"resource":[{"response":1},2]}]]"#,
            r#"[[{"resource":[{},2]}]]"#,
        );
        check(
            r#"{"resourc\u0065":{"reques\u0074":1,"\"":2}}"#,
            r#"{"resource":{"\"":2}}"#,
        );
        check("\"resource\"", "\"resource\"");
    }

    #[test]
    fn what_is_nested_deeply_above_bodies_is_left_out() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(cut(&deep, "", 0).len() < 1_000);
    }
}
