//! The certificate by which clients reach the service over TLS: read from two files, checked, and taken over again when they
//! change, without a restart.
//!
//! Only here is rustls used. How connections are accepted is `http`'s business; which file is named where, the configuration's.

mod certificate;
mod current;
mod error;
mod files;
mod pem;
mod pinned;
mod provider;
#[cfg(test)]
mod tests;

pub use self::certificate::{Certificate, Validity};
pub use self::current::{Reloaded, Tls, TlsStatus};
pub use self::error::TlsError;
pub use self::files::{Loaded, TlsFiles, load};
pub use self::pinned::{PinnedCertificates, accepting_only};
