//! Queries whose matches end when a question's time is up: the engine's own loops cannot be asked to stop, so what they walk
//! over ends early.

use tantivy::query::{EmptyScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::{DocId, DocSet, Score, SeekDangerResult, SegmentReader, TERMINATED};

use crate::engine::budget::{Budget, Steps};

/// A query whose matches end when time is up.
#[derive(Debug)]
pub(super) struct Bounded {
    query: Box<dyn Query>,
    budget: Budget,
}

impl Bounded {
    pub(super) fn new(query: Box<dyn Query>, budget: &Budget) -> Self {
        Self {
            query,
            budget: budget.clone(),
        }
    }
}

impl Clone for Bounded {
    fn clone(&self) -> Self {
        Self::new(self.query.box_clone(), &self.budget)
    }
}

impl Query for Bounded {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let weight = self.query.weight(scoring)?;
        Ok(Box::new(BoundedWeight {
            weight,
            budget: self.budget.clone(),
        }))
    }
}

struct BoundedWeight {
    weight: Box<dyn Weight>,
    budget: Budget,
}

impl BoundedWeight {
    fn bounded(&self, scorer: Box<dyn Scorer>, is_at_match: bool) -> BoundedScorer {
        BoundedScorer {
            scorer,
            steps: self.budget.steps(),
            is_over: false,
            is_at_match,
        }
    }
}

impl Weight for BoundedWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        if self.budget.look() {
            return Ok(Box::new(EmptyScorer));
        }
        let scorer = self.weight.scorer(reader, boost)?;
        Ok(Box::new(self.bounded(scorer, true)))
    }

    fn scorer_danger(
        &self,
        reader: &SegmentReader,
        target: DocId,
        boost: Score,
    ) -> tantivy::Result<(SeekDangerResult, Box<dyn Scorer>)> {
        if self.budget.look() {
            let nothing = SeekDangerResult::SeekLowerBound(TERMINATED);
            return Ok((nothing, Box::new(EmptyScorer)));
        }
        let (result, scorer) = self.weight.scorer_danger(reader, target, boost)?;
        let is_at_match = result == SeekDangerResult::Found;
        Ok((result, Box::new(self.bounded(scorer, is_at_match))))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        self.weight.explain(reader, doc)
    }
}

struct BoundedScorer {
    scorer: Box<dyn Scorer>,
    steps: Steps,
    is_over: bool,
    /// Whether the scorer's document is a match, or the end. After a `seek_danger` that found nothing it may be any.
    is_at_match: bool,
}

impl BoundedScorer {
    fn step(&mut self) -> bool {
        self.is_over |= self.steps.step();
        self.is_over
    }
}

impl DocSet for BoundedScorer {
    fn advance(&mut self) -> DocId {
        if self.step() {
            return TERMINATED;
        }
        self.is_at_match = true;
        self.scorer.advance()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if self.step() {
            return TERMINATED;
        }
        self.is_at_match = true;
        self.scorer.seek(target)
    }

    fn seek_danger(&mut self, target: DocId) -> SeekDangerResult {
        if self.step() {
            return SeekDangerResult::SeekLowerBound(TERMINATED);
        }
        // What excludes the matches of an intersection asks it for documents before its first one. Tantivy's range of a column
        // cannot go back: it would subtract the later document from the earlier one.
        let doc = self.scorer.doc();
        if self.is_at_match && target < doc {
            return SeekDangerResult::SeekLowerBound(doc);
        }
        let result = self.scorer.seek_danger(target);
        self.is_at_match = result == SeekDangerResult::Found;
        result
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

impl Scorer for BoundedScorer {
    fn score(&mut self) -> Score {
        self.scorer.score()
    }
}
