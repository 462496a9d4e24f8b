//! The index's directory: opened when it is whole and of this log, and made anew when it is not.
//!
//! It says why not, and leaves it to others what is then to be done.

use std::collections::HashMap;
use std::fmt::Display;
use std::fs;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tantivy::index::SegmentId;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{IndexReader, IndexSettings, IndexWriter, ReloadPolicy};
use uuid::Uuid;

use super::batch::{DocumentBatch, IndexDocument};
use super::document::Paths;
use super::error::IndexError;
use super::folder::{DIR_NAME, NEW_NAME, failed};
use super::proof::is_proof;
use super::schema::IndexSchema;
use super::snapshot::Snapshot;
use super::tokenizer;
use crate::position::{LastEvent, Seq};
use crate::private;

/// Raised when what is indexed changes in a way the schema does not show.
const FORMAT: u32 = 6;

/// What the writer may hold in memory before it writes a segment, in bytes.
const WRITER_BYTES: usize = 64 * 1024 * 1024;

/// What the writer of a trial may hold in memory, in bytes: the least that the engine allows.
const TRIAL_BYTES: usize = 15_000_000;

/// Segments beyond this many documents are not merged further: they stay parallel and bounded.
const MAX_MERGED_DOCS: usize = 1_000_000;

/// The directory, opened for writing.
pub(super) struct OpenWriter {
    pub(super) reader: IndexReader,
    pub(super) writer: IndexWriter<IndexDocument>,
    /// The last event added, committed or not.
    pub(super) added: Seq,
    /// One of the events up to here may have made the writer fail before: each is tried by itself first.
    pub(super) suspected_to: Seq,
    /// That event.
    pub(super) last: LastEvent,
    /// How many documents it has, those that are not committed included.
    pub(super) documents: u64,
    pub(super) paths: Paths,
    /// Segments with deleted documents whose merge was started, and how often it was looked for its end.
    pub(super) purging: HashMap<SegmentId, u32>,
}

impl OpenWriter {
    /// Takes in the documents of a batch.
    ///
    /// # Errors
    /// What the engine says: its threads have ended then.
    pub(super) fn take_in(&mut self, batch: &mut DocumentBatch) -> Result<(), IndexError> {
        for document in batch.take() {
            self.writer.add_document(document)?;
            self.documents += 1;
        }
        Ok(())
    }
}

/// What each commit says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Payload {
    log_id: Uuid,
    /// The last event that is in, with all before it.
    seq: Seq,
    format: u32,
    /// The SHA-256 of that event, where it is known: another log with the same id, an older copy that has grown since, has
    /// another event there.
    #[serde(default)]
    sha256: Option<String>,
    /// The run of the program that added it to the log, where it is known.
    #[serde(default)]
    run: Option<String>,
    /// How many documents are in. Fewer than `seq` when events had no body; as many in a commit that does not say it.
    #[serde(default)]
    documents: Option<u64>,
}

impl Payload {
    /// That of an empty index.
    fn empty(log_id: Uuid) -> Self {
        Self {
            log_id,
            seq: Seq::ZERO,
            format: FORMAT,
            sha256: None,
            run: None,
            documents: Some(0),
        }
    }

    fn last(&self) -> LastEvent {
        LastEvent {
            sha256: self.sha256.clone(),
            run: self.run.clone(),
        }
    }

    fn documents(&self) -> u64 {
        self.documents.unwrap_or(self.seq.0)
    }
}

/// What a commit of everything added says.
pub(super) fn said(log_id: Uuid, writing: &OpenWriter) -> Result<String, IndexError> {
    let payload = Payload {
        log_id,
        seq: writing.added,
        format: FORMAT,
        sha256: writing.last.sha256.clone(),
        run: writing.last.run.clone(),
        documents: Some(writing.documents),
    };
    serde_json::to_string(&payload).map_err(|error| IndexError::Unusable(error.to_string()))
}

