//! The sources ever followed.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::aims::save_aims;
use super::error::StoreError;
use super::handle::Store;
use super::steps;
use crate::clock::from_micros;
use crate::invariant;
use crate::ledger::Aims;
use crate::position::{Seq, Source};

/// A source as it was just seen: in the configuration, or in an organization's list of accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSeen {
    /// Which.
    pub source: Source,
    /// The id of the organization that lists it.
    pub organization: Option<String>,
    /// What upstream calls it, if it said so.
    pub label: Option<String>,
    /// When upstream says that the account was made.
    pub created_at: Option<DateTime<Utc>>,
}

/// The organization of a list of accounts, and when its last complete reading began.
pub type AccountListRead = (Source, Option<DateTime<Utc>>);

/// An organization's list of accounts, as far as it was read.
#[derive(Debug, Clone, Copy)]
pub struct AccountList<'a> {
    /// The organization's id.
    pub organization: &'a str,
    /// The accounts that it has.
    pub accounts: &'a [SourceSeen],
    /// Whether these are all that it has.
    pub is_complete: bool,
    /// When the reading began.
    pub began_at: DateTime<Utc>,
    /// Accounts that are configured by themselves: they are followed whatever the list says.
    pub by_themselves: &'a HashSet<Source>,
}

/// What a credential follows in this process. Claims go by it, so it is saved before anything is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Sources that are configured.
    pub sources: Vec<SourceSeen>,
    /// Ids of organizations whose lists of accounts are read.
    pub listed: Vec<String>,
    /// Those whose lists are read with any credential, where that is known: the lists of others are not wanted any more.
    pub listed_by_all: Option<Vec<String>>,
    /// What is wanted of the ledger.
    pub aims: Aims,
}

/// A source as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// Which.
    pub source: Source,
    /// The id of the organization that lists or listed it.
    pub organization: Option<String>,
    /// What upstream calls it.
    pub label: Option<String>,
    /// When it was first seen.
    pub first_seen_at: DateTime<Utc>,
    /// When upstream says that the account was made.
    pub created_at: Option<DateTime<Utc>>,
    /// When its organization no longer listed it, as two complete lists in a row say.
    pub left_at: Option<DateTime<Utc>>,
    /// When the latest of its events happened.
    pub newest_event: Option<DateTime<Utc>>,
    /// How many of its events are held, revisions included. Those whose body was erased do not count.
    pub events: u64,
    /// The times of the first and the last of its events whose body was erased.
    pub erased: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Store {
    /// Writes down sources that were seen now.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_sources(&self, seen: &[SourceSeen], now: DateTime<Utc>) -> Result<(), StoreError> {
        self.change(steps::SAVE_SOURCES, |db| {
            seen.iter().try_for_each(|seen| save(db, seen, now))
        })
    }

    /// Saves an organization's list of accounts, as far as it was read. All that it has are followed. Only a complete list
    /// counts against those that it lacks, and two in a row are needed: the first is noted, the second marks them as left, as of
    /// the first.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_accounts(
        &self,
        list: &AccountList<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let began_us = list.began_at.timestamp_micros();
        self.change(steps::SAVE_SOURCES, |db| {
            if list.is_complete {
                let mut mark = db.prepare_cached(
                    "UPDATE source SET
                         left_us = coalesce(left_us, iif(unlisted_us < :began, unlisted_us, NULL)),
                         unlisted_us = coalesce(unlisted_us, :began)
                     WHERE organization = :organization AND name LIKE 'accounts/%'",
                )?;
                mark.execute(
                    named_params! { ":began": began_us, ":organization": list.organization },
                )?;
                db.prepare_cached(
                    "INSERT INTO account_list (organization, wanted, read_us) VALUES (?1, 1, ?2)
                     ON CONFLICT (organization) DO UPDATE SET read_us = excluded.read_us",
                )?
                .execute((list.organization, began_us))?;
            }
            // An account in the list has not left: `save` clears the marks again.
            list.accounts
                .iter()
                .try_for_each(|seen| save(db, seen, now))?;
            let mut unmark = db.prepare_cached(
                "UPDATE source SET left_us = NULL, unlisted_us = NULL WHERE name = ?1",
            )?;
            for source in list.by_themselves {
                unmark.execute([source.to_string()])?;
            }
            check_left(db)
        })
    }

    /// Saves what a credential follows: all of it, or nothing.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_followed(&self, followed: &Followed, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.change(steps::SAVE_SOURCES, |db| {
            followed
                .sources
                .iter()
                .try_for_each(|seen| save(db, seen, now))?;
            if let Some(all) = &followed.listed_by_all {
                want_only(db, all)?;
            }
            want(db, &followed.listed)?;
            save_aims(db, &followed.aims)
        })
    }

    /// Saves of which organizations the lists of accounts are read in this process, with any credential. What is not among them
    /// is configured no more. Where this fails, what was wanted earlier stays so.
    ///
    /// # Errors
    /// What the database says.
    pub fn want_only_account_lists(&self, organizations: &[String]) -> Result<(), StoreError> {
        self.change(steps::SAVE_SOURCES, |db| want_only(db, organizations))
    }

    /// The lists of accounts that are wanted, by the ids of their organizations, each with the time at which its last complete
    /// reading began.
    ///
    /// # Errors
    /// What the database says.
    pub fn account_lists(&self) -> Result<Vec<AccountListRead>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT 'organizations/' || organization, read_us FROM account_list WHERE wanted = 1 ORDER BY organization",
            )?;
            let rows = ask.query_map([], |row| {
                let read_us: Option<i64> = row.get(1)?;
                Ok((parse(&row.get::<_, String>(0)?)?, read_us.map(from_micros)))
            })?;
            rows.map(|row| Ok(row?)).collect()
        })
    }

    /// All sources, in the order of their names.
    ///
    /// # Errors
    /// What the database says.
    pub fn sources(&self) -> Result<Vec<SourceRow>, StoreError> {
        self.ask(|db| {
            let mut rows = db.prepare_cached(
                "SELECT name, organization, label, first_seen_us, left_us, newest_us, events, created_us, erased_first_us,
                     erased_last_us
                 FROM source ORDER BY name",
            )?;
            let rows = rows.query_map([], source_row)?;
            rows.map(|row| Ok(row?)).collect()
        })
    }
}

