//! What a scan may claim when its last page has come: no more than upstream's own clock and what upstream keeps allow.

use chrono::{DateTime, TimeDelta, Utc};

use super::turn::{PollContext, Scan, UpstreamClock};
use super::upstream_proof::{AskedOf, UpstreamProof};
use crate::ledger;
use crate::position::{Window, WindowKind};
use crate::store::Then;
use crate::upstream::LogPage;

/// When upstream never sent its time, so much of what is newest is not claimed: our own clock may be wrong.
pub(super) const UNCERTAIN_PRESENT: TimeDelta = TimeDelta::days(1);

impl PollContext {
    /// Upstream's present, which is what claims go by: as this answer says, or as the last one that said so.
    fn upstream_now(&self, scan: &Scan, page: &LogPage) -> Option<DateTime<Utc>> {
        match (page.date, scan.upstream_clock) {
            (Some(date), _) => Some(date),
            (None, UpstreamClock::Ahead(ahead)) => Some(self.clock.steady() + ahead),
            (None, UpstreamClock::Silent | UpstreamClock::NotHeard) => None,
        }
    }

    /// The part of a window that can be claimed when its last page has come.
    pub(super) fn claim(
        &self,
        scan: &Scan,
        window: Window,
        page: &LogPage,
        took: TimeDelta,
        is_first: bool,
    ) -> Claim {
        let (theirs, ours) = (self.upstream_now(scan, page), self.clock.now());
        // One answer's date may be years ahead.
        let known = match scan.upstream_clock {
            UpstreamClock::Ahead(ahead) => Some(self.clock.steady() + ahead),
            UpstreamClock::Silent | UpstreamClock::NotHeard => None,
        };
        let mut claim = Claim {
            window,
            // What upstream kept when the last page came was kept when the others did.
            since: ledger::claimable_since(known.map_or(theirs.unwrap_or(ours), |known| {
                theirs.map_or(known, |theirs| theirs.min(known))
            })),
            // What upstream had not reached when it was asked is not claimed, whatever our clock says.
            before: theirs.unwrap_or(ours - UNCERTAIN_PRESENT) - took,
            kind: scan.kind,
            // Our own clock may be wrong by more than a day. A missing date counts only when it is usual, and a sweep that
            // went by our clock alone would end the search for late entries too early.
            is_certain: theirs.is_some()
                || scan.upstream_clock == UpstreamClock::Silent && scan.kind != WindowKind::Sweep,
            known,
            proven: None,
        };
        claim.proven = page.covered.as_ref().map(|covered| {
            let asked = AskedOf {
                kind: scan.kind,
                window,
                claimable: claim.claimable(),
                present: claim.before,
                is_first,
            };
            UpstreamProof::of(covered, asked)
        });
        claim
    }
}

/// What a scan that has come to its end may claim.
pub(super) struct Claim {
    window: Window,
    /// Nothing before this.
    pub(super) since: DateTime<Utc>,
    /// Nothing from this on.
    pub(super) before: DateTime<Utc>,
    kind: WindowKind,
    /// Whether enough is known of upstream's clock to claim anything.
    is_certain: bool,
    /// Upstream's present, as earlier answers have confirmed it.
    known: Option<DateTime<Utc>>,
    /// Upstream is another orgtrail, and this is what it has proven of the window.
    proven: Option<UpstreamProof>,
}

impl Claim {
    /// The part of the window that may be claimed.
    fn claimable(&self) -> Window {
        Window::new(
            self.since.max(self.window.since),
            self.before.min(self.window.before),
        )
    }

    /// Whether the window should be sealed. History goes on before a sealed window, so one of history is sealed to its end.
    pub(super) fn is_worth_sealing(&self) -> bool {
        let claimable = self.claimable();
        let is_whole = claimable.before == self.window.before;
        let has_pieces = self
            .proven
            .as_ref()
            .is_none_or(|proof| !proof.pieces.is_empty());
        self.is_certain
            && !claimable.is_empty()
            && has_pieces
            && (is_whole || self.kind != WindowKind::Backfill)
    }

    /// How the window is sealed: no more of it than another orgtrail has proven.
    pub(super) fn seal(&self) -> Then {
        match &self.proven {
            None => Then::Seal,
            Some(UpstreamProof {
                pieces,
                is_settling,
            }) => Then::SealPieces {
                pieces: pieces.clone(),
                is_settling: *is_settling,
            },
        }
    }

    /// The present that sweeps count from: the earlier of our clock and upstream's, because either may be years ahead, and a
    /// sweep would then never be due. One date alone is not believed when upstream's clock is known. It is no earlier than what
    /// is claimed ends, so an entry is at least as old as its stretch has waited.
    pub(super) fn sealed_at(
        &self,
        theirs: Option<DateTime<Utc>>,
        ours: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let upstream = self.known.or(theirs).unwrap_or(ours);
        ours.min(upstream).max(self.before.min(self.window.before))
    }

    /// How far the scan has come: if upstream did not say what time it was, all was read that there is. What another orgtrail
    /// has not proven yet was asked for as well, and is not there before that one reads it.
    pub(super) fn reached(&self, theirs: Option<DateTime<Utc>>) -> DateTime<Utc> {
        match theirs {
            Some(_) => self.before.min(self.window.before),
            None => self.window.before,
        }
    }
}
