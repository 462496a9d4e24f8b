//! The lines of `orgtrail check`, and how many of them are problems.

use anyhow::Result;

use crate::config::CredentialSource;
use crate::terminal::{harmless, say};
use crate::upstream::UpstreamError;

/// What was found so far. Each finding is a line, printed at once.
#[derive(Default)]
pub(super) struct CheckReport {
    pub(super) problems: usize,
}

impl CheckReport {
    #[expect(clippy::unused_self, reason = "all kinds of line are the report's")]
    pub(super) fn good(&self, line: impl std::fmt::Display) -> Result<()> {
        Ok(say(format!("ok       {line}"))?)
    }

    /// What upstream answered to a call for `what`.
    pub(super) fn answer<T>(
        &mut self,
        what: impl std::fmt::Display,
        credential: &CredentialSource,
        answer: Result<T, UpstreamError>,
    ) -> Result<()> {
        match answer {
            Ok(_) => self.good(format!("{what} answers with the credential {credential}")),
            Err(error) => self.bad(format!(
                "{what} with the credential {credential}: {}",
                harmless(&error.to_string())
            )),
        }
    }

    #[expect(clippy::unused_self, reason = "all kinds of line are the report's")]
    pub(super) fn warn(&self, line: impl std::fmt::Display) -> Result<()> {
        Ok(say(format!("WARNING  {}", harmless(&line.to_string())))?)
    }

    pub(super) fn bad(&mut self, line: impl std::fmt::Display) -> Result<()> {
        self.problems += 1;
        Ok(say(format!("PROBLEM  {line}"))?)
    }
}
