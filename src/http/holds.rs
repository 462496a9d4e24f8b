//! `/v1/holds`: what retention must not erase.

use axum::extract::{RawQuery, State};

use super::counted::{Counted, counted};
use super::openapi::Route;
use super::params::Given;
use super::problem::Problem;
use super::state::AppState;
use crate::retention::ShownHolds;

/// `GET /v1/holds`: all holds, the released ones included.
pub(super) async fn list(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Counted<ShownHolds>, Problem> {
    Given::read(query.as_deref(), &[])?;
    let holds = app.ask(move |app| Ok(app.store.holds()?)).await?;
    Ok(counted(holds.len(), ShownHolds::from(holds)))
}

/// The description of the route here.
pub(super) fn describe() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/holds",
            "list_holds",
            "List the holds: what retention must not erase",
        )
        .answers::<ShownHolds>("All holds, the released ones included.")
        .example("All holds", "/v1/holds", &[]),
    ]
}
