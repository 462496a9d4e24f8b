//! What is known of the client when reverse proxies stand between it and us.
//!
//! A header can be written by anybody. So it is read from its end, and only as far as each hop is a proxy that the
//! configuration trusts: the first address that is not one of them is the client.
//!
//! A proxy sets one family of headers, and may pass the other one on as the client wrote it. So only the configured family is
//! read.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use ipnet::IpNet;

use crate::access::ForwardedHeader;

/// The most hops that are followed.
const MAX_HOPS: usize = 32;

/// What is known of the client of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requester {
    /// Its address.
    pub(super) address: IpAddr,
    /// The host that it asked for, as it or the nearest trusted proxy says.
    pub(super) host: Option<String>,
    /// Whether it speaks https, as far as that is known.
    pub(super) is_https: bool,
}

/// How a request was sent to us.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'r> {
    /// The address that the connection comes from.
    pub(super) peer: IpAddr,
    /// Whether the connection has TLS.
    pub(super) is_tls: bool,
    /// The host in the request itself, where it has one: HTTP/2 has no header for it.
    pub(super) authority: Option<&'r str>,
}

impl Requester {
    /// The client of a request that `sent` says, with these headers, of which `family` is believed.
    pub(super) fn of(
        sent: &Sent<'_>,
        headers: &HeaderMap,
        trusted: &[IpNet],
        family: ForwardedHeader,
    ) -> Self {
        let peer = sent.peer.to_canonical();
        let authority = sent.authority.map(ToOwned::to_owned);
        let direct = Self {
            address: peer,
            host: authority.or_else(|| text(headers, header::HOST.as_str())),
            is_https: sent.is_tls,
        };
        if !is_trusted(peer, trusted) {
            return direct;
        }
        let hops = hops(headers, family);
        // From the nearest hop to the farthest.
        let mut address = peer;
        for hop in hops.iter().rev().take(MAX_HOPS) {
            let Some(next) = hop else { break };
            address = *next;
            if !is_trusted(address, trusted) {
                break;
            }
        }
        Self {
            address,
            host: of_nearest(headers, family, "host").or(direct.host),
            is_https: of_nearest(headers, family, "proto")
                .map_or(sent.is_tls, |proto| proto.eq_ignore_ascii_case("https")),
        }
    }
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// The addresses that proxies wrote down, the client's first; `None` where one is not an address.
fn hops(headers: &HeaderMap, family: ForwardedHeader) -> Vec<Option<IpAddr>> {
    match family {
        ForwardedHeader::XForwardedFor => elements(headers, "x-forwarded-for")
            .iter()
            .map(|hop| address(hop))
            .collect(),
        ForwardedHeader::Forwarded => elements(headers, "forwarded")
            .iter()
            .map(|element| parameter(element, "for").and_then(|node| address(&node)))
            .collect(),
    }
}

/// What the nearest proxy wrote down of the `host` or the `proto` that its client used.
fn of_nearest(headers: &HeaderMap, family: ForwardedHeader, name: &str) -> Option<String> {
    match family {
        ForwardedHeader::XForwardedFor => text(headers, &format!("x-forwarded-{name}")),
        ForwardedHeader::Forwarded => parameter(elements(headers, "forwarded").last()?, name),
    }
}

/// The elements of a header that may be sent several times, with commas between them.
fn elements(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|element| element.trim().to_owned())
        .filter(|element| !element.is_empty())
        .collect()
}

/// The last value of a header that has one value, as the nearest proxy wrote it.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    elements(headers, name).pop()
}

/// A parameter of an element such as `for="[2001:db8::1]:4711";proto=https`.
fn parameter(element: &str, name: &str) -> Option<String> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut pairs = pairs.map(|(key, value)| (key.trim(), value.trim().trim_matches('"')));
    let (_, value) = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(value.to_owned())
}

