//! Tells the service manager how the service is doing, by the protocol of `sd_notify(3)`: datagrams to the socket that
//! `NOTIFY_SOCKET` names. Without that variable nothing is sent.
//!
//! It does not know what the service does. Where it cannot send, the service goes on.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

/// The longest status that is sent: one datagram holds it easily.
const MAX_STATUS_LEN: usize = 256;

/// The service manager that started this process, if one did that wants to hear.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<OsString>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// As the environment of this process says.
    #[must_use]
    pub fn from_environment() -> Self {
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_for_us =
            number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let watchdog = number("WATCHDOG_USEC").filter(|micros| is_for_us && *micros > 0);
        Self {
            watchdog: watchdog
                .filter(|_| socket.is_some())
                .map(Duration::from_micros),
            socket,
        }
    }

    /// Within which time the service manager wants to hear that all is well; `None`: never.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The service answers.
    pub fn ready(&self, status: &str) {
        self.send("READY=1", Some(status));
    }

    /// All is well.
    pub fn alive(&self, status: &str) {
        self.send("WATCHDOG=1", Some(status));
    }

    /// What the service is doing, without saying that all is well.
    pub fn status(&self, status: &str) {
        self.send("", Some(status));
    }

    /// The service stops.
    pub fn stopping(&self) {
        self.send("STOPPING=1", None);
    }

    fn send(&self, state: &str, status: Option<&str>) {
        let Some(socket) = &self.socket else { return };
        let mut message = state.to_owned();
        if let Some(status) = status {
            let status = &status[..status.floor_char_boundary(MAX_STATUS_LEN)];
            // A line is a variable.
            let status = status.replace(['\n', '\r'], " ");
            let _never_fails = write!(message, "\nSTATUS={status}");
        }
        if let Err(error) = send_to(socket, message.trim_start().as_bytes()) {
            tracing::debug!(error = %error, "The service manager could not be notified.");
        }
    }
}

#[cfg(unix)]
fn send_to(socket: &OsString, message: &[u8]) -> io::Result<()> {
    let from = std::os::unix::net::UnixDatagram::unbound()?;
    // A manager that does not read must not hold up the service.
    from.set_nonblocking(true)?;
    from.send_to_addr(message, &address(socket)?)?;
    Ok(())
}

#[cfg(not(unix))]
fn send_to(_socket: &OsString, _message: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A path, or after `@` a name in Linux's abstract namespace.
#[cfg(unix)]
fn address(socket: &OsString) -> io::Result<std::os::unix::net::SocketAddr> {
    use std::os::unix::net::SocketAddr;

    #[cfg(target_os = "linux")]
    if let [b'@', name @ ..] = socket.as_encoded_bytes() {
        use std::os::linux::net::SocketAddrExt as _;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(socket)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_the_protocol_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor {
            socket: Some(path.into()),
            watchdog: None,
        };
        let received = || {
            let mut buffer = [0; 1_024];
            let len = manager.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..len].to_vec()).unwrap()
        };
        supervisor.ready("5 events\nREADY=0");
        assert_eq!(received(), "READY=1\nSTATUS=5 events READY=0");
        supervisor.alive(&"é".repeat(200));
        assert_eq!(
            received(),
            format!("WATCHDOG=1\nSTATUS={}", "é".repeat(128))
        );
        supervisor.status("late");
        assert_eq!(received(), "STATUS=late");
        supervisor.stopping();
        assert_eq!(received(), "STOPPING=1");
        // One that has gone stops nothing.
        drop(manager);
        supervisor.stopping();
        Supervisor::default().ready("");
    }
}
