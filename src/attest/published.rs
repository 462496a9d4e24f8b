//! What of the transparency logs is shown to others now: the newest checkpoints, the tiles below them, and proofs.
//!
//! The follower shows; the routes read. Nothing is read here that no shown checkpoint speaks for.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tracing::warn;

use super::error::AttestError;
use super::files::{TileFiles, missing};
use super::settings::EvidenceConfig;
use crate::durable::Failpoints;
use crate::evidence::proof::{Prover, check_inclusion};
use crate::evidence::tile::TILE_WIDTH;
use crate::evidence::{
    EvidenceError, MerkleHash, NoteSignature, STATEMENTS, SignedNote, TileId, TileKind, TlogProof,
    TreeHead, bundle,
};
use crate::store::{EvidenceRow, Store, StoreError};
use crate::sync::lock;

/// The folder of the transparency logs in the data directory.
pub const EVIDENCE_DIR: &str = "evidence";
/// The folder of the log of events, in that of the log's id.
const EVENTS: &str = "events";

/// A checkpoint that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCheckpoint {
    /// What it says.
    pub head: TreeHead,
    /// The whole of it, with its signatures.
    pub note: SignedNote,
}

impl ShownCheckpoint {
    /// Reads one that was written down.
    ///
    /// # Errors
    /// When it does not have its form.
    pub fn parse(note: &str) -> Result<Self, EvidenceError> {
        let note = SignedNote::parse(note.as_bytes())?;
        let head = TreeHead::parse(&note.text)?;
        Ok(Self { head, note })
    }
}

