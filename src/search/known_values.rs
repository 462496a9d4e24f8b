//! The values of fields of lists among a question's events: names of accounts, and what lists say of members.

use std::collections::{BTreeMap, BTreeSet};

use super::counting::{Counting, LabelledValue, ListedValues};
use super::error::SearchError;
use super::known::{ACCOUNT, Lists, is_account, of_accounts, one_of, value_of};
use crate::engine::{Ask, Matches, Rank, Ranking, ValueCount, ValuesOf};
use crate::field::{self, Kind, MAX_VALUE_LEN, folded, normal};
use crate::query::Query;

/// How many values an event may have of a field that has one, where somebody else writes entries.
const VALUES_OF_ONE: usize = 4;

/// Accounts of one name.
struct NamedAccounts<'a> {
    name: &'a String,
    ids: Vec<String>,
}

impl Counting<'_> {
    /// The wanted values of a field of lists.
    pub(super) fn values_of_lists(
        &self,
        wanted: &ValuesOf<'_>,
    ) -> Result<ListedValues, SearchError> {
        let lists = Lists::read(self.store, &self.caller.scope, 0)?;
        if is_account(wanted.name) {
            self.names_of_accounts(&lists, wanted)
        } else {
            Ok(self.shown_of_members(&lists, wanted)?.listed(wanted))
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
        let mut shown = ShownValues::default();
        for (value, NamedAccounts { name, ids }) in names {
            if !wanted.passes(&value) {
                continue;
            }
            self.caller.budget.check_time()?;
            let count = match ids.as_slice() {
                [id] if value.len() <= MAX_VALUE_LEN => {
                    self.count_named(&of_other_logs, &value, id)?
                }
                _ => self.count_among(lists.resolve(&Query::equals(ACCOUNT, name))?)?,
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
    ) -> Result<ShownValues, SearchError> {
        let kind = field::by_name(wanted.name).map_or(Kind::Any, |field| field.kind);
        let ids = one_of("actor.id", lists.by_id.keys().cloned().collect());
        let emails = one_of("actor.email", lists.by_email.keys().cloned().collect());
        let by_email = Query::And(vec![emails, ids.clone().negated()]);
        let mut shown = ShownValues::default();
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
    pub(super) fn count_among(&self, query: Query) -> Result<u64, SearchError> {
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

/// Values that are not in the index: by their normal form, with a spelling and how many events have them.
#[derive(Default)]
pub(super) struct ShownValues(BTreeMap<String, (String, u64)>);

impl ShownValues {
    pub(super) fn add(&mut self, value: String, label: String, count: u64) {
        let (_, found) = self.0.entry(value).or_insert((label, 0));
        *found += count;
    }

    pub(super) fn listed(&self, wanted: &ValuesOf<'_>) -> ListedValues {
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
