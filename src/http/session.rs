//! Who is asking, and sessions: a token becomes a cookie for the page.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, RawQuery, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::SignedIn;
use super::counted::{Counted, counted};
use super::openapi::Route;
use super::params::Given;
use super::principal::{Principal, cookie_name, principal_name, session};
use super::problem::Problem;
use super::proxy::Requester;
use super::state::AppState;
use crate::access::{ApiToken, Permissions, SessionKey};
use crate::position::rfc3339;

/// The most bytes of a body that are read: a token has 50.
const MAX_BODY_BYTES: usize = 1_024;

/// The body of `POST /v1/session`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    token: String,
}

/// That a session has begun.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
struct Begun {
    #[schema(format = DateTime)]
    expires_at: String,
}

/// The principal, and what can be asked here.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    principal: String,
    /// The token's name, or the name at Cloudflare Access; null where there is neither.
    name: Option<String>,
    scopes: Permissions,
    /// The sources that it is limited to; empty: all.
    sources: Vec<String>,
    bodies: bool,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Whether it is signed in by a session, which `DELETE /v1/session` ends.
    session: bool,
    engine: EngineInfo,
}

/// The engine that answers.
#[derive(Serialize, ToSchema)]
#[schema(as = Engine)]
struct EngineInfo {
    name: &'static str,
    version: &'static str,
    nodes: u32,
    /// What it cannot do: such questions are refused.
    lacks: Vec<&'static str>,
}

/// `GET /v1/me`
pub(super) async fn me(
    State(app): State<AppState>,
    Extension(principal): Extension<Principal>,
    RawQuery(query): RawQuery,
) -> Result<Counted<Me>, Problem> {
    Given::read(query.as_deref(), &[])?;
    let grant = principal.grant();
    let token = principal.token();
    let identity = principal.identity();
    let signed_in_as = identity.and_then(|one| one.email.clone().or(one.common_name.clone()));
    let me = Me {
        principal: principal.name().to_owned(),
        name: token.map(|token| token.name.clone()).or(signed_in_as),
        scopes: grant.permissions,
        sources: grant.sources.iter().map(ToString::to_string).collect(),
        bodies: grant.bodies,
        expires_at: principal.expires_at().map(rfc3339),
        session: principal.has_session(),
        engine: EngineInfo {
            name: app.engine.name(),
            version: app.engine.version(),
            nodes: 1,
            lacks: Vec::new(),
        },
    };
    Ok(counted(1_u64, me))
}

/// `POST /v1/session`: a token becomes a cookie, which scripts cannot read and other sites cannot send.
pub(super) async fn begin(
    State(app): State<AppState>,
    Extension(client): Extension<Requester>,
    body: Bytes,
) -> Result<Response, Problem> {
    let credentials = read_credentials(&body)?;
    let now = app.clock.now();
    let key = SessionKey::generate().map_err(|error| {
        tracing::error!(error = %error, "The system gives no random numbers; sessions cannot begin.");
        Problem::internal()
    })?;
    let stored = key.clone();
    let refused = |problem| {
        app.access
            .count_unauthenticated(client.address, &app.clock, problem)
    };
    let token = ApiToken::parse(&credentials.token);
    let token = token.map_err(|error| refused(Problem::unauthorized(error.to_string())))?;
    let (unauthenticated, steady) = (app.access.unauthenticated().clone(), app.clock.steady());
    let permit = unauthenticated.lookup(client.address).await;
    let begun = app
        .access
        .work(move |access| {
            let _permit = permit;
            let token = access
                .token_by_hash(&token.hash())?
                .filter(|token| token.is_valid(now))
                .ok_or_else(|| Problem::unauthorized("the token is unknown, revoked or expired"))?;
            let allowed = unauthenticated.sign_in(&token.id, steady);
            allowed.map_err(Problem::too_many_sign_ins)?;
            access.note_use(&token, now)?;
            Ok((
                token.id.clone(),
                access.begin_session(&token, &stored.hash(), now)?,
            ))
        })
        .await;
    let (id, end) = begun.map_err(refused)?;
    let cookie = cookie(key.reveal(), end, now, app.access.is_https(&client));
    let body = Json(Begun {
        expires_at: rfc3339(end),
    });
    let signed_in = Extension(SignedIn(principal_name(&id)));
    Ok((StatusCode::CREATED, [(SET_COOKIE, cookie)], signed_in, body).into_response())
}

