//! What must always hold, by name: broken in a test, it ends the test; broken in service, it is counted and logged, and the work
//! goes on.
//!
//! The code that owns a fact checks it where it makes it so, by [`invariant!`](crate::invariant!). Tests call the same code, so
//! that each of them checks all of these.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Something that must always hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invariant {
    /// Events get the places 1, 2, 3 …: a write moves the head by as many as it kept.
    SeqHasNoHoles,
    /// The index never says that it has events the log does not.
    CheckpointWithinHead,
    /// The index has no more documents than its checkpoint says.
    DocumentsWithinCheckpoint,
    /// A window is sealed only by a page that has no page after it.
    SealedByACompleteReply,
    /// A scan began before it was sealed.
    ScannedBeforeSealed,
    /// What is claimed lies within sealed windows.
    ClaimsWithinSealedWindows,
    /// Windows that are merged claim no more than they did apart.
    MergedClaimsNoMore,
    /// A source has at most one open window of each kind.
    OneOpenWindowOfAKind,
    /// A call is made only with a permit.
    CallWithAPermit,
    /// No call is begun while its credential waits.
    NoCallDuringAWait,
    /// An account is marked as left only after two complete lists without it.
    LeftAfterTwoLists,
    /// A gap is reported once: the gaps and proven ranges of a source do not overlap.
    GapsAreNotProven,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::SeqHasNoHoles,
        Self::CheckpointWithinHead,
        Self::DocumentsWithinCheckpoint,
        Self::SealedByACompleteReply,
        Self::ScannedBeforeSealed,
        Self::ClaimsWithinSealedWindows,
        Self::MergedClaimsNoMore,
        Self::OneOpenWindowOfAKind,
        Self::CallWithAPermit,
        Self::NoCallDuringAWait,
        Self::LeftAfterTwoLists,
        Self::GapsAreNotProven,
    ];

    /// Its id in logs and metrics.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::SeqHasNoHoles => "seq_has_no_holes",
            Self::CheckpointWithinHead => "checkpoint_within_head",
            Self::DocumentsWithinCheckpoint => "documents_within_checkpoint",
            Self::SealedByACompleteReply => "sealed_by_a_complete_reply",
            Self::ScannedBeforeSealed => "scanned_before_sealed",
            Self::ClaimsWithinSealedWindows => "claims_within_sealed_windows",
            Self::MergedClaimsNoMore => "merged_claims_no_more",
            Self::OneOpenWindowOfAKind => "one_open_window_of_a_kind",
            Self::CallWithAPermit => "call_with_a_permit",
            Self::NoCallDuringAWait => "no_call_during_a_wait",
            Self::LeftAfterTwoLists => "left_after_two_lists",
            Self::GapsAreNotProven => "gaps_are_not_proven",
        }
    }

    /// How often it was broken since the start of the process.
    #[must_use]
    pub fn violations(self) -> u64 {
        VIOLATIONS[self as usize].load(Ordering::Relaxed)
    }
}

/// How often each was broken, in the order of [`Invariant::ALL`].
static VIOLATIONS: [AtomicU64; Invariant::ALL.len()] =
    [const { AtomicU64::new(0) }; Invariant::ALL.len()];

/// An invariant is broken. Called by [`invariant!`](crate::invariant!).
///
/// # Panics
/// In builds with debug assertions, as tests are. Never in a release.
#[track_caller]
pub fn broken(invariant: Invariant, detail: fmt::Arguments<'_>) {
    count(invariant, detail);
    if cfg!(debug_assertions) {
        panic!("the invariant `{}` is broken: {detail}", invariant.id());
    }
}

fn count(invariant: Invariant, detail: fmt::Arguments<'_>) {
    VIOLATIONS[invariant as usize].fetch_add(1, Ordering::Relaxed);
    tracing::error!(
        invariant = invariant.id(),
        detail = %detail,
        "An invariant is broken. This is a bug in orgtrail: please report it."
    );
}

/// Checks an invariant: `invariant!(SeqHasNoHoles, head == before + new, "head {head}")`. The detail says what was found.
#[macro_export]
macro_rules! invariant {
    ($invariant:ident, $holds:expr, $($detail:tt)+) => {
        if !$holds {
            $crate::invariant::broken($crate::invariant::Invariant::$invariant, format_args!($($detail)+));
        }
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_its_own_id_and_count() {
        let ids: BTreeSet<&str> = Invariant::ALL.map(Invariant::id).into();
        assert_eq!(ids.len(), Invariant::ALL.len());
        for (at, invariant) in Invariant::ALL.into_iter().enumerate() {
            assert_eq!(invariant as usize, at, "{}", invariant.id());
        }
        count(Invariant::GapsAreNotProven, format_args!("a test's doing"));
        assert_eq!(Invariant::GapsAreNotProven.violations(), 1);
    }

    #[test]
    fn one_that_holds_costs_nothing_and_one_that_is_broken_ends_a_test() {
        crate::invariant!(SeqHasNoHoles, 1 + 1 == 2, "never");
        let broken = std::panic::catch_unwind(|| {
            crate::invariant!(SeqHasNoHoles, 1 + 1 == 3, "{} is not 3", 1 + 1);
        });
        let said = broken.unwrap_err().downcast::<String>().unwrap();
        assert!(
            said.contains("`seq_has_no_holes` is broken: 2 is not 3"),
            "{said}"
        );
    }
}
