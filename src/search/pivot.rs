//! From one value to everything it was seen with: an actor, a token, an address or a resource; and from one event to those
//! around it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::counting::Counting;
use super::counting::LabelledValue;
use super::error::SearchError;
use super::question::Question;
use crate::clock::from_micros;
use crate::engine::{Caller, Order, Range, ValuesOf, View};
use crate::event::AuditEvent;
use crate::position::rfc3339;
use crate::query::Query;
use crate::store::Store;
use orgtrail_cloudflare::json;

/// What a search turns around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pivot {
    /// Who: by e-mail address or id.
    Actor,
    /// With which token: by its id.
    Token,
    /// From which address.
    Ip,
    /// To which resource: by its id, in any log.
    Resource,
}

impl Pivot {
    /// Every one, with its name in `by=`.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("actor", Self::Actor),
        ("token", Self::Token),
        ("ip", Self::Ip),
        ("resource", Self::Resource),
    ];

    /// The fields that say what it is.
    #[must_use]
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Actor => &["actor.email", "actor.id"],
            Self::Token => &["actor.token_id"],
            Self::Ip => &["actor.ip_address"],
            Self::Resource => &["resource.id"],
        }
    }

    /// The events in which it is `value`.
    #[must_use]
    pub fn query(self, value: &str) -> Query {
        let fields = self.fields().iter();
        Query::or(fields.map(|field| Query::equals(field, value)).collect())
    }

    /// The events in which it is the same as in `event`; `None` when that one does not say.
    #[must_use]
    pub fn query_like(self, event: &AuditEvent) -> Option<Query> {
        let fields = self.fields().iter();
        let parts: Vec<Query> = fields
            .filter_map(|field| Some(Query::equals(field, &text_at(event, field)?)))
            .collect();
        (!parts.is_empty()).then(|| Query::or(parts))
    }

    /// What an event must have for [`Pivot::query_like`], for a person.
    #[must_use]
    pub fn wanted(self) -> String {
        let fields = self.fields().iter().map(|field| format!("`{field}`"));
        fields.collect::<Vec<_>>().join(" or ")
    }
}

/// The last plain value that an event's entry has at a path.
pub(super) fn text_at(event: &AuditEvent, path: &str) -> Option<String> {
    let mut found = None;
    json::walk(event.entry.get(), |at, value| {
        if at == path {
            found = match value {
                json::Scalar::Text(text) if !text.is_empty() => Some(text.into_owned()),
                json::Scalar::Number(number) => Some(number.to_owned()),
                _ => None,
            };
        }
    });
    found
}

/// What a value was seen with. Lists are the most frequent first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Profile {
    /// In how many events.
    pub count: u64,
    /// When first.
    #[serde(serialize_with = "as_optional_time")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub first_seen: Option<DateTime<Utc>>,
    /// When last.
    #[serde(serialize_with = "as_optional_time")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen: Option<DateTime<Utc>>,
    /// By type of action.
    pub actions: Vec<LabelledValue>,
    /// By product.
    pub products: Vec<LabelledValue>,
    /// By e-mail address.
    pub actors: Vec<LabelledValue>,
    /// By address of the caller.
    pub addresses: Vec<LabelledValue>,
    /// By id of the token.
    pub tokens: Vec<LabelledValue>,
    /// By user agent.
    pub user_agents: Vec<LabelledValue>,
    /// By id of the account.
    pub accounts: Vec<LabelledValue>,
}

fn as_optional_time<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}

/// What the events of a question have in common: each list at most `size` long.
///
/// # Errors
/// [`SearchError`], named by whose fault it is.
pub fn profile(
    store: &Store,
    view: &View,
    caller: &Caller,
    question: &Question,
    size: usize,
) -> Result<Profile, SearchError> {
    let question = &question.prepare(store, view, caller)?.resolved;
    let matches = view.matches(&question.ask(caller), view.seq())?;
    let extent = matches.extent();
    let counting = Counting {
        store,
        view,
        caller,
        question,
        upto: view.seq(),
        matches: &matches,
    };
    let values = |field| -> Result<Vec<LabelledValue>, SearchError> {
        Ok(counting.values(&ValuesOf::new(field, size))?.values)
    };
    Ok(Profile {
        count: matches.count(),
        first_seen: extent.map(|(oldest, _)| from_micros(oldest)),
        last_seen: extent.map(|(_, newest)| from_micros(newest)),
        actions: values("action.type")?,
        products: values("resource.product")?,
        actors: values("actor.email")?,
        addresses: values("actor.ip_address")?,
        tokens: values("actor.token_id")?,
        user_agents: values("raw.user_agent")?,
        accounts: values("account.id")?,
    })
}

/// The question for the events that have the same in common as `event`, or for all events, at most `within` before or after
/// it; `None` when the event does not say what that is.
#[must_use]
pub fn around(
    event: &AuditEvent,
    by: Option<Pivot>,
    within: TimeDelta,
    order: Order,
) -> Option<Question> {
    let at_us = event.ordered_at().timestamp_micros();
    let within_us = within.num_microseconds().unwrap_or(i64::MAX);
    Some(Question {
        query: match by {
            Some(by) => by.query_like(event)?,
            None => Query::All,
        },
        range: Range {
            since_us: Some(at_us.saturating_sub(within_us)),
            // The last moment is in it.
            before_us: Some(at_us.saturating_add(within_us).saturating_add(1)),
        },
        order,
    })
}
