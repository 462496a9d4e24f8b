//! Reading answers off the index, in the order of time.
//!
//! Segments are sorted newest first, so a question is answered by walking each segment's matches from one end and merging
//! the walks: the newest fifty of a million cost about fifty steps. There is no scoring and no heap over all matches.
//! The other order walks backwards, block by block.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::segment::{SegmentCursor, Walk};
use super::snapshot::Snapshot;
use crate::engine::error::EngineError;
use crate::engine::hit::{Hit, Order, Range};
use crate::position::Seq;
use crate::query::Query;

impl Snapshot {
    /// The first `limit` answers after `after`, of the events up to `upto`, in order.
    ///
    /// # Errors
    /// [`EngineError::CutOff`] when it takes too long, [`EngineError::Question`] when it would take too much memory,
    /// [`EngineError::Failed`] when a file cannot be read.
    pub fn hits(
        &self,
        query: &Query,
        range: Range,
        order: Order,
        after: Option<Hit>,
        upto: Seq,
        limit: usize,
    ) -> Result<Vec<Hit>, EngineError> {
        let upto = upto.min(self.seq);
        let weight = self.weight_for(query, upto, order == Order::Ascending)?;
        let steps = self.budget.steps();
        let mut heap: BinaryHeap<SegmentCursor<'_>> = BinaryHeap::new();
        for (segment, reader) in self.segments.iter().zip(self.searcher.segment_readers()) {
            let docs = segment.docs(range, order, after);
            let Some(best) = segment.best_of(&docs, order) else {
                continue;
            };
            let walk = Walk::new(segment, reader, docs, order);
            heap.push(SegmentCursor {
                order,
                at_us: best,
                hit: None,
                walk,
            });
        }
        let mut found: Vec<Hit> = Vec::new();
        while let Some(mut head) = heap.pop() {
            // Whatever follows is of another time, so equal times are all here, and can be put in order below.
            if found.len() >= limit && found.last().is_some_and(|last| last.at_us != head.at_us) {
                break;
            }
            found.extend(head.hit);
            head.hit = loop {
                let Some(hit) = head.walk.next(weight.as_ref())? else {
                    break None;
                };
                if steps.step() {
                    break None;
                }
                let is_after =
                    after.is_none_or(|after| order.compare(hit, after) == Ordering::Greater);
                if is_after && hit.seq <= upto {
                    break Some(hit);
                }
            };
            if let Some(hit) = head.hit {
                head.at_us = hit.at_us;
                heap.push(head);
            }
        }
        self.budget.check()?;
        found.sort_unstable_by(|a, b| order.compare(*a, *b));
        found.truncate(limit);
        Ok(found)
    }

    /// How many events match, exactly.
    ///
    /// # Errors
    /// As [`Snapshot::hits`].
    pub fn count(&self, query: &Query, range: Range) -> Result<u64, EngineError> {
        let weight = self.weight(query, self.seq)?;
        let steps = self.budget.steps();
        let mut count = 0;
        for (segment, reader) in self.segments.iter().zip(self.searcher.segment_readers()) {
            let docs = segment.docs(range, Order::Descending, None);
            count += match query {
                _ if docs.is_empty() => 0,
                // Every document of the stretch counts.
                Query::All if self.is_exact && segment.is_whole() => docs.len() as u64,
                _ if self.is_exact && segment.is_whole() && docs.len() == segment.len as usize => {
                    u64::from(weight.count(reader)?)
                }
                _ => {
                    let mut walk = Walk::new(segment, reader, docs, Order::Descending);
                    let mut counted = 0;
                    while let Some(hit) = walk.next(weight.as_ref())?
                        && !steps.step()
                    {
                        counted += u64::from(hit.seq <= self.seq);
                    }
                    counted
                }
            };
            self.check_time()?;
        }
        Ok(count)
    }
}
