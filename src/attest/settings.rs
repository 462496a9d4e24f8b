//! `[evidence]`: under which name the log is signed, with which key, and by whom else.

use std::path::PathBuf;

use chrono::TimeDelta;
use url::Url;

use crate::evidence::{VerifierKey, statements_origin};

/// `[evidence]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceConfig {
    /// The name of the log of events.
    pub origin: String,
    /// The file of the key that signs.
    pub key_file: PathBuf,
    /// The time between two checkpoints; at least a second.
    pub checkpoint_every: TimeDelta,
    /// Whether the transparency log needs no credential.
    pub public: bool,
    /// The witnesses that are asked to sign each checkpoint.
    pub witnesses: Vec<WitnessConfig>,
    /// How many of them must have signed a checkpoint before proofs lead to it.
    pub quorum: usize,
}

/// One of `witnesses`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessConfig {
    /// Where it takes checkpoints: its submission prefix.
    pub url: Url,
    /// Its key.
    pub key: VerifierKey,
}

impl EvidenceConfig {
    /// The name of the log of statements.
    #[must_use]
    pub fn statements_origin(&self) -> String {
        statements_origin(&self.origin)
    }
}
