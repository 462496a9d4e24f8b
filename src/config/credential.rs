//! Where an API token is found, and how it is fetched from there.
//!
//! The secret is read when it is asked for and at no other time, so that a rotated file takes effect; it is never part
//! of the configuration, of an error, or of anything that can be printed. What it opens is not known here.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

/// The largest credential file that is read. Tokens have some 40 to 60 characters.
const MAX_CREDENTIAL_BYTES: usize = 8 * 1024;

/// The place of an API token, which is also the name of the credential: sources with the same one share its quota.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialSource {
    /// The environment variable with this name.
    Env(String),
    /// A file that holds the token and nothing else.
    File(PathBuf),
}

/// Prints `env:NAME` or `file:PATH`: stable, and safe to store and to show.
impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// Why there is no token. The messages name the place, never what was found there.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The environment variable does not exist.
    #[error("no API token: the environment variable `{name}` is not set")]
    NotSet {
        /// The variable's name.
        name: String,
    },
    /// The file could not be read.
    #[error("no API token: could not read `{}`: {cause}", path.display())]
    Unreadable {
        /// The file's path.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Something is there, but no token.
    #[error("no API token in `{source_name}`: {reason}")]
    Unusable {
        /// The credential's name.
        source_name: String,
        /// What is wrong with it.
        reason: BadToken,
    },
}

/// Why a text cannot be sent as a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
    /// More than any token has: 8 KiB.
    #[error("it is longer than {MAX_CREDENTIAL_BYTES} bytes")]
    TooLong,
    /// The whole header was given.
    #[error("it starts with `Bearer`: write the token alone")]
    Header,
    /// Not the bytes of a text.
    #[error("it is not text in UTF-8")]
    NotText,
    /// A character that no token has and no header may carry.
    #[error("its character {position} is a space, a control character or not ASCII")]
    Character {
        /// Which one, counted from 1 after the white space at the start.
        position: usize,
    },
}

impl CredentialSource {
    /// Fetches the token, without the white space around it.
    ///
    /// # Errors
    /// When nothing is there, or nothing that can be sent as a token.
    pub fn read(&self) -> Result<SecretString, CredentialError> {
        let text = match self {
            Self::Env(name) => from_environment(name)?,
            Self::File(path) => read_file(path).map_err(|cause| CredentialError::Unreadable {
                path: path.clone(),
                cause,
            })?,
        };
        token(&text).map_err(|reason| CredentialError::Unusable {
            source_name: self.to_string(),
            reason,
        })
    }
}

fn from_environment(name: &str) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    match std::env::var_os(name) {
        Some(value) => Ok(Zeroizing::new(value.into_encoded_bytes())),
        None => Err(CredentialError::NotSet {
            name: name.to_owned(),
        }),
    }
}

/// Reads one byte more than the limit at most, which [`token`] then takes for too long. The buffer is made in its full
/// size, so that growing does not leave copies of the secret behind.
///
/// A pipe is refused: opening one blocks until another process writes to it, and it gives the token only once.
fn read_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_fifo(&std::fs::metadata(path)?.file_type()) {
        let message = "it is a pipe: write the token into a file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let most = MAX_CREDENTIAL_BYTES + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    File::open(path)?
        .take(most as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn token(bytes: &[u8]) -> Result<SecretString, BadToken> {
    if bytes.len() > MAX_CREDENTIAL_BYTES {
        return Err(BadToken::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| BadToken::NotText)?;
    let text = text.trim();
    if text.is_empty() {
        return Err(BadToken::Empty);
    }
    if text.split_whitespace().next() == Some("Bearer") {
        return Err(BadToken::Header);
    }
    if let Some(at) = text.chars().position(|c| !c.is_ascii_graphic()) {
        return Err(BadToken::Character { position: at + 1 });
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_token_is_trimmed_and_must_fit_into_a_header() {
        let check = |bytes: &[u8], expect: Result<&str, BadToken>| {
            let found = token(bytes);
            let found = found.as_ref().map(ExposeSecret::expose_secret);
            assert_eq!(found.map_err(|reason| *reason), expect);
        };
        check(b"t0k-en_\n", Ok("t0k-en_"));
        check(b" \tt0ken\r\n", Ok("t0ken"));
        check(b"", Err(BadToken::Empty));
        check(b" \n", Err(BadToken::Empty));
        check(b"Bearer t0ken", Err(BadToken::Header));
        check(b"Bearer", Err(BadToken::Header));
        check(b"one two", Err(BadToken::Character { position: 4 }));
        check(b"one\ntwo", Err(BadToken::Character { position: 4 }));
        check("tökén".as_bytes(), Err(BadToken::Character { position: 2 }));
        check(b"\xff\xfe", Err(BadToken::NotText));
        check(&[b'a'; MAX_CREDENTIAL_BYTES + 1], Err(BadToken::TooLong));
    }

    #[test]
    fn a_file_is_read_again_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let source = CredentialSource::File(path.clone());

        let missing = source.read().unwrap_err();
        assert!(matches!(missing, CredentialError::Unreadable { .. }));
        for secret in ["first", "second"] {
            std::fs::write(&path, format!("{secret}\n")).unwrap();
            assert_eq!(source.read().unwrap().expose_secret(), secret);
        }
    }

    #[test]
    fn an_endless_file_is_not_read_to_its_end() {
        let source = CredentialSource::File("/dev/zero".into());
        let error = source.read().unwrap_err().to_string();
        assert_eq!(
            error,
            "no API token in `file:/dev/zero`: it is longer than 8192 bytes"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let error = CredentialSource::File(path).read().unwrap_err();
        assert!(error.to_string().contains("it is a pipe"), "{error}");
    }

    #[test]
    fn a_variable_is_read_by_its_name() {
        // Cargo sets this one for every test.
        let source = CredentialSource::Env("CARGO_PKG_NAME".to_owned());
        assert_eq!(source.read().unwrap().expose_secret(), "orgtrail");

        let source = CredentialSource::Env("ORGTRAIL_TEST_SET_NOWHERE".to_owned());
        assert_eq!(
            source.read().unwrap_err().to_string(),
            "no API token: the environment variable `ORGTRAIL_TEST_SET_NOWHERE` is not set"
        );
    }

    #[test]
    fn no_error_repeats_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "Bearer hunter2").unwrap();
        let error = CredentialSource::File(path).read().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
