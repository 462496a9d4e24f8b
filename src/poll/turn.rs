//! One call and what becomes of it: the work of a poller's turn.
//!
//! A turn reads its source's progress, does one step and returns the new progress. The schedule decides when.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::error::TurnError;
use super::list_schedule::{List, Listing};
use super::recovery::{Elsewhere, Patience};
use super::settings::Settings;
use crate::clock::Clock;
use crate::health::Board;
use crate::metrics::Metrics;
use crate::position::{Source, Window, WindowKind, rfc3339};
use crate::store::{Appended, GapCause, Progress, QuotaRow, SourceRow, Store, StoreError};
use crate::task;
use crate::upstream::{Permit, Saved, Spent, Upstream, UpstreamError};

/// Attempts to save the wait after a 429.
const SAVE_WAIT_TRIES: u32 = 5;

/// How much of a panic's message is repeated, in characters.
const MAX_PANIC_CHARS: usize = 200;

/// What a turn needs to do its work; a clone shares it all.
#[derive(Clone)]
pub(super) struct PollContext {
    pub(super) store: Store,
    pub(super) upstream: Upstream,
    pub(super) credential: String,
    pub(super) settings: Settings,
    pub(super) board: Board,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
}

/// One call, with its quota permit.
pub struct Turn {
    pub(super) context: PollContext,
    /// The number of its place.
    pub(super) place: u64,
    pub(super) permit: Permit,
    pub(super) work: Work,
}

pub(super) enum Work {
    Scan(Scan),
    List(List),
}

/// One page of one source to fetch and keep.
#[derive(Clone)]
pub(super) struct Scan {
    pub(super) source: Source,
    pub(super) kind: WindowKind,
    pub(super) limit: u32,
    /// Consecutive unfinished scans of the shortest window, and the time since the first.
    pub(super) unfinished: (u32, TimeDelta),
    /// Limits for bad answers.
    pub(super) patience: Patience,
    /// Since when another stretch of the source has been answered while this kind of window was not, by the steady clock.
    pub(super) answered_elsewhere_since: Option<DateTime<Utc>>,
    /// Whether another stretch of the source is asked for with a turn of its own.
    pub(super) look: Probe,
    /// Without upstream's clock: how far what is new has been read, if that is not the present.
    pub(super) read_to: Option<DateTime<Utc>>,
    /// Where the last sweep ended, if it could not be sealed.
    pub(super) swept_to: Option<DateTime<Utc>>,
    /// Whether the last call for such a window failed or was slow.
    pub(super) is_unreliable: bool,
    /// The lesser of our present and upstream's.
    pub(super) present: DateTime<Utc>,
    /// What is known of upstream's present.
    pub(super) upstream_clock: UpstreamClock,
}

/// Whether a separate call tests another time range, because the quota did not allow a second call in this turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Probe {
    /// There is no need.
    #[default]
    NotNeeded,
    /// The next turn does so.
    Wanted,
    /// One did since the last bad answer, and came to this.
    Made(Elsewhere),
}

/// What is known of upstream's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UpstreamClock {
    /// Not enough answers yet.
    NotHeard,
    /// Many answers have come over some time, and none had a date that can be read.
    Silent,
    /// So far it is ahead of our steady clock.
    Ahead(TimeDelta),
}

/// How a turn went.
pub struct Outcome {
    pub(super) place: u64,
    pub(super) of: TurnOutcome,
}

pub(super) enum TurnOutcome {
    Scanned {
        scan: Scan,
        result: Box<Result<Scanned, TurnError>>,
    },
    Listed {
        organization: String,
        listing: Listing,
        result: Result<Listed, TurnError>,
    },
}

/// What a list's turn came to.
pub(super) enum Listed {
    /// There is more to read.
    More(List),
    /// What was read is kept.
    Kept {
        /// Of a list of accounts, every source as it is kept with them.
        sources: Vec<SourceRow>,
        /// Why it is not the whole list, if it is not.
        lacks: Option<UpstreamError>,
    },
}

/// What a scan's turn came to.
pub(super) struct Scanned {
    pub(super) outcome: ScanOutcome,
    /// How far the source has come with it.
    pub(super) progress: Progress,
    /// Upstream's present.
    pub(super) theirs: Option<DateTime<Utc>>,
}

pub(super) enum ScanOutcome {
    /// There was nothing to scan after all.
    Nothing,
    /// A page was kept; a window that ends there was sealed with it.
    Kept {
        appended: Appended,
        sealed: Option<DateTime<Utc>>,
    },
    /// The cursor led nowhere, or the stretch cannot be read as a whole: the scan starts over.
    Restarted { why: String },
    /// The last page may be cut off by a small limit: the scan starts over with a larger one.
    AskedForMore,
    /// A page had too many bytes: the scan starts over with a smaller limit.
    AskedForLess,
    /// The source goes on past a stretch that cannot be read.
    GaveUp { window: Window, cause: GapCause },
    /// The scan reached `before`; nothing of it can be claimed yet.
    Left { before: DateTime<Utc> },
    /// A stretch is still answered with an error, and another one was asked for to find out whether the source is down.
    StillFailing {
        error: TurnError,
        elsewhere: Elsewhere,
    },
    /// Another stretch was asked for, to find out whether the source is down.
    LookedElsewhere(Elsewhere),
    /// Upstream's clock has not reached the window: it is tried again by that clock.
    TooEarly,
}

