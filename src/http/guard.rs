//! Lets a request pass, or refuses it, and records it in the access log before it is answered.
//!
//! In this order: which client sends it, whether it asks for a host that is ours, whether a page of another site sends it,
//! who sends it, whether they are within their limits, and whether they may do this. A refusal is recorded too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use tokio::sync::OwnedSemaphorePermit;
use tracing::info;

use super::AppState;
use super::access::Results;
use super::cors;
use super::limit::RateState;
use super::line;
use super::principal::Principal;
use super::problem::Problem;
use super::proxy::Requester;
use crate::access::{Auth, Permission};
use crate::mask::Mask;
use crate::store::AccessEntry;

/// Where browsers say from whose page a request comes.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The principal of a request that was refused before it was known who sends it.
const NOBODY: &str = "nobody";

/// What a group of routes needs.
#[derive(Clone)]
pub(super) struct Needs {
    pub(super) app: AppState,
    /// `None` where no credential is needed.
    pub(super) permission: Option<Permission>,
    /// What is done with them, as the access log names it.
    pub(super) action: &'static str,
}

impl Needs {
    /// A scrape is recorded only when it is refused: it comes several times a minute, and reads nothing of the log.
    fn is_recorded(&self, response: &Response) -> bool {
        self.permission != Some(Permission::Metrics) || !response.status().is_success()
    }
}

/// A layer for the routes that are recorded: lets a request pass with its [`Principal`] among the extensions, or refuses it;
/// and records it before the answer is sent.
pub(super) async fn check(
    State(needs): State<Needs>,
    mut request: Request,
    next: Next,
) -> Response {
    let app = &needs.app;
    let begun = Begun {
        at: app.clock.now(),
        instant: Instant::now(),
        route: route(&request),
        parameters: parameters(&request),
    };
    let client = client_of(app, &request);
    let (principal, action, mut response) = match admit(&needs, request.headers()).await {
        Ok(Admitted {
            principal,
            rate,
            _place,
        }) => {
            let name = principal
                .as_ref()
                .map_or(NOBODY, Principal::name)
                .to_owned();
            if let Some(principal) = principal {
                request.extensions_mut().insert(principal);
            }
            let mut response = next.run(request).await;
            rate.add_to(response.headers_mut());
            (name, needs.action, response)
        }
        Err(refused) => (refused.principal.clone(), "refused", refused.answer()),
    };
    if !needs.is_recorded(&response) {
        return response;
    }
    let entry = begun.entry(principal, action, &client, &response);
    if let Err(problem) = app.access.record(entry).await {
        response = problem.into_response();
    }
    response
}

/// A request that is answered.
#[derive(Default)]
struct Admitted {
    /// `None` where no credential is needed.
    principal: Option<Principal>,
    rate: RateState,
    /// One of the principal's own questions, until it is answered.
    _place: Option<OwnedSemaphorePermit>,
}

/// A request that is not answered.
struct Refused {
    principal: String,
    problem: Problem,
    rate: Option<RateState>,
    retry_after: Option<i64>,
}

impl Refused {
    fn nobody(problem: Problem) -> Self {
        Self {
            principal: NOBODY.to_owned(),
            problem,
            rate: None,
            retry_after: None,
        }
    }

