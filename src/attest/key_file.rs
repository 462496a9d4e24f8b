//! The file of the key that signs, which may be outside the data directory.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use tracing::warn;

use super::error::AttestError;
use crate::evidence::LogKey;
use crate::evidence::key::MAX_KEY_BYTES;
use crate::private;

/// Reads the key.
///
/// # Errors
/// [`AttestError::NoKey`] when there is none, and when the file cannot be read or is no key.
pub fn read(path: &Path) -> Result<LogKey, AttestError> {
    let mut text = String::new();
    let opened = File::open(path).map(|file| file.take(MAX_KEY_BYTES as u64 + 1));
    match opened.and_then(|mut file| file.read_to_string(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(AttestError::NoKey(path.to_owned()));
        }
        Err(error) => return Err(AttestError::of(path)(error)),
    }
    let key = LogKey::parse_pem(&text).map_err(|error| AttestError::WrongKey {
        path: path.to_owned(),
        why: error.to_string(),
    })?;
    if private::is_open_to_all(path) {
        warn!(
            path = %path.display(),
            "Every user of this machine can read the key that signs checkpoints; `chmod 600` hides it."
        );
    }
    Ok(key)
}

/// Reads the key, and makes it if there is none. A file that is there is never replaced.
///
/// # Errors
/// As [`read`], and when it cannot be written.
pub fn read_or_make(path: &Path) -> Result<LogKey, AttestError> {
    match read(path) {
        Err(AttestError::NoKey(_)) => make(path),
        read => read,
    }
}

fn make(path: &Path) -> Result<LogKey, AttestError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| AttestError::of(path)(io::Error::other(error.to_string())))?;
    let key = LogKey::from_seed(&seed);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    private::make_dir(folder).map_err(AttestError::of(folder))?;
    match write_new(path, folder, &key) {
        // Another process has made it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path),
        Err(error) => Err(AttestError::of(path)(error)),
        Ok(()) => Ok(key),
    }
}

/// Writes the key under another name first: a crash leaves a whole key or none.
fn write_new(path: &Path, folder: &Path, key: &LogKey) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".evidence-key")
        .tempfile_in(folder)?;
    file.write_all(key.to_pem().as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    private::sync_dir(folder)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets/evidence.pem");
        assert!(matches!(read(&path), Err(AttestError::NoKey(_))));
        let made = read_or_make(&path).unwrap().verifier("a");
        assert_eq!(read_or_make(&path).unwrap().verifier("a"), made);
        assert_eq!(read(&path).unwrap().verifier("a"), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1);
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for wrong in ["", "hunter2", &"x".repeat(100_000)] {
            fs::write(&path, wrong).unwrap();
            let error = read_or_make(&path).unwrap_err().to_string();
            assert!(
                error.contains("is not used as the key") && !error.contains("hunter2"),
                "{error}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), wrong);
        }
    }
}