/// The index, when it is whole, of this log and not ahead of it, with what can be asked: a damage may show only there.
///
/// # Errors
/// [`IndexError::Unusable`] when that is proven not to be so, another one when it is not known.
pub(super) fn open_whole(
    dir: &Path,
    shape: &IndexSchema,
    log_id: Uuid,
    head: Seq,
) -> Result<(OpenWriter, Snapshot), IndexError> {
    // The engine may panic at files that say what cannot be.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let writing = open_writing(dir, shape, log_id, head)?;
        let snapshot = Snapshot::take(&writing.reader, shape, writing.added)?;
        Ok((writing, snapshot))
    }));
    match opened {
        Ok(Err(IndexError::Engine(error))) if is_proof(&error) => Err(damaged(&error)),
        Ok(opened) => opened,
        Err(_) => Err(damaged("the search engine panicked when it read the index")),
    }
}

fn damaged(why: impl Display) -> IndexError {
    IndexError::Unusable(format!("damaged: {why}"))
}

fn open_writing(
    dir: &Path,
    shape: &IndexSchema,
    log_id: Uuid,
    head: Seq,
) -> Result<OpenWriter, IndexError> {
    let index = open_existing(dir, shape)?;
    let payload = payload(&index)?;
    check_payload(&payload, log_id)?;
    if payload.seq > head {
        return Err(IndexError::Unusable(format!(
            "ahead of the log: it holds {} events, the log {head}",
            payload.seq
        )));
    }
    let reader = reader(&index)?;
    let (found, claimed) = (reader.searcher().num_docs(), payload.documents());
    if found != claimed {
        return Err(IndexError::Unusable(format!(
            "damaged: it holds {found} events and claims {claimed}"
        )));
    }
    start_writing(&index, reader, payload)
}

/// Opens a log's index for reading only; another process may be writing it.
pub(super) fn open_beside(
    dir: &Path,
    shape: &IndexSchema,
    log_id: Uuid,
) -> Result<Snapshot, IndexError> {
    let index = open_existing(dir, shape)?;
    // The progress is read first: the reader then holds at least that, and what is beyond it is not shown.
    let payload = payload(&index)?;
    check_payload(&payload, log_id)?;
    let mut snapshot = Snapshot::take(&reader(&index)?, shape, payload.seq)?;
    // With another commit meanwhile the reader may hold more.
    snapshot.is_exact = self::payload(&index)? == payload;
    snapshot.last = Arc::new(payload.last());
    Ok(snapshot)
}

/// What can be asked now of the index in `data_dir`, and its directory. Where a rebuilt one could not be put in its place, that one
/// holds more.
pub(super) fn find_beside(
    data_dir: &Path,
    log_id: Uuid,
) -> Result<(PathBuf, Snapshot), IndexError> {
    let open = |name: &str| {
        let dir = data_dir.join(name);
        open_beside(&dir, &IndexSchema::new(), log_id).map(|snapshot| (dir, snapshot))
    };
    match (open(DIR_NAME), open(NEW_NAME)) {
        (Ok(current), Ok(new)) if new.1.seq() > current.1.seq() => Ok(new),
        (Err(IndexError::Unusable(_)), Ok(new)) => Ok(new),
        (current, _) => current,
    }
}

/// What can be asked of an index that cannot be opened: nothing.
pub(super) fn unavailable(shape: &IndexSchema) -> Result<Snapshot, IndexError> {
    let index = tantivy::Index::builder()
        .schema(shape.schema.clone())
        .settings(settings())
        .create_in_ram()?;
    let mut snapshot = Snapshot::take(&reader(&index)?, shape, Seq::ZERO)?;
    snapshot.is_unavailable = true;
    Ok(snapshot)
}

/// An empty index of the log, where there is none.
pub(super) fn make_anew(
    dir: &Path,
    shape: &IndexSchema,
    log_id: Uuid,
) -> Result<OpenWriter, IndexError> {
    private::make_dir(dir).map_err(failed(dir))?;
    let index = tantivy::Index::builder()
        .schema(shape.schema.clone())
        .settings(settings())
        .create_in_dir(dir)?;
    register_words(&index, shape);
    let reader = reader(&index)?;
    let payload = Payload::empty(log_id);
    let mut writing = start_writing(&index, reader, payload)?;
    let empty = said(log_id, &writing)?;
    let mut commit = writing.writer.prepare_commit()?;
    commit.set_payload(&empty);
    commit.commit()?;
    Ok(writing)
}

