//! Creates files and directories that only their owner can read, since an audit log is confidential.
//!
//! It does not know what is kept in them. Elsewhere than on Unix they are what the system makes them.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Makes a directory, and those above it, unless they are there.
///
/// # Errors
/// What the file system says.
pub fn make_dir(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens a file for writing, and makes it if there is none. What it holds stays.
///
/// # Errors
/// What the file system says.
pub fn open_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).write(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Opens a file for reading, and for writing at its end only; makes it if there is none.
///
/// # Errors
/// What the file system says.
pub fn open_appending(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).read(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes what was created, renamed or removed in a directory outlive a crash. Elsewhere than on Unix the system does so by
/// itself.
///
/// # Errors
/// What the file system says.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(path)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Writes a new file with `content` in place of an existing one. A process that has the old file open does not see the new one.
///
/// # Errors
/// What the file system says.
pub fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(content)
}

/// Makes a file that holds `content`, in place of one that is there: at every moment there is the old one or the new one.
///
/// # Errors
/// What the file system says.
pub fn swap_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    replace_file(Path::new(&new), content)?;
    fs::rename(new, path)
}

/// Whether every user of this machine can read a file.
#[must_use]
pub fn is_open_to_all(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;

        let mode = path.metadata().map(|found| found.permissions().mode());
        mode.is_ok_and(|mode| mode & 0o004 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}
