//! Certificates and keys as they may be found in files, and renewals of them.

use std::path::Path;

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

use super::*;
use crate::clock::Clock;

/// Midnight, some days from `now`.
fn day(now: DateTime<Utc>, days: i64) -> DateTime<Utc> {
    let date = (now + TimeDelta::days(days)).date_naive();
    date.and_hms_opt(0, 0, 0).unwrap().and_utc()
}

fn params(name: &str, from: DateTime<Utc>, until: DateTime<Utc>) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let date = |time: DateTime<Utc>| {
        let (month, day) = (time.month() as u8, time.day() as u8);
        date_time_ymd(time.year(), month, day)
    };
    (params.not_before, params.not_after) = (date(from), date(until));
    params
}

/// A server's certificate, its issuer's, and its key, in PEM.
struct Made {
    own: String,
    issuer: String,
    key: String,
}

fn make(change: impl FnOnce(&mut CertificateParams)) -> Made {
    let now = Clock::system().now();
    let (from, until) = (day(now, -1), day(now, 90));
    let mut of_issuer = params("issuer", from, until);
    of_issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer_key = KeyPair::generate().unwrap();
    let issuer = of_issuer.self_signed(&issuer_key).unwrap();
    let mut of_own = params("audit.example.com", from, until);
    change(&mut of_own);
    let key = KeyPair::generate().unwrap();
    let own = of_own.signed_by(&key, &Issuer::new(of_issuer, issuer_key));
    Made {
        own: own.unwrap().pem(),
        issuer: issuer.pem(),
        key: key.serialize_pem(),
    }
}

fn write(dir: &Path, certificate: &str, key: &str) -> TlsFiles {
    let files = TlsFiles {
        certificate: dir.join("cert.pem"),
        key: dir.join("key.pem"),
    };
    std::fs::write(&files.certificate, certificate).unwrap();
    std::fs::write(&files.key, key).unwrap();
    files
}

/// What is said of two files, with their folder left out.
fn refusal(certificate: &str, key: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let files = write(dir.path(), certificate, key);
    let error = load(&files).err().unwrap().to_string();
    let folder = format!("{}/", dir.path().display());
    error.replace(&folder, "")
}

fn lines(text: &str) -> usize {
    text.lines().count()
}

#[test]
fn a_chain_and_its_key_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let made = make(|_| {});
    let chain = format!("Subject: a comment\n{}{}", made.own, made.issuer);
    let loaded = load(&write(dir.path(), &chain, &made.key)).unwrap();
    let certificate = loaded.certificate;
    assert_eq!(certificate.names, ["audit.example.com"]);
    assert!(certificate.is_for("audit.example.com") && !certificate.is_for("example.com"));
    let now = Clock::system().now();
    assert_eq!(certificate.not_after, day(now, 90));
    let at = |days| certificate.validity(day(now, days));
    assert_eq!(at(0), Validity::Valid);
    assert_eq!(at(75), Validity::Valid);
    assert_eq!(at(77), Validity::ExpiresSoon);
    assert_eq!(at(91), Validity::Expired);
    assert_eq!(at(-2), Validity::NotYetValid);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (one, other) = (make(|_| {}), make(|_| {}));
    let said = refusal(&format!("\n{}", one.own), &other.key);
    assert!(
        said.starts_with("cert.pem:2: this certificate does not belong to the key in"),
        "{said}"
    );
    assert!(
        said.contains("key.pem") && said.contains("`tls_key`"),
        "{said}"
    );
}

#[test]
fn a_chain_in_the_wrong_order_is_refused_at_its_line() {
    let (made, stranger) = (make(|_| {}), make(|_| {}));
    let said = refusal(&format!("{}{}", made.issuer, made.own), &made.key);
    let own = 1 + lines(&made.issuer);
    let wanted = format!("the key belongs to the certificate on line {own}; write that one first");
    assert!(
        said.starts_with("cert.pem:1: the chain is in the wrong order") && said.contains(&wanted),
        "{said}"
    );
    // The name of the issuer is the same, so put another server's there.
    let said = refusal(&format!("{}{}", made.own, stranger.own), &made.key);
    let wanted = format!(
        "cert.pem:{}: the chain is in the wrong order",
        1 + lines(&made.own)
    );
    assert!(
        said.starts_with(&wanted) && said.contains("on line 1"),
        "{said}"
    );
}

