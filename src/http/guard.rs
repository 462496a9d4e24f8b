//! Who may ask.

use std::net::{Ipv4Addr, Ipv6Addr};

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
    /// Whoever has a token of ours, which cannot be made yet, and the commands of the data directory's owner.
    Tokens,
    /// Whoever is on this machine.
    None,
}

/// Lets a question pass, or not.
pub(super) async fn check(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match state.auth {
        Auth::None => next.run(request).await,
        Auth::Tokens if is_owner(&state, &request) => next.run(request).await,
        Auth::Tokens => Problem::unauthorized().into_response(),
    }
}

/// Whether a request proves that it comes from the owner of the data directory.
fn is_owner(state: &AppState, request: &Request) -> bool {
    let sent = request.headers().get(header::AUTHORIZATION);
    let sent = sent.and_then(|sent| sent.to_str().ok()?.strip_prefix("Bearer "));
    let owner = state.owner.as_ref();
    owner.zip(sent).is_some_and(|(owner, sent)| owner.is(sent))
}

/// Without tokens, a page from elsewhere must not reach us through a name that it has pointed at this machine: the host
/// that was asked for must be this machine by address or as `localhost`. Nor may it ask at all, as far as the browser says
/// where a request comes from: such a page could not read the answer, but could keep us busy.
pub(super) async fn check_host(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    // HTTP/1.0 needs no host, and browsers always send one.
    let hosts = request.headers().get_all(header::HOST);
    let foreign = hosts
        .iter()
        .map(|host| String::from_utf8_lossy(host.as_bytes()))
        .find(|host| !is_loopback(host));
    if state.auth == Auth::None
        && let Some(host) = foreign
    {
        return Problem::foreign_host(&host).into_response();
    }
    let site = request.headers().get(SEC_FETCH_SITE);
    if state.auth == Auth::None && site.is_some_and(|site| site == "cross-site") {
        return Problem::foreign_page().into_response();
    }
    next.run(request).await
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
