//! Certificates for tests: an authority, what it issues, and clients that trust it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use orgtrail::clock::Clock;
use orgtrail::tls::{Tls, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The name that certificates are for, unless a test wants others.
pub(super) const NAME: &str = "localhost";

/// Who issues certificates.
pub(super) struct Authority {
    params: CertificateParams,
    key: KeyPair,
    root: CertificateDer<'static>,
    pem: String,
}

/// A certificate with its issuer's, and its key, in PEM.
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: String,
    pub(super) der: CertificateDer<'static>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Tests of orgtrail");
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        Self {
            root: root.der().clone(),
            pem: root.pem(),
            params,
            key,
        }
    }

    /// A certificate for these names, valid between two days from today.
    pub(super) fn issue(&self, names: &[&str], from: i64, until: i64) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let now = Clock::system().now();
        let date = |days| {
            let day: DateTime<Utc> = now + TimeDelta::days(days);
            date_time_ymd(day.year(), day.month() as u8, day.day() as u8)
        };
        (params.not_before, params.not_after) = (date(from), date(until));
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let issued = params.signed_by(&key, &issuer).unwrap();
        Issued {
            chain: issued.pem() + &self.pem,
            key: key.serialize_pem(),
            der: issued.der().clone(),
        }
    }

    /// One that clients take.
    pub(super) fn good(&self) -> Issued {
        self.issue(&[NAME, "127.0.0.1"], -1, 90)
    }

    /// A client that trusts this authority alone.
    pub(super) fn client(&self) -> reqwest::ClientBuilder {
        let root = reqwest::Certificate::from_pem(self.pem.as_bytes()).unwrap();
        reqwest::Client::builder().tls_certs_only([root])
    }

    /// A connection after its handshake.
    pub(super) async fn connect(
        &self,
        address: SocketAddr,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(NAME).unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// The certificate that a server presents to a new connection.
    pub(super) async fn presented(&self, address: SocketAddr) -> CertificateDer<'static> {
        let stream = self
            .connect(address, rustls::ALL_VERSIONS, &[])
            .await
            .unwrap();
        let (_, session) = stream.get_ref();
        session.peer_certificates().unwrap()[0].clone()
    }
}

impl Issued {
    /// Writes both files into a folder.
    pub(super) fn write(&self, dir: &Path) -> TlsFiles {
        let files = files(dir);
        std::fs::write(&files.key, &self.key).unwrap();
        std::fs::write(&files.certificate, &self.chain).unwrap();
        files
    }

    /// For a service that is tested without its files.
    pub(super) fn tls(&self) -> Tls {
        let dir = tempfile::tempdir().unwrap();
        Tls::open(self.write(dir.path()), None, Clock::system()).unwrap()
    }
}

fn files(dir: &Path) -> TlsFiles {
    TlsFiles {
        certificate: dir.join("cert.pem"),
        key: dir.join("key.pem"),
    }
}

/// A configuration with these files in its `[http]`, and another `listen`.
pub(super) fn with_tls(configuration: &str, dir: &Path) -> String {
    let quoted = |path: PathBuf| format!("'{}'", path.display());
    let TlsFiles { certificate, key } = files(dir);
    let tls = format!(
        "[http]\nlisten = \"127.0.0.1:0\"\ntls_cert = {}\ntls_key = {}",
        quoted(certificate),
        quoted(key)
    );
    configuration.replace("[http]", &tls)
}

/// The address in a server's URL.
pub(super) fn address(url: &str) -> SocketAddr {
    let address = url.rsplit('/').next().unwrap();
    address.parse().unwrap()
}
