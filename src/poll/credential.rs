//! What outcomes say of a credential: whether upstream accepts it, and what that means for its sources.

use tracing::warn;

use super::credential_health::CredentialVerdict;
use super::error::TurnError;
use super::outcome::fail;
use super::poller::{Poller, RefusedCredential};
use super::schedule::LONGEST_RETRY;
use super::skew::Now;
use crate::health::State;
use crate::position::Source;
use crate::upstream::UpstreamError;

impl Poller {
    /// Notes on the board whether upstream could be reached. What says nothing of it changes nothing.
    pub(super) fn note_reach(&self, error: &TurnError, now: Now) {
        let TurnError::Upstream(error) = error else {
            return;
        };
        match error {
            // Also when somebody else answers in its place.
            UpstreamError::Transient(_) | UpstreamError::Unreadable(_) => {
                self.context.board.not_reached(now.steady);
            }
            UpstreamError::NoToken(_) => {}
            UpstreamError::RateLimited { .. }
            | UpstreamError::CursorRefused(_)
            | UpstreamError::WindowRefused(_)
            | UpstreamError::PageTooLarge
            | UpstreamError::Unauthorized(_)
            | UpstreamError::Forbidden(_)
            | UpstreamError::Unexpected(_) => self.context.board.reached(),
        }
    }

    /// Takes in what a failure says of a refused credential. An answer that only a credential that works is given lets the
    /// others go on, whatever is wrong with its source.
    pub(super) fn update_credential_from_error(&mut self, error: &TurnError, now: Now) {
        match error {
            TurnError::Foreign { .. } | TurnError::NoWayOn => self.clear_refusal(now),
            TurnError::Upstream(
                UpstreamError::Forbidden(_)
                | UpstreamError::Unexpected(_)
                | UpstreamError::CursorRefused(_)
                | UpstreamError::WindowRefused(_)
                | UpstreamError::PageTooLarge,
            ) => self.clear_refusal(now),
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
    pub(super) fn record_refusal(&mut self, source: &Source, error: &TurnError, now: Now) {
        let Some(schedule) = self.schedules.get_mut(source) else {
            return;
        };
        let state = if schedule.refuse(now.steady) {
            State::Refused
        } else {
            State::Failing
        };
        self.refused_token = self.context.upstream.token_mark();
        if fail(&self.context, source, state, error, now) {
            warn!(source = %source, error = %error, "Polling a source failed; retrying with backoff.");
        }
        self.judge(error, now);
    }

    /// Finds out, after a refusal, whether the credential itself is refused.
    pub(super) fn judge(&mut self, error: &TurnError, now: Now) {
        let since = self.credential_health.refused(now.steady);
        let context = &self.context;
        context.board.refused(&context.credential, since);
        // What a credential may not read is no reason to stop what it may.
        let is_credential = matches!(error, TurnError::Upstream(UpstreamError::Unauthorized(_)));
        if !is_credential {
            return;
        }
        match self
            .credential_health
            .judge(self.schedules.values(), now.steady)
        {
            CredentialVerdict::Open => {}
            CredentialVerdict::AskAWitness => {
                let schedules = self.schedules.values_mut();
                let schedules = schedules
                    .filter(|schedule| schedule.refused_since.is_none() && !schedule.is_busy);
                if let Some(witness) = schedules.max_by_key(|schedule| schedule.answered_at) {
                    witness.call_now(now.steady);
                }
            }
            CredentialVerdict::Refused => self.refuse(error, now),
        }
    }

    /// A source of the credential was answered: it works.
    pub(super) fn record_answered(&mut self, now: Now) {
        self.record_accepted(now);
        self.context.board.answered(&self.context.credential);
    }

    /// A source was answered in a way that speaks of the source alone: if the credential counted as refused, its sources go on.
    pub(super) fn clear_refusal(&mut self, now: Now) {
        if self.refused.is_some() {
            self.record_accepted(now);
        }
    }

    /// Upstream accepts the credential, at least for a list: what was stopped goes on.
    pub(super) fn record_accepted(&mut self, now: Now) {
        self.credential_health.answered();
        if self.refused.take().is_some() {
            let schedules = self.schedules.values_mut();
            schedules.for_each(|schedule| schedule.call_now(now.steady));
        }
    }

    /// The credential does not work: all its sources stop, and say so.
    pub(super) fn refuse(&mut self, error: &TurnError, now: Now) {
        if self.refused.is_none() {
            warn!(credential = self.context.credential, error = %error, "Polling stopped: credential refused. Its sources wait until it works, or its token changes.");
        }
        self.refused = Some(RefusedCredential {
            token: self.context.upstream.token_mark(),
            until: now.steady + LONGEST_RETRY,
            tries: self.refused.as_ref().map_or(0, |refused| refused.tries),
        });
        for source in self.schedules.keys() {
            fail(&self.context, source, State::Refused, error, now);
        }
    }
}
