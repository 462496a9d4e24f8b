//! Compression of answers with gzip: whole answers as bytes, so that no encoder is kept for a client that does not read; streams while
//! there is an encoder for them.

use std::io::Write as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::Semaphore;
use tower_http::compression::Predicate;

use super::holding_body::HoldingBody;
use crate::task;

/// The most streams that are compressed at once; each encoder has about 300 KiB. Others are sent as they are.
pub(super) const MAX_ENCODERS: usize = 16;

/// Smaller answers are not compressed: that would save little.
const LEAST_BYTES: usize = 1024;

/// Answers above this size are compressed where it may block.
const QUICK_BYTES: usize = 32 * 1024;

/// What compressed answers say of their form.
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// What answers say that have another form for clients that accept less.
pub(super) const VARY: HeaderValue = HeaderValue::from_static("accept-encoding");

/// Whether a request accepts gzip.
pub(super) fn accepts_gzip(request: &HeaderMap) -> bool {
    let accepted = request.get_all(header::ACCEPT_ENCODING).iter();
    let accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().to_ascii_lowercase();
        let weight = weight.strip_prefix("q=").map(str::parse::<f32>);
        let is_wanted = matches!(weight, Some(Ok(weight)) if weight > 0.0);
        name.trim().eq_ignore_ascii_case("gzip") && is_wanted
    })
}

/// The bytes of an answer, compressed if its client accepts that and it is worth it; says so in `headers`.
pub(super) async fn compressed(bytes: Bytes, is_accepted: bool, headers: &mut HeaderMap) -> Bytes {
    if bytes.len() < LEAST_BYTES || headers.contains_key(header::CONTENT_ENCODING) {
        return bytes;
    }
    headers.append(header::VARY, VARY);
    if !is_accepted {
        return bytes;
    }
    let compressed = if bytes.len() <= QUICK_BYTES {
        gzip(&bytes)
    } else {
        let bytes = bytes.clone();
        task::blocking(move || gzip(&bytes)).await
    };
    let Some(compressed) = compressed else {
        return bytes;
    };
    note_gzip(headers, compressed.len());
    compressed
}

/// Says that an answer is compressed, to so many bytes.
pub(super) fn note_gzip(headers: &mut HeaderMap, bytes: usize) {
    headers.insert(header::CONTENT_ENCODING, GZIP);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
}

/// Compresses bytes; `None` if that fails.
pub(super) fn gzip(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).ok()?;
    Some(encoder.finish().ok()?.into())
}

/// Lets a stream be compressed, if its client accepts that and there is an encoder for it.
pub(super) fn allow_encoder(
    response: Response,
    is_accepted: bool,
    encoders: &Arc<Semaphore>,
) -> Response {
    let permit = is_accepted.then(|| Arc::clone(encoders).try_acquire_owned());
    let Some(Ok(permit)) = permit else {
        return response;
    };
    let mut response = response.map(|body| {
        Body::new(HoldingBody {
            body,
            _held: permit,
        })
    });
    response.extensions_mut().insert(MayEncode);
    response
}

/// That a stream has an encoder.
#[derive(Clone, Copy)]
struct MayEncode;

/// Which answers the layer around all of them compresses: streams that have an encoder.
#[derive(Clone, Copy)]
pub(super) struct HasEncoder;

impl Predicate for HasEncoder {
    fn should_compress<B>(&self, response: &axum::http::Response<B>) -> bool
    where
        B: hyper::body::Body,
    {
        response.extensions().get::<MayEncode>().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(text));
        accepts_gzip(&headers)
    }

    #[test]
    fn gzip_is_sent_to_clients_that_accept_it() {
        for yes in ["gzip", "br, gzip", "GZIP;q=0.1", "deflate , gzip ; q=1.000"] {
            assert!(accepts(yes), "{yes}");
        }
        for no in [
            "",
            "br",
            "gzip;q=0",
            "gzip; q=0.000",
            "gzipped",
            "gzip;q=much",
        ] {
            assert!(!accepts(no), "{no}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn only_so_many_streams_are_compressed_at_once() {
        let encoders = Arc::new(Semaphore::new(1));
        let stream = || Response::new(Body::empty());
        let first = allow_encoder(stream(), true, &encoders);
        assert!(HasEncoder.should_compress(&first));
        assert!(!HasEncoder.should_compress(&allow_encoder(stream(), true, &encoders)));
        drop(first);
        assert!(!HasEncoder.should_compress(&allow_encoder(stream(), false, &encoders)));
        assert!(HasEncoder.should_compress(&allow_encoder(stream(), true, &encoders)));
    }
}