#[test]
fn a_key_that_cannot_be_read_is_refused_and_not_shown() {
    let made = make(|_| {});
    let body = made.key.lines().nth(1).unwrap();
    let section = |label: &str, body: &str| {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    for (key, wanted) in [
        (
            section("ENCRYPTED PRIVATE KEY", body),
            "key.pem:1: this key is encrypted with a password: `openssl pkey",
        ),
        (
            section(
                "RSA PRIVATE KEY",
                &format!("Proc-Type: 4,ENCRYPTED\n\n{body}"),
            ),
            "key.pem:1: this key is encrypted with a password",
        ),
        (
            section("OPENSSH PRIVATE KEY", body),
            "key.pem:1: this section cannot be decoded",
        ),
        (
            section("PRIVATE KEY", &body[..12]),
            "key.pem:1: this key cannot be used",
        ),
        (
            section("PRIVATE KEY", "***"),
            "key.pem:1: this section cannot be decoded",
        ),
        (
            made.key.replace("-----END", ""),
            "key.pem:1: this section has no end",
        ),
        (
            format!("{0}{0}", made.key),
            "key.pem:6: this is a second private key",
        ),
        (made.own.clone(), "key.pem: it has no private key"),
        (String::new(), "key.pem: it has no private key"),
    ] {
        let said = refusal(&made.own, &key);
        assert!(said.starts_with(wanted), "{said}");
        assert!(!said.contains(&body[..12]), "{said}");
    }
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused() {
    let made = make(|_| {});
    let not_for_servers = make(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let cut = made.own.lines().take(3).collect::<Vec<_>>().join("\n");
    for (certificate, key, wanted) in [
        ("", &made.key, "cert.pem: it has no certificate"),
        ("\u{0}\u{1}", &made.key, "cert.pem: it has no certificate"),
        (
            &made.key,
            &made.key,
            "cert.pem:1: this is a private key: name the file with the certificate in `tls_cert`",
        ),
        (
            &cut,
            &made.key,
            "cert.pem:1: this section has no end: the file was perhaps cut off",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &made.key,
            "cert.pem:1: this certificate cannot be read as X.509",
        ),
        (
            &not_for_servers.own,
            &not_for_servers.key,
            "cert.pem:1: this certificate is not for servers",
        ),
    ] {
        let said = refusal(certificate, key);
        assert!(said.starts_with(wanted), "{said}");
    }
    let dir = tempfile::tempdir().unwrap();
    let files = write(dir.path(), &made.own, &made.key);
    std::fs::write(&files.certificate, [0xff, 0x30, 0x82]).unwrap();
    let said = load(&files).err().unwrap().to_string();
    assert!(said.contains("it is not text: write it in PEM"), "{said}");
    std::fs::remove_file(&files.key).unwrap();
    std::fs::write(&files.certificate, &made.own).unwrap();
    let said = load(&files).err().unwrap().to_string();
    assert!(said.contains("key.pem: could not read it"), "{said}");
    let endless = TlsFiles {
        certificate: "/dev/zero".into(),
        ..files
    };
    let said = load(&endless).err().unwrap().to_string();
    assert!(said.contains("it is larger than"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_key_that_every_user_can_read_is_reported() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let made = make(|_| {});
    let files = write(dir.path(), &made.own, &made.key);
    for (mode, is_open) in [(0o600, false), (0o640, false), (0o644, true)] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&files.key, permissions).unwrap();
        assert_eq!(
            load(&files).unwrap().is_key_open_to_all,
            is_open,
            "{mode:o}"
        );
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_over_and_a_bad_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (make(|_| {}), make(|_| {}));
    let files = write(dir.path(), &first.own, &first.key);
    let clock = Clock::manual(Clock::system().now());
    let tls = Tls::open(files.clone(), Some(dir.path().to_owned()), clock.clone()).unwrap();
    let pinned = || PinnedCertificates::read(dir.path()).unwrap();
    let of_first = pinned();
    assert_eq!(tls.reload(files.clone()).await, Reloaded::Unchanged);

    // The certificate is there, and its key is not yet.
    write(dir.path(), &second.own, &first.key);
    let refused = tls.reload(files.clone()).await;
    assert!(
        matches!(&refused, Reloaded::Refused(why) if why.contains("does not belong to the key")),
        "{refused:?}"
    );
    let status = tls.status(clock.now());
    assert_eq!(status.refused_since, Some(clock.now()));
    assert_eq!(pinned(), of_first);

    write(dir.path(), &second.own, &second.key);
    let renewed = tls.reload(files.clone()).await;
    assert!(matches!(renewed, Reloaded::Renewed(_)), "{renewed:?}");
    assert_eq!(tls.status(clock.now()).refused_since, None);
    assert_ne!(pinned(), of_first);
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_replaces_only_one_that_is_not_either() {
    let dir = tempfile::tempdir().unwrap();
    let now = Clock::system().now();
    let valid = make(|_| {});
    let later = make(|params| {
        let other = self::params("later", day(now, 30), day(now, 200));
        (params.not_before, params.not_after) = (other.not_before, other.not_after);
    });
    let files = write(dir.path(), &valid.own, &valid.key);
    let clock = Clock::manual(now);
    let tls = Tls::open(files.clone(), None, clock.clone()).unwrap();
    write(dir.path(), &later.own, &later.key);
    let refused = tls.reload(files.clone()).await;
    assert!(
        matches!(&refused, Reloaded::Refused(why) if why.contains("is not valid before")),
        "{refused:?}"
    );
    // As time passes the same files can be used.
    clock.advance(TimeDelta::days(31));
    let renewed = tls.reload(files).await;
    assert!(matches!(renewed, Reloaded::Renewed(_)), "{renewed:?}");
    assert_eq!(tls.status(clock.now()).certificate.not_after, day(now, 200));
}
