//! What every request passes on its way in and out: its number, its credential, the quota, the faults, the headers.
//!
//! Routes serve only calls that were let in, and get what is known of each as a [`Call`].

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, stream};
use orgtrail_cloudflare::error::{self, ApiError};
use orgtrail_cloudflare::request::BASE_PATH;

use super::call::{Call, Caller, SeenRequest};
use super::chance::{Seed, hex};
use super::faults::{RequestFaults, SourceFault};
use super::quota::Allowance;
use super::refusal::Refusal;
use super::responses;
use super::simulator::Simulator;

/// The longest bearer token that is well formed.
const MAX_TOKEN_LEN: usize = 256;
/// How much of a request's path is remembered, in characters.
const MAX_SEEN_PATH_LEN: usize = 2_048;
/// What is kept of a caller's name for its program, in characters.
const MAX_USER_AGENT_LEN: usize = 512;
/// How a request without a credential is remembered.
const NO_CREDENTIAL: &str = "";

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const CF_RAY: HeaderName = HeaderName::from_static("cf-ray");
const X_AUTH_EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const X_AUTH_KEY: HeaderName = HeaderName::from_static("x-auth-key");

/// Lets a request in, or not, and sends every answer out with the headers that all have.
pub(super) async fn handle(
    State(simulator): State<Simulator>,
    mut request: Request,
    next: Next,
) -> Response {
    let number = simulator.next_number();
    let ray = hex(&mut simulator.seed().named("ray").child(number).rng(), 16);
    let at = simulator.now();
    let authorized = authorize(request.headers(), simulator.config().token.as_deref());
    let mut call = Call {
        number,
        at,
        ray,
        credential: NO_CREDENTIAL.to_owned(),
        caller: Caller::Token,
        method: request.method().clone(),
        path: path_inside(request.uri().path()),
        user_agent: user_agent(request.headers()),
        faults: simulator.faults(number),
    };
    let path_and_query = path_and_query(&request);

    let mut allowance = simulator.full_allowance();
    let mut response = match authorized {
        Err(refusal) => refusal.into_response(),
        Ok((credential, caller)) => {
            (call.credential, call.caller) = (credential, caller);
            allowance = simulator.count(&call);
            match allowance.blocked_until {
                Some(_) => responses::rate_limited(simulator.quota_limit()),
                None => match simulator.source_fault(&call.path) {
                    Some(SourceFault::Status(status)) => refusal_of(status),
                    Some(SourceFault::Hang(until_closed)) => {
                        tokio::time::sleep(until_closed).await;
                        broken_off()
                    }
                    None => {
                        request.extensions_mut().insert(call.clone());
                        let given = given_credential(request.headers());
                        serve(&call.faults, &given, request, next).await
                    }
                },
            }
        }
    };
    stamp(&simulator, &call, allowance, response.headers_mut());
    simulator.remember(SeenRequest {
        at,
        method: call.method.to_string(),
        path_and_query,
        status: response.status().as_u16(),
        credential: call.credential,
        while_told_to_wait: allowance.was_told,
    });
    if let Some(stall) = call.faults.stall {
        tokio::time::sleep(stall).await;
    }
    response
}

/// A refusal with that status.
fn refusal_of(status: u16) -> Response {
    match StatusCode::from_u16(status) {
        Ok(StatusCode::FORBIDDEN) => Refusal::forbidden(),
        Ok(StatusCode::UNAUTHORIZED) => invalid_token(),
        Ok(status) => Refusal::internal(status, status.canonical_reason().unwrap_or_default()),
        Err(_) => Refusal::no_route(),
    }
    .into_response()
}

fn invalid_token() -> Refusal {
    Refusal::coded(
        StatusCode::UNAUTHORIZED,
        error::INVALID_TOKEN,
        "Invalid API Token",
    )
}

/// An answer whose connection is closed before a byte of its body comes.
fn broken_off() -> Response {
    let end = stream::once(async {
        tokio::task::yield_now().await;
        Err::<Bytes, std::io::Error>(std::io::ErrorKind::ConnectionReset.into())
    });
    Response::new(Body::from_stream(end))
}

/// Hands a request on, unless it meets with a fault; an answer may still be cut.
async fn serve(faults: &RequestFaults, credential: &str, request: Request, next: Next) -> Response {
    if faults.echo_credential {
        return responses::echo(faults.seed, credential);
    }
    if faults.incomplete {
        return responses::incomplete(faults.seed);
    }
    if faults.server_error {
        return responses::server_error(faults.seed);
    }
    if faults.success_false {
        return responses::success_false();
    }
    let response = in_upstreams_form(next.run(request).await);
    let response = match faults.garbled.is_empty() {
        true => response,
        false => garbled(response, &faults.garbled).await,
    };
    match faults.cut_body {
        true => cut(response, faults.seed).await,
        false => response,
    }
}

/// The token or key that a request carries.
fn given_credential(headers: &HeaderMap) -> String {
    let bearer =
        text(headers, &header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let given = text(headers, &X_AUTH_KEY).or(bearer);
    given.unwrap_or_default().to_owned()
}

/// Sends a byte that is not UTF-8 wherever one of these texts begins.
async fn garbled(response: Response, texts: &[String]) -> Response {
    let (parts, body) = response.into_parts();
    let Ok(whole) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut whole = whole.to_vec();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        let found = |body: &[u8]| {
            body.windows(text.len())
                .position(|part| part == text.as_bytes())
        };
        while let Some(at) = found(&whole) {
            whole[at] = 0xff;
        }
    }
    Response::from_parts(parts, Body::from(whole))
}

