//! Alerts by mail over TLS: from the beginning (`smtps`), or after STARTTLS. Nothing of a message or a password is sent in clear.

use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::authority::{Authority, Issued};

/// How a mail server uses TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offers {
    /// From the beginning.
    Tls,
    /// After `STARTTLS`.
    StartTls,
    /// Not at all.
    Nothing,
}

/// What a server was sent, line by line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn have(&self, start: &str) -> bool {
        self.all().iter().any(|line| line.starts_with(start))
    }
}

/// A mail server.
struct MailServer {
    port: u16,
    in_clear: Lines,
    over_tls: Lines,
    _server: JoinSet<()>,
}

impl MailServer {
    async fn start(issued: &Issued, offers: Offers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = acceptor(issued);
        let (in_clear, over_tls) = (Lines::default(), Lines::default());
        let (clear, tls) = (in_clear.clone(), over_tls.clone());
        let mut server = JoinSet::new();
        server.spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                serve(connection, &acceptor, offers, &clear, &tls).await;
            }
        });
        Self {
            port,
            in_clear,
            over_tls,
            _server: server,
        }
    }
}

fn acceptor(issued: &Issued) -> TlsAcceptor {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(issued.chain.as_bytes())
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// One connection.
async fn serve(
    mut connection: TcpStream,
    acceptor: &TlsAcceptor,
    offers: Offers,
    clear: &Lines,
    tls: &Lines,
) {
    if offers != Offers::Tls {
        if connection.write_all(b"220 mail.test\r\n").await.is_err() {
            return;
        }
        let wants_tls = converse(&mut connection, offers == Offers::StartTls, clear).await;
        if !wants_tls {
            return;
        }
    }
    let Ok(mut secured) = acceptor.accept(connection).await else {
        return;
    };
    let greeting: &[u8] = match offers {
        Offers::Tls => b"220 mail.test\r\n",
        _ => b"",
    };
    if secured.write_all(greeting).await.is_ok() {
        converse(&mut secured, false, tls).await;
    }
}

/// A conversation of SMTP. Says whether it ended with STARTTLS.
async fn converse(
    connection: &mut (impl AsyncRead + AsyncWrite + Unpin),
    offers_tls: bool,
    lines: &Lines,
) -> bool {
    let mut reader = BufReader::new(connection);
    let mut is_data = false;
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line).await {
            Ok(1..) => {}
            _ => return false,
        }
        let line = line.trim_end().to_owned();
        lines.0.lock().unwrap().push(line.clone());
        let answer = match line.split(' ').next().unwrap_or_default() {
            "." if is_data => "250 taken",
            _ if is_data => continue,
            "EHLO" if offers_tls => "250-mail.test\r\n250-STARTTLS\r\n250 AUTH PLAIN",
            "EHLO" => "250-mail.test\r\n250 AUTH PLAIN",
            "STARTTLS" => "220 go on",
            "AUTH" => "235 welcome",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        is_data = line == "DATA";
        let answer = format!("{answer}\r\n");
        if reader.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return false;
        }
        if line == "STARTTLS" {
            return true;
        }
    }
}

/// Sends a test message to the server at a URL, as a service does whose system trusts the authority in a file.
fn send(dir: &Path, url: &str, roots: &Path) -> (Option<i32>, String) {
    std::fs::write(dir.join("url"), url).unwrap();
    let config = format!(
        "data_dir = {:?}\n[[accounts]]\nid = \"03c2e6e15416bd9cfd66ec25e5d2acf9\"\n[alerts]\nallow_private_networks = true\n\
         [[alerts.destinations]]\nname = \"mail\"\nkind = \"email\"\nurl_file = {:?}\nfrom = \"orgtrail@example.com\"\n\
         to = [\"ann@example.com\"]\n",
        dir.join("data"),
        dir.join("url")
    );
    std::fs::write(dir.join("orgtrail.toml"), config).unwrap();
    let run = || -> Output {
        std::process::Command::new(env!("CARGO_BIN_EXE_orgtrail"))
            .arg("--config")
            .arg(dir.join("orgtrail.toml"))
            .args(["alerts", "test", "mail"])
            .env("SSL_CERT_FILE", roots)
            .output()
            .unwrap()
    };
    let done = tokio::task::block_in_place(run);
    let printed = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8(printed).unwrap())
}

/// The authority's own certificate in a file: the last of a chain.
fn roots(dir: &Path, issued: &Issued) -> std::path::PathBuf {
    let begin = issued.chain.rfind("-----BEGIN CERTIFICATE-----").unwrap();
    let path = dir.join("roots.pem");
    std::fs::write(&path, &issued.chain[begin..]).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_goes_over_tls_from_the_beginning_or_after_starttls() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let issued = authority.good();
    let roots = roots(dir.path(), &issued);
    for (scheme, offers) in [("smtps", Offers::Tls), ("smtp", Offers::StartTls)] {
        let server = MailServer::start(&issued, offers).await;
        let url = format!("{scheme}://ann:hunter2@localhost:{}", server.port);
        let (code, printed) = send(dir.path(), &url, &roots);
        assert_eq!(code, Some(0), "{scheme}: {printed}");
        for start in [
            "AUTH PLAIN",
            "MAIL FROM:",
            "DATA",
            "Subject: [orgtrail] test",
        ] {
            assert!(
                server.over_tls.have(start),
                "{start}: {:?}",
                server.over_tls.all()
            );
        }
        // In clear there was only what asks for TLS.
        let in_clear = server.in_clear.all();
        let words = in_clear.iter().map(|line| line.split(' ').next().unwrap());
        let words: Vec<&str> = words.collect();
        let expect: &[&str] = match offers {
            Offers::StartTls => &["EHLO", "STARTTLS"],
            _ => &[],
        };
        assert_eq!(words, expect, "{scheme}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mail_goes_to_a_server_that_has_no_tls_or_is_another_one() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let good = authority.good();
    let trusted = roots(dir.path(), &good);
    let stranger = Authority::new().good();
    let elsewhere = authority.issue(&["mail.example.com"], -1, 90);
    let expired = authority.issue(&["localhost"], -90, -1);
    for (what, issued, scheme, offers) in [
        ("no TLS", &good, "smtp", Offers::Nothing),
        ("no TLS", &good, "smtps", Offers::Nothing),
        ("another authority", &stranger, "smtps", Offers::Tls),
        ("another authority", &stranger, "smtp", Offers::StartTls),
        ("another name", &elsewhere, "smtps", Offers::Tls),
        ("another name", &elsewhere, "smtp", Offers::StartTls),
        ("expired", &expired, "smtps", Offers::Tls),
    ] {
        let server = MailServer::start(issued, offers).await;
        let url = format!("{scheme}://ann:hunter2@localhost:{}", server.port);
        let (code, printed) = send(dir.path(), &url, &trusted);
        assert_eq!(code, Some(1), "{what}, {scheme}: {printed}");
        assert!(
            !printed.contains("hunter2") && !printed.contains(&server.port.to_string()),
            "{printed}"
        );
        for lines in [&server.in_clear, &server.over_tls] {
            assert!(
                !lines.have("AUTH") && !lines.have("MAIL"),
                "{what}: {:?}",
                lines.all()
            );
        }
    }
}
