//! An organization's accounts and members as last read, one account, one member, and whether a token is valid.

use axum::Extension;
use axum::extract::{Path, RawQuery};
use axum::response::Response;
use orgtrail_cloudflare::account::{AccountForm, time_text};
use orgtrail_cloudflare::envelope::Envelope;
use orgtrail_cloudflare::error::{self, ApiError};
use orgtrail_cloudflare::listing::TextFilter;
use orgtrail_cloudflare::listing::{self, ListPage, number_key};
use orgtrail_cloudflare::member::MemberForm;
use orgtrail_cloudflare::parameters::{Parameters, all, last};
use orgtrail_cloudflare::request::{DIRECTION, Direction};
use orgtrail_cloudflare::token::TokenForm;
use serde::Serialize;

use super::envelope::{answer, bad, parameters_of};
use super::known_source::known_source;
use crate::coverage::{self, Asked};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::http::scoped::ScopedApp;
use crate::position::SourceKind;
use crate::store::{MemberRow, SourceRow};

/// `GET /organizations/{id}/accounts`
pub(super) async fn accounts(
    app: ScopedApp,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    app.ask(move |app| {
        let organization = known_source(app, SourceKind::Organization, &id)?;
        let parameters = parameters_of(query.as_deref())?;
        // An old list is not passed on: another orgtrail would date it by this answer.
        let now = app.clock.now();
        let unknown = coverage::accounts_unknown(&app.store, app.scope(), &Asked::default(), now)?;
        let lists = app.store.account_lists()?;
        let is_listed = lists.iter().any(|(source, _)| *source == organization);
        if !is_listed || unknown.contains(&organization) {
            return Err(Problem::list_not_read("accounts"));
        }
        let scope = app.scope();
        let mut rows = app.store.sources()?;
        rows.retain(|row| {
            row.organization.as_deref() == Some(&*id)
                && row.source.kind() == SourceKind::Account
                && row.left_at.is_none()
                && scope.has_source(&row.source)
        });
        page(&listing::page(&parameters, keyed(&rows, &parameters)?).map_err(bad)?)
    })
    .await
}

/// `GET /accounts/{id}`
pub(super) async fn account(app: ScopedApp, Path(id): Path<String>) -> Result<Response, Problem> {
    app.ask(move |app| {
        let source = known_source(app, SourceKind::Account, &id)?;
        let rows = app.store.sources()?;
        let row = rows.iter().find(|row| row.source == source);
        let row = row.ok_or_else(Problem::no_route)?;
        answer(1, &Envelope::of(account_form(row)))
    })
    .await
}

/// `GET /organizations/{id}/members`
pub(super) async fn members(
    app: ScopedApp,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    app.ask(move |app| {
        let rows = members_of(app, &id)?;
        let parameters = parameters_of(query.as_deref())?;
        let statuses: Vec<&str> = all(&parameters, "status").collect();
        let emails = TextFilter::of(&parameters, "user.email");
        let passing = rows.iter().map(|row| &row.member).filter(|member| {
            let status = member.status.as_deref().unwrap_or_default();
            let email = member.email.as_deref().unwrap_or_default();
            (statuses.is_empty() || statuses.contains(&status)) && emails.passes(email)
        });
        let passing = passing.map(|member| (member.id.clone(), MemberForm::from(member)));
        page(&listing::page(&parameters, passing).map_err(bad)?)
    })
    .await
}

/// `GET /organizations/{id}/members/{member}`
pub(super) async fn member(
    app: ScopedApp,
    Path((id, member)): Path<(String, String)>,
) -> Result<Response, Problem> {
    app.ask(move |app| {
        let rows = members_of(app, &id)?;
        let mut members = rows.iter().map(|row| &row.member);
        let found = members.find(|found| found.id == member);
        let found = found.ok_or_else(|| Problem::not_found("there is no such member"))?;
        answer(1, &Envelope::of(MemberForm::from(found)))
    })
    .await
}

/// `GET /user/tokens/verify`: the token was checked before this handler runs.
pub(super) async fn verify_token(
    Extension(principal): Extension<Principal>,
) -> Result<Response, Problem> {
    let id = principal.token().map(|token| &*token.id);
    let result = TokenForm {
        id: id.unwrap_or(principal.name()).to_owned(),
        status: "active",
    };
    let message = "This API Token is valid and active";
    let envelope = Envelope {
        messages: Some(vec![ApiError::coded(error::AUTHENTICATION, message)]),
        ..Envelope::of(result)
    };
    answer(1, &envelope)
}

/// An organization's members, as the last complete list and those since have them.
fn members_of(app: &ScopedApp, id: &str) -> Result<Vec<MemberRow>, Problem> {
    known_source(app, SourceKind::Organization, id)?;
    match app.store.members_read_at(id)? {
        Some(_) => Ok(app.store.present_members(id)?),
        None => Err(Problem::list_not_read("members")),
    }
}

/// Accounts in the order that is asked for, with their keys: by id, or by their place in another order.
fn keyed<'a>(
    rows: &'a [SourceRow],
    parameters: &Parameters,
) -> Result<impl Iterator<Item = (String, AccountForm<'a>)>, Problem> {
    let mut rows: Vec<&SourceRow> = rows.iter().collect();
    rows.sort_by(|a, b| a.source.cmp(&b.source));
    let order_by = last(parameters, "order_by");
    match order_by {
        None => {}
        Some("account_name") => rows.sort_by(|a, b| a.label.cmp(&b.label)),
        Some(_) => return Err(bad("order_by must be one of: account_name")),
    }
    let direction =
        last(parameters, DIRECTION).map_or(Some(Direction::Ascending), Direction::by_name);
    let direction = direction.ok_or_else(|| bad("direction must be one of: asc, desc"))?;
    if direction == Direction::Descending {
        rows.reverse();
    }
    let by_id = order_by.is_none() && direction == Direction::Ascending;
    let filters = ["name", "account_pubname"].map(|name| TextFilter::of(parameters, name));
    Ok((0..).zip(rows).filter_map(move |(place, row)| {
        let name = row.label.as_deref().unwrap_or_default();
        let passes = filters.iter().all(|filter| filter.passes(name));
        let key = if by_id {
            row.source.id().to_owned()
        } else {
            number_key(place)
        };
        passes.then(|| (key, account_form(row)))
    }))
}

/// An account, as far as it is known. Its settings and its type are not.
fn account_form(row: &SourceRow) -> AccountForm<'_> {
    AccountForm {
        created_on: row.created_at.map(time_text),
        id: row.source.id(),
        name: row.label.as_deref(),
        settings: None,
        tags: None,
        kind: None,
    }
}

fn page<T: Serialize>(page: &ListPage<T>) -> Result<Response, Problem> {
    let envelope = Envelope::of_list(&page.items, page.info.clone());
    answer(page.items.len(), &envelope)
}
