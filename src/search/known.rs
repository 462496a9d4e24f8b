//! `actor.known.*` and `account.name`: what the lists of members and accounts said last, as a question about entries.
//!
//! Documents are written once and lists change, so such a field is resolved when it is asked about: to the ids and e-mail
//! addresses of the members that match, and to the accounts that have the name. What matches is what answers show beside
//! the entry as `actor_known` and `account_name`: an actor is the member with its id, or, if no member has it, the one with
//! its e-mail address; of several memberships one that lasts, then the latest.
//!
//! Lists are read anew for each page, so an answer is as of the lists at that time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::SearchError;
use crate::engine::Scope;
use crate::field::{self, Origin, folded};
use crate::position::rfc3339;
use crate::query::{Query, QueryError, ValueTester};
use crate::store::{MemberRow, Store};

/// The most states of members that are read for a question, and the most accounts.
const MAX_ROWS: usize = 50_000;

/// How the names of the fields of members begin.
const MEMBER: &str = "actor.known";

/// The field that is of the entry and of the list of accounts.
pub(super) const ACCOUNT: &str = "account.name";

/// A question without fields of lists: it has the actors and accounts that these stand for.
///
/// # Errors
/// What the log says; [`SearchError::Query`] when there are more members or accounts than are read.
pub(super) fn resolved<'q>(
    store: &Store,
    scope: &Scope,
    query: &'q Query,
) -> Result<Cow<'q, Query>, SearchError> {
    match asks_lists(query) {
        None => Ok(Cow::Borrowed(query)),
        Some(at) => {
            let lists = Lists::read(store, scope, at)?;
            Ok(Cow::Owned(lists.resolve(query)?))
        }
    }
}

/// The place of a field of a list in a question, if it asks about any.
pub(super) fn asks_lists(query: &Query) -> Option<usize> {
    let mut found = None;
    query.paths(&mut |path, at| {
        if is_of_members(path) || is_account(path) {
            found = found.or(Some(at));
        }
    });
    found
}

/// Whether a field's values are not in the index alone.
pub(super) fn is_of_lists(path: &str) -> bool {
    is_of_members(path) || is_account(path)
}

/// Whether a path is that of all that is known of a member.
pub(super) fn is_member(path: &str) -> bool {
    folded(path) == MEMBER
}

fn is_of_members(path: &str) -> bool {
    is_member(path) || field::by_name(path).is_some_and(|field| field.origin == Origin::List)
}

pub(super) fn is_account(path: &str) -> bool {
    folded(path) == ACCOUNT
}

/// What the lists said last.
pub(super) struct Lists {
    /// By the actor's id, folded.
    pub(super) by_id: BTreeMap<String, Arc<MemberRow>>,
    /// By the actor's e-mail address, folded.
    pub(super) by_email: BTreeMap<String, Arc<MemberRow>>,
    /// The accounts' ids, with their names.
    pub(super) accounts: Vec<(String, String)>,
}

impl Lists {
    pub(super) fn read(store: &Store, scope: &Scope, at: usize) -> Result<Self, SearchError> {
        let members = store.latest_members(scope.sources(), MAX_ROWS + 1)?;
        let accounts = store.labels(scope.sources(), MAX_ROWS + 1)?;
        if members.len() > MAX_ROWS || accounts.len() > MAX_ROWS {
            let message = format!(
                "more than {MAX_ROWS} members or accounts: ask for `actor.id` or `account.id`"
            );
            return Err(QueryError::new(at, message).into());
        }
        let (mut by_id, mut by_email) = (BTreeMap::new(), BTreeMap::new());
        for row in members.into_iter().map(Arc::new) {
            if let Some(id) = &row.member.user_id {
                by_id.entry(folded(id)).or_insert_with(|| row.clone());
            }
            if let Some(email) = &row.member.email {
                by_email.entry(folded(email)).or_insert_with(|| row.clone());
            }
        }
        let accounts = accounts
            .into_iter()
            .map(|(source, label)| (source.id().to_owned(), label))
            .collect();
        Ok(Self {
            by_id,
            by_email,
            accounts,
        })
    }

