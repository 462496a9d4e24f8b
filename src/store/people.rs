//! Who is known: the organizations' members and the accounts' names, each with what they were before.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::error::StoreError;
use super::handle::Store;
use super::{sources, steps};
use crate::clock::from_micros;
use crate::position::{Source, SourceKind};
use orgtrail_cloudflare::member::Member;

/// A member as it was for some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// The organization's id.
    pub organization: String,
    /// The member, as it was then.
    pub member: Member,
    /// When a list first showed this state.
    pub since: DateTime<Utc>,
    /// When a list no longer did; `None` while it does.
    pub until: Option<DateTime<Utc>>,
    /// When the organization's list was last read.
    pub read_at: DateTime<Utc>,
}

/// An account's name, and since when it is known to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRow {
    /// The account's log.
    pub source: Source,
    /// The name.
    pub name: String,
    /// When a list first gave it.
    pub since: DateTime<Utc>,
}

/// Whom an event is about, as far as people go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Who {
    /// The actor's id.
    pub user_id: Option<String>,
    /// The actor's e-mail address.
    pub email: Option<String>,
    /// The account's log.
    pub account: Option<Source>,
}

/// What is known of [`Who`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownPerson {
    /// The member that acted, as the last list that had it told.
    pub member: Option<MemberRow>,
    /// The account's name, as the last list gave it.
    pub account_name: Option<String>,
}

