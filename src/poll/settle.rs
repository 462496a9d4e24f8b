//! What a turn's outcome means for the poller: when the source is asked again, and what the board says of it.

use chrono::{DateTime, Utc};
use tracing::{info, warn};

use super::error::TurnError;
use super::lane::{LONGEST_RETRY, Lane};
use super::recovery::Elsewhere;
use super::roll::Listing;
use super::settings::Settings;
use super::skew::{self, Now};
use super::standing::Judgement;
use super::stretch;
use super::turn::{Did, Hands, Listed, Outcome, Scan, Scanned, UpstreamClock, Went};
use super::{Poller, Refused};
use crate::health::{LastError, State};
use crate::position::{Source, Window, WindowKind};
use crate::store::{GapCause, Progress};
use crate::upstream::UpstreamError;

impl Poller {
    /// Notes how a turn went.
    ///
    /// # Errors
    /// The turn's own error, when no later turn can do better.
    pub fn settle(&mut self, outcome: Outcome) -> Result<(), TurnError> {
        let now = Now {
            wall: self.hands.clock.now(),
            steady: self.hands.clock.steady(),
        };
        match outcome.0 {
            Went::Scanned { scan, result } => {
                self.unreliable -= usize::from(scan.is_unreliable);
                if let Some(lane) = self.lanes.get_mut(&scan.source) {
                    lane.is_busy = false;
                }
                match *result {
                    Ok(scanned) => self.settle_scan(&scan, scanned, now),
                    Err(error) if error.is_fatal() => return Err(error),
                    Err(error) => self.settle_failure(&scan, error, now),
                }
            }
            Went::Listed {
                organization,
                listing,
                result,
            } => match result {
                Err(error) if error.is_fatal() => return Err(error),
                result => self.settle_list(&organization, listing, result, now),
            },
        }
        Ok(())
    }

    fn settle_scan(&mut self, scan: &Scan, scanned: Scanned, now: Now) {
        let (did, progress) = (scanned.did, scanned.progress);
        let is_answer = matches!(did, Did::Kept { .. } | Did::Left { .. });
        match &did {
            Did::Kept { .. } | Did::Left { .. } => self.works(now),
            Did::StillFailing {
                elsewhere: Elsewhere::Answered(_),
                ..
            }
            | Did::LookedElsewhere(Elsewhere::Answered(_)) => self.works(now),
            Did::Restarted { .. } | Did::AskedForMore | Did::AskedForLess | Did::GaveUp { .. } => {
                self.is_not_refused(now)
            }
            Did::StillFailing { .. } | Did::LookedElsewhere(_) | Did::Nothing | Did::TooEarly => {}
        }
        self.hear_date(scanned.theirs, is_answer, now);
        let ours = now;
        let is_apart = self.skew.difference(now).is_some();
        // From here on by the lesser of the clocks, as the windows are; what people read is by ours.
        let now = Now {
            wall: self.skew.present(now),
            ..now
        };
        let (hands, settings) = (&self.hands, &self.hands.settings);
        let Some(lane) = self.lanes.get_mut(&scan.source) else {
            return;
        };
        let is_early = matches!(did, Did::Nothing | Did::TooEarly | Did::Left { .. });
        match did {
            Did::Nothing => note_nothing_to_do(hands, scan, &progress, now, ours.wall),
            Did::TooEarly => {
                let why = "upstream's clock has not reached the time that is due";
                wait_for_clock(hands, &scan.source, why, ours.wall);
            }
            Did::Left { before } => note_left(hands, lane, scan, before, now),
            Did::Restarted { ref why } => {
                lane.restarted(scan.kind, progress.open(scan.kind), now.steady);
                note_restart(hands, lane, scan, why, ours.wall);
            }
            Did::AskedForLess => {}
            Did::AskedForMore => {
                lane.asked_for_more(scan.kind, progress.open(scan.kind), now.steady);
                fail_unfinished(hands, lane, scan, ours.wall);
            }
            Did::StillFailing { elsewhere, .. } => {
                lane.still_fails(scan.kind, elsewhere, now.steady);
            }
            Did::LookedElsewhere(elsewhere) => lane.looked(scan.kind, elsewhere, now.steady),
            Did::GaveUp { window, cause } => {
                lane.passed(scan.kind, now.steady);
                lane.sealed(scan.kind, window.before, 0, settings, now);
                note_gap(hands, scan, window, cause, ours.wall);
            }
            Did::Kept {
                ref appended,
                sealed,
            } => {
                lane.went_well(scan.kind, now.steady);
                if let Some(before) = sealed {
                    lane.finished(scan.kind);
                    if scan.kind == WindowKind::Sweep {
                        lane.has_swept_to(before, true);
                    }
                    self.live_sealed += u32::from(scan.kind == WindowKind::Live);
                    lane.sealed(scan.kind, before, appended.new, settings, now);
                }
                let is_behind = stretch::is_behind(&progress, settings, now.wall);
                note_page(hands, lane, scan, is_apart, is_behind);
            }
        }
        note_progress(hands, scan, &progress, now);
        lane.came_to(progress, settings, now);
        if is_early {
            lane.look_again(scan.kind, settings, now);
        }
        note_read_to(lane, scan, &did, settings, now);
        if let Did::StillFailing { error, .. } = did {
            self.settle_failure(scan, error, ours);
        }
    }

