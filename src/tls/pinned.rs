//! How commands on this machine know the service's certificate: its hash is in the data directory.
//!
//! The address that they connect to is seldom a name of the certificate, and who issued it may be unknown on this machine. So they
//! take exactly the certificate that the owner of the data directory has noted, and the service proves that it has the key.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest as _, Sha256};

use super::provider::provider;
use crate::private;

/// The file in the data directory.
const FILE_NAME: &str = "orgtrail.certificate";

/// The most bytes that are read of it: it has two hashes.
const MAX_FILE_BYTES: u64 = 1_024;

/// The hashes of the certificates that a service may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedCertificates(Vec<String>);

impl PinnedCertificates {
    pub(super) fn of<'c>(certificates: impl Iterator<Item = &'c CertificateDer<'static>>) -> Self {
        Self(certificates.map(hash).collect())
    }

    /// Those of the service that uses a data directory; `None` when it has none, so speaks without TLS.
    #[must_use]
    pub fn read(dir: &Path) -> Option<Self> {
        let file = File::open(dir.join(FILE_NAME)).ok()?;
        let mut text = String::new();
        file.take(MAX_FILE_BYTES).read_to_string(&mut text).ok()?;
        Some(Self(text.lines().map(ToOwned::to_owned).collect()))
    }

    /// Removes them from a data directory, whose service speaks without TLS.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(dir: &Path) -> io::Result<()> {
        match fs::remove_file(dir.join(FILE_NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn save(&self, dir: &Path) -> io::Result<()> {
        private::swap_file(&dir.join(FILE_NAME), self.0.join("\n").as_bytes())
    }
}

/// TLS for a client that takes these certificates and no others, whatever their names and issuers.
///
/// # Errors
/// When TLS cannot be set up.
pub fn accepting_only(pinned: PinnedCertificates) -> Result<ClientConfig, Error> {
    let provider = provider();
    let verifier = Arc::new(Verifier {
        pinned,
        provider: Arc::clone(&provider),
    });
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// Compares a server's certificate with those that are pinned. That the server has the key is proven by its signature, as always.
#[derive(Debug)]
struct Verifier {
    pinned: PinnedCertificates,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.pinned.0.contains(&hash(end_entity)) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The SHA-256 of a certificate, in hexadecimal.
fn hash(der: &CertificateDer<'_>) -> String {
    let hash = Sha256::digest(der);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
