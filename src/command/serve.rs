//! `orgtrail serve`

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::service;
use crate::terminal::say;

pub(super) async fn run(config: Config, stop: CancellationToken) -> Result<()> {
    let listen = config.http.listen;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("could not listen on {listen}"))?;
    say(format!(
        "orgtrail answers on http://{}",
        listener.local_addr()?
    ))?;
    service::run(listener, config, Clock::system(), stop).await
}
