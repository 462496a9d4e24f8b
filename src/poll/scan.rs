//! One page of a window's scan: asked for, kept or refused, and what that makes of the window.
//!
//! What upstream sends may be incomplete, broken, foreign or misleading. A window is sealed only by what proves it; what
//! cannot be read is narrowed down and passed as a gap with its cause.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::debug;

use super::paging::{Follows, Place};
use super::skew;
use super::stretch;
use super::turn::{Did, Hands, Scan, Scanned, TurnError, UpstreamClock};
use crate::event::{self, Arrival};
use crate::invariant;
use crate::ledger;
use crate::position::{MAX_SOURCE_ID_LEN, Source, Window, WindowKind};
use crate::store::{GapCause, OpenWindow, Page, StoreError, Then};
use crate::task;
use crate::upstream::{LogPage, Permit, UpstreamError};

/// How often an answer must be unreadable in a row before the stretch is narrowed down: one may be damaged on its way.
pub(super) const UNREADABLE_TRIES: u32 = 3;

/// How often an answer must hold foreign entries alone before a sweep or a backfill narrows down or passes its stretch.
const FOREIGN_TRIES: u32 = 10;

/// How long that must last: two answers may be mixed up for a while.
const FOREIGN_SPAN: TimeDelta = TimeDelta::minutes(30);

/// A stretch of at most this length with foreign entries alone is passed as a whole. Shorter gaps would cost more calls, and
/// more rows, than they save.
const SHORTEST_FOREIGN: TimeDelta = TimeDelta::hours(1);

/// How often a scan of the shortest window starts over before that window is passed as a gap: about eight minutes. In memory
/// only, so it begins anew with the process.
const MAX_UNFINISHED: u32 = 8;

/// When upstream never sent its time, so much of what is newest is not claimed: our own clock may be wrong.
const UNCERTAIN_PRESENT: TimeDelta = TimeDelta::days(1);

