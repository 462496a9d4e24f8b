//! Where a command finds what it asks: a server that was named, the service that uses a data directory, or the directory itself.

use std::env::VarError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args as ClapArgs;
use reqwest::RequestBuilder;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::exit::WrongUsage;
use crate::owner::{OwnerSecret, USER_HEADER, system_user};
use crate::store::{Store, announced};
use crate::terminal::{columns, note};
use crate::tls::{PinnedCertificates, accepting_only};
use crate::wording::{quoted, root_cause};

/// The environment variable with the token for `--server`.
const TOKEN_VARIABLE: &str = "ORGTRAIL_TOKEN";

/// How long a server is waited for until it takes the call.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How long it may say nothing; a tail without events says so more often.
const SPEAK_WITHIN: Duration = Duration::from_secs(90);

/// How long the service of a data directory is waited for until it says that it is there.
const PROBE_WITHIN: Duration = Duration::from_secs(5);

/// Where to ask. Without either, the data directory of the configuration.
#[derive(Debug, ClapArgs)]
pub(super) struct TargetArgs {
    /// Server to ask, such as `http://127.0.0.1:7070`.
    ///
    /// Without `http://` or `https://`, it is `http://`.
    #[arg(long, value_name = "URL", conflicts_with = "data_dir", value_parser = server_url)]
    pub(super) server: Option<Url>,
    /// File with the token for `--server`; without it, `ORGTRAIL_TOKEN` is the token.
    #[arg(long, value_name = "FILE", requires = "server")]
    pub(super) token_file: Option<PathBuf>,
    /// Data directory to look into; the service that uses it is asked, if one runs.
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
}

/// A mistake in a query, and its place.
#[derive(Debug, thiserror::Error)]
#[error("{message} (at character {at})")]
pub(super) struct Misread {
    message: String,
    /// The character, from 0.
    at: usize,
}

impl Misread {
    pub(super) fn new(message: impl ToString, at: usize) -> Self {
        Self {
            message: message.to_string(),
            at,
        }
    }

    /// The same, with a line of the query below it and a mark below the place. A query of several lines is not shown.
    pub(super) fn point_into(&self, query: &str) -> String {
        if query.is_empty() || query.chars().any(char::is_control) {
            return self.to_string();
        }
        let before: String = query.chars().take(self.at).collect();
        let mark = " ".repeat(columns(&before));
        format!("{self}\n  {query}\n  {mark}^")
    }
}

/// Who answers.
pub(super) enum Answerer {
    /// A server.
    Server(Server),
    /// No service: the data directory is read.
    Dir(PathBuf),
}

impl TargetArgs {
    /// Who is to be asked.
    ///
    /// # Errors
    /// When there is no log in the data directory, or the configuration cannot be read that names it.
    pub(super) fn answerer(&self, config: &Path) -> Result<Answerer> {
        if let Some(url) = &self.server {
            return Ok(Answerer::Server(Server {
                url: url.clone(),
                token: self.token()?,
                home: None,
                pinned: None,
            }));
        }
        let dir = match &self.data_dir {
            Some(dir) => dir.clone(),
            None => {
                super::start::load(config)
                    .context("name a `--server` or a `--data-dir`, or give the configuration")?
                    .data_dir
            }
        };
        let log_id = Store::open_beside(&dir)?.log_id();
        Ok(match running(&dir, log_id)? {
            Some(server) => Answerer::Server(server),
            None => Answerer::Dir(dir),
        })
    }
}

impl TargetArgs {
    /// The token for the server that was named, if one is given.
    fn token(&self) -> Result<Option<SecretString>> {
        let (text, place) = match &self.token_file {
            Some(path) => {
                let place = format!("`{}`", path.display());
                let text = std::fs::read_to_string(path);
                (
                    text.with_context(|| format!("could not read {place}"))?,
                    place,
                )
            }
            None => match std::env::var(TOKEN_VARIABLE) {
                Ok(text) => (text, TOKEN_VARIABLE.to_owned()),
                Err(VarError::NotPresent) => return Ok(None),
                Err(VarError::NotUnicode(_)) => bail!("{TOKEN_VARIABLE} is not text"),
            },
        };
        token_in(&text, &place).map(Some)
    }
}

/// The token in a text from `place`. A text that no header can have is never shown.
fn token_in(text: &str, place: &str) -> Result<SecretString> {
    let token = text.trim();
    if token.is_empty() {
        bail!("{place} has no token");
    }
    if token.starts_with("Bearer ") {
        bail!("{place} starts with `Bearer`: write the token alone");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("{place} has more than one token in it: write the token alone");
    }
    Ok(token.to_owned().into())
}

