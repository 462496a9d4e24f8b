//! One call and what becomes of it: the work of a poller's turn.
//!
//! Each turn reads from the log where its source stands, does one step, and says how far the source has come with it. It
//! decides nothing about when.

use chrono::{DateTime, Utc};
use tracing::{debug, warn};

use super::roll::{List, Listing};
use super::{Settings, stretch};
use crate::clock::Clock;
use crate::event::{self, Arrival};
use crate::health::Board;
use crate::position::{MAX_SOURCE_ID_LEN, Source, Window, WindowKind, rfc3339};
use crate::store::{
    Appended, OpenWindow, Page, Progress, QuotaRow, SourceRow, Store, StoreError, Then,
};
use crate::task;
use crate::upstream::{LogPage, Permit, Saved, Spent, Upstream, UpstreamError};

/// How often it is tried to write down that upstream said to wait.
const SAVE_WAIT_TRIES: u32 = 5;

/// What a turn needs to do its work; a clone shares it all.
#[derive(Clone)]
pub(super) struct Hands {
    pub(super) store: Store,
    pub(super) upstream: Upstream,
    pub(super) credential: String,
    pub(super) settings: Settings,
    pub(super) board: Board,
    pub(super) clock: Clock,
}

/// One call to make, with leave to make it.
pub struct Turn {
    pub(super) hands: Hands,
    pub(super) permit: Permit,
    pub(super) work: Work,
}

pub(super) enum Work {
    Scan(Scan),
    List(List),
}

/// One page of one source to fetch and keep.
pub(super) struct Scan {
    pub(super) source: Source,
    pub(super) kind: WindowKind,
    pub(super) limit: u32,
    /// The lesser of our present and upstream's.
    pub(super) present: DateTime<Utc>,
}

/// How a turn went.
pub struct Outcome(pub(super) Went);

pub(super) enum Went {
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
    pub(super) did: Did,
    /// How far the source has come with it.
    pub(super) progress: Progress,
    /// Upstream's present.
    pub(super) theirs: Option<DateTime<Utc>>,
}

pub(super) enum Did {
    /// There was nothing to scan after all.
    Nothing,
    /// A page was kept; a window that ends there was sealed with it.
    Kept {
        appended: Appended,
        sealed: Option<DateTime<Utc>>,
    },
    /// The cursor led nowhere, or an entry is too large: the scan starts over.
    Restarted { why: String },
    /// The source goes on past a stretch with an entry that is too large.
    GaveUp { window: Window },
    /// Upstream's clock has not reached the window: it is tried again by that clock.
    TooEarly,
}

/// Why a turn failed.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// Upstream gave no page.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The log could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A page was not of the log that was asked for. Nothing of it was kept.
    #[error("upstream answered with the entries of {owner}; nothing of them was kept")]
    Foreign {
        /// Whose they are, as the entries say.
        owner: String,
    },
}

impl TurnError {
    /// Whether no later turn can do better.
    pub(super) fn is_fatal(&self) -> bool {
        match self {
            Self::Upstream(_) | Self::Foreign { .. } => false,
            Self::Store(StoreError::Stale(_) | StoreError::Zstd(_)) => false,
            Self::Store(error) => !error.may_pass(),
        }
    }
}

impl Turn {
    /// Makes the call and keeps what came.
    pub async fn perform(self) -> Outcome {
        let Self {
            hands,
            permit,
            work,
        } = self;
        Outcome(match work {
            Work::Scan(scan) => {
                let result = Box::new(hands.scan(permit, &scan).await);
                Went::Scanned { scan, result }
            }
            Work::List(list) => {
                let (organization, listing) = (list.organization.clone(), list.listing);
                let result = hands.list(permit, list).await;
                Went::Listed {
                    organization,
                    listing,
                    result,
                }
            }
        })
    }
}

