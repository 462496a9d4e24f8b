//! Appends messages to a file, one line of JSON each.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::attempt::SendFailure;
use crate::private;
use crate::task;

/// Appends a line. It is on disk when this returns.
pub(super) async fn append(path: &Path, line: String) -> Result<(), SendFailure> {
    let path = path.to_owned();
    let appended = task::blocking(move || append_line(&path, &line)).await;
    appended.map_err(|error| SendFailure::new(format!("could not append to the file: {error}")))
}

fn append_line(path: &Path, line: &str) -> io::Result<()> {
    refuse_special(path)?;
    let is_new = !path.exists();
    let mut file = private::open_appending(path)?;
    let mut text = String::with_capacity(line.len() + 2);
    if is_torn(&mut file)? {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    match path.parent() {
        Some(dir) if is_new && !dir.as_os_str().is_empty() => private::sync_dir(dir),
        _ => Ok(()),
    }
}

/// Only a regular file keeps what is appended, and opening a pipe may wait for ever.
pub(super) fn refuse_special(path: &Path) -> io::Result<()> {
    match path.metadata() {
        Ok(found) if !found.is_file() => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        )),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether the last line has no end, because a crash cut it.
fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_appended_and_one_that_a_crash_cut_stays_a_line_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alerts.ndjson");
        append(&path, "{\"a\":1}".to_owned()).await.unwrap();
        std::fs::write(&path, "{\"a\":1}\n{\"a\":").unwrap();
        append(&path, "{\"a\":2}".to_owned()).await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"a\":1}\n{\"a\":\n{\"a\":2}\n");
        let failed = append(dir.path(), String::new()).await.unwrap_err();
        assert!(failed.error.contains("not a regular file"), "{failed:?}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_the_owner_can_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alerts.ndjson");
        append(&path, "{}".to_owned()).await.unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
