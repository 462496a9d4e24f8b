//! The pairs of `first_seen`: an actor, and something that it used.

use crate::event::sha256;
use crate::field::{self, FIRST_SEEN_NAMES};
use crate::rules::EntryFacts;
use crate::store::alerts::SeenPair;

/// What an actor is paired with, by the name in queries, and the field it is read from. The place in this list is stored, and
/// the one in [`FIRST_SEEN_NAMES`]: a new pair is added at the end of both, with a new `VERSION`.
pub const PAIRS: [(&str, &str); 5] = [
    (FIRST_SEEN_NAMES[0], "actor.ip_address"),
    (FIRST_SEEN_NAMES[1], "raw.user_agent"),
    (FIRST_SEEN_NAMES[2], "actor.token_id"),
    (FIRST_SEEN_NAMES[3], "action.type"),
    (FIRST_SEEN_NAMES[4], "account.id"),
];

/// Names the list above and how its values are compared: when it changes, all pairs are read again.
pub(super) const VERSION: &[u8] = b"pairs 2";

/// Who is paired.
const ACTOR: &str = "actor.id";

/// The pairs that an event has. Values are compared as in queries.
pub(super) fn pairs_of(facts: &EntryFacts, key: &[u8; 32]) -> Vec<SeenPair> {
    let Some(actor) = compared(facts, ACTOR) else {
        return Vec::new();
    };
    let pairs = PAIRS.iter().zip(0..).filter_map(|((_, field), pair)| {
        let value = compared(facts, field)?;
        Some(seen_pair(pair, &actor, &value, key))
    });
    pairs.collect()
}

fn compared(facts: &EntryFacts, name: &str) -> Option<String> {
    let value = facts.group_value(name)?;
    let kind = field::by_name(name).map(|field| field.kind)?;
    Some(field::normal(kind, &value)).filter(|value| !value.is_empty())
}

fn seen_pair(pair: u8, actor: &str, value: &str, key: &[u8; 32]) -> SeenPair {
    // The length tells where one text ends.
    let length = actor.len().to_be_bytes();
    let parts = [
        key,
        &[pair][..],
        &length,
        actor.as_bytes(),
        value.as_bytes(),
    ];
    SeenPair {
        pair,
        hash: beginning(&sha256(&parts.concat())),
    }
}

/// The first half of a hash.
pub(super) fn beginning(hash: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|place| hash[place])
}