impl Store {
    /// Saves an organization's list of members, read now. What they were before stays, and so do those who left. Only a complete
    /// list says who has left.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_members(
        &self,
        organization: &str,
        listed: &[Member],
        is_complete: bool,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        // A member who joins while the list is read may be on two of its pages.
        let listed: BTreeMap<&str, &Member> = listed
            .iter()
            .map(|member| (member.id.as_str(), member))
            .collect();
        self.change(steps::SAVE_MEMBERS, |db| {
            for row in members(
                db,
                "WHERE organization = ?1 AND until_us IS NULL",
                &[&organization],
            )? {
                let is_over = match listed.get(row.member.id.as_str()) {
                    Some(member) => **member != row.member,
                    None => is_complete,
                };
                if is_over {
                    end(db, &row, now)?;
                }
            }
            listed
                .values()
                .try_for_each(|member| begin(db, organization, member, now))?;
            db.prepare_cached(
                "INSERT INTO member_list (organization, read_us, complete_us) VALUES (?1, ?2, iif(?3, ?2, NULL))
                 ON CONFLICT (organization) DO UPDATE SET
                     read_us = excluded.read_us, complete_us = coalesce(excluded.complete_us, complete_us)",
            )?
            .execute((organization, now.timestamp_micros(), is_complete))?;
            Ok(())
        })
    }

    /// When an organization's list of members was last read completely; `None` when it never was.
    ///
    /// # Errors
    /// What the database says.
    pub fn members_read_at(&self, organization: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.ask(|db| {
            let mut ask =
                db.prepare_cached("SELECT complete_us FROM member_list WHERE organization = ?1")?;
            let found: Option<Option<i64>> =
                ask.query_row([organization], |row| row.get(0)).optional()?;
            Ok(found.flatten().map(from_micros))
        })
    }

    /// All that some members ever were: by organization and membership, the latest first. At most `limit` members, the first
    /// after `after`, an organization and a membership; texts that are empty come before all others.
    ///
    /// # Errors
    /// What the database says.
    pub fn members(
        &self,
        only: Option<&BTreeSet<Source>>,
        after: (&str, &str),
        limit: usize,
    ) -> Result<Vec<MemberRow>, StoreError> {
        self.ask(|db| {
            let which = "WHERE (organization, id) IN (
                SELECT DISTINCT organization, id FROM member
                WHERE (organization, id) > (?1, ?2)
                  AND (?4 IS NULL OR organization IN (SELECT value FROM json_each(?4)))
                ORDER BY organization, id LIMIT ?3)
             ORDER BY organization, id, since_us DESC";
            members(
                db,
                which,
                &[&after.0, &after.1, &limit, &organizations(only)],
            )
        })
    }

    /// An organization's members as they are now, by their membership.
    ///
    /// # Errors
    /// What the database says.
    pub fn present_members(&self, organization: &str) -> Result<Vec<MemberRow>, StoreError> {
        let which = "WHERE organization = ?1 AND until_us IS NULL ORDER BY id";
        self.ask(|db| members(db, which, &[&organization]))
    }

    /// What all members were last, those who left included: what lasts first, then the latest; at most `limit` states.
    ///
    /// # Errors
    /// What the database says.
    pub fn latest_members(
        &self,
        only: Option<&BTreeSet<Source>>,
        limit: usize,
    ) -> Result<Vec<MemberRow>, StoreError> {
        let which = "WHERE ?2 IS NULL OR organization IN (SELECT value FROM json_each(?2))
             ORDER BY until_us IS NULL DESC, since_us DESC, organization, id LIMIT ?1";
        self.ask(|db| members(db, which, &[&limit, &organizations(only)]))
    }

    /// The accounts that have a name, with the one that a list gave last: at most `limit`.
    ///
    /// # Errors
    /// What the database says.
    pub fn labels(
        &self,
        only: Option<&BTreeSet<Source>>,
        limit: usize,
    ) -> Result<Vec<(Source, String)>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT name, label FROM source
                 WHERE label IS NOT NULL AND name LIKE 'accounts/%'
                   AND (?2 IS NULL OR name IN (SELECT value FROM json_each(?2)))
                 ORDER BY name LIMIT ?1",
            )?;
            let rows = ask.query_map((limit, only.map(sources::names)), |row| {
                Ok((sources::parse(&row.get::<_, String>(0)?)?, row.get(1)?))
            })?;
            rows.map(|row| Ok(row?)).collect()
        })
    }

    /// All names that some accounts ever had in a list: by account, the latest first. At most `limit` accounts, the first
    /// after the one whose log is called `after`; an empty text comes before all others.
    ///
    /// # Errors
    /// What the database says.
    pub fn account_names(
        &self,
        only: Option<&BTreeSet<Source>>,
        after: &str,
        limit: usize,
    ) -> Result<Vec<NameRow>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT source.name, source_label.label, source_label.since_us
                 FROM source_label JOIN source ON source.id = source_label.source
                 WHERE source.id IN (
                    SELECT id FROM source
                    WHERE name LIKE 'accounts/%' AND name > ?1
                      AND id IN (SELECT source FROM source_label)
                      AND (?3 IS NULL OR name IN (SELECT value FROM json_each(?3)))
                    ORDER BY name LIMIT ?2)
                 ORDER BY source.name, source_label.since_us DESC",
            )?;
            let rows = ask.query_map((after, limit, only.map(sources::names)), |row| {
                Ok(NameRow {
                    source: sources::parse(&row.get::<_, String>(0)?)?,
                    name: row.get(1)?,
                    since: from_micros(row.get(2)?),
                })
            })?;
            rows.map(|row| Ok(row?)).collect()
        })
    }

    /// What is known of some people, in that order. An actor is a member by its id, or else by its e-mail address; of several
    /// memberships an active one comes before one that ended.
    ///
    /// # Errors
    /// What the database says.
    pub fn known(
        &self,
        only: Option<&BTreeSet<Source>>,
        people: &[Who],
    ) -> Result<Vec<KnownPerson>, StoreError> {
        let organizations = organizations(only);
        self.ask(|db| {
            // A page is mostly about the same few.
            let mut met: HashMap<&Who, KnownPerson> = HashMap::new();
            let mut known = Vec::with_capacity(people.len());
            for who in people {
                if let Some(found) = met.get(who) {
                    known.push(found.clone());
                    continue;
                }
                let found = KnownPerson {
                    member: member(db, organizations.as_deref(), who)?,
                    account_name: account_name(db, only, who)?,
                };
                met.insert(who, found.clone());
                known.push(found);
            }
            Ok(known)
        })
    }
}

/// The ids of the organizations among them, as a JSON array.
fn organizations(only: Option<&BTreeSet<Source>>) -> Option<String> {
    let organizations = only?.iter();
    let organizations = organizations.filter(|source| source.kind() == SourceKind::Organization);
    Some(serde_json::Value::from_iter(organizations.map(Source::id)).to_string())
}

