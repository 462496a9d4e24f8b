//! Signed notes: a text, an empty line, and lines of signatures.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::EvidenceError;

/// The largest note that is read.
pub const MAX_NOTE_BYTES: usize = 256 * 1024;

/// The most signatures that a note may have.
pub const MAX_SIGNATURES: usize = 100;

/// What a line of a signature begins with.
const SIGNATURE_PREFIX: &str = "— ";

/// How many bytes the id of a key has.
pub const KEY_ID_BYTES: usize = 4;

/// A text and its signatures. They were not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    /// The text, which ends with a newline.
    pub text: String,
    /// The signatures, in their order.
    pub signatures: Vec<NoteSignature>,
}

/// A line of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: String,
    /// The id of the key.
    pub id: u32,
    /// The signature, in the form that the kind of the key has.
    pub signature: Vec<u8>,
}

impl SignedNote {
    /// Reads a note.
    ///
    /// # Errors
    /// When it does not have its form.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > MAX_NOTE_BYTES {
            let message = format!("the note has more than {MAX_NOTE_BYTES} bytes");
            return Err(EvidenceError::malformed(message));
        }
        let note = std::str::from_utf8(bytes)
            .map_err(|_| EvidenceError::malformed("the note is not UTF-8"))?;
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(EvidenceError::malformed("the note has a control character"));
        }
        let signed = note
            .rsplit_once("\n\n")
            .filter(|(text, _)| !text.is_empty());
        let (text, lines) = signed.ok_or_else(|| {
            EvidenceError::malformed("the note has no empty line before its signatures")
        })?;
        let signatures = NoteSignature::parse_lines(lines)?;
        Ok(Self {
            text: format!("{text}\n"),
            signatures,
        })
    }

    /// Adds signatures that it does not have yet. Of the same key, the newest is kept.
    pub fn add(&mut self, signatures: impl IntoIterator<Item = NoteSignature>) {
        for new in signatures {
            let is_of_same = |old: &NoteSignature| (&old.name, old.id) == (&new.name, new.id);
            match self.signatures.iter_mut().find(|old| is_of_same(old)) {
                Some(old) => *old = new,
                None => self.signatures.push(new),
            }
        }
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|one| write!(f, "{one}"))
    }
}

impl NoteSignature {
    /// Reads lines of signatures, of which there is one at least.
    ///
    /// # Errors
    /// When one does not have its form, or there are too many.
    pub fn parse_lines(lines: &str) -> Result<Vec<Self>, EvidenceError> {
        let lines = lines.strip_suffix('\n').ok_or_else(|| {
            EvidenceError::malformed("the last line of the signatures is cut off")
        })?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == MAX_SIGNATURES {
                let message = format!("there are more than {MAX_SIGNATURES} signatures");
                return Err(EvidenceError::malformed(message));
            }
            let signature = Self::parse(line);
            signatures.push(signature.ok_or_else(|| {
                EvidenceError::malformed("a line of a signature does not have its form")
            })?);
        }
        Ok(signatures)
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, signed) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
        let bytes = STANDARD.decode(signed).ok()?;
        let (id, signature) = bytes.split_first_chunk::<KEY_ID_BYTES>()?;
        (is_key_name(name) && !signature.is_empty()).then(|| Self {
            name: name.to_owned(),
            id: u32::from_be_bytes(*id),
            signature: signature.to_vec(),
        })
    }
}

/// Its line, with the newline.
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.id.to_be_bytes().to_vec();
        bytes.extend(&self.signature);
        writeln!(
            f,
            "{SIGNATURE_PREFIX}{} {}",
            self.name,
            STANDARD.encode(bytes)
        )
    }
}

/// Whether a text can be the name of a key.
#[must_use]
pub fn is_key_name(name: &str) -> bool {
    let is_wrong = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    !name.is_empty() && !name.contains(is_wrong)
}
