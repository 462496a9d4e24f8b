//! An organization's lists, of its accounts and of its members, read page by page.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use super::error::TurnError;
use super::settings::Following;
use crate::backoff::wait_after;
use crate::position::{Source, SourceKind};
use crate::store::{AccountList, SourceRow, SourceSeen, Store, StoreError};
use crate::upstream::{AccountsPage, MembersPage, UpstreamError};
use orgtrail_cloudflare::account::ListedAccount;
use orgtrail_cloudflare::member::Member;

/// The most pages of a list that are followed. Upstream allows 500 accounts.
const MAX_PAGES: usize = 1_000;

/// How often an organization's accounts and members are listed, and how soon its members are requested again when the
/// credential may not read them.
const LIST_EVERY: TimeDelta = TimeDelta::hours(1);

/// How often an account that is configured by itself is read, for its name.
const READ_ACCOUNT_EVERY: TimeDelta = TimeDelta::days(1);

/// The first of these accounts is read at once, each further one so much later: their logs go first.
const ACCOUNTS_APART: TimeDelta = TimeDelta::seconds(5);

/// How soon a list is requested again after a failure; each further failure doubles it.
const LIST_AGAIN: TimeDelta = TimeDelta::minutes(1);

/// The longest wait for a list of accounts after a failure: until it is read, answers over all sources are partial.
const LONGEST_LIST_AGAIN: TimeDelta = TimeDelta::minutes(15);

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// The accounts, which are then followed.
    Accounts,
    /// The members, who are then known.
    Members,
    /// One account that is configured by itself, for its name.
    Account,
}

/// One list of an organization, between its turns.
pub(super) struct ListSchedule {
    /// The id of the organization, or of the account that is read by itself.
    pub(super) organization: String,
    pub(super) listing: Listing,
    due: DateTime<Utc>,
    /// When its last page was requested, so that lists take turns.
    pub(super) last_page: DateTime<Utc>,
    /// The list as far as it has been read; a turn that reads on takes it away with it.
    list: Option<List>,
    /// Whether it was logged that the credential may not read it.
    is_refused: bool,
    by_themselves: Arc<HashSet<Source>>,
    /// Whether it has been read to its end.
    pub(super) was_read: bool,
    /// How often it failed since.
    pub(super) failures: u32,
}

/// A list as far as it has been read.
pub(super) struct List {
    pub(super) organization: String,
    pub(super) listing: Listing,
    pub(super) accounts: Vec<SourceSeen>,
    pub(super) members: Vec<Member>,
    /// Accounts that are configured by themselves: the list has no say in them.
    pub(super) by_themselves: Arc<HashSet<Source>>,
    /// When its reading began, by the earlier of our clock and upstream's.
    began: Option<DateTime<Utc>>,
    /// The tokens of the pages so far, the next page's last: one that comes again leads in a circle.
    page_tokens: Vec<String>,
    /// The ids that it has shown: an item may be on two pages.
    ids: HashSet<String>,
    /// How many items it has, as its last page says.
    total: Option<u64>,
    /// The first thing that could not be read.
    flaw: Option<String>,
    pages: usize,
}

impl ListSchedule {
    pub(super) fn new(
        organization: String,
        listing: Listing,
        by_themselves: Arc<HashSet<Source>>,
        now: DateTime<Utc>,
    ) -> Self {
        let list = Some(List::new(&organization, listing, &by_themselves));
        Self {
            organization,
            listing,
            due: now,
            last_page: DateTime::UNIX_EPOCH,
            list,
            is_refused: false,
            by_themselves,
            was_read: false,
            failures: 0,
        }
    }

    /// An account that is configured by itself, the `n`-th of them.
    pub(super) fn of_account(source: &Source, n: i32, now: DateTime<Utc>) -> Self {
        let due = now + ACCOUNTS_APART * n;
        Self::new(
            source.id().to_owned(),
            Listing::Account,
            Arc::default(),
            due,
        )
    }

    /// When its next page is due; `None` while a turn is under way.
    pub(super) fn due(&self) -> Option<DateTime<Utc>> {
        self.list.as_ref().map(|_| self.due)
    }

    /// The list, to read its next page now.
    pub(super) fn begin(&mut self, now: DateTime<Utc>) -> Option<List> {
        self.last_page = now;
        self.list.take()
    }

    /// There is more to read, now.
    pub(super) fn go_on(&mut self, list: List) {
        self.list = Some(list);
    }

    /// Somebody helped, perhaps: it is tried at once.
    pub(super) fn try_again(&mut self, now: DateTime<Utc>) {
        self.due = self.due.min(now);
    }

