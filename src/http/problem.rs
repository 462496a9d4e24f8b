//! The answer to a request that failed: `application/problem+json`, RFC 9457. A wrong parameter is named, with the place of the
//! mistake.

use std::num::NonZeroU16;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::event::AuditEvent;
use crate::position::{Seq, rfc3339};
use crate::store::{Erased, MAX_ALL_SEARCHES, MAX_SEARCHES};
use crate::wording::quoted;

/// A failed request's answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16)]
    status: StatusCode,
    detail: String,
    /// The parameter that is wrong.
    parameter: Option<String>,
    /// The character of the query it is about, counted from 0.
    at: Option<usize>,
    /// What is left of an event whose body was erased.
    #[serde(flatten)]
    #[schema(ignore)]
    gone: Option<Box<Gone>>,
    /// Whether it is that no entry has a field, as far as the index has come.
    #[serde(skip)]
    is_of_unknown_field: bool,
    /// After how many seconds to try again, if that is known. It is small, because each handler returns a `Problem`.
    #[serde(skip)]
    retry_after: Option<NonZeroU16>,
}

/// The kind of a path under `/client/v4` that is of nothing that is known here.
pub(super) const NO_ROUTE: &str = "urn:orgtrail:problem:no-route";

/// What an answer tells of a problem, for those who give it another form.
#[derive(Debug, Clone)]
pub(super) struct ProblemParts {
    pub(super) kind: &'static str,
    pub(super) detail: String,
}

/// After how many seconds to look again for what is not signed yet.
const SIGNED_WITHIN_S: i64 = 5;

/// The start of every problem's `type`.
const KIND_PREFIX: &str = "urn:orgtrail:problem:";

/// Which problem a response reports, among its extensions.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProblemKind(&'static str);

impl ProblemKind {
    /// The end of its `type`.
    pub(super) fn name(self) -> &'static str {
        self.0.strip_prefix(KIND_PREFIX).unwrap_or(self.0)
    }
}

/// What is left of an event whose body was erased.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErasedEvent)]
pub(super) struct Gone {
    seq: Seq,
    source: String,
    id: Option<String>,
    revision: u32,
    #[schema(format = DateTime)]
    time: Option<String>,
    #[schema(format = DateTime)]
    received_at: String,
    sha256: Option<String>,
    #[schema(format = DateTime)]
    erased_at: String,
    policy: Policy,
}

/// A retention policy.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetentionPolicy)]
struct Policy {
    source: Option<String>,
    events: Option<String>,
}

impl Gone {
    fn of(event: &AuditEvent, erased: Erased) -> Self {
        Self {
            seq: event.seq,
            source: event.source.to_string(),
            id: event.id.clone(),
            revision: event.revision,
            time: event.time.map(rfc3339),
            received_at: rfc3339(event.received_at),
            sha256: event.sha256.clone(),
            erased_at: rfc3339(erased.at),
            policy: Policy {
                source: erased.source,
                events: erased.events,
            },
        }
    }
}

fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            title,
            status,
            detail: detail.into(),
            parameter: None,
            at: None,
            gone: None,
            is_of_unknown_field: false,
            retry_after: None,
        }
    }

    /// With the seconds after which to try again.
    fn retry_after(self, seconds: i64) -> Self {
        Self {
            retry_after: NonZeroU16::new(u16::try_from(seconds).unwrap_or(u16::MAX)),
            ..self
        }
    }

    /// The transparency log does not reach so far yet.
    pub(super) fn not_signed_yet(detail: impl Into<String>) -> Self {
        Self::not_found(detail).retry_after(SIGNED_WITHIN_S)
    }

    /// The body of the event was erased.
    pub(super) fn gone(event: &AuditEvent, erased: Erased) -> Self {
        let problem = Self::new(
            StatusCode::GONE,
            "urn:orgtrail:problem:erased",
            "Erased",
            format!("event {} was erased by retention", event.seq),
        );
        Self {
            gone: Some(Box::new(Gone::of(event, erased))),
            ..problem
        }
    }

    /// A parameter is wrong.
    pub(super) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        let problem = Self::new(
            StatusCode::BAD_REQUEST,
            "urn:orgtrail:problem:bad-parameter",
            "A parameter is wrong",
            detail,
        );
        Self {
            parameter: Some(name.chars().take(100).collect()),
            ..problem
        }
    }

    /// Nobody knows who sends the request.
    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "urn:orgtrail:problem:unauthorized",
            "Not signed in",
            detail,
        )
    }

    /// The principal may not do this.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "urn:orgtrail:problem:forbidden",
            "Not allowed",
            detail,
        )
    }

    /// A page of another site asks for a change.
    pub(super) fn foreign_origin(origin: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "urn:orgtrail:problem:foreign-origin",
            "Not for other sites",
            format!(
                "a page of {} asks for a change; `http.cors_origins` lists the other sites that may ask",
                quoted(origin)
            ),
        )
    }

    /// A principal has sent too many requests.
    pub(super) fn over_limit(seconds: i64) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "urn:orgtrail:problem:over-limit",
            "Too many requests",
            format!(
                "this principal may send another request in {seconds} s; `http.limits` has the limits"
            ),
        )
        .retry_after(seconds)
    }

    /// Too many requests without a valid credential came from an address, or from all addresses.
    pub(super) fn too_many_unauthenticated(seconds: i64) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "urn:orgtrail:problem:over-limit",
            "Too many requests",
            format!("too many requests without a valid credential; try again in {seconds} s"),
        )
        .retry_after(seconds)
    }

    /// A token has begun too many sessions.
    pub(super) fn too_many_sign_ins(seconds: i64) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "urn:orgtrail:problem:over-limit",
            "Too many sign-ins",
            format!("this token has begun many sessions; it may begin another in {seconds} s"),
        )
        .retry_after(seconds)
    }

    /// A principal has too many questions or streams at once.
    pub(super) fn over_own_limit(what: &str, most: usize) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "urn:orgtrail:problem:over-limit",
            "Too many at once",
            format!("this principal has {most} {what} open already; try again when one has ended"),
        )
    }

    /// Who is signed in cannot be verified now.
    pub(super) fn no_keys() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "urn:orgtrail:problem:no-keys",
            "The keys of Cloudflare Access cannot be fetched",
            "assertions of Cloudflare Access cannot be verified; the reason is in the log of the service, and tokens are still answered",
        )
    }

    /// The access log cannot be written.
    pub(super) fn unrecorded() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "urn:orgtrail:problem:unrecorded",
            "The access log cannot be written",
            "no question is answered that is not recorded; the reason is in the log of the service",
        )
    }

    pub(super) fn foreign_host(host: &str) -> Self {
        let detail = format!(
            "with `auth = \"none\"` only this machine is answered, not {}",
            quoted(host)
        );
        Self::new(
            StatusCode::FORBIDDEN,
            "urn:orgtrail:problem:foreign-host",
            "Not this machine",
            detail,
        )
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "urn:orgtrail:problem:not-found",
            "Not found",
            detail,
        )
    }

    /// Nothing under `/client/v4` is at the path, as far as the principal may know.
    pub(super) fn no_route() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            NO_ROUTE,
            "Not found",
            "No route for the URI.",
        )
    }

    /// A list of Cloudflare's was not read completely yet.
    pub(super) fn list_not_read(what: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "urn:orgtrail:problem:list-not-read",
            "Not read yet",
            format!(
                "the list of {what} was not read completely within the last day; try again soon"
            ),
        )
    }

    pub(super) fn unknown_route(path: &str) -> Self {
        let begin = "`/docs` lists all routes";
        Self::not_found(format!("there is nothing at {}: {begin}", quoted(path)))
    }

    pub(super) fn method_not_allowed() -> Self {
        let detail =
            "the route does not take this method; the header `Allow` names those that it takes";
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "urn:orgtrail:problem:method",
            "Method not allowed",
            detail,
        )
    }

    pub(super) fn too_slow(patience: Duration) -> Self {
        let detail = format!(
            "no answer within {} seconds; ask for less, or again later",
            patience.as_secs()
        );
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "urn:orgtrail:problem:too-slow",
            "Too slow",
            detail,
        )
    }

    /// The same, with the character of the query that it is about.
    pub(super) fn at(self, at: Option<usize>) -> Self {
        Self { at, ..self }
    }

    /// That a field is unknown, as far as the index has come.
    pub(super) fn of_unknown_field(self) -> Self {
        Self {
            is_of_unknown_field: true,
            ..self
        }
    }

    /// While the index is filled anew, nobody knows yet which fields entries have.
    pub(super) fn or_rebuilding(self, is_rebuilding: bool) -> Self {
        if self.is_of_unknown_field && is_rebuilding {
            Self::rebuilding()
        } else {
            self
        }
    }

    /// So many are served already.
    pub(super) fn too_many(what: &str, most: usize) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "urn:orgtrail:problem:too-many",
            "Too many at once",
            format!("{most} {what} are open already; try again when one has ended"),
        )
    }

    /// Other answers are not read fast enough.
    pub(super) fn unread() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "urn:orgtrail:problem:unread",
            "Too many unread answers",
            "the memory for answers is taken by answers that their clients have not read; try again, or ask for less with `limit`",
        )
    }

    /// An answer is larger than the memory for all answers.
    pub(super) fn too_large_an_answer(bytes: usize, most: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "urn:orgtrail:problem:answer-too-large",
            "The answer is too large",
            format!(
                "the answer has {bytes} bytes, and at most {most} are kept for clients to read; ask for less with `limit`, or read large entries with `/v1/export`"
            ),
        )
    }

    /// A page of another site asks, from a browser on this machine.
    pub(super) fn foreign_page() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "urn:orgtrail:problem:foreign-page",
            "Not for other sites",
            "without a token a browser is not answered for a page of another site; `http.cors_origins` lists the sites that may ask",
        )
    }

    /// The index does not hold everything yet, and what is asked for must be whole.
    pub(super) fn rebuilding() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "urn:orgtrail:problem:rebuilding",
            "The index is being rebuilt",
            "the answer would not be whole until it is done; `/readyz` says how far it is",
        )
    }

    /// The index cannot be opened now.
    pub(super) fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "urn:orgtrail:problem:index-unavailable",
            "The index cannot be opened",
            "the reason is in the log of the service, which tries again; events are collected meanwhile",
        )
    }

    /// The body of a request is larger than is read.
    pub(super) fn too_large_a_body(most: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "urn:orgtrail:problem:body-too-large",
            "The body is too large",
            format!("at most {most} bytes of a request's body are read"),
        )
    }

    /// No more searches can be saved.
    pub(super) fn too_many_searches() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "urn:orgtrail:problem:too-many-searches",
            "Too many saved searches",
            format!(
                "a principal has at most {MAX_SEARCHES} saved searches, and all of them together at most {MAX_ALL_SEARCHES}; delete one first"
            ),
        )
    }

    /// The body of a question is no form.
    pub(super) fn no_form() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "urn:orgtrail:problem:no-form",
            "Not a form",
            "a question is sent with POST as a form: `Content-Type: application/x-www-form-urlencoded`, with the same parameters as with GET",
        )
    }

    /// The body of a request is not said to be JSON.
    pub(super) fn no_json() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "urn:orgtrail:problem:no-json",
            "Not JSON",
            "send the body as JSON: `Content-Type: application/json`",
        )
    }

    /// The body of a request did not come in time.
    pub(super) fn too_slow_a_body(within: Duration) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "urn:orgtrail:problem:body-too-slow",
            "The body came too slowly",
            format!(
                "the whole body of a request must come within {} seconds",
                within.as_secs()
            ),
        )
    }

    pub(super) fn internal() -> Self {
        let detail = "the reason is in the log of the service";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "urn:orgtrail:problem:internal",
            "The service failed",
            detail,
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self).unwrap_or_default();
        let content_type = (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        let mut response = (self.status, [content_type], body).into_response();
        response.extensions_mut().insert(ProblemParts {
            kind: self.kind,
            detail: self.detail,
        });
        response.extensions_mut().insert(ProblemKind(self.kind));
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let may_pass = matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        );
        let seconds = self.retry_after.map(NonZeroU16::get);
        if let Some(seconds) = seconds.or(may_pass.then_some(5)) {
            let seconds = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_says_when_to_ask_again_whatever_its_status() {
        let retry_after = |problem: Problem| {
            let response = problem.into_response();
            let seconds = response.headers().get(header::RETRY_AFTER);
            seconds.map(|seconds| seconds.to_str().unwrap().to_owned())
        };
        let unsigned = Problem::not_signed_yet("no checkpoint was signed yet");
        assert_eq!(retry_after(unsigned).unwrap(), "5");
        assert_eq!(retry_after(Problem::over_limit(7)).unwrap(), "7");
        assert_eq!(retry_after(Problem::unavailable()).unwrap(), "5");
        assert_eq!(retry_after(Problem::not_found("nothing")), None);
    }
}
