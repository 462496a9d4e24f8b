//! What the service noticed about its sources and this log: rules with `service: orgtrail` judge it.
//!
//! A notice is one state, from its beginning to its end: while it lasts it is noticed once, however often the program is killed.
//! A state that ended and begins again is a new notice. Rows stay.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde_json::{Map, Value};

use super::error::StoreError;
use super::handle::Store;
use super::steps;
use crate::clock::from_micros;
use crate::position::{Seq, rfc3339};

/// How many notices of one kind about one source can last at once. What comes beyond is one notice that says so.
pub const MAX_LASTING: usize = 100;

/// What tells the notice about all beyond [`MAX_LASTING`] from the others.
const MORE: &str = "more";

/// What is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoticeKind {
    /// A source has no entries although it had them regularly, or cannot be read.
    SourceSilent,
    /// A range of a source's time was passed without a proof, or an organization's accounts are not known.
    CoverageGap,
    /// Upstream no longer shows an entry that is held.
    EntryDisappeared,
    /// An event is damaged.
    LogDamaged,
}

impl NoticeKind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::SourceSilent,
        Self::CoverageGap,
        Self::EntryDisappeared,
        Self::LogDamaged,
    ];

    /// Its name in rules: the field `kind`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SourceSilent => "source_silent",
            Self::CoverageGap => "coverage_gap",
            Self::EntryDisappeared => "entry_disappeared",
            Self::LogDamaged => "log_damaged",
        }
    }
}

/// A state that begins.
#[derive(Debug, Clone, PartialEq)]
pub struct NewNotice {
    /// What is noticed.
    pub kind: NoticeKind,
    /// The name of the source that it is about; empty when that is not known.
    pub source: String,
    /// What tells it from others of its kind and source.
    pub subject: String,
    /// What rules see beside its kind, source and time.
    pub facts: Map<String, Value>,
    /// What alerts say after the rule's title.
    pub summary: String,
}

/// A state that was noticed.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Its number: 1, 2, 3 …, in the order in which they were noticed.
    pub number: u64,
    /// The name of the source that it is about; empty when that is not known.
    pub source: String,
    /// When it was noticed.
    pub at: DateTime<Utc>,
    /// What rules see, as JSON.
    pub content: String,
    /// What alerts say after the rule's title.
    pub summary: String,
}

/// A state that has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct LastingNotice {
    /// Its number.
    pub number: u64,
    /// The name of the source that it is about; empty when that is not known.
    pub source: String,
    /// What tells it from others of its kind and source.
    pub subject: String,
    /// What rules see.
    pub facts: Value,
}

impl LastingNotice {
    /// Whether it stands for all beyond [`MAX_LASTING`].
    #[must_use]
    pub fn is_of_more(&self) -> bool {
        self.subject == MORE
    }
}

