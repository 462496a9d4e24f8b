//! Raises, changes and retracts alerts, as verdicts say.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, named_params};

use super::changes::{self, ChangeTime};
use super::codec::{json, state_of};
use super::erased::hide_if_erased;
use super::finding::{AlertVerdict, AlertedEvent, Finding, Judged};
use super::history::note;
use super::known::RuleNumber;
use super::reading;
use crate::alert::{AlertChange, AlertState};
use crate::position::Seq;
use crate::store::error::StoreError;
use crate::store::outbox::enqueue::enqueue;
use crate::store::outbox::{Message, MessageKind};

/// Why an alert is retracted, in its history.
const DISPROVED: &str = "entries that came late disproved it";

/// Why an alert that was retracted is open again, in its history.
const RAISED_AGAIN: &str = "entries that came late raised it again";

/// An alert as it was before a verdict.
struct StoredAlert {
    number: i64,
    rule: RuleNumber,
    state: AlertState,
    is_history: bool,
}

/// What a verdict does to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AlertEffect {
    /// It is raised, or raised again, or shown for the first time to those who do not see history.
    Raised,
    /// It has other events.
    Updated,
}

/// Makes an alert what a verdict says.
pub(super) fn apply(
    db: &Connection,
    verdict: &AlertVerdict,
    time: ChangeTime,
    judged: &mut Judged,
) -> Result<(), StoreError> {
    let stored = stored(db, verdict)?;
    let (number, effect) = match (stored, &verdict.finding) {
        (None, None) => return Ok(()),
        (None, Some(finding)) => (raise(db, verdict, finding, time)?, AlertEffect::Raised),
        (Some(stored), Some(finding)) => match change(db, &stored, verdict, finding, time)? {
            Some(effect) => (stored.number, effect),
            None => return Ok(()),
        },
        (Some(stored), None) => {
            // What another version raised is retracted when this one has judged everything.
            if stored.state == AlertState::Retracted || stored.rule != verdict.rule {
                return Ok(());
            }
            retract(db, stored.number, DISPROVED, time)?;
            judged.retracted += 1;
            return Ok(());
        }
    };
    // An event may have been erased after it was judged.
    hide_if_erased(db, number)?;
    if effect == AlertEffect::Raised {
        let level = verdict.finding.as_ref().map(|finding| finding.rule.level);
        judged.raised.extend(level);
    }
    let change = match effect {
        AlertEffect::Raised => MessageKind::Raised,
        AlertEffect::Updated => MessageKind::Updated,
    };
    announce(db, number, change, time)
}

/// Notes that an alert was changed, and puts the message about it into the outbox.
pub(super) fn announce(
    db: &Connection,
    number: i64,
    change: MessageKind,
    time: ChangeTime,
) -> Result<(), StoreError> {
    changes::note(db, number, change, time)?;
    let mut ask = db.prepare_cached("SELECT is_history FROM alert WHERE number = ?1")?;
    let message = Message {
        alert: reading::listed(db, number)?,
        change,
        at: time.at,
        history: ask.query_row([number], |row| row.get(0))?,
    };
    enqueue(db, &message)
}

fn stored(db: &Connection, verdict: &AlertVerdict) -> Result<Option<StoredAlert>, StoreError> {
    let mut ask =
        db.prepare_cached("SELECT number, rule, state, is_history FROM alert WHERE id = ?1")?;
    let found = ask.query_row([&verdict.id.0], |row| {
        let state: String = row.get(2)?;
        Ok((row.get(0)?, RuleNumber(row.get(1)?), state, row.get(3)?))
    });
    let Some((number, rule, state, is_history)) = found.optional()? else {
        return Ok(None);
    };
    Ok(Some(StoredAlert {
        number,
        rule,
        state: state_of(&state)?,
        is_history,
    }))
}

/// Keeps a new alert.
fn raise(
    db: &Connection,
    verdict: &AlertVerdict,
    finding: &Finding,
    time: ChangeTime,
) -> Result<i64, StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO alert (id, rule, rule_id, title, level, tags, reads_bodies, grouped_by, state, first_us, last_us, raised_us,
             late_s, events, summary, is_history, changed_us)
         VALUES (:id, :rule, :rule_id, '', '', '', 0, '', 'open', 0, 0, :at, 0, 0, '', :history, 0)",
    )?;
    insert.execute(named_params! {
        ":id": verdict.id.0,
        ":rule": verdict.rule.0,
        ":rule_id": finding.rule.id,
        ":at": time.at.timestamp_micros(),
        ":history": !verdict.is_live,
    })?;
    let number = db.last_insert_rowid();
    describe(db, number, verdict.rule, finding)?;
    save_events(db, number, &BTreeSet::new(), finding)?;
    note(db, number, &opened(time.at, None))?;
    Ok(number)
}

