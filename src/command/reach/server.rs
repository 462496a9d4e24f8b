//! A server that a command asks: what proves who asks, and what its answers and failures mean.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::RequestBuilder;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use super::misread::Misread;
use crate::command::exit::WrongUsage;
use crate::owner::{OwnerSecret, USER_HEADER, system_user};
use crate::store::announced;
use crate::tls::{PinnedCertificates, accepting_only};
use crate::wording::root_cause;

/// How long a server is waited for until it takes the call.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How long it may say nothing; a tail without events says so more often.
const SPEAK_WITHIN: Duration = Duration::from_secs(90);

/// A server that is asked.
pub(in crate::command) struct Server {
    pub(super) url: Url,
    /// Sent to a server that was named.
    pub(super) token: Option<SecretString>,
    /// Of the service of a data directory: where it is, and the address that it had. Its owner needs no token.
    pub(super) home: Option<(PathBuf, SocketAddr)>,
    /// Of such a service that speaks TLS: the certificates that it may have.
    pub(super) pinned: Option<PinnedCertificates>,
}

impl Server {
    /// The request with what proves that the owner of the data directory asks, as long as the service of that directory answers
    /// at this address.
    fn prove(&self, request: RequestBuilder) -> RequestBuilder {
        if let Some(token) = &self.token {
            return request.bearer_auth(token.expose_secret());
        }
        let home = self.home.as_ref();
        let home = home.filter(|(dir, address)| announced(dir) == Some(*address));
        match home.and_then(|(dir, _)| OwnerSecret::read(dir)) {
            Some(secret) => {
                let user = system_user().unwrap_or_default();
                // The service checks it, too. A name that no header can have is left out.
                let user = HeaderValue::from_str(&user).unwrap_or(HeaderValue::from_static(""));
                request
                    .bearer_auth(secret.expose())
                    .header(USER_HEADER, user)
            }
            None => request,
        }
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

/// What a server answers to a question, as text.
pub(in crate::command) fn get(
    server: &Server,
    path: &str,
    parameters: &[(&str, &str)],
) -> Result<String> {
    crate::command::start::block_on(async {
        let answer = open(server, path, parameters).await?;
        answer.text().await.context("the answer broke off")
    })
}

/// A server's answer to a question, its body still to be read.
pub(in crate::command) async fn open(
    server: &Server,
    path: &str,
    parameters: &[(&str, &str)],
) -> Result<reqwest::Response> {
    let mut url = server
        .url
        .join(path)
        .context("the server's address cannot be used")?;
    if !parameters.is_empty() {
        url.query_pairs_mut().extend_pairs(parameters);
    }
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_WITHIN)
        .read_timeout(SPEAK_WITHIN)
        .redirect(reqwest::redirect::Policy::none());
    // The owner's secret goes to the service of this machine alone.
    let client = match &server.home {
        Some(_) => client.no_proxy(),
        None => client,
    };
    let client = match &server.pinned {
        Some(pinned) => {
            let tls = accepting_only(pinned.clone()).context("could not set up TLS")?;
            client.no_proxy().tls_backend_preconfigured(tls)
        }
        None => client,
    };
    let client = client.build().context("could not start a client")?;
    let answer = server
        .prove(client.get(url))
        .send()
        .await
        .map_err(|error| unreached(server, &error))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body = answer.text().await.context("the answer broke off")?;
    let problem: Value = serde_json::from_str(&body).unwrap_or_default();
    let Some(detail) = problem["detail"].as_str() else {
        bail!("{server} answered {status}, and does not say why: is an orgtrail there?");
    };
    match problem["at"].as_u64().map(usize::try_from) {
        Some(Ok(at)) => Err(Misread::new(detail, at).into()),
        _ if problem["parameter"].is_string() => Err(WrongUsage(detail.to_owned()).into()),
        _ => bail!("{detail} ({status})"),
    }
}

/// That no answer came, and what may be the cause.
fn unreached(server: &Server, error: &reqwest::Error) -> anyhow::Error {
    let cause = root_cause(error);
    let hint = match (error.is_connect(), server.url.scheme()) {
        (true, "https") if cause.contains("CaUsedAsEndEntity") => {
            ": it is an authority's own certificate: make one for the server with `basicConstraints=CA:FALSE`"
        }
        (true, "https") if cause.contains("certificate") => {
            ": its certificate is not trusted here: name the file of its authority in SSL_CERT_FILE"
        }
        (true, "https") => ": does it speak TLS? Else write `http://`",
        (true, _) => ": is the service running, and at this address?",
        (false, _) => "",
    };
    anyhow!("could not reach {server}: {cause}{hint}")
}
