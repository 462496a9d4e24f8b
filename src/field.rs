//! The words of an audit log entry: the one table of fields that the index's schema, the query language and the
//! documentation are made from.
//!
//! Names and types are those of upstream's reference for `result[]`; enumerations grow there, so none is listed. It knows
//! nothing of entries, only what they are made of.

mod limits;
mod number;

use std::borrow::Cow;
use std::net::IpAddr;

use chrono::DateTime;

use crate::clock::from_micros;
use crate::position::rfc3339;

pub use self::limits::MAX_VALUE_LEN;
pub use self::number::Number;

/// What a field's value is, and so how it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An opaque name: matches as a whole.
    Id,
    /// Text: matches as a whole, and by its words.
    Text,
    /// An IP address: matches whatever way it is spelled.
    Address,
    /// An integer.
    Number,
    /// An RFC 3339 time: matches the same instant, to the microsecond, and is left out of the words.
    Time,
    /// Any JSON: its members are searched by their own paths.
    Any,
}

/// The part of an entry a field belongs to: where `actor=`, `action=` and `resource=` look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Who.
    Actor,
    /// Did what.
    Action,
    /// To which resource, request and response included.
    Resource,
    /// How, and everything upstream may add.
    Other,
}

impl Part {
    /// All parts, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Actor, Self::Action, Self::Resource, Self::Other];

    /// The key that its values are under; the other values have no key in common.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Actor => Some("actor"),
            Self::Action => Some("action"),
            Self::Resource => Some("resource"),
            Self::Other => None,
        }
    }

    /// The part that the path of an entry's leaf belongs to.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        let first = path.split('.').next().unwrap_or_default();
        match first {
            _ if first.eq_ignore_ascii_case("actor") => Self::Actor,
            _ if first.eq_ignore_ascii_case("action") => Self::Action,
            _ if first.eq_ignore_ascii_case("resource") => Self::Resource,
            _ => Self::Other,
        }
    }
}

/// Whether upstream or orgtrail says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A path in the entry.
    Entry,
    /// A member of our EVENT, beside the entry.
    Event,
    /// A list of upstream's, as it was read last: it is not in the index.
    List,
    /// What is known of the event among all others: it is not in the index.
    Log,
}

impl Origin {
    /// Whether its values are in the index.
    #[must_use]
    pub fn is_indexed(self) -> bool {
        matches!(self, Self::Entry | Self::Event)
    }
}

/// One searchable field.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The dotted name: the path in the entry.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// Who says it.
    pub origin: Origin,
    /// Whether a query without quotes also matches words of its values.
    pub words: bool,
    /// One line for people.
    pub about: &'static str,
}

const fn entry(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        kind,
        origin: Origin::Entry,
        words: false,
        about,
    }
}

/// A field of running text: its words are found by themselves.
const fn text(name: &'static str, about: &'static str) -> Field {
    Field {
        words: true,
        ..entry(name, Kind::Text, about)
    }
}

const fn event(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        kind,
        origin: Origin::Event,
        words: false,
        about,
    }
}

const fn list(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        origin: Origin::List,
        ..entry(name, kind, about)
    }
}

