//! `orgtrail serve`

use std::io;
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use tokio::net::TcpListener;
use tracing::{info, warn};

use super::setup::{self, Severity};
use super::signals::Signals;
use super::start::load;
use crate::clock::Clock;
use crate::config::Config;
use crate::service::{self, Reloading};
use crate::store::{Holder, StoreError};
use crate::terminal::say;
use crate::tls::Reloaded;

pub(super) async fn run(path: &Path, signals: Signals) -> Result<()> {
    let mut config = load(path)?;
    refuse_what_cannot_work(&config)?;
    let listen = config.http.listen;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| not_listening(&config, &error))?;
    let address = listener.local_addr()?;
    let opened = service::open(config.clone(), Clock::system()).await;
    let service = opened.map_err(|error| match error.downcast_ref() {
        Some(StoreError::InUse(holder)) => in_use(holder),
        _ => error,
    })?;
    let scheme = match config.http.tls {
        Some(_) => "https",
        None => "http",
    };
    say(format!("orgtrail answers on {scheme}://{address}"))?;
    let reloading = service.reloading();
    let running = service.run(listener, signals.stop.clone());
    tokio::pin!(running);
    loop {
        tokio::select! {
            ended = &mut running => return ended,
            () = signals.reload.notified() => reload(path, &mut config, &reloading).await,
        }
    }
}

/// Why the address cannot be had: mostly because a service runs already.
fn not_listening(config: &Config, error: &io::Error) -> anyhow::Error {
    let listen = config.http.listen;
    if error.kind() != io::ErrorKind::AddrInUse {
        return anyhow!("could not listen on {listen}: {error}");
    }
    match Holder::of(&config.data_dir) {
        Some(holder) => in_use(&holder),
        None => anyhow!(
            "could not listen on {listen}: another program does; stop that one, or write another `listen` in `[http]`"
        ),
    }
}

/// That a second service was started, and what to do.
fn in_use(holder: &Holder) -> anyhow::Error {
    anyhow!("{holder}; stop that one first, or write another `data_dir` in this configuration")
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

/// Takes over what a running service can, from the configuration as it is now. Token files are read again by themselves. Other
/// files that a reload reads again belong here.
async fn reload(path: &Path, running: &mut Config, reloading: &Reloading) {
    let newer = match load(path) {
        Ok(newer) => newer,
        Err(error) => {
            warn!(
                config = %path.display(),
                error = %error,
                "SIGHUP: reading the configuration failed. The service continues with the old one."
            );
            return;
        }
    };
    let mut merged = running.clone();
    let changes = merged.take_over(&newer);
    let certificate = match reloading.apply(&merged).await {
        Ok(certificate) => certificate,
        Err(error) => {
            warn!(error = %error, "SIGHUP: the new configuration is unusable. The service continues with the old one.");
            return;
        }
    };
    *running = merged;
    match certificate {
        Some(Reloaded::Refused(error)) => {
            warn!(
                error,
                "SIGHUP: the certificate cannot be used. The one in use stays."
            );
        }
        Some(Reloaded::Renewed(_)) => info!("SIGHUP: the certificate was reloaded."),
        Some(Reloaded::Unchanged) | None => {}
    }
    let (reloaded, restart) = (changes.reloaded.join(", "), changes.restart.join(", "));
    match (reloaded.is_empty(), restart.is_empty()) {
        (true, true) => {
            info!(
                "SIGHUP: the configuration is unchanged. The rules were read again. Token files and the certificate are read again when they change."
            );
        }
        (false, true) => info!(reloaded, "SIGHUP: the configuration was reloaded."),
        (_, false) => warn!(
            reloaded,
            restart,
            "SIGHUP: the configuration has changed, and some keys are used from the next start on. Restart the service to use it."
        ),
    }
}
