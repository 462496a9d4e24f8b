//! The description of the routes of `/client/v4`.

use orgtrail_cloudflare::account::AccountForm;
use orgtrail_cloudflare::envelope::LogPageForm;
use orgtrail_cloudflare::listing;
use orgtrail_cloudflare::member::MemberForm;
use orgtrail_cloudflare::product::CategoryForm;
use orgtrail_cloudflare::request::{DEFAULT_LIMIT, DEFAULT_PAGE_SIZE, MAX_LIMIT, MAX_PAGE_SIZE};
use orgtrail_cloudflare::token::TokenForm;

use crate::http::openapi::{Parameter, ParameterKind, Route, path, query};
use crate::position::SourceKind;

/// The ids of the examples.
const ACCOUNT: &str = "5d1f7a0c9b8e4d3f2a1b0c9d8e7f6a5b";
const ORGANIZATION: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
const ENTRY: &str = "2dc5cb28-0000-4000-8000-000000000002";
const MEMBER: &str = "8cffb9d2-0000-4000-8000-000000000001";

/// The range of time of the examples.
const RANGE: [(&str, &str); 3] = [
    ("since", "2026-08-01"),
    ("before", "2026-08-04"),
    ("limit", "1"),
];

/// The description of the routes.
pub(crate) fn describe() -> Vec<Route> {
    [logs(), histories(), lists()]
        .into_iter()
        .flatten()
        .collect()
}

fn account() -> Parameter {
    path("id", ParameterKind::Name(ACCOUNT), "The account's id.")
}

fn organization() -> Parameter {
    path(
        "id",
        ParameterKind::Name(ORGANIZATION),
        "The organization's id.",
    )
}

/// A page of an audit log.
fn log(path: &'static str, id: &'static str, summary: &'static str) -> Route {
    let limit = ParameterKind::Number {
        least: 1,
        most: MAX_LIMIT as u64,
        default: DEFAULT_LIMIT as u64,
    };
    let moment = "a date, which means its midnight in UTC, or an RFC 3339 time.";
    Route::get(path, id, summary)
        .of_cloudflare()
        .with(
            query(
                "since",
                ParameterKind::Text,
                &format!("From when on: {moment}"),
            )
            .required()
            .such_as("2026-08-01"),
        )
        .with(
            query(
                "before",
                ParameterKind::Text,
                &format!("Until when: {moment}"),
            )
            .required()
            .such_as("2026-08-04"),
        )
        .with(query(
            "direction",
            ParameterKind::Word(&["desc", "asc"]),
            "The newest or the oldest first.",
        ))
        .with(query("limit", limit, "The most entries of a page."))
        .with(query(
            "cursor",
            ParameterKind::Text,
            "`result_info.cursors.after` of the page before.",
        ))
        .answers::<LogPageForm>("A page of entries, each id once.")
        .header("Orgtrail-Coverage")
        .refuses(&[404])
}

fn logs() -> Vec<Route> {
    vec![
        log(
            "/client/v4/accounts/{id}/logs/audit",
            "cloudflare_account_log",
            "List an account's audit log",
        )
        .with(account())
        .filtered_in(SourceKind::Account)
        .example(
            "Three days",
            "/client/v4/accounts/5d1f7a0c9b8e4d3f2a1b0c9d8e7f6a5b/logs/audit",
            &RANGE,
        ),
        log(
            "/client/v4/organizations/{id}/logs/audit",
            "cloudflare_organization_log",
            "List an organization's audit log",
        )
        .with(organization())
        .filtered_in(SourceKind::Organization)
        .example(
            "Three days",
            "/client/v4/organizations/0a1b2c3d4e5f60718293a4b5c6d7e8f9/logs/audit",
            &RANGE,
        ),
        Route::get(
            "/client/v4/accounts/{id}/logs/audit/product_categories",
            "cloudflare_product_categories",
            "List the categories of products, as far as they are known here",
        )
        .of_cloudflare()
        .with(account())
        .answers_list::<CategoryForm>("The categories.")
        .refuses(&[404])
        .example(
            "All categories",
            "/client/v4/accounts/5d1f7a0c9b8e4d3f2a1b0c9d8e7f6a5b/logs/audit/product_categories",
            &[],
        ),
    ]
}

