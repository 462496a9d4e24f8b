//! Why something is not what it claims to be.

/// What is wrong with a key, a note, a proof or a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// It does not have the form that it must have.
    #[error("{0}")]
    Malformed(String),
    /// It has its form, and does not prove what it should.
    #[error("{0}")]
    Unproven(String),
}

impl EvidenceError {
    /// It does not have its form.
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::Malformed(message.into())
    }

    /// It does not prove what it should.
    pub(super) fn unproven(message: impl Into<String>) -> Self {
        Self::Unproven(message.into())
    }
}
