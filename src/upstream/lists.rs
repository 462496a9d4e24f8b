//! An organization's lists, a page at a time: of its accounts, and of its members; and one account by itself.
//!
//! A page says what it has, how many items it could not read, and how many the whole list has. Whether a list is complete is
//! for the caller to say, who has all its pages.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use url::Url;

use super::{Permit, Upstream, UpstreamError};
use orgtrail_cloudflare::json;
use orgtrail_cloudflare::member::Member;

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
}

/// An account as its organization lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAccount {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: Option<String>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
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
        let path = ["organizations", organization, "accounts"];
        let url = self.list_url(&path, ACCOUNTS_PAGE_SIZE, page_token);
        let answer = self.get(permit, url, page_token.is_some()).await?;
        let envelope = answer.envelope()?;
        let items = envelope.items()?;
        let mut accounts: Vec<ListedAccount> = items.iter().copied().filter_map(account).collect();
        for account in &mut accounts {
            account.name = account.name.take().map(|name| answer.mask.hide(&name));
        }
        Ok(AccountsPage {
            unreadable: items.len() - accounts.len(),
            accounts,
            total: envelope.total_size(),
            next: envelope.next_page_token()?,
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
        let url = self.url(&["accounts", id]);
        let answer = self.get(permit, url, false).await?;
        let found = account(answer.envelope()?.item()?).filter(|account| account.id == id);
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
            .append_pair("page_size", &page_size.to_string());
        if let Some(token) = page_token {
            url.query_pairs_mut().append_pair("page_token", token);
        }
        url
    }
}

fn account(item: &RawValue) -> Option<ListedAccount> {
    let text = |name| json::text_of(item.get(), name);
    let created = text("created_on");
    Some(ListedAccount {
        id: text("id")?,
        name: text("name"),
        created_at: created
            .and_then(|text| Some(DateTime::parse_from_rfc3339(&text).ok()?.to_utc())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_followed_however_strange_the_rest_of_it_is() {
        let item = RawValue::from_string(r#"{"id":"a","name":"x\ud800","n":1e999}"#.to_owned());
        let found = account(&item.unwrap()).unwrap();
        assert_eq!(
            (&*found.id, found.name.as_deref()),
            ("a", Some("x\u{fffd}"))
        );
    }
}
