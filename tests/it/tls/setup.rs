//! What `check` and `serve` say of a certificate before anything is answered by it.

use std::path::Path;
use std::process::{Command, Output};

use super::authority::{Authority, Issued, with_tls};

const CONFIG: &str = "[http]\n[upstream]\nbase_url = \"http://127.0.0.1:9\"\n[[accounts]]\n\
                      id = \"03c2e6e15416bd9cfd66ec25e5d2acf9\"\ntoken_file = \"token\"\n";

fn orgtrail(dir: &Path, command: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_orgtrail"))
        .current_dir(dir)
        .arg(command)
        .output()
        .unwrap()
}

/// What `orgtrail check` prints of a certificate.
fn check(issued: &Issued, config: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    issued.write(dir.path());
    let config = with_tls(config, dir.path());
    std::fs::write(dir.path().join("orgtrail.toml"), config).unwrap();
    let checked = orgtrail(dir.path(), "check");
    let folder = format!("{}/", dir.path().display());
    String::from_utf8(checked.stdout)
        .unwrap()
        .replace(&folder, "")
}

#[test]
fn check_says_how_long_a_certificate_is_valid_and_for_which_servers() {
    let authority = Authority::new();
    let of = |from, until| {
        check(
            &authority.issue(&["audit.example.com"], from, until),
            CONFIG,
        )
    };
    let good = of(-1, 90);
    assert!(
        good.contains(
            "ok       the certificate belongs to its key; it is for audit.example.com, until "
        ),
        "{good}"
    );
    assert!(!good.contains("PROBLEM  cert.pem"), "{good}");
    for (from, until, wanted) in [
        (-1, 10, "WARNING  cert.pem: the certificate expires at "),
        (-90, -1, "PROBLEM  cert.pem: the certificate expired at "),
        (
            2,
            90,
            "PROBLEM  cert.pem: the certificate is not valid before ",
        ),
    ] {
        let said = of(from, until);
        assert!(said.contains(wanted), "{said}");
    }
    let public = CONFIG.replace(
        "[http]\n",
        "[http]\npublic_url = \"https://log.example.com\"\n",
    );
    let said = check(&authority.issue(&["audit.example.com"], -1, 90), &public);
    assert!(said.contains("WARNING  cert.pem: the certificate is for audit.example.com, and `public_url` names `log.example.com`"), "{said}");
    let said = check(&authority.issue(&["*.example.com"], -1, 90), &public);
    assert!(!said.contains("`public_url`"), "{said}");
    let said = check(&authority.issue(&[], -1, 90), CONFIG);
    assert!(
        said.contains("WARNING  cert.pem: the certificate names no server"),
        "{said}"
    );
}

#[cfg(unix)]
#[test]
fn check_warns_of_a_key_that_every_user_can_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let files = Authority::new().good().write(dir.path());
    let config = with_tls(CONFIG, dir.path());
    std::fs::write(dir.path().join("orgtrail.toml"), config).unwrap();
    for (mode, is_open) in [(0o640, false), (0o644, true)] {
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(mode)).unwrap();
        let checked = orgtrail(dir.path(), "check");
        let said = String::from_utf8(checked.stdout).unwrap();
        let is_said = said.contains(
            "key.pem` is a private key and can be read by every user of this machine: `chmod o= ",
        );
        assert_eq!(is_said, is_open, "{said}");
    }
}

#[test]
fn serve_refuses_a_key_that_is_not_the_certificate_s_and_says_the_line() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let other = authority.good();
    let files = authority.good().write(dir.path());
    std::fs::write(&files.key, other.key).unwrap();
    let config = with_tls(CONFIG, dir.path());
    std::fs::write(dir.path().join("orgtrail.toml"), config).unwrap();
    for command in ["serve", "check"] {
        let run = orgtrail(dir.path(), command);
        assert_eq!(run.status.code(), Some(1));
        let said = String::from_utf8(run.stdout).unwrap() + &String::from_utf8(run.stderr).unwrap();
        assert!(
            said.contains("cert.pem:1: this certificate does not belong to the key in"),
            "{said}"
        );
    }
}

#[test]
fn listening_beyond_this_machine_without_tls_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let said = |http: &str| {
        let config = CONFIG.replace("[http]\n", &format!("[http]\n{http}\n"));
        std::fs::write(dir.path().join("orgtrail.toml"), config).unwrap();
        let checked = orgtrail(dir.path(), "check");
        let said = String::from_utf8(checked.stdout).unwrap();
        said.contains("there is no TLS: tokens and answers can be read on the network")
    };
    assert!(said("listen = \"0.0.0.0:0\""));
    assert!(!said("listen = \"127.0.0.1:0\""));
    assert!(!said(
        "listen = \"0.0.0.0:0\"\ntrusted_proxies = [\"10.0.0.0/8\"]"
    ));
}
