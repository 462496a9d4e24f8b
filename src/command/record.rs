//! Records what a command reads from the data directory itself, because no service does it then.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};

use crate::mask::Mask;
use crate::owner::{system_principal, system_user};
use crate::store::{AccessChange, AccessEntry, AccessLine, AccessStore, StoreError};

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
    store: AccessStore,
    line: AccessLine,
    begun: Instant,
}

impl Recorded {
    /// Records a command before it reads `dir`. Its results and its duration are not known yet.
    ///
    /// # Errors
    /// When the line cannot be written: then nothing may be read.
    pub(super) fn begin(
        dir: &Path,
        action: &str,
        command: &str,
        parameters: &str,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let store = AccessStore::open(dir)?;
        let line = AccessLine::default();
        let entry = entry_of(command, action, parameters, now);
        store
            .apply_changes(&[AccessChange::Add(entry, line.clone())])
            .context("could not record this command in the access log")?;
        let begun = Instant::now();
        Ok(Self { store, line, begun })
    }

    /// The id of the line.
    pub(super) fn id(&self) -> i64 {
        self.line.id()
    }

    /// Completes the line at the end of the command.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub(super) fn end(self, results: u64) -> Result<()> {
        let duration_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let complete = AccessChange::Complete {
            line: self.line,
            results,
            duration_ms,
        };
        self.store
            .apply_changes(&[complete])
            .context("could not complete the line of this command in the access log")
    }
}
