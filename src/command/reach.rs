//! Where a command finds what it asks: a server that was named, the service that uses a data directory, or the directory itself.

mod misread;
mod server;
mod token;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args as ClapArgs;
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

pub(super) use self::misread::Misread;
pub(super) use self::server::{Server, get, open};
use crate::store::{Store, announced};
use crate::terminal::note;
use crate::tls::PinnedCertificates;
use crate::wording::quoted;

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
                token: token::token(self.token_file.as_deref())?,
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

#[cfg(test)]
mod tests {
    use super::*;

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
