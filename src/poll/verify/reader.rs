//! The pages of a stretch of a source's log, read again, with what cannot be read left out.
//!
//! What follows from a bad answer is decided as for a scan ([`super::super::recovery`]). Nothing is claimed of what is read,
//! so nothing is lost by what is left out, and nobody is made to wait long for it.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::error::{MAX_PAGES, VerifyError, WaitToRetry};
use crate::backoff::wait_after;
use crate::poll::foreign::foreign_owner;
use crate::poll::paging::{Follows, Place, has_nameless};
use crate::poll::recovery::{self, BadAnswer, Elsewhere, NextStep, Patience, Situation};
use crate::poll::turn::PollContext;
use crate::position::{Cursor, Source, Window};
use crate::store::{GapCause, StoreError};
use crate::task;
use crate::upstream::{LogPage, Permit, UpstreamError};

/// How many bad answers in a row, about any stretch, end it: each wait is twice the one before, from a second, so two minutes
/// in all.
const MAX_TRIES: u32 = 8;

/// The wait after the first of them.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(1);

/// The longest wait.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(2);

/// What is read next.
pub(super) enum ReadOutcome {
    /// A scan begins: what its pages show is shown from its beginning.
    Begun,
    /// A page, of which what happened before the time was shown by pages before it.
    Page(LogPage, Option<DateTime<Utc>>),
    /// What happened from then on is shown again.
    ResumedFrom(DateTime<Utc>),
    /// This stretch cannot be read.
    LeftOut(Window, GapCause),
}

/// Reads a stretch, oldest first.
pub(super) struct PageReader {
    context: PollContext,
    source: Source,
    whole: Window,
    /// What is still to be read, the earliest last.
    pieces: Vec<Window>,
    scan: Option<ComparisonScan>,
    limit: u32,
    pages: u64,
    /// Whether upstream has answered at all.
    is_answered: bool,
    /// Bad answers in a row about this piece.
    count: u32,
    /// Waits in a row.
    waits: u32,
    /// How often in a row a scan of the shortest stretch started over.
    unfinished: u32,
}

/// A scan of a piece.
struct ComparisonScan {
    piece: Window,
    cursors: HashSet<String>,
    cursor: Option<Cursor>,
    resumed: Option<DateTime<Utc>>,
    empty_pages: u32,
    /// Whether a page so far had an entry with neither id nor time.
    has_nameless: bool,
    /// What follows the page that was read last.
    follows: Option<Follows>,
}

impl ComparisonScan {
    fn new(piece: Window) -> Self {
        Self {
            piece,
            cursors: HashSet::new(),
            cursor: None,
            resumed: None,
            empty_pages: 0,
            has_nameless: false,
            follows: None,
        }
    }

    fn place(&self) -> Place<'_> {
        Place {
            window: self.piece,
            resumed: self.resumed,
            cursor: self.cursor.as_ref(),
            empty_pages: self.empty_pages,
            has_nameless: self.has_nameless,
        }
    }
}

impl PageReader {
    pub(super) fn new(context: PollContext, source: Source, window: Window) -> Self {
        Self {
            limit: context.settings.page_size,
            context,
            source,
            whole: window,
            pieces: vec![window],
            scan: None,
            pages: 0,
            is_answered: false,
            count: 0,
            waits: 0,
            unfinished: 0,
        }
    }

