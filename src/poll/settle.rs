//! What a turn's outcome means for the poller: when the source is asked again, and what the board says of it.

use chrono::{DateTime, Utc};
use tracing::{info, warn};

use super::lane::{LONGEST_RETRY, Lane};
use super::roll::Listing;
use super::skew::{self, Now};
use super::standing::Judgement;
use super::stretch;
use super::turn::{Did, Hands, Listed, Outcome, Scan, Scanned, TurnError, Went};
use super::{Poller, Refused};
use crate::health::{LastError, State};
use crate::position::{Source, WindowKind};
use crate::store::GapCause;
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
        let Scanned {
            did,
            progress,
            theirs,
        } = scanned;
        let is_answer = matches!(did, Did::Kept { .. } | Did::Left);
        if is_answer {
            self.works(now);
        }
        self.hear_date(theirs, is_answer, now);
        let difference = self.skew.difference(now);
        // From here on by the lesser of the clocks, as the windows are; what people read is by ours.
        let (ours, now) = (
            now.wall,
            Now {
                wall: self.skew.present(now),
                ..now
            },
        );
        let hands = &self.hands;
        let settings = &hands.settings;
        let Some(lane) = self.lanes.get_mut(&scan.source) else {
            return;
        };
        match did {
            Did::Nothing => {
                let sealed_before = progress
                    .live_before
                    .filter(|_| scan.kind == WindowKind::Live);
                if sealed_before.is_some_and(|before| skew::is_behind(now.wall, before)) {
                    let why = "a clock is behind what was read before";
                    wait_for_clock(hands, &scan.source, why, ours);
                }
            }
            Did::TooEarly => {
                let why = "upstream's clock has not reached the time that is due";
                wait_for_clock(hands, &scan.source, why, ours);
            }
            Did::Left => {
                lane.went_well(scan.kind, now.steady);
                lane.finished(scan.kind);
                hands.board.write(&scan.source, |health| {
                    health.failing_since = None;
                    health.state = State::CatchingUp;
                });
            }
            Did::Restarted { ref why } => {
                warn!(source = %scan.source, why, "A scan starts over with a smaller window.");
                lane.restarted(scan.kind, progress.open(scan.kind), now.steady);
                tell(hands, &scan.source, ours, why.clone());
                fail_unfinished(hands, lane, scan, ours);
            }
            Did::AskedForLess => {}
            Did::AskedForMore => {
                lane.asked_for_more(scan.kind, progress.open(scan.kind));
                fail_unfinished(hands, lane, scan, ours);
            }
            Did::GaveUp { window, cause } => {
                let why = passed_because(cause);
                lane.finished(scan.kind);
                warn!(source = %scan.source, window.stretch = %window, why, "A stretch was passed; it is a gap.");
                lane.sealed(scan.kind, window.before, 0, settings, now);
                tell(
                    hands,
                    &scan.source,
                    ours,
                    format!("{why}; {window} is a gap"),
                );
            }
            Did::Kept { appended, sealed } => {
                lane.went_well(scan.kind, now.steady);
                if let Some(before) = sealed {
                    lane.finished(scan.kind);
                    self.live_sealed += u32::from(scan.kind == WindowKind::Live);
                    lane.sealed(scan.kind, before, appended.new, settings, now);
                }
                let is_behind = stretch::is_behind(&progress, settings, now.wall);
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
                    health.state = if difference.is_some() {
                        State::Clock
                    } else if is_behind {
                        State::CatchingUp
                    } else {
                        State::Live
                    };
                });
            }
        }
        let is_done = stretch::is_backfilled(&progress, settings, now.wall);
        hands.board.write(&scan.source, |health| {
            health.backfilled_to = progress.backfilled_to;
            health.backfill_done = is_done;
            health.overlap = Some(settings.overlap.of(&progress.visibility));
        });
        lane.came_to(progress, settings, now);
        if matches!(did, Did::Nothing | Did::TooEarly | Did::Left) {
            lane.look_again(scan.kind, settings, now);
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
        let Some(lane) = self.lanes.get_mut(&scan.source) else {
            return;
        };
        let state = match &error {
            // The quota holds everybody back; the source itself is well.
            TurnError::Upstream(UpstreamError::RateLimited { .. }) => return,
            TurnError::Upstream(UpstreamError::Unauthorized(_) | UpstreamError::Forbidden(_)) => {
                return self.settle_refusal(&scan.source, &error, now);
            }
            TurnError::Upstream(UpstreamError::Unexpected(_) | UpstreamError::WindowRefused(_)) => {
                lane.wait_for_help(scan.kind, now.steady);
                State::Failing
            }
            TurnError::Upstream(_)
            | TurnError::Store(_)
            | TurnError::Foreign { .. }
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
        if !is_credential && self.refused.is_none() {
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

/// Writes on the board that a source fails when the shortest window could not be read again.
fn fail_unfinished(hands: &Hands, lane: &Lane, scan: &Scan, at: DateTime<Utc>) {
    if lane.unfinished(scan.kind) > 1 {
        hands.board.write(&scan.source, |health| {
            health.state = State::Failing;
            health.failing_since.get_or_insert(at);
        });
    }
}

fn passed_because(cause: GapCause) -> &'static str {
    match cause {
        GapCause::TooLarge => "an entry is too large to take",
        GapCause::Unreadable => "an answer is not JSON, or cannot be read to its end",
        GapCause::Foreign => "upstream shows the entries of another log",
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
