//! One page of an audit log.

use chrono::{DateTime, Utc};
use orgtrail_cloudflare::coverage::Covered;
use orgtrail_cloudflare::request::{Direction, LogRequest};
use serde_json::value::RawValue;

use super::client::Upstream;
use super::error::UpstreamError;
use super::fullness::Fullness;
use super::quota::Permit;
use crate::position::{Cursor, Source, Window};

/// One page of an audit log.
#[derive(Debug)]
pub struct LogPage {
    /// Its entries, in upstream's order, as the bytes that came.
    pub entries: Vec<Box<RawValue>>,
    /// Where it goes on. An empty page may have a cursor too, and more entries may follow.
    pub next: Option<Cursor>,
    /// Whether more may follow although it has no cursor.
    pub fullness: Fullness,
    /// Upstream's present when it answered.
    pub date: Option<DateTime<Utc>>,
    /// How far the answer is proven, where upstream is another orgtrail.
    pub covered: Option<Covered>,
}

impl Upstream {
    /// One page of a source's log, oldest first: at most `limit` entries between the window's bounds as they are given.
    ///
    /// # Errors
    /// [`UpstreamError`], named by what to do.
    pub async fn fetch_log_page(
        &self,
        permit: Permit,
        source: &Source,
        window: Window,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<LogPage, UpstreamError> {
        let page = self.log_page(permit, source, window, cursor, limit).await;
        self.count(&page);
        page
    }

    async fn log_page(
        &self,
        permit: Permit,
        source: &Source,
        window: Window,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<LogPage, UpstreamError> {
        let mut url = self.url(&[source.kind().as_str(), source.id(), "logs", "audit"]);
        let request = LogRequest {
            since: window.since,
            before: window.before,
            direction: Direction::Ascending,
            limit,
            cursor,
        };
        url.query_pairs_mut().extend_pairs(request.parameters());
        let answer = self.get(permit, url, cursor.is_some()).await?;
        let envelope = answer.envelope()?;
        let entries: Vec<Box<RawValue>> = envelope
            .result()?
            .into_iter()
            .map(ToOwned::to_owned)
            .collect();
        let next = envelope.cursor()?;
        // The cursors of another orgtrail are reliable: without one, nothing follows.
        let fullness = match (&answer.covered, &next) {
            (Some(_), None) => Fullness::NotFull,
            _ => self
                .longest(source.kind())
                .fullness(entries.len(), limit, next.is_some()),
        };
        Ok(LogPage {
            next,
            fullness,
            entries,
            date: answer.date,
            covered: answer.covered,
        })
    }
}
