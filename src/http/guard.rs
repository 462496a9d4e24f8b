//! Lets a request pass, or refuses it, and records it in the access log before it is answered.
//!
//! In this order: which client sends it, whether it asks for a host that is ours, whether a page of another site sends it,
//! who sends it, whether they are within their limits, and whether they may do this. A refusal is recorded too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use tokio::sync::OwnedSemaphorePermit;

use super::assertion;
use super::connection::{Client, Exchange};
use super::cors;
use super::form;
use super::limit::RateState;
use super::principal::Principal;
use super::problem::Problem;
use super::proxy::{Requester, Sent};
use super::recording::{REFUSED, Recording};
use super::request_body;
use super::state::AppState;
use super::turn::of_principal;
use super::unauthenticated::NOBODY;
use crate::access::{Auth, Permission};

/// Where browsers say from whose page a request comes.
const SEC_FETCH_SITE: &str = "sec-fetch-site";
/// Where browsers say that a request opens a page.
const SEC_FETCH_MODE: &str = "sec-fetch-mode";

/// What a group of routes needs.
#[derive(Clone)]
pub(super) struct Needs {
    pub(super) app: AppState,
    pub(super) credential: Required,
    /// What is done with them, as the access log names it.
    pub(super) action: &'static str,
    /// Whether their parameters may be sent as a form.
    pub(super) takes_forms: bool,
}

/// The credential that a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Required {
    /// None; a sent credential is ignored.
    Nothing,
    /// None. One that is sent must be valid, and then the request is recorded.
    IfSent,
    /// A valid one.
    Any,
    /// A valid one that has this permission.
    With(Permission),
}

