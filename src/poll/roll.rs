//! An organization's lists, of its accounts and of its members, read page by page.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use super::turn::TurnError;
use crate::member::Member;
use crate::position::Source;
use crate::store::SourceSeen;
use crate::upstream::{AccountsPage, MembersPage, UpstreamError};

/// The most pages of a list that are followed. Upstream allows 500 accounts.
const MAX_PAGES: usize = 1_000;

/// How often an organization's accounts are listed.
const LIST_ACCOUNTS_EVERY: TimeDelta = TimeDelta::hours(1);

/// How often its members are, and how soon they are asked for again when the credential may not read them.
const LIST_MEMBERS_EVERY: TimeDelta = TimeDelta::days(1);

/// How soon a list is asked for again when that failed.
const LIST_AGAIN: TimeDelta = TimeDelta::minutes(1);

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// The accounts, which are then followed.
    Accounts,
    /// The members, who are then known.
    Members,
}

/// One list of an organization, between its turns.
pub(super) struct Roll {
    pub(super) organization: String,
    pub(super) listing: Listing,
    due: DateTime<Utc>,
    /// The list as far as it has been read; a turn that reads on takes it away with it.
    list: Option<List>,
    /// Whether it has been said that the credential may not read it.
    is_refused: bool,
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
    pub(super) page_token: Option<String>,
    pages: usize,
}

impl Roll {
    pub(super) fn new(organization: String, listing: Listing, now: DateTime<Utc>) -> Self {
        let list = Some(List::new(&organization, listing));
        Self {
            organization,
            listing,
            due: now,
            list,
            is_refused: false,
            was_read: false,
            failures: 0,
        }
    }

    /// When its next page is due; `None` while a turn is under way.
    pub(super) fn due(&self) -> Option<DateTime<Utc>> {
        self.list.as_ref().map(|_| self.due)
    }

    /// The list, to read on.
    pub(super) fn begin(&mut self) -> Option<List> {
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
            Listing::Accounts => now + LIST_ACCOUNTS_EVERY,
            Listing::Members => now + LIST_MEMBERS_EVERY,
        });
    }

    /// It could not be read. Without the members' list nothing is amiss: a credential may follow logs and not read members.
    pub(super) fn failed(&mut self, error: &TurnError, now: DateTime<Utc>) {
        self.failures += 1;
        let organization = &self.organization;
        let may_pass = match error {
            TurnError::Store(_) | TurnError::Foreign { .. } | TurnError::Panicked(_) => true,
            TurnError::Upstream(error) => matches!(
                error,
                UpstreamError::Transient(_)
                    | UpstreamError::NoToken(_)
                    | UpstreamError::RateLimited { .. }
                    | UpstreamError::CursorRefused(_)
            ),
        };
        let again = match self.listing {
            Listing::Accounts => {
                warn!(organization, error = %error, "The accounts of an organization could not be listed; trying again in a minute.");
                LIST_AGAIN
            }
            Listing::Members if may_pass => {
                warn!(organization, error = %error, "The members of an organization could not be listed; trying again in a minute.");
                LIST_AGAIN
            }
            Listing::Members => {
                if !self.is_refused {
                    warn!(organization, error = %error, "The members of an organization cannot be read: nothing is known of actors but what entries say. Trying again daily.");
                }
                self.is_refused = true;
                LIST_MEMBERS_EVERY
            }
        };
        self.start_over(now + again);
    }

    /// The list is read from its start again, then.
    fn start_over(&mut self, due: DateTime<Utc>) {
        self.due = due;
        self.list = Some(List::new(&self.organization, self.listing));
    }
}

impl List {
    fn new(organization: &str, listing: Listing) -> Self {
        Self {
            organization: organization.to_owned(),
            listing,
            accounts: Vec::new(),
            members: Vec::new(),
            page_token: None,
            pages: 0,
        }
    }

    /// Takes in a page of accounts; says whether another follows.
    ///
    /// # Errors
    /// When the pages have no end: half a list must not be taken for a whole one.
    pub(super) fn take_accounts(&mut self, page: AccountsPage) -> Result<bool, UpstreamError> {
        for account in page.accounts {
            let organization = Some(self.organization.clone());
            match Source::account(&account.id) {
                Ok(source) => self.accounts.push(SourceSeen {
                    source,
                    organization,
                    label: account.name,
                    created_at: account.created_at,
                }),
                Err(error) => {
                    warn!(organization = self.organization, error = %error, "An account cannot be followed.");
                }
            }
        }
        self.turn_page(page.next)
    }

    /// Takes in a page of members; says whether another follows.
    ///
    /// # Errors
    /// As [`List::take_accounts`], and when there is nobody: an organization has a member at least.
    pub(super) fn take_members(&mut self, page: MembersPage) -> Result<bool, UpstreamError> {
        self.members.extend(page.members);
        let has_more = self.turn_page(page.next)?;
        if !has_more && self.members.is_empty() {
            return Err(UpstreamError::Unexpected(
                "the list of members is empty".into(),
            ));
        }
        Ok(has_more)
    }

    fn turn_page(&mut self, next: Option<String>) -> Result<bool, UpstreamError> {
        self.pages += 1;
        let is_endless = self.pages == MAX_PAGES || next == self.page_token;
        if next.is_some() && is_endless {
            return Err(UpstreamError::Unexpected(
                "the list leads in a circle".into(),
            ));
        }
        self.page_token = next;
        Ok(self.page_token.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_may_not_be_read_are_asked_for_daily_and_other_failures_soon_again() {
        let now = DateTime::UNIX_EPOCH;
        let wait_after = |listing, error: UpstreamError| {
            let mut roll = Roll::new("o".into(), listing, now);
            roll.begin();
            assert_eq!(roll.due(), None, "a turn is under way");
            roll.failed(&error.into(), now);
            roll.due().unwrap() - now
        };
        let refused = || UpstreamError::Unauthorized("no".into());
        let broken = || UpstreamError::Transient("no".into());
        assert_eq!(wait_after(Listing::Members, refused()), LIST_MEMBERS_EVERY);
        assert_eq!(
            wait_after(Listing::Members, UpstreamError::Unexpected("404".into())),
            LIST_MEMBERS_EVERY
        );
        assert_eq!(wait_after(Listing::Members, broken()), LIST_AGAIN);
        assert_eq!(wait_after(Listing::Accounts, refused()), LIST_AGAIN);
    }

    #[test]
    fn half_a_list_or_an_empty_one_of_members_is_not_taken_for_a_whole_one() {
        let page = |next: Option<&str>| MembersPage {
            members: Vec::new(),
            next: next.map(Into::into),
        };
        let list = || List::new("o", Listing::Members);
        assert!(list().take_members(page(None)).is_err());
        let mut circle = list();
        assert_eq!(circle.take_members(page(Some("a"))), Ok(true));
        assert!(circle.take_members(page(Some("a"))).is_err());
    }
}
