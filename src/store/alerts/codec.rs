//! Values of alerts in the columns of their rows.

use serde::Serialize;

use crate::alert::AlertState;
use crate::store::error::StoreError;

pub(super) fn state_of(name: &str) -> Result<AlertState, StoreError> {
    AlertState::by_name(name)
        .ok_or_else(|| StoreError::Damaged(format!("an alert has the unknown state `{name}`")))
}

/// The JSON of a value of ours.
pub(super) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Damaged(format!("a value cannot be written as JSON: {error}")))
}
