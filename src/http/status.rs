//! `/v1/sources`, `/healthz`, `/readyz`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use uuid::Uuid;

use super::AppState;
use super::events::IndexState;
use super::params::Given;
use super::problem::Problem;
use crate::follow::board::FollowerState;
use crate::invariant::Invariant;
use crate::position::{Seq, rfc3339};
use crate::status::{self, SourceStatus};
use crate::store::DiskProblem;
use crate::task;

/// All sources.
#[derive(Serialize)]
pub(super) struct Sources {
    sources: Vec<SourceStatus>,
}

/// The response of `/readyz`.
#[derive(Serialize)]
pub(super) struct Ready {
    status: &'static str,
    /// The id of the log.
    log_id: Uuid,
    index: IndexState,
    /// What an operator should look at, although questions are answered.
    problems: Vec<&'static str>,
    /// The same, each with the part that it is about, and why it is reported.
    problem_details: Vec<Trouble>,
    log: LogState,
    /// Followers of the log that have made a turn since the start.
    followers: Vec<FollowerLag>,
}

/// A problem that does not keep questions from being answered. It has no ids: the route needs no credential.
#[derive(Serialize)]
struct Trouble {
    problem: &'static str,
    /// `upstream`, `index` or `log`.
    part: &'static str,
    why: &'static str,
}

/// The progress of a follower of the log.
#[derive(Serialize)]
struct FollowerLag {
    name: &'static str,
    checkpoint: Seq,
    /// How many events it is behind the newest one.
    lag: u64,
    /// When its turns began to fail; `null` while they succeed. The error is in the service's log only: it may name files.
    failing_since: Option<String>,
}

impl From<FollowerState> for FollowerLag {
    fn from(state: FollowerState) -> Self {
        Self {
            name: state.name,
            checkpoint: state.checkpoint,
            lag: state.lag(),
            failing_since: state.failure.map(|failure| rfc3339(failure.since)),
        }
    }
}

/// The state of the log's bodies.
#[derive(Serialize)]
struct LogState {
    /// How many events are known to be damaged.
    damaged: u64,
    /// When the last full comparison of all bodies with their hashes ended.
    verified_at: Option<String>,
}

/// The response of `/healthz`.
#[derive(Serialize)]
pub(super) struct Alive {
    status: &'static str,
    version: &'static str,
    /// How many requests ended with a panic since the start.
    panics: u64,
    /// How many background tasks did, merges of the index among them.
    background_panics: u64,
    /// How often each invariant was broken since the start of the process. Those that were not are left out.
    broken_invariants: BTreeMap<&'static str, u64>,
}

pub(super) async fn sources(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Json<Sources>, Problem> {
    Given::read(query.as_deref(), &[])?;
    let now = app.clock.now();
    let sources = app.ask(move |app| Ok(status::sources(&app.store, Some(&app.board), now)?));
    Ok(Json(Sources {
        sources: sources.await?,
    }))
}

pub(super) async fn healthz(State(app): State<AppState>) -> Json<Alive> {
    Json(Alive {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        panics: app.panics.so_far(),
        background_panics: task::panics() + app.board.panics(),
        broken_invariants: broken_invariants(),
    })
}

fn broken_invariants() -> BTreeMap<&'static str, u64> {
    let counts = Invariant::ALL.map(|invariant| (invariant.id(), invariant.violations()));
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// Ready means that questions can be answered: the log can be read, and the index is open. The state of upstream does not matter.
pub(super) async fn readyz(State(app): State<AppState>) -> Result<Json<Ready>, Problem> {
    let ready = app.ask(|app| {
        app.store
            .event(app.store.head())
            .map_err(|error| Problem::log_unreadable(&error))?;
        if !app.engine.is_available() {
            return Err(Problem::unavailable());
        }
        let state = app.store.scrub_state();
        let state = state.map_err(|error| Problem::log_unreadable(&error))?;
        let problems = problems(app);
        Ok(Ready {
            status: "ready",
            log_id: app.store.log_id(),
            index: IndexState::of(app, &app.engine.view()),
            problems: problems.iter().map(|trouble| trouble.problem).collect(),
            problem_details: problems,
            log: LogState {
                damaged: state.damaged,
                verified_at: state.full_at.map(rfc3339),
            },
            followers: followers(app),
        })
    });
    Ok(Json(ready.await?))
}

fn followers(app: &AppState) -> Vec<FollowerLag> {
    let states = app.followers.states(app.store.head());
    states.into_iter().map(FollowerLag::from).collect()
}

/// What an operator should look at, the causes before what follows from them.
fn problems(app: &AppState) -> Vec<Trouble> {
    let now = app.clock.steady();
    let trouble = |problem, part, why| Trouble { problem, part, why };
    let refused = app.board.has_refused_credential(now).then(|| {
        trouble(
            "credential refused",
            "upstream",
            "a source of a credential was refused at least 30 seconds ago, and none of its sources was answered since",
        )
    });
    let unreachable = app.board.is_upstream_unreachable(now).then(|| {
        trouble(
            "upstream unreachable",
            "upstream",
            "no call for a source was answered for at least 5 minutes",
        )
    });
    let rebuild = app.engine.is_rebuilding().then(|| {
        trouble(
            "rebuild",
            "index",
            "the index is being built again from the log; answers are not whole until it is done",
        )
    });
    let disk = app.store.disk_problem().map(|disk| {
        let why = match disk {
            DiskProblem::Full => "the disk has no room for the log, so that nothing more is stored",
            DiskProblem::Failing => {
                "the last write to the log failed; the service's log has the error"
            }
        };
        trouble(disk.as_str(), "log", why)
    });
    let problems = [refused, unreachable, rebuild, disk];
    problems.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_invariants_are_counted_by_their_names() {
        let name = Invariant::SealedByACompleteReply.id();
        assert_eq!(broken_invariants().get(name), None);
        for _ in 0..2 {
            std::panic::catch_unwind(|| {
                crate::invariant!(SealedByACompleteReply, 1 + 1 == 3, "a test's doing");
            })
            .unwrap_err();
        }
        assert_eq!(broken_invariants().get(name), Some(&2));
    }
}
