//! Where a destination's URL and keys are found. They are secrets: no message and no error contains a part of them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

/// The largest secret that is read.
const MAX_BYTES: usize = 8 * 1024;

/// The most keys that a destination signs with: two during a rotation.
pub const MAX_KEYS: usize = 2;

/// What a key for signing begins with.
const KEY_PREFIX: &str = "whsec_";

/// The shortest key, in bytes.
const SHORTEST_KEY: usize = 16;

/// The place of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The environment variable with this name.
    Env(String),
    /// A file that holds it and nothing else. It is read again for each attempt.
    File(PathBuf),
}

/// Prints `env:NAME` or `file:PATH`.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
#[error("`{place}`: {reason}")]
pub struct SecretError {
    place: String,
    reason: BadSecret,
}

/// What is wrong with a secret.
#[derive(Debug, thiserror::Error)]
pub enum BadSecret {
    /// The environment variable does not exist.
    #[error("it is not set")]
    NotSet,
    /// The file could not be read.
    #[error("could not read it: {0}")]
    Unreadable(io::Error),
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
    /// More than 8 KiB.
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Not text, or text with control characters inside.
    #[error("it is not text in UTF-8 without control characters")]
    NotText,
    /// Not a key of Standard Webhooks.
    #[error(
        "it is not a key of Standard Webhooks: `whsec_` and base64 of at least {SHORTEST_KEY} bytes"
    )]
    NotAKey,
    /// More than two keys.
    #[error("it holds more than {MAX_KEYS} keys")]
    TooMany,
}

impl SecretSource {
    /// Reads it, without the white space around it.
    ///
    /// # Errors
    /// When nothing is there that can be used.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let text = self.text()?;
        if text.trim().chars().any(char::is_control) {
            return Err(self.error(BadSecret::NotText));
        }
        Ok(SecretString::from(text.trim()))
    }

    /// Reads the keys for signing: one, or two with white space between them while one replaces the other.
    ///
    /// # Errors
    /// When nothing is there that can be used.
    pub fn read_keys(&self) -> Result<Vec<SigningKey>, SecretError> {
        let text = self.text()?;
        let keys = text.split_whitespace().map(SigningKey::parse);
        let keys: Vec<SigningKey> = keys
            .collect::<Option<_>>()
            .ok_or_else(|| self.error(BadSecret::NotAKey))?;
        if keys.len() > MAX_KEYS {
            return Err(self.error(BadSecret::TooMany));
        }
        Ok(keys)
    }

    fn text(&self) -> Result<Zeroizing<String>, SecretError> {
        let bytes = match self {
            Self::Env(name) => std::env::var_os(name)
                .map(|value| Zeroizing::new(value.into_encoded_bytes()))
                .ok_or(BadSecret::NotSet),
            Self::File(path) => read_file(path).map_err(BadSecret::Unreadable),
        };
        let text = bytes.and_then(|bytes| {
            if bytes.len() > MAX_BYTES {
                return Err(BadSecret::TooLong);
            }
            let text = std::str::from_utf8(&bytes).map_err(|_| BadSecret::NotText)?;
            match text.trim() {
                "" => Err(BadSecret::Empty),
                text => Ok(Zeroizing::new(text.to_owned())),
            }
        });
        text.map_err(|reason| self.error(reason))
    }

    fn error(&self, reason: BadSecret) -> SecretError {
        SecretError {
            place: self.to_string(),
            reason,
        }
    }
}

/// Reads one byte more than the limit at most. The buffer is made in its full size, so that growing leaves no copies of the
/// secret behind. A pipe is refused: opening one blocks.
fn read_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_fifo(&std::fs::metadata(path)?.file_type()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe"));
    }
    let most = MAX_BYTES + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    File::open(path)?
        .take(most as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A key that signs webhooks. It cannot be printed.
#[derive(Clone, Debug)]
pub struct SigningKey(SecretSlice<u8>);

impl SigningKey {
    /// Reads `whsec_` and base64, or the base64 alone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD
            .decode(text.strip_prefix(KEY_PREFIX).unwrap_or(text))
            .ok()?;
        (bytes.len() >= SHORTEST_KEY).then(|| Self(bytes.into()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_file_has_one_key_or_two_and_is_read_again_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let source = SecretSource::File(path.clone());
        assert!(
            source
                .read_keys()
                .unwrap_err()
                .to_string()
                .contains("could not read")
        );
        for (text, expect) in [
            (format!(" {KEY}\n"), Some(1)),
            (format!("{KEY}\n{KEY}\n"), Some(2)),
            (format!("{KEY} {KEY} {KEY}"), None),
            ("whsec_c2hvcnQ=".to_owned(), None),
            ("hunter2!".to_owned(), None),
            (" \n".to_owned(), None),
        ] {
            std::fs::write(&path, &text).unwrap();
            let keys = source.read_keys();
            assert_eq!(keys.as_ref().ok().map(Vec::len), expect, "{text}");
            let printed = format!("{keys:?}");
            assert!(
                !printed.contains("hunter2") && !printed.contains("MfKQ"),
                "{printed}"
            );
        }
    }

    #[test]
    fn a_url_with_a_line_break_inside_is_refused_without_repeating_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("url");
        std::fs::write(&path, "https://a.example/hunter2\nX: y\n").unwrap();
        let error = SecretSource::File(path).read().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
