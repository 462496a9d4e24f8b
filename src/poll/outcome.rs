//! What a turn's outcome means for the poller: when the source is asked again, and what the board says of it.

use chrono::{DateTime, Utc};
use tracing::{info, warn};

use super::error::TurnError;
use super::list_schedule::Listing;
use super::next_window;
use super::poller::Poller;
use super::recovery::Elsewhere;
use super::schedule::SourceSchedule;
use super::settings::Settings;
use super::skew::{self, Now};
use super::turn::{
    Listed, Outcome, PollContext, Scan, ScanOutcome, Scanned, TurnOutcome, UpstreamClock,
};
use crate::health::{LastError, State};
use crate::position::{Source, Window, WindowKind};
use crate::store::{GapCause, Progress};
use crate::upstream::UpstreamError;

impl Poller {
    /// Notes how a turn went.
    ///
    /// # Errors
    /// The turn's own error, when no later turn can do better.
    pub fn record_outcome(&mut self, outcome: Outcome) -> Result<(), TurnError> {
        let now = Now {
            wall: self.context.clock.now(),
            steady: self.context.clock.steady(),
        };
        self.places.end(outcome.place);
        match outcome.of {
            TurnOutcome::Scanned { scan, result } => {
                self.unreliable -= usize::from(scan.is_unreliable);
                if let Some(schedule) = self.schedules.get_mut(&scan.source) {
                    schedule.is_busy = false;
                }
                match *result {
                    Ok(scanned) => self.record_scan(&scan, scanned, now),
                    Err(error) if error.is_fatal() => return Err(error),
                    Err(error) => self.record_failure(&scan, error, now),
                }
            }
            TurnOutcome::Listed {
                organization,
                listing,
                result,
            } => match result {
                Err(error) if error.is_fatal() => return Err(error),
                result => self.record_list(&organization, listing, result, now),
            },
        }
        Ok(())
    }

    fn record_scan(&mut self, scan: &Scan, scanned: Scanned, ours: Now) {
        let (outcome, progress) = (scanned.outcome, scanned.progress);
        self.update_credential_from_scan(&outcome, ours);
        let is_answer = matches!(outcome, ScanOutcome::Kept { .. } | ScanOutcome::Left { .. });
        self.record_date(scanned.theirs, is_answer, ours);
        if scan.kind == WindowKind::Live && is_sealed(&outcome) {
            self.live_sealed += 1;
        }
        let times = Times {
            // Scheduling uses the earlier of the two clocks; the status that people read uses ours.
            now: Now {
                wall: self.skew.present(ours),
                ..ours
            },
            ours: ours.wall,
            are_apart: self.skew.difference(ours).is_some(),
        };
        let now = times.now;
        let (context, settings) = (&self.context, &self.context.settings);
        let Some(schedule) = self.schedules.get_mut(&scan.source) else {
            return;
        };
        note_outcome(context, schedule, scan, (&outcome, &progress), times);
        note_progress(context, scan, &progress, now);
        schedule.set_progress(progress, settings, now);
        let is_early = matches!(
            outcome,
            ScanOutcome::Nothing | ScanOutcome::TooEarly | ScanOutcome::Left { .. }
        );
        if is_early {
            schedule.look_again(scan.kind, settings, now);
        }
        note_read_to(schedule, scan, &outcome, settings, now);
        if let ScanOutcome::StillFailing { error, .. } = outcome {
            self.record_failure(scan, error, ours);
        }
    }

    /// Takes in what a scan says of the credential.
    fn update_credential_from_scan(&mut self, outcome: &ScanOutcome, now: Now) {
        match outcome {
            ScanOutcome::Kept { .. } | ScanOutcome::Left { .. } => self.record_answered(now),
            ScanOutcome::StillFailing {
                elsewhere: Elsewhere::Answered(_),
                ..
            }
            | ScanOutcome::LookedElsewhere(Elsewhere::Answered(_)) => self.record_answered(now),
            ScanOutcome::Restarted { .. }
            | ScanOutcome::AskedForMore
            | ScanOutcome::AskedForLess
            | ScanOutcome::GaveUp { .. } => self.clear_refusal(now),
            ScanOutcome::StillFailing { .. }
            | ScanOutcome::LookedElsewhere(_)
            | ScanOutcome::Nothing
            | ScanOutcome::TooEarly => {}
        }
    }