impl Store {
    /// Writes down that states have ended, and that others have begun. One that lasts already does not begin again. Gives how many
    /// have begun.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_notices(
        &self,
        begun: &[NewNotice],
        ended: &[u64],
        now: DateTime<Utc>,
    ) -> Result<usize, StoreError> {
        if begun.is_empty() && ended.is_empty() {
            return Ok(0);
        }
        self.change(steps::SAVE_NOTICES, |db| save(db, begun, ended, now))
    }

    /// The notices of a kind that last, in the order in which they were noticed.
    ///
    /// # Errors
    /// What the database says.
    pub fn lasting_notices(&self, kind: NoticeKind) -> Result<Vec<LastingNotice>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT number, source, subject, content FROM notice
                 WHERE kind = ?1 AND ended_us IS NULL ORDER BY number",
            )?;
            let rows = ask.query_map([kind.as_str()], |row| {
                let content: String = row.get(3)?;
                Ok(LastingNotice {
                    number: row.get(0)?,
                    source: row.get(1)?,
                    subject: row.get(2)?,
                    facts: serde_json::from_str(&content).unwrap_or_default(),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// At most `limit` notices after the one with that number.
    ///
    /// # Errors
    /// What the database says.
    pub fn notices_after(&self, number: u64, limit: usize) -> Result<Vec<Notice>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT number, source, noticed_us, content, summary FROM notice
                 WHERE number > ?1 ORDER BY number LIMIT ?2",
            )?;
            let rows = ask.query_map((number, limit), notice_of)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Damaged events that no lasting notice is about (nor one about all beyond [`MAX_LASTING`]), each with the name of its source (empty when it is not known) and what is wrong
    /// with it; at most `limit`.
    ///
    /// # Errors
    /// What the database says.
    pub fn damaged_not_noticed(
        &self,
        limit: usize,
    ) -> Result<Vec<(Seq, String, String)>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT damaged.seq, coalesce(source.name, ''), damaged.problem
                 FROM damaged LEFT JOIN source ON source.id = damaged.source
                 WHERE NOT EXISTS (
                     SELECT 1 FROM notice WHERE notice.kind = ?1 AND notice.source = coalesce(source.name, '')
                         AND notice.subject IN (CAST(damaged.seq AS TEXT), ?3) AND notice.ended_us IS NULL)
                 ORDER BY damaged.seq LIMIT ?2",
            )?;
            let kind = NoticeKind::LogDamaged.as_str();
            let rows = ask.query_map((kind, limit, MORE), |row| {
                Ok((Seq(row.get(0)?), row.get(1)?, row.get(2)?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The lasting notices about damaged events that are whole again.
    ///
    /// # Errors
    /// What the database says.
    pub fn notices_of_repaired(&self) -> Result<Vec<u64>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT number FROM notice
                 WHERE kind = ?1 AND ended_us IS NULL AND subject <> ?2
                     AND NOT EXISTS (SELECT 1 FROM damaged WHERE seq = CAST(notice.subject AS INTEGER))",
            )?;
            let kind = NoticeKind::LogDamaged.as_str();
            let rows = ask.query_map((kind, MORE), |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The hours since 1970 in which a source had entries, from one hour on, in order. Only those of some weeks before entries came are
    /// written down.
    ///
    /// # Errors
    /// What the database says.
    pub fn busy_hours(&self, source: &str, from: i64) -> Result<Vec<i64>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT hour FROM source_hour JOIN source ON source.id = source_hour.source
                 WHERE source.name = ?1 AND hour >= ?2 ORDER BY hour",
            )?;
            let rows = ask.query_map((source, from), |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Forgets the hours before one in which sources had entries.
    ///
    /// # Errors
    /// What the database says.
    pub fn forget_busy_hours(&self, before: i64) -> Result<(), StoreError> {
        let is_there: bool = self.ask(|db| {
            let mut ask =
                db.prepare_cached("SELECT EXISTS (SELECT 1 FROM source_hour WHERE hour < ?1)")?;
            Ok(ask.query_row([before], |row| row.get(0))?)
        })?;
        if !is_there {
            return Ok(());
        }
        self.change(steps::SAVE_NOTICES, |db| {
            db.execute("DELETE FROM source_hour WHERE hour < ?1", [before])?;
            Ok(())
        })
    }
}

fn notice_of(row: &Row<'_>) -> rusqlite::Result<Notice> {
    Ok(Notice {
        number: row.get(0)?,
        source: row.get(1)?,
        at: from_micros(row.get(2)?),
        content: row.get(3)?,
        summary: row.get(4)?,
    })
}

/// The number of the last notice; 0 when there is none.
pub(super) fn newest(db: &Connection) -> Result<u64, StoreError> {
    let mut ask = db.prepare_cached("SELECT coalesce(max(number), 0) FROM notice")?;
    Ok(ask.query_row([], |row| row.get(0))?)
}

pub(super) fn save(
    db: &Connection,
    begun: &[NewNotice],
    ended: &[u64],
    now: DateTime<Utc>,
) -> Result<usize, StoreError> {
    let mut end = db
        .prepare_cached("UPDATE notice SET ended_us = ?2 WHERE number = ?1 AND ended_us IS NULL")?;
    for number in ended {
        end.execute((number, now.timestamp_micros()))?;
    }
    let mut count = 0;
    for new in begun {
        count += begin_notice(db, new, now)?;
    }
    end_more(db, now)?;
    Ok(count)
}

/// Begins a notice, unless it lasts; or the one about all beyond [`MAX_LASTING`].
fn begin_notice(db: &Connection, new: &NewNotice, now: DateTime<Utc>) -> Result<usize, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT count(*) FROM notice WHERE kind = ?1 AND source = ?2 AND ended_us IS NULL AND subject <> ?3",
    )?;
    let lasting: usize = ask.query_row((new.kind.as_str(), &new.source, MORE), |row| row.get(0))?;
    let mut lasts = db.prepare_cached(
        "SELECT 1 FROM notice WHERE kind = ?1 AND source = ?2 AND subject = ?3 AND ended_us IS NULL",
    )?;
    let lasts = lasts
        .query_row((new.kind.as_str(), &new.source, &new.subject), |_| Ok(()))
        .optional()?;
    if lasts.is_some() {
        return Ok(0);
    }
    let has_room = lasting < MAX_LASTING;
    let source = if new.source.is_empty() {
        "an unknown source"
    } else {
        &new.source
    };
    let summary = if has_room {
        new.summary.clone()
    } else {
        format!("more than {MAX_LASTING} of {source}; the others are not listed one by one")
    };
    let mut content = Map::new();
    content.insert("kind".to_owned(), new.kind.as_str().into());
    content.insert("time".to_owned(), rfc3339(now).into());
    if !new.source.is_empty() {
        content.insert("source".to_owned(), new.source.clone().into());
    }
    if has_room {
        content.extend(new.facts.clone());
    } else {
        // Rules may look at the reason, as of the others.
        let reason = new.facts.get("reason");
        content.extend(reason.map(|reason| ("reason".to_owned(), reason.clone())));
        content.insert(MORE.to_owned(), true.into());
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO notice (kind, source, subject, noticed_us, content, summary)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
    )?;
    Ok(insert.execute((
        new.kind.as_str(),
        &new.source,
        if has_room { &new.subject } else { MORE },
        now.timestamp_micros(),
        Value::Object(content).to_string(),
        summary,
    ))?)
}

/// Ends the notices about all beyond [`MAX_LASTING`] of which there is room again.
fn end_more(db: &Connection, now: DateTime<Utc>) -> Result<(), StoreError> {
    let mut end = db.prepare_cached(
        "UPDATE notice SET ended_us = ?1
         WHERE subject = ?2 AND ended_us IS NULL AND ?3 > (
             SELECT count(*) FROM notice AS other
             WHERE other.kind = notice.kind AND other.source = notice.source AND other.ended_us IS NULL
                 AND other.subject <> ?2)",
    )?;
    end.execute((now.timestamp_micros(), MORE, MAX_LASTING))?;
    Ok(())
}
