//! Where a test makes the work on one entry fail, by an error or by a panic.
//!
//! In service nothing is set, and it costs a null check. For steps whose effect outlives a crash see [`crate::durable`].

use std::fmt;
use std::sync::Arc;

/// Work on one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// Its document is made; the text is the whole entry.
    MakeDocument,
    /// One of its texts is cut into words, on the index writer's own thread.
    CutWords,
}

/// The document of an entry could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the document could not be made")]
pub(super) struct NoDocument;

type Fails = dyn Fn(Work, &str) -> bool + Send + Sync;

/// Decides which work fails. Its clone decides the same way.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<Fails>>);

impl Faults {
    /// Asks `fails` at each piece of work, with its text. It may also panic.
    pub fn new(fails: impl Fn(Work, &str) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(fails)))
    }

    pub(super) fn check(&self, work: Work, text: &str) -> Result<(), NoDocument> {
        match &self.0 {
            Some(fails) if fails(work, text) => Err(NoDocument),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(_) => "Faults(set)",
            None => "Faults(none)",
        })
    }
}
