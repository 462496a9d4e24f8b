//! Records what a command reads from the data directory itself, because no service does it then.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};

use crate::mask::Mask;
use crate::owner::{system_principal, system_user};
use crate::store::{AccessChange, AccessEntry, AccessLine, AccessStore, StoreError};
use crate::terminal::note;

/// Records a command that changes the data directory, in one line.
///
/// # Errors
/// When the line cannot be written.
pub(super) fn record(
    store: &AccessStore,
    command: &str,
    action: &str,
    parameters: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    store.record(&entry_of(command, action, parameters, now))
}

/// The line of a command, without its results.
pub(super) fn entry_of(
    command: &str,
    action: &str,
    parameters: &str,
    now: DateTime<Utc>,
) -> AccessEntry {
    AccessEntry {
        time: now,
        principal: system_principal(system_user().as_deref()),
        address: None,
        action: action.to_owned(),
        route: format!("orgtrail {command}"),
        parameters: Mask::default().hide(parameters),
        results: None,
        duration_ms: None,
        status: None,
    }
}

/// The line of a command in the access log.
pub(super) struct Recorded {
    /// `None` when the disk did not take the line.
    written: Option<(AccessStore, AccessLine)>,
    begun: Instant,
}

impl Recorded {
    /// Records a command before it reads `dir`. Its results and its duration are not known yet. A full or failing disk is a
    /// warning: reading goes on, as it does in the service.
    ///
    /// # Errors
    /// When the access log stays locked, or is not usable at all, such as another program's file.
    pub(super) fn begin(
        dir: &Path,
        action: &str,
        command: &str,
        parameters: &str,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let line = AccessLine::default();
        let entry = entry_of(command, action, parameters, now);
        let written = AccessStore::open(dir).and_then(|store| {
            store.apply_changes(&[AccessChange::Add(entry, line.clone())])?;
            Ok((store, line))
        });
        let written = match written {
            Ok(written) => Some(written),
            Err(error) if error.is_of_the_disk() => {
                warn(&error)?;
                None
            }
            Err(error) => {
                return Err(error).context("could not record this command in the access log");
            }
        };
        let begun = Instant::now();
        Ok(Self { written, begun })
    }

    /// The id of the line, if it was written.
    pub(super) fn id(&self) -> Option<i64> {
        self.written.as_ref().map(|(_, line)| line.id())
    }

    /// Completes the line at the end of the command. That the disk does not take it is a warning.
    ///
    /// # Errors
    /// When standard error is closed, or the access log is damaged.
    pub(super) fn end(self, results: u64) -> Result<()> {
        let duration_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Some((store, line)) = self.written else {
            return Ok(());
        };
        let complete = AccessChange::Complete {
            line,
            results,
            duration_ms,
        };
        match store.apply_changes(&[complete]) {
            Err(error) if error.is_of_the_disk() => warn(&error),
            outcome => {
                outcome.context("could not complete the line of this command in the access log")
            }
        }
    }
}

/// Says that a line is missing in the access log.
pub(super) fn warn(error: &StoreError) -> Result<()> {
    Ok(note(format!(
        "Warning: this command could not be recorded in the access log: {error}"
    ))?)
}
