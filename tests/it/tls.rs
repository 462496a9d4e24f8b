//! The service over TLS: handshakes, certificates that are renewed or cannot be used, HTTP/2 and its limits.

mod authority;
mod handshakes;
mod http2;
mod mail;
mod renewal;
mod secrets;
mod setup;
mod unread;