    /// What is read next; `None` at the end. `tell` is called before each wait.
    ///
    /// # Errors
    /// [`VerifyError`], when upstream is down or the log cannot be read.
    pub(super) async fn next(
        &mut self,
        tell: &mut impl FnMut(WaitToRetry<'_>),
    ) -> Result<Option<ReadOutcome>, VerifyError> {
        loop {
            let Some(mut scan) = self.scan.take() else {
                let Some(piece) = self.pieces.pop() else {
                    return Ok(None);
                };
                self.scan = Some(ComparisonScan::new(piece));
                return Ok(Some(ReadOutcome::Begun));
            };
            let bad = match scan.follows.take() {
                None => match self.page(&mut scan).await? {
                    Ok(page) => {
                        let resumed = scan.resumed;
                        self.scan = Some(scan);
                        return Ok(Some(ReadOutcome::Page(page, resumed)));
                    }
                    Err(bad) => bad,
                },
                Some(Follows::End) => {
                    (self.count, self.unfinished) = (0, 0);
                    self.limit = self.most(self.limit.saturating_mul(2));
                    continue;
                }
                Some(_) if self.pages >= MAX_PAGES => return Err(VerifyError::Endless),
                Some(Follows::From(time)) => {
                    scan.cursors.clear();
                    (scan.cursor, scan.resumed) = (None, Some(time));
                    self.scan = Some(scan);
                    return Ok(Some(ReadOutcome::ResumedFrom(time)));
                }
                Some(Follows::Page(next)) => {
                    let is_same = scan.empty_pages > 0 && scan.cursor.as_ref() == Some(&next);
                    if scan.cursors.insert(next.0.clone()) || is_same {
                        scan.cursor = Some(next);
                        self.scan = Some(scan);
                        continue;
                    }
                    lost("it came again, and leads in a circle")
                }
                Some(Follows::Unknown(why)) => lost(why),
                Some(Follows::NoWay) => Bad {
                    answer: BadAnswer::NoWayOn,
                    error: UpstreamError::Unexpected("a full page has no cursor".into()).into(),
                },
            };
            if let Some(read) = self.handle_bad_answer(scan, bad, tell).await? {
                return Ok(Some(read));
            }
        }
    }

    fn most(&self, limit: u32) -> u32 {
        limit.min(self.context.settings.page_size)
    }

    /// One page, and what follows it, or why it cannot be used.
    async fn page(
        &mut self,
        scan: &mut ComparisonScan,
    ) -> Result<Result<LogPage, Bad>, VerifyError> {
        let place = scan.place();
        let page = self
            .fetch(place.asked(), place.cursor, self.limit)
            .await?
            .map_err(VerifyError::from);
        let page = page.and_then(|page| match foreign_owner(&self.source, &page) {
            None => Ok(page),
            Some(owner) => {
                let owner = self.context.upstream.hide_credentials(&owner);
                Err(VerifyError::Foreign(owner))
            }
        });
        match page {
            Ok(page) => {
                self.pages += 1;
                let follows = place.then(&page);
                if follows != Follows::NoWay {
                    (self.count, self.waits) = (0, 0);
                }
                self.is_answered = true;
                scan.follows = Some(follows);
                scan.has_nameless |= has_nameless(&page);
                let is_empty = page.entries.is_empty();
                scan.empty_pages = if is_empty { scan.empty_pages + 1 } else { 0 };
                Ok(Ok(page))
            }
            Err(error) => match bad_answer(&error, self.is_answered) {
                Some(answer) => Ok(Err(Bad { answer, error })),
                None => Err(error),
            },
        }
    }

    /// Does what follows from a bad answer; gives what is left out because of it.
    async fn handle_bad_answer(
        &mut self,
        scan: ComparisonScan,
        bad: Bad,
        tell: &mut impl FnMut(WaitToRetry<'_>),
    ) -> Result<Option<ReadOutcome>, VerifyError> {
        let piece = scan.piece;
        match self.decide(&scan, &bad).await? {
            NextStep::Pass(cause) => {
                (self.count, self.unfinished, self.waits) = (0, 0, 0);
                return Ok(Some(ReadOutcome::LeftOut(piece, cause)));
            }
            NextStep::Retry | NextStep::LookElsewhere => {
                self.wait_after(bad.error, tell).await?;
                match bad.answer {
                    // Its page was shown already.
                    BadAnswer::NoWayOn => self.pieces.push(piece),
                    _ => self.scan = Some(scan),
                }
            }
            NextStep::StartOver => {
                self.unfinished += 1;
                self.wait_after(bad.error, tell).await?;
                self.pieces.push(piece);
            }
            NextStep::DoubleLimit => {
                self.unfinished += u32::from(piece.middle().is_none());
                self.limit = self.most(self.limit.saturating_mul(2));
                self.pieces.push(piece);
            }
            NextStep::HalveLimit => {
                self.limit = (self.limit / 2).max(1);
                self.halve(piece);
            }
            NextStep::HalveStretch => self.halve(piece),
        }
        Ok(None)
    }

    async fn decide(&mut self, scan: &ComparisonScan, bad: &Bad) -> Result<NextStep, VerifyError> {
        let is_mixed_up = matches!(bad.answer, BadAnswer::Foreign);
        let is_told_to_wait = matches!(
            bad.error,
            VerifyError::Upstream(UpstreamError::RateLimited { .. })
        );
        if is_mixed_up || is_told_to_wait {
            return Ok(NextStep::Retry);
        }
        self.count += 1;
        let mut at = self.situation(scan);
        let step = recovery::next_step(bad.answer, &at, &Patience::COMPARISON);
        if step != NextStep::LookElsewhere {
            return Ok(step);
        }
        at.elsewhere = self.look_elsewhere(scan.piece).await?;
        Ok(recovery::next_step(bad.answer, &at, &Patience::COMPARISON))
    }

    /// Reads a piece in two, the earlier half first. What was read of it before stays.
    fn halve(&mut self, piece: Window) {
        (self.count, self.waits) = (0, 0);
        let halves = piece.middle().map(|middle| {
            let (since, before) = (piece.since, piece.before);
            [Window::new(middle, before), Window::new(since, middle)]
        });
        match halves {
            Some(halves) => self.pieces.extend(halves),
            None => self.pieces.push(piece),
        }
    }

    fn situation(&self, scan: &ComparisonScan) -> Situation {
        Situation {
            window: scan.piece,
            limit: self.limit,
            page_size: self.context.settings.page_size,
            has_cursor: scan.cursor.is_some(),
            is_narrowed: scan.piece != self.whole,
            count: self.count,
            lasts: TimeDelta::zero(),
            unfinished: (self.unfinished, TimeDelta::zero()),
            passed_beside: TimeDelta::zero(),
            elsewhere: Elsewhere::NotAsked,
        }
    }

    /// Requests a second near a piece that was read before, or one of long before if there is none.
    async fn look_elsewhere(&mut self, piece: Window) -> Result<Elsewhere, VerifyError> {
        let (store, source) = (self.context.store.clone(), self.source.clone());
        let progress = task::blocking(move || store.progress(&source)).await?;
        let proven: Vec<Window> = progress.proven.iter().map(|one| one.window).collect();
        let other = recovery::elsewhere(&proven, piece)
            .unwrap_or_else(|| recovery::long_before(piece, self.count));
        Ok(match self.fetch(other.widened(), None, 1).await? {
            Ok(_) => Elsewhere::Answered(TimeDelta::zero()),
            Err(_) => Elsewhere::Down,
        })
    }

    async fn fetch(
        &self,
        asked: Window,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Result<LogPage, UpstreamError>, StoreError> {
        let permit = self.permit().await?;
        let upstream = &self.context.upstream;
        let page = upstream
            .fetch_log_page(permit, &self.source, asked, cursor, limit)
            .await;
        self.context.save_wait().await?;
        Ok(page)
    }

    /// Waits after a bad answer; gives it back when there were too many.
    async fn wait_after(
        &mut self,
        error: VerifyError,
        tell: &mut impl FnMut(WaitToRetry<'_>),
    ) -> Result<(), VerifyError> {
        if self.waits + 1 >= MAX_TRIES {
            return Err(error);
        }
        self.waits += 1;
        let wait = wait_after(self.waits, FIRST_WAIT, LONGEST_WAIT);
        let wait = wait.to_std().unwrap_or_default();
        tell(WaitToRetry {
            error: &error,
            wait,
        });
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Leave to make a call, when there is some; the budget is written down before it is spent. What a service beside us was
    /// told to wait holds for us too.
    async fn permit(&self) -> Result<Permit, StoreError> {
        let quota = self.context.upstream.quota();
        loop {
            let context = self.context.clone();
            task::blocking(move || context.apply_waits_of_others()).await?;
            let now = self.context.clock.steady();
            match quota.take(now) {
                Ok(permit) => {
                    self.context.save(permit.to_save).await?;
                    return Ok(permit);
                }
                Err(until) => {
                    tokio::time::sleep((until - now).to_std().unwrap_or_default()).await;
                }
            }
        }
    }
}

/// A bad answer, and what it came to.
struct Bad {
    answer: BadAnswer,
    error: VerifyError,
}

fn lost(why: &str) -> Bad {
    Bad {
        answer: BadAnswer::CursorLost,
        error: UpstreamError::CursorRefused(why.into()).into(),
    }
}

/// What kind of bad answer an error is; `None` when nothing can be done about it. What upstream refuses from the beginning is
/// not there at all.
fn bad_answer(error: &VerifyError, is_answered: bool) -> Option<BadAnswer> {
    match error {
        VerifyError::Foreign(_) => Some(BadAnswer::Foreign),
        VerifyError::Upstream(error) => match error {
            UpstreamError::CursorRefused(_) => Some(BadAnswer::CursorLost),
            UpstreamError::WindowRefused(_) => Some(BadAnswer::Refused),
            UpstreamError::PageTooLarge => Some(BadAnswer::TooLarge),
            UpstreamError::Unreadable(_) => Some(BadAnswer::Unreadable),
            UpstreamError::Transient(_) | UpstreamError::RateLimited { .. } => {
                Some(BadAnswer::Failing)
            }
            UpstreamError::Unexpected(_) if is_answered => Some(BadAnswer::Failing),
            UpstreamError::NoToken(_)
            | UpstreamError::Unauthorized(_)
            | UpstreamError::Forbidden(_)
            | UpstreamError::Unexpected(_) => None,
        },
        VerifyError::Store(_) | VerifyError::TooMany | VerifyError::Endless => None,
    }
}
