//! Tiles: 256 hashes of one height, or the 256 entries below them, and where they are.
//!
//! The n-th tile of level l has the hashes of the subtrees of 256^l leaves, from the one with the number n·256 on. A tile at the right
//! edge of a tree may be partial: then its width is a part of its name.

use std::fmt;

use super::hash::{HASH_BYTES, MerkleHash, decimal};

/// How many hashes, or entries, a full tile has.
pub const TILE_WIDTH: u64 = 256;

/// How many levels of the tree one level of tiles has.
pub const TILE_HEIGHT: u32 = 8;

/// The highest level of tiles that a tree of 64-bit size can have.
const MAX_LEVEL: u8 = 7;

/// The longest path that is read.
const MAX_PATH_BYTES: usize = 64;

/// What a tile has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Hashes of a level: 0 has those of leaves.
    Hashes(u8),
    /// Entries.
    Entries,
}

impl TileKind {
    /// How many hashes or entries a tree of `size` leaves has on this level.
    #[must_use]
    pub fn length(self, size: u64) -> u64 {
        match self {
            Self::Entries => size,
            Self::Hashes(level) => size
                .checked_shr(u32::from(level) * TILE_HEIGHT)
                .unwrap_or(0),
        }
    }
}

/// A tile by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// What it has.
    pub kind: TileKind,
    /// Its number on its level.
    pub index: u64,
    /// How many hashes or entries it has: 1 to 256.
    pub width: u16,
}

impl TileId {
    /// The full tile at this place.
    #[must_use]
    pub fn full(kind: TileKind, index: u64) -> Self {
        Self {
            kind,
            index,
            width: TILE_WIDTH as u16,
        }
    }

    /// The tile at this place as a tree of `size` leaves has it; `None` when that has nothing there.
    #[must_use]
    pub fn in_tree(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let begins = index.checked_mul(TILE_WIDTH)?;
        let width = kind.length(size).checked_sub(begins)?.min(TILE_WIDTH) as u16;
        (width > 0).then_some(Self { kind, index, width })
    }

    /// Whether it is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        u64::from(self.width) == TILE_WIDTH
    }

    /// Whether a tree of `size` leaves has all of it.
    #[must_use]
    pub fn is_in(&self, size: u64) -> bool {
        Self::in_tree(self.kind, self.index, size).is_some_and(|whole| whole.width >= self.width)
    }

    /// The path of the full tile at its place, below the log's address: `tile/0/x001/234`.
    #[must_use]
    pub fn full_path(&self) -> String {
        let level = match self.kind {
            TileKind::Hashes(level) => level.to_string(),
            TileKind::Entries => "entries".to_owned(),
        };
        let mut parts = vec![format!("{:03}", self.index % 1_000)];
        let mut rest = self.index / 1_000;
        while rest > 0 {
            parts.push(format!("x{:03}", rest % 1_000));
            rest /= 1_000;
        }
        parts.reverse();
        format!("tile/{level}/{}", parts.join("/"))
    }

    /// Reads a path as [`fmt::Display`] writes it; `None` when it is none, or is spelled in another way.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        if path.len() > MAX_PATH_BYTES {
            return None;
        }
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let kind = match level {
            "entries" => TileKind::Entries,
            level => {
                let level = decimal(level).and_then(|level| u8::try_from(level).ok())?;
                TileKind::Hashes(Some(level).filter(|level| *level <= MAX_LEVEL)?)
            }
        };
        let (index, width) = match rest.split_once(".p/") {
            None => (rest, TILE_WIDTH),
            Some((index, width)) => (
                index,
                decimal(width).filter(|w| (1..TILE_WIDTH).contains(w))?,
            ),
        };
        let mut number: u64 = 0;
        for digits in index.split('/') {
            let digits = digits.strip_prefix('x').unwrap_or(digits);
            let part: u64 = digits.parse().ok()?;
            number = number.checked_mul(1_000)?.checked_add(part)?;
        }
        let tile = Self {
            kind,
            index: number,
            width: width as u16,
        };
        // The one spelling only: no signs, no superfluous zeroes, `x` where it must be.
        (tile.to_string() == path).then_some(tile)
    }
}

/// Its path below the log's address: `tile/0/x001/234.p/7`.
impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full_path())?;
        if !self.is_full() {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// The bytes of a tile of hashes.
#[must_use]
pub fn encode_hashes(hashes: &[MerkleHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes in a tile's bytes; `None` when these are no whole hashes.
#[must_use]
pub fn decode_hashes(bytes: &[u8]) -> Option<Vec<MerkleHash>> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    let is_tile = rest.is_empty() && !hashes.is_empty() && hashes.len() as u64 <= TILE_WIDTH;
    is_tile.then(|| hashes.iter().map(|hash| MerkleHash(*hash)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        let hashes = TileKind::Hashes;
        let check = |path: &str, kind, index, width| {
            let tile = TileId { kind, index, width };
            assert_eq!(TileId::parse(path), Some(tile), "{path}");
            assert_eq!(tile.to_string(), path);
        };
        check("tile/0/000", hashes(0), 0, 256);
        check("tile/1/x001/x234/067", hashes(1), 1_234_067, 256);
        check("tile/entries/999.p/1", TileKind::Entries, 999, 1);
        check("tile/7/x001/000.p/255", hashes(7), 1_000, 255);
        check(
            "tile/0/x018/x446/x744/x073/x709/x551/615",
            hashes(0),
            u64::MAX,
            256,
        );
        for wrong in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/x000/000",
            "tile/0/001/000",
            "tile/0/x001",
            "tile/00/000",
            "tile/8/000",
            "tile/63/000",
            "tile/256/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/000.p",
            "tile/0/+01",
            "tile/0/-01",
            "tile/0/x01/000",
            "tile/entries/../000",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/000/",
            "tile/data/000",
            "/tile/0/000",
            "tile/0/xx1/000",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(TileId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_tree_of_70000_leaves_has_the_tiles_that_the_standard_names() {
        let width = |kind, index| TileId::in_tree(kind, index, 70_000).map(|tile| tile.width);
        assert_eq!(width(TileKind::Hashes(0), 272), Some(256));
        assert_eq!(width(TileKind::Hashes(0), 273), Some(112));
        assert_eq!(width(TileKind::Hashes(0), 274), None);
        assert_eq!(width(TileKind::Entries, 273), Some(112));
        assert_eq!(width(TileKind::Hashes(1), 0), Some(256));
        assert_eq!(width(TileKind::Hashes(1), 1), Some(17));
        assert_eq!(width(TileKind::Hashes(2), 0), Some(1));
        assert_eq!(width(TileKind::Hashes(3), 0), None);
        assert_eq!(width(TileKind::Hashes(255), u64::MAX), None);
    }

    #[test]
    fn only_whole_hashes_are_a_tile() {
        let hashes = [MerkleHash::of_leaf(b"a"), MerkleHash::of_leaf(b"b")];
        let bytes = encode_hashes(&hashes);
        assert_eq!(decode_hashes(&bytes).as_deref(), Some(&hashes[..]));
        for wrong in [&bytes[..63], &[], &vec![0; 257 * 32][..]] {
            assert_eq!(decode_hashes(wrong), None);
        }
    }
}
