//! How far a backup or a restore has come.

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Pages of the log are copied.
    Copying,
    /// The events of the copy are compared with their hashes.
    Verifying,
    /// The SHA-256 of the whole file is computed.
    Hashing,
}

/// Is called with how far a stage has come, and how far it goes.
pub type OnProgress<'a> = &'a mut dyn FnMut(Stage, u64, u64);