/// An address, with a port or without, in brackets or without.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let parsed = text.parse().ok();
    let parsed = parsed.or_else(|| {
        text.parse()
            .ok()
            .map(|socket: std::net::SocketAddr| socket.ip())
    });
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    parsed
        .or_else(in_brackets)
        .map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    fn sent(peer: &str) -> Sent<'static> {
        Sent {
            peer: peer.parse().unwrap(),
            is_tls: false,
            authority: None,
        }
    }

    fn client(peer: &str, pairs: &[(&str, &str)]) -> String {
        client_by(ForwardedHeader::XForwardedFor, peer, pairs)
    }

    fn client_by(family: ForwardedHeader, peer: &str, pairs: &[(&str, &str)]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let client = Requester::of(&sent(peer), &headers(pairs), &trusted, family);
        client.address.to_string()
    }

    #[test]
    fn a_header_of_the_other_family_is_not_read() {
        let both = [
            ("x-forwarded-for", "198.51.100.7"),
            ("forwarded", "for=203.0.113.9;host=evil.example;proto=https"),
        ];
        assert_eq!(client("10.1.1.1", &both), "198.51.100.7");
        let by = |family| client_by(family, "10.1.1.1", &both);
        assert_eq!(by(ForwardedHeader::Forwarded), "203.0.113.9");
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let family = ForwardedHeader::XForwardedFor;
        let client = Requester::of(&sent("10.1.1.1"), &headers(&both), &trusted, family);
        assert!(client.host.is_none() && !client.is_https);
    }

    #[test]
    fn headers_are_believed_of_trusted_proxies_only() {
        let claim = [("x-forwarded-for", "198.51.100.7")];
        assert_eq!(client("192.0.2.1", &claim), "192.0.2.1");
        assert_eq!(client("10.1.1.1", &claim), "198.51.100.7");
        assert_eq!(client("::ffff:10.1.1.1", &claim), "198.51.100.7");
        assert_eq!(client("10.1.1.1", &[]), "10.1.1.1");
    }

    #[test]
    fn what_the_client_wrote_itself_does_not_count() {
        // The client claims an address; the proxies add what they saw.
        let two = [("x-forwarded-for", "203.0.113.9, 198.51.100.7, 10.2.2.2")];
        assert_eq!(client("10.1.1.1", &two), "198.51.100.7");
        let split = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "198.51.100.7"),
        ];
        assert_eq!(client("::1", &split), "198.51.100.7");
        // Behind a hop that cannot be read nothing is known.
        let hidden = [("x-forwarded-for", "203.0.113.9, unknown")];
        assert_eq!(client("10.1.1.1", &hidden), "10.1.1.1");
    }

    #[test]
    fn the_standard_header_is_read_in_all_its_forms() {
        for (value, expected) in [
            ("for=198.51.100.7", "198.51.100.7"),
            ("For=\"198.51.100.7:4711\";proto=https", "198.51.100.7"),
            ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=\"[2001:db8::1]\"", "2001:db8::1"),
            (
                "for=203.0.113.9, for=198.51.100.7;by=10.1.1.1",
                "198.51.100.7",
            ),
            ("for=_hidden", "10.1.1.1"),
        ] {
            let family = ForwardedHeader::Forwarded;
            let found = client_by(family, "10.1.1.1", &[("forwarded", value)]);
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn the_host_and_the_scheme_are_the_nearest_proxy_s() {
        let pairs = [
            ("host", "127.0.0.1:7070"),
            ("x-forwarded-host", "audit.example.com"),
            ("x-forwarded-proto", "https"),
        ];
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let of = |peer: &str| {
            let family = ForwardedHeader::XForwardedFor;
            Requester::of(&sent(peer), &headers(&pairs), &trusted, family)
        };
        let through = of("10.1.1.1");
        assert_eq!(through.host.as_deref(), Some("audit.example.com"));
        assert!(through.is_https);
        let direct = of("192.0.2.1");
        assert_eq!(direct.host.as_deref(), Some("127.0.0.1:7070"));
        assert!(!direct.is_https);
    }

    #[test]
    fn a_connection_with_tls_is_https_and_http2_names_the_host_in_the_request() {
        let sent = Sent {
            is_tls: true,
            authority: Some("audit.example.com"),
            ..sent("10.1.1.1")
        };
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let of = |pairs: &[(&str, &str)]| {
            let family = ForwardedHeader::XForwardedFor;
            Requester::of(&sent, &headers(pairs), &trusted, family)
        };
        let direct = of(&[("host", "other.example.com")]);
        assert_eq!(direct.host.as_deref(), Some("audit.example.com"));
        assert!(direct.is_https);
        // Its own client came in clear.
        assert!(!of(&[("x-forwarded-proto", "http")]).is_https);
    }
}
