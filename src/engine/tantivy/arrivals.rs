//! A question's events in the order of arrival, for those who follow.
//!
//! What has just been committed stands in segments of its own for a while, and a segment without anything new is passed
//! over, so to keep up costs about as much as there is news. Whoever is far behind takes many places at once.

use std::collections::BinaryHeap;

use tantivy::DocSet;

use super::segment::{from, within};
use super::snapshot::Snapshot;
use crate::engine::error::EngineError;
use crate::engine::hit::{Order, Range};
use crate::position::Seq;
use crate::query::Query;

impl Snapshot {
    /// The first `limit` matching events with a `seq` above `after`, by `seq`.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when a file cannot be read.
    pub fn arrivals(
        &self,
        query: &Query,
        range: Range,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Seq>, EngineError> {
        if after >= self.seq {
            return Ok(Vec::new());
        }
        let weight = self.weight(query, self.seq)?;
        let steps = self.budget.steps();
        // The latest on top, to give way to an earlier one.
        let mut earliest = BinaryHeap::new();
        for (segment, reader) in self.segments.iter().zip(self.searcher.segment_readers()) {
            let docs = segment.docs(range, Order::Descending, None);
            if docs.is_empty() || segment.seq.max_value() <= after.0 {
                continue;
            }
            let mut scorer = weight.scorer(reader, 1.0)?;
            let mut next = within(from(scorer.as_mut(), docs.start), &docs);
            while let Some(doc) = next
                && !steps.step()
            {
                let seq = Seq(segment.seq.get_val(doc));
                if segment.is_alive(doc) && seq > after && seq <= self.seq {
                    earliest.push(seq);
                }
                if earliest.len() > limit {
                    earliest.pop();
                }
                next = within(scorer.advance(), &docs);
            }
        }
        self.budget.check()?;
        Ok(earliest.into_sorted_vec())
    }

    /// The newest event up to `upto` that a question means.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when a file cannot be read.
    pub fn newest(&self, query: &Query, upto: Seq) -> Result<Option<Seq>, EngineError> {
        let upto = upto.min(self.seq);
        let weight = self.weight(query, upto)?;
        let steps = self.budget.steps();
        let mut newest = None;
        for (segment, reader) in self.segments.iter().zip(self.searcher.segment_readers()) {
            let docs = segment.docs(Range::default(), Order::Descending, None);
            let best = newest.map_or(0, |Seq(seq)| seq);
            if docs.is_empty() || segment.seq.max_value() <= best {
                continue;
            }
            let mut scorer = weight.scorer(reader, 1.0)?;
            let mut next = within(from(scorer.as_mut(), docs.start), &docs);
            while let Some(doc) = next
                && !steps.step()
            {
                let seq = Seq(segment.seq.get_val(doc));
                if segment.is_alive(doc) && seq <= upto {
                    newest = newest.max(Some(seq));
                }
                next = within(scorer.advance(), &docs);
            }
        }
        self.budget.check()?;
        Ok(newest)
    }
}
