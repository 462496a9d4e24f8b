//! What people do with alerts, and the removal of what earlier versions of rules left.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension};

use super::changes::ChangeTime;
use super::codec::{json, state_of};
use super::history::note;
use super::reading::{self, AlertReader};
use super::verdicts;
use crate::alert::{Alert, AlertChange, AlertId, AlertState};
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::outbox::MessageKind;
use crate::store::steps;

/// The most alerts of an earlier version of a rule that are retracted in one transaction.
const MAX_RETRACTED: usize = 200;

/// The most matches of an earlier version of a rule that are deleted in one transaction.
const MAX_DELETED: usize = 2_000;

/// Why alerts that only an earlier version of a rule raised are retracted, in their history.
const RULE_CHANGED: &str = "the rule was changed and does not raise it any more";

/// What a person changes of an alert. `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertUpdate {
    /// The new state.
    pub state: Option<AlertState>,
    /// Why.
    pub reason: Option<String>,
    /// Who works on it from then on; `Some(None)`: no person.
    pub assignee: Option<Option<String>>,
}

/// Why an alert is not changed.
#[derive(Debug, thiserror::Error)]
pub enum AlertUpdateError {
    /// There is no such alert for that reader.
    #[error("there is no such alert")]
    Unknown,
    /// It was disproved.
    #[error("the alert is retracted and cannot be changed")]
    Retracted,
    /// The log.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Changes an alert that `reader` may see, and records who did it. Gives the alert as it is then.
    ///
    /// # Errors
    /// [`AlertUpdateError`].
    pub fn update_alert(
        &self,
        id: &AlertId,
        reader: &AlertReader,
        update: &AlertUpdate,
        who: &str,
        at: DateTime<Utc>,
    ) -> Result<Alert, AlertUpdateError> {
        let outcome = self.change(steps::UPDATE_ALERT, |db| {
            let Some(number) = reading::visible_number(db, id, reader)? else {
                return Ok(Err(AlertUpdateError::Unknown));
            };
            if !change(db, number, update, who, at)? {
                return Ok(Err(AlertUpdateError::Retracted));
            }
            let time = ChangeTime::take(db, at)?;
            verdicts::announce(db, number, MessageKind::Updated, time)?;
            Ok(Ok(reading::whole(db, number)?))
        });
        outcome?
    }

    /// Removes a part of what earlier versions of rules left: versions that another one has replaced, which has judged everything,
    /// and those of the rules with the ids `silent`, which raise nothing any more. Their alerts are retracted first, then their matches
    /// are deleted. Says whether there is more to remove.
    ///
    /// # Errors
    /// What the database says.
    pub fn drop_old_rules(&self, silent: &[String], at: DateTime<Utc>) -> Result<bool, StoreError> {
        if let Some(rule) = self.ask(|db| replaced(db, silent))? {
            self.change(steps::DROP_OLD_RULE, |db| set_dropped(db, rule, 1))?;
            return Ok(true);
        }
        let Some(rule) = self.ask(being_dropped)? else {
            return Ok(false);
        };
        self.change(steps::DROP_OLD_RULE, |db| {
            if retract_some(db, rule, at)? || delete_some(db, rule)? {
                return Ok(());
            }
            set_dropped(db, rule, 2)
        })?;
        Ok(true)
    }
}

/// A version of a rule that is out of use and whose alerts are to be retracted.
fn replaced(db: &Connection, silent: &[String]) -> Result<Option<i64>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT old.number FROM alert_rule AS old
         WHERE old.left_at IS NOT NULL AND old.dropped = 0
             AND (EXISTS (SELECT 1 FROM alert_rule AS new
                          WHERE new.id = old.id AND new.left_at IS NULL AND new.judged >= new.live_from)
                  OR old.id IN (SELECT value FROM json_each(?1)))
         LIMIT 1",
    )?;
    Ok(ask
        .query_row([json(&silent)?], |row| row.get(0))
        .optional()?)
}

/// A version of a rule whose alerts and matches are being removed.
fn being_dropped(db: &Connection) -> Result<Option<i64>, StoreError> {
    let mut ask = db.prepare_cached("SELECT number FROM alert_rule WHERE dropped = 1 LIMIT 1")?;
    Ok(ask.query_row([], |row| row.get(0)).optional()?)
}

fn set_dropped(db: &Connection, rule: i64, dropped: i64) -> Result<(), StoreError> {
    let mut update = db.prepare_cached("UPDATE alert_rule SET dropped = ?2 WHERE number = ?1")?;
    update.execute((rule, dropped))?;
    Ok(())
}

/// Retracts alerts of an earlier version of a rule. Says whether there were any.
fn retract_some(db: &Connection, rule: i64, at: DateTime<Utc>) -> Result<bool, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT number FROM alert WHERE rule = ?1 AND state IN ('open', 'acknowledged', 'closed') LIMIT ?2",
    )?;
    let rows = ask.query_map((rule, MAX_RETRACTED), |row| row.get(0))?;
    let alerts: Vec<i64> = rows.collect::<Result<_, _>>()?;
    let time = ChangeTime::take(db, at)?;
    for alert in &alerts {
        verdicts::retract(db, *alert, RULE_CHANGED, time)?;
    }
    Ok(!alerts.is_empty())
}

/// Deletes matches of an earlier version of a rule. Says whether there were any.
fn delete_some(db: &Connection, rule: i64) -> Result<bool, StoreError> {
    let mut delete = db.prepare_cached(
        "DELETE FROM alert_match WHERE (rule, group_hash, time_us, tie, seq, named) IN
             (SELECT rule, group_hash, time_us, tie, seq, named FROM alert_match WHERE rule = ?1 LIMIT ?2)",
    )?;
    Ok(delete.execute((rule, MAX_DELETED))? > 0)
}

/// Changes an alert and records it; `false` when it is retracted.
fn change(
    db: &Connection,
    number: i64,
    update: &AlertUpdate,
    who: &str,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut ask = db.prepare_cached("SELECT state, assignee FROM alert WHERE number = ?1")?;
    let (state, assignee): (String, Option<String>) =
        ask.query_row([number], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let state = state_of(&state)?;
    if state == AlertState::Retracted {
        return Ok(false);
    }
    let changed = AlertChange {
        at,
        who: Some(who.to_owned()),
        state: update.state.unwrap_or(state),
        reason: update.reason.clone(),
        assignee: update.assignee.clone().unwrap_or(assignee),
    };
    let mut save =
        db.prepare_cached("UPDATE alert SET state = ?2, assignee = ?3 WHERE number = ?1")?;
    save.execute((number, changed.state.as_str(), &changed.assignee))?;
    note(db, number, &changed)?;
    Ok(true)
}
