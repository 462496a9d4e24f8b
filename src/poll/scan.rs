//! One page of a window's scan: asked for, kept or refused, and what that makes of the window.
//!
//! What upstream sends may be incomplete, broken, foreign or misleading. A window is sealed only by what proves it; what
//! cannot be read is narrowed down and passed as a gap with its cause.

use chrono::{DateTime, Utc};
use tracing::debug;

use super::claim::Claim;
use super::error::TurnError;
use super::foreign::foreign_owner;
use super::next_window;
use super::paging::{Follows, Place};
use super::recovery::{BadAnswer, NextStep};
use super::turn::{PollContext, Probe, Scan, ScanOutcome, Scanned, UpstreamClock};
use super::upstream_proof::cut_to_what_is_named;
use crate::event::Arrival;
use crate::invariant;
use crate::ledger;
use crate::position::{Source, Window, WindowKind};
use crate::store::{Appended, OpenWindow, Page, StoreError, Then};
use crate::task;
use crate::upstream::{LogPage, Permit, UpstreamError};

impl PollContext {
    pub(super) async fn scan(&self, permit: Permit, scan: &Scan) -> Result<Scanned, TurnError> {
        let open = self.open_window(scan).await?;
        let Some(window) = open else {
            return self.scanned(scan, ScanOutcome::Nothing, None).await;
        };
        if scan.look == Probe::Wanted {
            let other = self.other_stretch(scan, &window).await?;
            let elsewhere = self.ask_elsewhere(permit, scan, other).await?;
            let outcome = ScanOutcome::LookedElsewhere(elsewhere);
            return self.scanned(scan, outcome, None).await;
        }
        // The budget is written down before it is spent: a crash from here on loses calls, never counts them twice.
        self.save(permit.to_save).await?;
        let asked_at = self.clock.steady();
        // A cursor is good for its own question: what it is asked with stays the same until the scan starts over.
        let window = OpenWindow {
            limit: window.limit.or(Some(scan.limit)),
            ..window
        };
        let (asked, cursor) = (place(&window).asked(), window.cursor.as_ref());
        let limit = window.limit.unwrap_or(scan.limit);
        let page = self
            .upstream
            .fetch_log_page(permit, &scan.source, asked, cursor, limit)
            .await;
        self.save_wait().await?;
        let error = match page {
            Ok(page) => return self.keep(scan, window, page, asked_at).await,
            Err(error) => error,
        };
        let answer = match &error {
            UpstreamError::CursorRefused(_) => BadAnswer::CursorLost,
            UpstreamError::WindowRefused(_) => BadAnswer::Refused,
            UpstreamError::PageTooLarge => BadAnswer::TooLarge,
            UpstreamError::Unreadable(_) => BadAnswer::Unreadable,
            UpstreamError::Transient(_) | UpstreamError::Unexpected(_) => BadAnswer::Failing,
            UpstreamError::RateLimited { .. }
            | UpstreamError::NoToken(_)
            | UpstreamError::Unauthorized(_)
            | UpstreamError::Forbidden(_) => return Err(error.into()),
        };
        self.handle_bad_answer(scan, window, answer, error.into())
            .await
    }

    /// The window to go on with, or a new one if it is time for one.
    async fn open_window(&self, scan: &Scan) -> Result<Option<OpenWindow>, StoreError> {
        let (context, source) = (self.clone(), scan.source.clone());
        let (kind, present) = (scan.kind, scan.present);
        let (read_to, swept_to) = (scan.read_to, scan.swept_to);
        let is_silent = scan.upstream_clock == UpstreamClock::Silent;
        task::blocking(move || {
            context.apply_waits_of_others()?;
            let mut progress = context.store.progress(&source)?;
            if let Some(open) = progress.open(kind) {
                if let Some(open) = context.cut_to_what_is_kept(&source, kind, open, present)? {
                    return Ok(Some(open));
                }
                progress = context.store.progress(&source)?;
            }
            let next = match (kind, swept_to) {
                (WindowKind::Live, _) if is_silent => {
                    next_window::next_silent(&progress, &context.settings, read_to, present)
                }
                (WindowKind::Sweep, Some(swept_to)) => {
                    next_window::next_sweep_after(&progress, &context.settings, swept_to, present)
                }
                (kind, _) => next_window::next_window(kind, &progress, &context.settings, present),
            };
            let Some(window) = next else {
                return Ok(None);
            };
            // By the lesser of the two clocks, so that no scan claims to have begun later than it did.
            let began = context.clock.now().min(present);
            context
                .store
                .begin_window(&source, kind, window, began)
                .map(Some)
        })
        .await
    }

