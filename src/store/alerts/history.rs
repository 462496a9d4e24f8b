//! The history of each alert.

use rusqlite::{Connection, named_params};

use crate::alert::AlertChange;
use crate::store::error::StoreError;

/// Adds a change to an alert's history.
pub(super) fn note(db: &Connection, number: i64, change: &AlertChange) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO alert_change (alert, number, at_us, who, state, reason, assignee)
         SELECT :alert, 1 + coalesce(max(number), 0), :at, :who, :state, :reason, :assignee
         FROM alert_change WHERE alert = :alert",
    )?;
    insert.execute(named_params! {
        ":alert": number,
        ":at": change.at.timestamp_micros(),
        ":who": change.who,
        ":state": change.state.as_str(),
        ":reason": change.reason,
        ":assignee": change.assignee,
    })?;
    Ok(())
}
