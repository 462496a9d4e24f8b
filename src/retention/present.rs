//! The present by which bodies become due.
//!
//! A clock that is ahead would make everything due, and erased bodies never come back. So the present is not the clock's alone: a log
//! that is polled has the end of its newest live window, which Cloudflare's own time has confirmed. Time that has passed since then
//! counts by the steady clock. After a start, the clock may be ahead of that by a day at most: what was not running did not count.
//! A log that was never polled has only the clock.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use crate::clock::Clock;
use crate::position::rfc3339;
use crate::store::{Store, StoreError};

/// How far the clock may be ahead of what is confirmed.
const AHEAD: TimeDelta = TimeDelta::days(1);

/// The newest time that was confirmed, and the steady clock when it was first seen.
#[derive(Default)]
pub(super) struct Present {
    confirmed: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Whether the clock was too far ahead when it was looked last.
    is_ahead: bool,
}

impl Present {
    /// The present now.
    ///
    /// # Errors
    /// What the log says.
    pub(super) fn look(
        &mut self,
        store: &Store,
        clock: &Clock,
    ) -> Result<DateTime<Utc>, StoreError> {
        let (now, steady) = (clock.now(), clock.steady());
        if let Some(newest) = store.confirmed_until()? {
            let counted = self.confirmed.map(|(at, seen)| at + (steady - seen));
            if counted.is_none_or(|counted| counted < newest) {
                self.confirmed = Some((newest, steady));
            }
        }
        let Some((at, seen)) = self.confirmed else {
            return Ok(now);
        };
        let latest = at + (steady - seen) + AHEAD;
        let is_ahead = now > latest;
        if is_ahead && !self.is_ahead {
            warn!(
                clock = rfc3339(now),
                confirmed = rfc3339(at),
                "The clock is more than a day ahead of what Cloudflare has confirmed; nothing is erased because of the difference."
            );
        }
        self.is_ahead = is_ahead;
        Ok(now.min(latest))
    }
}
