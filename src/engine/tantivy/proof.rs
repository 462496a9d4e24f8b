//! Whether an error proves that the index on disk cannot be used, or may pass by itself: too many open files, no permission, a
//! full disk. Only a proof leads to a rebuild.

use std::io::{self, ErrorKind};

use tantivy::TantivyError;
use tantivy::directory::error::{OpenDirectoryError, OpenReadError, OpenWriteError};

/// Whether the error proves that the index is damaged, missing or of another version.
pub(super) fn is_proof(error: &TantivyError) -> bool {
    match error {
        TantivyError::OpenDirectoryError(error) => match error {
            OpenDirectoryError::DoesNotExist(_) | OpenDirectoryError::NotADirectory(_) => true,
            OpenDirectoryError::FailedToCreateTempDir(_) => false,
            OpenDirectoryError::IoError { io_error, .. } => is_proof_io(io_error),
        },
        TantivyError::OpenReadError(error) => is_proof_read(error),
        TantivyError::IoError(error) => is_proof_io(error),
        TantivyError::DataCorruption(_)
        | TantivyError::IncompatibleIndex(_)
        | TantivyError::SchemaError(_)
        | TantivyError::DeserializeError(_)
        | TantivyError::FieldNotFound(_)
        | TantivyError::InternalError(_)
        | TantivyError::MissingPlugin(_)
        | TantivyError::UnexpectedPlugin(_) => true,
        _ => false,
    }
}

/// Whether an error says that the disk is full.
pub(super) fn is_no_space(error: &TantivyError) -> bool {
    match error {
        TantivyError::IoError(error) => is_no_space_io(error),
        TantivyError::OpenWriteError(OpenWriteError::IoError { io_error, .. })
        | TantivyError::OpenDirectoryError(OpenDirectoryError::IoError { io_error, .. }) => {
            is_no_space_io(io_error)
        }
        _ => false,
    }
}

/// The same for an error of the operating system.
pub(super) fn is_no_space_io(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

/// The same as [`is_proof`] for a file that was to be read.
pub(super) fn is_proof_read(error: &OpenReadError) -> bool {
    match error {
        OpenReadError::FileDoesNotExist(_) | OpenReadError::IncompatibleIndex(_) => true,
        OpenReadError::IoError { io_error, .. } => is_proof_io(io_error),
    }
}

/// An error of the operating system says something of the moment, unless it says that the file is missing or no file. One without
/// the system's number is the engine's own opinion of what it read.
fn is_proof_io(error: &io::Error) -> bool {
    let is_absence = matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory
    );
    let may_pass = matches!(
        error.kind(),
        ErrorKind::OutOfMemory
            | ErrorKind::Interrupted
            | ErrorKind::TimedOut
            | ErrorKind::WouldBlock
            | ErrorKind::PermissionDenied
            | ErrorKind::StorageFull
    );
    is_absence || (error.raw_os_error().is_none() && !may_pass)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn only_what_the_files_say_is_a_proof() {
        let check = |error: io::Error, expect: bool| {
            let name = format!("{error:?}");
            let error = OpenReadError::IoError {
                io_error: Arc::new(error),
                filepath: PathBuf::from("x"),
            };
            assert_eq!(is_proof(&error.into()), expect, "{name}");
        };
        // EMFILE, ENFILE, EACCES, ENOSPC, EIO.
        for number in [24, 23, 13, 28, 5] {
            check(io::Error::from_raw_os_error(number), false);
        }
        check(io::Error::from_raw_os_error(2), true);
        check(io::Error::new(ErrorKind::InvalidData, "no footer"), true);
        check(io::Error::from(ErrorKind::UnexpectedEof), true);
    }
}
