//! An organization's lists, a page at a time: of its accounts, and of its members.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use url::Url;

use super::{Permit, Upstream, UpstreamError};
use crate::json;
use crate::member::Member;

/// How many accounts are asked for at a time. Upstream's reference names no upper limit; 50 is what its own pages use.
const ACCOUNTS_PAGE_SIZE: u32 = 50;

/// How many members are asked for at a time.
const MEMBERS_PAGE_SIZE: u32 = 100;

/// One page of an organization's accounts.
#[derive(Debug)]
pub struct AccountsPage {
    /// Those that have an id.
    pub accounts: Vec<ListedAccount>,
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
        let mut accounts: Vec<ListedAccount> =
            envelope.result()?.into_iter().filter_map(account).collect();
        for account in &mut accounts {
            account.name = account.name.take().map(|name| answer.mask.hide(&name));
        }
        Ok(AccountsPage {
            accounts,
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
        let items = envelope.result()?.into_iter();
        let mut members: Vec<Member> = items.filter_map(Member::read).collect();
        for member in &mut members {
            member.name = member.name.take().map(|name| answer.mask.hide(&name));
        }
        Ok(MembersPage {
            members,
            next: envelope.next_page_token()?,
        })
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
