//! An organization's lists, a page at a time: of its accounts, and of its members; and one account by itself.
//!
//! A page says what it has, how many items it could not read, and how many the whole list has. Whether a list is complete is
//! for the caller to say, who has all its pages.

use chrono::{DateTime, Utc};
use orgtrail_cloudflare::account::ListedAccount;
use orgtrail_cloudflare::member::Member;
use orgtrail_cloudflare::request::{PAGE_SIZE, PAGE_TOKEN};
use url::Url;

use super::client::Upstream;
use super::error::UpstreamError;
use super::quota::Permit;

/// How many accounts are asked for at a time. Upstream's reference names no upper limit; 50 is what its own pages use.
const ACCOUNTS_PAGE_SIZE: u32 = 50;

/// How many members are asked for at a time.
const MEMBERS_PAGE_SIZE: u32 = 100;

/// One page of an organization's accounts.
#[derive(Debug)]
pub struct AccountsPage {
    /// Those that have an id.
    pub accounts: Vec<ListedAccount>,
    /// How many have none.
    pub unreadable: usize,
    /// How many there are on all pages, if upstream says so.
    pub total: Option<u64>,
    /// The token of the next page.
    pub next: Option<String>,
    /// Upstream's present, when it answered.
    pub date: Option<DateTime<Utc>>,
}

/// One page of an organization's members.
#[derive(Debug)]
pub struct MembersPage {
    /// Those that have an id.
    pub members: Vec<Member>,
    /// How many have none.
    pub unreadable: usize,
    /// How many there are on all pages, if upstream says so.
    pub total: Option<u64>,
    /// The token of the next page.
    pub next: Option<String>,
}

impl Upstream {
    /// One page of an organization's accounts.
    ///
    /// # Errors
    /// [`UpstreamError`], named by what to do.
    pub async fn fetch_accounts_page(
        &self,
        permit: Permit,
        organization: &str,
        page_token: Option<&str>,
    ) -> Result<AccountsPage, UpstreamError> {
        let answered = self.accounts_page(permit, organization, page_token).await;
        self.count(&answered);
        answered
    }

    async fn accounts_page(
        &self,
        permit: Permit,
        organization: &str,
        page_token: Option<&str>,
    ) -> Result<AccountsPage, UpstreamError> {
        let path = ["organizations", organization, "accounts"];
        let url = self.list_url(&path, ACCOUNTS_PAGE_SIZE, page_token);
        let answer = self.get(permit, url, page_token.is_some()).await?;
        let envelope = answer.envelope()?;
        let items = envelope.items()?;
        let mut accounts: Vec<ListedAccount> = items
            .iter()
            .copied()
            .filter_map(ListedAccount::read)
            .collect();
        for account in &mut accounts {
            account.name = account.name.take().map(|name| answer.mask.hide(&name));
        }
        Ok(AccountsPage {
            unreadable: items.len() - accounts.len(),
            accounts,
            total: envelope.total_size(),
            next: envelope.next_page_token()?,
            date: answer.date,
        })
    }

    /// One page of an organization's members.
    ///
    /// # Errors
    /// [`UpstreamError`], named by what to do.
    pub async fn fetch_members_page(
        &self,
        permit: Permit,
        organization: &str,
        page_token: Option<&str>,
    ) -> Result<MembersPage, UpstreamError> {
        let answered = self.members_page(permit, organization, page_token).await;
        self.count(&answered);
        answered
    }

    async fn members_page(
        &self,
        permit: Permit,
        organization: &str,
        page_token: Option<&str>,
    ) -> Result<MembersPage, UpstreamError> {
        let path = ["organizations", organization, "members"];
        let url = self.list_url(&path, MEMBERS_PAGE_SIZE, page_token);
        let answer = self.get(permit, url, page_token.is_some()).await?;
        let envelope = answer.envelope()?;
        let items = envelope.items()?;
        let mut members: Vec<Member> = items.iter().copied().filter_map(Member::read).collect();
        for member in &mut members {
            member.name = member.name.take().map(|name| answer.mask.hide(&name));
        }
        Ok(MembersPage {
            unreadable: items.len() - members.len(),
            members,
            total: envelope.total_size(),
            next: envelope.next_page_token()?,
        })
    }

    /// One account, which no list need have.
    ///
    /// # Errors
    /// [`UpstreamError`], named by what to do.
    pub async fn fetch_account(
        &self,
        permit: Permit,
        id: &str,
    ) -> Result<ListedAccount, UpstreamError> {
        let answered = self.account(permit, id).await;
        self.count(&answered);
        answered
    }

    async fn account(&self, permit: Permit, id: &str) -> Result<ListedAccount, UpstreamError> {
        let url = self.url(&["accounts", id]);
        let answer = self.get(permit, url, false).await?;
        let found =
            ListedAccount::read(answer.envelope()?.item()?).filter(|account| account.id == id);
        let mut found = found.ok_or_else(|| {
            UpstreamError::Unexpected("the answer is not about the requested account".into())
        })?;
        found.name = found.name.take().map(|name| answer.mask.hide(&name));
        Ok(found)
    }

    /// A page of a list that pages by token.
    fn list_url(&self, path: &[&str], page_size: u32, page_token: Option<&str>) -> Url {
        let mut url = self.url(path);
        url.query_pairs_mut()
            .append_pair(PAGE_SIZE, &page_size.to_string());
        if let Some(token) = page_token {
            url.query_pairs_mut().append_pair(PAGE_TOKEN, token);
        }
        url
    }
}
