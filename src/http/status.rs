//! `/v1/sources`, `/healthz`, `/readyz`.

use std::collections::BTreeMap;

use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::certificate::{self, CertificateState};
use super::counted::{Counted, counted};
use super::events::IndexState;
use super::openapi::Route;
use super::params::Given;
use super::principal::Principal;
use super::problem::Problem;
use super::scoped::ScopedApp;
use super::state::AppState;
use super::trouble::Trouble;
use crate::follow::board::FollowerState;
use crate::follow::index as indexing;
use crate::invariant::Invariant;
use crate::position::{Seq, rfc3339};
use crate::status::{self, SourceStatus};
use crate::store::DiskProblem;
use crate::task;

/// How long the index's turns must have failed before it is reported.
const FOLLOWER_FAILING_AFTER: TimeDelta = TimeDelta::minutes(1);

/// How many events the index may be behind before it is reported.
const INDEX_BEHIND_BY: u64 = 10_000;

/// All sources.
#[derive(Serialize, ToSchema)]
pub(super) struct Sources {
    sources: Vec<SourceStatus>,
}

/// The response of `/readyz`.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    status: &'static str,
    /// The id of the log.
    #[schema(value_type = String, format = "uuid")]
    log_id: Uuid,
    /// Left out, like `log` and `followers`, for those who may not see the whole log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = IndexState, required = false)]
    index: Option<IndexState>,
    /// What an operator should look at although questions are answered.
    problems: Vec<String>,
    /// The same, each with the part that it is about, and why it is reported.
    problem_details: Vec<Trouble>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = LogState, required = false)]
    log: Option<LogState>,
    /// Followers of the log that have made a turn since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<FollowerLag>, required = false)]
    followers: Option<Vec<FollowerLag>>,
    /// How many lines of the access log wait in memory because the disk does not take them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64, required = false)]
    access_lines_waiting: Option<usize>,
    /// Only with TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = CertificateState, required = false)]
    certificate: Option<CertificateState>,
}

/// The progress of a follower of the log.
#[derive(Serialize, ToSchema)]
struct FollowerLag {
    name: &'static str,
    checkpoint: Seq,
    /// How many events it is behind the newest one.
    lag: u64,
    /// When its turns began to fail; `null` while they succeed. The error is in the service's log only: it may name files.
    #[schema(format = DateTime)]
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
#[derive(Serialize, ToSchema)]
struct LogState {
    /// How many events are known to be damaged.
    damaged: u64,
    /// When the last full comparison of all bodies with their hashes ended.
    #[schema(format = DateTime)]
    verified_at: Option<String>,
}

/// The response of `/healthz`.
#[derive(Serialize, ToSchema)]
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
    app: ScopedApp,
    RawQuery(query): RawQuery,
) -> Result<Counted<Sources>, Problem> {
    Given::read(query.as_deref(), &[])?;
    let now = app.clock.now();
    let sources = app.ask(move |app| {
        Ok(status::sources(
            &app.store,
            Some(&app.board),
            app.scope(),
            now,
        )?)
    });
    let sources = sources.await?;
    Ok(counted(sources.len(), Sources { sources }))
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
/// It needs no credential, and says no more of the log than its id to those who may not see all of it.
pub(super) async fn readyz(
    State(app): State<AppState>,
    principal: Option<Extension<Principal>>,
) -> Result<Json<Ready>, Problem> {
    let principal = principal.map(|Extension(principal)| principal);
    let principal = principal.filter(|principal| principal.grant().sees_everything());
    let state = app.readiness.read(&app.store, &app.clock).await?;
    if !app.engine.is_available() {
        return Err(Problem::unavailable());
    }
    let problems = problems(&app);
    Ok(Json(Ready {
        status: "ready",
        log_id: app.store.log_id(),
        // Who sees everything: nothing is read for this.
        index: principal
            .as_ref()
            .map(|principal| {
                let app = ScopedApp::new(app.clone(), principal);
                let (view, caller) = app.asking();
                IndexState::of(&app, &view, &caller)
            })
            .transpose()?,
        problems: (problems.iter())
            .map(|trouble| trouble.problem.clone().into_owned())
            .collect(),
        problem_details: problems,
        log: principal.as_ref().map(|_| LogState {
            damaged: state.damaged,
            verified_at: state.full_at.map(rfc3339),
        }),
        followers: principal.as_ref().map(|_| followers(&app)),
        access_lines_waiting: principal.as_ref().map(|_| lines_waiting(&app)),
        certificate: principal.as_ref().and_then(|_| {
            let status = app.tls.as_ref()?.status(app.clock.now());
            Some(status.into())
        }),
    }))
}

fn followers(app: &AppState) -> Vec<FollowerLag> {
    let states = app.followers.states(app.store.head());
    states.into_iter().map(FollowerLag::from).collect()
}

/// How many lines of the access log wait because the disk does not take them.
fn lines_waiting(app: &AppState) -> usize {
    let writer = app.access.writer();
    let is_stuck = writer.is_stuck();
    if is_stuck { writer.waiting() } else { 0 }
}

/// What an operator should look at, the causes before what follows from them.
fn problems(app: &AppState) -> Vec<Trouble> {
    let now = app.clock.steady();
    let trouble = |problem: &'static str, part, why| Trouble {
        problem: problem.into(),
        part,
        why,
    };
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
            "the index is being built again from the log; answers are incomplete until it is done",
        )
    });
    let mut followers = follower_troubles(&app.followers.states(app.store.head()), app.clock.now());
    // An index that is being built again is behind.
    followers.retain(|trouble| rebuild.is_none() || trouble.part != indexing::NAME);
    let disk = app.store.disk_problem().map(|disk| {
        let why = match disk {
            DiskProblem::Full => "the disk has no room for the log, so that nothing more is stored",
            DiskProblem::Failing => {
                "the last write to the log failed; the service's log has the error"
            }
        };
        trouble(disk.as_str(), "log", why)
    });
    let unwritten = app.access.writer().is_stuck().then(|| {
        trouble(
            "access log not written",
            "access log",
            "the disk does not take the lines of the access log; up to 10,000 wait in memory, and questions are answered meanwhile",
        )
    });
    let status = app.tls.as_ref().map(|tls| tls.status(app.clock.now()));
    let of_certificate = status.iter().flat_map(certificate::troubles);
    let [causes, others] = [[refused, unreachable, rebuild], [disk, unwritten, None]];
    (causes.into_iter().flatten())
        .chain(followers)
        .chain(others.into_iter().flatten())
        .chain(of_certificate)
        .collect()
}

