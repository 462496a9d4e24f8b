//! `/v1/members`, `/v1/accounts`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::AppState;
use super::problem::Problem;
use crate::people::{self, AccountNames, MemberHistory};

/// The organizations' members.
#[derive(Serialize)]
pub(super) struct Members {
    members: Vec<MemberHistory>,
}

/// The accounts' names.
#[derive(Serialize)]
pub(super) struct Accounts {
    accounts: Vec<AccountNames>,
}

pub(super) async fn members(State(app): State<AppState>) -> Result<Json<Members>, Problem> {
    let members = app.ask(|app| Ok(people::members(&app.store)?));
    Ok(Json(Members {
        members: members.await?,
    }))
}

pub(super) async fn accounts(State(app): State<AppState>) -> Result<Json<Accounts>, Problem> {
    let accounts = app.ask(|app| Ok(people::accounts(&app.store)?));
    Ok(Json(Accounts {
        accounts: accounts.await?,
    }))
}