    /// Takes in what an answer said of upstream's clock, if it said anything.
    fn hear_date(&mut self, theirs: Option<DateTime<Utc>>, is_answer: bool, now: Now) {
        match theirs {
            None if is_answer => self.skew.heard_nothing(now),
            None => {}
            Some(theirs) => {
                if let Some(ahead) = self.skew.heard(theirs, now) {
                    warn!(
                        ahead.seconds = ahead.num_seconds(),
                        "This machine's clock and upstream's differ; what is claimed is by the one that is behind."
                    );
                }
            }
        }
    }

    fn settle_failure(&mut self, scan: &Scan, error: TurnError, now: Now) {
        self.note_reach(&error, now);
        self.hear_of_credential(&error, now);
        let Some(lane) = self.lanes.get_mut(&scan.source) else {
            return;
        };
        let state = match &error {
            // The quota holds everybody back; the source itself is well.
            TurnError::Upstream(UpstreamError::RateLimited { .. }) => return,
            TurnError::Upstream(UpstreamError::Unauthorized(_) | UpstreamError::Forbidden(_)) => {
                return self.settle_refusal(&scan.source, &error, now);
            }
            // Unless that concerns this stretch alone.
            TurnError::Upstream(UpstreamError::Unexpected(_) | UpstreamError::WindowRefused(_))
                if lane.alone_since(scan.kind).is_none() =>
            {
                lane.wait_for_help(scan.kind, now.steady);
                State::Failing
            }
            TurnError::Upstream(_)
            | TurnError::Store(_)
            | TurnError::Foreign { .. }
            | TurnError::NoWayOn
            | TurnError::Panicked(_) => {
                lane.back_off(scan.kind, now.steady);
                State::Failing
            }
        };
        if fail(&self.hands, &scan.source, state, &error, now) {
            warn!(source = %scan.source, error = %error, "A source fails; it is tried again, later each time.");
        }
    }

    /// Notes on the board whether upstream could be reached. What says nothing of it changes nothing.
    fn note_reach(&self, error: &TurnError, now: Now) {
        let TurnError::Upstream(error) = error else {
            return;
        };
        match error {
            // Also when somebody else answers in its place.
            UpstreamError::Transient(_) | UpstreamError::Unreadable(_) => {
                self.hands.board.not_reached(now.steady);
            }
            UpstreamError::NoToken(_) => {}
            UpstreamError::RateLimited { .. }
            | UpstreamError::CursorRefused(_)
            | UpstreamError::WindowRefused(_)
            | UpstreamError::PageTooLarge
            | UpstreamError::Unauthorized(_)
            | UpstreamError::Forbidden(_)
            | UpstreamError::Unexpected(_) => self.hands.board.reached(),
        }
    }

    /// Takes in what a failure says of a refused credential. An answer that only a credential that works is given lets the
    /// others go on, whatever is wrong with its source.
    fn hear_of_credential(&mut self, error: &TurnError, now: Now) {
        match error {
            TurnError::Foreign { .. } | TurnError::NoWayOn => self.is_not_refused(now),
            TurnError::Upstream(
                UpstreamError::Forbidden(_)
                | UpstreamError::Unexpected(_)
                | UpstreamError::CursorRefused(_)
                | UpstreamError::WindowRefused(_)
                | UpstreamError::PageTooLarge,
            ) => self.is_not_refused(now),
            // Not a try: it is made when the wait is over.
            TurnError::Upstream(UpstreamError::RateLimited { .. }) => {
                if let Some(refused) = &mut self.refused {
                    refused.until = refused.until.min(now.steady);
                    refused.tries = refused.tries.saturating_sub(1);
                }
            }
            // A server that fails, or somebody else who answers in its place, says nothing of the credential.
            TurnError::Upstream(
                UpstreamError::Transient(_)
                | UpstreamError::Unreadable(_)
                | UpstreamError::NoToken(_)
                | UpstreamError::Unauthorized(_),
            )
            | TurnError::Store(_)
            | TurnError::Panicked(_) => {}
        }
    }

