//! Who sends a request, and what they may do.
//!
//! A request proves it by a token (`Authorization: Bearer`), by the cookie of a session, or by the secret that only the
//! owner of the data directory can read. With `auth = "none"` everyone on this machine is one principal.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};

use super::problem::Problem;
use crate::access::{ApiToken, Grant, Permission, SessionKey};
use crate::engine::Scope;
use crate::store::{AccessStore, TokenRow};

/// The cookie of a session.
pub(super) const COOKIE: &str = "orgtrail_session";

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Whoever has a token of ours.
    Tokens,
    /// Whoever is on this machine.
    None,
}

/// Who sends a request. A clone costs a reference count.
#[derive(Debug, Clone)]
pub(super) struct Principal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// As the access log names it.
    name: String,
    grant: Grant,
    scope: Scope,
    /// The token that it sent, or that its session stands for.
    token: Option<TokenRow>,
}

impl Principal {
    fn new(name: String, grant: Grant, token: Option<TokenRow>) -> Self {
        let scope = match grant.sources.as_slice() {
            [] => Scope::everything(),
            sources => Scope::of_sources(sources.iter().cloned()),
        };
        let scope = if grant.bodies {
            scope
        } else {
            scope.without_bodies()
        };
        Self(Arc::new(Inner {
            name,
            grant,
            scope,
            token,
        }))
    }

    /// Everyone on this machine.
    pub(super) fn local() -> Self {
        Self::new("local".to_owned(), Grant::everything(), None)
    }

    fn of_token(token: TokenRow) -> Self {
        let name = format!("token:{}", token.id);
        Self::new(name, token.grant.clone(), Some(token))
    }

    /// As the access log and the limits know it.
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// What it may do and see.
    pub(super) fn grant(&self) -> &Grant {
        &self.0.grant
    }

    /// What its questions are about.
    pub(super) fn scope(&self) -> &Scope {
        &self.0.scope
    }

    /// The token that it sent, or that its session stands for.
    pub(super) fn token(&self) -> Option<&TokenRow> {
        self.0.token.as_ref()
    }

    /// Fails unless it may do this.
    pub(super) fn require(&self, permission: Permission) -> Result<(), Problem> {
        if self.0.grant.permissions.contains(permission) {
            return Ok(());
        }
        Err(Problem::forbidden(format!(
            "this needs the scope `{}`, which the token does not have",
            permission.as_str()
        )))
    }
}

/// Finds out who sends a request, where tokens are needed. Reads the database.
pub(super) fn identify(
    access: &AccessStore,
    headers: &HeaderMap,
    now: DateTime<Utc>,
) -> Result<Principal, Problem> {
    let token = match (bearer(headers)?, session(headers)) {
        (Some(token), _) => access.token_by_hash(&token.hash())?,
        (None, Some(key)) => access.token_of_session(&key.hash(), now)?,
        (None, None) => return Err(Problem::unauthorized("a token is needed: send it as `Authorization: Bearer`")),
    };
    // An unknown, a revoked and an expired token are answered alike.
    let token = token
        .filter(|token| token.is_valid(now))
        .ok_or_else(|| Problem::unauthorized("the token is unknown, revoked or expired"))?;
    access.note_use(&token, now)?;
    Ok(Principal::of_token(token))
}

/// The token that a request sends.
fn bearer(headers: &HeaderMap) -> Result<Option<ApiToken>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::unauthorized(
            "only `Authorization: Bearer TOKEN` is understood",
        ));
    }
    let token = ApiToken::parse(token.trim());
    token
        .map(Some)
        .map_err(|error| Problem::unauthorized(error.to_string()))
}

/// The session that a request's cookie names.
pub(super) fn session(headers: &HeaderMap) -> Option<SessionKey> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    let mut pairs = cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == COOKIE)?;
    SessionKey::parse(value)
}
