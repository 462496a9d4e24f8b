//! Public keys in the form of signed notes: name, id, and the key with its kind.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::cosignature;
use super::error::EvidenceError;
use super::note::{KEY_ID_BYTES, NoteSignature, SignedNote, is_key_name};

/// The kind of a key that signs the text of a note.
pub(super) const ED25519: u8 = 1;
/// The kind of a key of a witness, which signs the time as well.
pub(super) const COSIGNATURE: u8 = 4;

/// The longest key that is read, in bytes.
const MAX_VKEY_BYTES: usize = 8 * 1024;

/// A public key with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    /// Its name.
    pub name: String,
    kind: u8,
    /// The key without its kind. Of an unknown kind it can be anything.
    key: Vec<u8>,
}

/// What a valid signature of a key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// When it was made, in seconds since 1970; `None` when a signature of this kind does not say it.
    pub at: Option<u64>,
}

impl VerifierKey {
    pub(super) fn new(name: &str, kind: u8, key: &VerifyingKey) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            key: key.to_bytes().to_vec(),
        }
    }

    /// Reads `NAME+ID+KEY`.
    ///
    /// # Errors
    /// When it does not have that form, its id is not that of the key, or the key is none.
    pub fn parse(text: &str) -> Result<Self, EvidenceError> {
        let malformed = |what: &str| EvidenceError::malformed(format!("the key {what}"));
        if text.len() > MAX_VKEY_BYTES {
            return Err(malformed("is too long"));
        }
        let parts = text.split_once('+');
        let parts = parts.and_then(|(name, rest)| Some((name, rest.split_once('+')?)));
        let (name, (id, encoded)) =
            parts.ok_or_else(|| malformed("does not have the form `NAME+ID+KEY`"))?;
        let decoded = STANDARD.decode(encoded);
        let decoded = decoded.map_err(|_| malformed("is not base64"))?;
        let (kind, key) = decoded.split_first().ok_or_else(|| malformed("is empty"))?;
        if !is_key_name(name) {
            return Err(malformed("has a name with spaces or `+`, or none"));
        }
        let parsed = Self {
            name: name.to_owned(),
            kind: *kind,
            key: key.to_vec(),
        };
        if id != format!("{:08x}", parsed.id()) {
            return Err(malformed("has the id of another key"));
        }
        if parsed.is_supported() && parsed.ed25519().is_none() {
            return Err(malformed("is no Ed25519 key"));
        }
        Ok(parsed)
    }

    /// The id by which its signatures name it, beside its name.
    #[must_use]
    pub fn id(&self) -> u32 {
        let mut hasher = Sha256::new();
        hasher.update(self.name.as_bytes());
        hasher.update([b'\n', self.kind]);
        hasher.update(&self.key);
        let hash: [u8; 32] = hasher.finalize().into();
        hash.first_chunk::<KEY_ID_BYTES>()
            .map_or(0, |id| u32::from_be_bytes(*id))
    }

    /// Whether its signatures can be verified here.
    #[must_use]
    pub fn is_supported(&self) -> bool {
        matches!(self.kind, ED25519 | COSIGNATURE)
    }

    /// Whether it is the key of a witness.
    #[must_use]
    pub fn is_of_witness(&self) -> bool {
        self.kind == COSIGNATURE
    }

    /// The key itself, whatever its name and kind.
    #[must_use]
    pub fn material(&self) -> &[u8] {
        &self.key
    }

    /// What its signature on a note says; `None` when the note has none of it.
    ///
    /// # Errors
    /// When there is one that is not valid.
    pub fn verify(&self, note: &SignedNote) -> Result<Option<Signed>, EvidenceError> {
        let mut signed = None;
        for signature in note.signatures.iter().filter(|one| self.has_made(one)) {
            let valid = self.check(&note.text, &signature.signature);
            let name = &self.name;
            signed = Some(valid.ok_or_else(|| {
                EvidenceError::unproven(format!("the signature of `{name}` is not valid"))
            })?);
        }
        Ok(signed)
    }

    /// Whether a signature says that it is of this key.
    #[must_use]
    pub fn has_made(&self, signature: &NoteSignature) -> bool {
        signature.name == self.name && signature.id == self.id() && self.is_supported()
    }

    fn check(&self, text: &str, signature: &[u8]) -> Option<Signed> {
        let key = self.ed25519()?;
        if self.kind == ED25519 {
            let signature = Signature::from_slice(signature).ok()?;
            key.verify_strict(text.as_bytes(), &signature).ok()?;
            return Some(Signed { at: None });
        }
        let (at, signature) = cosignature::split(signature)?;
        let message = cosignature::message(at, text);
        let signature = Signature::from_slice(signature).ok()?;
        key.verify_strict(message.as_bytes(), &signature).ok()?;
        Some(Signed { at: Some(at) })
    }

    fn ed25519(&self) -> Option<VerifyingKey> {
        let bytes = self.key.as_slice().try_into().ok()?;
        let key = VerifyingKey::from_bytes(bytes).ok()?;
        (!key.is_weak()).then_some(key)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![self.kind];
        bytes.extend(&self.key);
        write!(
            f,
            "{}+{:08x}+{}",
            self.name,
            self.id(),
            STANDARD.encode(bytes)
        )
    }
}
