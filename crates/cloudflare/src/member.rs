//! A member of an organization, as upstream's list of members shows one.
//!
//! Every field but the id may be missing, and statuses grow. It does not know where the list comes from or where it is kept.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::json;

/// How much of each text is kept, in characters. An e-mail address has 254 at most.
const MAX_TEXT_CHARS: usize = 500;

/// A member, as one list told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Member {
    /// The membership's id.
    pub id: String,
    /// The user's id, which entries have as `actor.id`; an invited one has none yet.
    pub user_id: Option<String>,
    /// The user's e-mail address.
    pub email: Option<String>,
    /// The user's name.
    pub name: Option<String>,
    /// `active`, `pending`, `canceled`, `rejected`, and what upstream may add.
    pub status: Option<String>,
    /// Whether the user signs in with a second factor.
    pub two_factor: Option<bool>,
    /// When the membership was made, as upstream wrote it.
    pub joined_at: Option<String>,
}

impl Member {
    /// Reads an item of the list; `None` when it has no id.
    #[must_use]
    pub fn read(item: &RawValue) -> Option<Self> {
        let item = item.get();
        let user = json::member(item, &["user"]).unwrap_or_default();
        let two_factor = json::member(user, &["two_factor_authentication_enabled"]);
        Some(Self {
            id: text(item, "id")?,
            user_id: text(user, "id"),
            email: text(user, "email"),
            name: text(user, "name"),
            status: text(item, "status"),
            two_factor: two_factor.and_then(|value| value.parse().ok()),
            joined_at: text(item, "create_time"),
        })
    }
}

/// A text that says something.
fn text(object: &str, name: &str) -> Option<String> {
    let text = json::text_of(object, name)?;
    Some(text.chars().take(MAX_TEXT_CHARS).collect())
}

/// A member as the API writes it. What is not known is left out.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = CloudflareMember)]
pub struct MemberForm<'a> {
    /// When the membership was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub create_time: Option<Cow<'a, str>>,
    /// The membership's id.
    pub id: &'a str,
    /// Empty.
    pub meta: Empty,
    /// `active`, `pending`, `canceled` or `rejected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub status: Option<&'a str>,
    /// When the membership was changed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub update_time: Option<Cow<'a, str>>,
    /// The user.
    pub user: UserForm<'a>,
}

/// An object without members.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = CloudflareEmpty)]
pub struct Empty {}

/// The user of a membership.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = CloudflareUser)]
pub struct UserForm<'a> {
    /// The e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub email: Option<&'a str>,
    /// The user's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub id: Option<&'a str>,
    /// The name; empty until an invited user has accepted.
    pub name: &'a str,
    /// Whether the user signs in with a second factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = bool, required = false)]
    pub two_factor_authentication_enabled: Option<bool>,
}

impl<'a> From<&'a Member> for MemberForm<'a> {
    fn from(member: &'a Member) -> Self {
        Self {
            create_time: member.joined_at.as_deref().map(Cow::Borrowed),
            id: &member.id,
            meta: Empty {},
            status: member.status.as_deref(),
            update_time: None,
            user: UserForm {
                email: member.email.as_deref(),
                id: member.user_id.as_deref(),
                name: member.name.as_deref().unwrap_or_default(),
                two_factor_authentication_enabled: member.two_factor,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_read_as_it_is_written() {
        let member = Member {
            id: "m".into(),
            user_id: Some("u".into()),
            email: Some("e@example.com".into()),
            name: None,
            status: Some("active".into()),
            two_factor: Some(false),
            joined_at: Some("2026-08-03T08:00:01.000000Z".into()),
        };
        let bare = Member::read(&RawValue::from_string(r#"{"id":"m"}"#.to_owned()).unwrap());
        for member in [member, bare.unwrap()] {
            let written = serde_json::value::to_raw_value(&MemberForm::from(&member)).unwrap();
            assert_eq!(Member::read(&written), Some(member));
        }
    }

    fn read(text: &str) -> Option<Member> {
        Member::read(&RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn a_member_needs_nothing_but_an_id() {
        assert_eq!(
            read(
                r#"{"id":"m","status":"active","create_time":"2026-08-03T08:00:01Z","user":{"id":"u","email":"e@example.com","name":"N","two_factor_authentication_enabled":true}}"#
            ),
            Some(Member {
                id: "m".into(),
                user_id: Some("u".into()),
                email: Some("e@example.com".into()),
                name: Some("N".into()),
                status: Some("active".into()),
                two_factor: Some(true),
                joined_at: Some("2026-08-03T08:00:01Z".into()),
            })
        );
        let bare = read(r#"{"id":"m","user":{"id":"","two_factor_authentication_enabled":"yes"}}"#);
        let bare = bare.unwrap();
        assert_eq!(
            (bare.user_id, bare.status, bare.two_factor),
            (None, None, None)
        );
        let strange = read(r#"{"id":"m","n":1e999,"user":{"name":"x\ud800"}}"#).unwrap();
        assert_eq!(strange.name.as_deref(), Some("x\u{fffd}"));
        for nobody in [r#"{"user":{"id":"u"}}"#, r#"{"id":7}"#, "null", "[]"] {
            assert_eq!(read(nobody), None, "{nobody}");
        }
    }
}
