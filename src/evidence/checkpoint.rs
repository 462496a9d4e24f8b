//! What a checkpoint says: the origin of a log, how many leaves it has, and the root of their tree.

use std::fmt;

use super::error::EvidenceError;
use super::hash::{MerkleHash, decimal};
use super::key::LogKey;
use super::note::SignedNote;

/// The text of a checkpoint, without its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeHead {
    /// Which log it is of.
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    /// The root of their tree.
    pub root: MerkleHash,
}

impl TreeHead {
    /// Reads the text of a note. Further lines are allowed, and ignored.
    ///
    /// # Errors
    /// When it is not the text of a checkpoint.
    pub fn parse(text: &str) -> Result<Self, EvidenceError> {
        let malformed = |what: &str| EvidenceError::malformed(format!("the checkpoint {what}"));
        let lines = text.strip_suffix('\n');
        let mut lines = lines.ok_or_else(|| malformed("is cut off"))?.split('\n');
        let mut next = |what| lines.next().ok_or_else(|| malformed(what));
        let origin = next("has no origin")?;
        let size = decimal(next("has no size")?).ok_or_else(|| malformed("has a wrong size"))?;
        let root = MerkleHash::parse(next("has no root")?);
        let root = root.ok_or_else(|| malformed("has a wrong root"))?;
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(malformed("has an empty line"));
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
        })
    }

    /// The checkpoint that says this, signed under the origin.
    #[must_use]
    pub fn sign(&self, key: &LogKey) -> SignedNote {
        let text = self.to_string();
        let signature = key.sign(&self.origin, &text);
        SignedNote {
            text,
            signatures: vec![signature],
        }
    }
}

/// The text that is signed.
impl fmt::Display for TreeHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root)
    }
}