/// The member is no longer as it was.
fn end(db: &Connection, row: &MemberRow, now: DateTime<Utc>) -> Result<(), StoreError> {
    let mut end = db.prepare_cached(
        "UPDATE member SET until_us = ?1 WHERE organization = ?2 AND id = ?3 AND until_us IS NULL",
    )?;
    end.execute((now.timestamp_micros(), &row.organization, &row.member.id))?;
    Ok(())
}

/// The member is so from now on, unless it is already.
fn begin(
    db: &Connection,
    organization: &str,
    member: &Member,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut begin = db.prepare_cached(
        "INSERT INTO member (organization, id, since_us, user_id, email, name, status, two_factor, joined)
         SELECT :organization, :id, :now, :user_id, :email, :name, :status, :two_factor, :joined
         WHERE NOT EXISTS (
             SELECT 1 FROM member WHERE organization = :organization AND id = :id AND until_us IS NULL)
         ON CONFLICT (organization, id, since_us) DO UPDATE SET
             until_us = NULL, user_id = excluded.user_id, email = excluded.email, name = excluded.name,
             status = excluded.status, two_factor = excluded.two_factor, joined = excluded.joined",
    )?;
    begin.execute(named_params! {
        ":organization": organization,
        ":id": member.id,
        ":now": now.timestamp_micros(),
        ":user_id": member.user_id,
        ":email": member.email,
        ":name": member.name,
        ":status": member.status,
        ":two_factor": member.two_factor,
        ":joined": member.joined_at,
    })?;
    Ok(())
}

