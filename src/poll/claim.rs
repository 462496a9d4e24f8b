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
            proven: page
                .covered
                .map(|covered| proven_of(&covered, window, scan.kind)),
        }
    }
}

/// What another orgtrail has proven of a window, in whole seconds.
#[derive(Clone, Copy)]
struct ProvenUpstream {
    /// What is sealed.
    part: Window,
    /// What is passed beside it: the other orgtrail has proven what comes before it, and what comes after it is read next or was
    /// read before.
    hole: Option<Window>,
}

impl ProvenUpstream {
    /// Where what is done with ends.
    fn before(&self) -> DateTime<Utc> {
        let hole = self.hole.map(|hole| hole.before);
        hole.map_or(self.part.before, |hole| hole.max(self.part.before))
    }
}

fn proven_of(covered: &Covered, window: Window, kind: WindowKind) -> ProvenUpstream {
    let (since, before) = covered.within(window.since, window.before);
    let part = Window::new(first_whole(since), before);
    let alone = ProvenUpstream { part, hole: None };
    let is_from_its_begin = part.since <= window.since && !part.is_empty();
    if !is_from_its_begin || part.before >= window.before {
        return alone;
    }
    let next = covered.next.map(|(since, before)| Window {
        since: first_whole(since),
        before: before.min(window.before),
    });
    let next = next.filter(|next| next.since < next.before && next.since > part.before);
    let hole = |before| {
        Some(Window {
            since: part.before,
            before,
        })
    };
    match (kind, next) {
        // What comes after the hole is asked for next.
        (WindowKind::Live | WindowKind::Sweep, Some(next)) => ProvenUpstream {
            part,
            hole: hole(next.since),
        },
        // Its end may be the present.
        (WindowKind::Live | WindowKind::Sweep, None) => alone,
        // History goes on before what is done with: first the end, and the beginning next.
        (WindowKind::Backfill, Some(next)) if next.before >= window.before => ProvenUpstream {
            part: next,
            hole: hole(next.since),
        },
        (WindowKind::Backfill, _) => ProvenUpstream {
            part,
            hole: hole(window.before),
        },
    }
}

/// The first whole second that does not begin before a moment.
fn first_whole(moment: DateTime<Utc>) -> DateTime<Utc> {
    let whole = moment.trunc_subsecs(0);
    if whole < moment {
        whole + TimeDelta::seconds(1)
    } else {
        moment
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
    proven: Option<ProvenUpstream>,
}

impl Claim {
    /// Whether the window should be sealed. History goes on before a sealed window, so one of history is sealed to its end.
    pub(super) fn is_worth_sealing(&self) -> bool {
        let proven = self.proven.map_or(self.window, |proven| proven.part);
        let claimed = Window::new(
            self.since.max(self.window.since).max(proven.since),
            self.before.min(self.window.before).min(proven.before),
        );
        // Together with what is passed.
        let hole = self.proven.and_then(|proven| proven.hole);
        let is_whole = hole.map_or(claimed.before, |hole| hole.before.max(claimed.before))
            == self.window.before;
        self.is_certain && !claimed.is_empty() && (is_whole || self.kind != WindowKind::Backfill)
    }

    /// How the window is sealed: no more of it than another orgtrail has proven.
    pub(super) fn seal(&self) -> Then {
        match self.proven {
            Some(ProvenUpstream {
                part,
                hole: Some(hole),
            }) => Then::SealBeside { part, hole },
            Some(ProvenUpstream { part, hole: None }) if part != self.window => {
                Then::SealPart(part)
            }
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
        let proven = self
            .proven
            .map_or(self.window.before, |proven| proven.before());
        match theirs {
            Some(_) => self.before.min(self.window.before).min(proven),
            None => self.window.before.min(proven),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn window(since: i64, before: i64) -> Window {
        Window::new(at(since), at(before))
    }

    #[test]
    fn a_hole_in_what_another_orgtrail_has_proven_is_passed_and_what_is_around_it_is_sealed() {
        use orgtrail_cloudflare::coverage::CoveredState;

        let proven = |kind, until, next: Option<(i64, i64)>| {
            let covered = Covered {
                state: CoveredState::Partial,
                until: at(until),
                next: next.map(|(since, before)| (at(since), at(before))),
            };
            let proven = proven_of(&covered, window(10, 90), kind);
            (proven.part, proven.hole)
        };
        let (live, backfill) = (WindowKind::Live, WindowKind::Backfill);
        let whole = (window(10, 90), None);
        assert_eq!(proven(live, 90, None), whole);
        assert_eq!(proven(backfill, 90, None), whole);
        // Live, what comes next begins after the hole; where none is known, that is the present.
        let first = window(10, 40);
        let hole = Some(window(40, 50));
        assert_eq!(proven(live, 40, Some((50, 90))), (first, hole));
        assert_eq!(proven(live, 40, Some((50, 60))), (first, hole));
        assert_eq!(proven(live, 40, None), (first, None));
        // History goes on before the hole, unless there is another one after it.
        let last = window(50, 90);
        assert_eq!(proven(backfill, 40, Some((50, 90))), (last, hole));
        let rest = Some(window(40, 90));
        assert_eq!(proven(backfill, 40, Some((50, 60))), (first, rest));
        assert_eq!(proven(backfill, 40, None), (first, rest));
        // What is not proven from its beginning may be read by the other one later.
        assert_eq!(proven(live, 10, Some((50, 90))), (last, None));
        assert_eq!(proven(backfill, 10, Some((50, 90))), (last, None));
    }
}
