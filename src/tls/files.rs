//! The two files: a chain of certificates, and the private key of the first one. Both are checked before they are used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::SectionKind;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys};
use sha2::{Digest as _, Sha256};

use super::certificate::{Certificate, ChainLink, link};
use super::error::TlsError;
use super::pem;
use super::provider::provider;
use crate::private;

/// Where the certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate in PEM, and behind it the certificates of its issuers.
    pub certificate: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

/// A certificate that can be used, with its key.
pub struct Loaded {
    /// What the certificate says.
    pub certificate: Certificate,
    /// Whether every user of this machine can read the key.
    pub is_key_open_to_all: bool,
    pub(super) certified: Arc<CertifiedKey>,
}

/// One certificate of the chain, and the line on which it begins.
struct ChainedCertificate {
    line: usize,
    der: CertificateDer<'static>,
    link: ChainLink,
}

/// Reads both files and checks them. Whether the certificate is valid at some time is not looked at here.
///
/// # Errors
/// The first thing that is wrong.
pub fn load(files: &TlsFiles) -> Result<Loaded, TlsError> {
    let chain = read_chain(&files.certificate)?;
    let key = read_key(&files.key)?;
    check_key(files, &chain, &key)?;
    check_order(&files.certificate, &chain)?;
    let [first, ..] = chain.as_slice() else {
        return Err(no_certificate(&files.certificate));
    };
    let certificate = Certificate::read(first.der.clone())
        .map_err(|error| wrong_certificate(&files.certificate, first.line, &error))?;
    let chain = chain.into_iter().map(|linked| linked.der).collect();
    Ok(Loaded {
        certificate,
        is_key_open_to_all: private::is_open_to_all(&files.key),
        certified: Arc::new(CertifiedKey::new(chain, key)),
    })
}

/// What tells one content of the files from another; `None` while one of them cannot be read.
pub(super) fn fingerprint(files: &TlsFiles) -> Option<[u8; 32]> {
    let mut hash = Sha256::new();
    for path in [&files.certificate, &files.key] {
        let bytes = pem::read(path).ok()?;
        hash.update(bytes.len().to_le_bytes());
        hash.update(&*bytes);
    }
    Some(hash.finalize().into())
}

fn read_chain(path: &Path) -> Result<Vec<ChainedCertificate>, TlsError> {
    let bytes = pem::read(path)?;
    let sections = pem::sections(path, &bytes)?;
    let mut chain = Vec::new();
    for section in &sections {
        if section.label != "CERTIFICATE" {
            continue;
        }
        let (_, der) = section.decode(path)?;
        let link = link(&der).map_err(|error| wrong_certificate(path, section.line, &error))?;
        chain.push(ChainedCertificate {
            line: section.line,
            der: der.into(),
            link,
        });
    }
    match (chain.is_empty(), sections.first()) {
        (false, _) => Ok(chain),
        (true, Some(section)) if section.label.ends_with("PRIVATE KEY") => Err(TlsError::at_line(
            path,
            section.line,
            "this is a private key: name the file with the certificate in `tls_cert`, and this one in `tls_key`",
        )),
        (true, Some(section)) if section.label == "TRUSTED CERTIFICATE" => Err(TlsError::at_line(
            path,
            section.line,
            "this is OpenSSL's own form of a certificate: `openssl x509 -in FILE` converts it",
        )),
        (true, _) => Err(no_certificate(path)),
    }
}

fn read_key(path: &Path) -> Result<Arc<dyn SigningKey>, TlsError> {
    let bytes = pem::read(path)?;
    let sections = pem::sections(path, &bytes)?;
    let mut keys = sections
        .iter()
        .filter(|section| section.label.ends_with("PRIVATE KEY"));
    let Some(section) = keys.next() else {
        return Err(TlsError::in_file(
            path,
            "it has no private key: write one in PEM, which begins with `-----BEGIN PRIVATE KEY-----`",
        ));
    };
    let object = |message| TlsError::at_line(path, section.line, message);
    if section.is_encrypted() {
        return Err(object(
            "this key is encrypted with a password: `openssl pkey -in FILE -out NEW` writes it without one",
        ));
    }
    if let Some(second) = keys.next() {
        let message = "this is a second private key: keep one in the file";
        return Err(TlsError::at_line(path, second.line, message));
    }
    let unusable = "this key cannot be used: write one of ECDSA (P-256, P-384 or P-521), RSA with 2,048 bits or more, or Ed25519; \
                    `openssl pkey -in FILE -out NEW` converts other forms";
    let key = match section.decode(path)? {
        (SectionKind::PrivateKey, der) => PrivateKeyDer::Pkcs8(der.into()),
        (SectionKind::RsaPrivateKey, der) => PrivateKeyDer::Pkcs1(der.into()),
        (SectionKind::EcPrivateKey, der) => PrivateKeyDer::Sec1(der.into()),
        _ => return Err(object(unusable)),
    };
    // What rustls says of a key is left out: it may say something of its content.
    let key = provider().key_provider.load_private_key(key);
    key.map_err(|_| object(unusable))
}

/// Checks that the key is that of the first certificate.
fn check_key(
    files: &TlsFiles,
    chain: &[ChainedCertificate],
    key: &Arc<dyn SigningKey>,
) -> Result<(), TlsError> {
    let fits = |linked: &ChainedCertificate| {
        let one = CertifiedKey::new(vec![linked.der.clone()], Arc::clone(key));
        one.keys_match()
    };
    let path = &files.certificate;
    let Some(first) = chain.first() else {
        return Err(no_certificate(path));
    };
    match fits(first) {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => return Ok(()),
        Err(Error::InconsistentKeys(_)) => {}
        Err(error) => {
            let message = format!("cannot be used: {error}");
            return Err(wrong_certificate(path, first.line, &message));
        }
    }
    if let Some(own) = chain.iter().skip(1).find(|linked| fits(linked).is_ok()) {
        let message = format!(
            "the chain is in the wrong order: the key belongs to the certificate on line {}; write that one first, and behind it the \
             certificate of its issuer",
            own.line
        );
        return Err(TlsError::at_line(path, first.line, message));
    }
    let message = format!(
        "this certificate does not belong to the key in `{}`: name the key that it was made for in `tls_key`, or ask for a new certificate",
        files.key.display()
    );
    Err(TlsError::at_line(path, first.line, message))
}

/// Checks that behind each certificate there is the one of its issuer.
fn check_order(path: &Path, chain: &[ChainedCertificate]) -> Result<(), TlsError> {
    let mut pairs = chain.iter().zip(chain.iter().skip(1));
    match pairs.find(|(one, next)| one.link.issuer != next.link.subject) {
        None => Ok(()),
        Some((one, next)) => Err(TlsError::at_line(
            path,
            next.line,
            format!(
                "the chain is in the wrong order: this certificate is not the issuer's of the one on line {}; write the server's \
                 certificate first, and behind each one that of its issuer",
                one.line
            ),
        )),
    }
}

fn no_certificate(path: &Path) -> TlsError {
    TlsError::in_file(
        path,
        "it has no certificate: write one in PEM, which begins with `-----BEGIN CERTIFICATE-----`",
    )
}

fn wrong_certificate(path: &Path, line: usize, what: &str) -> TlsError {
    TlsError::at_line(path, line, format!("this certificate {what}"))
}
