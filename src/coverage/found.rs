//! What was found out about a source, and its form in answers.

use chrono::{DateTime, TimeDelta, Utc};

use super::forms::{Gap, Interval, Proof, SourceCoverage};
use super::reason::Reason;
use crate::ledger::Sealed;
use crate::position::{Source, Window, rfc3339};

/// What was found out about a source's asked stretch.
pub(super) struct Found {
    pub(super) source: Source,
    /// Proven stretches, cut to what was asked.
    pub(super) proven: Vec<Sealed>,
    pub(super) gaps: Vec<FoundGap>,
    pub(super) sweeps: Vec<TimeDelta>,
}

pub(super) struct FoundGap {
    /// Of one without an end: as much of it as is known.
    pub(super) window: Window,
    pub(super) has_end: bool,
    pub(super) reason: Reason,
    pub(super) detail: Option<String>,
}

impl FoundGap {
    pub(super) fn end(&self) -> Option<String> {
        self.has_end.then(|| rfc3339(self.window.before))
    }
}

impl Found {
    /// Whether the last of the sweeps was made of a proven stretch.
    pub(super) fn is_complete(&self, piece: &Sealed) -> bool {
        piece.is_complete(&self.sweeps)
    }

    /// Its first `max` intervals and gaps, and from where on the others are.
    pub(super) fn coverage(&self, max: usize) -> (SourceCoverage, Option<DateTime<Utc>>) {
        let mut intervals = intervals(self);
        let mut gaps: &[FoundGap] = &self.gaps;
        let mut rest = None;
        if intervals.len() + gaps.len() > max {
            // Together they are the whole stretch, piece after piece: what begins first is on this page.
            let mut begins: Vec<DateTime<Utc>> = (intervals.iter().map(|(_, piece)| piece.window))
                .chain(gaps.iter().map(|gap| gap.window))
                .map(|window| window.since)
                .collect();
            begins.sort_unstable();
            let cut = begins[max];
            intervals.retain(|(_, piece)| piece.window.since < cut);
            gaps = &gaps[..gaps.partition_point(|gap| gap.window.since < cut)];
            rest = Some(cut);
        }
        let gap = |gap: &FoundGap| Gap {
            since: rfc3339(gap.window.since),
            before: gap.end(),
            reason: gap.reason,
            detail: gap.detail.clone(),
        };
        let coverage = SourceCoverage {
            source: self.source.to_string(),
            intervals: intervals.into_iter().map(as_interval).collect(),
            gaps: gaps.iter().map(gap).collect(),
        };
        (coverage, rest)
    }
}

/// Neighbours in the same state as one interval, as long as its `scanned_at`, the earliest of theirs, is after its end:
/// otherwise it would say nothing of that.
fn intervals(found: &Found) -> Vec<(Proof, Sealed)> {
    let mut joined: Vec<(Proof, Sealed)> = Vec::new();
    for piece in &found.proven {
        let proof = Proof::of(piece, &found.sweeps);
        if let Some((last_proof, last)) = joined.last_mut()
            && *last_proof == proof
            && last.window.before == piece.window.since
            && last.scanned_at.min(piece.scanned_at) >= piece.window.before
        {
            *last = last.followed_by(piece);
            continue;
        }
        joined.push((proof, piece.clone()));
    }
    joined
}

fn as_interval((state, piece): (Proof, Sealed)) -> Interval {
    Interval {
        since: rfc3339(piece.window.since),
        before: rfc3339(piece.window.before),
        state,
        scanned_at: rfc3339(piece.scanned_at),
        entries: piece.counts.entries,
        new: piece.counts.new,
    }
}
