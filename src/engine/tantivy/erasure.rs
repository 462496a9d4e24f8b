//! Documents of erased events: deleted, and then nothing of them stays in the files.
//!
//! A deleted document's terms stay in its segment until that is merged. So each segment with deleted documents is merged into one
//! without them, and the old files are removed when no question reads them any more.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;

use tantivy::index::SegmentId;
use tantivy::query::{ConstScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::{DocId, DocSet, Score, SegmentReader, TERMINATED};
use tracing::debug;

use super::directory::OpenWriter;
use super::explained::explained;
use super::schema::SEQ;
use super::snapshot::Snapshot;
use super::{Index, IndexError, lock, open};
use crate::position::Seq;

/// After how many looks a merge that has not ended is started again.
const TRY_EVERY: u32 = 30;

/// How many characters of a file's name are the id of its segment.
const SEGMENT_ID_LEN: usize = 32;

impl Index {
    /// Deletes the documents of these events. Everything that was added must be committed; they are in no answer after
    /// [`Index::commit`].
    ///
    /// # Errors
    /// As [`Index::add`].
    pub fn delete(&self, seqs: &[Seq]) -> Result<(), IndexError> {
        let snapshot = self.snapshot();
        let mut writing = lock(&self.0.writing);
        let writing = open(&mut writing)?;
        let wanted = ErasedSeqs(Arc::new(seqs.iter().map(|seq| seq.0).collect()));
        writing.documents -= snapshot.documents_among(&wanted.0);
        writing.writer.delete_query(Box::new(wanted))?;
        Ok(())
    }

    /// Goes on to remove what is left of deleted documents, without waiting for it. Says whether anything is left.
    ///
    /// # Errors
    /// As [`Index::add`].
    pub fn purge(&self) -> Result<bool, IndexError> {
        let mut slot = lock(&self.0.writing);
        let writing = open(&mut slot)?;
        let with_deleted = with_deleted(writing)?;
        writing.purging.retain(|id, _| with_deleted.contains(id));
        for id in &with_deleted {
            let looks = writing.purging.entry(*id).or_default();
            // One that is being merged with others is refused, and tried again later.
            if *looks % TRY_EVERY == 0 {
                drop(writing.writer.merge(&[*id]));
            }
            *looks += 1;
        }
        self.show_merged(writing)?;
        Ok(!with_deleted.is_empty() || self.has_old_files(writing)?)
    }

    /// The same, and waits until nothing is left but the files that a question reads.
    ///
    /// # Errors
    /// As [`Index::add`].
    pub(super) fn purge_all(&self, writing: &mut OpenWriter) -> Result<(), IndexError> {
        for id in with_deleted(writing)? {
            if let Err(error) = writing.writer.merge(&[id]).wait() {
                debug!(error = %error, "A segment with deleted documents is not merged now.");
            }
        }
        self.show_merged(writing)?;
        writing.writer.garbage_collect_files().wait()?;
        Ok(())
    }

    /// Shows the segments that merges have made. The events are the same.
    fn show_merged(&self, writing: &mut OpenWriter) -> Result<(), IndexError> {
        let shown: HashSet<String> = self.snapshot().segment_names().into_iter().collect();
        let now: HashSet<String> = names_of(writing)?.collect();
        if shown != now {
            let seq = self.checkpoint();
            self.show(Snapshot::take(&writing.reader, &self.0.shape, seq)?);
        }
        Ok(())
    }

    /// Whether there are files of segments that are no part of the index any more; those that nothing reads are removed.
    fn has_old_files(&self, writing: &OpenWriter) -> Result<bool, IndexError> {
        let count = || -> Result<usize, IndexError> {
            let current: HashSet<String> = names_of(writing)?.collect();
            let files = fs::read_dir(self.dir()).into_iter().flatten().flatten();
            let is_old = |name: &str| {
                let id = name.get(..SEGMENT_ID_LEN);
                id.is_some_and(|id| {
                    id.bytes().all(|byte| byte.is_ascii_hexdigit()) && !current.contains(id)
                })
            };
            let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
            Ok(names.filter(|name| is_old(name)).count())
        };
        if count()? == 0 {
            return Ok(false);
        }
        writing.writer.garbage_collect_files().wait()?;
        Ok(count()? > 0)
    }
}

/// The segments of the last commit that have deleted documents.
fn with_deleted(writing: &OpenWriter) -> Result<Vec<SegmentId>, IndexError> {
    let metas = writing.writer.index().searchable_segment_metas()?;
    let metas = metas.iter().filter(|meta| meta.has_deletes());
    Ok(metas.map(tantivy::SegmentMeta::id).collect())
}

/// How the files of each segment of the last commit begin.
fn names_of(writing: &OpenWriter) -> Result<impl Iterator<Item = String> + use<>, IndexError> {
    let ids = writing.writer.index().searchable_segment_ids()?;
    Ok(ids.into_iter().map(|id| id.uuid_string()))
}

impl Snapshot {
    /// How many documents the events of these places have.
    fn documents_among(&self, wanted: &HashSet<u64>) -> u64 {
        let of_segment = self.segments.iter().map(|segment| {
            let docs = (0..segment.len).filter(|doc| segment.is_alive(*doc));
            docs.filter(|doc| wanted.contains(&segment.seq.get_val(*doc)))
                .count() as u64
        });
        of_segment.sum()
    }
}

/// The documents of events, by their places. All documents are looked at: places have no terms.
#[derive(Debug, Clone)]
struct ErasedSeqs(Arc<HashSet<u64>>);

impl Query for ErasedSeqs {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for ErasedSeqs {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let places = reader.fast_fields().u64(SEQ)?.values;
        let docs = (0..reader.max_doc()).filter(|doc| self.0.contains(&places.get_val(*doc)));
        let docs = DocList {
            docs: docs.collect(),
            at: 0,
        };
        Ok(Box::new(ConstScorer::new(docs, boost)))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        explained(self.scorer(reader, 1.0)?, doc)
    }
}

/// Documents in ascending order.
struct DocList {
    docs: Vec<DocId>,
    at: usize,
}

impl DocSet for DocList {
    fn advance(&mut self) -> DocId {
        self.at = (self.at + 1).min(self.docs.len());
        self.doc()
    }

    fn doc(&self) -> DocId {
        self.docs.get(self.at).copied().unwrap_or(TERMINATED)
    }

    fn size_hint(&self) -> u32 {
        u32::try_from(self.docs.len()).unwrap_or(u32::MAX)
    }
}
