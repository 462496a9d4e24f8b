//! What the leaves of the two logs say, as canonical JSON (RFC 8785): keys in order, no spaces.
//!
//! The order of the fields here is the order of their names: the JSON is canonical because of it.

use serde::{Deserialize, Serialize};

use super::error::EvidenceError;
use super::hash::MerkleHash;

/// What is signed of an event: its place, and the hash of its entry. What cannot be read of a damaged row is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventLeaf {
    /// When it was received, as the API writes it.
    pub received_at: Option<String>,
    /// Which of the contents of its entry it is.
    pub revision: Option<u32>,
    /// Its place. The leaf has the index before it.
    pub seq: u64,
    /// The SHA-256 of the entry's bytes, in lower-case hexadecimal digits.
    pub sha256: Option<String>,
    /// Which upstream log it is of.
    pub source: Option<String>,
    /// When it happened; null when the entry does not say it.
    pub time: Option<String>,
}

/// What is signed of a source's day: what its coverage claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementLeaf {
    /// The end of the stretch.
    pub before: String,
    /// How many events of the stretch the log has.
    pub entries: u64,
    /// How late entries of the source came so far, in seconds; null when none came late.
    pub lateness: Option<u64>,
    /// When the last scan of the stretch began; null when there was none.
    pub scanned_at: Option<String>,
    /// The beginning of the stretch.
    pub since: String,
    /// Which upstream log it is about.
    pub source: String,
    /// What is claimed of the whole stretch.
    pub state: String,
}

impl EventLeaf {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical(self)
    }

    /// Its hash in the tree.
    #[must_use]
    pub fn hash(&self) -> MerkleHash {
        MerkleHash::of_leaf(&self.to_bytes())
    }

    /// Reads its bytes.
    ///
    /// # Errors
    /// When they are not those of such a leaf, or not in their one spelling.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        read(bytes, Self::to_bytes)
    }
}

impl StatementLeaf {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical(self)
    }

    /// Reads its bytes.
    ///
    /// # Errors
    /// When they are not those of such a leaf, or not in their one spelling.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        read(bytes, Self::to_bytes)
    }
}

fn canonical<T: Serialize>(leaf: &T) -> Vec<u8> {
    // A struct of texts and whole numbers is always JSON.
    serde_json::to_vec(leaf).unwrap_or_default()
}

fn read<'b, T: Deserialize<'b>>(
    bytes: &'b [u8],
    written: impl Fn(&T) -> Vec<u8>,
) -> Result<T, EvidenceError> {
    let leaf: Option<T> = serde_json::from_slice(bytes).ok();
    leaf.filter(|leaf| written(leaf) == bytes).ok_or_else(|| {
        EvidenceError::malformed("the record is not one of this log in canonical JSON")
    })
}
