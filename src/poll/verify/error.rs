//! Why a comparison fails, the limits at which it does, and the waits before it is tried again.

use std::time::Duration;

use crate::store::StoreError;
use crate::upstream::UpstreamError;

/// The most entries that are compared in one stretch.
pub(super) const MAX_ENTRIES: usize = 1_000_000;

/// The most pages that are read.
pub(super) const MAX_PAGES: u64 = 100_000;

/// Why a stretch could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Upstream gave no page, however often it was asked.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The log could not be read, or the budget not be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Pages were not of the log that was asked for.
    #[error("upstream answered with the entries of {0}")]
    Foreign(String),
    /// There is more than is compared at once.
    #[error("there are more than {MAX_ENTRIES} entries in it: choose a shorter range of time")]
    TooMany,
    /// Upstream's pages have no end.
    #[error("upstream's pages have no end: {MAX_PAGES} were read")]
    Endless,
}

/// A wait before the same is asked for again.
#[derive(Debug)]
pub struct WaitToRetry<'a> {
    /// What upstream answered.
    pub error: &'a VerifyError,
    /// How long the wait is.
    pub wait: Duration,
}