/// Every field that has a name of its own. Other paths of an entry are searchable too, by their path.
pub const FIELDS: &[Field] = &[
    entry("id", Kind::Id, "the entry's id upstream"),
    text("action.description", "the action in words: `Add Member`"),
    entry("action.result", Kind::Text, "`success` or `failure`"),
    entry(
        "action.time",
        Kind::Time,
        "when it happened, as upstream wrote it",
    ),
    entry(
        "action.type",
        Kind::Text,
        "`create`, `update`, `delete`, `view`, `login`",
    ),
    entry("actor.id", Kind::Id, "the user or account"),
    entry(
        "actor.context",
        Kind::Text,
        "`dash`, `api_token`, `api_key`, `oauth`, `origin_ca_key`, `api`",
    ),
    entry("actor.email", Kind::Text, "the user's e-mail address"),
    entry(
        "actor.ip_address",
        Kind::Address,
        "where the call came from",
    ),
    entry("actor.token_id", Kind::Id, "the API token or OAuth client"),
    text("actor.token_name", "the token's name, chosen by its owner"),
    entry(
        "actor.type",
        Kind::Text,
        "`user`, `account`, `cloudflare_admin`, `system`, `delegated_service`",
    ),
    entry(
        "organization.id",
        Kind::Id,
        "the organization, in its own log",
    ),
    entry("account.id", Kind::Id, "the account, in its own log"),
    text(
        "account.name",
        "the account's name at that time, and its name now",
    ),
    entry("zone.id", Kind::Id, "the zone"),
    text("zone.name", "the zone's domain name"),
    entry("raw.cf_ray_id", Kind::Id, "the ray id of the call"),
    entry("raw.method", Kind::Text, "the HTTP method"),
    entry(
        "raw.status_code",
        Kind::Number,
        "the HTTP status of the answer",
    ),
    entry(
        "raw.uri",
        Kind::Text,
        "the path called, without `/client/v4`",
    ),
    text(
        "raw.user_agent",
        "the caller's software, as it calls itself",
    ),
    entry("resource.id", Kind::Id, "the resource"),
    entry(
        "resource.product",
        Kind::Text,
        "the product: `dns`, `workers`, `members`",
    ),
    entry(
        "resource.type",
        Kind::Text,
        "the type within the product: `record`, `script`",
    ),
    entry(
        "resource.scope",
        Kind::Any,
        "`organizations`, `accounts`, `zones`, `user`, `memberships`",
    ),
    entry("resource.request", Kind::Any, "the request's body"),
    entry("resource.response", Kind::Any, "the answer's body"),
    entry(
        "resource.value",
        Kind::Any,
        "the resource itself; not in upstream's reference, but seen",
    ),
    event("source", Kind::Id, "the log it came from: `accounts/ID`"),
    event("seq", Kind::Number, "the event's place in this log"),
    event(
        "revision",
        Kind::Number,
        "how often upstream had changed the entry: 0 for its first form",
    ),
    event("received_at", Kind::Time, "when orgtrail received it"),
    event("problem", Kind::Text, "why the entry cannot be understood"),
    Field {
        origin: Origin::Log,
        ..event(
            FIRST_SEEN,
            Kind::Id,
            "what its actor had not been seen with before: `actor.ip_address`, `actor.user_agent`, `actor.token_id`, `action.type`, `account.id`",
        )
    },
    list(
        "actor.known.organization",
        Kind::Id,
        "the organization that the actor is a member of",
    ),
    list("actor.known.id", Kind::Id, "the membership"),
    list("actor.known.user_id", Kind::Id, "the member's user"),
    list(
        "actor.known.email",
        Kind::Text,
        "the member's e-mail address",
    ),
    Field {
        origin: Origin::List,
        ..text("actor.known.name", "the member's name")
    },
    list(
        "actor.known.status",
        Kind::Text,
        "the membership's status: `active`, `pending`",
    ),
    list(
        TWO_FACTOR,
        Kind::Text,
        "whether the member signs in with a second factor: `true` or `false`",
    ),
    list(
        "actor.known.joined_at",
        Kind::Time,
        "when the membership was made",
    ),
    list(
        "actor.known.as_of",
        Kind::Time,
        "when the list was read that this is from",
    ),
    list(
        "actor.known.left_at",
        Kind::Time,
        "when the list no longer had the member",
    ),
];

/// The field of what an event's actor had not been seen with before.
pub const FIRST_SEEN: &str = "first_seen";

/// The values of [`FIRST_SEEN`].
pub const FIRST_SEEN_NAMES: [&str; 5] = [
    "actor.ip_address",
    "actor.user_agent",
    "actor.token_id",
    "action.type",
    "account.id",
];

/// The field whose values are `true` and `false`.
pub const TWO_FACTOR: &str = "actor.known.two_factor";

/// The field of that name, in any letter case.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Field> {
    // It is asked for each value of each entry: without an allocation for names in ASCII.
    if name.is_ascii() {
        let mut fields = FIELDS.iter();
        return fields.find(|field| field.name.eq_ignore_ascii_case(name));
    }
    let name = folded(name);
    FIELDS.iter().find(|field| field.name == name)
}

/// The paths of the bodies of requests and answers, and of what they are about.
const BODIES: [&str; 3] = ["resource.request", "resource.response", "resource.value"];

/// Whether a path is that of a body of a request or an answer, or leads into one.
#[must_use]
pub fn is_body(path: &str) -> bool {
    BODIES.iter().any(|body| {
        let start = path.get(..body.len());
        let rest = path.get(body.len()..).unwrap_or_default();
        start.is_some_and(|start| start.eq_ignore_ascii_case(body))
            && (rest.is_empty() || rest.starts_with('.'))
    })
}

/// A text as it is compared: each character in lower case by itself, independent of its neighbours.
#[must_use]
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars()
        .flat_map(char::to_lowercase)
        // Two forms of one letter, by its place in a word.
        .map(|c| if c == 'ς' { 'σ' } else { c })
        .collect()
}