impl Hands {
    pub(super) async fn scan(&self, permit: Permit, scan: &Scan) -> Result<Scanned, TurnError> {
        let open = self.open_window(scan).await?;
        let Some(window) = open else {
            return self.scanned(scan, Did::Nothing, None).await;
        };
        // The budget is written down before it is spent: a crash from here on loses calls, never counts them twice.
        self.save(permit.to_save).await?;
        let asked_at = self.clock.steady();
        // A cursor is good for its own question: what it is asked with stays the same until the scan starts over.
        let limit = window.limit.unwrap_or(scan.limit);
        let (asked, cursor) = (place(&window).asked(), window.cursor.as_ref());
        let page = self
            .upstream
            .fetch_log_page(permit, &scan.source, asked, cursor, limit)
            .await;
        self.save_wait().await?;
        match page {
            Ok(page) => self.keep(scan, window, limit, page, asked_at).await,
            Err(UpstreamError::CursorRefused(why)) => self.restart(scan, window, why).await,
            // Perhaps it is too long. At its shortest it is not, and somebody must look.
            Err(UpstreamError::WindowRefused(why)) if window.window.middle().is_some() => {
                self.restart(scan, window, why).await
            }
            Err(UpstreamError::PageTooLarge) => self.ask_for_less(scan, window, limit).await,
            Err(error @ UpstreamError::Unreadable(_)) => {
                self.narrow_unreadable(scan, window, error).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The window to go on with, or a new one if it is time for one.
    async fn open_window(&self, scan: &Scan) -> Result<Option<OpenWindow>, StoreError> {
        let (hands, source) = (self.clone(), scan.source.clone());
        let (kind, present) = (scan.kind, scan.present);
        let is_silent = scan.upstream_clock == UpstreamClock::Silent;
        task::blocking(move || {
            hands.heed_others()?;
            let mut progress = hands.store.progress(&source)?;
            if let Some(open) = progress.open(kind) {
                if let Some(open) = hands.cut_to_what_is_kept(&source, kind, open, present)? {
                    return Ok(Some(open));
                }
                progress = hands.store.progress(&source)?;
            }
            let Some(mut window) = stretch::next_window(kind, &progress, &hands.settings, present)
            else {
                return Ok(None);
            };
            if kind == WindowKind::Live && is_silent {
                // Only what is older than a day will be sealed, so that much is read again each time.
                let overlap = hands.settings.overlap.of(&progress.visibility);
                let since = present - UNCERTAIN_PRESENT - overlap;
                window = Window::new(window.since.min(since), present);
            }
            // By the lesser of the two clocks, so that no scan claims to have begun later than it did.
            let began = hands.clock.now().min(present);
            hands
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

    /// Upstream's present, which is what claims go by: as this answer says, or as the last one that said so.
    fn upstream_now(&self, scan: &Scan, page: &LogPage) -> Option<DateTime<Utc>> {
        match (page.date, scan.upstream_clock) {
            (Some(date), _) => Some(date),
            (None, UpstreamClock::Ahead(ahead)) => Some(self.clock.steady() + ahead),
            (None, UpstreamClock::Silent | UpstreamClock::NotHeard) => None,
        }
    }

    /// The part of a window that can be claimed when its last page has come.
    fn claim(&self, scan: &Scan, window: Window, page: &LogPage, took: TimeDelta) -> Claim {
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
        }
    }

    async fn keep(
        &self,
        scan: &Scan,
        window: OpenWindow,
        limit: u32,
        page: LogPage,
        asked_at: DateTime<Utc>,
    ) -> Result<Scanned, TurnError> {
        if let Some(owner) = foreign_owner(&scan.source, &page) {
            return self.refuse_foreign(scan, window, owner).await;
        }
        let received_at = self.clock.now();
        let theirs = page.date;
        let took = self.clock.steady() - asked_at;
        let claim = self.claim(scan, window.window, &page, took);
        if theirs.is_some() && claim.before.timestamp() <= window.window.since.timestamp() {
            let (store, id) = (self.store.clone(), window.id);
            task::blocking(move || store.abandon_window(id)).await?;
            return self.scanned(scan, Did::TooEarly, theirs).await;
        }
        let follows = follows(scan, &window, &page);
        if follows == Follows::NoWay && self.may_ask_for_more(scan, &window, limit) {
            return self.ask_for_more(scan, window, limit).await;
        }
        let then = match what_follows(follows, &window, &claim) {
            Ok(then) => then,
            Err(why) => return self.restart(scan, window, why.to_owned()).await,
        };
        invariant!(
            SealedByACompleteReply,
            then != Then::Seal || page.next.is_none() || page.entries.is_empty(),
            "{} of {} would be sealed by a page that has another after it",
            window.window,
            scan.source
        );
        let sealed = (then == Then::Seal).then_some(claim.reached(theirs));
        let sealed_at = claim.sealed_at(theirs, received_at);
        let (store, entries, end) = (self.store.clone(), page.entries, then.clone());
        let (id, asked, resumed) = (window.id, window.cursor.clone(), window.resumed);
        let kept = task::blocking(move || {
            let arrivals = entries.into_iter().map(Arrival::read).collect();
            store.append(&Page {
                window: id,
                asked,
                resumed,
                limit: Some(limit),
                arrivals,
                then,
                claim_since: claim.since,
                claim_before: claim.before,
                received_at,
                sealed_at,
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
        let did = match end {
            Then::GiveUp(cause) => Did::GaveUp {
                window: window.window,
                cause,
            },
            Then::Leave => Did::Left,
            Then::GoOn(_) | Then::GoOnFrom(_) | Then::Seal => Did::Kept { appended, sealed },
        };
        self.scanned(scan, did, theirs).await
    }

    /// Nothing is kept of a page with foreign entries alone. It is asked for again; a sweep or a backfill that sees nothing else
    /// for long passes what it cannot read, so that it does not hold back what is older. A live window never does.
    async fn refuse_foreign(
        &self,
        scan: &Scan,
        window: OpenWindow,
        owner: String,
    ) -> Result<Scanned, TurnError> {
        let owner = self.upstream.hide_credentials(&owner);
        let error = TurnError::Foreign { owner };
        if scan.kind == WindowKind::Live {
            self.reach_on(scan, window).await?;
            return Err(error);
        }
        let (store, id, now) = (self.store.clone(), window.id, self.clock.now());
        let bad = task::blocking(move || store.count_bad_answer(id, now)).await?;
        let is_short = window.window.span() <= SHORTEST_FOREIGN;
        let is_lasting = bad.count >= FOREIGN_TRIES && now - bad.since >= FOREIGN_SPAN;
        match (is_lasting, is_short) {
            (true, true) => self.give_up(scan, window, GapCause::Foreign).await,
            (true, false) => self.restart(scan, window, error.to_string()).await,
            // A part of a stretch that was refused for long is narrowed down at once.
            (false, false) if window.restarts > 0 => {
                self.restart(scan, window, error.to_string()).await
            }
            (false, _) => Err(error),
        }
    }

    async fn restart(
        &self,
        scan: &Scan,
        window: OpenWindow,
        why: String,
    ) -> Result<Scanned, TurnError> {
        if window.window.middle().is_none() && scan.unfinished >= MAX_UNFINISHED {
            return self.give_up(scan, window, GapCause::Unreadable).await;
        }
        let (store, now) = (self.store.clone(), self.clock.now());
        let smaller = stretch::halved(scan.kind, window.window);
        // The limit that fits stays.
        let limit = window.limit;
        task::blocking(move || store.restart_with_limit(window.id, smaller, limit, now)).await?;
        self.scanned(scan, Did::Restarted { why }, None).await
    }

    /// A page has too many bytes: the scan starts over with half the limit and half the stretch, so that it takes about as
    /// many pages as before. An entry too large to take even alone is found so to the second, and passed.
    async fn ask_for_less(
        &self,
        scan: &Scan,
        window: OpenWindow,
        limit: u32,
    ) -> Result<Scanned, TurnError> {
        if limit <= 1 {
            let why = UpstreamError::PageTooLarge.to_string();
            return self.pass(scan, window, GapCause::TooLarge, why).await;
        }
        let (store, now) = (self.store.clone(), self.clock.now());
        let smaller = stretch::halved(scan.kind, window.window);
        task::blocking(move || store.restart_with_limit(window.id, smaller, Some(limit / 2), now))
            .await?;
        self.scanned(scan, Did::AskedForLess, None).await
    }

    /// Whether the limit can be the reason why a page seems to be cut off. In the shortest window this is tried a few times
    /// only, because two entries that are too large together would lead from a smaller limit to a larger one for ever.
    fn may_ask_for_more(&self, scan: &Scan, window: &OpenWindow, limit: u32) -> bool {
        let is_bounded = window.window.middle().is_some() || scan.unfinished < MAX_UNFINISHED;
        limit < self.settings.page_size && is_bounded
    }

    /// A full page has no cursor and no way on, and the limit was small: each last page of one entry is full. The same
    /// stretch is scanned with twice the limit.
    async fn ask_for_more(
        &self,
        scan: &Scan,
        window: OpenWindow,
        limit: u32,
    ) -> Result<Scanned, TurnError> {
        let (store, now) = (self.store.clone(), self.clock.now());
        let more = limit.saturating_mul(2).min(self.settings.page_size);
        task::blocking(move || store.restart_with_limit(window.id, window.window, Some(more), now))
            .await?;
        self.scanned(scan, Did::AskedForMore, None).await
    }

    /// An answer is whole and is not JSON. If it stays so, the stretch is narrowed down to the second that causes it.
    async fn narrow_unreadable(
        &self,
        scan: &Scan,
        window: OpenWindow,
        error: UpstreamError,
    ) -> Result<Scanned, TurnError> {
        let (store, id, now) = (self.store.clone(), window.id, self.clock.now());
        let bad = task::blocking(move || store.count_bad_answer(id, now)).await?;
        // A part of a stretch that was unreadable is narrowed down at once. Before it is passed, it is asked for again.
        let is_narrowed = window.restarts > 0 && window.window.middle().is_some();
        if bad.count < UNREADABLE_TRIES && !is_narrowed {
            return Err(error.into());
        }
        let why = error.to_string();
        self.pass(scan, window, GapCause::Unreadable, why).await
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

    /// The window cannot be read as a whole: it is halved until what causes that is known to the second, and that is passed.
    async fn pass(
        &self,
        scan: &Scan,
        window: OpenWindow,
        cause: GapCause,
        why: String,
    ) -> Result<Scanned, TurnError> {
        if window.window.middle().is_some() {
            return self.restart(scan, window, why).await;
        }
        self.give_up(scan, window, cause).await
    }

    async fn give_up(
        &self,
        scan: &Scan,
        window: OpenWindow,
        cause: GapCause,
    ) -> Result<Scanned, TurnError> {
        let (store, now, id) = (self.store.clone(), self.clock.now(), window.id);
        task::blocking(move || store.give_up_window(id, cause, now)).await?;
        let window = window.window;
        self.scanned(scan, Did::GaveUp { window, cause }, None)
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
}

/// What a scan that has come to its end may claim.
struct Claim {
    window: Window,
    /// Nothing before this.
    since: DateTime<Utc>,
    /// Nothing from this on.
    before: DateTime<Utc>,
    kind: WindowKind,
    /// Whether enough is known of upstream's clock to claim anything.
    is_certain: bool,
    /// Upstream's present, as earlier answers have confirmed it.
    known: Option<DateTime<Utc>>,
}

impl Claim {
    /// Whether the window should be sealed. History goes on before a sealed window, so one of history is sealed to its end.
    fn is_worth_sealing(&self) -> bool {
        let claimed = Window::new(
            self.since.max(self.window.since),
            self.before.min(self.window.before),
        );
        let is_whole = claimed.before == self.window.before;
        self.is_certain && !claimed.is_empty() && (is_whole || self.kind != WindowKind::Backfill)
    }

    /// The present that sweeps count from. It must not be too early, or a sweep would claim to have waited longer than it did;
    /// nor too late, or early sweeps would be left out. Upstream's clock is used if it is known and this answer agrees. If they
    /// differ, the later of the clocks is used, but not one date that may be years ahead.
    fn sealed_at(&self, theirs: Option<DateTime<Utc>>, ours: DateTime<Utc>) -> DateTime<Utc> {
        match (self.known, theirs) {
            (Some(known), Some(theirs)) if skew::agree(known, theirs) => known.max(theirs),
            (Some(known), None) => known,
            (Some(known), Some(_)) => ours.max(known).max(self.before.min(self.window.before)),
            (None, _) => ours.max(self.before),
        }
    }

    /// How far the scan has come: if upstream did not say what time it was, all was read that there is.
    fn reached(&self, theirs: Option<DateTime<Utc>>) -> DateTime<Utc> {
        match theirs {
            Some(_) => self.before.min(self.window.before),
            None => self.window.before,
        }
    }
}

/// What follows a page. When the cursors of the shortest window led nowhere before, it is asked for by the time of its last
/// entry where that leads on.
fn follows(scan: &Scan, window: &OpenWindow, page: &LogPage) -> Follows {
    let place = place(window);
    match place.then(page) {
        Follows::Page(_) if scan.unfinished > 0 && window.window.middle().is_none() => {
            place.then_by_time(page)
        }
        follows => follows,
    }
}

/// What becomes of the window of a page that is kept; otherwise why the scan starts over.
fn what_follows(
    follows: Follows,
    window: &OpenWindow,
    claim: &Claim,
) -> Result<Then, &'static str> {
    match follows {
        Follows::Page(cursor) => Ok(Then::GoOn(cursor)),
        Follows::From(time) => Ok(Then::GoOnFrom(time)),
        Follows::End if claim.is_worth_sealing() => Ok(Then::Seal),
        Follows::End => Ok(Then::Leave),
        Follows::NoWay if window.window.middle().is_none() => {
            Ok(Then::GiveUp(GapCause::Unreadable))
        }
        Follows::NoWay => {
            Err("a full page has no cursor, and what follows it cannot be asked for by its time")
        }
        Follows::Unknown(why) => Err(why),
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
