//! Reads a stretch again, and compares it page by page.

use super::compare::Compared;
use super::comparison::UpstreamComparison;
use super::error::{VerifyError, WaitToRetry};
use super::reader::{PageReader, ReadOutcome};
use crate::clock::Clock;
use crate::health::Board;
use crate::ledger;
use crate::metrics::Metrics;
use crate::poll::settings::Settings;
use crate::poll::turn::PollContext;
use crate::position::{Source, Window};
use crate::store::Store;
use crate::task;
use crate::upstream::Upstream;

/// What a comparison tells while it runs.
#[derive(Debug)]
pub enum VerifyEvent<'a> {
    /// A page was compared: what it has come to so far.
    Page(&'a UpstreamComparison),
    /// Upstream gave no page that can be used.
    WaitToRetry(WaitToRetry<'a>),
}

/// A comparison of one stretch of a source.
pub struct Verify {
    pub(super) context: PollContext,
    pub(super) source: Source,
    pub(super) window: Window,
}

impl Verify {
    /// A comparison of `window` of `source`, as far as it is past and upstream keeps it, with `credential`, which is its name in
    /// the configuration. The log may be written by another process meanwhile.
    #[must_use]
    pub fn new(
        store: Store,
        upstream: Upstream,
        credential: String,
        settings: Settings,
        clock: Clock,
        (source, window): (Source, Window),
    ) -> Self {
        let now = clock.now();
        let since = window.since.max(ledger::claimable_since(now));
        Self {
            context: PollContext {
                store,
                upstream,
                credential,
                settings,
                board: Board::default(),
                clock,
                metrics: Metrics::default(),
            },
            source,
            window: Window::new(since, window.before.min(now)),
        }
    }

    /// The stretch that is compared.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// Reads the stretch and compares it. `tell` is called after each page, and before each wait.
    ///
    /// # Errors
    /// [`VerifyError`]: then nothing is known.
    pub async fn run(
        self,
        mut tell: impl FnMut(VerifyEvent<'_>),
    ) -> Result<UpstreamComparison, VerifyError> {
        // What comes in from here on may have been shown behind our back.
        let upto = self.context.store.head();
        let (store, source) = (self.context.store.clone(), self.source.clone());
        let mut compared = Compared::new(self.window);
        let mut reader = PageReader::new(self.context, self.source, self.window);
        while let Some(read) = reader
            .next(&mut |wait| tell(VerifyEvent::WaitToRetry(wait)))
            .await?
        {
            match read {
                ReadOutcome::Begun => compared.begin_scan(),
                ReadOutcome::ResumedFrom(time) => compared.resume_from(time),
                ReadOutcome::LeftOut(window, cause) => compared.verdict.leave_out(window, cause),
                ReadOutcome::Page(page, resumed) => {
                    let (store, source) = (store.clone(), source.clone());
                    let (taken, result) = task::blocking(move || {
                        let result = compared.take(&store, &source, page.entries, resumed);
                        (compared, result)
                    })
                    .await;
                    compared = taken;
                    result?;
                    tell(VerifyEvent::Page(&compared.verdict));
                }
            }
        }
        task::blocking(move || compared.finish(&store, &source, upto)).await
    }
}
