//! Which events holds keep. Each event is judged by itself, by the definition of the query language: an index may be behind.
//!
//! When it cannot be decided whether a hold covers an event, the hold covers it.

use chrono::{DateTime, Utc};

use crate::engine::entry_of;
use crate::event::AuditEvent;
use crate::field::{self, Origin, folded};
use crate::position::Source;
use crate::query::{Entry, Matcher, Query, parse};
use crate::store::{Hold, HoldId, NewHold};
use crate::wording::quoted;

/// How the names of what lists say of actors begin.
const MEMBER: &str = "actor.known";

/// The field that is of the entry and of the list of accounts.
const ACCOUNT: &str = "account.name";

/// The longest name and reason of a hold, in characters.
const MAX_NAME_CHARS: usize = 100;
const MAX_REASON_CHARS: usize = 1_000;

/// The most sources of a hold.
const MAX_SOURCES: usize = 1_000;

/// What is wrong with a new hold, for the person who creates it; `None` when nothing is. `now` is what it is in its question.
#[must_use]
pub fn mistake(new: &NewHold, now: DateTime<Utc>) -> Option<String> {
    let is_long = |text: &str, most: usize| text.chars().count() > most;
    let has_control = |text: &str| text.chars().any(char::is_control);
    if new.name.trim().is_empty() || is_long(&new.name, MAX_NAME_CHARS) || has_control(&new.name) {
        return Some(format!(
            "a hold has a name of 1 to {MAX_NAME_CHARS} characters, without line breaks"
        ));
    }
    if new.reason.trim().is_empty() || is_long(&new.reason, MAX_REASON_CHARS) {
        return Some(format!(
            "a hold has a reason of 1 to {MAX_REASON_CHARS} characters"
        ));
    }
    if new.sources.len() > MAX_SOURCES {
        return Some(format!("a hold names at most {MAX_SOURCES} sources"));
    }
    if let (Some(since), Some(before)) = (new.since, new.before)
        && since >= before
    {
        return Some("the end of its time is not after its beginning".to_owned());
    }
    let text = new.query.as_deref()?;
    let query = match parse(text, now) {
        Ok(query) => query,
        Err(error) => return Some(format!("its query cannot be read: {error}")),
    };
    if let Err(error) = Matcher::of(&query, true) {
        return Some(format!("its query cannot be used: {error}"));
    }
    asked_of_others(&query).map(|name| {
        format!(
            "its query asks for {}, which does not depend on the entry alone; a hold is judged by the entry: name sources with `--source`, and actors by `actor.id` or `actor.email`",
            quoted(&name)
        )
    })
}

/// The names in a question that are not in the table of fields, and which some entry may have all the same.
#[must_use]
pub fn unknown_names(new: &NewHold, now: DateTime<Utc>) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(Ok(query)) = new.query.as_deref().map(|text| parse(text, now)) {
        query.paths(&mut |path, _| {
            let is_of_the_table = field::by_name(path).is_some() || field::is_body(&folded(path));
            if !is_of_the_table && !names.iter().any(|name| name == path) {
                names.push(path.to_owned());
            }
        });
    }
    names
}

/// What a question asks for that the entry alone does not tell.
fn asked_of_others(query: &Query) -> Option<String> {
    let mut found = None;
    query.paths(&mut |path, _| {
        let name = folded(path);
        let is_of_others = field::by_name(path)
            .is_some_and(|field| !matches!(field.origin, Origin::Entry | Origin::Event));
        if is_of_others || name == ACCOUNT || name == MEMBER || name.starts_with("actor.known.") {
            found.get_or_insert_with(|| path.to_owned());
        }
    });
    found.or_else(|| query.asks_of_others().then(|| "revisions".to_owned()))
}

/// The holds in force, ready to judge events.
pub struct HoldJudge {
    holds: Vec<JudgingHold>,
}

struct JudgingHold {
    id: HoldId,
    sources: Vec<Source>,
    since: Option<DateTime<Utc>>,
    before: Option<DateTime<Utc>>,
    entries: HeldEntries,
}

/// Which of the entries of its sources and times a hold covers.
enum HeldEntries {
    All,
    Matching(Matcher),
}

impl HoldJudge {
    /// Of holds that are in force.
    #[must_use]
    pub fn of(holds: &[Hold]) -> Self {
        Self {
            holds: holds.iter().map(JudgingHold::of).collect(),
        }
    }

    /// Their numbers, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<HoldId> {
        let mut ids: Vec<HoldId> = self.holds.iter().map(|hold| hold.id).collect();
        ids.sort_unstable();
        ids
    }

    /// Whether a hold covers an event.
    #[must_use]
    pub fn keeps(&self, event: &AuditEvent) -> bool {
        let mut entry = None;
        self.holds.iter().any(|hold| hold.covers(event, &mut entry))
    }
}

impl JudgingHold {
    fn of(hold: &Hold) -> Self {
        let entries = match hold.says.query.as_deref() {
            None => HeldEntries::All,
            Some(text) => match parse(text, hold.created_at) {
                Ok(query) if asked_of_others(&query).is_none() => {
                    Matcher::of(&query, true).map_or(HeldEntries::All, HeldEntries::Matching)
                }
                // This version does not know what it covers.
                _ => HeldEntries::All,
            },
        };
        Self {
            id: hold.id,
            sources: hold.says.sources.clone(),
            since: hold.says.since,
            before: hold.says.before,
            entries,
        }
    }

    fn covers(&self, event: &AuditEvent, entry: &mut Option<Entry>) -> bool {
        let at = event.ordered_at();
        let is_outside = (!self.sources.is_empty() && !self.sources.contains(&event.source))
            || self.since.is_some_and(|since| at < since)
            || self.before.is_some_and(|before| at >= before);
        if is_outside {
            return false;
        }
        match &self.entries {
            HeldEntries::All => true,
            // What it said is not known any more.
            HeldEntries::Matching(_) if event.is_damaged() => true,
            HeldEntries::Matching(matcher) => {
                let entry = entry.get_or_insert_with(|| entry_of(event));
                matcher.matches(entry, &|| false)
            }
        }
    }
}