/// What the framework refuses before a route sees it, a path that is no text or a body that is too long, it refuses
/// in plain words; upstream has its envelope for everything.
fn in_upstreams_form(response: Response) -> Response {
    let status = response.status();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_plain = content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
    if !(status.is_client_error() && is_plain) {
        return response;
    }
    Refusal::of_status(status, status.canonical_reason().unwrap_or_default()).into_response()
}

/// Whose request it is: a hash of the token or key, and how it was given.
fn authorize(headers: &HeaderMap, token: Option<&str>) -> Result<(String, Caller), Refusal> {
    let (given, caller) = match text(headers, &X_AUTH_KEY) {
        Some(key) => {
            let email = text(headers, &X_AUTH_EMAIL).filter(|email| email.contains('@'));
            let email = email
                .ok_or_else(|| bad_header("X-Auth-Email", 6102))?
                .to_owned();
            let key = Some(key).filter(|key| is_token(key));
            let key = key.ok_or_else(|| bad_header("X-Auth-Key", error::INVALID_KEY_HEADER))?;
            (key, Caller::Key { email })
        }
        None => {
            let given = text(headers, &header::AUTHORIZATION)
                .and_then(|value| value.strip_prefix("Bearer "))
                .filter(|given| is_token(given))
                .ok_or_else(|| bad_header("Authorization", error::INVALID_AUTHORIZATION_HEADER))?;
            (given, Caller::Token)
        }
    };
    if token.is_some_and(|token| token != given) {
        return Err(invalid_token());
    }
    let hash = hex(&mut Seed(0).named("credential").named(given).rng(), 32);
    Ok((hash, caller))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let given = String::from_utf8_lossy(headers.get(header::USER_AGENT)?.as_bytes());
    Some(given.chars().take(MAX_USER_AGENT_LEN).collect())
}

fn is_token(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    (1..=MAX_TOKEN_LEN).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Upstream calls a malformed credential a bad request, and not an unauthorized one.
fn bad_header(name: &str, code: i64) -> Refusal {
    let message = format!("Invalid format for {name} header");
    let error = ApiError {
        error_chain: vec![ApiError::coded(code, message)],
        ..ApiError::coded(error::INVALID_HEADERS, "Invalid request headers")
    };
    Refusal::with_error(StatusCode::BAD_REQUEST, error)
}

fn path_inside(path: &str) -> String {
    let inside = path.strip_prefix(BASE_PATH).unwrap_or(path);
    inside.chars().take(MAX_SEEN_PATH_LEN).collect()
}

fn path_and_query(request: &Request) -> String {
    let uri = request.uri();
    let whole = uri
        .path_and_query()
        .map_or_else(|| uri.path(), |whole| whole.as_str());
    whole.chars().take(MAX_SEEN_PATH_LEN).collect()
}

fn stamp(simulator: &Simulator, call: &Call, allowance: Allowance, headers: &mut HeaderMap) {
    let limit = simulator.quota_limit();
    let Allowance {
        remaining,
        reset_seconds,
        ..
    } = allowance;
    let mut set = |name: HeaderName, value: String| {
        // All of these are digits, letters and quotation marks, which headers can hold.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    set(
        RATELIMIT,
        format!("\"default\";r={remaining};t={reset_seconds}"),
    );
    set(RATELIMIT_POLICY, format!("\"default\";q={limit};w=300"));
    set(CF_RAY, call.ray.clone());
    // The server adds a date where there is none, so an unreadable date simulates a missing one.
    let date = match call.faults.no_date {
        true => "-".to_owned(),
        false => http_date(call.at + call.faults.date_off.unwrap_or_default()),
    };
    set(header::DATE, date);
    if let Some(until) = allowance.blocked_until {
        let retry_after = if call.faults.retry_after_as_date {
            // Dates have whole seconds: one that is rounded up is never too early.
            http_date(until + TimeDelta::nanoseconds(999_999_999))
        } else {
            reset_seconds.to_string()
        };
        let retry_after = call.faults.retry_after_text.clone().unwrap_or(retry_after);
        set(header::RETRY_AFTER, retry_after);
    }
}

fn http_date(moment: DateTime<Utc>) -> String {
    let seconds = u64::try_from(moment.timestamp()).unwrap_or(0);
    // The last second that the format can write is in the year 9999.
    let seconds = seconds.min(253_402_300_799);
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
}

/// Ends an answer in its middle: half of the time as if that were its end, half of the time by breaking off.
async fn cut(response: Response, seed: Seed) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(whole) = axum::body::to_bytes(body, usize::MAX).await else {
        return responses::server_error(seed);
    };
    let kept = 1 + seed
        .named("cut")
        .below((whole.len() as u64).saturating_sub(1)) as usize;
    let start = whole.slice(..kept.min(whole.len()));
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = if seed.named("breaks off").happens(0.5) {
        let first = stream::once(async { Ok::<Bytes, std::io::Error>(start) });
        let end = stream::once(async {
            // Without a pause the server would not even begin to send the answer.
            tokio::task::yield_now().await;
            Err(std::io::ErrorKind::ConnectionReset.into())
        });
        Body::from_stream(first.chain(end))
    } else {
        Body::from(start)
    };
    Response::from_parts(parts, body)
}
