//! `/log/…`, the transparency logs as tlog-tiles has them, and `/v1/events/{seq}/proof`.
//!
//! They exist only for those who may see the whole log: how many leaves there are, and when, tells of every source.

use axum::Extension;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::sync::Semaphore;
use tracing::warn;

use super::events::{described_seq, place};
use super::openapi::{ParameterKind, Route, path};
use super::params::{Given, Named};
use super::principal::Principal;
use super::problem::Problem;
use super::scoped::ScopedApp;
use super::state::AppState;
use super::trouble::Trouble;
use crate::attest;
use crate::attest::error::AttestError;
use crate::attest::{PublishedLog, PublishedLogs};
use crate::evidence::TileId;
use crate::position::Seq;
use crate::task;

const NOTE: &str = "text/plain; charset=utf-8";
const TILE: &str = "application/octet-stream";

/// Tiles never change.
const FOR_EVER: &str = "max-age=31536000, immutable";
const NOT_KEPT: &str = "no-cache";

/// How many tiles are read at once. More wait.
const MAX_READS: usize = 16;
static READS: Semaphore = Semaphore::const_new(MAX_READS);

/// What is said where there is no proof, to those who may not have it as well.
const NO_PROOFS: &str = "proofs are for those who may see the whole log, and need the transparency log: `[evidence]` in the configuration";

/// The routes of the transparency logs.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/log/checkpoint", get(checkpoint))
        .route("/log/tile/{*path}", get(tile))
        .route("/log/previous", get(previous))
        .route("/log/statements/checkpoint", get(statements_checkpoint))
        .route("/log/statements/tile/{*path}", get(statements_tile))
}

type Asker = Option<Extension<Principal>>;

async fn checkpoint(app: State<AppState>, asker: Asker, uri: Uri) -> Result<Response, Problem> {
    newest(&published(&app, asker, &uri)?, |published| {
        &published.events
    })
}

async fn statements_checkpoint(
    app: State<AppState>,
    asker: Asker,
    uri: Uri,
) -> Result<Response, Problem> {
    newest(&published(&app, asker, &uri)?, |published| {
        &published.statements
    })
}

async fn tile(
    app: State<AppState>,
    asker: Asker,
    Named(path): Named,
    uri: Uri,
) -> Result<Response, Problem> {
    let published = published(&app, asker, &uri)?;
    let is_public = published.is_public;
    read_tile(published.events, is_public, path, &uri).await
}

async fn statements_tile(
    app: State<AppState>,
    asker: Asker,
    Named(path): Named,
    uri: Uri,
) -> Result<Response, Problem> {
    let published = published(&app, asker, &uri)?;
    let is_public = published.is_public;
    read_tile(published.statements, is_public, path, &uri).await
}

async fn previous(app: State<AppState>, asker: Asker, uri: Uri) -> Result<Response, Problem> {
    let published = published(&app, asker, &uri)?;
    let is_public = published.is_public;
    let note = task::caught(move || published.previous()).await;
    let note = note.map_err(|_| Problem::internal())??;
    let note = note.ok_or_else(|| Problem::not_found("no log was signed before this one"))?;
    Ok(answer(NOTE, NOT_KEPT, is_public, note.into_bytes()))
}

/// The logs, for those who may see all of them. For others nothing is here.
fn published(app: &AppState, asker: Asker, uri: &Uri) -> Result<PublishedLogs, Problem> {
    let published = app.evidence.clone().filter(|published| {
        let sees_all =
            |Extension(principal): &Extension<Principal>| principal.scope().is_everything();
        published.is_public || asker.as_ref().is_some_and(sees_all)
    });
    published.ok_or_else(|| Problem::unknown_route(uri.path()))
}

fn newest(
    published: &PublishedLogs,
    log: fn(&PublishedLogs) -> &PublishedLog,
) -> Result<Response, Problem> {
    let newest = log(published).newest();
    let newest = newest.ok_or_else(|| Problem::not_signed_yet("no checkpoint was signed yet"))?;
    let note = newest.note.to_string().into_bytes();
    Ok(answer(NOTE, NOT_KEPT, published.is_public, note))
}

async fn read_tile(
    log: PublishedLog,
    is_public: bool,
    path: String,
    uri: &Uri,
) -> Result<Response, Problem> {
    let unknown = || Problem::unknown_route(uri.path());
    let tile = TileId::parse(&format!("tile/{path}")).ok_or_else(unknown)?;
    let _turn = READS.acquire().await.map_err(|_| Problem::internal())?;
    let read = task::caught(move || log.tile(tile)).await;
    let bytes = read.map_err(|_| Problem::internal())?.map_err(failed)?;
    let bytes = bytes.ok_or_else(|| {
        Problem::not_found(format!(
            "no checkpoint that was shown has the tile `{tile}`"
        ))
    })?;
    Ok(answer(TILE, FOR_EVER, is_public, bytes))
}