/// The lists of these organizations' accounts are claims.
fn want_only(db: &Connection, organizations: &[String]) -> Result<(), StoreError> {
    db.execute("UPDATE account_list SET wanted = 0", [])?;
    want(db, organizations)
}

fn want(db: &Connection, organizations: &[String]) -> Result<(), StoreError> {
    let mut want = db.prepare_cached(
        "INSERT INTO account_list (organization, wanted) VALUES (?1, 1)
         ON CONFLICT (organization) DO UPDATE SET wanted = 1",
    )?;
    organizations
        .iter()
        .try_for_each(|id| Ok(want.execute([id]).map(drop)?))
}

/// An account is marked as left only after two complete lists without it.
fn check_left(db: &Connection) -> Result<(), StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT count(*) FROM source WHERE left_us IS NOT NULL AND left_us IS NOT unlisted_us",
    )?;
    let strange: u64 = ask.query_row([], |row| row.get(0))?;
    invariant!(
        LeftAfterTwoLists,
        strange == 0,
        "{strange} accounts are marked as left, and not as of the first complete list without them"
    );
    Ok(())
}

fn save(db: &Connection, seen: &SourceSeen, now: DateTime<Utc>) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO source (name, organization, label, first_seen_us, created_us)
         VALUES (:name, :organization, :label, :now, :created)
         ON CONFLICT (name) DO UPDATE SET
             created_us = coalesce(excluded.created_us, created_us),
             organization = coalesce(excluded.organization, organization),
             label = coalesce(excluded.label, label),
             left_us = NULL,
             unlisted_us = NULL",
    )?;
    insert.execute(named_params! {
        ":name": seen.source.to_string(),
        ":organization": seen.organization,
        ":label": seen.label,
        ":created": seen.created_at.map(|at| at.timestamp_micros()),
        ":now": now.timestamp_micros(),
    })?;
    match &seen.label {
        Some(label) => note_label(db, &seen.source, label, now),
        None => Ok(()),
    }
}

/// Writes a source down that was only heard of, in a file; one that is written down stays as it is.
pub(super) fn mention(
    db: &Connection,
    source: &Source,
    label: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO source (name, label, first_seen_us) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING",
    )?;
    insert.execute((source.to_string(), label, now.timestamp_micros()))?;
    Ok(())
}

fn source_row(row: &Row<'_>) -> rusqlite::Result<SourceRow> {
    Ok(SourceRow {
        source: parse(&row.get::<_, String>(0)?)?,
        organization: row.get(1)?,
        label: row.get(2)?,
        first_seen_at: from_micros(row.get(3)?),
        left_at: row.get::<_, Option<i64>>(4)?.map(from_micros),
        newest_event: row.get::<_, Option<i64>>(5)?.map(from_micros),
        events: row.get(6)?,
        created_at: row.get::<_, Option<i64>>(7)?.map(from_micros),
        erased: Option::zip(
            row.get::<_, Option<i64>>(8)?.map(from_micros),
            row.get::<_, Option<i64>>(9)?.map(from_micros),
        ),
    })
}

/// Counts new events of a source: how many, the last place among them, and when the latest of them happened.
pub(super) fn count_events(
    db: &Connection,
    source: i64,
    (new, newest): (usize, Seq),
    newest_us: Option<i64>,
) -> Result<(), StoreError> {
    let mut count = db.prepare_cached(
        "UPDATE source SET events = events + :new, newest_us = max(coalesce(newest_us, :newest), coalesce(:newest, newest_us)),
             newest_seq = iif(:new > 0, :newest_seq, newest_seq)
         WHERE id = :source",
    )?;
    count.execute(named_params! {
        ":source": source, ":new": new, ":newest": newest_us, ":newest_seq": newest.0,
    })?;
    Ok(())
}