/// Both transparency logs, as they are shown. A clone is the same.
#[derive(Clone)]
pub struct PublishedLogs {
    /// The log of events.
    pub events: PublishedLog,
    /// The log of statements.
    pub statements: PublishedLog,
    /// Whether they need no credential.
    pub is_public: bool,
    store: Store,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct PublishedLog {
    /// Its name.
    pub origin: Arc<str>,
    /// Its files.
    pub files: TileFiles,
    quorum: usize,
    shown: Arc<Mutex<ShownState>>,
    /// Announces each new checkpoint by its size.
    sizes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct ShownState {
    newest: Option<ShownCheckpoint>,
    cosigned: Option<ShownCheckpoint>,
    /// How many signatures the last checkpoint lacks for which witnesses were asked.
    missing: usize,
}

impl PublishedLogs {
    /// The logs of `store` in its data directory, as they were last shown.
    ///
    /// # Errors
    /// What the log says.
    pub fn open(
        config: &EvidenceConfig,
        store: &Store,
        failpoints: &Failpoints,
    ) -> Result<Self, StoreError> {
        let dir = store
            .dir()
            .join(EVIDENCE_DIR)
            .join(store.log_id().to_string());
        let rows = store.evidence_logs()?;
        let id = store.log_id().to_string();
        let open = |origin: String, folder| {
            let row = rows
                .iter()
                .find(|row| row.origin == origin && row.log_id == id);
            let files = TileFiles::new(dir.join(folder), failpoints.clone());
            PublishedLog::new(origin, files, config.quorum, row)
        };
        Ok(Self {
            events: open(config.origin.clone(), EVENTS),
            statements: open(config.statements_origin(), STATEMENTS),
            is_public: config.public,
            store: store.clone(),
        })
    }

    /// Both.
    #[must_use]
    pub fn logs(&self) -> [&PublishedLog; 2] {
        [&self.events, &self.statements]
    }

    /// The last checkpoint of the log of events before this one: under another name, or of the log that this one was restored from.
    ///
    /// # Errors
    /// What the log says.
    pub fn previous(&self) -> Result<Option<String>, StoreError> {
        let id = self.store.log_id().to_string();
        let is_own = |row: &EvidenceRow| *row.origin == *self.events.origin && row.log_id == id;
        let is_of_statements = |row: &EvidenceRow| row.origin.ends_with(&format!("/{STATEMENTS}"));
        let rows = self.store.evidence_logs()?;
        let before = rows.into_iter().take_while(|row| !is_own(row));
        let last = before.filter(|row| !is_of_statements(row)).last();
        Ok(last.map(|row| row.best()))
    }
}

impl EvidenceRow {
    /// The newest checkpoint, with the signatures of witnesses if it has them.
    fn best(self) -> String {
        let text = |note: &str| {
            ShownCheckpoint::parse(note)
                .map(|shown| shown.note.text)
                .ok()
        };
        match self.cosigned {
            Some(cosigned) if text(&cosigned) == text(&self.shown) => cosigned,
            _ => self.shown,
        }
    }
}

impl PublishedLog {
    fn new(origin: String, files: TileFiles, quorum: usize, row: Option<&EvidenceRow>) -> Self {
        let read = |note: &str| match ShownCheckpoint::parse(note) {
            Ok(shown) => Some(shown),
            Err(error) => {
                warn!(error = %error, evidence.origin = origin, "A checkpoint in the log cannot be read.");
                None
            }
        };
        let cosigned = row.and_then(|row| row.cosigned.as_deref()).and_then(read);
        let missing = if cosigned.is_some() { 0 } else { quorum };
        let newest = row.map(|row| row.clone().best());
        let newest = newest.as_deref().and_then(read);
        let size = newest.as_ref().map_or(0, |newest| newest.head.size);
        Self {
            origin: origin.into(),
            files,
            quorum,
            shown: Arc::new(Mutex::new(ShownState {
                newest,
                cosigned,
                missing,
            })),
            sizes: watch::Sender::new(size),
        }
    }

    /// The newest checkpoint.
    #[must_use]
    pub fn newest(&self) -> Option<ShownCheckpoint> {
        lock(&self.shown).newest.clone()
    }

    /// The newest checkpoint that the quorum has signed.
    #[must_use]
    pub fn cosigned(&self) -> Option<ShownCheckpoint> {
        let shown = lock(&self.shown);
        match self.quorum {
            0 => shown.newest.clone(),
            _ => shown.cosigned.clone(),
        }
    }

    /// How many signatures the last checkpoint lacks for which witnesses were asked; none before there is a checkpoint.
    #[must_use]
    pub fn missing_cosignatures(&self) -> usize {
        let shown = lock(&self.shown);
        if shown.newest.is_some() {
            shown.missing
        } else {
            0
        }
    }

    /// Announces each new checkpoint by its size.
    #[must_use]
    pub fn sizes(&self) -> watch::Receiver<u64> {
        self.sizes.subscribe()
    }

    /// Shows a checkpoint, which was written down before.
    pub(super) fn show(&self, checkpoint: ShownCheckpoint) {
        let size = checkpoint.head.size;
        lock(&self.shown).newest = Some(checkpoint);
        self.sizes.send_replace(size);
    }

    /// Shows signatures of witnesses on a checkpoint, which it gives with them.
    pub(super) fn add_cosignatures(
        &self,
        checkpoint: &ShownCheckpoint,
        cosignatures: Vec<NoteSignature>,
    ) -> ShownCheckpoint {
        let mut signed = checkpoint.clone();
        signed.note.add(cosignatures);
        let mut shown = lock(&self.shown);
        if let Some(newest) = shown
            .newest
            .as_mut()
            .filter(|newest| newest.head == signed.head)
        {
            *newest = signed.clone();
        }
        signed
    }

    /// Notes how many witnesses have signed a checkpoint. Proofs lead to it if these are enough.
    pub(super) fn note_signed(&self, checkpoint: &ShownCheckpoint, count: usize) {
        let mut shown = lock(&self.shown);
        shown.missing = self.quorum.saturating_sub(count);
        if shown.missing == 0 {
            shown.cosigned = Some(checkpoint.clone());
        }
    }

    /// The bytes of a tile; `None` when no shown checkpoint speaks for it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn tile(&self, tile: TileId) -> Result<Option<Vec<u8>>, AttestError> {
        let size = *self.sizes.borrow();
        if !tile.is_in(size) {
            return Ok(None);
        }
        let bytes = self.files.read(tile)?;
        bytes.ok_or_else(|| missing(tile)).map(Some)
    }

    /// The proof that the leaf at `index` is in the newest tree that the quorum has signed, with the leaf itself; `None` when that does
    /// not reach so far. It is verified before it is given.
    ///
    /// # Errors
    /// When tiles cannot be read or are damaged.
    pub fn proof(&self, index: u64) -> Result<Option<TlogProof>, AttestError> {
        let Some(checkpoint) = self
            .cosigned()
            .filter(|checkpoint| index < checkpoint.head.size)
        else {
            return Ok(None);
        };
        let (size, root) = (checkpoint.head.size, checkpoint.head.root);
        let tile = TileId::in_tree(TileKind::Entries, index / TILE_WIDTH, size);
        let tile =
            tile.ok_or_else(|| EvidenceError::Unproven("the tree has no such leaf".to_owned()))?;
        let entries = self.files.read(tile)?.ok_or_else(|| missing(tile))?;
        let leaf = bundle::entries(&entries)?
            .get((index % TILE_WIDTH) as usize)
            .map(|leaf| leaf.to_vec());
        let leaf = leaf.ok_or_else(|| missing(tile))?;
        let hashes = Prover::new(size, |tile| self.files.hashes(tile)).inclusion(index)?;
        check_inclusion(MerkleHash::of_leaf(&leaf), index, size, root, &hashes)?;
        Ok(Some(TlogProof {
            extra: Some(leaf),
            index,
            hashes,
            checkpoint: checkpoint.note,
        }))
    }
}
