//! Answers that are the same for everybody: their bytes are made once, and shared by all clients that have not read them yet.

use axum::Extension;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::encoding::{VARY, accepts_gzip, gzip, note_gzip};
use super::etag;

/// That an answer takes no memory of its own. Handlers add it to such answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct NeedsNoRoom;

/// An answer that is the same for everybody.
pub(super) struct FixedAnswer {
    content_type: &'static str,
    plain: Bytes,
    gzip: Option<Bytes>,
    tag: Option<HeaderValue>,
}

impl FixedAnswer {
    /// With this text.
    pub(super) fn new(content_type: &'static str, text: String) -> Self {
        let tag = etag::tag_of(text.as_bytes());
        let plain = Bytes::from(text);
        Self {
            content_type,
            gzip: gzip(&plain),
            plain,
            tag: HeaderValue::from_str(&tag).ok(),
        }
    }

    /// The answer to a request with these headers: compressed if that is accepted, and 304 where the client has it already.
    pub(super) fn answer(&self, request: &HeaderMap) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(header::VARY, VARY);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Some(tag) = &self.tag {
            headers.insert(header::ETAG, tag.clone());
            let tag = tag.to_str().unwrap_or_default();
            if etag::is_among(request, tag) {
                return (StatusCode::NOT_MODIFIED, headers).into_response();
            }
        }
        let content_type = HeaderValue::from_static(self.content_type);
        headers.insert(header::CONTENT_TYPE, content_type);
        let compressed = self.gzip.as_ref().filter(|_| accepts_gzip(request));
        if let Some(compressed) = compressed {
            note_gzip(&mut headers, compressed.len());
        }
        let bytes = compressed.unwrap_or(&self.plain).clone();
        (headers, Extension(NeedsNoRoom), bytes).into_response()
    }
}
