//! What a question about coverage is about.

use chrono::{DateTime, Utc};

use crate::position::Source;

/// What is asked about. Moments are widened to whole seconds.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Start of the range; default: the beginning of each source.
    pub since: Option<DateTime<Utc>>,
    /// End of the range; default: now. What comes after now is a gap.
    pub before: Option<DateTime<Utc>>,
    /// Which sources; all if none is named.
    pub sources: Vec<Source>,
}
