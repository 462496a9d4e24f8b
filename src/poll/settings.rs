//! What one credential is to follow, and how its sources are polled.

use std::collections::HashSet;

use chrono::TimeDelta;

use super::overlap::Overlap;
use crate::ledger::BackfillSince;
use crate::position::Source;
use crate::store::SourceSeen;

/// A window that ends this close to the present has reached it: whole seconds, upstream's clock and the way of the answer
/// take a few seconds off its end.
pub(super) const NEAR: TimeDelta = TimeDelta::seconds(10);

/// What one credential is to follow.
#[derive(Debug, Clone, Default)]
pub struct Following {
    /// Sources by themselves.
    pub sources: Vec<SourceSeen>,
    /// Ids of organizations whose accounts are found by listing them.
    pub listed: Vec<String>,
    /// Those that are listed with any credential of this process, where that is known: others are configured no more.
    pub listed_by_all: Option<Vec<String>>,
    /// Ids of organizations whose members are read, to know who an actor is.
    pub members_of: Vec<String>,
    /// Accounts that are configured by themselves, with this or another credential: no list has a say in them.
    pub by_themselves: HashSet<Source>,
}

/// How sources are polled.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The wait between the live windows of a source where something happens.
    pub interval: TimeDelta,
    /// The longest wait between the live windows of a quiet source.
    pub max_interval: TimeDelta,
    /// How far a live window reaches back over the one before it.
    pub overlap: Overlap,
    /// How long after its first seal a stretch is scanned again for late entries, from the shortest to the longest.
    pub sweeps: Vec<TimeDelta>,
    /// How far back history is read.
    pub backfill_since: BackfillSince,
    /// How many entries are asked for at a time.
    pub page_size: u32,
}

/// What a poller that reads history alone is asked for.
pub(super) struct BackfillOnly {
    /// These sources and no others; `None` for all.
    pub(super) only: Option<HashSet<Source>>,
}
