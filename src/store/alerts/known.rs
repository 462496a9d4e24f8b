//! Which versions of which rules have judged which events.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::position::Seq;
use crate::store::error::StoreError;
use crate::store::followers::{self, Checkpoint};
use crate::store::handle::{Store, newest_seq};
use crate::store::notices;
use crate::store::reading::is_damage;
use crate::store::steps;

/// The name of the follower that keeps alerts.
pub const DETECT: &str = "detect";

/// The id under which the log says how far the pairs of `first_seen` are noted. No rule has it: it has a line break.
pub const PAIRS_ID: &str = "first_seen\n";

/// The name in `meta` of the key of the hashes that groups, values and pairs are kept as.
const KEY_NAME: &str = "detect_key";

/// A version of a rule, by the number that the log gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleNumber(pub(crate) i64);

/// A rule in use, by what decides its matches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleVersion {
    /// Its id.
    pub id: String,
    /// The hash of what decides its matches.
    pub hash: [u8; 32],
}

/// How far a rule in use has judged the log: all but the events after `judged` up to `live_from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRule {
    /// The version.
    pub version: RuleVersion,
    /// Its number.
    pub number: RuleNumber,
    /// It has judged every event up to this one.
    pub judged: Seq,
    /// It judges every event after this one as it comes.
    pub live_from: Seq,
    /// It has judged every notice up to the one with this number.
    pub noticed: u64,
    /// The notices up to the one with this number were there before it.
    pub noticed_before: u64,
}

impl KnownRule {
    /// Whether there are events before its own time that it has not judged.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.judged < self.live_from
    }
}

/// The rules in use, and what judging needs beside them.
#[derive(Debug, Clone)]
pub struct KnownRules {
    /// Each rule in use.
    pub rules: Vec<KnownRule>,
    /// How far the follower has come.
    pub checkpoint: Checkpoint,
    /// The key of the hashes that groups, values and pairs are kept as.
    pub key: [u8; 32],
}

impl Store {
    /// Takes these rules into use instead of those before. A version that was never in use has all events up to the checkpoint before
    /// it; one that comes back has those that it missed.
    ///
    /// On its first use in a log, the follower begins at the log's head: what is there already is history.
    ///
    /// # Errors
    /// What the database says.
    pub fn use_rules(&self, versions: &[RuleVersion]) -> Result<KnownRules, StoreError> {
        self.change(steps::USE_RULES, |db| {
            let checkpoint = begin(db)?;
            leave(db, versions, checkpoint.seq)?;
            for version in versions {
                take_into_use(db, version, checkpoint.seq)?;
            }
            Ok(KnownRules {
                rules: in_use(db)?,
                checkpoint,
                key: key(db)?,
            })
        })
    }

    /// The rules in use, as they were last saved.
    ///
    /// # Errors
    /// What the database says.
    pub fn rules_in_use(&self) -> Result<Vec<KnownRule>, StoreError> {
        self.ask(in_use)
    }
}

/// The follower's checkpoint; the log's head when it has none yet.
fn begin(db: &Connection) -> Result<Checkpoint, StoreError> {
    if let Some(checkpoint) = followers::saved(db, DETECT)? {
        return Ok(checkpoint);
    }
    let head = newest_seq(db)?;
    let mut ask = db.prepare_cached("SELECT hex(sha256) FROM event WHERE seq = ?1")?;
    let sha256 = match ask.query_row([head.0], |row| row.get::<_, String>(0)) {
        Ok(hash) => Some(hash.to_lowercase()),
        Err(rusqlite::Error::QueryReturnedNoRows) => None,
        Err(error) if is_damage(&error) => None,
        Err(error) => return Err(error.into()),
    };
    let checkpoint = Checkpoint { seq: head, sha256 };
    followers::advance(db, DETECT, Seq::ZERO, &checkpoint)?;
    Ok(checkpoint)
}

/// Takes out of use what is in use and not among `versions`.
fn leave(db: &Connection, versions: &[RuleVersion], checkpoint: Seq) -> Result<(), StoreError> {
    let wanted: HashSet<&RuleVersion> = versions.iter().collect();
    let mut update = db.prepare_cached("UPDATE alert_rule SET left_at = ?2 WHERE number = ?1")?;
    for known in in_use(db)? {
        if !wanted.contains(&known.version) {
            update.execute((known.number.0, checkpoint.0))?;
        }
    }
    Ok(())
}

fn take_into_use(
    db: &Connection,
    version: &RuleVersion,
    checkpoint: Seq,
) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached(
        // A version between may have changed the alerts of one that comes back: then it judges everything again.
        "INSERT INTO alert_rule (id, hash, judged, live_from, noticed_before) VALUES (?1, ?2, 0, ?3, ?4)
         ON CONFLICT (id, hash) WHERE dropped = 0 DO UPDATE SET
             noticed = iif(EXISTS (SELECT 1 FROM alert_rule AS other
                                   WHERE other.id = ?1 AND other.hash <> ?2 AND other.dropped = 0), 0, noticed),
             noticed_before = ?4,
             judged = CASE
                 WHEN EXISTS (SELECT 1 FROM alert_rule AS other
                              WHERE other.id = ?1 AND other.hash <> ?2 AND other.dropped = 0) THEN 0
                 WHEN judged < live_from THEN judged
                 ELSE left_at END,
             live_from = ?3, left_at = NULL
         WHERE left_at IS NOT NULL",
    )?;
    insert.execute((
        &version.id,
        version.hash,
        checkpoint.0,
        notices::newest(db)?,
    ))?;
    Ok(())
}

fn in_use(db: &Connection) -> Result<Vec<KnownRule>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT number, id, hash, judged, live_from, noticed, noticed_before FROM alert_rule WHERE left_at IS NULL ORDER BY id",
    )?;
    let rows = ask.query_map([], |row| {
        Ok(KnownRule {
            number: RuleNumber(row.get(0)?),
            version: RuleVersion {
                id: row.get(1)?,
                hash: row.get(2)?,
            },
            judged: Seq(row.get(3)?),
            live_from: Seq(row.get(4)?),
            noticed: row.get(5)?,
            noticed_before: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The key of this log's hashes; made when it is first needed.
fn key(db: &Connection) -> Result<[u8; 32], StoreError> {
    let mut ask = db.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    let text: Option<String> = ask.query_row([KEY_NAME], |row| row.get(0)).optional()?;
    let text = match text {
        Some(text) => text,
        None => {
            let new = [Uuid::new_v4(), Uuid::new_v4()].map(|id| id.simple().to_string());
            db.execute(
                "INSERT INTO meta (name, value) VALUES (?1, ?2)",
                (KEY_NAME, new.concat()),
            )?;
            new.concat()
        }
    };
    Ok(crate::event::sha256(text.as_bytes()))
}
