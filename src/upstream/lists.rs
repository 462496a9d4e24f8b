//! An organization's lists, a page at a time: of its accounts, and of its members.

use serde_json::value::RawValue;
use url::Url;

use super::{Envelope, Permit, Upstream, UpstreamError};
use crate::json;
use crate::member::Member;

/// How many accounts are asked for at a time. Upstream's reference names no upper limit; 50 is what its own pages use.
const ACCOUNTS_PAGE_SIZE: u32 = 50;

/// How many members are asked for at a time.
const MEMBERS_PAGE_SIZE: u32 = 100;

/// One page of an organization's accounts.
#[derive(Debug)]
pub struct AccountsPage {
    /// Ids and names.
    pub accounts: Vec<(String, Option<String>)>,
    /// The token of the next page.
    pub next: Option<String>,
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
        let (_, body) = self.get(permit, url, page_token.is_some()).await?;
        let envelope = Envelope::read(&body)?;
        let accounts = envelope.result()?.into_iter().filter_map(account).collect();
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
        let (_, body) = self.get(permit, url, page_token.is_some()).await?;
        let envelope = Envelope::read(&body)?;
        let members = envelope.result()?.into_iter();
        Ok(MembersPage {
            members: members.filter_map(Member::read).collect(),
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

fn account(item: &RawValue) -> Option<(String, Option<String>)> {
    Some((
        json::text_of(item.get(), "id")?,
        json::text_of(item.get(), "name"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_followed_however_strange_the_rest_of_it_is() {
        let item = RawValue::from_string(r#"{"id":"a","name":"x\ud800","n":1e999}"#.to_owned());
        let expect = ("a".to_owned(), Some("x\u{fffd}".to_owned()));
        assert_eq!(account(&item.unwrap()), Some(expect));
    }
}