fn start_writing(
    index: &tantivy::Index,
    reader: IndexReader,
    payload: Payload,
) -> Result<OpenWriter, IndexError> {
    let options = IndexWriterOptions::builder()
        .memory_budget_per_thread(WRITER_BYTES)
        .num_worker_threads(1)
        .num_merge_threads(1)
        .build();
    let writer: IndexWriter<IndexDocument> = index.writer_with_options(options)?;
    let mut policy = LogMergePolicy::default();
    policy.set_max_docs_before_merge(MAX_MERGED_DOCS);
    writer.set_merge_policy(Box::new(policy));
    Ok(OpenWriter {
        reader,
        writer,
        added: payload.seq,
        suspected_to: Seq::ZERO,
        documents: payload.documents(),
        last: payload.last(),
        paths: Paths::default(),
        purging: HashMap::new(),
    })
}

/// The index as far as the engine knows it, when its fields are ours.
pub(super) fn open_existing(dir: &Path, shape: &IndexSchema) -> Result<tantivy::Index, IndexError> {
    let meta = dir.join("meta.json");
    if let Err(error) = fs::metadata(&meta) {
        return Err(match error.kind() {
            ErrorKind::NotFound => IndexError::Unusable("missing".into()),
            _ => failed(&meta)(error),
        });
    }
    let index = tantivy::Index::open_in_dir(dir).map_err(unusable("damaged"))?;
    if index.schema() != shape.schema || index.settings().sort_by_field != settings().sort_by_field
    {
        return Err(IndexError::Unusable(
            "built by another version, with other fields".into(),
        ));
    }
    register_words(&index, shape);
    Ok(index)
}

fn register_words(index: &tantivy::Index, shape: &IndexSchema) {
    let rule = tokenizer::Words::with_faults(shape.faults.clone());
    index
        .tokenizers()
        .register(tokenizer::NAME, TextAnalyzer::builder(rule).build());
}

/// Whether the engine can take a document in: it does so in memory, where nothing but the document can be the reason why not.
pub(super) fn can_take(shape: &IndexSchema, document: &IndexDocument) -> bool {
    let taken = || -> tantivy::Result<()> {
        let index = tantivy::Index::builder()
            .schema(shape.schema.clone())
            .settings(settings())
            .create_in_ram()?;
        register_words(&index, shape);
        let mut writer: IndexWriter<IndexDocument> =
            index.writer_with_num_threads(1, TRIAL_BYTES)?;
        writer.add_document(document.clone())?;
        writer.commit()?;
        writer.wait_merging_threads()
    };
    taken().is_ok()
}

fn reader(index: &tantivy::Index) -> Result<IndexReader, IndexError> {
    index
        .reader_builder()
        .reload_policy(ReloadPolicy::Manual)
        .try_into()
        .map_err(unusable("damaged"))
}

fn payload(index: &tantivy::Index) -> Result<Payload, IndexError> {
    let metas = index.load_metas().map_err(unusable("damaged"))?;
    let payload = metas
        .payload
        .ok_or_else(|| IndexError::Unusable("without a word on what it holds".into()))?;
    serde_json::from_str(&payload)
        .map_err(|error| IndexError::Unusable(format!("damaged: {error}")))
}

fn check_payload(payload: &Payload, log_id: Uuid) -> Result<(), IndexError> {
    if payload.log_id != log_id {
        return Err(IndexError::Unusable(format!(
            "of another log, {}",
            payload.log_id
        )));
    }
    if payload.format != FORMAT {
        return Err(IndexError::Unusable(format!(
            "of format {}, not {FORMAT}",
            payload.format
        )));
    }
    Ok(())
}

fn settings() -> IndexSettings {
    IndexSettings {
        sort_by_field: Some(IndexSchema::order()),
        // Nothing is stored, so there is nothing to compress.
        docstore_compression: tantivy::store::Compressor::None,
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    }
}

fn unusable(what: &str) -> impl Fn(tantivy::TantivyError) -> IndexError {
    move |error| {
        if is_proof(&error) {
            IndexError::Unusable(format!("{what}: {error}"))
        } else {
            IndexError::Engine(error)
        }
    }
}