    /// The whole list is kept; it is read again when it is time.
    pub(super) fn done(&mut self, now: DateTime<Utc>) {
        self.is_refused = false;
        self.was_read = true;
        self.failures = 0;
        self.start_over(match self.listing {
            Listing::Accounts | Listing::Members => now + LIST_EVERY,
            Listing::Account => now + READ_ACCOUNT_EVERY,
        });
    }

    /// It could not be read, or not completely. Without members and names nothing is amiss: a credential may read logs and not
    /// those.
    pub(super) fn failed(&mut self, error: &TurnError, now: DateTime<Utc>) {
        self.failures += 1;
        let organization = &self.organization;
        let may_pass = match error {
            TurnError::Store(_)
            | TurnError::Foreign { .. }
            | TurnError::NoWayOn
            | TurnError::Panicked(_) => true,
            TurnError::Upstream(error) => matches!(
                error,
                UpstreamError::Transient(_)
                    | UpstreamError::NoToken(_)
                    | UpstreamError::Unreadable(_)
                    | UpstreamError::RateLimited { .. }
                    | UpstreamError::CursorRefused(_)
            ),
        };
        let failures = self.failures;
        let soon = |longest| wait_after(failures, LIST_AGAIN, longest);
        let again = match self.listing {
            Listing::Accounts => {
                let again = soon(LONGEST_LIST_AGAIN);
                warn!(organization, error = %error, retry_in.seconds = again.num_seconds(), "The accounts of an organization could not be listed completely; retrying. Answers over all sources are partial once the last complete list is a day old.");
                again
            }
            Listing::Members if may_pass => {
                let again = soon(LIST_EVERY);
                warn!(organization, error = %error, retry_in.seconds = again.num_seconds(), "The members of an organization could not be listed; retrying.");
                again
            }
            Listing::Members => {
                if !self.is_refused {
                    warn!(organization, error = %error, "The members of an organization cannot be read completely; retrying each hour. Members that were not read are shown as their entries say.");
                }
                self.is_refused = true;
                LIST_EVERY
            }
            Listing::Account if may_pass => soon(LIST_EVERY),
            Listing::Account => {
                if !self.is_refused {
                    warn!(account = organization, error = %error, "The name of an account cannot be read; retrying each day.");
                }
                self.is_refused = true;
                READ_ACCOUNT_EVERY
            }
        };
        self.start_over(now + again);
    }

    /// The list is read from its start again, then.
    fn start_over(&mut self, due: DateTime<Utc>) {
        self.due = due;
        let list = List::new(&self.organization, self.listing, &self.by_themselves);
        self.list = Some(list);
    }
}

impl List {
    fn new(organization: &str, listing: Listing, by_themselves: &Arc<HashSet<Source>>) -> Self {
        Self {
            organization: organization.to_owned(),
            listing,
            accounts: Vec::new(),
            members: Vec::new(),
            by_themselves: Arc::clone(by_themselves),
            began: None,
            page_tokens: Vec::new(),
            ids: HashSet::new(),
            total: None,
            flaw: None,
            pages: 0,
        }
    }

    /// The token of the next page, if it is not the first.
    pub(super) fn page_token(&self) -> Option<&str> {
        self.page_tokens.last().map(String::as_str)
    }

    /// A page is about to be requested, at that present: the first one begins the list.
    pub(super) fn request(&mut self, present: DateTime<Utc>) {
        self.began.get_or_insert(present);
    }

    /// What upstream's clock said on a page that took so long: the list did not begin later. Our own clock may be ahead.
    pub(super) fn began_at_most(&mut self, date: Option<DateTime<Utc>>, took: TimeDelta) {
        let theirs = date.map(|date| date - took);
        self.began = [self.began, theirs].into_iter().flatten().min();
    }

    /// Takes in a page of accounts; says whether another follows.
    ///
    /// # Errors
    /// When the pages have no end: half a list must not be taken for a whole one.
    pub(super) fn take_accounts(&mut self, page: AccountsPage) -> Result<bool, UpstreamError> {
        self.note(page.unreadable, page.total);
        for account in page.accounts {
            self.ids.insert(account.id.clone());
            match seen(account, Some(self.organization.clone())) {
                Ok(seen) => self.accounts.push(seen),
                // Its log cannot be requested, so its entries are missing.
                Err(error) => self.note_flaw(format!("an account cannot be followed: {error}")),
            }
        }
        self.turn_page(page.next)
    }

