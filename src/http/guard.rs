//! Who may ask.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::problem::Problem;

/// Where browsers say from whose page a request comes.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Whoever has a token of ours. There is no way to make one yet, so nobody.
    Tokens,
    /// Whoever is on this machine.
    None,
}

/// Lets a question pass, or not.
pub(super) async fn check(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match state.auth {
        Auth::None => next.run(request).await,
        Auth::Tokens => Problem::unauthorized().into_response(),
    }
}

/// Without tokens, a page from elsewhere must not reach us through a name that it has pointed at this machine: the host
/// that was asked for must be this machine by address or as `localhost`. Nor may it ask at all, as far as the browser says
/// where a request comes from: such a page could not read the answer, but could keep us busy.
pub(super) async fn check_host(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    if state.auth == Auth::None && !is_loopback(host) {
        return Problem::foreign_host(host).into_response();
    }
    let site = request.headers().get(SEC_FETCH_SITE);
    if state.auth == Auth::None && site.is_some_and(|site| site == "cross-site") {
        return Problem::foreign_page().into_response();
    }
    next.run(request).await
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
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
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
