//! `tlog-proof@v1`: a record's place in a log, the proof, and the checkpoint that it leads to, in one file.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::EvidenceError;
use super::hash::{MerkleHash, decimal};
use super::note::{MAX_NOTE_BYTES, SignedNote};
use super::policy::{WitnessPolicy, Witnessed};
use super::proof::{MAX_PROOF_HASHES, check_inclusion};

/// The first line of each proof.
pub const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// The largest proof that is read: a checkpoint, and as much again.
pub const MAX_PROOF_BYTES: usize = 2 * MAX_NOTE_BYTES;

/// A proof. It was not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// The bytes that go with it: in our proofs the record itself.
    pub extra: Option<Vec<u8>>,
    /// The record's place, from 0.
    pub index: u64,
    /// The hashes from its sibling up.
    pub hashes: Vec<MerkleHash>,
    /// The checkpoint.
    pub checkpoint: SignedNote,
}

impl TlogProof {
    /// Reads a proof.
    ///
    /// # Errors
    /// When it does not have its form.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let malformed = |what: &str| EvidenceError::malformed(format!("the proof {what}"));
        if bytes.len() > MAX_PROOF_BYTES {
            return Err(malformed("is too long"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("is not UTF-8"))?;
        let (head, note) = text
            .split_once("\n\n")
            .ok_or_else(|| malformed("has no checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(malformed("does not begin as a proof does"));
        }
        let mut line = lines.next().unwrap_or_default();
        let mut extra = None;
        if let Some(encoded) = line.strip_prefix("extra ") {
            let decoded = STANDARD.decode(encoded);
            extra = Some(decoded.map_err(|_| malformed("has extra data that is not base64"))?);
            line = lines.next().unwrap_or_default();
        }
        let index = line.strip_prefix("index ").and_then(decimal);
        let index = index.ok_or_else(|| malformed("has no index"))?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == MAX_PROOF_HASHES {
                return Err(malformed("has too many hashes"));
            }
            hashes.push(MerkleHash::parse(line).ok_or_else(|| malformed("has a wrong hash"))?);
        }
        Ok(Self {
            extra,
            index,
            hashes,
            checkpoint: SignedNote::parse(note.as_bytes())?,
        })
    }

    /// Checks that the record in `extra` is in a log, as a checkpoint says that `policy` accepts.
    ///
    /// # Errors
    /// When it does not prove it.
    pub fn verify(&self, policy: &WitnessPolicy) -> Result<ProvenRecord, EvidenceError> {
        let record = self.extra.clone().ok_or_else(|| {
            EvidenceError::unproven("the proof has no record: its line `extra` is missing")
        })?;
        let checkpoint = policy.verify(&self.checkpoint)?;
        let (size, root) = (checkpoint.head.size, checkpoint.head.root);
        check_inclusion(
            MerkleHash::of_leaf(&record),
            self.index,
            size,
            root,
            &self.hashes,
        )?;
        Ok(ProvenRecord {
            record,
            index: self.index,
            checkpoint,
        })
    }
}

/// A record that is in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenRecord {
    /// Its bytes.
    pub record: Vec<u8>,
    /// Its place, from 0.
    pub index: u64,
    /// The checkpoint that says it.
    pub checkpoint: Witnessed,
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}