    /// An open window, without what upstream keeps no longer: it may have been begun long ago. `None` when nothing is left of
    /// it. A window with a cursor goes on as it is, because its cursor is good for its own question only; when it is sealed it
    /// claims what was kept to its end.
    fn cut_to_what_is_kept(
        &self,
        source: &Source,
        kind: WindowKind,
        open: &OpenWindow,
        present: DateTime<Utc>,
    ) -> Result<Option<OpenWindow>, StoreError> {
        let Window { since, before } = open.window;
        if since >= ledger::kept_since(present) {
            return Ok(Some(open.clone()));
        }
        let left = Window::new(ledger::claimable_since(present), before);
        if left.is_empty() {
            self.store.abandon_window(open.id)?;
            return Ok(None);
        }
        if open.cursor.is_some() || open.resumed.is_some() {
            return Ok(Some(open.clone()));
        }
        let now = self.clock.now().min(present);
        self.store
            .restart_with_limit(open.id, left, open.limit, now)?;
        Ok(self.store.progress(source)?.open(kind).cloned())
    }

    async fn keep(
        &self,
        scan: &Scan,
        window: OpenWindow,
        page: LogPage,
        asked_at: DateTime<Utc>,
    ) -> Result<Scanned, TurnError> {
        if let Some(owner) = foreign_owner(&scan.source, &page) {
            let owner = self.upstream.hide_credentials(&owner);
            return self.refuse_foreign(scan, window, owner).await;
        }
        let (received_at, theirs) = (self.clock.now(), page.date);
        if let Some(cut) = named_part(scan, &window, &page) {
            return self.start_over_with(scan, window, cut, theirs).await;
        }
        let is_first = self.is_first_of_an_orgtrail(scan, &page).await?;
        let took = self.clock.steady() - asked_at;
        let claim = self.claim(scan, window.window, &page, took, is_first);
        if theirs.is_some() && claim.before.timestamp() <= window.window.since.timestamp() {
            let (store, id) = (self.store.clone(), window.id);
            task::blocking(move || store.abandon_window(id)).await?;
            return self.scanned(scan, ScanOutcome::TooEarly, theirs).await;
        }
        let mut why = "it came again, and leads in a circle";
        let then = match follows(scan, &window, &page) {
            Follows::Page(cursor) => Then::GoOn(cursor),
            Follows::From(time) => Then::GoOnFrom(time),
            Follows::End if claim.is_worth_sealing() => claim.seal(),
            Follows::End => Then::Leave,
            Follows::Unknown(reason) => {
                why = reason;
                Then::StartOver
            }
            Follows::NoWay => {
                let step = self.decide(scan, &window, BadAnswer::NoWayOn).await?;
                match step {
                    // What could be read of it is kept.
                    NextStep::Pass(cause) => Then::GiveUp(cause),
                    step => return self.apply(scan, window, step, TurnError::NoWayOn).await,
                }
            }
        };
        let sealed_at = claim.sealed_at(theirs, received_at);
        let times = (received_at, sealed_at);
        let appended = self.append(&window, page, &then, &claim, times).await?;
        self.count_entries(scan, &appended);
        if appended.leads_in_circle || then == Then::StartOver {
            return self.lose_cursor(scan, window, why).await;
        }
        let outcome = kept(scan, &window, &then, &claim, appended, theirs);
        self.count_seal(scan, &outcome);
        self.scanned(scan, outcome, theirs).await
    }

