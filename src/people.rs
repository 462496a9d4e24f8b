//! Events, and who acted: beside each event, what is known of its actor and its account.
//!
//! What is known is what upstream's lists told last, and is given beside the entry, never inside it: the entry says what
//! was, a list says what is. It knows nothing of HTTP.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::Scope;
use crate::event::AuditEvent;
use crate::position::{Source, SourceKind, rfc3339};
use crate::store::{KnownPerson, MemberRow, NameRow, Store, StoreError, Who};
use crate::summary::summary;
use orgtrail_cloudflare::json;
use orgtrail_cloudflare::member::Member;

/// The most earlier states of a member in an answer.
const MAX_HISTORY: usize = 100;

/// An event, and what is known of who acted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct KnownEvent {
    /// The event.
    #[serde(flatten)]
    pub event: AuditEvent,
    /// The member that acted, as known now; `null` when no list of members had it.
    pub actor_known: Option<KnownMember>,
    /// What the account is called now; `null` when the event is of no account, or no list named it.
    pub account_name: Option<String>,
    /// One plain sentence about the event.
    pub summary: String,
}

/// A member, as known now. Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct KnownMember {
    /// The organization's id.
    pub organization: String,
    /// The member.
    #[serde(flatten)]
    pub member: Member,
    /// When the list was read that this is from.
    #[schema(format = DateTime)]
    pub as_of: String,
    /// When the list no longer had the member.
    #[schema(format = DateTime)]
    pub left_at: Option<String>,
}

/// A member with what it was before.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MemberHistory {
    /// As known now.
    #[serde(flatten)]
    pub known: KnownMember,
    /// Since when it is known to be so.
    #[schema(format = DateTime)]
    pub since: String,
    /// What it was before, the latest first, at most the last hundred times.
    pub before: Vec<Earlier>,
}

/// A member as it was.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Earlier {
    /// When a list first showed this state.
    #[schema(format = DateTime)]
    pub since: String,
    /// To the first that did not.
    #[schema(format = DateTime)]
    pub until: Option<String>,
    /// The member.
    #[serde(flatten)]
    pub member: Member,
}

/// An account with the names it had.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccountNames {
    /// The account's log.
    pub source: String,
    /// Its name now.
    pub name: String,
    /// All its names, the latest first.
    pub names: Vec<NameSince>,
}

/// A name, and when a list first gave it.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NameSince {
    /// The name.
    pub name: String,
    /// When.
    #[schema(format = DateTime)]
    pub since: String,
}

/// Puts beside each event what is known of who acted, as far as `scope` has the organization or the account.
///
/// # Errors
/// What the log says.
pub fn with_known_people(
    store: &Store,
    scope: &Scope,
    events: Vec<AuditEvent>,
) -> Result<Vec<KnownEvent>, StoreError> {
    let people: Vec<Who> = events.iter().map(who).collect();
    let known = store.known(scope.sources(), &people)?;
    let introduced = events.into_iter().zip(known).map(|(event, known)| {
        let KnownPerson {
            member,
            account_name,
        } = known;
        KnownEvent {
            summary: summary(event.entry.get(), account_name.as_deref()),
            event,
            actor_known: member.map(as_known),
            account_name,
        }
    });
    Ok(introduced.collect())
}

/// Members ever listed, by organization and membership, each with what it was before: at most `limit`, the first after
/// `after`, see [`Store::members`].
///
/// # Errors
/// What the log says.
pub fn members(
    store: &Store,
    scope: &Scope,
    after: (&str, &str),
    limit: usize,
) -> Result<Vec<MemberHistory>, StoreError> {
    let mut members: Vec<MemberHistory> = Vec::new();
    for row in store.members(scope.sources(), after, limit)? {
        let is_of = |last: &&mut MemberHistory| {
            last.known.organization == row.organization && last.known.member.id == row.member.id
        };
        match members.last_mut().filter(is_of) {
            Some(last) if last.before.len() < MAX_HISTORY => last.before.push(Earlier {
                since: rfc3339(row.since),
                until: row.until.map(rfc3339),
                member: row.member,
            }),
            Some(_) => {}
            None => members.push(MemberHistory {
                since: rfc3339(row.since),
                known: as_known(row),
                before: Vec::new(),
            }),
        }
    }
    Ok(members)
}

/// Accounts that a list ever named, by their logs, with their names: at most `limit`, the first after `after`, see
/// [`Store::account_names`].
///
/// # Errors
/// What the log says.
pub fn accounts(
    store: &Store,
    scope: &Scope,
    after: &str,
    limit: usize,
) -> Result<Vec<AccountNames>, StoreError> {
    let mut accounts: Vec<AccountNames> = Vec::new();
    for NameRow {
        source,
        name,
        since,
    } in store.account_names(scope.sources(), after, limit)?
    {
        let source = source.to_string();
        let named = NameSince {
            name: name.clone(),
            since: rfc3339(since),
        };
        match accounts.last_mut().filter(|last| last.source == source) {
            Some(last) => last.names.push(named),
            None => accounts.push(AccountNames {
                source,
                name,
                names: vec![named],
            }),
        }
    }
    Ok(accounts)
}

fn as_known(row: MemberRow) -> KnownMember {
    KnownMember {
        organization: row.organization,
        member: row.member,
        as_of: rfc3339(as_of(row.read_at, row.until)),
        left_at: row.until.map(rfc3339),
    }
}

/// Of one who left, the list that first did not have it tells.
fn as_of(read_at: DateTime<Utc>, until: Option<DateTime<Utc>>) -> DateTime<Utc> {
    until.unwrap_or(read_at)
}

/// Whom an event is about. An event of an account's log is of that account; another may name one.
fn who(event: &AuditEvent) -> Who {
    let mut who = Who::default();
    for (name, value) in json::members(event.entry.get()) {
        match &*name {
            "actor" => {
                who.user_id = json::text_of(value, "id");
                who.email = json::text_of(value, "email");
            }
            "account" => {
                who.account = json::text_of(value, "id").and_then(|id| Source::account(&id).ok());
            }
            _ => {}
        }
    }
    if event.source.kind() == SourceKind::Account {
        who.account = Some(event.source.clone());
    }
    who
}
