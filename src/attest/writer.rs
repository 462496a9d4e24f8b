//! Grows one transparency log: leaves in, tiles and checkpoints out.
//!
//! The order of writing, and what a crash at each point leaves:
//! 1. Tiles and entry bundles are written and synced. After a crash, no checkpoint speaks for them; they are written again, the same.
//! 2. The checkpoint is signed and written down in the log of events. After a crash, it is shown at the next start.
//! 3. It is shown, and copied beside the tiles. After a crash the copy is behind.
//! 4. Partial tiles are removed whose full ones are there.

use tracing::warn;

use super::error::AttestError;
use super::files::TileFiles;
use super::published::{PublishedLog, ShownCheckpoint};
use crate::evidence::tile::{TILE_WIDTH, encode_hashes};
use crate::evidence::{
    EvidenceError, Frontier, LogKey, MerkleHash, TileId, TileKind, TreeHead, bundle,
};
use crate::store::{DayCounts, ShownTree, Store};

/// The most leaves that are taken between two looks at the tree.
const MAX_LEAVES: u64 = 100_000;

/// What is done with leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// They are new.
    Growing,
    /// Tiles of a shown tree are missing or damaged. Whether the leaves are still the ones that were signed is found first.
    Checking,
    /// They are, and the tiles are made again.
    Rewriting,
}

/// A transparency log that grows.
pub(super) struct TreeWriter {
    log: PublishedLog,
    files: TileFiles,
    /// What was shown last.
    shown: Option<TreeHead>,
    frontier: Frontier,
    /// The entries since the last full bundle.
    bundle: Vec<u8>,
    phase: Phase,
    /// The full tiles since the last checkpoint.
    full: Vec<TileId>,
}

impl TreeWriter {
    /// Goes on where the last checkpoint ends.
    ///
    /// # Errors
    /// When another tree was shown under this name, and what the log and the file system say.
    pub(super) fn open(store: &Store, log: &PublishedLog) -> Result<Self, AttestError> {
        let rows = store.evidence_logs()?;
        let row = rows.iter().find(|row| *row.origin == *log.origin);
        if row.is_some_and(|row| row.log_id != store.log_id().to_string()) {
            return Err(AttestError::UsedOrigin(log.origin.to_string()));
        }
        let shown = row
            .map(|row| ShownCheckpoint::parse(&row.shown))
            .transpose()?;
        let mut writer = Self {
            log: log.clone(),
            files: log.files.clone(),
            shown: shown.as_ref().map(|shown| shown.head.clone()),
            frontier: Frontier::default(),
            bundle: Vec::new(),
            phase: Phase::Growing,
            full: Vec::new(),
        };
        writer.compare_copy()?;
        if let Some(shown) = shown {
            writer.load(&shown.head);
            if writer
                .log
                .newest()
                .is_none_or(|newest| newest.head != shown.head)
            {
                // It was written down, and the program was stopped before it was shown.
                writer.files.copy_checkpoint(&shown.note.to_string())?;
                writer.log.show(shown);
            }
        }
        Ok(writer)
    }

    /// How many leaves it has taken.
    pub(super) fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// How many leaves the last checkpoint has.
    pub(super) fn shown(&self) -> u64 {
        self.shown.as_ref().map_or(0, |shown| shown.size)
    }

    /// How many leaves it takes before [`TreeWriter::settle`].
    pub(super) fn room(&self) -> u64 {
        match self.phase {
            Phase::Growing => MAX_LEAVES,
            Phase::Checking | Phase::Rewriting => (self.shown() - self.size()).min(MAX_LEAVES),
        }
    }

    /// Whether it takes new leaves.
    pub(super) fn is_growing(&self) -> bool {
        self.phase == Phase::Growing
    }

    /// Whether a checkpoint would say something new.
    pub(super) fn has_new(&self) -> bool {
        self.phase == Phase::Growing && self.size() > self.shown()
    }