fn histories() -> Vec<Route> {
    let history = |path_of_log, id, summary| {
        let entry = path("entry", ParameterKind::Name(ENTRY), "The entry's id.");
        let time = "The entry's time. It helps to find the entry, to the second, and does not limit the history.";
        log(path_of_log, id, summary).with(entry).with(
            query("action_time", ParameterKind::Text, time)
                .required()
                .such_as("2026-08-02T09:00:00Z"),
        )
    };
    vec![
        history(
            "/client/v4/accounts/{id}/logs/audit/{entry}/history",
            "cloudflare_account_history",
            "List the entries about the resource of an account's entry",
        )
        .with(account())
        .example(
            "The history of a DNS record",
            "/client/v4/accounts/5d1f7a0c9b8e4d3f2a1b0c9d8e7f6a5b/logs/audit/2dc5cb28-0000-4000-8000-000000000002/history",
            &[RANGE[0], RANGE[1], RANGE[2], ("action_time", "2026-08-02T09:00:00Z")],
        ),
        history(
            "/client/v4/organizations/{id}/logs/audit/{entry}/history",
            "cloudflare_organization_history",
            "List the entries about the resource of an organization's entry",
        )
        .with(organization())
        .example(
            "The history of a membership",
            "/client/v4/organizations/0a1b2c3d4e5f60718293a4b5c6d7e8f9/logs/audit/2dc5cb28-0000-4000-8000-000000000005/history",
            &[RANGE[0], RANGE[1], RANGE[2], ("action_time", "2026-08-03T12:00:00Z")],
        ),
    ]
}

/// A list that pages by token.
fn list(path: &'static str, id: &'static str, summary: &'static str) -> Route {
    let size = ParameterKind::Number {
        least: 0,
        most: MAX_PAGE_SIZE as u64,
        default: DEFAULT_PAGE_SIZE as u64,
    };
    Route::get(path, id, summary)
        .of_cloudflare()
        .with(organization())
        .with(query(
            "page_size",
            size,
            "The most items of a page; 0 means the default.",
        ))
        .with(query(
            "page_token",
            ParameterKind::Text,
            "`result_info.next_page_token` of the page before.",
        ))
        .refuses(&[404])
}

/// With the filters of a text, as [`listing::TextFilter`] reads them.
fn text_filtered(route: Route, name: &str) -> Route {
    let names = listing::TEXT_FILTERS.map(|(end, about)| (format!("{name}{end}"), about));
    names.into_iter().fold(route, |route, (name, about)| {
        route.with(query(&name, ParameterKind::Text, about))
    })
}

fn lists() -> Vec<Route> {
    let accounts = list(
        "/client/v4/organizations/{id}/accounts",
        "cloudflare_accounts",
        "List an organization's accounts, as last read",
    )
    .with(query(
        "order_by",
        ParameterKind::OneOf(&["account_name"]),
        "By name; by id when it is left out.",
    ))
    .with(query(
        "direction",
        ParameterKind::Word(&["asc", "desc"]),
        "The order.",
    ));
    let accounts = text_filtered(text_filtered(accounts, "name"), "account_pubname");
    let members = list(
        "/client/v4/organizations/{id}/members",
        "cloudflare_members",
        "List an organization's members, as last read",
    )
    .with(query(
        "status",
        ParameterKind::Texts,
        "Members with this status. Repeated for OR.",
    ));
    let member = path(
        "member",
        ParameterKind::Name(MEMBER),
        "The membership's id.",
    );
    vec![
        accounts
            .answers_list::<AccountForm<'static>>("A page of accounts.")
            .example("All accounts", "/client/v4/organizations/0a1b2c3d4e5f60718293a4b5c6d7e8f9/accounts", &[]),
        Route::get("/client/v4/accounts/{id}", "cloudflare_account", "Read an account, as far as it is known")
            .of_cloudflare()
            .with(account())
            .answers_one::<AccountForm<'static>>("The account.")
            .refuses(&[404])
            .example("One account", "/client/v4/accounts/5d1f7a0c9b8e4d3f2a1b0c9d8e7f6a5b", &[]),
        text_filtered(members, "user.email")
            .answers_list::<MemberForm<'static>>("A page of members.")
            .example("All members", "/client/v4/organizations/0a1b2c3d4e5f60718293a4b5c6d7e8f9/members", &[]),
        Route::get("/client/v4/organizations/{id}/members/{member}", "cloudflare_member", "Read a member")
            .of_cloudflare()
            .with(organization())
            .with(member)
            .answers_one::<MemberForm<'static>>("The member.")
            .refuses(&[404])
            .example(
                "One member",
                "/client/v4/organizations/0a1b2c3d4e5f60718293a4b5c6d7e8f9/members/8cffb9d2-0000-4000-8000-000000000001",
                &[],
            ),
        Route::get("/client/v4/user/tokens/verify", "cloudflare_verify_token", "Check whether the token is valid")
            .of_cloudflare()
            .answers_one::<TokenForm>("It is.")
            .example("Is this token valid?", "/client/v4/user/tokens/verify", &[]),
    ]
}
