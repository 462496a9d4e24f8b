//! `/v1/rules`: the rules of alerts that are in use, and what is wrong with the others.

use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use chrono::TimeDelta;
use serde::Serialize;
use utoipa::ToSchema;

use super::alerts::reader;
use super::counted::counted;
use super::openapi::Route;
use super::params::Given;
use super::principal::Principal;
use super::problem::Problem;
use super::state::AppState;
use crate::rules::{ListedRule, RuleError};

/// The days of which a rule's alerts are counted.
const RECENT: TimeDelta = TimeDelta::days(7);

/// The rules of alerts.
#[derive(Serialize, ToSchema)]
#[schema(as = Rules)]
struct RuleAnswer<'a> {
    /// By level from the most serious, then by title.
    rules: Vec<RuleWithAlerts<'a>>,
    /// What is wrong with those that cannot be used.
    errors: &'a [RuleError],
}

/// A rule, and how loud it is.
#[derive(Serialize, ToSchema)]
#[schema(as = RuleInUse)]
struct RuleWithAlerts<'a> {
    #[serde(flatten)]
    rule: ListedRule<'a>,
    /// How many alerts of it were raised in the last seven days and not retracted.
    recent_alerts: u64,
}

/// `GET /v1/rules`.
pub(super) async fn list(
    State(app): State<AppState>,
    Extension(principal): Extension<Principal>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Given::read(query.as_deref(), &[])?;
    let reader = reader(&principal);
    let since = app.clock.now() - RECENT;
    let counts = app.ask(move |app| Ok(app.store.alerts_by_rule(since, &reader)?));
    let counts = counts.await?;
    let loaded = app.rules.get();
    let list = loaded.rules.list(&loaded.errors);
    let rules = list.rules.into_iter().map(|rule| RuleWithAlerts {
        recent_alerts: counts.get(rule.id.as_str()).copied().unwrap_or(0),
        rule,
    });
    let answer = RuleAnswer {
        rules: rules.collect(),
        errors: list.errors,
    };
    Ok(counted(answer.rules.len(), answer).into_response())
}

/// The description of the route.
pub(super) fn describe() -> Vec<Route> {
    vec![
        Route::get("/v1/rules", "list_rules", "List the rules of alerts")
            .about("All rules, also those that raise nothing by themselves, and the errors of those that cannot be used.")
            .answers::<RuleAnswer<'static>>("The rules.")
            .example("All rules", "/v1/rules", &[]),
    ]
}