/// Makes a stored alert what was found. Says whether that must be known elsewhere.
fn change(
    db: &Connection,
    stored: &StoredAlert,
    verdict: &AlertVerdict,
    finding: &Finding,
    time: ChangeTime,
) -> Result<Option<AlertEffect>, StoreError> {
    let before = events_of(db, stored.number)?;
    let has_other_events = before.len() != finding.events.len()
        || finding.events.iter().any(|event| !before.contains(event));
    let is_retracted = stored.state == AlertState::Retracted;
    if has_other_events || is_retracted || stored.rule != verdict.rule {
        describe(db, stored.number, verdict.rule, finding)?;
        save_events(db, stored.number, &before, finding)?;
    }
    if is_retracted {
        let mut reopen = db.prepare_cached(
            "UPDATE alert SET state = 'open', raised_us = ?2, is_history = ?3 WHERE number = ?1",
        )?;
        reopen.execute((stored.number, time.at.timestamp_micros(), !verdict.is_live))?;
        note(db, stored.number, &opened(time.at, Some(RAISED_AGAIN)))?;
        return Ok(Some(AlertEffect::Raised));
    }
    if stored.is_history && verdict.is_live && has_other_events {
        let mut update = db.prepare_cached("UPDATE alert SET is_history = 0 WHERE number = ?1")?;
        update.execute([stored.number])?;
        return Ok(Some(AlertEffect::Raised));
    }
    Ok(has_other_events.then_some(AlertEffect::Updated))
}

/// Writes down what an alert says, but not its events.
fn describe(
    db: &Connection,
    number: i64,
    rule: RuleNumber,
    finding: &Finding,
) -> Result<(), StoreError> {
    let mut update = db.prepare_cached(
        "UPDATE alert SET rule = :rule, title = :title, level = :level, tags = :tags, reads_bodies = :bodies, grouped_by = :group,
             first_us = :first, last_us = :last, late_s = :late, events = :events, summary = :summary
         WHERE number = :number",
    )?;
    let noticed_us = finding.noticed_us.unwrap_or_default();
    let (first, last) = (finding.events.first(), finding.events.last());
    update.execute(named_params! {
        ":number": number,
        ":rule": rule.0,
        ":title": finding.rule.title,
        ":level": finding.rule.level.as_str(),
        ":tags": json(&finding.rule.tags)?,
        ":bodies": finding.reads_bodies,
        ":group": json(&finding.group)?,
        ":first": first.map_or(noticed_us, |event| event.at_us),
        ":last": last.map_or(noticed_us, |event| event.at_us),
        ":late": finding.late_s,
        ":events": finding.events.len(),
        ":summary": finding.summary,
    })?;
    Ok(())
}

fn events_of(db: &Connection, number: i64) -> Result<BTreeSet<AlertedEvent>, StoreError> {
    let mut ask = db.prepare_cached("SELECT time_us, seq FROM alert_event WHERE alert = ?1")?;
    let rows = ask.query_map([number], |row| {
        Ok(AlertedEvent {
            at_us: row.get(0)?,
            seq: Seq(row.get(1)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes down which events an alert has, and of which sources.
fn save_events(
    db: &Connection,
    number: i64,
    before: &BTreeSet<AlertedEvent>,
    finding: &Finding,
) -> Result<(), StoreError> {
    let after: BTreeSet<AlertedEvent> = finding.events.iter().copied().collect();
    let mut delete = db
        .prepare_cached("DELETE FROM alert_event WHERE alert = ?1 AND time_us = ?2 AND seq = ?3")?;
    for event in before.difference(&after) {
        delete.execute((number, event.at_us, event.seq.0))?;
    }
    let mut insert =
        db.prepare_cached("INSERT INTO alert_event (alert, time_us, seq) VALUES (?1, ?2, ?3)")?;
    for event in after.difference(before) {
        insert.execute((number, event.at_us, event.seq.0))?;
    }
    let mut clear = db.prepare_cached("DELETE FROM alert_source WHERE alert = ?1")?;
    clear.execute([number])?;
    let mut insert =
        db.prepare_cached("INSERT INTO alert_source (alert, source) VALUES (?1, ?2)")?;
    for source in &finding.sources {
        insert.execute((number, source))?;
    }
    Ok(())
}

/// Retracts an alert.
pub(super) fn retract(
    db: &Connection,
    number: i64,
    reason: &str,
    time: ChangeTime,
) -> Result<(), StoreError> {
    let mut update = db.prepare_cached("UPDATE alert SET state = 'retracted' WHERE number = ?1")?;
    update.execute([number])?;
    let mut ask = db.prepare_cached("SELECT assignee FROM alert WHERE number = ?1")?;
    let change = AlertChange {
        at: time.at,
        who: None,
        state: AlertState::Retracted,
        reason: Some(reason.to_owned()),
        assignee: ask.query_row([number], |row| row.get(0))?,
    };
    note(db, number, &change)?;
    announce(db, number, MessageKind::Retracted, time)
}

fn opened(at: DateTime<Utc>, reason: Option<&str>) -> AlertChange {
    AlertChange {
        at,
        who: None,
        state: AlertState::Open,
        reason: reason.map(str::to_owned),
        assignee: None,
    }
}