impl Hands {
    async fn list(&self, permit: Permit, mut list: List) -> Result<Listed, TurnError> {
        self.save(permit.to_save).await?;
        let hands = self.clone();
        task::blocking(move || hands.heed_others()).await?;
        let now = self.clock.now();
        list.began.get_or_insert(now);
        let (organization, page_token) = (list.organization.clone(), list.page_token.clone());
        let page_token = page_token.as_deref();
        let upstream = &self.upstream;
        let has_more = match list.listing {
            Listing::Accounts => upstream
                .fetch_accounts_page(permit, &organization, page_token)
                .await
                .and_then(|page| list.take_accounts(page)),
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

    async fn scan(&self, permit: Permit, scan: &Scan) -> Result<Scanned, TurnError> {
        let open = self
            .open_window(&scan.source, scan.kind, scan.present)
            .await?;
        let Some(window) = open else {
            return self.scanned(scan, Did::Nothing, None).await;
        };
        // The budget is written down before it is spent: a crash from here on loses calls, never counts them twice.
        self.save(permit.to_save).await?;
        let asked_at = self.clock.steady();
        let stretch = window.window.widened();
        let page = self
            .upstream
            .fetch_log_page(
                permit,
                &scan.source,
                stretch,
                window.cursor.as_ref(),
                scan.limit,
            )
            .await;
        self.save_wait().await?;
        match page {
            Ok(page) => self.keep(scan, window, page, asked_at).await,
            Err(UpstreamError::CursorRefused(why)) => self.restart(scan, window, why).await,
            Err(UpstreamError::PageTooLarge) if scan.limit == 1 => self.pass(scan, window).await,
            Err(error) => Err(error.into()),
        }
    }

    /// The window to go on with, or a new one if it is time for one.
    async fn open_window(
        &self,
        source: &Source,
        kind: WindowKind,
        present: DateTime<Utc>,
    ) -> Result<Option<OpenWindow>, StoreError> {
        let (hands, source) = (self.clone(), source.clone());
        task::blocking(move || {
            hands.heed_others()?;
            let progress = hands.store.progress(&source)?;
            if let Some(open) = progress.open(kind) {
                return Ok(Some(open.clone()));
            }
            let Some(window) = stretch::next_window(kind, &progress, &hands.settings, present)
            else {
                return Ok(None);
            };
            // By the lesser of the two clocks, so that no scan claims to have begun later than it did.
            let began = hands.clock.now().min(present);
            hands
                .store
                .begin_window(&source, kind, window, began)
                .map(Some)
        })
        .await
    }

    async fn keep(
        &self,
        scan: &Scan,
        window: OpenWindow,
        page: LogPage,
        asked_at: DateTime<Utc>,
    ) -> Result<Scanned, TurnError> {
        if let Some(owner) = foreign_owner(&scan.source, &page) {
            self.reach_on(scan, window).await?;
            return Err(TurnError::Foreign { owner });
        }
        let received_at = self.clock.now();
        let theirs = page.date;
        // What upstream had not reached when it was asked is not claimed, whatever our clock says.
        let took = self.clock.steady() - asked_at;
        let claim_before = page.date.unwrap_or(received_at) - took;
        if claim_before.timestamp() <= window.window.since.timestamp() {
            let (store, id) = (self.store.clone(), window.id);
            task::blocking(move || store.abandon_window(id)).await?;
            return self.scanned(scan, Did::TooEarly, theirs).await;
        }
        let then = page.next.map_or(Then::Seal, Then::GoOn);
        let sealed = (then == Then::Seal).then_some(claim_before.min(window.window.before));
        let (store, entries) = (self.store.clone(), page.entries);
        let (id, asked) = (window.id, window.cursor.clone());
        let kept = task::blocking(move || {
            let arrivals = entries.into_iter().map(Arrival::read).collect();
            store.append(&Page {
                window: id,
                asked,
                arrivals,
                then,
                claim_before,
                received_at,
            })
        })
        .await;
        let appended = match kept {
            Err(StoreError::Circle(_)) => {
                let why = "it came again, and leads in a circle".to_owned();
                return self.restart(scan, window, why).await;
            }
            kept => kept?,
        };
        debug!(
            source = %scan.source, window.kind = scan.kind.as_str(), window.sealed = sealed.is_some(),
            new = appended.new, held = appended.held, "Kept a page."
        );
        self.scanned(scan, Did::Kept { appended, sealed }, theirs)
            .await
    }

    async fn restart(
        &self,
        scan: &Scan,
        window: OpenWindow,
        why: String,
    ) -> Result<Scanned, TurnError> {
        let (store, now) = (self.store.clone(), self.clock.now());
        let smaller = stretch::halved(scan.kind, window.window);
        task::blocking(move || store.restart_window(window.id, smaller, now)).await?;
        self.scanned(scan, Did::Restarted { why }, None).await
    }

    /// Has a live window reach to the present when it is asked for again: an entry of our own, once there is one in it, shows
    /// that the strange ones stand in our log. Otherwise a quiet source would wait for ever at the same stretch.
    async fn reach_on(&self, scan: &Scan, window: OpenWindow) -> Result<(), StoreError> {
        if scan.kind != WindowKind::Live || scan.present <= window.window.before {
            return Ok(());
        }
        let (store, now) = (self.store.clone(), self.clock.now().min(scan.present));
        let longer = Window::new(window.window.since, scan.present);
        task::blocking(move || store.restart_window(window.id, longer, now)).await
    }

    /// An entry of the window is too large to take even alone: the window is halved until the entry is known to the second,
    /// and then passed.
    async fn pass(&self, scan: &Scan, window: OpenWindow) -> Result<Scanned, TurnError> {
        if window.window.middle().is_some() {
            return self
                .restart(scan, window, UpstreamError::PageTooLarge.to_string())
                .await;
        }
        let (store, now, stretch) = (self.store.clone(), self.clock.now(), window.window);
        task::blocking(move || store.give_up_window(window.id, now)).await?;
        self.scanned(scan, Did::GaveUp { window: stretch }, None)
            .await
    }

    async fn scanned(
        &self,
        scan: &Scan,
        did: Did,
        theirs: Option<DateTime<Utc>>,
    ) -> Result<Scanned, TurnError> {
        let (store, source) = (self.store.clone(), scan.source.clone());
        let sweeps = self.settings.sweeps.clone();
        let progress = task::blocking(move || {
            let progress = store.progress(&source)?;
            if !progress.is_long() {
                return Ok::<_, StoreError>(progress);
            }
            store.fold_ledger(&source, &sweeps)?;
            store.progress(&source)
        })
        .await?;
        Ok(Scanned {
            did,
            progress,
            theirs,
        })
    }

    /// What another process was told to wait with the same credential (a comparison beside a service) holds for us too. A permit
    /// that was given before is then refused where it is used.
    pub(super) fn heed_others(&self) -> Result<(), StoreError> {
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
        let (store, credential) = (self.store.clone(), self.credential.clone());
        let now = self.clock.steady();
        let row = QuotaRow {
            saved_at: self.clock.now(),
            spent_for: spent.spent_until - now,
            wait: spent.blocked_until - now,
        };
        let kept = task::blocking(move || store.save_quota(&credential, row)).await?;
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
        // A wait that is not on disk is forgotten by a crash, so one failure is not the end of it.
        for _ in 1..SAVE_WAIT_TRIES {
            match self.save(wait).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    debug!(error = %error, "A wait could not be written down; trying again.")
                }
            }
        }
        self.save(wait).await
    }
}

/// Whose entries a page holds, when they are not the asked source's: none of them names it, and at least one names
/// another. Cloudflare's caches, or somebody's proxy, have mixed up two answers. To keep such a page would show one organization
/// what another did, and to seal its window would lose our own entries of that time; so it is refused, loudly, and asked
/// for again. A page that holds one strange entry among our own is upstream's business, and is kept.
pub(super) fn foreign_owner(source: &Source, page: &LogPage) -> Option<String> {
    let mut other = None;
    for entry in &page.entries {
        match event::owner(entry.get(), source.kind()) {
            Some(owner) if owner == source.id() => return None,
            Some(owner) => other = other.or(Some(owner)),
            None => {}
        }
    }
    let owner: String = other?.chars().take(MAX_SOURCE_ID_LEN).collect();
    Some(format!("{}/{owner}", source.kind().as_str()))
}
