//! What a principal may do, and which part of the log it may see.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Array, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::position::Source;

/// One thing that a principal may do. Users call it a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Read: search, count, and everything that answers a question.
    Search,
    /// Export whole results.
    Export,
    /// Acknowledge, assign and close alerts.
    Alerts,
    /// Read `/metrics`.
    Metrics,
    /// The access log, shared searches of others.
    Admin,
}

impl Permission {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 5] = [
        Self::Search,
        Self::Export,
        Self::Alerts,
        Self::Metrics,
        Self::Admin,
    ];

    /// As it is written on the command line, in the configuration and in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Export => "export",
            Self::Alerts => "alerts",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// A name that is no permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown scope {}: there are `search`, `export`, `alerts`, `metrics` and `admin`", crate::wording::quoted(.0))]
pub struct BadPermission(String);

impl FromStr for Permission {
    type Err = BadPermission;

    fn from_str(name: &str) -> Result<Self, BadPermission> {
        let mut all = Self::ALL.into_iter();
        all.find(|permission| permission.as_str() == name)
            .ok_or_else(|| BadPermission(name.to_owned()))
    }
}

/// A set of permissions. It is written as their names, in the order of [`Permission::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Permissions(u8);

impl Permissions {
    /// All permissions: what the owner of the data directory has.
    #[must_use]
    pub fn all() -> Self {
        Permission::ALL.into_iter().collect()
    }

    /// Whether it contains `permission`.
    #[must_use]
    pub fn contains(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// Whether it contains nothing.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The permissions in it, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        let all = Permission::ALL.into_iter();
        all.filter(move |permission| self.contains(*permission))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        let bits = permissions.into_iter().map(Permission::bit);
        Self(bits.fold(0, |all, bit| all | bit))
    }
}

/// Prints the names with commas between them.
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Permission::as_str).collect();
        f.write_str(&names.join(","))
    }
}

/// Reads names with commas between them. Spaces around a name do not count.
impl FromStr for Permissions {
    type Err = BadPermission;

    fn from_str(names: &str) -> Result<Self, BadPermission> {
        let names = names.split(',').map(str::trim);
        names.map(Permission::from_str).collect()
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Permission::as_str))
    }
}

impl PartialSchema for Permissions {
    fn schema() -> RefOr<Schema> {
        let names = Permission::ALL.map(Permission::as_str);
        let name = ObjectBuilder::new().schema_type(Type::String);
        Array::new(name.enum_values(Some(names))).into()
    }
}

impl ToSchema for Permissions {}

/// What a principal may do, and which part of the log it may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What it may do.
    pub permissions: Permissions,
    /// The sources that it may see; empty: all of them, and those that come later.
    pub sources: Vec<Source>,
    /// Whether it may see the bodies of requests, responses and values.
    pub bodies: bool,
}

impl Grant {
    /// Everything.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            permissions: Permissions::all(),
            sources: Vec::new(),
            bodies: true,
        }
    }

    /// Whether it may see `source`.
    #[must_use]
    pub fn sees(&self, source: &Source) -> bool {
        self.sources.is_empty() || self.sources.contains(source)
    }

    /// Whether it may see everything that is in the log.
    #[must_use]
    pub fn sees_everything(&self) -> bool {
        self.sources.is_empty() && self.bodies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_written_in_one_order_and_read_in_any() {
        let read: Permissions = "export, search".parse().unwrap();
        assert_eq!(read.to_string(), "search,export");
        assert_eq!(
            serde_json::to_string(&read).unwrap(),
            r#"["search","export"]"#
        );
        assert!(read.contains(Permission::Export) && !read.contains(Permission::Admin));
        assert_eq!(Permissions::all().iter().count(), Permission::ALL.len());
        for wrong in ["", "search,", "Search", "read"] {
            let error = wrong.parse::<Permissions>().unwrap_err();
            assert!(error.to_string().starts_with("unknown scope"), "{error}");
        }
    }

    #[test]
    fn a_grant_without_sources_sees_all_of_them() {
        let source = Source::account("a").unwrap();
        let everything = Grant::everything();
        assert!(everything.sees(&source) && everything.sees_everything());
        let limited = Grant {
            sources: vec![Source::account("b").unwrap()],
            ..everything
        };
        assert!(!limited.sees(&source) && !limited.sees_everything());
    }
}
