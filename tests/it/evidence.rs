//! The transparency log of a running service, as its owner, an auditor and a stranger see it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use orgtrail::evidence::hash::root_of;
use orgtrail::evidence::tile::decode_hashes;
use orgtrail::evidence::{MerkleHash, StatementLeaf, TileId, TileKind, TreeHead, bundle};
use orgtrail_simulator::SimConfig;
use reqwest::StatusCode;
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use serde_json::{Value, json};

use crate::harness::{Service, Upstream};

const ORIGIN: &str = "log.example.com/orgtrail";

/// Runs the program, while tasks of this process go on.
fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    command.env_remove("RUST_LOG").args(args);
    tokio::task::block_in_place(|| command.output().unwrap())
}

/// What a command prints that goes well.
fn printed(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A service that signs, and its files.
struct Signing {
    dir: tempfile::TempDir,
    upstream: Upstream,
    service: Service,
    http: reqwest::Client,
}

/// The configuration of a service that signs.
fn configuration(upstream: &Upstream, dir: &Path, more: &str) -> String {
    let key = dir.join("secrets/evidence.pem");
    format!(
        "{}\n[evidence]\norigin = \"{ORIGIN}\"\nkey_file = '{}'\ncheckpoint_every = \"1s\"\n{more}\n",
        upstream.configuration(dir),
        key.display()
    )
}

impl Signing {
    async fn start(auth: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let upstream = Upstream::new(SimConfig {
            events: 700,
            accounts: 2,
            days: 3,
            ..SimConfig::default()
        })
        .await;
        let config = configuration(&upstream, dir.path(), more).replace("auth = \"none\"", auth);
        fs::write(dir.path().join("orgtrail.toml"), &config).unwrap();
        let service = Service::start(&config).await;
        Self {
            dir,
            upstream,
            service,
            http: reqwest::Client::new(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn command(&self, args: &[&str]) -> String {
        printed(&[&["--config", &self.path("orgtrail.toml")], args].concat())
    }

    /// The public keys.
    fn keys(&self) -> Value {
        serde_json::from_str(&self.command(&["evidence", "key", "--json"])).unwrap()
    }

    /// A policy that trusts the log.
    fn policy(&self) -> String {
        let keys = self.keys();
        let path = self.path("policy.txt");
        let logs = [&keys["vkey"], &keys["statements_vkey"]].map(|key| key.as_str().unwrap());
        let text = format!("log {}\nlog {}\nquorum none\n", logs[0], logs[1]);
        fs::write(&path, text).unwrap();
        path
    }

    /// Waits until everything is collected and signed; gives the checkpoint.
    async fn signed(&self) -> (TreeHead, String) {
        let events = self
            .service
            .settle(self.upstream.simulator.sources().len())
            .await;
        loop {
            let (status, note) = self.service.ask("/log/checkpoint").await;
            let text = note.split("\n\n").next().map(|text| format!("{text}\n"));
            let head = TreeHead::parse(&text.unwrap_or_default());
            if let Ok(head) = head
                && status == StatusCode::OK
                && head.size >= events
            {
                return (head, note);
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn bytes(&self, path: &str) -> Vec<u8> {
        let answer = self
            .http
            .get(format!("{}{path}", self.service.url))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/octet-stream");
        answer.bytes().await.unwrap().to_vec()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_reads_the_whole_log_and_verifies_each_event_offline() {
    let signing = Signing::start("auth = \"none\"", "").await;
    // Without a key nothing is signed, and everything else goes on.
    let (status, _) = signing.service.ask("/log/checkpoint").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let key_file = signing.keys()["key_file"]
        .as_str()
        .map(PathBuf::from)
        .unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            fs::metadata(&key_file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    let (head, note) = signing.signed().await;
    assert_eq!(head.origin, ORIGIN);

    // Every leaf is in its place, and they have the root.
    let mut leaves = Vec::new();
    for index in 0.. {
        let Some(tile) = TileId::in_tree(TileKind::Entries, index, head.size) else {
            break;
        };
        let bytes = signing.bytes(&format!("/log/{tile}")).await;
        let entries = bundle::entries(&bytes).unwrap();
        let tile = TileId {
            kind: TileKind::Hashes(0),
            ..tile
        };
        let hashes = decode_hashes(&signing.bytes(&format!("/log/{tile}")).await).unwrap();
        let of_entries = entries.iter().map(|entry| MerkleHash::of_leaf(entry));
        assert!(of_entries.eq(hashes.iter().copied()));
        leaves.extend(entries.iter().map(|entry| entry.to_vec()));
    }
    let hashes: Vec<_> = leaves
        .iter()
        .map(|leaf| MerkleHash::of_leaf(leaf))
        .collect();
    assert_eq!(root_of(&hashes), head.root);
    let event = signing.service.get("/v1/events/300").await;
    let expected = json!({
        "received_at": event["received_at"], "revision": event["revision"], "seq": 300,
        "sha256": event["sha256"], "source": event["source"], "time": event["time"],
    });
    assert_eq!(
        serde_json::from_slice::<Value>(&leaves[299]).unwrap(),
        expected
    );
    // No spaces, and the keys in order: serde_json's own map is sorted too.
    assert_eq!(leaves[299], expected.to_string().into_bytes());

    let policy = signing.policy();
    let checkpoint = signing.path("checkpoint");
    fs::write(&checkpoint, &note).unwrap();
    let proof = signing.path("300.tlog-proof");
    let (status, text) = signing.service.ask("/v1/events/300/proof").await;
    assert_eq!(status, StatusCode::OK, "{text}");
    fs::write(&proof, &text).unwrap();
    let told = printed(&["verify", &proof, &checkpoint, "--policy", &policy]);
    assert!(
        told.contains("event 300 of") && told.contains(&format!("with {} leaves", head.size)),
        "{told}"
    );
    let told = printed(&["verify", &proof, "--json", "--policy", &policy]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["files"][0]["kind"], &told["files"][0]["record"]),
        (&json!("proof"), &expected)
    );

    // One changed character, and the proof of another event, do not hold.
    let broken = signing.path("broken");
    for (at, _) in text
        .char_indices()
        .filter(|(_, c)| c.is_ascii_alphanumeric())
        .step_by(97)
    {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
        fs::write(&broken, bytes).unwrap();
        let output = run(&["verify", &broken, &checkpoint, "--policy", &policy]);
        assert_eq!(output.status.code(), Some(1), "{at}: {output:?}");
    }
    let shown = signing.command(&["evidence", "checkpoint"]);
    assert!(shown.starts_with(&format!("{ORIGIN}\n")), "{shown}");
    signing.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_coverage_claims_of_each_day_is_signed() {
    let signing = Signing::start("auth = \"none\"", "").await;
    signing.keys();
    let (events, _) = signing.signed().await;
    // The statements are made again until they speak of all events.
    let newest = loop {
        let (status, note) = signing.service.ask("/log/statements/checkpoint").await;
        let mut newest = BTreeMap::new();
        if status == StatusCode::OK {
            let text = format!("{}\n", note.split("\n\n").next().unwrap());
            let head = TreeHead::parse(&text).unwrap();
            assert_eq!(head.origin, format!("{ORIGIN}/statements"));
            let mut leaves = Vec::new();
            for index in 0.. {
                let Some(tile) = TileId::in_tree(TileKind::Entries, index, head.size) else {
                    break;
                };
                let bytes = signing.bytes(&format!("/log/statements/{tile}")).await;
                leaves.extend(
                    bundle::entries(&bytes)
                        .unwrap()
                        .iter()
                        .map(|leaf| leaf.to_vec()),
                );
            }
            let hashes: Vec<_> = leaves
                .iter()
                .map(|leaf| MerkleHash::of_leaf(leaf))
                .collect();
            assert_eq!(root_of(&hashes), head.root);
            for leaf in leaves {
                let leaf = StatementLeaf::parse(&leaf).unwrap();
                newest.insert((leaf.source.clone(), leaf.since[..10].to_owned()), leaf);
            }
        }
        let entries: u64 = newest.values().map(|leaf| leaf.entries).sum();
        if entries >= events.size {
            assert_eq!(entries, events.size);
            break newest;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let coverage = signing.service.get("/v1/coverage").await;
    for source in coverage["sources"].as_array().unwrap() {
        let name = source["source"].as_str().unwrap();
        assert!(newest.keys().any(|(of, _)| of == name), "{name}");
    }
    assert!(
        newest
            .values()
            .all(|leaf| ["complete", "settling", "partial"].contains(&&*leaf.state))
    );
    signing.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_shown_is_served_after_a_restart_and_continued() {
    let signing = Signing::start("auth = \"none\"", "").await;
    signing.keys();
    let (head, _) = signing.signed().await;
    let Signing {
        dir,
        upstream,
        service,
        ..
    } = signing;
    service.stop().await.unwrap();
    let config = configuration(&upstream, dir.path(), "");
    let service = Service::start(&config).await;
    let (status, note) = service.ask("/log/checkpoint").await;
    assert_eq!(status, StatusCode::OK);
    let again = TreeHead::parse(&format!("{}\n", note.split("\n\n").next().unwrap())).unwrap();
    assert!(again.size >= head.size);
    if again.size == head.size {
        assert_eq!(again.root, head.root);
    }
    let edge = TileId::in_tree(TileKind::Hashes(0), (head.size - 1) / 256, head.size).unwrap();
    let (status, _) = service.ask(&format!("/log/{edge}")).await;
    assert_eq!(status, StatusCode::OK);
    let ready = service.get("/readyz").await;
    let followers = ready["followers"].as_array().unwrap();
    assert!(
        followers
            .iter()
            .any(|follower| follower["name"] == "evidence"),
        "{ready}"
    );
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_transparency_log_exists_only_for_those_who_may_see_everything() {
    let signing = Signing::start("auth = \"tokens\"", "").await;
    signing.keys();
    let source = signing.upstream.simulator.sources()[0].to_string();
    let token = |args: &[&str]| {
        let told = signing.command(&[&["token", "create", "t", "--json"], args].concat());
        let told: Value = serde_json::from_str(&told).unwrap();
        told["token"].as_str().unwrap().to_owned()
    };
    let whole = token(&["--scope", "search"]);
    let limited = token(&["--scope", "search", "--source", &source]);
    let bodiless = token(&["--scope", "search", "--without-bodies"]);
    let exporter = token(&["--scope", "export"]);
    let ask = async |path: &str, token: &str| {
        let request = signing.http.get(format!("{}{path}", signing.service.url));
        let request = if token.is_empty() {
            request
        } else {
            request.bearer_auth(token)
        };
        request.send().await.unwrap()
    };
    loop {
        let answer = ask("/log/checkpoint", &whole).await;
        if answer.status() == StatusCode::OK {
            let kept = answer.headers()[CACHE_CONTROL].to_str().unwrap();
            assert!(kept.starts_with("private"), "{kept}");
            break;
        }
        assert!(answer.headers().contains_key(RETRY_AFTER), "{answer:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for path in [
        "/log/checkpoint",
        "/log/tile/0/000.p/1",
        "/log/tile/entries/000.p/1",
    ] {
        assert_eq!(ask(path, &whole).await.status(), StatusCode::OK, "{path}");
        assert_eq!(ask(path, "").await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(ask(path, &exporter).await.status(), StatusCode::FORBIDDEN);
        for token in [&limited, &bodiless] {
            let (there, nowhere) = (ask(path, token).await, ask("/nowhere", token).await);
            assert_eq!(there.status(), StatusCode::NOT_FOUND);
            let answers = (there.text().await.unwrap(), nowhere.text().await.unwrap());
            assert_eq!(answers.0.replace(path, "/nowhere"), answers.1);
        }
    }
    for token in [&limited, &bodiless] {
        let (known, unknown) = (
            ask("/v1/events/1/proof", token).await,
            ask("/v1/events/99999/proof", token).await,
        );
        assert_eq!(
            (known.status(), unknown.status()),
            (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND)
        );
        assert_eq!(known.text().await.unwrap(), unknown.text().await.unwrap());
    }
    // Tools of auditors obey no 429.
    let mut limited_at = None;
    for n in 0..1_300 {
        if ask("/log/checkpoint", &whole).await.status() != StatusCode::OK {
            limited_at = Some(n);
        }
    }
    assert_eq!(limited_at, None);
    for wrong in [
        "/log/tile/0/0",
        "/log/tile/0/000.p/0",
        "/log/tile/64/000",
        "/log/tile/0/x999/999",
        "/log/previous",
        "/log/",
        "/log",
    ] {
        assert_eq!(
            ask(wrong, &whole).await.status(),
            StatusCode::NOT_FOUND,
            "{wrong}"
        );
    }
    signing.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_transparency_log_needs_no_credential() {
    let signing = Signing::start("auth = \"tokens\"", "public = true").await;
    signing.keys();
    let url = format!("{}/log/checkpoint", signing.service.url);
    loop {
        let answer = signing.http.get(&url).send().await.unwrap();
        if answer.status() == StatusCode::OK {
            let kept = answer.headers()[CACHE_CONTROL].to_str().unwrap();
            assert!(kept.starts_with("public"), "{kept}");
            break;
        }
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (status, _) = signing.service.ask("/v1/events/1/proof").await;
    assert_eq!(
        status,
        StatusCode::UNAUTHORIZED,
        "proofs are questions all the same"
    );
    signing.service.stop().await.unwrap();
}

#[test]
fn files_that_are_nothing_of_ours_do_not_hold() {
    let dir = tempfile::tempdir().unwrap();
    let policy = dir.path().join("policy");
    let file = dir.path().join("file");
    let verify = |file: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_orgtrail"))
            .args([
                "verify",
                file.to_str().unwrap(),
                "--policy",
                policy.to_str().unwrap(),
            ])
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    fs::write(&policy, "quorum none").unwrap();
    for content in ["", "x", "c2sp.org/tlog-proof@v1\n", "\u{0}\u{1}"] {
        fs::write(&file, content).unwrap();
        let (code, told, _) = verify(&file);
        assert_eq!(code, Some(1));
        assert!(told.starts_with("FAILED"), "{told}");
    }
    let (code, told, _) = verify(&dir.path().join("missing"));
    assert!(code == Some(1) && told.contains("could not open"), "{told}");
    fs::write(&policy, "log x").unwrap();
    let (code, _, told) = verify(&file);
    assert!(code == Some(1) && told.contains("line 1"), "{told}");
}
