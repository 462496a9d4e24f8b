//! The key that signs checkpoints. Nothing prints it.
//!
//! It is kept as other programs keep Ed25519 keys: PKCS #8 in PEM, as `openssl genpkey -algorithm ed25519` makes it. The file says
//! nothing of its name: the same key signs under the origin of each log.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};

use super::cosignature;
use super::error::EvidenceError;
use super::note::NoteSignature;
use super::vkey::{COSIGNATURE, ED25519, VerifierKey};

/// What is before the key in a PKCS #8 file of Ed25519.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
];
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// The largest file that can be a key.
pub const MAX_KEY_BYTES: usize = 4 * 1024;

/// A key that signs.
#[derive(Clone)]
pub struct LogKey(SigningKey);

impl LogKey {
    /// The key that these random bytes are.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// When it is no such key. The error does not contain any of it.
    pub fn parse_pem(text: &str) -> Result<Self, EvidenceError> {
        let wrong = || {
            EvidenceError::malformed(
                "it is not an Ed25519 key in PKCS #8 and PEM, as `orgtrail evidence key` and `openssl genpkey -algorithm ed25519` make it",
            )
        };
        let inner = text.trim().strip_prefix(PEM_BEGIN).ok_or_else(wrong)?;
        let inner = inner.strip_suffix(PEM_END).ok_or_else(wrong)?;
        let encoded: String = inner.split_ascii_whitespace().collect();
        let decoded = STANDARD.decode(encoded).map_err(|_| wrong())?;
        let seed = decoded.strip_prefix(&PKCS8_PREFIX).ok_or_else(wrong)?;
        Ok(Self::from_seed(seed.try_into().map_err(|_| wrong())?))
    }

    /// The text of its file. It is the secret.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let mut bytes = PKCS8_PREFIX.to_vec();
        bytes.extend(self.0.as_bytes());
        format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", STANDARD.encode(bytes))
    }

    /// Its public key under a name.
    #[must_use]
    pub fn verifier(&self, name: &str) -> VerifierKey {
        VerifierKey::new(name, ED25519, &self.0.verifying_key())
    }

    /// Signs the text of a note under a name.
    #[must_use]
    pub fn sign(&self, name: &str, text: &str) -> NoteSignature {
        NoteSignature {
            name: name.to_owned(),
            id: self.verifier(name).id(),
            signature: self.0.sign(text.as_bytes()).to_bytes().to_vec(),
        }
    }

    /// Its public key as that of a witness.
    #[must_use]
    pub fn witness(&self, name: &str) -> VerifierKey {
        VerifierKey::new(name, COSIGNATURE, &self.0.verifying_key())
    }

    /// Signs the text of a checkpoint as a witness does, at a time in seconds since 1970.
    #[must_use]
    pub fn cosign(&self, name: &str, text: &str, at: u64) -> NoteSignature {
        let message = cosignature::message(at, text);
        let signature = self.0.sign(message.as_bytes()).to_bytes();
        NoteSignature {
            name: name.to_owned(),
            id: self.witness(name).id(),
            signature: cosignature::join(at, &signature),
        }
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogKey(hidden)")
    }
}
