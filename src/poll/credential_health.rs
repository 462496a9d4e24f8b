//! Whether a credential works, going by how its sources are answered.
//!
//! A source that is refused says something of itself first. Only when no source has been answered since the first refusal,
//! for some time and although others were tried, the credential itself counts as refused.

use chrono::{DateTime, Utc};

use super::schedule::SourceSchedule;
use crate::health::REFUSED_AFTER;

/// Sources that worked before and must now be refused; all of them if there are fewer.
const WITNESSES: usize = 3;

/// Refusals that are enough if no source ever worked.
const ENOUGH_REFUSALS: u32 = 20;

/// The refusals of a credential's sources since one of them was answered.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CredentialHealth {
    /// When the first one came.
    since: Option<DateTime<Utc>>,
    refusals: u32,
    /// Whether further refusals say nothing new.
    is_enough: bool,
    /// Whether a source was ever answered.
    has_witness: bool,
}

/// What follows from a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CredentialVerdict {
    /// It is not known yet; the sources go on, each by itself.
    Open,
    /// A source that was answered before is to be tried, to find out.
    AskAWitness,
    /// The credential does not work.
    Refused,
}

impl CredentialHealth {
    /// A source was answered.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// A source was refused; gives when the first one was.
    pub(super) fn refused(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.refusals = self.refusals.saturating_add(1);
        *self.since.get_or_insert(now)
    }

    /// What is known of the credential with the refusals so far.
    pub(super) fn judge<'a>(
        &mut self,
        schedules: impl Iterator<Item = &'a SourceSchedule>,
        now: DateTime<Utc>,
    ) -> CredentialVerdict {
        let (mut answered, mut heard, mut untried) = (0, 0, false);
        for schedule in schedules {
            let is_refused = schedule.refused_since.is_some();
            answered += usize::from(schedule.answered_at.is_some());
            // One that was refused before says nothing of the credential: it may have lost its access long ago.
            let is_heard = schedule
                .last_refused
                .is_some_and(|at| Some(at) >= self.since);
            heard += usize::from(schedule.answered_at.is_some() && is_heard);
            untried |= !is_refused;
        }
        let is_early = self.since.is_none_or(|since| now - since < REFUSED_AFTER);
        self.has_witness = answered > 0;
        self.is_enough = match answered {
            0 => !untried || self.refusals >= ENOUGH_REFUSALS,
            _ => heard >= answered.min(WITNESSES),
        };
        match (is_early, self.is_enough) {
            (true, _) => CredentialVerdict::Open,
            (false, true) => CredentialVerdict::Refused,
            (false, false) => CredentialVerdict::AskAWitness,
        }
    }

    /// Until when nothing is called, because further refusals would say nothing new.
    pub(super) fn pause(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let until = self.since? + REFUSED_AFTER;
        let is_over = self.is_enough && (self.has_witness || self.refusals >= ENOUGH_REFUSALS);
        (is_over && now < until).then_some(until)
    }
}
