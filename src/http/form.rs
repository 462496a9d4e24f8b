//! Questions that are sent as a form: its fields become the parameters of the request, as if they were in the URL.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::uri::PathAndQuery;
use axum::http::{Method, Uri, header};
use axum::routing::{MethodRouter, get};
use url::form_urlencoded;

use super::problem::Problem;

/// What a form is, among the types of bodies.
const FORM: &str = "application/x-www-form-urlencoded";

/// The most bytes of parameters: a URL can have 64 KiB.
const MAX_PARAMETER_BYTES: usize = 60_000;

/// A question that can be asked with either method.
pub(super) fn by_get_or_post<H, T, S>(handler: H) -> MethodRouter<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    get(handler.clone()).post(handler)
}

/// The same request with the fields of its form as parameters; a request of another method as it is. The body is in memory already.
pub(super) async fn as_parameters(request: Request) -> Result<Request, Problem> {
    if request.method() != Method::POST {
        return Ok(request);
    }
    let (mut parts, body) = request.into_parts();
    let form = to_bytes(body, usize::MAX).await;
    let form = form.map_err(|_| Problem::internal())?;
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_form = kind
        .split(';')
        .next()
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM));
    if !is_form && !form.is_empty() {
        return Err(Problem::no_form());
    }
    let mut query = parts.uri.query().unwrap_or_default().to_owned();
    for (name, value) in form_urlencoded::parse(&form) {
        if !query.is_empty() {
            query.push('&');
        }
        // Encoded anew: what clients send need not be what a URL may have.
        let pair = form_urlencoded::Serializer::new(String::new())
            .append_pair(&name, &value)
            .finish();
        query.push_str(&pair);
        if query.len() > MAX_PARAMETER_BYTES {
            return Err(Problem::too_large_a_body(MAX_PARAMETER_BYTES));
        }
    }
    if !query.is_empty() {
        let path = format!("{}?{query}", parts.uri.path());
        // The path may be long as well.
        let too_long = |_| Problem::too_large_a_body(MAX_PARAMETER_BYTES);
        let path = PathAndQuery::try_from(path).map_err(too_long)?;
        let mut uri = parts.uri.into_parts();
        uri.path_and_query = Some(path);
        parts.uri = Uri::from_parts(uri).map_err(|_| Problem::internal())?;
    }
    Ok(Request::from_parts(parts, Body::empty()))
}
