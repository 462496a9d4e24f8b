//! The form of a diff in answers.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType};
use utoipa::{PartialSchema, ToSchema};

use crate::position::{Seq, rfc3339};

/// The most differences in one diff.
pub const MAX_DIFFERENCES: usize = 1_000;

/// About the most bytes of paths and values in one diff. Any difference alone is smaller: no body is over [`MAX_BODY_LEN`].
pub(super) const MAX_DIFF_BYTES: usize = 8 * 1024 * 1024;

/// What an event changed of its resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Diff {
    /// The event that tells of the state before; `null` when none is known.
    pub against: Option<Against>,
    /// How both states are known: `value`, `response` or `request`.
    pub basis: &'static str,
    /// `exact`, or `partial` when a state is not known as a whole, or other changes may lie between.
    pub status: &'static str,
    /// What the state after has at paths where the state before has nothing.
    pub added: Vec<Difference>,
    /// What the state before has at paths where the state after has nothing.
    pub removed: Vec<Difference>,
    /// Where both have something else.
    pub changed: Vec<Difference>,
    /// Whether there are more differences than are listed.
    pub more: bool,
}

/// The event that tells of a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Against {
    /// Its place in the log.
    pub seq: Seq,
    /// When it happened.
    #[serde(serialize_with = "as_optional_time")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub time: Option<DateTime<Utc>>,
}

fn as_optional_time<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}

/// Where two states differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Difference {
    /// The dotted path within the resource; empty for a body that is a plain value.
    pub path: String,
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// What stood there before: `null` for nothing, a list where there are several.
    pub before: Shown,
    /// What stands there now.
    pub after: Shown,
}

/// What stands at a path: its values, as JSON texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown(pub(super) Arc<Vec<String>>);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = match self.0.as_slice() {
            [] => "null".to_owned(),
            [one] => one.clone(),
            several => format!("[{}]", several.join(",")),
        };
        RawValue::from_string(text)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

impl PartialSchema for Shown {
    fn schema() -> RefOr<Schema> {
        let anything = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
        let description =
            "The value at the path; `null` for nothing, a list where there are several.";
        anything.description(Some(description)).into()
    }
}

impl ToSchema for Shown {}

impl Diff {
    /// All differences, by path.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        let lists = [&self.added, &self.removed, &self.changed];
        let mut all: Vec<Difference> = lists.into_iter().flatten().cloned().collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }
}