/// Stands between a path and a value where both are in one text. No path holds it: see [`spelled_path`].
pub const PATH_END: char = '\u{1f}';

/// A path as it is compared: folded, and without [`PATH_END`].
#[must_use]
pub fn spelled_path(path: &str) -> Cow<'_, str> {
    let is_plain =
        |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase() && byte != PATH_END as u8;
    if path.bytes().all(is_plain) {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(folded(path).replace(PATH_END, "\u{241f}"))
    }
}

/// Whether a name is that of a field which orgtrail says, not the entry.
#[must_use]
pub fn is_own(name: &str) -> bool {
    by_name(name).is_some_and(|field| matches!(field.origin, Origin::Event | Origin::Log))
}

/// Whether the table says that words of a field's values are found.
#[must_use]
pub fn has_words(path: &str) -> bool {
    by_name(path).is_some_and(|field| field.words)
}

/// The fields of a part of the entry that have values of their own.
pub fn fields_of(part: Part) -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(move |field| {
        field.origin == Origin::Entry
            && field.kind != Kind::Any
            && Part::of_path(field.name) == part
    })
}

/// The dot above, which the lower case of `İ` has behind its `i`.
const DOT_ABOVE: char = '\u{307}';

/// Whether a character behind another one belongs to the same word. A letter or a digit does; so does the dot above an `i`,
/// lest a text be cut in another way than its lower case.
#[must_use]
pub fn continues_word(before: Option<char>, c: char) -> bool {
    c.is_alphanumeric() || (c == DOT_ABOVE && matches!(before, Some('i' | 'I')))
}

/// The value of a field as it is compared: folded; an address, a number or a time in its one spelling.
#[must_use]
pub fn normal(kind: Kind, value: &str) -> String {
    let respelled = match kind {
        Kind::Address => address(value).map(|address| address.to_string()),
        Kind::Number => Number::with_exponent(value.trim()).map(|number| number.to_string()),
        Kind::Time => instant_us(value).map(|micros| rfc3339(from_micros(micros))),
        Kind::Id | Kind::Text | Kind::Any => None,
    };
    respelled.unwrap_or_else(|| folded(value))
}

/// The IP address that a text spells; one of IPv4 in IPv6's clothes is one of IPv4.
#[must_use]
pub fn address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.trim().parse().ok()?;
    Some(address.to_canonical())
}

/// The instant that an RFC 3339 text names, in microseconds since 1970, cut down to the whole one.
#[must_use]
pub fn instant_us(text: &str) -> Option<i64> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_in_any_case() {
        for (i, field) in FIELDS.iter().enumerate() {
            let found = by_name(&field.name.to_uppercase()).map(|found| found.name);
            assert_eq!(found, Some(field.name), "row {i}");
        }
        let with_kelvin_sign = by_name("actor.to\u{212a}en_id").map(|field| field.name);
        assert_eq!(with_kelvin_sign, Some("actor.token_id"));
    }

    #[test]
    fn folding_twice_changes_nothing_and_keeps_words_whole() {
        for c in '\0'..=char::MAX {
            let once = folded(c.encode_utf8(&mut [0; 4]));
            assert_eq!(folded(&once), once, "{c:?}");
            if c.is_alphanumeric() {
                let before = [None].into_iter().chain(once.chars().map(Some));
                let mut pairs = before.zip(once.chars());
                assert!(pairs.all(|(before, c)| continues_word(before, c)), "{c:?}");
            }
        }
    }

    #[test]
    fn values_are_equal_in_every_spelling() {
        let check = |kind, value, expect| assert_eq!(normal(kind, value), expect, "{value}");
        check(Kind::Address, "2001:DB8:0:0::1", "2001:db8::1");
        check(Kind::Address, "::ffff:192.0.2.1", "192.0.2.1");
        check(Kind::Address, "192.0.2.1", "192.0.2.1");
        check(Kind::Address, "Not An Address", "not an address");
        check(Kind::Number, "0200", "200");
        check(Kind::Number, "200.0", "200");
        check(Kind::Text, "ΟΔΟΣ", "οδοσ");
        check(Kind::Text, "οδος", "οδοσ");
        check(
            Kind::Time,
            "2026-08-03t10:00:00.500+02:00",
            "2026-08-03T08:00:00.500Z",
        );
        check(Kind::Text, "Bücher", "bücher");
    }

    #[test]
    fn every_upstream_filter_looks_at_a_field() {
        for filter in orgtrail_cloudflare::filter::FILTERS {
            let field = by_name(filter.path);
            assert!(field.is_some(), "{} looks at {}", filter.name, filter.path);
        }
    }
}