impl Needs {
    /// A scrape is recorded only when it is refused: it comes several times a minute, and reads nothing of the log.
    fn is_recorded(&self, response: &Response) -> bool {
        self.credential != Required::With(Permission::Metrics) || !response.status().is_success()
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
    // Worked out by `check_origin`, which every request passes first.
    let Some(client) = request.extensions().get::<Requester>().cloned() else {
        return Problem::internal().into_response();
    };
    if needs.credential == Required::IfSent && !app.access.is_sent(request.headers(), &client) {
        if app.access.settings().auth == Auth::None {
            request.extensions_mut().insert(Principal::local());
        }
        return next.run(request).await;
    }
    let mut recording = Recording::begin(&app.access, &app.clock, &client, &request);
    let response = match admit(&needs, &client, request.headers()).await {
        Ok(Admitted {
            principal,
            rate,
            _place,
        }) => {
            let name = principal.as_ref().map_or(NOBODY, Principal::name);
            let name = name.to_owned();
            recording.admit(&name, needs.action);
            if let Some(principal) = principal {
                if let Some(exchange) = request.extensions().get::<Arc<Exchange>>() {
                    exchange.note_principal(principal.name());
                }
                request.extensions_mut().insert(principal);
            }
            let mut response = match read_body(&needs, &client, request).await {
                Ok(request) => {
                    // Caught here, so that it is recorded.
                    let answer = answer(&needs, request, next, &mut recording);
                    let answer = AssertUnwindSafe(answer).catch_unwind();
                    let answer = of_principal(&name, answer).await;
                    answer.unwrap_or_else(|_| app.panics.answer())
                }
                Err(problem) => problem.into_response(),
            };
            rate.add_to(response.headers_mut());
            response
        }
        Err(refused) => {
            recording.admit(&refused.principal, REFUSED);
            if refused.is_unlimited {
                recording.count_together();
            }
            refused.answer()
        }
    };
    if !needs.is_recorded(&response) {
        recording.forget();
        return response;
    }
    recording.finish(response).await
}

/// Reads the body of a request. One that needs no credential is small, and there are few at once; one that is not read whole counts as a
/// request without a valid credential.
async fn read_body(
    needs: &Needs,
    client: &Requester,
    request: Request,
) -> Result<Request, Problem> {
    let app = &needs.app;
    if needs.credential != Required::Nothing {
        return request_body::read(request, app.limits.request_header).await;
    }
    let within = app.limits.request_header;
    let place = app.access.unauthenticated().body(client.address);
    let read = request_body::read_small(request, within, place).await;
    read.map_err(|problem| {
        app.access
            .count_unauthenticated(client.address, &app.clock, problem)
    })
}

/// Answers a request whose body has been read.
async fn answer(
    needs: &Needs,
    request: Request,
    next: Next,
    recording: &mut Recording,
) -> Response {
    if !needs.takes_forms {
        return next.run(request).await;
    }
    match form::as_parameters(request).await {
        Ok(request) => {
            recording.note_parameters(&request);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Answers a request that no route takes. Under `/v1` and `/client/v4` it needs a credential, and is recorded.
pub(super) async fn check_unknown(needs: State<Needs>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.starts_with("/v1/") || path.starts_with("/client/v4/") {
        check(needs, request, next).await
    } else {
        next.run(request).await
    }
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
    /// Whether nothing limits how many such requests a principal sends.
    is_unlimited: bool,
}

impl Refused {
    fn unknown(problem: Problem) -> Self {
        Self {
            principal: NOBODY.to_owned(),
            problem,
            rate: None,
            is_unlimited: false,
        }
    }

    fn answer(self) -> Response {
        let mut response = self.problem.into_response();
        if let Some(rate) = self.rate {
            rate.add_to(response.headers_mut());
        }
        response
    }
}

/// Finds out who sends a request, and whether it may be answered.
async fn admit(
    needs: &Needs,
    client: &Requester,
    headers: &HeaderMap,
) -> Result<Admitted, Refused> {
    let (app, access) = (&needs.app, &needs.app.access);
    if needs.credential == Required::Nothing {
        return Ok(Admitted::default());
    }
    let principal = access
        .identify(headers, client, &app.clock)
        .await
        .map_err(Refused::unknown)?;
    let refused = |problem| Refused {
        principal: principal.name().to_owned(),
        ..Refused::unknown(problem)
    };
    let may_ask = |origin: &str| is_allowed(app, origin) || is_own_origin(app, client, origin);
    if principal.identity().is_some() && assertion::is_foreign(headers, may_ask) {
        return Err(Refused {
            is_unlimited: true,
            ..refused(Problem::foreign_page())
        });
    }
    let counted = access.usage().request(&principal, app.clock.steady());
    let rate = counted.map_err(|over| Refused {
        rate: Some(over.state),
        is_unlimited: true,
        ..refused(Problem::over_limit(over.retry_after))
    })?;
    if let Required::With(permission) = needs.credential {
        principal.require(permission).map_err(refused)?;
    }
    let place = match needs.credential {
        // Neither a scrape nor a check is a question, and must not wait for one.
        Required::With(Permission::Metrics) | Required::IfSent => None,
        _ => {
            let place = access.usage().question(&principal, app.clock.steady());
            place.map_err(refused)?
        }
    };
    Ok(Admitted {
        principal: Some(principal),
        rate,
        _place: place,
    })
}

/// The client of a request.
fn client_of(app: &AppState, request: &Request) -> Requester {
    let client = request.extensions().get::<Arc<Client>>();
    let sent = Sent {
        peer: client.map_or(IpAddr::from(Ipv4Addr::LOCALHOST), |client| client.address()),
        is_tls: client.is_some_and(|client| client.is_tls()),
        authority: request
            .uri()
            .authority()
            .map(|authority| authority.as_str()),
    };
    let settings = app.access.settings();
    Requester::of(
        &sent,
        request.headers(),
        &settings.trusted_proxies,
        settings.forwarded_header,
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
    let allowed = origin.filter(|origin| is_allowed(&app, origin));
    let allowed = allowed.map(ToOwned::to_owned);
    if allowed.is_some() && *method == Method::OPTIONS {
        return cors::preflight(allowed.as_deref());
    }
    let refused = match settings.auth {
        Auth::None => {
            let may_come = allowed.is_some() || opens_page(&request);
            refuse_unauthenticated(&app, &client, headers, may_come)
        }
        Auth::Tokens => None,
    };
    let foreign_change = || refuse_foreign_change(&app, &client, method, origin, allowed.is_some());
    if let Some(problem) = refused.or_else(foreign_change) {
        let recording = Recording::begin(&app.access, &app.clock, &client, &request);
        return recording.finish(problem.into_response()).await;
    }
    let mut response = next.run(request).await;
    cors::allow(allowed.as_deref(), response.headers_mut());
    response
}

/// With `auth = "none"`: whether a request is not for this machine, or from a page of another site.
fn refuse_unauthenticated(
    app: &AppState,
    client: &Requester,
    headers: &HeaderMap,
    may_come: bool,
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
    (is_foreign && !may_come).then(Problem::foreign_page)
}

/// Whether somebody follows a link to the search page, which may be on any site. The page cannot be shown within another one.
fn opens_page(request: &Request) -> bool {
    let mode = request.headers().get(SEC_FETCH_MODE);
    let is_navigation = mode.is_some_and(|mode| mode == "navigate");
    is_navigation && *request.method() == Method::GET && request.uri().path() == "/"
}

/// Whether a page of another origin asks for a change. Its browser may send the session's cookie along, and not every browser
/// says with `Sec-Fetch-Site` where the page is from.
fn refuse_foreign_change(
    app: &AppState,
    client: &Requester,
    method: &Method,
    origin: Option<&str>,
    is_allowed: bool,
) -> Option<Problem> {
    let origin = origin.filter(|_| !method.is_safe() && !is_allowed)?;
    (!is_own_origin(app, client, origin)).then(|| Problem::foreign_origin(origin))
}

/// Whether pages of an origin may ask, by `cors_origins`.
fn is_allowed(app: &AppState, origin: &str) -> bool {
    let settings = app.access.settings();
    settings.cors_origins.iter().any(|known| known == origin)
}

/// Whether an origin is the service's own, as its clients reach it.
fn is_own_origin(app: &AppState, client: &Requester, origin: &str) -> bool {
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some_and(|host| is_public(app, host) || client.host.as_deref() == Some(host))
}

/// Whether a host, with a port or without, is that of `public_url`.
fn is_public(app: &AppState, host: &str) -> bool {
    let settings = app.access.settings();
    settings.public_url.as_ref().is_some_and(|url| {
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
