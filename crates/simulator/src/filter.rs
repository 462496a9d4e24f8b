//! The filters of one request for an audit log, tested entry by entry.
//!
//! Values of one parameter are alternatives; different parameters must all hold; a `.not` drops what it matches.
//! An entry that is not JSON, or lacks the member, matches nothing.

use serde_json::Value;

use orgtrail_cloudflare::filter::{self, Sense};
use orgtrail_cloudflare::source::SourceKind;

/// The filters of one request.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    tests: Vec<FilterTest>,
}

#[derive(Debug)]
struct FilterTest {
    path: &'static str,
    sense: Sense,
    values: Vec<FilterValue>,
}

/// A value to compare with.
#[derive(Debug)]
struct FilterValue {
    value: String,
    /// The value as it is in a JSON text, without quotation marks.
    needle: String,
}

impl Filters {
    /// The filters among a request's parameters; a name that this kind of log does not have is ignored, as upstream
    /// ignores every parameter it does not know.
    ///
    /// # Errors
    /// Says what is wrong with a value.
    pub(crate) fn parse(kind: SourceKind, parameters: &[(String, String)]) -> Result<Self, String> {
        let tests = filter::read(kind, parameters)?;
        let tests = tests.into_iter().map(|wanted| FilterTest {
            path: wanted.filter.path,
            sense: wanted.sense,
            values: wanted.values.into_iter().map(FilterValue::new).collect(),
        });
        Ok(Self {
            tests: tests.collect(),
        })
    }

    /// The filter that lets the entry of this id through.
    pub(crate) fn of_id(id: &str) -> Self {
        let test = FilterTest {
            path: "id",
            sense: Sense::Keeps,
            values: vec![FilterValue::new(id.to_owned())],
        };
        Self { tests: vec![test] }
    }

    /// Whether there is nothing to test, and entries need not be read.
    pub(crate) fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// Whether the filters let this entry through. `is_ours` says that the simulator wrote it itself, in its one way to
    /// write a value: a text that does not hold a wanted one need not be taken apart.
    pub(crate) fn keep(&self, entry: &str, is_ours: bool) -> bool {
        if self.is_empty() {
            return true;
        }
        if is_ours && !self.tests.iter().all(|test| test.may_keep(entry)) {
            return false;
        }
        let entry: Value = serde_json::from_str(entry).unwrap_or_default();
        self.tests.iter().all(|test| {
            let found = test
                .path
                .split('.')
                .try_fold(&entry, |part, name| part.get(name));
            found.is_some_and(|found| test.matches(found)) == (test.sense == Sense::Keeps)
        })
    }
}

impl FilterValue {
    fn new(value: String) -> Self {
        let quoted = Value::from(value.as_str()).to_string();
        let inside = quoted.len().saturating_sub(1);
        Self {
            needle: quoted.get(1..inside).unwrap_or_default().to_owned(),
            value,
        }
    }
}

impl FilterTest {
    fn may_keep(&self, entry: &str) -> bool {
        self.sense == Sense::Drops
            || self
                .values
                .iter()
                .any(|wanted| entry.contains(&wanted.needle))
    }

    fn matches(&self, found: &Value) -> bool {
        let is_wanted = |text: &str| self.values.iter().any(|wanted| wanted.value == text);
        match found {
            Value::String(text) => is_wanted(text),
            Value::Number(number) => is_wanted(&number.to_string()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps(kind: SourceKind, query: &str, entry: &str) -> bool {
        let parameters: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let filters = Filters::parse(kind, &parameters).unwrap();
        let kept = filters.keep(entry, false);
        assert_eq!(filters.keep(entry, true), kept, "{query} {entry}");
        kept
    }

    #[test]
    fn alternatives_within_a_parameter_and_all_parameters_together() {
        let entry = r#"{"id":"x","action":{"type":"create"},"actor":{"email":"a@example.com"},"raw":{"status_code":200}}"#;
        let check = |query, expect| {
            assert_eq!(keeps(SourceKind::Account, query, entry), expect, "{query}");
        };
        check("", true);
        check("page=2", true);
        check("action_type=create", true);
        check("action_type=delete&action_type=create", true);
        check("action_type=create,delete", false);
        check("action_type=create&actor_email=b@example.com", false);
        check("raw_status_code=200", true);
        check("raw_status_code.not=200", false);
        check("actor_email.not=b@example.com", true);
        check(
            "actor_email.not=b@example.com&actor_email.not=a@example.com",
            false,
        );
        check("resource_id=", false);
        check("resource_id.not=x", true);
        check("id=y&audit_log_id=x", true);
    }

    #[test]
    fn categories_stand_for_their_products_and_unite_with_them() {
        let entry = r#"{"resource":{"product":"gateway"}}"#;
        let check = |query, expect| {
            assert_eq!(keeps(SourceKind::Account, query, entry), expect, "{query}");
        };
        check("product_category=ZeroTrust", true);
        check("product_category=dns", false);
        check("product_category=dns&resource_product=gateway", true);
        assert!(keeps(
            SourceKind::Organization,
            "product_category=dns",
            entry
        ));
        let unknown = [("product_category".to_owned(), "cheese".to_owned())];
        assert!(Filters::parse(SourceKind::Account, &unknown).is_err());
    }

    #[test]
    fn strange_entries_match_nothing() {
        for entry in [
            "",
            "7",
            "null",
            "[]",
            r#"{"action":"create"}"#,
            r#"{"action":{"type":{}}}"#,
        ] {
            assert!(
                !keeps(SourceKind::Organization, "action_type=create", entry),
                "{entry}"
            );
            assert!(
                keeps(SourceKind::Organization, "action_type.not=create", entry),
                "{entry}"
            );
        }
    }
}
