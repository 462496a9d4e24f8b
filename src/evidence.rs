//! A transparency log: a Merkle tree over short records, checkpoints that are signed, and proofs that need no server.
//!
//! The forms are those of C2SP (tlog-tiles, signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof, tlog-policy, tlog-witness),
//! and the tree is that of RFC 6962. Everything here is a function of values: this module knows neither the log of events, nor
//! files, nor HTTP. Everything that is read has a limit.
//!
//! What signs is in `key`; `policy` decides whether a checkpoint has the signatures that are asked for, and `tlog_proof` joins that
//! with the proof that a record is in the tree.

pub mod bundle;
pub mod checkpoint;
pub mod cosignature;
mod error;
pub mod frontier;
pub mod hash;
pub mod key;
pub mod leaf;
pub mod note;
pub mod policy;
pub mod proof;
#[cfg(test)]
mod tests;
pub mod tile;
pub mod tlog_proof;
mod vkey;
pub mod witness_request;

pub use self::checkpoint::TreeHead;
pub use self::error::EvidenceError;
pub use self::frontier::Frontier;
pub use self::hash::MerkleHash;
pub use self::key::LogKey;
pub use self::leaf::{EventLeaf, StatementLeaf};
pub use self::note::{NoteSignature, SignedNote};
pub use self::policy::WitnessPolicy;
pub use self::tile::{TileId, TileKind};
pub use self::tlog_proof::TlogProof;
pub use self::vkey::VerifierKey;

/// The name of the log of statements, below the origin of the log of events.
pub const STATEMENTS: &str = "statements";

/// The origin of the log of statements that belongs to a log of events.
#[must_use]
pub fn statements_origin(origin: &str) -> String {
    format!("{origin}/{STATEMENTS}")
}
