//! Who sends a request, and what they may do.
//!
//! A request proves it by a token (`Authorization: Bearer`), by the cookie of a session, by an assertion of Cloudflare Access, by the
//! secret in the URL of a feed, or by the secret that only the owner of the data directory can read. With `auth = "none"` everyone on this machine is one principal.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};
use tracing::debug;

use super::problem::Problem;
use crate::access::{
    AccessIdentity, ApiToken, FeedKey, Grant, Permission, Permissions, SecretHash, SessionKey,
};
use crate::engine::Scope;
use crate::owner::{OwnerSecret, USER_HEADER, system_principal};
use crate::store::{AccessStore, FeedRow, StoreError, TokenRow};

/// The name of a session's cookie. By https, browsers take a name with this prefix from this host alone, with `Secure`.
pub(super) fn cookie_name(is_https: bool) -> &'static str {
    if is_https {
        "__Host-orgtrail_session"
    } else {
        "orgtrail_session"
    }
}

/// Who sends a request. A clone costs a reference count.
#[derive(Debug, Clone)]
pub(super) struct Principal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// As the access log names it.
    name: String,
    grant: Grant,
    /// The token that it sent, or that its session stands for.
    token: Option<TokenRow>,
    /// The session that it sent.
    session: Option<SecretHash>,
    /// Who is signed in at Cloudflare Access.
    identity: Option<AccessIdentity>,
    /// The feed whose secret was in the URL.
    feed: Option<FeedRow>,
    /// Whether it may take only so much at a time.
    is_limited: bool,
}

impl Principal {
    /// One that may do everything. It has no limits of its own: on this machine, one program must not lock out the others.
    fn with_everything(name: &str) -> Self {
        Self(Arc::new(Inner {
            name: name.to_owned(),
            grant: Grant::everything(),
            token: None,
            session: None,
            identity: None,
            feed: None,
            is_limited: false,
        }))
    }

    /// The owner of the data directory, by a command of theirs that names its user.
    pub(super) fn system(headers: &HeaderMap) -> Self {
        let user = headers.get(USER_HEADER);
        let user = user.and_then(|user| user.to_str().ok());
        Self::with_everything(&system_principal(user))
    }

    /// Everyone on this machine.
    pub(super) fn local() -> Self {
        Self::with_everything("local")
    }

    fn of_token(token: TokenRow, session: Option<SecretHash>) -> Self {
        Self(Arc::new(Inner {
            name: principal_name(&token.id),
            grant: token.grant.clone(),
            token: Some(token),
            session,
            identity: None,
            feed: None,
            is_limited: true,
        }))
    }

    /// Who is signed in at Cloudflare Access, and what they may do; `None`: nothing.
    pub(super) fn of_identity(identity: AccessIdentity, grant: Option<Grant>) -> Self {
        let nothing = Grant {
            permissions: Permissions::default(),
            ..Grant::everything()
        };
        Self(Arc::new(Inner {
            name: identity.principal_name(),
            grant: grant.unwrap_or(nothing),
            token: None,
            session: None,
            identity: Some(identity),
            feed: None,
            is_limited: true,
        }))
    }

    /// A feed. Anyone who has its URL can read the alerts that it may see.
    fn of_feed(feed: FeedRow) -> Self {
        Self(Arc::new(Inner {
            name: format!("feed:{}", feed.name),
            grant: feed.grant.clone(),
            token: None,
            session: None,
            identity: None,
            feed: Some(feed),
            is_limited: true,
        }))
    }

    /// One with a token of this id and every permission.
    #[cfg(test)]
    pub(super) fn with_token(id: &str) -> Self {
        let created_at = crate::clock::from_micros(0);
        let token = TokenRow {
            id: id.to_owned(),
            name: String::new(),
            grant: Grant::everything(),
            created_at,
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        };
        Self::of_token(token, None)
    }

    /// As the access log and the limits know it.
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// What it may do and see.
    pub(super) fn grant(&self) -> &Grant {
        &self.0.grant
    }

    /// Which part of the log it may see.
    pub(super) fn scope(&self) -> Scope {
        let Grant {
            sources, bodies, ..
        } = &self.0.grant;
        let scope = match sources.as_slice() {
            [] => Scope::everything(),
            sources => Scope::of_sources(sources.iter().cloned()),
        };
        if *bodies {
            scope
        } else {
            scope.without_bodies()
        }
    }

    /// Whether it may take only so much at a time.
    pub(super) fn is_limited(&self) -> bool {
        self.0.is_limited
    }

    /// The token that it sent, or that its session stands for.
    pub(super) fn token(&self) -> Option<&TokenRow> {
        self.0.token.as_ref()
    }

    /// The feed whose secret was in the URL.
    pub(super) fn feed(&self) -> Option<&FeedRow> {
        self.0.feed.as_ref()
    }

    /// Whether it sent a session.
    pub(super) fn has_session(&self) -> bool {
        self.0.session.is_some()
    }

    /// Who is signed in at Cloudflare Access.
    pub(super) fn identity(&self) -> Option<&AccessIdentity> {
        self.0.identity.as_ref()
    }

    /// When what it sent expires.
    pub(super) fn expires_at(&self) -> Option<DateTime<Utc>> {
        let of_token = self.token().and_then(|token| token.expires_at);
        of_token.or(self.identity().map(|identity| identity.expires_at))
    }

