//! `actor.known.*` and `account.name`: what the lists of members and accounts said last, as a question about entries.
//!
//! Documents are written once and lists change, so such a field is resolved when it is asked about: to the ids and e-mail
//! addresses of the members that match, and to the accounts that have the name. What matches is what answers show beside
//! the entry as `actor_known` and `account_name`: an actor is the member with its id, or, if no member has it, the one with
//! its e-mail address; of several memberships one that lasts, then the latest.
//!
//! Lists are read anew for each page, so an answer is as of the lists at that time.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::counting::{Counting, ListedValues};
use super::facets::LabelledValue;
use super::{SearchError, equals};
use crate::engine::{Ask, Matches, Rank, Ranking, Scope, ValueCount, ValuesOf};
use crate::field::{self, Kind, MAX_VALUE_LEN, Origin, folded, normal};
use crate::position::rfc3339;
use crate::query::{Query, QueryError, ValueTester};
use crate::store::{MemberRow, Store};

/// The most states of members that are read for a question, and the most accounts.
const MAX_ROWS: usize = 50_000;

/// How the names of the fields of members begin.
const MEMBER: &str = "actor.known";

/// The field that is of the entry and of the list of accounts.
const ACCOUNT: &str = "account.name";

/// How many values an event may have of a field that has one, where somebody else writes entries.
const VALUES_OF_ONE: usize = 4;

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

fn is_account(path: &str) -> bool {
    folded(path) == ACCOUNT
}

/// What the lists said last.
struct Lists {
    /// By the actor's id, folded.
    by_id: BTreeMap<String, Arc<MemberRow>>,
    /// By the actor's e-mail address, folded.
    by_email: BTreeMap<String, Arc<MemberRow>>,
    /// The accounts' ids, with their names.
    accounts: Vec<(String, String)>,
}

