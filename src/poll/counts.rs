//! What a stored page adds to the metrics and to the board.

use super::turn::{PollContext, Scan, ScanOutcome};
use crate::position::WindowKind;
use crate::store::Appended;

impl PollContext {
    /// Counts the entries of a page that was stored, once for the page.
    pub(super) fn count_entries(&self, scan: &Scan, appended: &Appended) {
        self.metrics.stored(scan.kind, appended.new);
        for (lag, entries) in &appended.visible_after {
            self.metrics.became_visible(*lag, *entries);
        }
    }

    /// Writes on the board that a live window was read to its end, if one was.
    pub(super) fn count_seal(&self, scan: &Scan, outcome: &ScanOutcome) {
        let is_sealed = matches!(
            outcome,
            ScanOutcome::Kept {
                sealed: Some(_),
                ..
            }
        );
        if is_sealed && scan.kind == WindowKind::Live {
            self.board
                .write(&scan.source, |health| health.live_sealed += 1);
        }
    }
}