    /// A source was refused. While other sources of the credential are answered, that is its own failure.
    fn settle_refusal(&mut self, source: &Source, error: &TurnError, now: Now) {
        let Some(lane) = self.lanes.get_mut(source) else {
            return;
        };
        let state = match lane.refuse(now.steady) {
            true => State::Refused,
            false => State::Failing,
        };
        self.refused_token = self.hands.upstream.token_mark();
        if fail(&self.hands, source, state, error, now) {
            warn!(source = %source, error = %error, "A source fails; it is tried again, later each time.");
        }
        self.judge(error, now);
    }

    /// Finds out, after a refusal, whether the credential itself is refused.
    fn judge(&mut self, error: &TurnError, now: Now) {
        let since = self.standing.refused(now.steady);
        let hands = &self.hands;
        hands.board.refused(&hands.credential, since);
        // What a credential may not read is no reason to stop what it may.
        let is_credential = matches!(error, TurnError::Upstream(UpstreamError::Unauthorized(_)));
        if !is_credential {
            return;
        }
        match self.standing.judge(self.lanes.values(), now.steady) {
            Judgement::Open => {}
            Judgement::AskAWitness => {
                let lanes = self.lanes.values_mut();
                let lanes = lanes.filter(|lane| lane.refused_since.is_none() && !lane.is_busy);
                if let Some(witness) = lanes.max_by_key(|lane| lane.answered_at) {
                    witness.call_now(now.steady);
                }
            }
            Judgement::Refused => self.refuse(error, now),
        }
    }

    /// A source of the credential was answered: it works.
    fn works(&mut self, now: Now) {
        self.is_accepted(now);
        self.hands.board.answered(&self.hands.credential);
    }

    /// A source was answered in a way that speaks of the source alone: if the credential counted as refused, its sources go on.
    fn is_not_refused(&mut self, now: Now) {
        if self.refused.is_some() {
            self.is_accepted(now);
        }
    }

    /// Upstream accepts the credential, at least for a list: what was stopped goes on.
    fn is_accepted(&mut self, now: Now) {
        self.standing.answered();
        if self.refused.take().is_some() {
            let lanes = self.lanes.values_mut();
            lanes.for_each(|lane| lane.call_now(now.steady));
        }
    }

    /// The credential does not work: all its sources stop, and say so.
    fn refuse(&mut self, error: &TurnError, now: Now) {
        if self.refused.is_none() {
            warn!(credential = self.hands.credential, error = %error, "Polling stopped: credential refused. Its sources wait until it works, or its token changes.");
        }
        self.refused = Some(Refused {
            token: self.hands.upstream.token_mark(),
            until: now.steady + LONGEST_RETRY,
            tries: self.refused.as_ref().map_or(0, |refused| refused.tries),
        });
        for source in self.lanes.keys() {
            fail(&self.hands, source, State::Refused, error, now);
        }
    }

    fn settle_list(
        &mut self,
        organization: &str,
        listing: Listing,
        result: Result<Listed, TurnError>,
        now: Now,
    ) {
        if let Err(error @ TurnError::Upstream(UpstreamError::RateLimited { .. })) = &result {
            self.hear_of_credential(error, now);
        }
        let is_accepted = matches!(
            &result,
            Ok(Listed::More(_) | Listed::Kept { lacks: None, .. })
        );
        if is_accepted {
            self.is_accepted(now);
        }
        let Some(roll) = self
            .rolls
            .iter_mut()
            .find(|roll| roll.organization == organization && roll.listing == listing)
        else {
            return;
        };
        let (sources, error) = match result {
            Ok(Listed::More(list)) => return roll.go_on(list),
            Ok(Listed::Kept { sources, lacks }) => (sources, lacks.map(TurnError::from)),
            Err(error) => (Vec::new(), Some(error)),
        };
        match &error {
            None => roll.done(now.steady),
            Some(error) => roll.failed(error, now.steady),
        }
        if listing != Listing::Accounts {
            return;
        }
        // Also of a list that is not complete: whoever is in it is there.
        self.follow(organization, &sources, now.steady);
        if let Some(error) = error {
            self.tell_unlisted(organization, &error, now);
        }
    }