impl Lists {
    fn read(store: &Store, scope: &Scope, at: usize) -> Result<Self, SearchError> {
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

    fn resolve(&self, query: &Query) -> Result<Query, SearchError> {
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
    fn members(&self, leaf: &Query, path: &str) -> Result<Query, SearchError> {
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
            match is_meant(row) {
                true => ids.push(id.clone()),
                false => other_ids.push(id.clone()),
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
    fn accounts(&self, leaf: &Query) -> Result<Query, SearchError> {
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

/// Accounts of one name.
struct NamedAccounts<'a> {
    name: &'a String,
    ids: Vec<String>,
}

/// The events of the accounts' own logs.
fn of_accounts() -> Query {
    Query::Matches {
        path: "source".to_owned(),
        regex: "accounts/.*".to_owned(),
        at: 0,
    }
}

fn one_of(path: &str, values: Vec<String>) -> Query {
    Query::OneOf {
        path: path.to_owned(),
        values: values.into(),
    }
}

/// What is shown of a member under a field's name.
fn value_of(row: &MemberRow, path: &str) -> Option<String> {
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

impl Counting<'_> {
    /// The wanted values of a field of lists.
    pub(super) fn values_of_lists(
        &self,
        wanted: &ValuesOf<'_>,
    ) -> Result<ListedValues, SearchError> {
        let lists = Lists::read(self.store, &self.caller.scope, 0)?;
        match is_account(wanted.name) {
            true => self.names_of_accounts(&lists, wanted),
            false => Ok(self.shown_of_members(&lists, wanted)?.listed(wanted)),
        }
    }

    /// How many events have any value of a field of lists.
    pub(super) fn count_with_lists(&self, field: &str) -> Result<u64, SearchError> {
        let lists = Lists::read(self.store, &self.caller.scope, 0)?;
        let any = Query::Exists {
            path: field.to_owned(),
            at: 0,
        };
        if !is_account(field) {
            return self.count_among(lists.members(&any, field)?);
        }
        let listed = lists.accounts(&any)?;
        let of_others = Query::And(vec![self.question.query.clone(), listed.clone().negated()]);
        let others = self.view.matches(&self.ask(&of_others), self.upto)?;
        Ok(self.count_among(listed)? + others.count_with(ACCOUNT)?)
    }

    /// The names of accounts: those that a list gave, and those of entries.
    fn names_of_accounts(
        &self,
        lists: &Lists,
        wanted: &ValuesOf<'_>,
    ) -> Result<ListedValues, SearchError> {
        let mut names: BTreeMap<String, NamedAccounts<'_>> = BTreeMap::new();
        for (id, name) in &lists.accounts {
            let named = names.entry(normal(Kind::Text, name));
            let named = named.or_insert_with(|| NamedAccounts {
                name,
                ids: Vec::new(),
            });
            named.ids.push(folded(id));
        }
        let listed: BTreeSet<String> = names.keys().cloned().collect();
        let own = self.values_of_entries(&wanted.clone().without(&listed))?;
        let of_other_logs = self.of_other_logs()?;
        let mut shown = ShownMembers::default();
        for (value, NamedAccounts { name, ids }) in names {
            if !wanted.passes(&value) {
                continue;
            }
            self.caller.budget.check_time()?;
            let count = match ids.as_slice() {
                [id] if value.len() <= MAX_VALUE_LEN => {
                    self.count_named(&of_other_logs, &value, id)?
                }
                _ => self.count_among(lists.resolve(&equals(ACCOUNT, name))?)?,
            };
            shown.add(value, name.clone(), count);
        }
        let of_lists = shown.listed(wanted);
        let mut values = own.values;
        values.extend(of_lists.values);
        values.sort_unstable_by(|a, b| {
            let by_count = match wanted.rank {
                Rank::Frequent => b.count.cmp(&a.count),
                Rank::Rare => a.count.cmp(&b.count),
            };
            by_count.then_with(|| a.value.cmp(&b.value))
        });
        values.truncate(wanted.size);
        Ok(ListedValues {
            values,
            distinct: own.distinct + of_lists.distinct,
            total: own.total + of_lists.total,
            events: None,
        })
    }

    /// The question's events that are not of an account's own log.
    fn of_other_logs(&self) -> Result<Matches, SearchError> {
        let query = Query::And(vec![self.question.query.clone(), of_accounts().negated()]);
        Ok(self.view.matches(&self.ask(&query), self.upto)?)
    }

    /// How many of the question's events have the name of one account, in the entry or by the list. The question itself is not
    /// asked again: there may be thousands of accounts.
    fn count_named(
        &self,
        of_other_logs: &Matches,
        name: &str,
        id: &str,
    ) -> Result<u64, SearchError> {
        let of_log = self.matches.with("source", &format!("accounts/{id}"))?;
        let of_entry = of_other_logs.with("account.id", id)?;
        let named = self.matches.with(ACCOUNT, name)?.count();
        let counted_twice =
            of_log.with(ACCOUNT, name)?.count() + of_entry.with(ACCOUNT, name)?.count();
        Ok((of_log.count() + of_entry.count() + named).saturating_sub(counted_twice))
    }

    /// What is shown of members under a field's name.
    fn shown_of_members(
        &self,
        lists: &Lists,
        wanted: &ValuesOf<'_>,
    ) -> Result<ShownMembers, SearchError> {
        let kind = field::by_name(wanted.name).map_or(Kind::Any, |field| field.kind);
        let ids = one_of("actor.id", lists.by_id.keys().cloned().collect());
        let emails = one_of("actor.email", lists.by_email.keys().cloned().collect());
        let by_email = Query::And(vec![emails, ids.clone().negated()]);
        let mut shown = ShownMembers::default();
        for (query, path, rows) in [
            (ids, "actor.id", &lists.by_id),
            (by_email, "actor.email", &lists.by_email),
        ] {
            let query = Query::And(vec![self.question.query.clone(), query]);
            let found = self.view.matches(&self.ask(&query), self.upto)?;
            let most = rows.len().saturating_mul(VALUES_OF_ONE);
            for counted in found.values(path, "", most, None)?.unwrap_or_default() {
                let row = rows.get(&counted.value);
                if let Some(label) = row.and_then(|row| value_of(row, wanted.name)) {
                    let value = normal(kind, &label);
                    if wanted.passes(&value) {
                        shown.add(value, label, counted.count);
                    }
                }
            }
        }
        Ok(shown)
    }

    /// How many of the question's events another question means, too.
    fn count_among(&self, query: Query) -> Result<u64, SearchError> {
        let query = Query::And(vec![self.question.query.clone(), query]);
        let found = self.view.matches(&self.ask(&query), self.upto)?;
        Ok(found.count())
    }

    /// Another query in the question's stretch of time.
    fn ask<'q>(&'q self, query: &'q Query) -> Ask<'q> {
        Ask {
            query,
            range: self.question.range,
            caller: self.caller,
        }
    }
}

/// Values that are shown of lists: by their normal form, with a spelling and how many events have them.
#[derive(Default)]
struct ShownMembers(BTreeMap<String, (String, u64)>);

impl ShownMembers {
    fn add(&mut self, value: String, label: String, count: u64) {
        let (_, found) = self.0.entry(value).or_insert((label, 0));
        *found += count;
    }

    fn listed(&self, wanted: &ValuesOf<'_>) -> ListedValues {
        let mut ranking = Ranking::new(wanted);
        for (value, (_, count)) in &self.0 {
            ranking.take(value, *count);
        }
        let found = ranking.into_values();
        let values = found.values.into_iter().map(|ValueCount { value, count }| {
            let label = self.0.get(&value).map(|(label, _)| label.clone());
            LabelledValue {
                label: label.unwrap_or_else(|| value.clone()),
                value,
                count,
            }
        });
        ListedValues {
            values: values.collect(),
            distinct: found.distinct,
            total: found.total,
            events: None,
        }
    }
}
