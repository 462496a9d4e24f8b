//! Which audit log: an organization's own, or one account's.
//!
//! A source's name is also the first part of its path upstream.

use std::fmt;
use std::str::FromStr;

/// Which kind of log a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// An organization's own log: what was done through organization-level calls, not the sum of its accounts.
    Organization,
    /// One account's log.
    Account,
}

impl SourceKind {
    /// The first part of a source's name, and of its path upstream.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organizations",
            Self::Account => "accounts",
        }
    }
}

/// One upstream log: `organizations/{id}` or `accounts/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    kind: SourceKind,
    id: String,
}

/// The longest id that is accepted in a source's name. Those seen upstream have 32 characters.
pub const MAX_SOURCE_ID_LEN: usize = 64;

impl Source {
    /// The log of the organization `id`.
    ///
    /// # Errors
    /// When `id` is not made of 1 to 64 ASCII letters, digits, `-` and `_`: it becomes a part of a path upstream.
    pub fn organization(id: &str) -> Result<Self, BadSource> {
        Self::new(SourceKind::Organization, id)
    }

    /// The log of the account `id`.
    ///
    /// # Errors
    /// As [`Source::organization`].
    pub fn account(id: &str) -> Result<Self, BadSource> {
        Self::new(SourceKind::Account, id)
    }

    fn new(kind: SourceKind, id: &str) -> Result<Self, BadSource> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.is_empty() || id.len() > MAX_SOURCE_ID_LEN || !id.chars().all(plain) {
            return Err(BadSource {
                name: format!("{}/{id}", kind.as_str()),
            });
        }
        Ok(Self {
            kind,
            id: id.to_owned(),
        })
    }

    /// Organization or account.
    #[must_use]
    pub fn kind(&self) -> SourceKind {
        self.kind
    }

    /// The upstream id of the organization or account.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.id)
    }
}

impl FromStr for Source {
    type Err = BadSource;

    fn from_str(name: &str) -> Result<Self, BadSource> {
        match name.split_once('/') {
            Some(("organizations", id)) => Self::organization(id),
            Some(("accounts", id)) => Self::account(id),
            _ => Err(BadSource {
                name: name.to_owned(),
            }),
        }
    }
}

/// A text that names no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} names no source: write `organizations/ID` or `accounts/ID`, the id 1 to 64 letters, digits, `-` or `_`"
)]
pub struct BadSource {
    name: String,
}
