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
    let address = listener.local_addr()?;
    let service = service::open(config, Clock::system()).await?;
    say(format!("orgtrail answers on http://{address}"))?;
    service.run(listener, stop).await
}
