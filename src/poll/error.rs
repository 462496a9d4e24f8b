//! Why a turn of a poller failed.

use tracing::warn;

use crate::store::StoreError;
use crate::upstream::UpstreamError;

/// Why a turn failed.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// Upstream gave no page.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The log could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A page was not of the log that was asked for. Nothing of it was kept.
    #[error("upstream answered with the entries of {owner}; nothing of them was kept")]
    Foreign {
        /// Whose they are, as the entries say.
        owner: String,
    },
    /// A page cannot be followed by another. Nothing of it was kept yet.
    #[error("a full page has no cursor, and its last entry has no usable time to continue from")]
    NoWayOn,
    /// The turn panicked: a defect of this program. Nothing else is affected.
    #[error("internal error while a page was read or stored: {0}")]
    Panicked(String),
}

impl TurnError {
    /// Whether no later turn can do better. Damage is not fatal: it is in one place of the file, and the other sources go on.
    pub(super) fn is_fatal(&self) -> bool {
        match self {
            Self::Upstream(_) | Self::Foreign { .. } | Self::NoWayOn | Self::Panicked(_) => false,
            Self::Store(
                StoreError::Stale(_)
                | StoreError::Conflict(_)
                | StoreError::Zstd(_)
                | StoreError::Damaged(_)
                | StoreError::Sqlite(_),
            ) => false,
            Self::Store(error) => !error.may_pass(),
        }
    }
}

/// Logs and ignores the error of a full or failing disk, so that the service starts and answers all the same. What is written
/// at the start is already in the log of a service that ran before.
pub(super) fn unless_disk_full(written: Result<(), StoreError>) -> Result<(), StoreError> {
    match written {
        Err(error @ (StoreError::Full | StoreError::Disk(_))) => {
            warn!(error = %error, "The list of followed sources could not be saved.");
            Ok(())
        }
        written => written,
    }
}