    /// Takes in what an answer said of upstream's clock, if it said anything.
    fn record_date(&mut self, theirs: Option<DateTime<Utc>>, is_answer: bool, now: Now) {
        match theirs {
            None if is_answer => self.skew.record_missing_date(now),
            None => {}
            Some(theirs) => {
                if let Some(ahead) = self.skew.heard(theirs, now) {
                    warn!(
                        ahead.seconds = ahead.num_seconds(),
                        "This machine's clock differs from upstream's; coverage uses the earlier of the two."
                    );
                }
            }
        }
    }

    fn record_failure(&mut self, scan: &Scan, error: TurnError, now: Now) {
        self.note_reach(&error, now);
        self.update_credential_from_error(&error, now);
        let Some(schedule) = self.schedules.get_mut(&scan.source) else {
            return;
        };
        let state = match &error {
            // The quota holds everybody back; the source itself is well.
            TurnError::Upstream(UpstreamError::RateLimited { .. }) => return,
            TurnError::Upstream(UpstreamError::Unauthorized(_) | UpstreamError::Forbidden(_)) => {
                return self.record_refusal(&scan.source, &error, now);
            }
            // Unless that concerns this stretch alone.
            TurnError::Upstream(UpstreamError::Unexpected(_) | UpstreamError::WindowRefused(_))
                if schedule.answered_elsewhere_since(scan.kind).is_none() =>
            {
                schedule.wait_for_help(scan.kind, now.steady);
                State::Failing
            }
            TurnError::Upstream(_)
            | TurnError::Store(_)
            | TurnError::Foreign { .. }
            | TurnError::NoWayOn
            | TurnError::Panicked(_) => {
                schedule.back_off(scan.kind, now.steady);
                State::Failing
            }
        };
        if fail(&self.context, &scan.source, state, &error, now) {
            warn!(source = %scan.source, error = %error, "Polling a source failed; retrying with backoff.");
        }
    }

    fn record_list(
        &mut self,
        organization: &str,
        listing: Listing,
        result: Result<Listed, TurnError>,
        now: Now,
    ) {
        if let Err(error @ TurnError::Upstream(UpstreamError::RateLimited { .. })) = &result {
            self.update_credential_from_error(error, now);
        }
        let is_accepted = matches!(
            &result,
            Ok(Listed::More(_) | Listed::Kept { lacks: None, .. })
        );
        if is_accepted {
            self.record_accepted(now);
        }
        let Some(schedule) = self
            .lists
            .iter_mut()
            .find(|schedule| schedule.organization == organization && schedule.listing == listing)
        else {
            return;
        };
        let (sources, error) = match result {
            Ok(Listed::More(list)) => return schedule.go_on(list),
            Ok(Listed::Kept { sources, lacks }) => (sources, lacks.map(TurnError::from)),
            Err(error) => (Vec::new(), Some(error)),
        };
        match &error {
            None => schedule.done(now.steady),
            Some(error) => schedule.failed(error, now.steady),
        }
        if listing != Listing::Accounts {
            return;
        }
        // Also from an incomplete list: its accounts exist.
        self.follow(organization, &sources, now.steady);
        if let Some(error) = error {
            self.tell_unlisted(organization, &error, now);
        }
    }

    /// An organization's accounts could not be listed, or not completely. That is the organization's trouble.
    fn tell_unlisted(&mut self, organization: &str, error: &TurnError, now: Now) {
        let source = Source::organization(organization);
        if let Some(source) = source.ok().filter(|one| self.schedules.contains_key(one)) {
            let message = format!("its accounts could not be listed completely: {error}");
            tell(&self.context, &source, now.wall, message);
        }
        // A credential that may not read members or names may read logs all the same.
        if matches!(error, TurnError::Upstream(UpstreamError::Unauthorized(_))) {
            self.judge(error, now);
        }
    }
}

/// When a scan ended.
#[derive(Clone, Copy)]
struct Times {
    /// By the earlier of our clock and upstream's.
    now: Now,
    /// By our clock.
    ours: DateTime<Utc>,
    /// Whether the two clocks differ by more than they may.
    are_apart: bool,
}

