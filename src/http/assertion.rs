//! Requests that Cloudflare Access lets through: who sends them is in an assertion that it adds as a header.
//!
//! Access adds the header to whatever a signed-in browser sends, also for a page of another site. So such a page is refused,
//! as it is by the attributes of a session's cookie.

use axum::http::{HeaderMap, HeaderName, header};
use chrono::{DateTime, Utc};
use tracing::debug;

use super::principal::Principal;
use super::problem::Problem;
use crate::access::{Assertion, BadAssertion, CloudflareAccess};
use crate::keyring::{Keyring, NoKey};

/// The header in which Access sends an assertion.
pub(super) const HEADER: HeaderName = HeaderName::from_static("cf-access-jwt-assertion");

/// Where browsers say from whose page a request comes.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a request has an assertion.
pub(super) fn is_sent(headers: &HeaderMap) -> bool {
    headers.contains_key(HEADER)
}

/// Finds out who sends a request with an assertion.
pub(super) async fn identify(
    (settings, keyring): (&CloudflareAccess, &Keyring),
    headers: &HeaderMap,
    now: DateTime<Utc>,
) -> Result<Principal, Problem> {
    let mut sent = headers.get_all(HEADER).iter();
    let (first, second) = (sent.next(), sent.next());
    let text = first.filter(|_| second.is_none());
    let text = text
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let assertion = Assertion::parse(text).map_err(refused)?;
    let key = keyring.find(assertion.key_id()).await.map_err(|no_key| match no_key {
        NoKey::Unknown => Problem::unauthorized(
            "the assertion of Cloudflare Access is signed with a key that its team does not publish",
        ),
        NoKey::Unreachable => Problem::no_keys(),
    })?;
    let identity = assertion.verify(&key, settings, now).map_err(refused)?;
    let grant = settings.grant_of(&identity).cloned();
    Ok(Principal::of_identity(identity, grant))
}

fn refused(error: BadAssertion) -> Problem {
    debug!(error = %error, "An assertion of Cloudflare Access was refused.");
    Problem::unauthorized(format!(
        "the assertion of Cloudflare Access is refused: {error}"
    ))
}

/// Whether a page of another site sends a request, as far as its browser says. `is_own` tells the origins that may ask.
pub(super) fn is_foreign(headers: &HeaderMap, is_own: impl Fn(&str) -> bool) -> bool {
    let origin = headers.get(header::ORIGIN);
    match origin {
        Some(origin) => !origin.to_str().is_ok_and(is_own),
        None => headers
            .get(SEC_FETCH_SITE)
            .is_some_and(|site| site == "cross-site"),
    }
}
