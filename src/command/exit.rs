//! The exit codes of the commands.

/// A question that cannot be asked as it was written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WrongUsage(pub(super) String);

/// The exit code of a command that ended with an error: 2 for wrong usage, and 1.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match error.is::<WrongUsage>() {
        true => 2,
        false => 1,
    }
}