/// Reads the body of a request that signs in. Errors say nothing of what is in it: it may be a token.
fn read_credentials(body: &[u8]) -> Result<Credentials, Problem> {
    let body = Some(body).filter(|body| body.len() <= MAX_BODY_BYTES);
    let credentials = body.and_then(|body| serde_json::from_slice(body).ok());
    credentials
        .ok_or_else(|| Problem::parameter("token", "the body is `{\"token\": \"otr_…\"}` in JSON"))
}

/// `DELETE /v1/session`: ends the session of the cookie, if there is one.
pub(super) async fn end(
    State(app): State<AppState>,
    Extension(client): Extension<Requester>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let now = app.clock.now();
    let mut ended = None;
    if let Some(key) = session(&headers, app.access.is_https(&client)) {
        let permit = app.access.unauthenticated().lookup(client.address).await;
        let end = app.access.work(move |access| {
            let _permit = permit;
            let token = access.token_of_session(&key.hash(), now)?;
            if token.is_some() {
                access.end_session(&key.hash())?;
            }
            Ok(token)
        });
        ended = end.await?;
        if ended.is_none() {
            let counted = app
                .access
                .unauthenticated()
                .count(client.address, app.clock.steady());
            counted.map_err(Problem::too_many_unauthenticated)?;
        }
    }
    let cookie = cookie("", now, now, app.access.is_https(&client));
    let answer = (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]);
    Ok(match ended {
        Some(token) => (Extension(SignedIn(principal_name(&token.id))), answer).into_response(),
        None => answer.into_response(),
    })
}

/// The value of `Set-Cookie`; an `end` that is not after `now` removes the cookie.
fn cookie(value: &str, end: DateTime<Utc>, now: DateTime<Utc>, is_https: bool) -> String {
    let seconds = (end - now).num_seconds().max(0);
    let secure = if is_https { "; Secure" } else { "" };
    let name = cookie_name(is_https);
    format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// The description of `/v1/me`.
pub(super) fn describe_me() -> Vec<Route> {
    vec![
        Route::get("/v1/me", "read_me", "Read who asks, and what they may do")
            .answers::<Me>("The principal, and the engine that answers.")
            .example("Who am I?", "/v1/me", &[]),
    ]
}

/// The description of the routes of sessions.
pub(super) fn describe() -> Vec<Route> {
    vec![
        Route::new(
            "post",
            "/v1/session",
            "begin_session",
            "Begin a session: a token becomes a cookie",
        )
        .body::<Credentials>()
        .answers::<Begun>("")
        .status(201, "The session has begun.")
        .header("Set-Cookie")
        .refuses(&[400, 401, 408, 413, 429, 503])
        .example_with("Sign in", "/v1/session", r#"{"token": "$TOKEN"}"#),
        Route::new(
            "delete",
            "/v1/session",
            "end_session",
            "End the session of the cookie, if there is one",
        )
        .status(204, "The session has ended, and the cookie is removed.")
        .header("Set-Cookie")
        .refuses(&[408, 413, 503])
        .example("Sign out", "/v1/session", &[]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;

    #[test]
    fn the_cookie_is_for_this_site_s_requests_alone() {
        let (now, end) = (from_micros(0), from_micros(60_000_000));
        assert_eq!(
            cookie("k", end, now, true),
            "__Host-orgtrail_session=k; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
        );
        let removed = cookie("", now, now, false);
        assert!(removed.starts_with("orgtrail_session=; ") && removed.contains("Max-Age=0"));
    }
}
