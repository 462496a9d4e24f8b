//! What a stored page adds to the metrics and to the board.

use super::turn::{PollContext, Scan, ScanOutcome};
use crate::metrics::Metrics;
use crate::position::WindowKind;
use crate::store::Appended;

impl PollContext {
    /// The same, which counts there what it does, and reports its budget.
    pub(super) fn with_metrics(self, metrics: Metrics) -> Self {
        let quota = self.upstream.quota().clone();
        metrics.watch_quota(&self.credential, move |now| quota.left(now));
        Self {
            upstream: self.upstream.with_metrics(metrics.clone()),
            metrics,
            ..self
        }
    }

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