    /// An organization's accounts could not be listed, or not completely. That is the organization's trouble.
    fn tell_unlisted(&mut self, organization: &str, error: &TurnError, now: Now) {
        let source = Source::organization(organization);
        if let Some(source) = source.ok().filter(|one| self.lanes.contains_key(one)) {
            let message = format!("its accounts could not be listed completely: {error}");
            tell(&self.hands, &source, now.wall, message);
        }
        // A credential that may not read members or names may read logs all the same.
        if matches!(error, TurnError::Upstream(UpstreamError::Unauthorized(_))) {
            self.judge(error, now);
        }
    }
}

/// Writes on the board that a source waits for a clock to be set right, and reports it once.
fn wait_for_clock(hands: &Hands, source: &Source, why: &str, at: DateTime<Utc>) {
    let mut is_news = false;
    hands.board.write(source, |health| {
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
    hands: &Hands,
    scan: &Scan,
    progress: &Progress,
    now: Now,
    ours: DateTime<Utc>,
) {
    let is_live = scan.kind == WindowKind::Live;
    let sealed_before = progress.live_before.filter(|_| is_live);
    if sealed_before.is_some_and(|before| skew::is_behind(now.wall, before)) {
        let why = "a clock is behind what was read before";
        wait_for_clock(hands, &scan.source, why, ours);
    }
}

/// A scan came to its end, and nothing can be claimed of it yet.
fn note_left(hands: &Hands, lane: &mut Lane, scan: &Scan, before: DateTime<Utc>, now: Now) {
    lane.went_well(scan.kind, now.steady);
    lane.finished(scan.kind);
    if scan.kind == WindowKind::Sweep {
        lane.has_swept_to(before, false);
    }
    hands.board.write(&scan.source, |health| {
        health.failing_since = None;
        health.state = State::CatchingUp;
    });
}

/// Logs that a scan starts over, and writes it on the board.
fn note_restart(hands: &Hands, lane: &Lane, scan: &Scan, why: &str, at: DateTime<Utc>) {
    warn!(source = %scan.source, why, "A scan starts over with a smaller window.");
    tell(hands, &scan.source, at, why.to_owned());
    fail_unfinished(hands, lane, scan, at);
}

/// Without upstream's clock, notes how far what is new has been read.
fn note_read_to(lane: &mut Lane, scan: &Scan, did: &Did, settings: &Settings, now: Now) {
    if scan.kind != WindowKind::Live {
        return;
    }
    if scan.upstream_clock != UpstreamClock::Silent {
        return lane.forget_read_to();
    }
    match did {
        Did::Left { before }
        | Did::Kept {
            sealed: Some(before),
            ..
        } => lane.has_read_to(*before, settings, now),
        Did::GaveUp { window, .. } => lane.has_read_to(window.before, settings, now),
        _ => {}
    }
}

/// Logs that a stretch was passed, and writes it on the board.
fn note_gap(hands: &Hands, scan: &Scan, window: Window, cause: GapCause, at: DateTime<Utc>) {
    let why = cause.explanation();
    warn!(source = %scan.source, window.stretch = %window, why, "A stretch was passed; it is a gap until it can be read.");
    let message = format!("{why}; {window} is a gap");
    tell(hands, &scan.source, at, message);
}

/// Writes on the board how a source is doing whose page was kept.
fn note_page(hands: &Hands, lane: &Lane, scan: &Scan, is_apart: bool, is_behind: bool) {
    let is_failing = lane.is_failing();
    hands.board.write(&scan.source, |health| {
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
fn note_progress(hands: &Hands, scan: &Scan, progress: &Progress, now: Now) {
    let settings = &hands.settings;
    let is_done = stretch::is_backfilled(progress, settings, now.wall);
    hands.board.write(&scan.source, |health| {
        health.backfilled_to = progress.backfilled_to;
        health.backfill_done = is_done;
        health.overlap = Some(settings.overlap.of(&progress.visibility));
    });
}

/// Writes on the board that a source fails when the shortest window could not be read again.
fn fail_unfinished(hands: &Hands, lane: &Lane, scan: &Scan, at: DateTime<Utc>) {
    if lane.has_unfinished(scan.kind) {
        hands.board.write(&scan.source, |health| {
            health.state = State::Failing;
            health.failing_since.get_or_insert(at);
        });
    }
}

/// Writes on the board what went wrong with a source that is well.
fn tell(hands: &Hands, source: &Source, at: DateTime<Utc>, message: String) {
    let error = LastError { at, message };
    hands
        .board
        .write(source, |health| health.last_error = Some(error));
}

/// Writes on the board that a source fails; says whether that is news.
fn fail(hands: &Hands, source: &Source, state: State, error: &TurnError, now: Now) -> bool {
    let mut is_news = false;
    hands.board.write(source, |health| {
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
