//! Where a command finds what it asks: a running server, or a data directory.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use crate::store::announced;

/// How long a server is waited for until it takes the call.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How long it may say nothing; a tail without events says so more often.
const SPEAK_WITHIN: Duration = Duration::from_secs(90);

/// Where to ask. Without either, the data directory of the configuration.
#[derive(Debug, ClapArgs)]
pub(super) struct Reach {
    /// Server to ask, such as `http://127.0.0.1:7070`.
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    pub(super) server: Option<Url>,
    /// Data directory to look into; a service may be using it.
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
}

impl Reach {
    /// The data directory to look into, when no server was named.
    pub(super) fn data_dir(&self, config: &Path) -> Result<PathBuf> {
        match &self.data_dir {
            Some(dir) => Ok(dir.clone()),
            None => Ok(super::load(config)
                .context("name a `--server` or a `--data-dir`, or give the configuration")?
                .data_dir),
        }
    }
}

/// The service that uses a data directory, if one answers: at the address in the directory's lock file, and from the same log.
pub(super) fn running(dir: &Path, log_id: Uuid) -> Option<Url> {
    #[derive(Deserialize)]
    struct Ready {
        log_id: Uuid,
    }
    let mut address = announced(dir)?;
    // It listens everywhere; from here it is reached on this machine.
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let server: Url = format!("http://{address}").parse().ok()?;
    let ready = get(&server, "/readyz", &[]).ok()?;
    let ready: Ready = serde_json::from_str(&ready).ok()?;
    (ready.log_id == log_id).then_some(server)
}

/// What a server answers to a question, as text.
pub(super) fn get(server: &Url, path: &str, parameters: &[(&str, &str)]) -> Result<String> {
    super::block_on(async {
        let answer = open(server, path, parameters).await?;
        answer.text().await.context("the answer broke off")
    })
}

/// A server's answer to a question, its body still to be read.
pub(super) async fn open(
    server: &Url,
    path: &str,
    parameters: &[(&str, &str)],
) -> Result<reqwest::Response> {
    let mut url = server
        .join(path)
        .context("the server's address cannot be used")?;
    if !parameters.is_empty() {
        url.query_pairs_mut().extend_pairs(parameters);
    }
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_WITHIN)
        .read_timeout(SPEAK_WITHIN)
        .build()
        .context("could not start a client")?;
    let answer = client
        .get(url)
        .send()
        .await
        .with_context(|| format!("could not reach {server}"))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body = answer.text().await.context("the answer broke off")?;
    let problem: Value = serde_json::from_str(&body).unwrap_or_default();
    let detail = problem["detail"]
        .as_str()
        .unwrap_or("the server does not say why");
    match problem["at"].as_u64() {
        Some(at) => bail!("{detail} (at character {at})"),
        None => bail!("{detail} ({status})"),
    }
}
