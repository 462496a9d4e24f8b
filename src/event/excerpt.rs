//! A part of an entry: what it has at some paths.

use serde_json::value::RawValue;

use crate::field::spelled_path;
use orgtrail_cloudflare::json;

/// What is nested deeper than this above the paths is left out.
const MAX_DEPTH: usize = 64;

/// Paths of entries, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryPaths(Vec<String>);

impl EntryPaths {
    /// These, and all that is below them.
    #[must_use]
    pub fn new(paths: impl IntoIterator<Item = String>) -> Self {
        let spelled = |path: String| spelled_path(&path).into_owned();
        Self(paths.into_iter().map(spelled).collect())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether a path is one of them, or below one.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        let path = &*spelled_path(path);
        self.0.iter().any(|kept| is_or_below(path, kept))
    }

    /// Whether one of them is below a path.
    fn are_below(&self, path: &str) -> bool {
        let path = &*spelled_path(path);
        path.is_empty() || self.0.iter().any(|kept| is_or_below(kept, path))
    }

    /// What an entry has at these paths, spelled as it is; `null` where an entry has no members. What is read after `is_over` is left
    /// out.
    #[must_use]
    pub fn excerpt(&self, entry: &RawValue, is_over: &dyn Fn() -> bool) -> Box<RawValue> {
        let text = self.cut(entry.get(), "", 0, is_over);
        let text = text.unwrap_or_else(|| "null".to_owned());
        RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
    }

    /// The JSON text, which is at `path`, without what is not wanted of it; `None` when nothing is.
    fn cut(
        &self,
        text: &str,
        path: &str,
        depth: usize,
        is_over: &dyn Fn() -> bool,
    ) -> Option<String> {
        if !path.is_empty() && self.has(path) {
            return Some(text.to_owned());
        }
        let trimmed = text.trim_start();
        if depth > MAX_DEPTH || !trimmed.starts_with(['[', '{']) || !self.are_below(path) {
            return None;
        }
        // Each level reads all of its text anew.
        if is_over() {
            return None;
        }
        if trimmed.starts_with('[') {
            let elements = serde_json::from_str::<Vec<&RawValue>>(text).unwrap_or_default();
            let elements = elements.iter();
            let kept =
                elements.filter_map(|element| self.cut(element.get(), path, depth + 1, is_over));
            return Some(format!("[{}]", kept.collect::<Vec<_>>().join(",")));
        }
        let kept = json::members(text).filter_map(|(name, value)| {
            let below = match path {
                "" => name.to_string(),
                _ => format!("{path}.{name}"),
            };
            let value = self.cut(value, &below, depth + 1, is_over)?;
            Some(format!("{}:{value}", serde_json::Value::from(&*name)))
        });
        Some(format!("{{{}}}", kept.collect::<Vec<_>>().join(",")))
    }
}

/// Whether a path is another one, or goes on from it.
fn is_or_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_has_the_wanted_paths_as_they_are_spelled() {
        let check = |paths: &[&str], entry: &str, expected: &str| {
            let paths = EntryPaths::new(paths.iter().map(|path| (*path).to_owned()));
            let entry = RawValue::from_string(entry.to_owned()).unwrap();
            assert_eq!(
                paths.excerpt(&entry, &|| false).get(),
                expected,
                "{paths:?}"
            );
        };
        let entry = r#"{"id":"a","Actor":{"Email":"x","n":1.50},"tags":[{"a":1,"b":2},3,{"a":[4]}],"e":{}}"#;
        check(&["actor.email"], entry, r#"{"Actor":{"Email":"x"}}"#);
        check(
            &["ACTOR", "id"],
            entry,
            r#"{"id":"a","Actor":{"Email":"x","n":1.50}}"#,
        );
        check(&["tags.a"], entry, r#"{"tags":[{"a":1},{"a":[4]}]}"#);
        check(&["none"], entry, "{}");
        check(&["actor.e"], entry, r#"{"Actor":{}}"#);
        check(
            &["a.b"],
            r#"{"a.b":1,"a":{"b":2,"c":3},"a.bc":4}"#,
            r#"{"a.b":1,"a":{"b":2}}"#,
        );
        check(&["a"], r#"[{"a":1},2]"#, r#"[{"a":1}]"#);
        check(&["a"], "7", "null");
        check(&["a"], r#"{"":{"a":1}}"#, r#"{"":{"a":1}}"#);
    }

    #[test]
    fn what_is_nested_deeply_is_left_out() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let entry = RawValue::from_string(deep).unwrap();
        assert!(
            EntryPaths::new(["a".to_owned()])
                .excerpt(&entry, &|| false)
                .get()
                .len()
                < 1_000
        );
    }

    #[test]
    fn an_entry_that_takes_too_long_is_not_read_to_its_end() {
        let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
        let entry = RawValue::from_string(deep).unwrap();
        let looks = std::cell::Cell::new(0);
        let is_over = || {
            looks.set(looks.get() + 1);
            looks.get() > 5
        };
        let excerpt = EntryPaths::new(["a".to_owned()]).excerpt(&entry, &is_over);
        assert_eq!((excerpt.get(), looks.get()), ("[[[[[]]]]]", 6));
    }
}