    /// Takes the next leaf. After an error it is to be opened again.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn push(&mut self, leaf: &[u8]) -> Result<(), AttestError> {
        bundle::push_entry(&mut self.bundle, leaf)?;
        for (tile, hashes) in self.frontier.append(MerkleHash::of_leaf(leaf)) {
            self.write_full(tile, &encode_hashes(&hashes))?;
            if tile.kind == TileKind::Hashes(0) {
                let entries = std::mem::take(&mut self.bundle);
                self.write_full(TileId::full(TileKind::Entries, tile.index), &entries)?;
            }
        }
        Ok(())
    }

    /// Goes to the next phase when the shown tree is reached.
    ///
    /// # Errors
    /// When the leaves are not the ones that were signed, and what the file system says.
    pub(super) fn settle(&mut self) -> Result<(), AttestError> {
        let Some(shown) = self.shown.clone().filter(|shown| shown.size == self.size()) else {
            return Ok(());
        };
        match self.phase {
            Phase::Growing => Ok(()),
            Phase::Checking if self.frontier.root() != shown.root => {
                Err(self.contradiction(format!(
                    "the rows of the log are not the ones that were signed: the tree of the first {} has another root",
                    shown.size
                )))
            }
            Phase::Checking => {
                self.begin(Phase::Rewriting);
                Ok(())
            }
            Phase::Rewriting => {
                self.write_edge()?;
                self.files.sync()?;
                self.phase = Phase::Growing;
                Ok(())
            }
        }
    }

    /// Signs and shows what it has taken.
    ///
    /// # Errors
    /// What the log and the file system say. Then it is to be opened again.
    pub(super) fn checkpoint(
        &mut self,
        store: &Store,
        key: &LogKey,
        tree: &ShownTree,
        days: Option<&DayCounts>,
    ) -> Result<(), AttestError> {
        self.write_edge()?;
        self.files.sync()?;
        let head = TreeHead {
            origin: self.log.origin.to_string(),
            size: self.size(),
            root: self.frontier.root(),
        };
        let note = head.sign(key);
        let before = self.shown.as_ref().map(|shown| shown.size);
        store.show_checkpoint(&head.origin, before, tree, &note.to_string(), days)?;
        self.shown = Some(head.clone());
        let text = note.to_string();
        self.log.show(ShownCheckpoint { head, note });
        self.files.copy_checkpoint(&text)?;
        for tile in std::mem::take(&mut self.full) {
            self.files.remove_partial(tile)?;
        }
        Ok(())
    }

    /// Loads the edge of the shown tree from its tiles. Where they are not as they were signed, they are made again.
    fn load(&mut self, shown: &TreeHead) {
        match self.try_load(shown) {
            Ok(()) => {}
            Err(error) => {
                warn!(error = %error, evidence.origin = %self.log.origin, "Tiles of the transparency log are missing or damaged; they are made again from the log.");
                self.begin(Phase::Checking);
            }
        }
    }

    fn try_load(&mut self, shown: &TreeHead) -> Result<(), AttestError> {
        let frontier = Frontier::load(shown.size, |tile| self.files.hashes(tile))?;
        if frontier.root() != shown.root {
            let why = "the tiles do not lead to the root of the checkpoint".to_owned();
            return Err(EvidenceError::Unproven(why).into());
        }
        let edge = frontier
            .partial()
            .find(|(tile, _)| tile.kind == TileKind::Hashes(0));
        if let Some((tile, hashes)) = edge {
            let kind = TileKind::Entries;
            let entries = self
                .files
                .read(TileId { kind, ..tile })?
                .unwrap_or_default();
            let leaves = bundle::entries(&entries)?;
            if !leaves
                .iter()
                .map(|leaf| MerkleHash::of_leaf(leaf))
                .eq(hashes.iter().copied())
            {
                let why = "the entries do not have the hashes of their tile".to_owned();
                return Err(EvidenceError::Unproven(why).into());
            }
            self.bundle = entries;
        }
        self.frontier = frontier;
        Ok(())
    }

    /// Compares the copy beside the tiles with what the log says: it is never ahead, unless an older copy of the log took the place of
    /// the one that was shown.
    fn compare_copy(&self) -> Result<(), AttestError> {
        let Some(copy) = self.files.checkpoint()? else {
            return Ok(());
        };
        let copy = ShownCheckpoint::parse(&String::from_utf8_lossy(&copy));
        // A damaged copy says nothing.
        let Some(copy) = copy
            .ok()
            .filter(|copy| copy.head.origin == *self.log.origin)
        else {
            return Ok(());
        };
        let differs = self
            .shown
            .as_ref()
            .is_some_and(|shown| shown.size == copy.head.size && shown.root != copy.head.root);
        if copy.head.size > self.shown() || differs {
            return Err(self.contradiction(format!(
                "a checkpoint of {} leaves was shown, and the log knows of {}: an older copy has taken its place",
                copy.head.size,
                self.shown()
            )));
        }
        Ok(())
    }

    fn begin(&mut self, phase: Phase) {
        self.frontier = Frontier::default();
        self.bundle.clear();
        self.full.clear();
        self.phase = phase;
    }

    fn write_full(&mut self, tile: TileId, bytes: &[u8]) -> Result<(), AttestError> {
        if self.phase != Phase::Checking {
            self.files.write(tile, bytes)?;
            self.full.push(tile);
        }
        Ok(())
    }

    fn write_edge(&mut self) -> Result<(), AttestError> {
        for (tile, hashes) in self.frontier.partial() {
            self.files.write(tile, &encode_hashes(hashes))?;
        }
        let size = self.size();
        match TileId::in_tree(TileKind::Entries, size / TILE_WIDTH, size) {
            Some(tile) => self.files.write(tile, &self.bundle),
            None => Ok(()),
        }
    }

    fn contradiction(&self, why: String) -> AttestError {
        AttestError::Contradiction {
            origin: self.log.origin.to_string(),
            why,
        }
    }
}
