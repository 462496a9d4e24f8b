//! Sends a message over HTTP.

use std::error::Error;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::attempt::{SendFailure, TIMEOUT};
use super::network::{Network, Unreachable};
use super::retry;

/// How much of an answer is read, so that the connection can be used again.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// How long that may take.
const DRAIN_WITHIN: Duration = Duration::from_secs(1);

/// How long a connection is kept that is not used. Afterwards the name is resolved and checked again.
const IDLE: Duration = Duration::from_secs(30);

/// An HTTP client of one destination.
pub(super) struct Web {
    client: reqwest::Client,
    network: Network,
}

impl Web {
    /// A client that follows no redirect and uses no proxy: it connects to the addresses that `network` allows, and to no others.
    pub(super) fn new(network: Network) -> Result<Self, SendFailure> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("orgtrail/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .dns_resolver(network.clone())
            .timeout(TIMEOUT)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(|_| SendFailure::new("no HTTP client can be made"))?;
        Ok(Self { client, network })
    }

    /// Posts a body. Any answer but 2xx is a failure.
    pub(super) async fn post(
        &self,
        url: &SecretString,
        headers: HeaderMap,
        body: Vec<u8>,
        now: DateTime<Utc>,
    ) -> Result<(), SendFailure> {
        let url = usable_url(url, &self.network)?;
        // The client asks no resolver for an address that is written in the URL.
        self.network
            .addresses(&url)
            .await
            .map_err(|error| SendFailure::new(error.to_string()))?;
        let request = self.client.post(url).headers(headers).body(body);
        let mut response = request.send().await.map_err(|error| failed(&error))?;
        let status = response.status();
        let asked = response.headers().get(RETRY_AFTER);
        let asked = asked
            .and_then(|header| header.to_str().ok())
            .and_then(|header| retry::asked(header, now));
        // The answer is known; only the connection depends on the rest.
        let _in_time = tokio::time::timeout(DRAIN_WITHIN, drain(&mut response))
            .await
            .is_ok();
        if status.is_success() {
            return Ok(());
        }
        Err(SendFailure {
            error: format!("the response was {}", status.as_u16()),
            asked,
        })
    }
}

/// The headers of a JSON body.
pub(super) fn json_headers(content_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])
}

/// A URL that may be called: `https`, or `http` where private networks are allowed.
pub(super) fn usable_url(url: &SecretString, network: &Network) -> Result<Url, SendFailure> {
    let url = Url::parse(url.expose_secret())
        .map_err(|_| SendFailure::new("its URL is not an address of the web"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if network.allows_private() => Ok(url),
        "http" => Err(SendFailure::new(
            "its URL is not `https`; `allow_private_networks` allows `http`",
        )),
        _ => Err(SendFailure::new("its URL is not `https`")),
    }
}

/// Reads a bounded part of an answer; what it says does not matter.
async fn drain(response: &mut reqwest::Response) {
    let mut read = 0;
    while read < MAX_ANSWER_BYTES {
        match response.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

fn failed(error: &reqwest::Error) -> SendFailure {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(one) = cause {
        if let Some(unreachable) = one.downcast_ref::<Unreachable>() {
            return SendFailure::new(unreachable.to_string());
        }
        cause = one.source();
    }
    SendFailure::new(if error.is_timeout() {
        "no response within 15 seconds"
    } else if error.is_connect() {
        "could not connect"
    } else {
        "the request failed"
    })
}
