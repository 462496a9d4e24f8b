//! The right edge of a tree: what is needed to add leaves and to say the root, in a few kilobytes for any size.

use super::error::EvidenceError;
use super::hash::{MerkleHash, root_of};
use super::tile::{TILE_WIDTH, TileId, TileKind};

/// A tree's size, and the hashes of the tile at the right edge of each level, which are never full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    levels: Vec<Vec<MerkleHash>>,
}

impl Frontier {
    /// The edge of the tree of `size` leaves, whose tiles `read` gives.
    ///
    /// # Errors
    /// What `read` says, and when a tile does not have as many hashes as it must.
    pub fn load<E: From<EvidenceError>>(
        size: u64,
        mut read: impl FnMut(TileId) -> Result<Vec<MerkleHash>, E>,
    ) -> Result<Self, E> {
        let mut levels = Vec::new();
        for level in 0.. {
            let kind = TileKind::Hashes(level);
            let length = kind.length(size);
            if length == 0 {
                break;
            }
            let hashes = match TileId::in_tree(kind, length / TILE_WIDTH, size) {
                None => Vec::new(),
                Some(tile) => {
                    let mut hashes = read(tile)?;
                    if hashes.len() < usize::from(tile.width) {
                        let message = format!("`{tile}` has {} hashes", hashes.len());
                        return Err(EvidenceError::malformed(message).into());
                    }
                    hashes.truncate(tile.width.into());
                    hashes
                }
            };
            levels.push(hashes);
        }
        Ok(Self { size, levels })
    }

    /// How many leaves the tree has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf by its hash. Gives the tiles that are full with it, from the leaves up.
    pub fn append(&mut self, leaf: MerkleHash) -> Vec<(TileId, Vec<MerkleHash>)> {
        self.size += 1;
        let mut full = Vec::new();
        let mut next = Some(leaf);
        let mut level = 0;
        while let Some(hash) = next.take() {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let edge = &mut self.levels[level];
            edge.push(hash);
            if edge.len() as u64 == TILE_WIDTH {
                let hashes = std::mem::take(edge);
                next = Some(root_of(&hashes));
                let kind = TileKind::Hashes(level as u8);
                full.push((
                    TileId::full(kind, kind.length(self.size) / TILE_WIDTH - 1),
                    hashes,
                ));
            }
            level += 1;
        }
        full
    }

    /// The partial tiles at the right edge.
    pub fn partial(&self) -> impl Iterator<Item = (TileId, &[MerkleHash])> {
        let levels = self.levels.iter().enumerate();
        levels.filter_map(|(level, hashes)| {
            let kind = TileKind::Hashes(level as u8);
            let tile = TileId::in_tree(kind, kind.length(self.size) / TILE_WIDTH, self.size)?;
            Some((tile, hashes.as_slice()))
        })
    }

    /// The hash of the whole tree.
    #[must_use]
    pub fn root(&self) -> MerkleHash {
        let mut root: Option<MerkleHash> = None;
        for hashes in &self.levels {
            // The perfect subtrees at the edge, the smallest first.
            let mut end = hashes.len();
            while end > 0 {
                let begin = end & (end - 1);
                let subtree = root_of(&hashes[begin..end]);
                root = Some(match root {
                    None => subtree,
                    Some(right) => MerkleHash::of_node(&subtree, &right),
                });
                end = begin;
            }
        }
        root.unwrap_or_else(MerkleHash::empty)
    }
}
