//! What a scan may claim when its last page has come: no more than upstream's own clock and what upstream keeps allow.

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use orgtrail_cloudflare::coverage::Covered;

use super::turn::{PollContext, Scan, UpstreamClock};
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
    ) -> Claim {
        let (theirs, ours) = (self.upstream_now(scan, page), self.clock.now());
        // One answer's date may be years ahead.
        let known = match scan.upstream_clock {
            UpstreamClock::Ahead(ahead) => Some(self.clock.steady() + ahead),
            UpstreamClock::Silent | UpstreamClock::NotHeard => None,
        };
        Claim {
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
            proven: page.covered.map(|covered| proven_of(&covered, window)),
        }
    }
}

/// What another orgtrail says is proven of a window, in whole seconds.
fn proven_of(covered: &Covered, window: Window) -> Window {
    let (since, before) = covered.within(window.since, window.before);
    let whole = since.trunc_subsecs(0);
    let since = if whole < since {
        whole + TimeDelta::seconds(1)
    } else {
        since
    };
    Window::new(since, before)
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
    proven: Option<Window>,
}

impl Claim {
    /// Whether the window should be sealed. History goes on before a sealed window, so one of history is sealed to its end.
    pub(super) fn is_worth_sealing(&self) -> bool {
        let proven = self.proven.unwrap_or(self.window);
        let claimed = Window::new(
            self.since.max(self.window.since).max(proven.since),
            self.before.min(self.window.before).min(proven.before),
        );
        let is_whole = claimed.before == self.window.before;
        self.is_certain && !claimed.is_empty() && (is_whole || self.kind != WindowKind::Backfill)
    }

    /// How the window is sealed: no more of it than another orgtrail has proven.
    pub(super) fn seal(&self) -> Then {
        match self.proven {
            Some(proven) if proven != self.window => Then::SealPart(proven),
            _ => Then::Seal,
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

    /// How far the scan has come: if upstream did not say what time it was, all was read that there is.
    pub(super) fn reached(&self, theirs: Option<DateTime<Utc>>) -> DateTime<Utc> {
        let proven = self.proven.unwrap_or(self.window).before;
        match theirs {
            Some(_) => self.before.min(self.window.before).min(proven),
            None => self.window.before.min(proven),
        }
    }
}
