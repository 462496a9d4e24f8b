//! The answers that most routes have in common: refusals and failures, each once, and the headers of answers.

use orgtrail_cloudflare::envelope::Envelope;
use serde_json::{Map, Value, json};

use super::schemas::{Schemas, reference};
use crate::http::problem::{Gone, Problem};

/// The statuses of refusals, with the names of their answers and what they mean.
const REFUSALS: [(u16, &str, &str); 12] = [
    (
        400,
        "BadParameter",
        "A parameter is wrong: `parameter` says which, and `at` where in the query.",
    ),
    (401, "Unauthorized", "A valid credential is needed."),
    (
        403,
        "Forbidden",
        "The principal lacks the scope; or the request comes from the page of another site or, with `auth = \"none\"`, names another host.",
    ),
    (
        404,
        "NotFound",
        "There is no such thing, or the principal may not see it.",
    ),
    (
        408,
        "BodyTooSlow",
        "The request's body did not come in time.",
    ),
    (
        413,
        "TooLarge",
        "The answer is too large: ask for less with `limit`. Or the request's body is.",
    ),
    (
        409,
        "TooManySaved",
        "The principal has as many saved searches as it may have, or all principals together have.",
    ),
    (
        415,
        "NoForm",
        "The body is not of the type that is read here: `Content-Type: application/x-www-form-urlencoded` for a question, `application/json` for what is saved.",
    ),
    (
        429,
        "TooMany",
        "The principal is over its limits. `Retry-After` says when to try again.",
    ),
    (
        500,
        "Failed",
        "The service failed. The cause is in its log.",
    ),
    (
        503,
        "Unavailable",
        "The question took too long, there are too many, or the index, the keys of Cloudflare Access or the access log are not available. `Retry-After` says when to try again.",
    ),
    (
        410,
        "Erased",
        "The event's body was erased by retention. The answer says what is left of the event.",
    ),
];

/// The headers of every answer to a principal whose requests are limited.
pub(super) const RATE: [&str; 2] = ["RateLimit", "RateLimit-Policy"];

pub(super) fn add_schemas(schemas: &mut Schemas) {
    schemas.of::<Problem>();
    schemas.of::<Gone>();
    schemas.of::<Envelope<Value>>();
}

/// A reference to the answer of a refusal.
pub(super) fn refusal(status: u16, of_cloudflare: bool) -> Value {
    let known = REFUSALS.iter().find(|(known, ..)| *known == status);
    let name = known.map_or("Failed", |(_, name, _)| *name);
    let family = if of_cloudflare { "Cloudflare" } else { "" };
    json!({"$ref": format!("#/components/responses/{family}{name}")})
}

/// All refusals, of `/v1` and of `/client/v4`.
pub(super) fn responses() -> Value {
    let mut responses = Map::new();
    for (status, name, about) in REFUSALS {
        let schema = match status {
            410 => json!({"allOf": [reference("Problem"), reference("ErasedEvent")]}),
            _ => reference("Problem"),
        };
        let headers = headers_of(status);
        let answer = |content_type: &str, schema: Value| {
            let content = json!({content_type: {"schema": schema}});
            json!({"description": about, "headers": headers, "content": content})
        };
        responses.insert(name.to_owned(), answer("application/problem+json", schema));
        if status != 410 {
            let envelope = reference("CloudflareAnswer");
            responses.insert(
                format!("Cloudflare{name}"),
                answer("application/json", envelope),
            );
        }
    }
    responses.into()
}

/// The headers of an answer with that status, by reference.
pub(super) fn headers_of(status: u16) -> Value {
    let names: &[&str] = match status {
        401 => &["WWW-Authenticate"],
        429 => &["Retry-After", RATE[0], RATE[1]],
        503 => &["Retry-After"],
        _ => &[],
    };
    header_references(names)
}

pub(super) fn header_references(names: &[&str]) -> Value {
    let references = names.iter().map(|name| {
        let reference = json!({"$ref": format!("#/components/headers/{name}")});
        ((*name).to_owned(), reference)
    });
    references.collect::<Map<_, _>>().into()
}

/// All headers that answers may have.
pub(super) fn headers() -> Value {
    let text = |about: &str, example: &str| json!({"description": about, "schema": {"type": "string"}, "example": example});
    let seconds = json!({"type": "integer", "minimum": 1});
    json!({
        "RateLimit": text("How many requests are left, and in how many seconds all of them are again (draft-ietf-httpapi-ratelimit-headers). Only for principals that have a limit.", "\"default\";r=1199;t=1"),
        "RateLimit-Policy": text("The limit: requests in a number of seconds.", "\"default\";q=1200;w=60"),
        "Retry-After": {"description": "After how many seconds to try again.", "schema": seconds, "example": 5},
        "WWW-Authenticate": text("The scheme of the credential.", "Bearer"),
        "Orgtrail-Coverage": text("How far the answer is proven: the state, the end of the proven range of time that begins at `since`, and the proven ranges after it.", "complete; until=2026-08-04T00:00:00Z"),
        "ETag": text("Names this answer. `If-None-Match` sends it back.", "W/\"0f343b0931126a20f133d67c2b018a3b\""),
        "Content-Disposition": text("A name for the file.", "attachment; filename=\"events.ndjson\""),
        "Content-Security-Policy": text("What the page may load: its own style sheet.", "default-src 'none'"),
        "Set-Cookie": text("The cookie of the session, which scripts cannot read and other sites cannot send.", "orgtrail_session=…; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"),
    })
}