/// Notes what a scan came to: when its kind is due again, and what the board says of its source.
fn note_outcome(
    context: &PollContext,
    schedule: &mut SourceSchedule,
    scan: &Scan,
    (outcome, progress): (&ScanOutcome, &Progress),
    times: Times,
) {
    let (kind, now, ours) = (scan.kind, times.now, times.ours);
    match *outcome {
        ScanOutcome::Nothing => note_nothing_to_do(context, scan, progress, now, ours),
        ScanOutcome::TooEarly => {
            let why = "upstream's clock has not reached the time that is due";
            wait_for_clock(context, &scan.source, why, ours);
        }
        ScanOutcome::Left { before } => note_left(context, schedule, scan, before, now),
        ScanOutcome::Restarted { ref why } => {
            schedule.record_restart(kind, progress.open(kind), now.steady);
            note_restart(context, schedule, scan, why, ours);
        }
        ScanOutcome::AskedForLess => {}
        ScanOutcome::AskedForMore => {
            schedule.record_larger_limit(kind, progress.open(kind), now.steady);
            fail_unfinished(context, schedule, scan, ours);
        }
        ScanOutcome::StillFailing { elsewhere, .. } => {
            schedule.record_still_failing(kind, elsewhere, now.steady);
        }
        ScanOutcome::LookedElsewhere(elsewhere) => {
            schedule.record_probe(kind, elsewhere, now.steady)
        }
        ScanOutcome::GaveUp { window, cause } => {
            schedule.passed(kind, now.steady);
            schedule.sealed(kind, window.before, 0, &context.settings, now);
            note_gap(context, scan, window, cause, ours);
        }
        ScanOutcome::Kept {
            ref appended,
            sealed,
        } => {
            schedule.record_success(kind, now.steady);
            if let Some(before) = sealed {
                note_sealed(schedule, scan, before, appended.new, &context.settings, now);
            }
            let is_behind = next_window::is_behind(progress, &context.settings, now.wall);
            note_page(context, schedule, scan, times.are_apart, is_behind);
        }
    }
}

/// Whether a window was sealed.
fn is_sealed(outcome: &ScanOutcome) -> bool {
    matches!(
        outcome,
        ScanOutcome::Kept {
            sealed: Some(_),
            ..
        }
    )
}

/// A window was sealed that ends at `before`.
fn note_sealed(
    schedule: &mut SourceSchedule,
    scan: &Scan,
    before: DateTime<Utc>,
    new: usize,
    settings: &Settings,
    now: Now,
) {
    schedule.finished(scan.kind);
    if scan.kind == WindowKind::Sweep {
        schedule.set_swept_to(before, true);
    }
    schedule.sealed(scan.kind, before, new, settings, now);
}

/// Writes on the board that a source waits for a clock to be set right, and reports it once.
fn wait_for_clock(context: &PollContext, source: &Source, why: &str, at: DateTime<Utc>) {
    let mut is_news = false;
    context.board.write(source, |health| {
        is_news = health.state != State::Clock;
        health.state = State::Clock;
        health.last_error = Some(LastError {
            at,
            message: format!("the clocks differ: {why}"),
        });
    });
    if is_news {
        warn!(source = %source, why, "A source waits because a clock is wrong. Check this machine's clock.");
    }
}

/// Writes on the board that a clock is behind what was read before, if that is why there is nothing to do.
fn note_nothing_to_do(
    context: &PollContext,
    scan: &Scan,
    progress: &Progress,
    now: Now,
    ours: DateTime<Utc>,
) {
    let is_live = scan.kind == WindowKind::Live;
    let sealed_before = progress.live_before.filter(|_| is_live);
    if sealed_before.is_some_and(|before| skew::is_behind(now.wall, before)) {
        let why = "a clock is behind what was read before";
        wait_for_clock(context, &scan.source, why, ours);
    }
}

