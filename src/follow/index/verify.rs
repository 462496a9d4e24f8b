//! The index's files compared with their checksums, once after a start, while questions are answered.

use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::engine::tantivy::{Index, IndexError, Unverified};
use crate::task::{self, Panicked};

/// After a file was verified, the next one waits this many times as long as that took.
const VERIFY_RESTS: u32 = 20;

/// How long to wait before files are verified again that could not be read.
const VERIFY_RETRY: Duration = Duration::from_secs(60);

/// Why the files of the index could not be compared with their checksums.
enum Unverifiable {
    Index(IndexError),
    Panicked,
}

impl From<IndexError> for Unverifiable {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

impl From<Panicked> for Unverifiable {
    fn from(_: Panicked) -> Self {
        Self::Panicked
    }
}

/// Verifies the new files at once, the others one by one with rests between. Returns what is damaged.
pub(super) async fn verify(index: Index) -> Option<String> {
    loop {
        match verify_gently(&index).await {
            Ok(damage) => return damage,
            Err(Unverifiable::Panicked) => {
                warn!(
                    "Verifying the index panicked; this is a bug. Its files are not verified until the next start."
                );
                return None;
            }
            Err(Unverifiable::Index(error)) => {
                debug!(error = %error, "The index could not be verified; trying again.");
                tokio::time::sleep(VERIFY_RETRY).await;
            }
        }
    }
}

async fn verify_gently(index: &Index) -> Result<Option<String>, Unverifiable> {
    let of = index.clone();
    let Unverified { new, rest } = task::caught(move || of.unverified()).await??;
    let pieces = std::iter::once(new).chain(rest.into_iter().map(|file| vec![file]));
    for files in pieces {
        let of = index.clone();
        let begun = Instant::now();
        let damaged = task::caught(move || of.verify_files(&files)).await??;
        if !damaged.is_empty() {
            return Ok(Some(format!(
                "the index is damaged in {}",
                damaged.join(", ")
            )));
        }
        tokio::time::sleep(begun.elapsed() * VERIFY_RESTS).await;
    }
    Ok(None)
}
