//! An organization's list of accounts, read page by page.

use chrono::{DateTime, Utc};
use tracing::warn;

use crate::position::Source;
use crate::store::SourceSeen;
use crate::upstream::{AccountsPage, UpstreamError};

/// The most pages of accounts that are followed. Upstream allows 500 accounts.
const MAX_ACCOUNT_PAGES: usize = 1_000;

/// An organization whose accounts are listed, between its turns.
pub(super) struct Roll {
    pub(super) organization: String,
    due: DateTime<Utc>,
    /// The list as far as it has been read; a turn that reads on takes it away with it.
    list: Option<AccountList>,
}

/// A list as far as it has been read.
pub(super) struct AccountList {
    pub(super) organization: String,
    pub(super) accounts: Vec<SourceSeen>,
    pub(super) page_token: Option<String>,
    pages: usize,
}

impl Roll {
    pub(super) fn new(organization: String, now: DateTime<Utc>) -> Self {
        let list = Some(AccountList::new(&organization));
        Self {
            organization,
            due: now,
            list,
        }
    }

    /// When its next page is due; `None` while a turn is under way.
    pub(super) fn due(&self) -> Option<DateTime<Utc>> {
        self.list.as_ref().map(|_| self.due)
    }

    /// The list, to read on.
    pub(super) fn begin(&mut self) -> Option<AccountList> {
        self.list.take()
    }

    /// There is more to read, now.
    pub(super) fn go_on(&mut self, list: AccountList) {
        self.list = Some(list);
    }

    /// Somebody helped, perhaps: it is tried at once.
    pub(super) fn try_again(&mut self, now: DateTime<Utc>) {
        self.due = self.due.min(now);
    }

    /// The list is read from its start again, then.
    pub(super) fn start_over(&mut self, due: DateTime<Utc>) {
        self.due = due;
        self.list = Some(AccountList::new(&self.organization));
    }
}

impl AccountList {
    fn new(organization: &str) -> Self {
        Self {
            organization: organization.to_owned(),
            accounts: Vec::new(),
            page_token: None,
            pages: 0,
        }
    }

    /// Takes in a page; says whether another follows.
    ///
    /// # Errors
    /// When the pages have no end: half a list must not be taken for a whole one.
    pub(super) fn take(&mut self, page: AccountsPage) -> Result<bool, UpstreamError> {
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
        self.pages += 1;
        let is_endless = self.pages == MAX_ACCOUNT_PAGES || page.next == self.page_token;
        if page.next.is_some() && is_endless {
            return Err(UpstreamError::Unexpected(
                "the list of accounts leads in a circle".into(),
            ));
        }
        self.page_token = page.next;
        Ok(self.page_token.is_some())
    }
}
