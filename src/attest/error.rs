//! Why a transparency log does not go on.

use std::io;
use std::path::{Path, PathBuf};

use crate::durable::InjectedFailure;
use crate::evidence::EvidenceError;
use crate::store::StoreError;
use crate::task::Panicked;

/// Why a turn failed.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// The log of events.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the transparency log.
    #[error("could not use `{}`: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no key yet.
    #[error("there is no key in `{}`: `orgtrail evidence key` makes one", .0.display())]
    NoKey(PathBuf),
    /// The file of the key is none.
    #[error("`{}` is not used as the key: {why}", path.display())]
    WrongKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The name was used by the log that this one was restored from.
    #[error(
        "`evidence.origin` is `{0}`, which is the name of the log that this one was restored from: nothing is signed until it is another one"
    )]
    UsedOrigin(String),
    /// What was signed is not what the log holds.
    #[error("nothing is signed under `{origin}`, because {why}")]
    Contradiction {
        /// The name of the transparency log.
        origin: String,
        /// What differs.
        why: String,
    },
    /// A file or a checkpoint of ours does not have its form.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The turn panicked.
    #[error("a turn of the transparency log panicked")]
    Panicked(#[from] Panicked),
    /// A test's doing.
    #[error(transparent)]
    InjectedFailure(#[from] InjectedFailure),
}

impl AttestError {
    /// What the file system says of a file.
    pub(super) fn of(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
