//! The signals that a process gets: SIGINT and SIGTERM stop it in order, and SIGHUP stops what a person started in a terminal,
//! while a service takes it as "reload".

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Signals that follow the first one this soon are taken for the same one.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// What signals ask for.
#[derive(Debug, Clone, Default)]
pub(super) struct Signals {
    /// Cancelled by the first signal to stop.
    pub(super) stop: CancellationToken,
    /// Notified by each signal to reload.
    pub(super) reload: Arc<Notify>,
}

/// What SIGHUP means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hangup {
    /// The terminal has gone: stop.
    Stop,
    /// Read again what can be read again.
    Reload,
}

/// What comes of one signal after another.
struct Stopping {
    stop: CancellationToken,
    first: Option<Instant>,
}

impl Stopping {
    /// The first signal stops in order; another one, later, ends the process at once. Some supervisors send the same signal
    /// twice within a moment: that is one.
    fn signal(&mut self) {
        match self.first {
            None => {
                self.first = Some(Instant::now());
                self.stop.cancel();
            }
            Some(first) if first.elapsed() >= SAME_SIGNAL => std::process::exit(1),
            Some(_) => {}
        }
    }
}

/// Listens for signals from here on.
///
/// # Errors
/// When the system does not let us.
#[cfg(unix)]
pub(super) fn listen(hangup: Hangup) -> Result<Signals> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals as Incoming;

    let signals = Signals::default();
    let mut incoming =
        Incoming::new([SIGINT, SIGTERM, SIGHUP]).context("could not listen for signals")?;
    let mut stopping = Stopping {
        stop: signals.stop.clone(),
        first: None,
    };
    let reload = Arc::clone(&signals.reload);
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in incoming.forever() {
                match (signal, hangup) {
                    (SIGHUP, Hangup::Reload) => reload.notify_one(),
                    _ => stopping.signal(),
                }
            }
        })
        .context("could not listen for signals")?;
    Ok(signals)
}

/// Listens for signals from here on. There is no SIGHUP on such a system.
///
/// # Errors
/// When the system does not let us.
#[cfg(not(unix))]
pub(super) fn listen(_hangup: Hangup) -> Result<Signals> {
    let signals = Signals::default();
    let mut stopping = Stopping {
        stop: signals.stop.clone(),
        first: None,
    };
    ctrlc::set_handler(move || stopping.signal()).context("could not listen for signals")?;
    Ok(signals)
}