    /// Takes in a page of members; says whether another follows.
    ///
    /// # Errors
    /// As [`List::take_accounts`], and when there is nobody: an organization has a member at least.
    pub(super) fn take_members(&mut self, page: MembersPage) -> Result<bool, UpstreamError> {
        self.note(page.unreadable, page.total);
        self.ids
            .extend(page.members.iter().map(|member| member.id.clone()));
        self.members.extend(page.members);
        let has_more = self.turn_page(page.next)?;
        if !has_more && self.members.is_empty() {
            return Err(UpstreamError::Unexpected(
                "the list of members is empty".into(),
            ));
        }
        Ok(has_more)
    }

    /// Takes in an account that was read by itself.
    ///
    /// # Errors
    /// When it has no name that could be kept.
    pub(super) fn take_account(&mut self, account: ListedAccount) -> Result<bool, UpstreamError> {
        let seen = seen(account, None);
        self.accounts
            .push(seen.map_err(|error| UpstreamError::Unexpected(error.to_string()))?);
        Ok(false)
    }

    /// What a list that was read to its end lacks, if anything: it is complete only if everything in it could be read, and it
    /// has as many items as it says.
    pub(super) fn lacks(&self) -> Option<String> {
        if self.listing == Listing::Account || self.flaw.is_some() {
            return self.flaw.clone();
        }
        match self.total {
            None => Some("the list does not say how many items it has (`total_size`)".to_owned()),
            Some(total) if total != self.ids.len() as u64 => Some(format!(
                "the list is cut: it has {} of {total} items",
                self.ids.len()
            )),
            Some(_) => None,
        }
    }

    /// Keeps what the list has. Only a complete one says who is not in it any more. Gives every source, if it is a list of
    /// accounts.
    ///
    /// # Errors
    /// What the log says.
    pub(super) fn keep(
        &self,
        store: &Store,
        is_complete: bool,
        now: DateTime<Utc>,
    ) -> Result<Vec<SourceRow>, StoreError> {
        match self.listing {
            Listing::Accounts => {
                let accounts = AccountList {
                    organization: &self.organization,
                    accounts: &self.accounts,
                    is_complete,
                    began_at: self.began.unwrap_or(now),
                    by_themselves: &self.by_themselves,
                };
                store.save_accounts(&accounts, now)?;
                return store.sources();
            }
            Listing::Members => {
                store.save_members(&self.organization, &self.members, is_complete, now)?;
            }
            Listing::Account => store.save_sources(&self.accounts, now)?,
        }
        Ok(Vec::new())
    }

    fn note(&mut self, unreadable: usize, total: Option<u64>) {
        if let (Some(before), Some(total)) = (self.total, total)
            && before != total
        {
            self.note_flaw(format!(
                "the list changed while it was read: it had {before} items, and then {total}"
            ));
        }
        self.total = total;
        if unreadable > 0 {
            self.note_flaw(format!("{unreadable} items of the list have no id"));
        }
    }

    fn note_flaw(&mut self, flaw: String) {
        self.flaw.get_or_insert(flaw);
    }

    fn turn_page(&mut self, next: Option<String>) -> Result<bool, UpstreamError> {
        self.pages += 1;
        if let Some(token) = &next
            && (self.page_tokens.contains(token) || self.pages == MAX_PAGES)
        {
            return Err(UpstreamError::Unexpected(
                "the list leads in a circle".into(),
            ));
        }
        let has_more = next.is_some();
        self.page_tokens.extend(next);
        Ok(has_more)
    }
}

/// An account as it is kept.
fn seen(
    account: ListedAccount,
    organization: Option<String>,
) -> Result<SourceSeen, crate::position::BadSource> {
    Ok(SourceSeen {
        source: Source::account(&account.id)?,
        organization,
        label: account.name,
        created_at: account.created_at,
    })
}