    /// Keeps a page, and what becomes of its window, in one transaction. The times are when it came, and the present that
    /// sweeps count from.
    async fn append(
        &self,
        window: &OpenWindow,
        page: LogPage,
        then: &Then,
        claim: &Claim,
        (received_at, sealed_at): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<Appended, StoreError> {
        invariant!(
            SealedByACompleteReply,
            !then.seals() || page.next.is_none() || page.entries.is_empty(),
            "{} would be sealed by a page that has another after it",
            window.window
        );
        let (store, then) = (self.store.clone(), then.clone());
        let (claim_since, claim_before) = (claim.since, claim.before);
        let (id, limit) = (window.id, window.limit);
        let (asked, resumed) = (window.cursor.clone(), window.resumed);
        task::blocking(move || {
            let arrivals = page.entries.into_iter().map(Arrival::read).collect();
            store.append(&Page {
                window: id,
                asked,
                resumed,
                limit,
                arrivals,
                then,
                claim_since,
                claim_before,
                received_at,
                sealed_at,
            })
        })
        .await
    }

    /// Whether a page is of the first live window that is asked of another orgtrail.
    async fn is_first_of_an_orgtrail(
        &self,
        scan: &Scan,
        page: &LogPage,
    ) -> Result<bool, StoreError> {
        if page.covered.is_none() || scan.kind != WindowKind::Live {
            return Ok(false);
        }
        let (store, source) = (self.store.clone(), scan.source.clone());
        task::blocking(move || Ok(store.progress(&source)?.last_live.is_none())).await
    }

    /// A scan starts over with a part of its window, because one answer cannot say what is proven of all of it.
    async fn start_over_with(
        &self,
        scan: &Scan,
        window: OpenWindow,
        cut: Window,
        theirs: Option<DateTime<Utc>>,
    ) -> Result<Scanned, TurnError> {
        let (store, now) = (self.store.clone(), self.clock.now().min(scan.present));
        task::blocking(move || store.restart_window(window.id, cut, now)).await?;
        let why = "the orgtrail that is polled has too many gaps for one answer".to_owned();
        self.scanned(scan, ScanOutcome::Restarted { why }, theirs)
            .await
    }

    /// A scan cannot go on from its page, and must start over.
    async fn lose_cursor(
        &self,
        scan: &Scan,
        window: OpenWindow,
        why: &str,
    ) -> Result<Scanned, TurnError> {
        let error = UpstreamError::CursorRefused(why.to_owned()).into();
        self.handle_bad_answer(scan, window, BadAnswer::CursorLost, error)
            .await
    }

    pub(super) async fn scanned(
        &self,
        scan: &Scan,
        outcome: ScanOutcome,
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
            outcome,
            progress,
            theirs,
        })
    }
}

/// What follows a page. When the cursors of the shortest window led nowhere before, it is asked for by the time of its last
/// entry where that leads on.
fn follows(scan: &Scan, window: &OpenWindow, page: &LogPage) -> Follows {
    let place = place(window);
    match place.then(page) {
        Follows::Page(_) if scan.unfinished.0 > 0 && window.window.middle().is_none() => {
            place.then_by_time(page)
        }
        follows => follows,
    }
}

/// The part of its window that a scan should ask for instead, if its first page comes from another orgtrail with too many gaps.
fn named_part(scan: &Scan, window: &OpenWindow, page: &LogPage) -> Option<Window> {
    let covered = page.covered.as_ref()?;
    let is_first_page = window.cursor.is_none() && window.resumed.is_none();
    let cut = is_first_page.then(|| cut_to_what_is_named(covered, scan.kind, window.window));
    cut.flatten()
}

/// What a kept page came to.
fn kept(
    scan: &Scan,
    window: &OpenWindow,
    then: &Then,
    claim: &Claim,
    appended: Appended,
    theirs: Option<DateTime<Utc>>,
) -> ScanOutcome {
    let sealed = then.seals().then(|| claim.reached(theirs));
    debug!(
        source = %scan.source, window.kind = scan.kind.as_str(), window.sealed = sealed.is_some(),
        new = appended.new, held = appended.held, "Stored a page."
    );
    match *then {
        Then::GiveUp(cause) => ScanOutcome::GaveUp {
            window: window.window,
            cause,
        },
        Then::Leave => ScanOutcome::Left {
            before: window.window.before,
        },
        Then::GoOn(_)
        | Then::GoOnFrom(_)
        | Then::StartOver
        | Then::Seal
        | Then::SealPieces { .. } => ScanOutcome::Kept { appended, sealed },
    }
}

/// Where a window's scan is.
fn place(window: &OpenWindow) -> Place<'_> {
    Place {
        window: window.window,
        resumed: window.resumed,
        cursor: window.cursor.as_ref(),
        empty_pages: window.empty_pages,
        has_nameless: window.has_nameless,
    }
}