/// A server's address as people write it.
fn server_url(text: &str) -> Result<Url, String> {
    let example = "write it as in `http://127.0.0.1:7070`";
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url: Url = whole
        .parse()
        .map_err(|error| format!("{} is not an address: {error}: {example}", quoted(text)))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!(
            "a server is not asked by {}: {example}",
            quoted(other)
        )),
    }
}

/// A server that is asked.
pub(super) struct Server {
    url: Url,
    /// Sent to a server that was named.
    token: Option<SecretString>,
    /// Of the service of a data directory: where it is, and the address that it had. Its owner needs no token.
    home: Option<(PathBuf, SocketAddr)>,
    /// Of such a service that speaks TLS: the certificates that it may have.
    pinned: Option<PinnedCertificates>,
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

/// The service that uses a data directory, if one answers: at the address in the directory's lock file, and from the same log.
fn running(dir: &Path, log_id: Uuid) -> Result<Option<Server>> {
    #[derive(Deserialize)]
    struct ReadyAnswer {
        log_id: Uuid,
    }
    let Some(address) = announced(dir) else {
        return Ok(None);
    };
    let mut reached = address;
    // It listens everywhere; from here it is reached on this machine.
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => reached.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => reached.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let pinned = PinnedCertificates::read(dir);
    let scheme = if pinned.is_some() { "https" } else { "http" };
    let unproven = Server {
        url: format!("{scheme}://{reached}").parse()?,
        token: None,
        home: None,
        pinned,
    };
    let asked = super::start::block_on(async {
        let ready = async {
            let answer = open(&unproven, "/readyz", &[]).await?;
            answer.text().await.context("the answer broke off")
        };
        Ok(tokio::time::timeout(PROBE_WITHIN, ready).await)
    })?;
    let Ok(answer) = asked else {
        note(format!(
            "The service that uses `{}` does not answer at {unproven}; this is what the disk says.",
            dir.display()
        ))?;
        return Ok(None);
    };
    // After a crash, no program listens at that address, or another one.
    let ready = answer.ok();
    let ready = ready.and_then(|text| serde_json::from_str::<ReadyAnswer>(&text).ok());
    let is_ours = ready.is_some_and(|ready| ready.log_id == log_id);
    Ok(is_ours.then(|| Server {
        home: Some((dir.to_owned(), address)),
        ..unproven
    }))
}

/// What a server answers to a question, as text.
pub(super) fn get(server: &Server, path: &str, parameters: &[(&str, &str)]) -> Result<String> {
    super::start::block_on(async {
        let answer = open(server, path, parameters).await?;
        answer.text().await.context("the answer broke off")
    })
}

/// A server's answer to a question, its body still to be read.
pub(super) async fn open(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_a_query_is_pointed_at() {
        let misread = Misread::new("this parenthesis is not closed", 6);
        let said = "this parenthesis is not closed (at character 6)";
        assert_eq!(
            misread.point_into("東京 a (b"),
            format!("{said}\n  東京 a (b\n          ^")
        );
        assert_eq!(misread.point_into(""), said);
        assert_eq!(misread.point_into("a\nb"), said);
    }

    #[test]
    fn a_token_is_one_word_and_is_never_shown() {
        assert_eq!(
            token_in(" otr_abc\n", "F").unwrap().expose_secret(),
            "otr_abc"
        );
        for wrong in [
            "",
            " \n",
            "Bearer otr_abc",
            "otr_abc otr_def",
            "otr_\u{1}abc",
        ] {
            let refused = token_in(wrong, "F").unwrap_err().to_string();
            assert!(
                refused.starts_with('F') && !refused.contains("otr_"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_server_needs_no_scheme() {
        for (text, url) in [
            ("127.0.0.1:7070", "http://127.0.0.1:7070/"),
            ("localhost:7070", "http://localhost:7070/"),
            ("[::1]:7070", "http://[::1]:7070/"),
            ("http://127.0.0.1:7070", "http://127.0.0.1:7070/"),
            ("https://log.example.com", "https://log.example.com/"),
        ] {
            assert_eq!(server_url(text).unwrap().as_str(), url, "{text}");
        }
        for wrong in ["", "ftp://127.0.0.1", "http://", "127.0.0.1:70700", "a b"] {
            let refused = server_url(wrong).unwrap_err();
            assert!(
                refused.contains("`http://127.0.0.1:7070`"),
                "{wrong}: {refused}"
            );
        }
    }
}
