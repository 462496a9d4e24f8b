//! Who is asking, and sessions: a token becomes a cookie for the page.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, State};
use axum::http::header::{COOKIE as COOKIE_HEADER, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::AppState;
use super::principal::{COOKIE, Principal, session};
use super::problem::Problem;
use super::proxy::Requester;
use crate::access::{ApiToken, Permissions, SessionKey};
use crate::position::rfc3339;

/// The most bytes of a body that are read: a token has 50.
const MAX_BODY_BYTES: usize = 1_024;

/// The body of `POST /v1/session`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    token: String,
}

/// That a session has begun.
#[derive(Serialize)]
struct Begun {
    expires_at: String,
}

/// The principal, and what can be asked here.
#[derive(Serialize)]
pub(super) struct Me {
    principal: String,
    /// The token's name, or the name at Cloudflare Access; null where there is neither.
    name: Option<String>,
    scopes: Permissions,
    /// The sources that it is limited to; empty: all.
    sources: Vec<String>,
    bodies: bool,
    expires_at: Option<String>,
    engine: EngineInfo,
}

/// The engine that answers.
#[derive(Serialize)]
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
) -> Json<Me> {
    let grant = principal.grant();
    let token = principal.token();
    let identity = principal.identity();
    let signed_in_as = identity.and_then(|one| one.email.clone().or(one.common_name.clone()));
    Json(Me {
        principal: principal.name().to_owned(),
        name: token.map(|token| token.name.clone()).or(signed_in_as),
        scopes: grant.permissions,
        sources: grant.sources.iter().map(ToString::to_string).collect(),
        bodies: grant.bodies,
        expires_at: principal.expires_at().map(rfc3339),
        engine: EngineInfo {
            name: app.engine.name(),
            version: app.engine.version(),
            nodes: 1,
            lacks: Vec::new(),
        },
    })
}

/// `POST /v1/session`: a token becomes a cookie, which scripts cannot read and other sites cannot send.
pub(super) async fn begin(
    State(app): State<AppState>,
    Extension(client): Extension<Requester>,
    body: Body,
) -> Result<Response, Problem> {
    let credentials = read_credentials(body, app.limits.hearing).await?;
    let now = app.clock.now();
    let key = SessionKey::generate().map_err(|error| {
        tracing::error!(error = %error, "The system gives no random numbers; sessions cannot begin.");
        Problem::internal()
    })?;
    let stored = key.clone();
    let end = app
        .access
        .work(move |access| {
            let token = ApiToken::parse(&credentials.token)
                .map_err(|error| Problem::unauthorized(error.to_string()))?;
            let token = access
                .token_by_hash(&token.hash())?
                .filter(|token| token.is_valid(now))
                .ok_or_else(|| Problem::unauthorized("the token is unknown, revoked or expired"))?;
            access.note_use(&token, now)?;
            Ok(access.begin_session(&token, &stored.hash(), now)?)
        })
        .await?;
    let cookie = cookie(key.reveal(), end, now, is_https(&app, &client));
    let body = Json(Begun {
        expires_at: rfc3339(end),
    });
    Ok((StatusCode::CREATED, [(SET_COOKIE, cookie)], body).into_response())
}

/// Reads the body of a request that signs in. Errors say nothing of what is in it: it may be a token.
async fn read_credentials(body: Body, within: Duration) -> Result<Credentials, Problem> {
    let read = tokio::time::timeout(within, to_bytes(body, MAX_BODY_BYTES)).await;
    let bytes = read.ok().and_then(Result::ok);
    let credentials = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    credentials
        .ok_or_else(|| Problem::parameter("token", "the body is `{\"token\": \"otr_…\"}` in JSON"))
}

/// `DELETE /v1/session`: ends the session of the cookie, if there is one.
pub(super) async fn end(
    State(app): State<AppState>,
    Extension(client): Extension<Requester>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(key) = session(&headers).filter(|_| headers.contains_key(COOKIE_HEADER)) {
        app.access
            .work(move |access| Ok(access.end_session(&key.hash())?))
            .await?;
    }
    let now = app.clock.now();
    let cookie = cookie("", now, now, is_https(&app, &client));
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

/// Whether people reach the service by https, through a proxy.
fn is_https(app: &AppState, client: &Requester) -> bool {
    let settings = app.access.settings();
    let public = settings.public_url.as_ref();
    client.is_https || public.is_some_and(|url| url.scheme() == "https")
}

/// The value of `Set-Cookie`; an `end` that is not after `now` removes the cookie.
fn cookie(value: &str, end: DateTime<Utc>, now: DateTime<Utc>, is_https: bool) -> String {
    let seconds = (end - now).num_seconds().max(0);
    let secure = if is_https { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
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
            "orgtrail_session=k; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
        );
        assert!(cookie("", now, now, false).contains("Max-Age=0"));
    }
}