/// What is wrong with followers; questions are answered meanwhile.
fn follower_troubles(followers: &[FollowerState], now: DateTime<Utc>) -> Vec<Trouble> {
    let trouble = |follower: &FollowerState| {
        let failure = follower.failure.as_ref();
        let is_index = follower.name == indexing::NAME;
        let (problem, why) = if failure
            .is_some_and(|failure| now - failure.since >= FOLLOWER_FAILING_AFTER)
        {
            let why = if is_index {
                "for at least a minute new events could not be made searchable; the service's log has the error"
            } else {
                "for at least a minute it could not go on; the service's log has the error"
            };
            ("failing", why)
        } else if is_index && follower.lag() > INDEX_BEHIND_BY {
            let why = "more than 10000 events are stored and not searchable yet; answers are incomplete until they are";
            ("behind", why)
        } else {
            return None;
        };
        Some(Trouble {
            problem: format!("{} {problem}", follower.name).into(),
            part: follower.name,
            why,
        })
    };
    followers.iter().filter_map(trouble).collect()
}

/// The description of the route of sources.
pub(super) fn describe() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/sources",
            "list_sources",
            "List the state of each source",
        )
        .answers::<Sources>("All sources.")
        .example("All sources", "/v1/sources", &[]),
    ]
}

/// The description of the routes for operators.
pub(super) fn describe_operation() -> Vec<Route> {
    vec![
        Route::get("/healthz", "check_health", "Check whether the process lives")
            .answers::<Alive>("It lives.")
            .example("Is it there?", "/healthz", &[]),
        Route::get("/readyz", "check_readiness", "Check whether questions can be answered")
            .about("`problems` names what an operator should look at although questions are answered. A credential that sees the whole log adds figures. One that is sent must be valid, and is counted and recorded.")
            .answers::<Ready>("They can.")
            .refuses(&[401, 408, 413, 429, 503])
            .example("Is it ready?", "/readyz", &[]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::board::Failure;

    #[test]
    fn a_follower_that_fails_and_an_index_far_behind_are_problems() {
        let now = crate::clock::from_micros(1_000_000_000);
        let problem_of = |name, lag: u64, failing_for: Option<i64>| {
            let failure = failing_for.map(|seconds| Failure {
                error: "the disk is full".into(),
                since: now - TimeDelta::seconds(seconds),
            });
            let follower = FollowerState {
                name,
                checkpoint: Seq(5),
                head: Seq(5 + lag),
                failure,
            };
            follower_troubles(&[follower], now)
                .pop()
                .map(|trouble| trouble.problem.into_owned())
        };
        let problem = |lag, failing_for| problem_of(indexing::NAME, lag, failing_for);
        assert_eq!(problem(0, None), None);
        assert_eq!(problem(10_000, Some(59)), None);
        assert_eq!(problem(1, Some(60)).unwrap(), "index failing");
        assert_eq!(problem(10_001, None).unwrap(), "index behind");
        let detector = problem_of("detect", 1, Some(60));
        assert_eq!(detector.unwrap(), "detect failing");
        assert_eq!(problem_of("detect", 10_001, None), None);
    }

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
