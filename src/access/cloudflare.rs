//! Cloudflare Access: what an identity of it may do here.

use chrono::{DateTime, Utc};
use url::Url;

use super::grant::Grant;

/// `[http.access]`: whose assertions are believed, and what they allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudflareAccess {
    /// The team's domain, such as `example.cloudflareaccess.com`.
    pub team_domain: String,
    /// The application's audience tag.
    pub audience: String,
    /// Where the keys are.
    pub keys_url: Url,
    /// What identities may do: the first that fits counts.
    pub grants: Vec<AccessGrant>,
}

impl CloudflareAccess {
    /// Who must have issued an assertion.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("https://{}", self.team_domain)
    }

    /// What an identity may do; `None` if no grant fits it.
    #[must_use]
    pub fn grant_of(&self, identity: &AccessIdentity) -> Option<&Grant> {
        let mut grants = self.grants.iter();
        let fitting = grants.find(|grant| grant.fits(identity))?;
        Some(&fitting.grant)
    }
}

/// One of `[[http.access.grants]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessGrant {
    /// Email addresses in small letters; `*` stands for any characters but `@`.
    pub emails: Vec<String>,
    /// Groups, as the claim `custom.groups` spells them.
    pub groups: Vec<String>,
    /// Service tokens: their client ids, in small letters.
    pub common_names: Vec<String>,
    /// What these may do.
    pub grant: Grant,
}

impl AccessGrant {
    /// Whether it is for an identity: one of its addresses, groups or service tokens is enough.
    fn fits(&self, identity: &AccessIdentity) -> bool {
        let email = identity.email.as_deref();
        let has_email = || email.is_some_and(|email| self.emails.iter().any(|p| matches(p, email)));
        let name = identity.common_name.as_ref();
        has_email()
            || identity
                .groups
                .iter()
                .any(|group| self.groups.contains(group))
            || name.is_some_and(|name| self.common_names.contains(name))
    }
}

/// Who is signed in at Cloudflare Access. At least one of address and service token is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessIdentity {
    /// A person's email address, in small letters.
    pub email: Option<String>,
    /// A service token's client id, in small letters.
    pub common_name: Option<String>,
    /// The groups that the identity provider told Access.
    pub groups: Vec<String>,
    /// When its assertion expires.
    pub expires_at: DateTime<Utc>,
}

impl AccessIdentity {
    /// As the access log names it: `access:alice@example.com`.
    #[must_use]
    pub fn principal_name(&self) -> String {
        let name = self.email.as_ref().or(self.common_name.as_ref());
        format!("access:{}", name.map_or("", String::as_str))
    }
}

/// Whether a text matches a pattern in which `*` stands for any characters but `@`.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(before) else {
        return false;
    };
    let most = text.find('@').unwrap_or(text.len());
    let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.any(|at| at <= most && matches(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Permission, Permissions};
    use crate::clock::from_micros;

    fn person(email: &str, groups: &[&str]) -> AccessIdentity {
        AccessIdentity {
            email: Some(email.to_owned()),
            common_name: None,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            expires_at: from_micros(0),
        }
    }

    #[test]
    fn a_star_stands_for_a_part_of_an_address() {
        for (pattern, text) in [
            ("*@example.com", "alice@example.com"),
            ("alice@*", "alice@example.com"),
            ("*@*", "alice@example.com"),
            ("a*e@*.com", "alice@mail.example.com"),
            ("alice@example.com", "alice@example.com"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("*@example.com", "alice@evil@example.com"),
            ("*@example.com", "alice@example.com.evil.example"),
            ("*@example.com", "alice@sub.example.com"),
            ("*@example.com", ""),
            ("alice@*", "malice@example.com"),
            ("*", "alice@example.com"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_grant_that_fits_counts() {
        let grant = |emails: &[&str], groups: &[&str], permission: Permission| AccessGrant {
            emails: emails.iter().map(|email| (*email).to_owned()).collect(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            common_names: Vec::new(),
            grant: Grant {
                permissions: [permission].into_iter().collect(),
                ..Grant::everything()
            },
        };
        let settings = CloudflareAccess {
            team_domain: "example.cloudflareaccess.com".to_owned(),
            audience: "a".to_owned(),
            keys_url: "https://example.com".parse().unwrap(),
            grants: vec![
                grant(&[], &["admins"], Permission::Admin),
                grant(&["*@example.com"], &[], Permission::Search),
            ],
        };
        let check = |identity: &AccessIdentity, expect: Option<Permission>| {
            let found = settings.grant_of(identity).map(|grant| grant.permissions);
            let expect = expect.map(|permission| [permission].into_iter().collect::<Permissions>());
            assert_eq!(found, expect, "{identity:?}");
        };
        check(
            &person("a@example.com", &["admins"]),
            Some(Permission::Admin),
        );
        check(
            &person("a@example.com", &["Admins"]),
            Some(Permission::Search),
        );
        check(
            &person("a@example.org", &["admins"]),
            Some(Permission::Admin),
        );
        check(&person("a@example.org", &[]), None);
    }
}
