//! How late entries become visible.

use chrono::TimeDelta;

/// How late entries were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lateness {
    /// How many there were.
    pub entries: u64,
    /// Half of them were at most so late. This and the next two are at most a tenth too long.
    pub p50: TimeDelta,
    /// 95 in 100 were at most so late.
    pub p95: TimeDelta,
    /// 99 in 100 were at most so late.
    pub p99: TimeDelta,
    /// The latest, exactly.
    pub max: TimeDelta,
}

/// From the time of an entry to the scan that first showed it: how that was of late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Visibility {
    /// Of entries that live scans found.
    pub live: Option<Lateness>,
    /// Of those and of entries that sweeps found.
    pub all: Option<Lateness>,
    /// Whether sweeps found any.
    pub is_swept: bool,
}
