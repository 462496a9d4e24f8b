//! The time a question has: looked at in every loop whose length is up to the question or the data.
//!
//! The engine's own loops cannot be asked to stop, so what they walk over ends early when time is up, and whoever walks
//! learns from the [`Watch`] that the answer is not whole.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tantivy::query::{EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::{DocId, DocSet, Score, SeekDangerResult, SegmentReader, TERMINATED};

use super::IndexError;
use super::bits::Memory;
use crate::clock::Deadline;

/// How many steps are taken between two looks at the clock.
const STEPS_BETWEEN_LOOKS: u32 = 256;

/// A question's time, and its memory for sets of documents. A clone is the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    timer: Option<Arc<Timer>>,
    memory: Memory,
}

#[derive(Debug)]
struct Timer {
    deadline: Deadline,
    is_over: AtomicBool,
}

impl Watch {
    /// For another question: time until `deadline`. [`Watch::default`] is all the time in the world.
    pub(super) fn until(&self, deadline: Deadline) -> Self {
        let timer = Timer {
            deadline,
            is_over: AtomicBool::new(false),
        };
        Self {
            timer: Some(Arc::new(timer)),
            memory: self.memory.of_another(),
        }
    }

    /// All the time in the world, with other memory.
    #[cfg(test)]
    pub(super) fn with_memory(memory: Memory) -> Self {
        Self {
            timer: None,
            memory,
        }
    }

    /// The memory for sets of documents.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
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
    pub(super) fn check(&self) -> Result<(), IndexError> {
        match &self.timer {
            Some(timer) if timer.is_over.load(Ordering::Relaxed) => Err(IndexError::CutOff {
                seconds: timer.deadline.allowed().num_seconds(),
            }),
            _ => Ok(()),
        }
    }

    /// Counts the steps of one loop.
    pub(super) fn steps(&self) -> Steps {
        Steps {
            watch: self.clone(),
            // The first step looks, too: many short loops take as long as a long one.
            taken: Cell::new(STEPS_BETWEEN_LOOKS - 1),
        }
    }
}

/// The steps of one loop.
#[derive(Debug)]
pub(super) struct Steps {
    watch: Watch,
    taken: Cell<u32>,
}

impl Steps {
    /// Takes a step; says whether to stop.
    pub(super) fn step(&self) -> bool {
        let taken = self.taken.get().wrapping_add(1);
        self.taken.set(taken);
        taken.is_multiple_of(STEPS_BETWEEN_LOOKS) && self.watch.look()
    }
}

/// A query whose matches end when time is up.
#[derive(Debug)]
pub(super) struct Watched {
    query: Box<dyn Query>,
    watch: Watch,
}

impl Watched {
    pub(super) fn new(query: Box<dyn Query>, watch: &Watch) -> Self {
        Self {
            query,
            watch: watch.clone(),
        }
    }
}

impl Clone for Watched {
    fn clone(&self) -> Self {
        Self::new(self.query.box_clone(), &self.watch)
    }
}

impl Query for Watched {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let weight = self.query.weight(scoring)?;
        Ok(Box::new(WatchedWeight {
            weight,
            watch: self.watch.clone(),
        }))
    }
}

struct WatchedWeight {
    weight: Box<dyn Weight>,
    watch: Watch,
}

impl WatchedWeight {
    fn watched(&self, scorer: Box<dyn Scorer>) -> WatchedScorer {
        WatchedScorer {
            scorer,
            steps: self.watch.steps(),
            is_over: false,
        }
    }
}

impl Weight for WatchedWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        if self.watch.look() {
            return Ok(Box::new(EmptyScorer));
        }
        Ok(Box::new(self.watched(self.weight.scorer(reader, boost)?)))
    }

    fn scorer_danger(
        &self,
        reader: &SegmentReader,
        target: DocId,
        boost: Score,
    ) -> tantivy::Result<(SeekDangerResult, Box<dyn Scorer>)> {
        if self.watch.look() {
            let nothing = SeekDangerResult::SeekLowerBound(TERMINATED);
            return Ok((nothing, Box::new(EmptyScorer)));
        }
        let (result, scorer) = self.weight.scorer_danger(reader, target, boost)?;
        Ok((result, Box::new(self.watched(scorer))))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        self.weight.explain(reader, doc)
    }
}

struct WatchedScorer {
    scorer: Box<dyn Scorer>,
    steps: Steps,
    is_over: bool,
}

impl WatchedScorer {
    fn step(&mut self) -> bool {
        self.is_over |= self.steps.step();
        self.is_over
    }
}

impl DocSet for WatchedScorer {
    fn advance(&mut self) -> DocId {
        if self.step() {
            return TERMINATED;
        }
        self.scorer.advance()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if self.step() {
            return TERMINATED;
        }
        self.scorer.seek(target)
    }

    fn seek_danger(&mut self, target: DocId) -> SeekDangerResult {
        if self.step() {
            return SeekDangerResult::SeekLowerBound(TERMINATED);
        }
        self.scorer.seek_danger(target)
    }

    fn doc(&self) -> DocId {
        match self.is_over {
            true => TERMINATED,
            false => self.scorer.doc(),
        }
    }

    fn size_hint(&self) -> u32 {
        self.scorer.size_hint()
    }

    fn cost(&self) -> u64 {
        self.scorer.cost()
    }
}

impl Scorer for WatchedScorer {
    fn score(&mut self) -> Score {
        self.scorer.score()
    }
}
