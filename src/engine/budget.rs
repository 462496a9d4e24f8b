//! What a question may cost: its time, looked at in every loop whose length is up to the question or the data, and its memory
//! for sets of documents.
//!
//! A loop that runs out of time ends early. Its caller learns from [`Budget::check`] that the result is not
//! whole.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::error::{EngineError, OutOfMemory};
use crate::clock::Deadline;

/// How many steps are taken between two looks at the clock.
const STEPS_BETWEEN_LOOKS: u32 = 256;

/// The most memory that the sets of one question may take, in bytes.
const MAX_QUESTION_BYTES: usize = 64 * 1024 * 1024;

/// The most memory that the sets of all questions may take, in bytes.
const MAX_ALL_BYTES: usize = 256 * 1024 * 1024;

/// A question's time and memory. A clone is the same one.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    timer: Option<Arc<Timer>>,
    memory: MemoryBudget,
}

#[derive(Debug)]
struct Timer {
    deadline: Deadline,
    is_over: AtomicBool,
}

impl Budget {
    /// For another question: time until `deadline`, or without an end. The memory of all questions together has a limit, too.
    #[must_use]
    pub fn of_another(&self, deadline: Option<Deadline>) -> Self {
        let timer = deadline.map(|deadline| Timer {
            deadline,
            is_over: AtomicBool::new(false),
        });
        Self {
            timer: timer.map(Arc::new),
            memory: self.memory.of_another(),
        }
    }

    /// Time without an end, with so many bytes of memory.
    #[cfg(test)]
    pub(crate) fn with_bytes(most: usize) -> Self {
        Self::with_memory(MemoryBudget::of(most))
    }

    /// Time without an end, with other memory.
    #[cfg(test)]
    pub(super) fn with_memory(memory: MemoryBudget) -> Self {
        Self {
            timer: None,
            memory,
        }
    }

    /// The memory for sets of documents.
    pub(super) fn memory(&self) -> &MemoryBudget {
        &self.memory
    }

    /// Reserves nothing yet of the question's memory, to be grown.
    ///
    /// # Errors
    /// [`OutOfMemory`] when all questions together have no more.
    pub fn reserve_none(&self) -> Result<Reserved, OutOfMemory> {
        self.memory.reserve(0)
    }

    /// Says whether time is up, by the clock.
    pub(super) fn look(&self) -> bool {
        let Some(timer) = &self.timer else {
            return false;
        };
        let is_over = timer.is_over.load(Ordering::Relaxed) || timer.deadline.has_passed();
        if is_over {
            timer.is_over.store(true, Ordering::Relaxed);
        }
        is_over
    }

    /// Says whether time was found to be up.
    pub(super) fn is_over(&self) -> bool {
        let timer = self.timer.as_ref();
        timer.is_some_and(|timer| timer.is_over.load(Ordering::Relaxed))
    }

    /// Fails when time was found to be up: what was found since is not whole.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        match &self.timer {
            Some(timer) if timer.is_over.load(Ordering::Relaxed) => Err(EngineError::CutOff {
                seconds: timer.deadline.allowed().num_seconds(),
            }),
            _ => Ok(()),
        }
    }

    /// Checks the deadline before further work with the result.
    ///
    /// # Errors
    /// [`EngineError::CutOff`] when there is no time left.
    pub fn check_time(&self) -> Result<(), EngineError> {
        self.look();
        self.check()
    }

    /// Counts the steps of one loop.
    pub(super) fn steps(&self) -> Steps {
        Steps {
            budget: self.clone(),
            // The first step looks, too: many short loops take as long as a long one.
            taken: Cell::new(STEPS_BETWEEN_LOOKS - 1),
        }
    }
}

/// The steps of one loop.
#[derive(Debug)]
pub(super) struct Steps {
    budget: Budget,
    taken: Cell<u32>,
}

impl Steps {
    /// Takes a step; says whether to stop.
    pub(super) fn step(&self) -> bool {
        let taken = self.taken.get().wrapping_add(1);
        self.taken.set(taken);
        taken.is_multiple_of(STEPS_BETWEEN_LOOKS) && self.budget.look()
    }
}

/// The memory for the sets of one question. A clone is the same one.
#[derive(Debug, Clone)]
pub(super) struct MemoryBudget {
    used: Arc<AtomicUsize>,
    most: usize,
    used_by_all: Arc<AtomicUsize>,
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self {
            used: Arc::default(),
            most: MAX_QUESTION_BYTES,
            used_by_all: Arc::default(),
        }
    }
}

impl MemoryBudget {
    /// For another question; all questions together have a limit of their own.
    fn of_another(&self) -> Self {
        Self {
            used: Arc::default(),
            most: self.most,
            used_by_all: Arc::clone(&self.used_by_all),
        }
    }

    /// With another limit.
    #[cfg(test)]
    pub(super) fn of(most: usize) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    /// The bytes that are used now.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    /// Reserves some bytes.
    ///
    /// # Errors
    /// [`OutOfMemory`] when the question, or all of them together, would have more than their limit.
    pub(super) fn reserve(&self, bytes: usize) -> Result<Reserved, OutOfMemory> {
        let reserved = Reserved {
            memory: self.clone(),
            bytes,
        };
        let of_this = self.used.fetch_add(bytes, Ordering::SeqCst) + bytes;
        let of_all = self.used_by_all.fetch_add(bytes, Ordering::SeqCst) + bytes;
        if of_this > self.most || of_all > MAX_ALL_BYTES {
            // Dropped here, it is given back.
            return Err(OutOfMemory);
        }
        Ok(reserved)
    }
}

/// Memory that is used, until it is dropped.
#[derive(Debug)]
pub struct Reserved {
    memory: MemoryBudget,
    bytes: usize,
}

impl Reserved {
    /// Reserves some bytes more.
    ///
    /// # Errors
    /// [`OutOfMemory`] when the question, or all of them together, would have more than their limit.
    pub fn grow(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        let mut more = self.memory.reserve(bytes)?;
        self.bytes += std::mem::take(&mut more.bytes);
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::SeqCst);
        self.memory
            .used_by_all
            .fetch_sub(self.bytes, Ordering::SeqCst);
    }
}
