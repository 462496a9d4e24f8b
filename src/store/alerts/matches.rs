//! The matches of correlations.

use rusqlite::Connection;

use super::known::RuleNumber;
use crate::position::Seq;
use crate::store::error::StoreError;
use crate::store::handle::Store;

/// What tells a group of a correlation from its others: the beginning of a keyed hash.
pub type GroupHash = [u8; 16];

/// A match of a rule that a correlation names. Ordered as a correlation looks at its matches: by time, ties by source, identity and
/// content hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MatchRow {
    /// The event's time, or when it was received if it has none that can be read, in microseconds since 1970.
    pub at_us: i64,
    /// Orders matches of one time: source, identity and content hash, see [`MatchRow::tie`].
    pub tie: Vec<u8>,
    /// The event.
    pub seq: Seq,
    /// Which of the rules that the correlation names matched, from 0.
    pub named: u32,
    /// What tells the counted value from others; `None` when it is missing, or nothing is counted.
    pub value: Option<GroupHash>,
    /// How many seconds after its time the event was received.
    pub late_s: i64,
}

impl MatchRow {
    /// What orders matches of one time. Each part ends before any longer one that begins with it.
    #[must_use]
    pub fn tie(source: &str, identity: &str, content: &str) -> Vec<u8> {
        [source, identity, content].join("\0").into_bytes()
    }

    /// The name of the event's source.
    #[must_use]
    pub fn source(&self) -> String {
        let end = self.tie.iter().position(|byte| *byte == 0);
        String::from_utf8_lossy(&self.tie[..end.unwrap_or(self.tie.len())]).into_owned()
    }
}

impl Store {
    /// The matches of a correlation in a group whose times are in `[since_us, before_us)`, in order.
    ///
    /// # Errors
    /// What the database says.
    pub fn matches(
        &self,
        rule: RuleNumber,
        group: &GroupHash,
        since_us: i64,
        before_us: i64,
    ) -> Result<Vec<MatchRow>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT time_us, tie, seq, named, value_hash, late_s FROM alert_match
                 WHERE rule = ?1 AND group_hash = ?2 AND time_us >= ?3 AND time_us < ?4
                 ORDER BY time_us, tie, seq, named",
            )?;
            let rows = ask.query_map((rule.0, group, since_us, before_us), |row| {
                Ok(MatchRow {
                    at_us: row.get(0)?,
                    tie: row.get(1)?,
                    seq: Seq(row.get(2)?),
                    named: row.get(3)?,
                    value: row.get(4)?,
                    late_s: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// Keeps a match, unless it is there.
pub(super) fn keep(
    db: &Connection,
    rule: RuleNumber,
    group: &GroupHash,
    row: &MatchRow,
) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO alert_match (rule, group_hash, time_us, tie, seq, named, value_hash, late_s)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
    )?;
    insert.execute((
        rule.0, group, row.at_us, &row.tie, row.seq.0, row.named, row.value, row.late_s,
    ))?;
    Ok(())
}

/// Removes a match, if it is there.
pub(super) fn remove(
    db: &Connection,
    rule: RuleNumber,
    group: &GroupHash,
    row: &MatchRow,
) -> Result<(), StoreError> {
    let mut delete = db.prepare_cached(
        "DELETE FROM alert_match
         WHERE rule = ?1 AND group_hash = ?2 AND time_us = ?3 AND tie = ?4 AND seq = ?5 AND named = ?6",
    )?;
    delete.execute((rule.0, group, row.at_us, &row.tie, row.seq.0, row.named))?;
    Ok(())
}
