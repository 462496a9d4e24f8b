//! The steps whose effect outlives a crash, each with a name, so that a test can break them.
//!
//! Every such step runs through [`Breaker::around`]. In service the breaker is never closed and costs a null check; a
//! test makes a step fail, or fail after it took effect: the two things a crash, a full disk or a lost answer can look like
//! from outside.

use std::fmt;
use std::sync::Arc;

/// A step whose effect outlives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Sources are written down.
    SaveSources,
    /// An organization's members are written down.
    SaveMembers,
    /// A window is opened.
    BeginWindow,
    /// A window's scan starts over, or is given up.
    RestartWindow,
    /// A page is kept: its new events, the window's cursor and counts.
    AppendPage,
    /// Old sealed windows are merged.
    FoldLedger,
    /// Entries from a file are kept.
    AppendImport,
    /// A credential's spent budget and wait are written down.
    SaveQuota,
    /// A trained dictionary is written down.
    SaveDictionary,
    /// How far the log is checked, and which events are damaged, is written down.
    SaveScrub,
    /// The body of a damaged event is put back.
    RepairBody,
    /// Documents and progress are committed to the index.
    CommitIndex,
    /// A rebuilt index takes the place of the one before it.
    SwapIndex,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::SaveSources,
        Self::SaveMembers,
        Self::BeginWindow,
        Self::RestartWindow,
        Self::AppendPage,
        Self::FoldLedger,
        Self::AppendImport,
        Self::SaveQuota,
        Self::SaveDictionary,
        Self::SaveScrub,
        Self::RepairBody,
        Self::CommitIndex,
        Self::SwapIndex,
    ];
}

/// How a step breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// It fails, and nothing has happened.
    Before,
    /// It takes effect, and fails all the same.
    After,
}

/// Decides which steps break. Its clone decides the same way.
#[derive(Clone, Default)]
pub struct Breaker(Option<Arc<dyn Fn(Step) -> Option<Break> + Send + Sync>>);

/// A step was broken on purpose.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the step {0:?} was broken on purpose")]
pub struct Broken(pub Step);

impl Breaker {
    /// A breaker that asks `decide` at each step.
    pub fn new(decide: impl Fn(Step) -> Option<Break> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(decide)))
    }

    /// Runs `effect` as `step`.
    ///
    /// # Errors
    /// Those of `effect`, and [`Broken`] where the breaker says so.
    pub fn around<T, E: From<Broken>>(
        &self,
        step: Step,
        effect: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        match self.0.as_ref().and_then(|decide| decide(step)) {
            None => effect(),
            Some(Break::Before) => Err(Broken(step).into()),
            Some(Break::After) => {
                effect()?;
                Err(Broken(step).into())
            }
        }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Breaker(set)"
        } else {
            "Breaker(none)"
        })
    }
}
