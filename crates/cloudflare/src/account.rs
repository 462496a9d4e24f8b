//! An account, as an organization lists it and as it is by itself.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::json;

/// What is read of an account. Only the id must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAccount {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// When it was created.
    pub created_at: Option<DateTime<Utc>>,
}

impl ListedAccount {
    /// Reads an item of a list, or the account itself; `None` when it has no id. Whatever else is wrong with it counts as
    /// missing.
    #[must_use]
    pub fn read(item: &RawValue) -> Option<Self> {
        let text = |name| json::text_of(item.get(), name);
        let created = text("created_on");
        Some(Self {
            id: text("id")?,
            name: text("name"),
            created_at: created
                .and_then(|text| Some(DateTime::parse_from_rfc3339(&text).ok()?.to_utc())),
        })
    }
}

/// An account as it is written. What is not known is left out.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = CloudflareAccount)]
pub struct AccountForm<'a> {
    /// When it was created, with microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub created_on: Option<String>,
    /// Its id.
    pub id: &'a str,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub name: Option<&'a str>,
    /// Its settings, which have no fixed form.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value, required = false)]
    pub settings: Option<Value>,
    /// Left out unless the request has `include_tags`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value, required = false)]
    pub tags: Option<Value>,
    /// `standard` or `enterprise`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub kind: Option<&'a str>,
}

/// A time as lists write it, with microseconds.
#[must_use]
pub fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_as_it_is_written() {
        let created = "2026-08-03T08:00:00.000001Z".parse().unwrap();
        let written = serde_json::value::to_raw_value(&AccountForm {
            created_on: Some(time_text(created)),
            id: "a",
            name: Some("N"),
            settings: Some(Value::Null),
            tags: None,
            kind: Some("standard"),
        });
        let read = ListedAccount::read(&written.unwrap());
        assert_eq!(
            read,
            Some(ListedAccount {
                id: "a".into(),
                name: Some("N".into()),
                created_at: Some(created),
            })
        );
    }

    #[test]
    fn an_account_is_followed_however_strange_the_rest_of_it_is() {
        let item = RawValue::from_string(r#"{"id":"a","name":"x\ud800","n":1e999}"#.to_owned());
        let found = ListedAccount::read(&item.unwrap()).unwrap();
        assert_eq!(
            (&*found.id, found.name.as_deref()),
            ("a", Some("x\u{fffd}"))
        );
    }
}