fn answer(
    content_type: &'static str,
    kept: &'static str,
    is_public: bool,
    bytes: Vec<u8>,
) -> Response {
    let who = if is_public { "public" } else { "private" };
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(kept) = HeaderValue::try_from(format!("{who}, {kept}")) {
        headers.insert(header::CACHE_CONTROL, kept);
    }
    response
}

/// A file of the transparency log that cannot be used.
fn failed(error: AttestError) -> Problem {
    warn!(error = %error, "A file of the transparency log cannot be used.");
    Problem::internal()
}

pub(super) async fn proof(
    app: ScopedApp,
    Named(seq): Named,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let seq = place(&seq)?;
    Given::read(query.as_deref(), &[])?;
    let sees_all = app.scope().is_everything();
    let published = app.evidence.clone().filter(|_| sees_all);
    let published = published.ok_or_else(|| Problem::not_found(NO_PROOFS))?;
    let is_public = published.is_public;
    let proof = app.ask(move |app| {
        let (index, head) = (seq.0.checked_sub(1), app.store.head());
        let index = index.filter(|_| seq <= head);
        let index = index.ok_or_else(|| {
            Problem::not_found(format!("there is no event {seq}; the newest is {head}"))
        })?;
        let proof = published.events.proof(index).map_err(failed)?;
        proof.ok_or_else(|| not_covered(seq))
    });
    let proof = proof.await?.to_string().into_bytes();
    let mut response = answer(NOTE, NOT_KEPT, is_public, proof);
    let name = format!("attachment; filename=\"{seq}.tlog-proof\"");
    if let Ok(name) = HeaderValue::try_from(name) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

fn not_covered(seq: Seq) -> Problem {
    Problem::not_signed_yet(format!(
        "no checkpoint that enough witnesses have signed has event {seq} yet"
    ))
}

/// How many signatures of witnesses the last checkpoints lack, of the log that lacks most.
pub(super) fn missing_cosignatures(app: &AppState) -> u64 {
    let logs = app.evidence.iter().flat_map(PublishedLogs::logs);
    logs.map(|log| log.missing_cosignatures() as u64)
        .max()
        .unwrap_or(0)
}

/// What an operator should look at, beside failures of the follower.
pub(super) fn trouble(app: &AppState) -> Option<Trouble> {
    (missing_cosignatures(app) > 0).then(|| Trouble {
        problem: "checkpoint not witnessed".into(),
        part: attest::NAME,
        why: "fewer witnesses than `evidence.quorum` have signed the last checkpoint; the service's log names those that did not",
    })
}

/// The description of the route of proofs.
pub(super) fn describe() -> Vec<Route> {
    vec![
        Route::get("/v1/events/{seq}/proof", "read_proof", "Read the proof of one event")
            .about("A C2SP `tlog-proof@v1` whose `extra` is the event's leaf in the transparency log. For an event that no checkpoint covers yet, 404 with `Retry-After`.")
            .with(described_seq())
            .answers_text(NOTE, "The proof.")
            .refuses(&[404])
            .example("The proof of the second event", "/v1/events/2/proof", &[]),
    ]
}

/// The description of the transparency logs.
pub(super) fn describe_log() -> Vec<Route> {
    let tile = || {
        path(
            "path",
            ParameterKind::Name("0/000"),
            "The tile's level and number as tlog-tiles has them, such as `0/x001/234.p/56`, or `entries/000`.",
        )
    };
    let checkpoint = |path, id, summary| {
        Route::get(path, id, summary)
            .answers_text(NOTE, "The checkpoint.")
            .refuses(&[404])
            .uncounted()
            .example("The checkpoint", path, &[])
    };
    let tiles = |path, id, summary, sample| {
        Route::get(path, id, summary)
            .with(tile())
            .answers_text(TILE, "The tile.")
            .refuses(&[404])
            .uncounted()
            .example("The first hash", sample, &[])
    };
    vec![
        checkpoint(
            "/log/checkpoint",
            "read_checkpoint",
            "Read the newest checkpoint of the events",
        ),
        tiles(
            "/log/tile/{path}",
            "read_tile",
            "Read a tile of the tree of events",
            "/log/tile/0/000.p/1",
        ),
        checkpoint(
            "/log/previous",
            "read_previous_checkpoint",
            "Read the last checkpoint of the log before this one",
        ),
        checkpoint(
            "/log/statements/checkpoint",
            "read_statements_checkpoint",
            "Read the newest checkpoint of the statements",
        ),
        tiles(
            "/log/statements/tile/{path}",
            "read_statements_tile",
            "Read a tile of the tree of statements",
            "/log/statements/tile/0/000.p/1",
        ),
    ]
}