/// A scan came to its end, and nothing can be claimed of it yet.
fn note_left(
    context: &PollContext,
    schedule: &mut SourceSchedule,
    scan: &Scan,
    before: DateTime<Utc>,
    now: Now,
) {
    schedule.record_success(scan.kind, now.steady);
    schedule.finished(scan.kind);
    if scan.kind == WindowKind::Sweep {
        schedule.set_swept_to(before, false);
    }
    context.board.write(&scan.source, |health| {
        health.failing_since = None;
        health.state = State::CatchingUp;
    });
}

/// Logs that a scan starts over, and writes it on the board.
fn note_restart(
    context: &PollContext,
    schedule: &SourceSchedule,
    scan: &Scan,
    why: &str,
    at: DateTime<Utc>,
) {
    warn!(source = %scan.source, why, "A scan starts over with a smaller window.");
    tell(context, &scan.source, at, why.to_owned());
    fail_unfinished(context, schedule, scan, at);
}

/// Without upstream's clock, notes how far what is new has been read.
fn note_read_to(
    schedule: &mut SourceSchedule,
    scan: &Scan,
    outcome: &ScanOutcome,
    settings: &Settings,
    now: Now,
) {
    if scan.kind != WindowKind::Live {
        return;
    }
    if scan.upstream_clock != UpstreamClock::Silent {
        return schedule.forget_read_to();
    }
    match outcome {
        ScanOutcome::Left { before }
        | ScanOutcome::Kept {
            sealed: Some(before),
            ..
        } => schedule.set_read_to(*before, settings, now),
        ScanOutcome::GaveUp { window, .. } => schedule.set_read_to(window.before, settings, now),
        _ => {}
    }
}

/// Logs that a stretch was passed, and writes it on the board.
fn note_gap(
    context: &PollContext,
    scan: &Scan,
    window: Window,
    cause: GapCause,
    at: DateTime<Utc>,
) {
    let why = cause.explanation();
    warn!(source = %scan.source, window.stretch = %window, why, "A time range could not be read and is now a gap; it will be retried.");
    let message = format!("{why}; {window} is a gap");
    tell(context, &scan.source, at, message);
}

/// Writes on the board how a source is doing whose page was kept.
fn note_page(
    context: &PollContext,
    schedule: &SourceSchedule,
    scan: &Scan,
    is_apart: bool,
    is_behind: bool,
) {
    let is_failing = schedule.is_failing();
    context.board.write(&scan.source, |health| {
        // Another kind of its windows fails.
        if is_failing {
            health.state = State::Failing;
            return;
        }
        if health.failing_since.take().is_some() {
            info!(source = %scan.source, "A source answers again.");
        }
        health.state = if is_apart {
            State::Clock
        } else if is_behind {
            State::CatchingUp
        } else {
            State::Live
        };
    });
}

/// Writes on the board how far a source has come.
fn note_progress(context: &PollContext, scan: &Scan, progress: &Progress, now: Now) {
    let settings = &context.settings;
    let is_done = next_window::is_backfilled(progress, settings, now.wall);
    context.board.write(&scan.source, |health| {
        health.backfilled_to = progress.backfilled_to;
        health.backfill_done = is_done;
        health.overlap = Some(settings.overlap.of(&progress.visibility));
    });
}

/// Writes on the board that a source fails when the shortest window could not be read again.
fn fail_unfinished(
    context: &PollContext,
    schedule: &SourceSchedule,
    scan: &Scan,
    at: DateTime<Utc>,
) {
    if schedule.has_unfinished(scan.kind) {
        context.board.write(&scan.source, |health| {
            health.state = State::Failing;
            health.failing_since.get_or_insert(at);
        });
    }
}

/// Writes on the board what went wrong with a source that is well.
fn tell(context: &PollContext, source: &Source, at: DateTime<Utc>, message: String) {
    let error = LastError { at, message };
    context
        .board
        .write(source, |health| health.last_error = Some(error));
}

/// Writes on the board that a source fails; says whether that is news.
pub(super) fn fail(
    context: &PollContext,
    source: &Source,
    state: State,
    error: &TurnError,
    now: Now,
) -> bool {
    let mut is_news = false;
    context.board.write(source, |health| {
        is_news = health.failing_since.is_none();
        health.state = state;
        health.failing_since.get_or_insert(now.wall);
        health.last_error = Some(LastError {
            at: now.wall,
            message: error.to_string(),
        });
    });
    is_news
}