    /// Whether its token and its session are still valid. Reads the database.
    pub(super) fn is_valid(
        &self,
        access: &AccessStore,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let token = match (&self.0.session, &self.0.token) {
            (Some(session), _) => access.token_of_session(session, now)?,
            (None, Some(token)) => access.token(&token.id)?,
            (None, None) => return Ok(true),
        };
        Ok(token.is_some_and(|token| token.is_valid(now)))
    }

    /// Fails unless it may do this.
    pub(super) fn require(&self, permission: Permission) -> Result<(), Problem> {
        let grant = &self.0.grant;
        let sees_enough = match permission {
            // The access log contains what others searched for, bodies included.
            Permission::Admin => grant.sees_everything(),
            // Metrics name all sources and count their entries. They contain no bodies.
            Permission::Metrics => grant.sources.is_empty(),
            Permission::Search | Permission::Export | Permission::Alerts => true,
        };
        if !sees_enough {
            return Err(Problem::forbidden(
                "this needs a token that may see the whole log",
            ));
        }
        if self.0.grant.permissions.contains(permission) {
            return Ok(());
        }
        let lacks = match (&self.0.identity, self.0.grant.permissions.is_empty()) {
            (None, _) => "the token does not have",
            (Some(_), false) => "its grant in `[[http.access.grants]]` does not have",
            (Some(_), true) => "no grant in `[[http.access.grants]]` gives to this identity",
        };
        Err(Problem::forbidden(format!(
            "this needs the scope `{}`, which {lacks}",
            permission.as_str()
        )))
    }
}

/// The principal with the token of this id, as the access log names it.
pub(super) fn principal_name(token_id: &str) -> String {
    format!("token:{token_id}")
}

/// What a request sends to prove who sends it. Nothing has been looked up for it.
pub(super) enum Credential {
    /// The secret of the owner of the data directory.
    Owner,
    Token(ApiToken),
    Session(SessionKey),
    Feed(FeedKey),
}

impl Credential {
    /// Reads the credential of a request.
    pub(super) fn read(
        owner: Option<&OwnerSecret>,
        headers: &HeaderMap,
        is_https: bool,
    ) -> Result<Self, Problem> {
        let sent = bearer(headers)?;
        if owner.zip(sent).is_some_and(|(owner, sent)| owner.is(sent)) {
            return Ok(Self::Owner);
        }
        let token = sent.map(ApiToken::parse).transpose();
        let token = token.map_err(|error| Problem::unauthorized(error.to_string()))?;
        let token = token.map(Self::Token);
        let session = || session(headers, is_https).map(Self::Session);
        token.or_else(session).ok_or_else(|| {
            Problem::unauthorized(
                "a token is needed: send it as `Authorization: Bearer TOKEN`; `orgtrail token create` creates one",
            )
        })
    }

    /// The hash of a token or of a session's key.
    pub(super) fn hash(&self) -> Option<[u8; 32]> {
        match self {
            Self::Owner => None,
            Self::Token(token) => Some(*token.hash().as_bytes()),
            Self::Session(key) => Some(*key.hash().as_bytes()),
            Self::Feed(key) => Some(*key.hash().as_bytes()),
        }
    }

    /// Looks up whose it is. Reads the database.
    pub(super) fn principal(
        &self,
        access: &AccessStore,
        now: DateTime<Utc>,
    ) -> Result<Principal, Problem> {
        let (token, session) = match self {
            Self::Owner => return Ok(Principal::system(&HeaderMap::new())),
            Self::Token(token) => (access.token_by_hash(&token.hash())?, None),
            Self::Session(key) => {
                let key = key.hash();
                (access.token_of_session(&key, now)?, Some(key))
            }
            Self::Feed(key) => return feed_principal(key, access, now),
        };
        // An unknown, a revoked and an expired token are answered alike.
        let token = token
            .filter(|token| token.is_valid(now))
            .ok_or_else(|| Problem::unauthorized("the token is unknown, revoked or expired"))?;
        // Only for `token list`: a full disk must not keep a valid token out.
        if let Err(error) = access.note_use(&token, now) {
            debug!(error = %error, "The last use of a token could not be saved.");
        }
        Ok(Principal::of_token(token, session))
    }
}

/// The principal of a feed's secret.
fn feed_principal(
    key: &FeedKey,
    access: &AccessStore,
    now: DateTime<Utc>,
) -> Result<Principal, Problem> {
    let feed = access.feed_by_hash(&key.hash())?;
    let feed = feed.ok_or_else(unknown_feed)?;
    // Only for `feed list`: a full disk must not keep a reader out.
    if let Err(error) = access.note_feed_use(&feed, now) {
        debug!(error = %error, "The last use of a feed could not be saved.");
    }
    Ok(Principal::of_feed(feed))
}

/// The same answer for a key that cannot be one, an unknown one and a revoked one.
pub(super) fn unknown_feed() -> Problem {
    Problem::unauthorized("the feed of this URL is unknown or revoked")
}

/// The secret that a request sends.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
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
    Ok(Some(token.trim()))
}

/// The session that a request's cookie names.
pub(super) fn session(headers: &HeaderMap, is_https: bool) -> Option<SessionKey> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    let mut pairs = cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let cookie = cookie_name(is_https);
    let (_, value) = pairs.find(|(name, _)| *name == cookie)?;
    SessionKey::parse(value)
}
