//! The log → a verified copy in a folder of its own, and back.
//!
//! A backup is a folder with two files: `orgtrail.db`, which is the log at one moment, and `manifest.json`, which says what it
//! is and has its SHA-256. The folder is written under another name and renamed when both are on disk, so a backup that was cut
//! off never looks like one. The index is not copied: it is built again from the log. Tokens and the access log are in another
//! file, `access.db`, which is not copied either.
//!
//! It does not know who asks, or how progress is shown.

mod error;
mod manifest;
mod progress;
mod restore;
mod verify;
mod write;

pub use self::error::BackupError;
pub use self::manifest::{MANIFEST_NAME, Manifest};
pub use self::progress::{OnProgress, Stage};
pub use self::restore::{Restored, restore};
pub use self::write::back_up;
