//! The parameters of a page of events.

use chrono::{DateTime, Utc};

use super::params::{FILTERS, Given, PAGING, asked, paging, question};
use super::problem::Problem;
use super::shown::{SHOWN, ShownAs};
use super::tally_params::{TALLY, beside_a_page};
use crate::coverage::Asked;
use crate::search::{Question, Tally, asked_at};

/// What a request for a list asks.
#[derive(Debug)]
pub(super) struct ListParams {
    pub(super) question: Question,
    /// What its coverage is about.
    pub(super) asked: Asked,
    pub(super) limit: usize,
    pub(super) cursor: Option<String>,
    /// What `now` is in the question: that of the first page on every page.
    pub(super) asked_at: DateTime<Utc>,
    pub(super) tally: Tally,
    pub(super) shown: ShownAs,
}

impl ListParams {
    /// Reads the part of a URL after its `?`.
    pub(super) fn read(query: Option<&str>, now: DateTime<Utc>) -> Result<Self, Problem> {
        let given = Given::read(
            query,
            &[&FILTERS[..], &PAGING[..], &TALLY[..], &SHOWN[..]].concat(),
        )?;
        let (order, limit, cursor) = paging(&given)?;
        let asked_at = cursor.as_deref().and_then(asked_at).unwrap_or(now);
        let question = question(&given, order, asked_at)?;
        Ok(Self {
            asked: asked(&given, question.range)?,
            question,
            limit,
            cursor,
            asked_at,
            tally: beside_a_page(&given)?,
            shown: ShownAs::read(&given)?,
        })
    }
}
