//! Answers as they go out: results in their envelope, pages of an audit log, and answers that a fault has spoiled.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use orgtrail_cloudflare::envelope::{self, Envelope};
use orgtrail_cloudflare::error::{self, ApiError};
use orgtrail_cloudflare::paging::{ListInfo, LogInfo};
use serde::Serialize;
use serde_json::{Value, json};

use super::chance::{Seed, hex};
use super::refusal::Refusal;

/// A result in its envelope.
pub(crate) fn success(result: impl Serialize) -> Response {
    respond(&Envelope::of(result))
}

/// A page of a list in its envelope.
pub(crate) fn success_list(items: &[Value], info: ListInfo) -> Response {
    respond(&Envelope::of_list(items, info))
}

/// A list that comes as a whole, in its envelope.
pub(crate) fn success_whole(items: Vec<impl Serialize>) -> Response {
    respond(&Envelope::of_whole(items))
}

fn respond(body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(body) => json_response(StatusCode::OK, body),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A page of an audit log. Entries go out as they are.
pub(crate) fn audit_page<T: AsRef<str>>(entries: &[T], info: &LogInfo) -> Response {
    match envelope::log_page(entries, info) {
        Ok(body) => json_response(StatusCode::OK, body),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The answer to a call beyond the limit, or within the wait that followed one.
pub(crate) fn rate_limited(limit: u32) -> Response {
    let message = error::rate_limited_message(limit, 300);
    Refusal::coded(StatusCode::TOO_MANY_REQUESTS, error::RATE_LIMITED, message).into_response()
}

/// One of the ways in which a server fails: in JSON, or with a page meant for people.
pub(crate) fn server_error(seed: Seed) -> Response {
    let internal = StatusCode::INTERNAL_SERVER_ERROR;
    match seed.named("server error").below(4) {
        0 => Refusal::internal(internal, "Internal error").into_response(),
        1 => html_response(
            internal,
            INTERNAL_ERROR_PAGE.replace("{ray}", &hex(&mut seed.rng(), 16)),
        ),
        2 => html_response(StatusCode::BAD_GATEWAY, BAD_GATEWAY_PAGE.to_owned()),
        _ => Refusal::internal(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable")
            .into_response(),
    }
}

/// A success that is none.
pub(crate) fn success_false() -> Response {
    let body = json!({
        "success": false,
        "errors": [{ "code": null, "message": "partial failure" }],
        "messages": [],
        "result": [],
    });
    json_response(StatusCode::OK, body.to_string())
}

/// An answer that lacks what every page must have.
pub(crate) fn incomplete(seed: Seed) -> Response {
    const BODIES: [&str; 6] = [
        "{}",
        "[]",
        r#"{"success":true,"errors":[],"messages":[]}"#,
        r#"{"success":true,"errors":[{"code":1001,"message":"backend timeout"}],"result":null}"#,
        r#"{"success":true,"errors":[{"code":1001,"message":"backend timeout"}],"result":[]}"#,
        r#"{"errors":null,"result":null}"#,
    ];
    let which = seed.named("incomplete").below(BODIES.len() as u64) as usize;
    json_response(StatusCode::OK, BODIES[which].to_owned())
}

/// A failure that repeats the credential, in one of the forms in which programs do.
pub(crate) fn echo(seed: Seed, credential: &str) -> Response {
    let (first, rest) = credential.split_at(credential.len() / 2);
    let bearer = STANDARD.encode(format!("Bearer {credential}"));
    let percent: String = credential
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect();
    let escaped: String = credential
        .chars()
        .map(|c| format!("&#{};", u32::from(c)))
        .collect();
    let seed = seed.named("echo");
    let message = match seed.child(0).below(8) {
        0 => format!("Invalid token {credential}"),
        // Around the place where long messages are cut.
        1 => format!(
            "{} {credential}",
            "x".repeat(160 + seed.child(1).below(60) as usize)
        ),
        2 => format!("Authorization: {bearer}"),
        3 => format!("GET /?access_token={percent}"),
        4 => format!("token {} is not known", credential.to_uppercase()),
        5 => format!("token {first}\u{200b}{rest} is not known"),
        6 => format!("token {first} {rest}"),
        _ => format!("token {escaped}"),
    };
    match seed.child(2).below(4) {
        0 => Refusal::internal(StatusCode::BAD_REQUEST, message).into_response(),
        1 => html_response(
            StatusCode::BAD_GATEWAY,
            format!("<p>{first}<wbr>{rest}</p><p>{message}</p>"),
        ),
        2 => {
            let error = ApiError::coded(error::INTERNAL, message);
            respond(&Envelope {
                messages: None,
                ..Envelope::of_error(error)
            })
        }
        _ => html_response(StatusCode::OK, format!("<p>{message}</p>")),
    }
}

fn json_response(status: StatusCode, body: String) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        Body::from(body),
    )
        .into_response()
}

fn html_response(status: StatusCode, body: String) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "text/html; charset=UTF-8")],
        body,
    )
        .into_response()
}

const INTERNAL_ERROR_PAGE: &str = r#"<!DOCTYPE html>
<html lang="en-US">
<head>
<title>api.cloudflare.com | 500: Internal server error</title>
<meta charset="UTF-8" />
<meta name="robots" content="noindex, nofollow" />
</head>
<body>
<h1>Internal server error <span>Error code 500</span></h1>
<p>Ray ID: <strong>{ray}</strong></p>
</body>
</html>
"#;

const BAD_GATEWAY_PAGE: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
    <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n";
