//! The hashes of RFC 6962: of leaves, of inner nodes, and of the empty tree.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// How many bytes a hash has.
pub const HASH_BYTES: usize = 32;

/// What is hashed before a leaf, so that no leaf has the hash of an inner node.
const LEAF_PREFIX: [u8; 1] = [0];
/// What is hashed before the two children of an inner node.
const NODE_PREFIX: [u8; 1] = [1];

/// The hash of a leaf or of a part of the tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MerkleHash(pub [u8; HASH_BYTES]);

impl MerkleHash {
    /// The root of the tree without leaves.
    #[must_use]
    pub fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// The hash of a leaf.
    #[must_use]
    pub fn of_leaf(leaf: &[u8]) -> Self {
        Self::of(&[&LEAF_PREFIX, leaf])
    }

    /// The hash of an inner node.
    #[must_use]
    pub fn of_node(left: &Self, right: &Self) -> Self {
        Self::of(&[&NODE_PREFIX, &left.0, &right.0])
    }

    /// Reads what [`fmt::Display`] writes. Only the one spelling of a hash is read.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }
}

/// In base64, as in checkpoints and proofs.
impl fmt::Display for MerkleHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for MerkleHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MerkleHash({self})")
    }
}

/// The hash of the tree that has these hashes as its leaves' hashes.
#[must_use]
pub fn root_of(hashes: &[MerkleHash]) -> MerkleHash {
    match hashes {
        [] => MerkleHash::empty(),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(split(many.len() as u64) as usize);
            MerkleHash::of_node(&root_of(left), &root_of(right))
        }
    }
}

/// Where a tree of `size` leaves is split: the largest power of two below `size`, which is at least 2.
pub(super) fn split(size: u64) -> u64 {
    let below = size.saturating_sub(1).max(1);
    1 << below.ilog2()
}

/// Parses a decimal number without superfluous digits.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit())
        && !text.is_empty()
        && (text == "0" || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for wrong in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "18446744073709551616",
            "1_0",
            "٣",
        ] {
            assert_eq!(decimal(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_hash_has_one_spelling() {
        let hash = MerkleHash::of_leaf(b"a");
        assert_eq!(MerkleHash::parse(&hash.to_string()), Some(hash));
        for wrong in [
            "",
            "AAAA",
            &hash.to_string().replace('=', ""),
            &format!("{hash}\n"),
        ] {
            assert_eq!(MerkleHash::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_tree_is_split_at_the_largest_power_of_two() {
        for (size, at) in [
            (2, 1),
            (3, 2),
            (4, 2),
            (5, 4),
            (8, 4),
            (9, 8),
            (u64::MAX, 1 << 63),
        ] {
            assert_eq!(split(size), at, "{size}");
        }
    }
}
