//! `orgtrail serve`

use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use tracing::{info, warn};

use super::load;
use super::setup::{self, Severity};
use super::signals::Signals;
use crate::clock::Clock;
use crate::config::Config;
use crate::service;
use crate::terminal::say;

pub(super) async fn run(path: &Path, signals: Signals) -> Result<()> {
    let config = load(path)?;
    refuse_what_cannot_work(&config)?;
    let listen = config.http.listen;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("could not listen on {listen}"))?;
    let address = listener.local_addr()?;
    let service = service::open(config.clone(), Clock::system()).await?;
    say(format!("orgtrail answers on http://{address}"))?;
    let running = service.run(listener, signals.stop.clone());
    tokio::pin!(running);
    loop {
        tokio::select! {
            ended = &mut running => return ended,
            () = signals.reload.notified() => reload(path, &config),
        }
    }
}

/// What can never work is refused in the words of `orgtrail check`; all else that is wrong is logged.
fn refuse_what_cannot_work(config: &Config) -> Result<()> {
    let mut never = Vec::new();
    for finding in setup::look(config) {
        match finding.severity {
            Severity::Never => never.push(finding.message),
            Severity::Problem | Severity::Warning => warn!("{}", finding.message),
        }
    }
    match never.as_slice() {
        [] => Ok(()),
        [one] => bail!("{one}"),
        several => bail!(
            "this cannot work, for {} reasons:\n  {}",
            several.len(),
            several.join("\n  ")
        ),
    }
}

/// Token files are read again by themselves when they change. What is in the configuration takes effect with a restart.
fn reload(path: &Path, running: &Config) {
    match load(path) {
        Ok(config) if config == *running => {
            info!("SIGHUP: nothing needs a reload. Token files are read again when they change.");
        }
        Ok(_) => warn!(
            config = %path.display(),
            "SIGHUP: the configuration has changed. Restart the service to use it."
        ),
        Err(error) => warn!(
            config = %path.display(),
            error = %error,
            "SIGHUP: the configuration cannot be read. The service goes on with what it has."
        ),
    }
}
