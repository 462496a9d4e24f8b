//! What a witness is asked (tlog-witness): a checkpoint, and the proof that it continues the last one that the witness knows.

use super::error::EvidenceError;
use super::hash::{MerkleHash, decimal};
use super::note::{NoteSignature, SignedNote};
use super::vkey::VerifierKey;

/// The most hashes that a request may have.
const MAX_HASHES: usize = 63;

/// The longest answer that is read.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The body of a request to `add-checkpoint`.
///
/// # Errors
/// When the proof is longer than a request may have.
pub fn add_checkpoint(
    old: u64,
    proof: &[MerkleHash],
    checkpoint: &SignedNote,
) -> Result<String, EvidenceError> {
    if proof.len() > MAX_HASHES {
        let message = format!("a witness takes proofs of at most {MAX_HASHES} hashes");
        return Err(EvidenceError::malformed(message));
    }
    let mut body = format!("old {old}\n");
    for hash in proof {
        body.push_str(&format!("{hash}\n"));
    }
    body.push_str(&format!("\n{checkpoint}"));
    Ok(body)
}

/// The valid cosignatures of a witness in its answer. Those of other keys are left out.
///
/// # Errors
/// When the answer does not have its form, or has none of the witness.
pub fn cosignatures(
    answer: &[u8],
    checkpoint: &SignedNote,
    witness: &VerifierKey,
) -> Result<Vec<NoteSignature>, EvidenceError> {
    let lines = std::str::from_utf8(answer)
        .map_err(|_| EvidenceError::malformed("the answer is not UTF-8"))?;
    let mut signatures = NoteSignature::parse_lines(lines)?;
    signatures.retain(|signature| witness.has_made(signature));
    let note = SignedNote {
        text: checkpoint.text.clone(),
        signatures,
    };
    let name = &witness.name;
    match witness.verify(&note)? {
        Some(_) => Ok(note.signatures),
        None => Err(EvidenceError::unproven(format!(
            "the answer has no signature of `{name}`"
        ))),
    }
}

/// The size that a witness knows, as its answer 409 says.
#[must_use]
pub fn known_size(answer: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(answer).ok()?;
    decimal(line.strip_suffix('\n').unwrap_or(line))
}
