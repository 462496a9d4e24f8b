//! What a scan makes of its window after a bad answer, as [`super::recovery`] decides: counted, restarted smaller, or passed.

use chrono::TimeDelta;

use super::error::TurnError;
use super::next_window;
use super::recovery::{self, BadAnswer, Elsewhere, NextStep, Situation};
use super::turn::{PollContext, Probe, Scan, ScanOutcome, Scanned, UpstreamClock};
use crate::position::{Source, Window, WindowKind};
use crate::store::{BadAnswers, GapCause, OpenWindow, Progress, StoreError};
use crate::task;
use crate::upstream::{Permit, UpstreamError};

/// After so many foreign pages in a row, a live window reaches further.
const FOREIGN_TRIES: u32 = 3;

impl PollContext {
    /// Does what follows from a bad answer about a window. `error` is what it came to, if nothing can be done but wait.
    pub(super) async fn handle_bad_answer(
        &self,
        scan: &Scan,
        window: OpenWindow,
        answer: BadAnswer,
        error: TurnError,
    ) -> Result<Scanned, TurnError> {
        let progress = self.progress(&scan.source).await?;
        let counted = self.count(scan, &window, answer).await?;
        let mut at = self.situation(scan, &window, &progress, counted);
        let mut step = recovery::next_step(answer, &at, &scan.patience);
        if step == NextStep::LookElsewhere {
            at.elsewhere = self
                .look_elsewhere(scan, &window, &progress, counted.count)
                .await?;
            step = recovery::next_step(answer, &at, &scan.patience);
        }
        let is_failing = at.elsewhere != Elsewhere::NotAsked;
        match step {
            NextStep::Retry if is_failing => {}
            // It goes on as slowly as before: many more calls could fail.
            NextStep::HalveStretch if is_failing => {
                let half = next_window::halved(scan.kind, window.window);
                self.restart(&window, half, window.limit).await?;
            }
            step => return self.apply(scan, window, step, error).await,
        }
        let elsewhere = at.elsewhere;
        let outcome = ScanOutcome::StillFailing { error, elsewhere };
        self.scanned(scan, outcome, None).await
    }

    /// What follows from a bad answer about a window that can come from no other stretch of the source.
    pub(super) async fn decide(
        &self,
        scan: &Scan,
        window: &OpenWindow,
        answer: BadAnswer,
    ) -> Result<NextStep, StoreError> {
        let progress = self.progress(&scan.source).await?;
        let counted = self.count(scan, window, answer).await?;
        let at = self.situation(scan, window, &progress, counted);
        Ok(recovery::next_step(answer, &at, &scan.patience))
    }

    /// Does what was decided.
    pub(super) async fn apply(
        &self,
        scan: &Scan,
        window: OpenWindow,
        step: NextStep,
        error: TurnError,
    ) -> Result<Scanned, TurnError> {
        let (whole, limit) = (window.window, window.limit.unwrap_or(scan.limit));
        let half = next_window::halved(scan.kind, whole);
        let (smaller, limit, outcome) = match step {
            NextStep::Retry | NextStep::LookElsewhere => return Err(error),
            NextStep::Pass(cause) => return self.give_up(scan, window, cause).await,
            NextStep::StartOver => (whole, limit, ScanOutcome::Restarted { why: why(error) }),
            NextStep::HalveStretch => (half, limit, ScanOutcome::Restarted { why: why(error) }),
            // So it takes about as many pages as before.
            NextStep::HalveLimit => (half, limit / 2, ScanOutcome::AskedForLess),
            NextStep::DoubleLimit => {
                let more = limit.saturating_mul(2).min(self.settings.page_size);
                (whole, more, ScanOutcome::AskedForMore)
            }
        };
        self.restart(&window, smaller, Some(limit)).await?;
        self.scanned(scan, outcome, None).await
    }

    /// Nothing is kept of a page with foreign entries alone. It is asked for again; a sweep or a backfill that sees nothing else
    /// for long passes what it cannot read, so that it does not hold back what is older. A live window never does.
    pub(super) async fn refuse_foreign(
        &self,
        scan: &Scan,
        window: OpenWindow,
        owner: String,
    ) -> Result<Scanned, TurnError> {
        let error = TurnError::Foreign { owner };
        if scan.kind == WindowKind::Live {
            // A mixed-up answer in mid-scan is asked for again as it was.
            let is_at_start = window.cursor.is_none() && window.resumed.is_none();
            if is_at_start {
                let counted = self.count(scan, &window, BadAnswer::Foreign).await?;
                if counted.count >= FOREIGN_TRIES {
                    self.extend_live_window(scan, window).await?;
                }
            }
            return Err(error);
        }
        self.handle_bad_answer(scan, window, BadAnswer::Foreign, error)
            .await
    }

    /// Extends a live window for its next request, up to the present. Once it contains an entry of the source itself, the foreign
    /// ones are known to be in this log. Without this, a quiet source would never continue.
    async fn extend_live_window(&self, scan: &Scan, window: OpenWindow) -> Result<(), StoreError> {
        if scan.present <= window.window.before {
            return Ok(());
        }
        let (store, now) = (self.store.clone(), self.clock.now().min(scan.present));
        let Window { since, before } = window.window;
        let longest = next_window::FIRST_LIVE_PIECE.max((before - since) * 2);
        let longer = Window::new(since, scan.present.min(since + longest));
        let limit = window.limit;
        task::blocking(move || store.restart_with_limit(window.id, longer, limit, now)).await
    }