/// What is listed: the accounts and the members of organizations, and each account that is followed by itself, for its name. No
/// list need have such an account.
pub(super) fn lists(following: &Following, now: DateTime<Utc>) -> Vec<ListSchedule> {
    let apart = Arc::new(following.by_themselves.clone());
    let schedule = |organizations: &[String], listing| -> Vec<ListSchedule> {
        let schedule =
            |id: &String| ListSchedule::new(id.clone(), listing, Arc::clone(&apart), now);
        organizations.iter().map(schedule).collect()
    };
    let sources = following.sources.iter().map(|seen| &seen.source);
    let accounts = sources.filter(|source| source.kind() == SourceKind::Account);
    let accounts = (0..).zip(accounts);
    (schedule(&following.listed, Listing::Accounts).into_iter())
        .chain(schedule(&following.members_of, Listing::Members))
        .chain(accounts.map(|(n, source)| ListSchedule::of_account(source, n, now)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(listing: Listing) -> ListSchedule {
        ListSchedule::new("o".into(), listing, Arc::default(), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn lists_that_may_not_be_read_are_requested_hourly_and_other_failures_soon_again() {
        let now = DateTime::UNIX_EPOCH;
        let waits_after = |listing, error: UpstreamError| {
            let mut schedule = schedule(listing);
            let error = error.into();
            let waits = (0..6).map(|_| {
                schedule.begin(now);
                assert_eq!(schedule.due(), None, "a turn is under way");
                schedule.failed(&error, now);
                (schedule.due().unwrap() - now).num_minutes()
            });
            waits.collect::<Vec<_>>()
        };
        let refused = || UpstreamError::Unauthorized("no".into());
        let broken = || UpstreamError::Transient("no".into());
        let unexpected = || UpstreamError::Unexpected("404".into());
        assert_eq!(waits_after(Listing::Members, refused()), [60; 6]);
        assert_eq!(waits_after(Listing::Members, unexpected()), [60; 6]);
        assert_eq!(
            waits_after(Listing::Members, broken()),
            [1, 2, 4, 8, 16, 32]
        );
        for error in [refused(), unexpected(), broken()] {
            let waits = waits_after(Listing::Accounts, error);
            assert_eq!(waits, [1, 2, 4, 8, 15, 15]);
        }
        assert_eq!(waits_after(Listing::Account, unexpected()), [24 * 60; 6]);
    }

    fn accounts(ids: &[&str], total: Option<u64>, next: Option<&str>) -> AccountsPage {
        let account = |id: &&str| ListedAccount {
            id: (*id).to_owned(),
            name: None,
            created_at: None,
        };
        AccountsPage {
            accounts: ids.iter().map(account).collect(),
            unreadable: 0,
            total,
            next: next.map(Into::into),
            date: None,
        }
    }

    #[test]
    fn a_list_is_complete_only_with_as_many_items_as_it_says() {
        let lacks = |pages: Vec<AccountsPage>| {
            let mut list = schedule(Listing::Accounts)
                .begin(DateTime::UNIX_EPOCH)
                .unwrap();
            for page in pages {
                list.take_accounts(page).unwrap();
            }
            list.lacks()
        };
        assert_eq!(lacks(vec![accounts(&[], Some(0), None)]), None);
        let first = || accounts(&["a", "b"], Some(3), Some("t"));
        assert_eq!(lacks(vec![first(), accounts(&["c"], Some(3), None)]), None);
        // An item came or went between two pages: another one may have moved over the border that was passed already.
        let changed = |pages| lacks(pages).is_some_and(|lacks| lacks.contains("changed"));
        let joined = accounts(&["c", "d"], Some(4), None);
        assert!(changed(vec![first(), joined]));
        let left = accounts(&["d"], Some(3), None);
        assert!(changed(vec![
            accounts(&["a", "b"], Some(4), Some("t")),
            left
        ]));
        let twice = accounts(&["b", "c"], Some(3), None);
        assert_eq!(lacks(vec![first(), twice]), None);
        let cut = |pages| lacks(pages).is_some_and(|lacks| lacks.contains("is cut"));
        assert!(cut(vec![accounts(&["a"], Some(2), None)]));
        assert!(cut(vec![first(), accounts(&["b"], Some(3), None)]));
        assert!(cut(vec![accounts(&["a", "b"], Some(1), None)]));
        let unknown = lacks(vec![first(), accounts(&["c"], None, None)]).unwrap();
        assert!(unknown.contains("total_size"), "{unknown}");
        let mut nameless = accounts(&["a"], Some(2), None);
        nameless.unreadable = 1;
        assert!(lacks(vec![nameless]).unwrap().contains("no id"));
        let strange = lacks(vec![accounts(&["a", "b/c"], Some(2), None)]).unwrap();
        assert!(strange.contains("cannot be followed"), "{strange}");
    }

    #[test]
    fn half_a_list_or_an_empty_one_of_members_is_not_taken_for_a_whole_one() {
        let page = |next: Option<&str>| MembersPage {
            members: Vec::new(),
            unreadable: 0,
            total: Some(0),
            next: next.map(Into::into),
        };
        let list = || {
            schedule(Listing::Members)
                .begin(DateTime::UNIX_EPOCH)
                .unwrap()
        };
        assert!(list().take_members(page(None)).is_err());
        let mut circle = list();
        assert_eq!(circle.take_members(page(Some("a"))), Ok(true));
        assert!(circle.take_members(page(Some("a"))).is_err());
        let mut circle_of_two = list();
        assert_eq!(circle_of_two.take_members(page(Some("a"))), Ok(true));
        assert_eq!(circle_of_two.take_members(page(Some("b"))), Ok(true));
        assert!(circle_of_two.take_members(page(Some("a"))).is_err());
    }
}