impl Turn {
    /// Makes the call and keeps what came.
    pub async fn perform(self) -> Outcome {
        let Self {
            context,
            place,
            permit,
            work,
        } = self;
        let of = match work {
            Work::Scan(scan) => {
                let turn = context.scan(permit, &scan);
                let result = Box::new(context.guard(turn).await);
                TurnOutcome::Scanned { scan, result }
            }
            Work::List(list) => {
                let (organization, listing) = (list.organization.clone(), list.listing);
                let result = context.guard(context.list(permit, list)).await;
                TurnOutcome::Listed {
                    organization,
                    listing,
                    result,
                }
            }
        };
        Outcome { place, of }
    }

    /// What is cancelled when its call is given up, because too many calls are slow.
    #[must_use]
    pub fn given_up(&self) -> CancellationToken {
        self.context.upstream.given_up()
    }
}

impl PollContext {
    /// The same for one turn, whose calls end when `given_up` is cancelled.
    pub(super) fn given_up_by(&self, given_up: CancellationToken) -> Self {
        Self {
            upstream: self.upstream.clone().given_up_by(given_up),
            ..self.clone()
        }
    }

    /// Runs a turn. A panic in it ends that turn only: it is logged and counted, and the turn has failed.
    async fn guard<T>(
        &self,
        turn: impl Future<Output = Result<T, TurnError>>,
    ) -> Result<T, TurnError> {
        match AssertUnwindSafe(turn).catch_unwind().await {
            Ok(result) => result,
            Err(panic) => {
                let message = panic_message(panic.as_ref());
                self.board.panicked();
                error!(
                    panic = message,
                    "A turn panicked. Only that turn is lost; please report this defect."
                );
                Err(TurnError::Panicked(message))
            }
        }
    }

    async fn list(&self, permit: Permit, mut list: List) -> Result<Listed, TurnError> {
        self.save(permit.to_save).await?;
        let context = self.clone();
        task::blocking(move || context.apply_waits_of_others()).await?;
        let asked_at = self.clock.steady();
        let organization = list.organization.clone();
        let page_token = list.page_token().map(ToOwned::to_owned);
        let page_token = page_token.as_deref();
        let upstream = &self.upstream;
        let has_more = match list.listing {
            Listing::Accounts => upstream
                .fetch_accounts_page(permit, &organization, page_token)
                .await
                .and_then(|page| {
                    list.began_at_most(page.date, self.clock.steady() - asked_at);
                    list.take_accounts(page)
                }),
            Listing::Members => upstream
                .fetch_members_page(permit, &organization, page_token)
                .await
                .and_then(|page| list.take_members(page)),
            Listing::Account => upstream
                .fetch_account(permit, &organization)
                .await
                .and_then(|account| list.take_account(account)),
        };
        self.save_wait().await?;
        let lacks = match has_more {
            Ok(true) => return Ok(Listed::More(list)),
            Ok(false) => list.lacks().map(UpstreamError::Unexpected),
            // What its earlier pages had is there all the same.
            Err(error) if list.accounts.is_empty() => return Err(error.into()),
            Err(error) => Some(error),
        };
        let (store, now) = (self.store.clone(), self.clock.now());
        task::blocking(move || {
            let sources = list.keep(&store, lacks.is_none(), now)?;
            Ok(Listed::Kept { sources, lacks })
        })
        .await
    }

    /// Applies a wait that another process saved for the same credential (a comparison beside a service). A permit that was
    /// given before is then refused where it is used.
    pub(super) fn apply_waits_of_others(&self) -> Result<(), StoreError> {
        if let Some(row) = self.store.quota(&self.credential)? {
            self.take_in(row);
        }
        Ok(())
    }

    fn take_in(&self, row: QuotaRow) {
        let left = row.as_of(self.clock.now());
        let saved = Saved {
            mark: (row.saved_at, row.wait),
            spent_for: left.spent_for,
            wait: left.wait,
        };
        self.upstream.quota().take_in(saved, self.clock.steady());
    }

    /// Writes the budget down, if it is time to. What could not be written is due again with the next call.
    pub(super) async fn save(&self, spent: Option<Spent>) -> Result<(), StoreError> {
        let Some(spent) = spent else { return Ok(()) };
        let context = self.clone();
        task::blocking(move || context.save_here(spent)).await
    }

    /// The same, where it may wait for the disk.
    pub(super) fn save_here(&self, spent: Spent) -> Result<(), StoreError> {
        let now = self.clock.steady();
        let row = QuotaRow {
            saved_at: self.clock.now(),
            spent_for: spent.spent_until - now,
            wait: (spent.blocked_until - now).max(TimeDelta::zero()),
        };
        let kept = self.store.save_quota(&self.credential, row)?;
        // Another process may have saved a longer wait since its row was last read.
        self.take_in(kept);
        self.upstream.quota().saved(spent);
        Ok(())
    }

    /// Writes down that upstream said to wait, if it did.
    pub(super) async fn save_wait(&self) -> Result<(), StoreError> {
        let wait = self.upstream.quota().unsaved_wait();
        if let Some(Spent { blocked_until, .. }) = wait {
            warn!(
                credential = self.credential,
                until = %rfc3339(blocked_until),
                "Upstream said to wait; no call is made until then."
            );
        }
        // A crash would forget an unsaved wait, so saving is retried.
        for _ in 1..SAVE_WAIT_TRIES {
            match self.save(wait).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    debug!(error = %error, "Saving the rate-limit wait failed; retrying.")
                }
            }
        }
        self.save(wait).await
    }
}

/// What a panic says, cut to a length.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a panic without a message");
    text.chars().take(MAX_PANIC_CHARS).collect()
}
