//! Documents that are made again: those of events whose body was damaged when they were taken in, and was put back since.

use std::collections::HashMap;
use std::ops::Bound;

use tantivy::Term;
use tantivy::query::RangeQuery;

use super::batch::DocumentBatch;
use super::snapshot::Snapshot;
use super::{Index, IndexError, lock, open};
use crate::engine::hit::Hit;
use crate::event::AuditEvent;
use crate::position::Seq;

impl Index {
    /// Makes the documents of events again that were taken in before; `replaced` as in [`Index::add_revisions`]. Everything
    /// that was added must be committed. They are found after [`Index::commit`].
    ///
    /// # Errors
    /// As [`Index::add`].
    pub fn renew(
        &self,
        events: &[AuditEvent],
        replaced: &HashMap<Seq, Hit>,
    ) -> Result<(), IndexError> {
        let snapshot = self.snapshot();
        let mut writing = lock(&self.0.writing);
        let writing = open(&mut writing)?;
        let seq_field = self.0.shape.seq;
        for event in events {
            let seq = Term::from_field_u64(seq_field, event.seq.0);
            let this = RangeQuery::new(Bound::Included(seq.clone()), Bound::Included(seq));
            writing.writer.delete_query(Box::new(this))?;
            writing.documents -= snapshot.documents_of(event);
            if event.is_erased() {
                continue;
            }
            let replaced = replaced.get(&event.seq).copied();
            let mut batch = DocumentBatch::default();
            self.add_document(event, replaced, writing, &mut batch);
            writing.take_in(&mut batch)?;
        }
        Ok(())
    }
}

impl Snapshot {
    /// How many documents an event has: one, or none.
    fn documents_of(&self, event: &AuditEvent) -> u64 {
        let at_us = event.ordered_at().timestamp_micros();
        let of_segment = self.segments.iter().map(|segment| {
            let docs = segment.docs_at(at_us);
            docs.filter(|doc| segment.is_alive(*doc) && segment.seq.get_val(*doc) == event.seq.0)
                .count()
        });
        of_segment.sum::<usize>() as u64
    }
}
