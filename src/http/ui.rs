//! The search page: `/`, and the files that it loads from a folder named by their hash. They hold nothing of the log, and need
//! no credential.
//!
//! `build.rs` makes the files of the folder `ui` and their table. Without the feature `ui` the address says what is missing.

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::etag;
use super::openapi::Route;
use super::problem::Problem;

#[cfg(feature = "ui")]
include!(concat!(env!("OUT_DIR"), "/ui.rs"));

#[cfg(not(feature = "ui"))]
const VERSION: &str = "";
#[cfg(not(feature = "ui"))]
const FILES: &[PageFile] = &[];

/// The document that the page begins with.
const DOCUMENT: &str = "index.html";

/// The page loads its own files and asks this service, and nothing else. No text becomes a script or markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The document names the files of this version, so that it is asked for again each time.
const OF_DOCUMENT: &str = "no-cache";
/// Another version has other addresses.
const OF_FILES: &str = "public, max-age=31536000, immutable";

/// What a program says that was built without the page.
const MISSING: &str = "This program was built without the search page: the Cargo feature `ui` was off.\n\
    The API is described at /docs.\n";

/// A file as it is served.
struct PageFile {
    name: &'static str,
    content_type: &'static str,
    /// The beginning of its hash.
    tag: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

/// The routes.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(document))
        .route("/ui/{version}/{file}", get(file))
}

/// The description of the page. Its files are no part of the API.
pub(super) fn describe() -> Vec<Route> {
    vec![
        Route::get("/", "read_page", "Open the search page")
            .answers_text("text/html; charset=utf-8", "The page.")
            .header("Content-Security-Policy")
            .example("The page", "/", &[]),
    ]
}

/// `GET /`
async fn document(headers: HeaderMap) -> Response {
    match named(DOCUMENT) {
        Some(document) => document.answer(&headers, OF_DOCUMENT),
        None => (StatusCode::NOT_FOUND, MISSING).into_response(),
    }
}

/// `GET /ui/{version}/{file}`
async fn file(Path((version, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    match named(&name).filter(|_| version == VERSION) {
        Some(file) => file.answer(&headers, OF_FILES),
        None => Problem::unknown_route(&format!("/ui/{version}/{name}")).into_response(),
    }
}

fn named(name: &str) -> Option<&'static PageFile> {
    FILES.iter().find(|file| file.name == name)
}

impl PageFile {
    /// The file, compressed if the client takes that; 304 if the client has it.
    fn answer(&self, request: &HeaderMap, cache: &'static str) -> Response {
        let is_packed = takes_gzip(request);
        // A strong tag names one sequence of bytes.
        let tag = format!("\"{}{}\"", self.tag, if is_packed { "-gzip" } else { "" });
        let is_known = etag::is_among(request, &tag);
        let mut headers = HeaderMap::new();
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(ETAG, tag);
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        if is_known {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if is_packed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        (headers, if is_packed { self.gzip } else { self.plain }).into_response()
    }
}

/// Whether a client takes an answer that is compressed by gzip.
fn takes_gzip(request: &HeaderMap) -> bool {
    let lists = request.get_all(ACCEPT_ENCODING).iter();
    let lists = lists.filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_gzip = matches!(name.trim().to_ascii_lowercase().as_str(), "gzip" | "*");
        let weight = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
        is_gzip && !matches!(weight, Some(Ok(weight)) if weight <= 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (list, takes) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, br", false),
            ("br", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(list));
            assert_eq!(takes_gzip(&headers), takes, "{list}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
