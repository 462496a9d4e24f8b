//! `/v1/members`, `/v1/accounts`: lists in the order of their names, page by page.
//!
//! A cursor is the name of the last one on the page before, so a page shows what is known when it is asked for.

use axum::extract::RawQuery;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::counted::{Counted, counted};
use super::openapi::{ParameterKind, Route, query as described_query};
use super::params::{Given, bad, number};
use super::problem::Problem;
use super::scoped::ScopedApp;
use crate::people::{self, AccountNames, MemberHistory};
use crate::search::MAX_LIMIT;

/// What can be asked.
const KNOWN: [&str; 2] = ["limit", "cursor"];

/// The organizations' members.
#[derive(Serialize, ToSchema)]
pub(super) struct Members {
    members: Vec<MemberHistory>,
    next_cursor: Option<String>,
}

/// The accounts' names.
#[derive(Serialize, ToSchema)]
pub(super) struct Accounts {
    accounts: Vec<AccountNames>,
    next_cursor: Option<String>,
}

pub(super) async fn members(
    app: ScopedApp,
    RawQuery(query): RawQuery,
) -> Result<Counted<Members>, Problem> {
    let (limit, after) = page::<(String, String)>(query.as_deref())?;
    app.ask(move |app| {
        let after = (after.0.as_str(), after.1.as_str());
        let mut members = people::members(&app.store, app.scope(), after, limit + 1)?;
        let next_cursor = cut(&mut members, limit)
            .map(|MemberHistory { known, .. }| cursor(&(&known.organization, &known.member.id)))
            .transpose()?;
        Ok(counted(
            members.len(),
            Members {
                members,
                next_cursor,
            },
        ))
    })
    .await
}

pub(super) async fn accounts(
    app: ScopedApp,
    RawQuery(query): RawQuery,
) -> Result<Counted<Accounts>, Problem> {
    let (limit, after) = page::<String>(query.as_deref())?;
    app.ask(move |app| {
        let mut accounts = people::accounts(&app.store, app.scope(), &after, limit + 1)?;
        let next_cursor = cut(&mut accounts, limit)
            .map(|account| cursor(&account.source))
            .transpose()?;
        Ok(counted(
            accounts.len(),
            Accounts {
                accounts,
                next_cursor,
            },
        ))
    })
    .await
}

/// How many are wanted, and after whom.
fn page<Name: DeserializeOwned + Default>(query: Option<&str>) -> Result<(usize, Name), Problem> {
    let given = Given::read(query, &KNOWN)?;
    let limit = match given.one("limit")? {
        None => MAX_LIMIT,
        Some(text) => number("limit", text, MAX_LIMIT)?,
    };
    let after = match given.one("cursor")? {
        None => Name::default(),
        Some(cursor) => URL_SAFE_NO_PAD
            .decode(cursor)
            .ok()
            .and_then(|name| serde_json::from_slice(&name).ok())
            .ok_or_else(|| {
                let message =
                    "this is no cursor of this list: take `next_cursor` as it is, or leave it out";
                bad("cursor", message)
            })?,
    };
    Ok((limit, after))
}

/// Takes off what is more than a page; gives the last one on it, when there was more.
fn cut<T>(found: &mut Vec<T>, limit: usize) -> Option<&T> {
    let has_more = found.len() > limit;
    found.truncate(limit);
    found.last().filter(|_| has_more)
}

fn cursor(name: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(name)?))
}

/// The description of the routes here.
pub(super) fn describe() -> Vec<Route> {
    let list = |path, id, summary| {
        let limit = ParameterKind::Number {
            least: 1,
            most: MAX_LIMIT as u64,
            default: MAX_LIMIT as u64,
        };
        Route::get(path, id, summary)
            .with(described_query(
                "limit",
                limit,
                "The most results of a page.",
            ))
            .with(described_query(
                "cursor",
                ParameterKind::Text,
                "`next_cursor` of the page before.",
            ))
    };
    vec![
        list(
            "/v1/members",
            "list_members",
            "List the organizations' members, with what they were before",
        )
        .answers::<Members>("A page of members.")
        .example("One member", "/v1/members", &[("limit", "1")]),
        list("/v1/accounts", "list_accounts", "List the accounts' names")
            .answers::<Accounts>("A page of accounts.")
            .example("All accounts", "/v1/accounts", &[]),
    ]
}
