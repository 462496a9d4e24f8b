//! What notices say, and the times in them.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

/// What rules see of a notice beside its kind, source and time.
pub(super) fn facts<const N: usize>(of: [(&str, Value); N]) -> Map<String, Value> {
    let members = of.into_iter().map(|(name, value)| (name.to_owned(), value));
    members.collect()
}

/// When a lasting state began, as its notice says.
pub(super) fn since_of(facts: &Value) -> Option<DateTime<Utc>> {
    time(facts.get("since")?.as_str()?)
}

/// A time as notices write it.
pub(super) fn time(text: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

/// Whether something has lasted for some time.
pub(super) fn has_lasted(since: DateTime<Utc>, now: DateTime<Utc>, span: TimeDelta) -> bool {
    now - since >= span
}

/// The hour of a moment since 1970.
pub(super) fn hour_of(time: DateTime<Utc>) -> i64 {
    time.timestamp().div_euclid(3_600)
}
