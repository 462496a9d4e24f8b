//! What answers look like around their result: the platform's envelope, its failures, the audit log's page.
//!
//! A page is put together as text, because an entry goes out byte for byte as it is held, JSON or not.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};

use super::CursorForm;
use super::chance::{Seed, hex};
use super::listing::Listing;

/// A request that is not served, in one of upstream's two forms.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    /// What the audit log's schema says of a 4xx: a message without a code, and no result.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self {
            status: StatusCode::BAD_REQUEST,
            body: json!({ "errors": [{ "message": message }], "messages": [], "success": false }),
        }
    }

    /// The platform's usual form.
    pub(crate) fn coded(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self::with_error(status, json!({ "code": code, "message": message }))
    }

    /// The platform's usual form, around any error.
    pub(crate) fn with_error(status: StatusCode, error: Value) -> Self {
        Self {
            status,
            body: json!({ "success": false, "errors": [error], "messages": [], "result": null }),
        }
    }

    /// What is asked for is no part of what is there.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::coded(StatusCode::NOT_FOUND, 1003, message)
    }

    /// The credential is good, but not for this.
    pub(crate) fn forbidden() -> Self {
        Self::coded(StatusCode::FORBIDDEN, 10_000, "Authentication error")
    }

    /// What is asked for is not there.
    pub(crate) fn no_route() -> Self {
        Self::coded(StatusCode::NOT_FOUND, 7003, "No route for the URI.")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        json_response(self.status, self.body.to_string())
    }
}

/// A result in its envelope.
pub(crate) fn success(result: impl Serialize) -> Response {
    let body = json!({ "errors": [], "messages": [], "result": result, "success": true });
    json_response(StatusCode::OK, body.to_string())
}

/// A list in its envelope; the token is left out on the last page.
pub(crate) fn success_list(page: Listing) -> Response {
    let mut result_info = json!({});
    if let Some(total) = page.total_size {
        result_info["total_size"] = json!(total);
    }
    if let Some(token) = page.next_page_token {
        result_info["next_page_token"] = json!(token);
    }
    let body = json!({
        "errors": [],
        "messages": [],
        "result": page.items,
        "result_info": result_info,
        "success": true,
    });
    json_response(StatusCode::OK, body.to_string())
}

/// A list that comes as a whole, in its envelope.
pub(crate) fn success_whole(items: Vec<Value>) -> Response {
    let body = json!({ "errors": [], "result": items, "success": true });
    json_response(StatusCode::OK, body.to_string())
}

/// What stands around a page of an audit log.
#[derive(Debug)]
pub(crate) struct PageInfo<'a> {
    pub(crate) cursor: Option<&'a str>,
    pub(crate) form: CursorForm,
    /// In a resource's history, how well the resource is known.
    pub(crate) history_status: Option<&'static str>,
}

/// A page of an audit log.
pub(crate) fn audit_page<T: AsRef<str>>(entries: &[T], info: PageInfo<'_>) -> Response {
    let length: usize = entries.iter().map(|entry| entry.as_ref().len() + 1).sum();
    let mut body = String::with_capacity(length + 256);
    body.push_str(r#"{"errors":[],"result":["#);
    for (number, entry) in entries.iter().enumerate() {
        if number > 0 {
            body.push(',');
        }
        body.push_str(entry.as_ref());
    }
    body.push_str(r#"],"result_info":"#);
    let written = write!(body, "{}", result_info(entries.len(), &info));
    debug_assert!(written.is_ok(), "writing to a String does not fail");
    body.push_str(r#","success":true"#);
    if info.history_status.is_some() {
        body.push_str(r#","messages":[]"#);
    }
    body.push('}');
    json_response(StatusCode::OK, body)
}

fn result_info(count: usize, info: &PageInfo<'_>) -> Value {
    let text = count.to_string();
    let mut told = match (info.form, info.cursor) {
        (CursorForm::Documented, Some(cursor)) => json!({ "count": text, "cursor": cursor }),
        (CursorForm::Documented, None) => json!({ "count": text }),
        (CursorForm::After, Some(cursor)) => {
            json!({ "count": count, "cursors": { "after": cursor } })
        }
        (CursorForm::After, None) => json!({ "count": count, "cursors": {} }),
        (CursorForm::Both, cursor) => {
            let cursor = cursor.unwrap_or_default();
            json!({ "count": text, "cursor": cursor, "cursors": { "after": cursor } })
        }
    };
    if let Some(status) = info.history_status {
        told["history_status"] = json!(status);
    }
    told
}

/// The answer to a call beyond the limit, or within the wait that followed one.
pub(crate) fn rate_limited(limit: u32) -> Response {
    let message = format!(
        "More than {limit} requests per 300 seconds reached. Please wait and consider throttling your request speed"
    );
    Refusal::coded(StatusCode::TOO_MANY_REQUESTS, 971, message).into_response()
}

/// One of the ways in which a server fails: in JSON, or with a page meant for people.
pub(crate) fn server_error(seed: Seed) -> Response {
    let internal = StatusCode::INTERNAL_SERVER_ERROR;
    match seed.named("server error").below(4) {
        0 => Refusal::coded(internal, 1001, "Internal error").into_response(),
        1 => html_response(
            internal,
            INTERNAL_ERROR_PAGE.replace("{ray}", &hex(&mut seed.rng(), 16)),
        ),
        2 => html_response(StatusCode::BAD_GATEWAY, BAD_GATEWAY_PAGE.to_owned()),
        _ => Refusal::coded(StatusCode::SERVICE_UNAVAILABLE, 1001, "Service unavailable")
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
        0 => Refusal::coded(StatusCode::BAD_REQUEST, 1001, message).into_response(),
        1 => html_response(
            StatusCode::BAD_GATEWAY,
            format!("<p>{first}<wbr>{rest}</p><p>{message}</p>"),
        ),
        2 => {
            let error = json!({ "code": 1001, "message": message });
            let body = json!({ "success": false, "errors": [error], "result": null });
            json_response(StatusCode::OK, body.to_string())
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
