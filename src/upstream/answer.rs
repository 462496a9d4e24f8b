//! What an answer says before its body is understood: its status, its `Date`, how long to wait.

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail_cloudflare::error::CREDENTIAL_CODES;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use super::envelope::Errors;
use super::error::UpstreamError;
use crate::mask::Mask;
use crate::wording::causes;

/// The most that is read of an answer that is an error, in bytes.
const MAX_ERROR_BYTES: usize = 64 * 1024;

pub(super) fn bearer(token: &SecretString) -> Result<HeaderValue, UpstreamError> {
    let value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
    let mut value = value.map_err(|_| {
        let why = "the token holds characters that no header can carry";
        UpstreamError::NoToken(why.to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) async fn read_body(
    mut response: Response,
    limit: usize,
) -> Result<Vec<u8>, UpstreamError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                return Err(UpstreamError::PageTooLarge);
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => {
                return Err(UpstreamError::Transient(format!(
                    "the answer broke off: {}",
                    causes(&error.without_url())
                )));
            }
        }
    }
}

/// What an answer that is neither 200 nor 429 means.
pub(super) async fn failure(
    status: StatusCode,
    response: Response,
    has_cursor: bool,
    mask: &Mask,
) -> UpstreamError {
    let body = read_body(response, MAX_ERROR_BYTES)
        .await
        .unwrap_or_default();
    let said = Errors::read(&body, mask);
    let message = format!("upstream answered {status}{said}");
    let is_credential = said
        .codes
        .iter()
        .any(|code| CREDENTIAL_CODES.contains(code));
    match status {
        StatusCode::UNAUTHORIZED => UpstreamError::Unauthorized(message),
        // What such a credential may read is not known of the others.
        StatusCode::FORBIDDEN => UpstreamError::Forbidden(message),
        StatusCode::BAD_REQUEST if is_credential => UpstreamError::Unauthorized(message),
        StatusCode::BAD_REQUEST | StatusCode::GONE if has_cursor => {
            UpstreamError::CursorRefused(message)
        }
        StatusCode::BAD_REQUEST => UpstreamError::WindowRefused(message),
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => UpstreamError::Transient(message),
        status if status.is_server_error() => UpstreamError::Transient(message),
        _ => UpstreamError::Unexpected(message),
    }
}

pub(super) fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}

fn http_date(text: &str) -> Option<DateTime<Utc>> {
    httpdate::parse_http_date(text)
        .ok()
        .map(DateTime::<Utc>::from)
}

/// How long a 429 says to wait, in seconds or until a date by upstream's own clock; `None` when it says neither.
pub(super) fn retry_after(headers: &HeaderMap, upstream_now: DateTime<Utc>) -> Option<TimeDelta> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than fits is more than is obeyed, too.
        return Some(TimeDelta::seconds(
            text.parse::<u32>().unwrap_or(u32::MAX).into(),
        ));
    }
    Some(http_date(text)? - upstream_now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_in_seconds_or_by_a_date() {
        let now = http_date("Mon, 03 Aug 2026 08:00:00 GMT").unwrap();
        let check = |text: &'static str, seconds: Option<i64>| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            let found = retry_after(&headers, now).map(|wait| wait.num_seconds());
            assert_eq!(found, seconds, "{text}");
        };
        check("187", Some(187));
        check(" 0 ", Some(0));
        check("Mon, 03 Aug 2026 08:01:00 GMT", Some(60));
        check("Mon, 03 Aug 2026 07:00:00 GMT", Some(-3_600));
        check("99999999999999999999", Some(u32::MAX.into()));
        for text in ["soon", "-5", "1.5", "NaN", ""] {
            check(text, None);
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
