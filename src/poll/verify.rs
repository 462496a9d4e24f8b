//! A stretch of a source's log, read again now, beside what is held of it: a check of the log against upstream.
//!
//! Nothing is kept of what is read, and no window claims it. What is remembered of an entry are two short hashes, so that the
//! largest stretch needs less than a hundred megabytes. Upstream is asked for a second more at both ends; of entries with a time only
//! those within the stretch are compared. An entry without a readable time counts where upstream shows it: whoever sealed the
//! stretch was shown it too. The other way round it is not known to which stretch such an entry belongs, so one that is held is
//! never missed.
//!
//! A refused cursor cuts the stretch in two; what was read before stays compared. So do a page that is too large and an answer
//! that stays unreadable or an error: the second that causes it is left out, and named with the cause.

mod compare;
mod reader;
mod repair;

pub use self::repair::Repair;

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use self::compare::{Compared, MAX_ENTRIES};
use self::reader::{MAX_PAGES, Read, Reader};
use super::settings::Settings;
use super::turn::PollContext;
use crate::clock::Clock;
use crate::health::Board;
use crate::ledger;
use crate::metrics::Metrics;
use crate::position::{Seq, Source, Window};
use crate::store::{GapCause, Store, StoreError};
use crate::task;
use crate::upstream::{Upstream, UpstreamError};

/// How many differences are described; all are counted.
const MAX_DESCRIBED: usize = 100;

/// Why a stretch could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Upstream gave no page, however often it was asked.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The log could not be read, or the budget not be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Pages were not of the log that was asked for.
    #[error("upstream answered with the entries of {0}")]
    Foreign(String),
    /// There is more than is compared at once.
    #[error("there are more than {MAX_ENTRIES} entries in it: choose a shorter stretch")]
    TooMany,
    /// Upstream's pages have no end.
    #[error("upstream's pages have no end: {MAX_PAGES} were read")]
    Endless,
}

/// In what upstream and the log differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Differs {
    /// Upstream shows it, and it is not held.
    NotHeld,
    /// It is held, and upstream does not show it any more.
    NotShown,
    /// It is held with other content only.
    OtherContent,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In what.
    pub differs: Differs,
    /// The entry's id upstream, if it has one; a long one is cut.
    pub id: Option<String>,
    /// When it happened, if that can be read.
    pub time: Option<DateTime<Utc>>,
    /// Where it is held.
    pub seq: Option<Seq>,
}

/// What a comparison came to.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Pages that were read.
    pub pages: u64,
    /// Entries that upstream shows in the stretch.
    pub shown: u64,
    /// Of those, entries without a readable time.
    pub without_time: u64,
    /// How many differ, in each way.
    pub counts: HashMap<Differs, u64>,
    /// The first of them.
    pub differences: Vec<Difference>,
    /// What could not be compared; the earliest first.
    pub left_out: Vec<LeftOut>,
}

/// A stretch that could not be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// The stretch.
    pub window: Window,
    /// Why.
    pub cause: GapCause,
}

impl Verdict {
    /// How many entries differ in that way.
    #[must_use]
    pub fn count(&self, differs: Differs) -> u64 {
        self.counts.get(&differs).copied().unwrap_or(0)
    }

    /// How many entries differ.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Leaves out `window`, which comes after all that was left out before.
    fn leave_out(&mut self, window: Window, cause: GapCause) {
        match self.left_out.last_mut() {
            Some(last) if last.window.before == window.since && last.cause == cause => {
                last.window.before = window.before;
            }
            _ => self.left_out.push(LeftOut { window, cause }),
        }
    }

    fn note(&mut self, difference: impl FnOnce() -> Difference, differs: Differs) {
        *self.counts.entry(differs).or_default() += 1;
        if self.differences.len() < MAX_DESCRIBED {
            self.differences.push(difference());
        }
    }
}

/// What a comparison tells while it runs.
#[derive(Debug)]
pub enum Told<'a> {
    /// A page was compared: what it has come to so far.
    Page(&'a Verdict),
    /// Upstream gave no page that can be used.
    Waiting(Waiting<'a>),
}

/// A wait before the same is asked for again.
#[derive(Debug)]
pub struct Waiting<'a> {
    /// What upstream answered.
    pub error: &'a VerifyError,
    /// How long the wait is.
    pub wait: Duration,
}

/// A comparison of one stretch of a source.
pub struct Verify {
    context: PollContext,
    source: Source,
    window: Window,
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
    pub async fn run(self, mut tell: impl FnMut(Told<'_>)) -> Result<Verdict, VerifyError> {
        // What comes in from here on may have been shown behind our back.
        let upto = self.context.store.head();
        let (store, source) = (self.context.store.clone(), self.source.clone());
        let mut compared = Compared::new(self.window);
        let mut reader = Reader::new(self.context, self.source, self.window);
        while let Some(read) = reader.next(&mut |wait| tell(Told::Waiting(wait))).await? {
            match read {
                Read::Begun => compared.begin_scan(),
                Read::ResumedFrom(time) => compared.resume_from(time),
                Read::LeftOut(window, cause) => compared.verdict.leave_out(window, cause),
                Read::Page(page, resumed) => {
                    let (store, source) = (store.clone(), source.clone());
                    let (taken, result) = task::blocking(move || {
                        let result = compared.take(&store, &source, page.entries, resumed);
                        (compared, result)
                    })
                    .await;
                    compared = taken;
                    result?;
                    tell(Told::Page(&compared.verdict));
                }
            }
        }
        task::blocking(move || compared.finish(&store, &source, upto)).await
    }
}
