//! One source in the answer of `orgtrail status`.

use serde::Serialize;

use crate::coverage::{Gap, Interval};
use crate::status::SourceStatus;

/// A source with what is proven of it.
#[derive(Serialize)]
pub(super) struct StatusRow {
    #[serde(flatten)]
    pub(super) status: SourceStatus,
    pub(super) intervals: Vec<Interval>,
    pub(super) gaps: Vec<Gap>,
}
