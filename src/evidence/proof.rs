//! Proofs of RFC 6962: that a leaf is in a tree, and that a tree continues an earlier one.

use std::collections::HashMap;

use super::error::EvidenceError;
use super::hash::{MerkleHash, root_of, split};
use super::tile::{TILE_HEIGHT, TILE_WIDTH, TileId, TileKind};

/// The most hashes in a proof: one for each bit of a tree's size, and one more.
pub const MAX_PROOF_HASHES: usize = 64;

/// Makes proofs for a tree of some size from its tiles. It keeps the tiles that it has read.
pub struct Prover<R> {
    size: u64,
    read: R,
    tiles: HashMap<TileId, Vec<MerkleHash>>,
}

impl<E, R> Prover<R>
where
    E: From<EvidenceError>,
    R: FnMut(TileId) -> Result<Vec<MerkleHash>, E>,
{
    /// Proves about the tree of `size` leaves, whose tiles `read` gives.
    pub fn new(size: u64, read: R) -> Self {
        Self {
            size,
            read,
            tiles: HashMap::new(),
        }
    }

    /// The hashes that prove that the leaf at `index` is in the tree, from its sibling up.
    ///
    /// # Errors
    /// When the tree has no such leaf, and what reading a tile says.
    pub fn inclusion(&mut self, index: u64) -> Result<Vec<MerkleHash>, E> {
        if index >= self.size {
            let message = format!("the tree has {} leaves: none at {index}", self.size);
            return Err(EvidenceError::unproven(message).into());
        }
        let (mut low, mut high) = (0, self.size);
        let mut proof = Vec::new();
        while high - low > 1 {
            let middle = low + split(high - low);
            let other = if index < middle {
                (middle, high)
            } else {
                (low, middle)
            };
            proof.push(self.subtree(other.0, other.1)?);
            (low, high) = if index < middle {
                (low, middle)
            } else {
                (middle, high)
            };
        }
        proof.reverse();
        Ok(proof)
    }

    /// The hashes that prove that the tree continues its first `old` leaves.
    ///
    /// # Errors
    /// When the tree has fewer leaves, and what reading a tile says.
    pub fn consistency(&mut self, old: u64) -> Result<Vec<MerkleHash>, E> {
        if old > self.size {
            let message = format!("the tree has {} leaves, and not {old}", self.size);
            return Err(EvidenceError::unproven(message).into());
        }
        if old == 0 {
            return Ok(Vec::new());
        }
        let (mut low, mut high) = (0, self.size);
        let mut proof = Vec::new();
        // The part of the old tree that is left ends at `old`; it ends where the part of the new one does.
        while high != old {
            let middle = low + split(high - low);
            if old <= middle {
                proof.push(self.subtree(middle, high)?);
                high = middle;
            } else {
                proof.push(self.subtree(low, middle)?);
                low = middle;
            }
        }
        if low > 0 {
            proof.push(self.subtree(low, high)?);
        }
        proof.reverse();
        Ok(proof)
    }

    /// The root of the tree.
    ///
    /// # Errors
    /// What reading a tile says.
    pub fn root(&mut self) -> Result<MerkleHash, E> {
        if self.size == 0 {
            return Ok(MerkleHash::empty());
        }
        self.subtree(0, self.size)
    }

    /// The hash of the leaves from `low` to before `high`, of which there is one at least.
    fn subtree(&mut self, low: u64, high: u64) -> Result<MerkleHash, E> {
        let leaves = high - low;
        if leaves.is_power_of_two() && low.is_multiple_of(leaves) {
            return self.perfect(leaves.ilog2(), low / leaves);
        }
        let middle = low + split(leaves);
        let left = self.subtree(low, middle)?;
        let right = self.subtree(middle, high)?;
        Ok(MerkleHash::of_node(&left, &right))
    }

    /// The hash of the `index`-th subtree of 2^`height` leaves.
    fn perfect(&mut self, height: u32, index: u64) -> Result<MerkleHash, E> {
        let level = height / TILE_HEIGHT;
        let count = 1u64 << (height % TILE_HEIGHT);
        let first = index * count;
        let kind = TileKind::Hashes(level as u8);
        let tile = TileId::in_tree(kind, first / TILE_WIDTH, self.size);
        let tile = tile.ok_or_else(|| EvidenceError::unproven("the tree has no such part"))?;
        if !self.tiles.contains_key(&tile) {
            let hashes = (self.read)(tile)?;
            self.tiles.insert(tile, hashes);
        }
        let begin = (first % TILE_WIDTH) as usize;
        let hashes = self.tiles.get(&tile).map_or(&[][..], Vec::as_slice);
        let part = hashes.get(begin..begin + count as usize);
        let part =
            part.ok_or_else(|| EvidenceError::malformed(format!("`{tile}` has too few hashes")))?;
        Ok(root_of(part))
    }
}

/// Checks that the leaf with the hash `leaf` is the one at `index` in the tree of `size` leaves with this root.
///
/// # Errors
/// When the proof does not prove it.
pub fn check_inclusion(
    leaf: MerkleHash,
    index: u64,
    size: u64,
    root: MerkleHash,
    proof: &[MerkleHash],
) -> Result<(), EvidenceError> {
    let wrong = || EvidenceError::unproven("the inclusion proof does not lead to the root");
    if index >= size {
        let message = format!("index {index} is not in a tree of {size} leaves");
        return Err(EvidenceError::unproven(message));
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return Err(wrong());
        }
        if node % 2 == 1 || node == last {
            hash = MerkleHash::of_node(sibling, &hash);
            if node % 2 == 0 {
                // It has no sibling on some levels: they are skipped.
                let skipped = node.trailing_zeros();
                node = node.checked_shr(skipped).unwrap_or(0);
                last = last.checked_shr(skipped).unwrap_or(0);
            }
        } else {
            hash = MerkleHash::of_node(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && hash == root {
        Ok(())
    } else {
        Err(wrong())
    }
}

/// Checks that the tree of `size` leaves continues the tree of `old` leaves.
///
/// # Errors
/// When the proof does not prove it.
pub fn check_consistency(
    old: u64,
    old_root: MerkleHash,
    size: u64,
    root: MerkleHash,
    proof: &[MerkleHash],
) -> Result<(), EvidenceError> {
    let wrong = || EvidenceError::unproven("the consistency proof does not lead to both roots");
    let holds = |is_so: bool| if is_so { Ok(()) } else { Err(wrong()) };
    if old > size {
        let message = format!("a tree of {size} leaves does not continue one of {old}");
        return Err(EvidenceError::unproven(message));
    }
    if old == size {
        return holds(old_root == root && proof.is_empty());
    }
    if old == 0 {
        return holds(old_root == MerkleHash::empty() && proof.is_empty());
    }
    let mut rest = proof.iter();
    let first = if old.is_power_of_two() {
        old_root
    } else {
        *rest.next().ok_or_else(wrong)?
    };
    let skipped = (old - 1).trailing_ones();
    let (mut node, mut last) = ((old - 1) >> skipped, (size - 1) >> skipped);
    let (mut old_hash, mut hash) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(wrong());
        }
        if node % 2 == 1 || node == last {
            old_hash = MerkleHash::of_node(sibling, &old_hash);
            hash = MerkleHash::of_node(sibling, &hash);
            if node % 2 == 0 {
                let skipped = node.trailing_zeros();
                node = node.checked_shr(skipped).unwrap_or(0);
                last = last.checked_shr(skipped).unwrap_or(0);
            }
        } else {
            hash = MerkleHash::of_node(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    holds(last == 0 && old_hash == old_root && hash == root)
}
