//! What a credential follows: saved before anything is read, because claims go by it; then changed as lists name accounts.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{debug, info, warn};

use super::list_schedule::Listing;
use super::poller::Poller;
use super::schedule::SourceSchedule;
use super::settings::{Following, Settings};
use crate::health::State;
use crate::ledger::Aims;
use crate::position::{Source, SourceKind};
use crate::store::{Followed, SourceRow, Store, StoreError};

/// Interval for trying to save what is followed.
const SAVE_AGAIN_EVERY: TimeDelta = TimeDelta::seconds(5);

/// The same after an error that does not pass by itself: each time is a warning.
const WARN_AGAIN_EVERY: TimeDelta = TimeDelta::minutes(5);

impl Poller {
    /// Saves what is followed, and returns it when the disk is full or fails: the service starts and answers all the same, and
    /// tries again.
    pub(super) fn save_at_start(
        store: &Store,
        following: &Following,
        settings: &Settings,
        now: DateTime<Utc>,
    ) -> Result<Option<Followed>, StoreError> {
        let followed = Followed {
            sources: following.sources.clone(),
            listed: following.listed.clone(),
            listed_by_all: following.listed_by_all.clone(),
            aims: Aims {
                sweeps: settings.sweeps.clone(),
                backfill_since: settings.backfill_since,
            },
        };
        match store.save_followed(&followed, now) {
            Ok(()) => Ok(None),
            Err(error) if error.may_pass() => {
                warn!(error = %error, "Saving the list of followed sources failed; retrying. Until then nothing is read.");
                Ok(Some(followed))
            }
            Err(error) => Err(error),
        }
    }

    /// Saves what could not be saved at the start. Until then nothing is read. That is rare, so the disk is waited for here.
    pub(super) fn save_followed(&mut self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let followed = self.unsaved.as_ref()?;
        let (store, clock) = (&self.context.store, &self.context.clock);
        if let Err(error) = store.save_followed(followed, clock.now()) {
            if error.may_pass() {
                debug!(error = %error, "Saving what is followed failed; retrying.");
                return Some(now + SAVE_AGAIN_EVERY);
            }
            warn!(error = %error, "Saving the followed sources failed for a reason that does not pass by itself; nothing is polled until it works.");
            return Some(now + WARN_AGAIN_EVERY);
        }
        self.unsaved = None;
        let context = &self.context;
        context.board.set_saved(&context.credential, true);
        None
    }
    /// Follows a source, unless another credential of this process does so already.
    pub(super) fn open_schedule(&mut self, source: &Source, now: DateTime<Utc>) {
        let (board, credential) = (&self.context.board, &self.context.credential);
        if let Err(owner) = board.own(source, credential) {
            if self.shared.insert(source.clone()) {
                info!(source = %source, credential, owner, "Another credential follows this source already.");
            }
            return;
        }
        self.shared.remove(source);
        let settings = &self.context.settings;
        self.schedules
            .entry(source.clone())
            .or_insert_with(|| SourceSchedule::new(source.clone(), settings, now));
        // Worked out anew with the next turn; until then it says that the source is followed.
        self.pace_due = now;
        let interval = Some(settings.interval);
        self.context
            .board
            .write(source, |health| health.interval = interval);
    }

    /// Follows the accounts an organization lists, and no others of it.
    pub(super) fn follow(&mut self, organization: &str, rows: &[SourceRow], now: DateTime<Utc>) {
        self.release_moved(rows);
        for row in rows {
            if row.organization.as_deref() != Some(organization)
                || self.by_themselves.contains(&row.source)
            {
                continue;
            }
            if !self.is_asked_for(&row.source) {
                continue;
            }
            let is_followed = self.schedules.contains_key(&row.source);
            if row.left_at.is_some() && is_followed {
                info!(source = %row.source, organization, "An account has left its organization; its history is kept.");
                self.schedules.remove(&row.source);
                self.context.board.disown(&row.source);
                self.context
                    .board
                    .write(&row.source, |health| health.state = State::Left);
            } else if row.left_at.is_none() && !is_followed {
                self.open_schedule(&row.source, now);
                if self.schedules.contains_key(&row.source) {
                    info!(source = %row.source, organization, "Following an account.");
                }
            }
        }
    }

    /// Stops following accounts that are now listed by an organization of another credential, so that its poller can follow
    /// them.
    fn release_moved(&mut self, rows: &[SourceRow]) {
        for row in rows {
            let Some(organization) = row.organization.as_deref() else {
                continue;
            };
            let is_ours = self.lists.iter().any(|schedule| {
                schedule.listing == Listing::Accounts && schedule.organization == organization
            });
            if is_ours
                || row.source.kind() != SourceKind::Account
                || self.by_themselves.contains(&row.source)
                || self.schedules.remove(&row.source).is_none()
            {
                continue;
            }
            info!(source = %row.source, organization, "An account has moved to an organization of another credential.");
            self.context.board.disown(&row.source);
            self.context.board.forget(&row.source);
        }
    }
}