    /// Asks for a second of the source that was read before, or for one of long before if there is none, if the quota allows
    /// it now.
    async fn look_elsewhere(
        &self,
        scan: &Scan,
        window: &OpenWindow,
        progress: &Progress,
        tries: u32,
    ) -> Result<Elsewhere, TurnError> {
        let proven: Vec<Window> = progress.proven.iter().map(|piece| piece.window).collect();
        let other = recovery::elsewhere(&proven, window.window)
            .unwrap_or_else(|| recovery::long_before(window.window, tries));
        // A turn of its own has found out since the last bad answer.
        match scan.look {
            Probe::Made(Elsewhere::Answered(_)) => return Ok(self.answered_elsewhere(scan)),
            Probe::Made(elsewhere) => return Ok(elsewhere),
            Probe::NotNeeded | Probe::Wanted => {}
        }
        // With a short quota there is no second call for a turn: the next turn looks.
        let Ok(permit) = self.upstream.quota().take(self.clock.steady()) else {
            return Ok(Elsewhere::NoCall);
        };
        self.ask_elsewhere(permit, scan, other).await
    }

    /// A second of the source that was read before, or one of long before if there is none: another one every few minutes.
    pub(super) async fn other_stretch(
        &self,
        scan: &Scan,
        window: &OpenWindow,
    ) -> Result<Window, StoreError> {
        let progress = self.progress(&scan.source).await?;
        let proven: Vec<Window> = progress.proven.iter().map(|piece| piece.window).collect();
        let minutes = self.clock.steady().timestamp().unsigned_abs() / 60;
        let tries = u32::try_from(minutes).unwrap_or_default();
        let other = recovery::elsewhere(&proven, window.window);
        Ok(other.unwrap_or_else(|| recovery::long_before(window.window, tries)))
    }

    /// Asks for another stretch of the source.
    pub(super) async fn ask_elsewhere(
        &self,
        permit: Permit,
        scan: &Scan,
        other: Window,
    ) -> Result<Elsewhere, TurnError> {
        self.save(permit.to_save).await?;
        let page = self
            .upstream
            .fetch_log_page(permit, &scan.source, other.widened(), None, 1)
            .await;
        self.save_wait().await?;
        Ok(match page {
            Ok(_) => self.answered_elsewhere(scan),
            // That says nothing of the source.
            Err(UpstreamError::RateLimited { .. } | UpstreamError::NoToken(_)) => {
                Elsewhere::Unknown
            }
            Err(_) => Elsewhere::Down,
        })
    }

    fn answered_elsewhere(&self, scan: &Scan) -> Elsewhere {
        let now = self.clock.steady();
        let lasts = scan.answered_elsewhere_since.map(|since| now - since);
        Elsewhere::Answered(lasts.unwrap_or_default())
    }

    async fn progress(&self, source: &Source) -> Result<Progress, StoreError> {
        let (store, source) = (self.store.clone(), source.clone());
        task::blocking(move || store.progress(&source)).await
    }

    /// Counts a bad answer with its window; one after which a smaller scan follows at once needs no count.
    async fn count(
        &self,
        scan: &Scan,
        window: &OpenWindow,
        answer: BadAnswer,
    ) -> Result<BadAnswers, StoreError> {
        let (store, id, now) = (self.store.clone(), window.id, self.clock.steady());
        let limit = window.limit.unwrap_or(scan.limit);
        match answer {
            BadAnswer::CursorLost | BadAnswer::Refused => {}
            BadAnswer::TooLarge if limit > 1 => {}
            BadAnswer::TooLarge
            | BadAnswer::Unreadable
            | BadAnswer::NoWayOn
            | BadAnswer::Foreign
            | BadAnswer::Failing => {
                return task::blocking(move || store.count_bad_answer(id, now)).await;
            }
        }
        Ok(BadAnswers {
            count: 1,
            lasted: TimeDelta::zero(),
        })
    }

    fn situation(
        &self,
        scan: &Scan,
        window: &OpenWindow,
        progress: &Progress,
        counted: BadAnswers,
    ) -> Situation {
        Situation {
            window: window.window,
            limit: window.limit.unwrap_or(scan.limit),
            page_size: self.settings.page_size,
            has_cursor: window.cursor.is_some(),
            is_narrowed: window.restarts > 0 || progress.was_halved(scan.kind),
            count: counted.count,
            lasts: counted.lasted,
            unfinished: scan.unfinished,
            passed_beside: recovery::passed_beside(&progress.gaps, window.window),
            elsewhere: Elsewhere::NotAsked,
        }
    }

    async fn restart(
        &self,
        window: &OpenWindow,
        stretch: Window,
        limit: Option<u32>,
    ) -> Result<(), StoreError> {
        let (store, id, now) = (self.store.clone(), window.id, self.clock.now());
        task::blocking(move || store.restart_with_limit(id, stretch, limit, now)).await
    }

    async fn give_up(
        &self,
        scan: &Scan,
        window: OpenWindow,
        cause: GapCause,
    ) -> Result<Scanned, TurnError> {
        // Its sweeps count from then, as from a seal: by upstream's clock where that is known.
        let now = match scan.upstream_clock {
            UpstreamClock::Ahead(ahead) => self.clock.steady() + ahead,
            UpstreamClock::Silent | UpstreamClock::NotHeard => self.clock.now(),
        };
        let (store, id) = (self.store.clone(), window.id);
        task::blocking(move || store.give_up_window(id, cause, now)).await?;
        let window = window.window;
        self.scanned(scan, ScanOutcome::GaveUp { window, cause }, None)
            .await
    }
}

/// Why a scan starts over.
fn why(error: TurnError) -> String {
    match error {
        TurnError::Upstream(UpstreamError::CursorRefused(why)) => why,
        error => error.to_string(),
    }
}
