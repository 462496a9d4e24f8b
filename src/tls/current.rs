//! The certificate in use, and how a renewed one takes its place.
//!
//! Connections that are open keep theirs; new ones get the renewed one. Files that cannot be used change nothing: the certificate
//! in use stays, and the status says so.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::certificate::{Certificate, Validity};
use super::error::TlsError;
use super::files::{Loaded, TlsFiles, fingerprint, load};
use super::pinned::PinnedCertificates;
use super::provider::provider;
use crate::clock::Clock;
use crate::position::rfc3339;
use crate::sync::lock;
use crate::task;

/// How often it is checked whether the files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The protocols that are spoken, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificate in use. A clone is the same one.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    config: Arc<ServerConfig>,
    served: Arc<ServedCertificate>,
    state: Mutex<TlsState>,
    /// Held while the files are tried.
    trying: Mutex<()>,
    /// The data directory, in which commands find out which certificate the service has.
    data_dir: Option<PathBuf>,
    clock: Clock,
}

struct TlsState {
    files: TlsFiles,
    certificate: Certificate,
    /// The content of the files that was tried last.
    tried: Option<[u8; 32]>,
    /// The content that was first seen at the last look. It is tried at the next one: a renewal writes two files.
    seen: Option<[u8; 32]>,
    /// Since when the files cannot be used, if they cannot.
    refused_since: Option<DateTime<Utc>>,
}

/// How the certificate is, for those who watch the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsStatus {
    /// What the certificate in use says.
    pub certificate: Certificate,
    /// Whether it is valid now.
    pub validity: Validity,
    /// Since when the files hold something that cannot be used, if they do. The reason is in the log.
    pub refused_since: Option<DateTime<Utc>>,
}

/// What came of reading the files again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reloaded {
    /// They hold what is in use.
    Unchanged,
    /// New connections get what they hold now.
    Renewed(Certificate),
    /// What they hold cannot be used. The certificate in use stays.
    Refused(String),
}

impl Tls {
    /// Reads the files. With a `data_dir`, commands find out there which certificate the service has.
    ///
    /// # Errors
    /// When the files hold nothing that can be used.
    pub fn open(files: TlsFiles, data_dir: Option<PathBuf>, clock: Clock) -> anyhow::Result<Self> {
        let tried = fingerprint(&files);
        let Loaded {
            certificate,
            certified,
            ..
        } = load(&files)?;
        let served = Arc::new(ServedCertificate(Mutex::new(certified)));
        let resolver = Arc::clone(&served) as Arc<dyn ResolvesServerCert>;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        let tls = Self(Arc::new(Inner {
            config: Arc::new(config),
            served,
            state: Mutex::new(TlsState {
                files,
                certificate,
                tried,
                seen: tried,
                refused_since: None,
            }),
            trying: Mutex::default(),
            data_dir,
            clock,
        }));
        tls.pin(&[&tls.0.served.get()]);
        Ok(tls)
    }

    /// What connections are accepted with.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.config)
    }

    /// How the certificate is at `now`.
    #[must_use]
    pub fn status(&self, now: DateTime<Utc>) -> TlsStatus {
        let state = lock(&self.0.state);
        TlsStatus {
            validity: state.certificate.validity(now),
            certificate: state.certificate.clone(),
            refused_since: state.refused_since,
        }
    }

    /// Reads the files again, from now on those that are named here.
    pub async fn reload(&self, files: TlsFiles) -> Reloaded {
        let tls = self.clone();
        task::blocking(move || {
            lock(&tls.0.state).files = files;
            tls.try_files()
        })
        .await
    }

    /// Takes over renewed files until `stop`.
    pub async fn keep(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let tls = self.clone();
            task::blocking(move || tls.look()).await;
        }
    }

    /// Looks at the files, and takes them over when they have changed and stay as they are. What was valid too early or too late
    /// is tried again, as time passes.
    fn look(&self) {
        let (files, tried, seen, is_refused) = {
            let state = lock(&self.0.state);
            let is_refused = state.refused_since.is_some();
            (state.files.clone(), state.tried, state.seen, is_refused)
        };
        let now_there = fingerprint(&files);
        lock(&self.0.state).seen = now_there;
        let is_settled = now_there == seen;
        if is_settled && (now_there != tried || is_refused) {
            self.try_files();
        }
    }

    /// Uses what the files hold, if that can be used.
    fn try_files(&self) -> Reloaded {
        let _one_at_a_time = lock(&self.0.trying);
        let files = lock(&self.0.state).files.clone();
        let content = fingerprint(&files);
        let now = self.0.clock.now();
        let before = self.status(now);
        let usable = load(&files).map_err(|error: TlsError| error.to_string());
        let usable = usable.and_then(|loaded| refuse_worse(&before, loaded, &files, now));
        let mut state = lock(&self.0.state);
        let is_new = state.tried != content;
        (state.tried, state.seen) = (content, content);
        match usable {
            // The key is the same, too: it belongs to the first certificate.
            Ok(loaded) if loaded.certified.cert == self.0.served.get().cert => {
                state.refused_since = None;
                Reloaded::Unchanged
            }
            Ok(loaded) => {
                state.refused_since = None;
                state.certificate = loaded.certificate.clone();
                drop(state);
                self.serve(&loaded.certified);
                info!(
                    names = loaded.certificate.names.join(", "),
                    expires_at = rfc3339(loaded.certificate.not_after),
                    "New connections get the renewed certificate."
                );
                Reloaded::Renewed(loaded.certificate)
            }
            Err(error) => {
                let is_first = state.refused_since.is_none();
                state.refused_since.get_or_insert(now);
                drop(state);
                if is_first || is_new {
                    warn!(
                        error,
                        "The renewed certificate cannot be used. The one in use stays."
                    );
                }
                Reloaded::Refused(error)
            }
        }
    }

    /// Gives new connections another certificate. Commands take both meanwhile.
    fn serve(&self, certified: &Arc<CertifiedKey>) {
        self.pin(&[certified, &self.0.served.get()]);
        *lock(&self.0.served.0) = Arc::clone(certified);
    }

    /// Saves which certificates commands take for the service's.
    fn pin(&self, certified: &[&Arc<CertifiedKey>]) {
        let Some(dir) = &self.0.data_dir else { return };
        let pinned = PinnedCertificates::of(certified.iter().filter_map(|one| one.cert.first()));
        if let Err(error) = pinned.save(dir) {
            warn!(error = %error, "Saving the certificate's fingerprint failed; local commands read the data directory instead.");
        }
    }
}

/// Refuses a certificate that is not valid now, unless the one in use is not either.
fn refuse_worse(
    before: &TlsStatus,
    loaded: Loaded,
    files: &TlsFiles,
    now: DateTime<Utc>,
) -> Result<Loaded, String> {
    let what = match loaded.certificate.validity(now) {
        Validity::Valid | Validity::ExpiresSoon => return Ok(loaded),
        Validity::Expired => format!("expired at {}", rfc3339(loaded.certificate.not_after)),
        Validity::NotYetValid => format!(
            "is not valid before {}",
            rfc3339(loaded.certificate.not_before)
        ),
    };
    if before.validity.is_valid() {
        Err(format!(
            "{}: the certificate {what}",
            files.certificate.display()
        ))
    } else {
        Ok(loaded)
    }
}

/// What is served: asked by rustls for each handshake.
#[derive(Debug)]
struct ServedCertificate(Mutex<Arc<CertifiedKey>>);

impl ServedCertificate {
    fn get(&self) -> Arc<CertifiedKey> {
        Arc::clone(&lock(&self.0))
    }
}

impl ResolvesServerCert for ServedCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}
