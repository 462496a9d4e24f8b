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
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use self::certificate::{Certificate, Validity};
pub use self::current::{Reloaded, Tls, TlsStatus};
pub use self::error::TlsError;
pub use self::files::{Loaded, TlsFiles, load};
pub use self::pinned::{PinnedCertificates, accepting_only};

/// The cryptography, the same as of the client that asks Cloudflare.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
