//! What a credential follows is saved before anything is read: claims go by it.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{debug, warn};

use super::settings::Settings;
use super::{Following, Poller};
use crate::ledger::Aims;
use crate::store::{Followed, Store, StoreError};

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
            warn!(error = %error, "Saving what is followed failed, and this will not pass by itself; until then nothing is read.");
            return Some(now + WARN_AGAIN_EVERY);
        }
        self.unsaved = None;
        let context = &self.context;
        context.board.set_saved(&context.credential, true);
        None
    }
}
