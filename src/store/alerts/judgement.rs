//! What one step of judging came to, and how it is written down: all of it with its progress, or nothing.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::changes::ChangeTime;
use super::finding::{AlertVerdict, Judged};
use super::first_seen::{self, NewPair};
use super::known::{DETECT, RuleNumber};
use super::matches::{GroupHash, MatchRow};
use super::{matches, verdicts};
use crate::position::Seq;
use crate::store::error::StoreError;
use crate::store::followers::{self, Checkpoint};
use crate::store::handle::Store;
use crate::store::reading::is_damage;
use crate::store::steps;

/// What one step of judging came to.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// Which events were judged.
    pub progress: JudgedEvents,
    /// New matches of correlations.
    pub matches: Vec<NewMatch>,
    /// Matches of correlations that are none any more.
    pub gone: Vec<NewMatch>,
    /// What alerts are now.
    pub verdicts: Vec<AlertVerdict>,
    /// Events that could not be judged because they are damaged.
    pub skipped: BTreeSet<Seq>,
    /// Pairs that the events have.
    pub pairs: Vec<NewPair>,
    /// Our present.
    pub at: DateTime<Utc>,
}

/// Which events a step has judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JudgedEvents {
    /// The next ones after the follower's checkpoint, by every rule in use.
    New {
        /// The checkpoint before.
        from: Seq,
        /// The checkpoint after.
        to: Checkpoint,
    },
    /// Events that were there before some rules, by those rules.
    Backlog {
        /// The rules.
        rules: Vec<RuleNumber>,
        /// They had judged all events up to this one.
        from: Seq,
        /// They have judged all events up to this one.
        to: Seq,
    },
    /// Notices, by the rules over them.
    Notices {
        /// The rules.
        rules: Vec<RuleNumber>,
        /// They had judged all notices up to the one with this number.
        from: u64,
        /// They have judged all notices up to the one with this number.
        to: u64,
    },
    /// Events that were damaged before, by every rule in use.
    Readable(Vec<Seq>),
}

/// A match of a correlation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMatch {
    /// The correlation.
    pub rule: RuleNumber,
    /// The group.
    pub group: GroupHash,
    /// The match.
    pub row: MatchRow,
}

impl Judgement {
    /// What judging notices came to.
    #[must_use]
    pub fn of_notices(
        progress: JudgedEvents,
        verdicts: Vec<AlertVerdict>,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            progress,
            matches: Vec::new(),
            gone: Vec::new(),
            verdicts,
            skipped: BTreeSet::new(),
            pairs: Vec::new(),
            at,
        }
    }
}

impl Store {
    /// Writes down what a step of judging came to.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] when the rules are not where the step began; otherwise what the database says.
    pub fn judge(&self, judgement: &Judgement) -> Result<Judged, StoreError> {
        self.change(steps::JUDGE, |db| {
            judgement.progress.save(db)?;
            for old in &judgement.gone {
                matches::remove(db, old.rule, &old.group, &old.row)?;
            }
            for new in &judgement.matches {
                matches::keep(db, new.rule, &new.group, &new.row)?;
            }
            for pair in &judgement.pairs {
                first_seen::note(db, pair)?;
            }
            let mut skip = db.prepare_cached(
                "INSERT INTO alert_skipped (seq) VALUES (?1) ON CONFLICT (seq) DO NOTHING",
            )?;
            for seq in &judgement.skipped {
                skip.execute([seq.0])?;
            }
            let mut judged = Judged::default();
            let time = ChangeTime::take(db, judgement.at)?;
            for verdict in &judgement.verdicts {
                verdicts::apply(db, verdict, time, &mut judged)?;
            }
            Ok(judged)
        })
    }

    /// Which of the events after `after` up to `upto` were backfilled or imported. A damaged row does not tell; it counts as new.
    ///
    /// # Errors
    /// What the database says.
    pub fn history_among(&self, after: Seq, upto: Seq) -> Result<BTreeSet<Seq>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT seq FROM event WHERE seq > ?1 AND seq <= ?2 AND is_history = 1",
            )?;
            let mut among = |after: u64, upto: u64| -> Result<BTreeSet<Seq>, rusqlite::Error> {
                let rows = ask.query_map((after, upto), |row| Ok(Seq(row.get(0)?)))?;
                rows.collect()
            };
            match among(after.0, upto.0) {
                Ok(found) => return Ok(found),
                Err(error) if is_damage(&error) => {}
                Err(error) => return Err(error.into()),
            }
            let mut found = BTreeSet::new();
            for seq in after.0..upto.0 {
                match among(seq, seq + 1) {
                    Ok(one) => found.extend(one),
                    Err(error) if is_damage(&error) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(found)
        })
    }

    /// Events after `after` that no rule has judged because they are damaged, at most `limit`.
    ///
    /// # Errors
    /// What the database says.
    pub fn skipped_by_rules(&self, after: Seq, limit: usize) -> Result<Vec<Seq>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT seq FROM alert_skipped WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            )?;
            let rows = ask.query_map((after.0, limit), |row| Ok(Seq(row.get(0)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

impl JudgedEvents {
    fn save(&self, db: &Connection) -> Result<(), StoreError> {
        match self {
            Self::New { from, to } => followers::advance(db, DETECT, *from, to),
            Self::Backlog { rules, from, to } => {
                let mut update = db.prepare_cached(
                    "UPDATE alert_rule SET judged = ?3 WHERE number = ?1 AND judged = ?2 AND left_at IS NULL",
                )?;
                for rule in rules {
                    if update.execute((rule.0, from.0, to.0))? != 1 {
                        return Err(StoreError::Overtaken(DETECT.to_owned()));
                    }
                }
                Ok(())
            }
            Self::Notices { rules, from, to } => {
                let mut update = db.prepare_cached(
                    "UPDATE alert_rule SET noticed = ?3 WHERE number = ?1 AND noticed = ?2 AND left_at IS NULL",
                )?;
                for rule in rules {
                    if update.execute((rule.0, from, to))? != 1 {
                        return Err(StoreError::Overtaken(DETECT.to_owned()));
                    }
                }
                Ok(())
            }
            Self::Readable(seqs) => {
                let mut delete = db.prepare_cached("DELETE FROM alert_skipped WHERE seq = ?1")?;
                for seq in seqs {
                    delete.execute([seq.0])?;
                }
                Ok(())
            }
        }
    }
}
