//! How sources are polled.

use chrono::TimeDelta;

use super::overlap::Overlap;
use crate::ledger::BackfillSince;

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
