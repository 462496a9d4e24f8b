//! The guaranteed share of each kind of scan, when all want more calls than there are.
//!
//! Live scans go first, unless another kind has waited for its share. A kind that wants nothing leaves its share to
//! the others and does not save it up.

use crate::position::WindowKind;

/// Of the calls, the part that each kind is sure of, in the order of [`WindowKind::ALL`].
const SHARES: [f64; 3] = [0.60, 0.15, 0.25];

/// The part of the calls that windows whose last call failed or was slow have for sure; they also get what the others leave.
pub(super) const UNRELIABLE_SHARE: f64 = 0.1;

/// The most calls that a kind can be owed.
const MOST_OWED: f64 = 2.0;

/// Which kinds want a call, in the order of [`WindowKind::ALL`].
pub(super) type Waiting = [bool; 3];

/// How many calls each kind has waited for and not got.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shares {
    owed: [f64; 3],
    /// Calls of each kind since [`Shares::live_part`] was asked.
    calls: [f64; 3],
    /// The part of all calls that the other kinds used lately.
    others: f64,
}

impl Shares {
    /// Whose call is next.
    pub(super) fn choose(&self, waiting: Waiting) -> Option<WindowKind> {
        let most_owed = (1..SHARES.len())
            .filter(|kind| waiting[*kind])
            .max_by(|a, b| self.owed[*a].total_cmp(&self.owed[*b]).then(b.cmp(a)));
        let next = match most_owed {
            Some(kind) if self.owed[kind] >= 1.0 || !waiting[0] => kind,
            _ if waiting[0] => 0,
            _ => return None,
        };
        Some(WindowKind::ALL[next])
    }

    /// Counts a call, and who else waited for it.
    pub(super) fn count(&mut self, called: WindowKind, waiting: Waiting) {
        let wanted: f64 = (0..SHARES.len())
            .filter(|kind| waiting[*kind])
            .map(|kind| SHARES[kind])
            .sum();
        for kind in 0..SHARES.len() {
            if !waiting[kind] {
                self.owed[kind] = 0.0;
                continue;
            }
            self.owed[kind] = (self.owed[kind] + SHARES[kind] / wanted).min(MOST_OWED);
            if WindowKind::ALL[kind] == called {
                self.owed[kind] -= 1.0;
            }
        }
        for (kind, calls) in WindowKind::ALL.into_iter().zip(&mut self.calls) {
            *calls += f64::from(u8::from(kind == called));
        }
    }

    /// The part of all calls that what is new can have, seeing what the others did since this was last asked, when `possible`
    /// calls could be made: what they left, and at least its share beside those who wanted any.
    pub(super) fn live_part(&mut self, possible: f64) -> f64 {
        let [_, sweep, backfill] = std::mem::take(&mut self.calls);
        let used = ((sweep + backfill) / possible.max(1.0)).min(1.0);
        self.others = f64::midpoint(self.others, used);
        let wanted = [(sweep, SHARES[1]), (backfill, SHARES[2])];
        let shares: f64 = wanted
            .into_iter()
            .filter(|(calls, _)| *calls > 0.0)
            .map(|(_, share)| share)
            .sum();
        (SHARES[0] / (SHARES[0] + shares)).max(1.0 - self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a thousand calls are shared.
    fn shared(waiting: Waiting) -> [u32; 3] {
        let mut shares = Shares::default();
        let mut calls = [0; 3];
        for _ in 0..1_000 {
            let kind = shares.choose(waiting).unwrap();
            shares.count(kind, waiting);
            calls[WindowKind::ALL.iter().position(|one| *one == kind).unwrap()] += 1;
        }
        calls
    }

    #[test]
    fn each_kind_is_sure_of_its_share_and_takes_what_others_leave() {
        let near = |calls: [u32; 3], expect: [u32; 3]| {
            for (calls, expect) in calls.into_iter().zip(expect) {
                assert!(calls.abs_diff(expect) <= 5, "{calls} for {expect}");
            }
        };
        near(shared([true, true, true]), [600, 150, 250]);
        near(shared([true, false, false]), [1_000, 0, 0]);
        near(shared([true, true, false]), [800, 200, 0]);
        near(shared([false, true, true]), [0, 375, 625]);
        near(shared([false, false, true]), [0, 0, 1_000]);
        assert_eq!(Shares::default().choose([false; 3]), None);
    }

    #[test]
    fn what_is_new_plans_with_what_the_others_leave() {
        let mut shares = Shares::default();
        assert_eq!(shares.live_part(100.0), 1.0);
        for _ in 0..40 {
            shares.count(WindowKind::Backfill, [true, false, true]);
            shares.count(WindowKind::Sweep, [true, true, false]);
        }
        assert_eq!(shares.live_part(100.0), 0.6);
        for _ in 0..10 {
            assert!(shares.live_part(100.0) >= 0.6);
        }
        assert!(shares.live_part(100.0) > 0.99);
    }

    #[test]
    fn what_is_new_comes_first_and_nothing_is_saved_up() {
        let mut shares = Shares::default();
        assert_eq!(shares.choose([true; 3]), Some(WindowKind::Live));
        for _ in 0..1_000 {
            shares.count(WindowKind::Live, [true, false, false]);
        }
        for _ in 0..3 {
            assert_eq!(shares.choose([true; 3]), Some(WindowKind::Live));
            shares.count(WindowKind::Live, [true; 3]);
        }
    }
}