fn members(
    db: &Connection,
    which: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<MemberRow>, StoreError> {
    let mut ask = db.prepare_cached(&format!(
        "SELECT organization, id, since_us, until_us, user_id, email, name, status, two_factor, joined, read_us
         FROM member JOIN member_list USING (organization) {which}"
    ))?;
    let rows = ask.query_map(values, member_row)?;
    rows.map(|row| Ok(row?)).collect()
}

fn member_row(row: &Row<'_>) -> rusqlite::Result<MemberRow> {
    Ok(MemberRow {
        organization: row.get(0)?,
        since: from_micros(row.get(2)?),
        until: row.get::<_, Option<i64>>(3)?.map(from_micros),
        read_at: from_micros(row.get(10)?),
        member: Member {
            id: row.get(1)?,
            user_id: row.get(4)?,
            email: row.get(5)?,
            name: row.get(6)?,
            status: row.get(7)?,
            two_factor: row.get(8)?,
            joined_at: row.get(9)?,
        },
    })
}

/// The member that acted, of one of the `organizations` if any are given.
fn member(
    db: &Connection,
    organizations: Option<&str>,
    who: &Who,
) -> Result<Option<MemberRow>, StoreError> {
    let keys = [
        ("user_id = ?1", &who.user_id),
        ("email = ?1 COLLATE NOCASE", &who.email),
    ];
    for (which, key) in keys {
        let Some(key) = key else { continue };
        let which = format!(
            "WHERE {which} AND (?2 IS NULL OR organization IN (SELECT value FROM json_each(?2)))
             ORDER BY until_us IS NULL DESC, since_us DESC, organization, id LIMIT 1"
        );
        if let Some(found) = members(db, &which, &[key, &organizations])?.pop() {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn account_name(
    db: &Connection,
    only: Option<&BTreeSet<Source>>,
    who: &Who,
) -> Result<Option<String>, StoreError> {
    let is_visible = |account: &&Source| only.is_none_or(|only| only.contains(*account));
    let Some(account) = who.account.as_ref().filter(is_visible) else {
        return Ok(None);
    };
    let mut ask = db.prepare_cached("SELECT label FROM source WHERE name = ?1")?;
    let found = ask
        .query_row([account.to_string()], |row| row.get(0))
        .optional()?;
    Ok(found.flatten())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::durable::Failpoints;
    use crate::store::SourceSeen;

    fn day(n: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(n)
    }

    fn member(id: &str, status: &str) -> Member {
        Member {
            id: id.into(),
            user_id: Some(format!("user-{id}")),
            email: Some(format!("{id}@example.com")),
            name: None,
            status: Some(status.into()),
            two_factor: Some(false),
            joined_at: None,
        }
    }

    fn by(user_id: Option<&str>, email: Option<&str>) -> Who {
        Who {
            user_id: user_id.map(Into::into),
            email: email.map(Into::into),
            account: None,
        }
    }

    #[test]
    fn members_keep_their_history_and_are_known_after_they_left() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let (anna, bert) = (member("anna", "active"), member("bert", "pending"));
        store
            .save_members(
                "o",
                &[anna.clone(), bert.clone(), anna.clone()],
                true,
                day(0),
            )
            .unwrap();
        store
            .save_members("o", &[anna.clone(), bert.clone()], true, day(1))
            .unwrap();
        store
            .save_members("o", &[member("bert", "active")], true, day(2))
            .unwrap();
        store.save_members("other", &[], true, day(3)).unwrap();

        let rows: Vec<_> = store
            .members(None, ("", ""), 10)
            .unwrap()
            .into_iter()
            .map(|row| {
                assert_eq!((row.organization.as_str(), row.read_at), ("o", day(2)));
                (
                    row.member.id,
                    row.member.status.unwrap(),
                    row.since,
                    row.until,
                )
            })
            .collect();
        let row =
            |id: &str, status: &str, since, until| (id.to_owned(), status.to_owned(), since, until);
        assert_eq!(
            rows,
            [
                row("anna", "active", day(0), Some(day(2))),
                row("bert", "active", day(2), None),
                row("bert", "pending", day(0), Some(day(2))),
            ]
        );
        let known = |who: Who| {
            let known = store.known(None, &[who]).unwrap().remove(0);
            known.member.map(|row| (row.member.id, row.until.is_some()))
        };
        assert_eq!(
            known(by(Some("user-bert"), None)),
            Some(("bert".into(), false))
        );
        assert_eq!(
            known(by(Some("gone"), Some("Bert@Example.com"))),
            Some(("bert".into(), false))
        );
        assert_eq!(
            known(by(Some("user-anna"), None)),
            Some(("anna".into(), true))
        );
        assert_eq!(known(by(Some("nobody"), Some("nobody@example.com"))), None);
        assert_eq!(known(by(None, None)), None);
    }

    #[test]
    fn a_list_of_members_that_is_cut_makes_nobody_leave() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let (anna, bert) = (member("anna", "active"), member("bert", "pending"));
        let left = || -> Vec<(String, bool)> {
            let rows = store.members(None, ("", ""), 10).unwrap().into_iter();
            rows.map(|row| (row.member.id, row.until.is_some()))
                .collect()
        };
        let is_gone = |anna: bool, bert: bool| {
            assert_eq!(left(), [("anna".into(), anna), ("bert".into(), bert)]);
        };
        assert_eq!(store.members_read_at("o").unwrap(), None);
        store
            .save_members("o", &[anna.clone(), bert], true, day(0))
            .unwrap();
        store
            .save_members("o", std::slice::from_ref(&anna), false, day(1))
            .unwrap();
        store.save_members("o", &[], false, day(2)).unwrap();
        is_gone(false, false);
        assert_eq!(store.members_read_at("o").unwrap(), Some(day(0)));
        store.save_members("o", &[anna], true, day(3)).unwrap();
        is_gone(false, true);
        assert_eq!(store.members_read_at("o").unwrap(), Some(day(3)));
    }

    #[test]
    fn accounts_keep_the_names_they_had() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let source: Source = "accounts/a".parse().unwrap();
        let names = ["Old", "Old", "New"];
        for (n, name) in (0..).zip(names) {
            let seen = SourceSeen {
                source: source.clone(),
                organization: Some("o".into()),
                created_at: None,
                label: Some(name.into()),
            };
            let list = crate::store::AccountList {
                organization: "o",
                accounts: &[seen],
                is_complete: true,
                began_at: day(n),
                by_themselves: &std::collections::HashSet::new(),
            };
            store.save_accounts(&list, day(n)).unwrap();
        }
        let found: Vec<_> = store
            .account_names(None, "", 10)
            .unwrap()
            .into_iter()
            .map(|row| (row.name, row.since))
            .collect();
        assert_eq!(
            found,
            [("New".to_owned(), day(2)), ("Old".to_owned(), day(0))]
        );
        let who = Who {
            account: Some(source),
            ..Who::default()
        };
        let known = store.known(None, &[who]).unwrap().remove(0);
        assert_eq!(known.account_name.as_deref(), Some("New"));
    }
}