    pub(super) fn resolve(&self, query: &Query) -> Result<Query, SearchError> {
        let all = |parts: &[Query]| -> Result<Vec<Query>, SearchError> {
            parts.iter().map(|part| self.resolve(part)).collect()
        };
        Ok(match query {
            Query::And(parts) => Query::And(all(parts)?),
            Query::Or(parts) => Query::Or(all(parts)?),
            Query::Not(inner) => self.resolve(inner)?.negated(),
            leaf => {
                let mut path = None;
                leaf.paths(&mut |found, _| path = Some(found.to_owned()));
                match path {
                    Some(path) if is_of_members(&path) => self.members(leaf, &path)?,
                    Some(path) if is_account(&path) => {
                        Query::Or(vec![leaf.clone(), self.accounts(leaf)?])
                    }
                    _ => leaf.clone(),
                }
            }
        })
    }

    /// The events whose actor is a member that a leaf means.
    pub(super) fn members(&self, leaf: &Query, path: &str) -> Result<Query, SearchError> {
        let tester = ValueTester::of(leaf)?;
        let is_any = match leaf {
            Query::Exists { .. } => is_member(path),
            _ if is_member(path) => {
                let message = "`actor.known` has no value of its own: ask for one of its fields, such as `actor.known.email`";
                let at = asks_lists(leaf).unwrap_or_default();
                return Err(QueryError::new(at, message).into());
            }
            _ => false,
        };
        let is_meant = |row: &MemberRow| {
            is_any || value_of(row, path).is_some_and(|value| tester.passes(&value))
        };
        let (mut ids, mut other_ids) = (Vec::new(), Vec::new());
        for (id, row) in &self.by_id {
            if is_meant(row) {
                ids.push(id.clone())
            } else {
                other_ids.push(id.clone())
            }
        }
        let emails = self.by_email.iter().filter(|(_, row)| is_meant(row));
        let emails = emails.map(|(email, _)| email.clone()).collect();
        Ok(Query::Or(vec![
            one_of("actor.id", ids),
            Query::And(vec![
                one_of("actor.email", emails),
                one_of("actor.id", other_ids).negated(),
            ]),
        ]))
    }

    /// The events of accounts whose listed name a leaf means.
    pub(super) fn accounts(&self, leaf: &Query) -> Result<Query, SearchError> {
        let tester = ValueTester::of(leaf)?;
        let meant = self.accounts.iter().filter(|(_, name)| tester.passes(name));
        let ids: Vec<String> = meant.map(|(id, _)| folded(id)).collect();
        let sources = ids.iter().map(|id| format!("accounts/{id}")).collect();
        // An account's log is of that account, whatever its entries name.
        Ok(Query::Or(vec![
            one_of("source", sources),
            Query::And(vec![one_of("account.id", ids), of_accounts().negated()]),
        ]))
    }
}

/// The events of the accounts' own logs.
pub(super) fn of_accounts() -> Query {
    Query::Matches {
        path: "source".to_owned(),
        regex: "accounts/.*".to_owned(),
        at: 0,
    }
}

pub(super) fn one_of(path: &str, values: Vec<String>) -> Query {
    Query::OneOf {
        path: path.to_owned(),
        values: values.into(),
    }
}

/// What is shown of a member under a field's name.
pub(super) fn value_of(row: &MemberRow, path: &str) -> Option<String> {
    let member = &row.member;
    let path = folded(path);
    match path.get(MEMBER.len() + 1..)? {
        "organization" => Some(row.organization.clone()),
        "id" => Some(member.id.clone()),
        "user_id" => member.user_id.clone(),
        "email" => member.email.clone(),
        "name" => member.name.clone(),
        "status" => member.status.clone(),
        "two_factor" => member.two_factor.map(|flag| flag.to_string()),
        "joined_at" => member.joined_at.clone(),
        "as_of" => Some(rfc3339(row.until.unwrap_or(row.read_at))),
        "left_at" => row.until.map(rfc3339),
        _ => None,
    }
    .filter(|value| !value.is_empty())
}
