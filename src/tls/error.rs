//! Why a certificate or its key cannot be used.

use std::path::Path;

/// Why a certificate or its key cannot be used: where, what is wrong, and what to do. No part of a key is ever in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct TlsError {
    /// `FILE`, or `FILE:LINE`.
    at: String,
    message: String,
}

impl TlsError {
    /// An error about a file as a whole.
    pub(super) fn in_file(path: &Path, message: impl Into<String>) -> Self {
        Self {
            at: path.display().to_string(),
            message: message.into(),
        }
    }

    /// An error at a line of a file, counted from 1.
    pub(super) fn at_line(path: &Path, line: usize, message: impl Into<String>) -> Self {
        Self {
            at: format!("{}:{line}", path.display()),
            message: message.into(),
        }
    }
}