/// The number of a source that was written down.
pub(super) fn number(db: &Connection, source: &Source) -> Result<i64, StoreError> {
    let mut ask = db.prepare_cached("SELECT id FROM source WHERE name = ?1")?;
    let found = ask
        .query_row([source.to_string()], |row| row.get(0))
        .optional()?;
    found.ok_or_else(|| StoreError::Damaged(format!("the source {source} is not written down")))
}

/// Notes the name that a list gives a source, if it is not the one it had. The source is written down.
fn note_label(
    db: &Connection,
    source: &Source,
    label: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut note = db.prepare_cached(
        "INSERT INTO source_label (source, since_us, label)
         SELECT id, :now, :label FROM source
         WHERE name = :name AND :label IS NOT (
             SELECT label FROM source_label WHERE source = source.id ORDER BY since_us DESC LIMIT 1)
         ON CONFLICT (source, since_us) DO UPDATE SET label = excluded.label",
    )?;
    note.execute(named_params! {
        ":now": now.timestamp_micros(),
        ":label": label,
        ":name": source.to_string(),
    })?;
    Ok(())
}

/// A source's name as it was written down.
pub(super) fn parse(name: &str) -> rusqlite::Result<Source> {
    name.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            0,
            rusqlite::types::Type::Text,
            Box::<crate::position::BadSource>::new(error),
        )
    })
}

/// The names of sources, as a JSON array.
pub(super) fn names(sources: &BTreeSet<Source>) -> String {
    let names = sources.iter().map(ToString::to_string);
    serde_json::Value::from_iter(names).to_string()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::durable::Failpoints;

    fn hour(n: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(n)
    }

    fn left(store: &Store) -> Vec<(String, Option<DateTime<Utc>>)> {
        let rows = store.sources().unwrap().into_iter();
        rows.map(|row| (row.source.id().to_owned(), row.left_at))
            .collect()
    }

    fn list(store: &Store, ids: &[&str], is_complete: bool, n: i64, alone: &[&str]) {
        let seen: Vec<SourceSeen> = ids
            .iter()
            .map(|id| SourceSeen {
                source: Source::account(id).unwrap(),
                organization: Some("o".to_owned()),
                label: None,
                created_at: None,
            })
            .collect();
        let by_themselves = alone.iter().map(|id| Source::account(id).unwrap());
        let list = AccountList {
            organization: "o",
            accounts: &seen,
            is_complete,
            began_at: hour(n),
            by_themselves: &by_themselves.collect(),
        };
        store.save_accounts(&list, hour(n)).unwrap();
    }

    #[test]
    fn an_account_has_left_after_two_complete_lists_without_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let is = |a: Option<i64>, b: Option<i64>| {
            let row = |id: &str, at: Option<i64>| (id.to_owned(), at.map(hour));
            assert_eq!(left(&store), [row("a", a), row("b", b)]);
        };
        list(&store, &["a", "b"], true, 0, &[]);
        // A list that is cut says nothing of those it lacks, however often it comes.
        (1..5).for_each(|n| list(&store, &["a"], false, n, &[]));
        is(None, None);
        list(&store, &["a"], true, 5, &[]);
        is(None, None);
        // The same reading, saved again, is not a second one.
        list(&store, &["a"], true, 5, &[]);
        is(None, None);
        list(&store, &["a", "b"], true, 6, &[]);
        list(&store, &["a"], true, 7, &[]);
        list(&store, &["a"], false, 8, &[]);
        is(None, None);
        list(&store, &["a"], true, 9, &[]);
        is(None, Some(7));
        list(&store, &["b"], false, 10, &[]);
        is(None, None);
        // What is configured by itself is followed whatever a list says.
        (11..14).for_each(|n| list(&store, &[], true, n, &["b"]));
        is(Some(11), None);
    }

    #[test]
    fn the_last_complete_reading_of_each_wanted_list_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        store.want_only_account_lists(&["o".to_owned()]).unwrap();
        let source = Source::organization("o").unwrap();
        assert_eq!(store.account_lists().unwrap(), [(source.clone(), None)]);
        list(&store, &["a"], false, 1, &[]);
        assert_eq!(store.account_lists().unwrap(), [(source.clone(), None)]);
        list(&store, &["a"], true, 2, &[]);
        list(&store, &["a"], false, 3, &[]);
        store.want_only_account_lists(&["o".to_owned()]).unwrap();
        assert_eq!(store.account_lists().unwrap(), [(source, Some(hour(2)))]);
        store.want_only_account_lists(&[]).unwrap();
        assert_eq!(store.account_lists().unwrap(), []);
    }
}