    fn answer(self) -> Response {
        let mut response = self.problem.into_response();
        if let Some(rate) = self.rate {
            rate.add_to(response.headers_mut());
        }
        if let Some(seconds) = self.retry_after {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Finds out who sends a request, and whether it may be answered.
async fn admit(needs: &Needs, headers: &HeaderMap) -> Result<Admitted, Refused> {
    let app = &needs.app;
    let Some(permission) = needs.permission else {
        return Ok(Admitted::default());
    };
    let principal = app
        .access
        .identify(headers, app.clock.now())
        .await
        .map_err(Refused::nobody)?;
    let refused = |problem| Refused {
        principal: principal.name().to_owned(),
        ..Refused::nobody(problem)
    };
    let counted = app.access.usage().request(&principal, app.clock.steady());
    let rate = counted.map_err(|over| Refused {
        rate: Some(over.state),
        retry_after: Some(over.retry_after),
        ..refused(Problem::over_limit(over.retry_after))
    })?;
    principal.require(permission).map_err(refused)?;
    let place = match permission {
        // A scrape is no question, and must not wait for one.
        Permission::Metrics => None,
        _ => {
            let place = app.access.usage().question(&principal, app.clock.steady());
            place.map_err(refused)?
        }
    };
    Ok(Admitted {
        principal: Some(principal),
        rate,
        _place: place,
    })
}

/// What is known of a request when it begins.
struct Begun {
    at: DateTime<Utc>,
    instant: Instant,
    route: String,
    parameters: String,
}

impl Begun {
    /// Its line in the access log, now that its answer is known; and one in the log of the service, without the parameters.
    fn entry(
        self,
        principal: String,
        action: &str,
        client: &Requester,
        response: &Response,
    ) -> AccessEntry {
        let took = self.instant.elapsed().as_millis();
        let entry = AccessEntry {
            time: self.at,
            principal,
            address: Some(client.address.to_string()),
            action: action.to_owned(),
            route: self.route,
            parameters: self.parameters,
            results: response.extensions().get().map(|Results(n)| *n),
            duration_ms: Some(u64::try_from(took).unwrap_or(u64::MAX)),
            status: Some(response.status().as_u16()),
        };
        info!(
            http.route = entry.route,
            principal = entry.principal,
            http.status = entry.status,
            duration_ms = entry.duration_ms,
            results = entry.results,
            "Answered a request."
        );
        entry
    }
}

/// The pattern of the route that a request is for.
fn route(request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>();
    matched
        .map_or(request.uri().path(), MatchedPath::as_str)
        .to_owned()
}

/// The parameters of a request as they are recorded: those in the path too, without credentials.
fn parameters(request: &Request) -> String {
    let uri = request.uri();
    let matched = request.extensions().get::<MatchedPath>();
    let is_plain = matched.is_some_and(|matched| matched.as_str() == uri.path());
    let path = if is_plain { "" } else { uri.path() };
    let query = uri.query().map(|query| format!("?{query}"));
    Mask::default().hide(&format!("{path}{}", query.unwrap_or_default()))
}

/// The client of a request.
fn client_of(app: &AppState, request: &Request) -> Requester {
    let peer = request.extensions().get::<Arc<line::Client>>();
    let peer = peer.map_or(IpAddr::from(Ipv4Addr::LOCALHOST), |client| client.address());
    Requester::of(
        peer,
        request.headers(),
        &app.access.settings().trusted_proxies,
    )
}

/// A layer for all routes: refuses a request for a host that is not ours, one that a page of another site sends, and
/// tells browsers which pages may ask.
///
/// Without tokens, a page from elsewhere must not reach us through a name that it has pointed at this machine: the host must
/// be this machine by address or as `localhost`, or that of `public_url`. Nor may it ask at all, as far as the browser says
/// where a request comes from: such a page could not read the answer, but could keep us busy.
pub(super) async fn check_origin(
    State(app): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let client = client_of(&app, &request);
    request.extensions_mut().insert(client.clone());
    let settings = app.access.settings();
    let (method, headers) = (request.method(), request.headers());
    let origin = headers
        .get(header::ORIGIN)
        .and_then(|origin| origin.to_str().ok());
    let allowed = origin.filter(|origin| settings.cors_origins.iter().any(|known| known == origin));
    let allowed = allowed.map(ToOwned::to_owned);
    if allowed.is_some() && *method == Method::OPTIONS {
        return cors::preflight(allowed.as_deref());
    }
    let refusal = match settings.auth {
        Auth::None => refuse_stranger(&app, &client, headers, allowed.is_some()),
        Auth::Tokens => refuse_foreign_change(&app, &client, method, origin, allowed.is_some()),
    };
    if let Some(problem) = refusal {
        return problem.into_response();
    }
    let mut response = next.run(request).await;
    cors::allow(allowed.as_deref(), response.headers_mut());
    response
}

/// With `auth = "none"`: whether a request is not for this machine, or from a page of another site.
fn refuse_stranger(
    app: &AppState,
    client: &Requester,
    headers: &HeaderMap,
    is_allowed: bool,
) -> Option<Problem> {
    // HTTP/1.0 needs no host, and browsers always send one.
    let hosts = headers.get_all(header::HOST).iter();
    let hosts = hosts.map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    let mut hosts = hosts.chain(client.host.clone());
    let foreign = hosts.find(|host| !is_loopback(host) && !is_public(app, host));
    if let Some(host) = foreign {
        return Some(Problem::foreign_host(&host));
    }
    let site = headers.get(SEC_FETCH_SITE);
    let is_foreign = site.is_some_and(|site| site == "cross-site");
    (is_foreign && !is_allowed).then(Problem::foreign_page)
}

/// With tokens: whether a page of another origin asks for a change. Its browser may send the session's cookie along.
fn refuse_foreign_change(
    app: &AppState,
    client: &Requester,
    method: &Method,
    origin: Option<&str>,
    is_allowed: bool,
) -> Option<Problem> {
    let origin = origin.filter(|_| !method.is_safe() && !is_allowed)?;
    let host = origin.split_once("://").map(|(_, host)| host);
    let is_own =
        host.is_some_and(|host| is_public(app, host) || client.host.as_deref() == Some(host));
    (!is_own).then(|| Problem::foreign_origin(origin))
}

/// Whether a host, with a port or without, is that of `public_url`.
fn is_public(app: &AppState, host: &str) -> bool {
    let public = app.access.settings().public_url.as_ref();
    public.is_some_and(|url| {
        let authority = url.authority();
        let default_port = url
            .port_or_known_default()
            .map(|port| format!("{authority}:{port}"));
        host.eq_ignore_ascii_case(authority)
            || default_port.is_some_and(|with_port| host.eq_ignore_ascii_case(&with_port))
    })
}

/// Whether a host, with a port or without, is this machine by address or as `localhost`. Anything else beside these is refused.
fn is_loopback(host: &str) -> bool {
    let (is_this_machine, after) = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((address, after)) = rest.split_once(']') else {
                return false;
            };
            let address = address.parse::<Ipv6Addr>();
            (address.is_ok_and(|address| address.is_loopback()), after)
        }
        None => {
            let (name, after) = host.split_at(host.find(':').unwrap_or(host.len()));
            let address = name.parse::<Ipv4Addr>();
            let is_loopback = address.is_ok_and(|address| address.is_loopback());
            (is_loopback || name.eq_ignore_ascii_case("localhost"), after)
        }
    };
    is_this_machine && (after.is_empty() || after.strip_prefix(':').is_some_and(is_port))
}

/// Whether a text is a port. It may be empty, as RFC 3986 says.
fn is_port(text: &str) -> bool {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits && (text.is_empty() || text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_names() {
        for host in [
            "localhost",
            "LOCALHOST:7070",
            "127.0.0.1:7070",
            "[::1]:7070",
            "127.8.8.8",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "example.com",
            "localhost.example.com",
            "10.0.0.1:7070",
            "[2001:db8::1]",
            "",
            "[::1",
            "[::1]7070",
            "[::1]@evil",
            "[127.0.0.1]",
            "[localhost]",
            "::1",
            "localhost:80@evil",
            "localhost:evil",
            "localhost:+80",
            "localhost:99999",
            "127.0.0.1:80:80",
            "localhost\u{fffd}",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
