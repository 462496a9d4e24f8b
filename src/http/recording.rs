//! The access log's line of one request: begun with the request, written before its answer, completed when a stream ends.
//!
//! A request that is dropped before it has an answer is recorded too: its client closed the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::Uri;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use tracing::{debug, info};

use super::access::{Access, Results, SignedIn};
use super::access_writer::AccessWriter;
use super::holding_body::HoldingBody;
use super::proxy::Requester;
use super::recorded_parameters::recorded;
use super::unauthenticated::NOBODY;
use crate::clock::Clock;
use crate::store::{AccessChange, AccessEntry, AccessLine};

/// The route of a request that no route matches.
const UNKNOWN_ROUTE: &str = "unknown";

/// The action of a request that is not answered.
pub(super) const REFUSED: &str = "refused";

/// The status of a request whose client closed the connection before the answer, as nginx has it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// How many things a stream has sent so far. Handlers add it to the answers that they stream.
#[derive(Clone, Default)]
pub(super) struct Streamed(Arc<AtomicU64>);

impl Streamed {
    /// Counts what is sent.
    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The line of a request that is not answered yet.
pub(super) struct Recording {
    access: Access,
    clock: Clock,
    client: Requester,
    begun: DateTime<Utc>,
    instant: Instant,
    principal: String,
    action: &'static str,
    route: String,
    /// The address with its parameters, and whether these are in the query alone.
    uri: Uri,
    is_plain: bool,
    is_counted: bool,
    is_recorded: bool,
}

impl Recording {
    /// Begins with a request. Until [`Recording::admit`] its principal is unknown.
    pub(super) fn begin(
        access: &Access,
        clock: &Clock,
        client: &Requester,
        request: &Request,
    ) -> Self {
        Self {
            access: access.clone(),
            clock: clock.clone(),
            client: client.clone(),
            begun: clock.now(),
            instant: Instant::now(),
            principal: NOBODY.to_owned(),
            action: REFUSED,
            route: route(request),
            uri: request.uri().clone(),
            is_plain: is_plain(request),
            is_counted: false,
            is_recorded: false,
        }
    }

    /// Notes who sends the request, and what they do.
    pub(super) fn admit(&mut self, principal: &str, action: &'static str) {
        principal.clone_into(&mut self.principal);
        self.action = action;
    }

    /// Notes that there may be any number of such refusals: they are counted together.
    pub(super) fn count_together(&mut self) {
        self.is_counted = true;
    }

    /// Notes the parameters of a request that had them in its body.
    pub(super) fn note_parameters(&mut self, request: &Request) {
        self.uri = request.uri().clone();
    }

    /// Writes the line, and gives the answer; or that the line cannot be written. The line of a stream is completed when the
    /// stream ends.
    pub(super) async fn finish(mut self, mut response: Response) -> Response {
        if let Some(SignedIn(principal)) = response.extensions_mut().remove() {
            self.principal = principal;
        }
        let streamed = response.extensions_mut().remove::<Streamed>();
        let results = response.extensions().get().map(|Results(n)| *n);
        let status = response.status().as_u16();
        let duration = streamed.is_none().then(|| self.duration_ms());
        let entry = self.entry(status, results, duration);
        let Some(entry) = self.line(entry) else {
            return response;
        };
        match self.access.writer().record(entry).await {
            Err(problem) => problem.into_response(),
            Ok(line) => match streamed {
                None => response,
                Some(streamed) => self.complete_at_end(response, streamed, line),
            },
        }
    }

    /// Ends without a line: an answer that need not be recorded.
    pub(super) fn forget(mut self) {
        self.is_recorded = true;
    }

    fn complete_at_end(
        &self,
        response: Response,
        streamed: Streamed,
        line: AccessLine,
    ) -> Response {
        let end = StreamEnd {
            writer: self.access.writer().clone(),
            instant: self.instant,
            route: self.route.clone(),
            principal: self.principal.clone(),
            streamed,
            line,
        };
        response.map(|body| Body::new(HoldingBody { body, _held: end }))
    }

    /// The line to write now; `None` if the request is only counted, or was recorded before.
    fn line(&mut self, entry: AccessEntry) -> Option<AccessEntry> {
        if std::mem::replace(&mut self.is_recorded, true) {
            return None;
        }
        if self.principal == NOBODY || self.is_counted {
            let unauthenticated = self.access.unauthenticated();
            let now = self.clock.steady();
            let line = unauthenticated.line(self.client.address, entry, || self.parameters(), now);
            // One line for each of them would fill the log of the service, too.
            return line.inspect(log);
        }
        log(&entry);
        let parameters = self.parameters();
        Some(AccessEntry {
            parameters,
            ..entry
        })
    }

    /// The parameters as they are recorded: those in the path too, without credentials.
    fn parameters(&self) -> String {
        let path = (!self.is_plain).then(|| self.uri.path());
        recorded(path, self.uri.query())
    }

    fn entry(&self, status: u16, results: Option<u64>, duration_ms: Option<u64>) -> AccessEntry {
        AccessEntry {
            time: self.begun,
            principal: self.principal.clone(),
            address: Some(self.client.address.to_string()),
            action: self.action.to_owned(),
            route: self.route.clone(),
            // Looked at only if the line is written.
            parameters: String::new(),
            results,
            duration_ms,
            status: Some(status),
        }
    }

    fn duration_ms(&self) -> u64 {
        milliseconds_since(self.instant)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.is_recorded {
            return;
        }
        let entry = self.entry(CLIENT_CLOSED_REQUEST, None, Some(self.duration_ms()));
        if let Some(entry) = self.line(entry) {
            let line = AccessLine::default();
            self.access.writer().add(AccessChange::Add(entry, line));
        }
    }
}

/// The line of a request in the log of the service: without parameters and addresses.
fn log(entry: &AccessEntry) {
    info!(
        http.route = entry.route,
        principal = entry.principal,
        http.status = entry.status,
        duration_ms = entry.duration_ms,
        results = entry.results,
        "Answered a request."
    );
}

/// Completes the line of a stream when it is dropped: at its end, or when it breaks off.
struct StreamEnd {
    writer: AccessWriter,
    instant: Instant,
    route: String,
    principal: String,
    streamed: Streamed,
    line: AccessLine,
}

impl Drop for StreamEnd {
    fn drop(&mut self) {
        let (results, duration_ms) = (self.streamed.total(), milliseconds_since(self.instant));
        debug!(
            http.route = self.route,
            principal = self.principal,
            duration_ms,
            results,
            "A stream ended."
        );
        self.writer.add(AccessChange::Complete {
            line: self.line.clone(),
            results,
            duration_ms,
        });
    }
}

fn milliseconds_since(instant: Instant) -> u64 {
    u64::try_from(instant.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The pattern of the route that a request is for.
fn route(request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>();
    matched
        .map_or(UNKNOWN_ROUTE, MatchedPath::as_str)
        .to_owned()
}

/// Whether a request has no parameters in its path.
fn is_plain(request: &Request) -> bool {
    let matched = request.extensions().get::<MatchedPath>();
    matched.is_some_and(|matched| matched.as_str() == request.uri().path())
}
