//! Whether an alert is not sent because one of its rule and group was sent lately.

use rusqlite::{Connection, named_params};

use super::queue::SendPolicy;
use crate::store::error::StoreError;

/// The group of alerts of rules without group-by. It is never suppressed.
pub(super) const NO_GROUP: &str = "{}";

/// A question whether an alert is suppressed at a destination.
pub(super) struct Suppressing<'a> {
    pub(super) destination: i64,
    pub(super) message: i64,
    pub(super) rule: &'a str,
    pub(super) group: &'a str,
    pub(super) raised_us: i64,
}

impl Suppressing<'_> {
    /// Whether an earlier one of the same rule and group was sent, alone or in a digest, and raised within the span. One that was
    /// retracted since does not count: the receiver knows nothing of the group then.
    pub(super) fn is_suppressed(
        &self,
        db: &Connection,
        policy: SendPolicy,
    ) -> Result<bool, StoreError> {
        let span = policy.suppress.num_microseconds().unwrap_or(i64::MAX);
        if self.group == NO_GROUP || span == 0 {
            return Ok(false);
        }
        let mut ask = db.prepare_cached(
            "SELECT EXISTS (
                 SELECT 1 FROM message m JOIN delivery d ON d.message = m.id AND d.destination = :destination
                 WHERE m.rule = :rule AND m.raised_us > :since AND m.raised_us <= :raised AND m.grouped_by = :group
                       AND m.kind = 'raised' AND m.id < :message
                       AND (d.state = 'accepted' OR (d.state = 'in_digest' AND EXISTS (
                           SELECT 1 FROM delivery whole
                           WHERE whole.destination = d.destination AND whole.message = d.digest AND whole.state = 'accepted')))
                       AND NOT EXISTS (
                           SELECT 1 FROM message r
                           WHERE r.alert = m.alert AND r.kind = 'retracted' AND r.id > m.id AND r.id < :message))",
        )?;
        let found = ask.query_row(
            named_params! {
                ":destination": self.destination,
                ":message": self.message,
                ":rule": self.rule,
                ":group": self.group,
                ":since": self.raised_us.saturating_sub(span),
                // One of a clock that was ahead does not count for years.
                ":raised": self.raised_us,
            },
            |row| row.get(0),
        )?;
        Ok(found)
    }
}
