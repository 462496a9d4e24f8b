//! The transparency log of a running service, read and signed by programs that are not ours: `aics-tlog` and `aics-witness`.
//!
//! `ORGTRAIL_TLOG_JUDGES` is the folder with their programs; see `tests/evidence/requirements.txt`. Without it the test is skipped.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use orgtrail::evidence::{LogKey, TlogProof};
use orgtrail_simulator::SimConfig;
use reqwest::StatusCode;

use crate::harness::{Service, Upstream};
use crate::{skip_slow_tests, tell};

const ORIGIN: &str = "log.example.com/orgtrail";

struct Judges {
    programs: PathBuf,
    dir: tempfile::TempDir,
}

/// A program that is stopped with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Judges {
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.args(args).current_dir(self.dir.path());
        command
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        let mut command = self.command(program, args);
        tokio::task::block_in_place(|| command.output().unwrap())
    }

    /// Runs a judge that must agree.
    fn agrees(&self, program: &str, args: &[&str]) -> String {
        let output = self.run(program, args);
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.dir.path().join(name), content).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_others_sign_and_verify_the_log_and_find_a_flipped_byte() {
    let programs = std::env::var_os("ORGTRAIL_TLOG_JUDGES").map(PathBuf::from);
    let Some(programs) = programs.filter(|_| !skip_slow_tests()) else {
        tell(
            "skipped: ORGTRAIL_TLOG_JUDGES names no folder with aics-tlog and aics-witness"
                .to_owned(),
        );
        return;
    };
    let judges = Judges {
        programs: fs::canonicalize(programs).unwrap(),
        dir: tempfile::tempdir().unwrap(),
    };
    let key = LogKey::from_seed(&[7; 32]);
    judges.write("evidence.pem", key.to_pem().as_bytes());
    let log_key = key.verifier(ORIGIN).to_string();
    let statements = format!("{ORIGIN}/statements");
    let statements_key = key.verifier(&statements).to_string();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let listen = port.to_string();
    let init = [
        "init",
        "--config",
        "w.json",
        "--name",
        "witness.example/w1",
        "--listen",
        &listen,
    ];
    let witness_key = judges.agrees("aics-witness", &init).trim().to_owned();
    for (origin, key) in [(ORIGIN, &log_key), (statements.as_str(), &statements_key)] {
        let add = [
            "add-log", "--config", "w.json", "--origin", origin, "--vkey", key,
        ];
        judges.agrees("aics-witness", &add);
    }
    let mut witness = judges.command("aics-witness", &["serve", "--config", "w.json"]);
    let _witness = Running(
        witness
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );

    let upstream = Upstream::new(SimConfig {
        events: 900,
        accounts: 2,
        days: 30,
        ..SimConfig::default()
    })
    .await;
    let config = format!(
        "{}\n[evidence]\norigin = \"{ORIGIN}\"\nkey_file = '{}'\ncheckpoint_every = \"1s\"\nquorum = 1\n\
         [[evidence.witnesses]]\nurl = \"http://{listen}\"\nkey = \"{witness_key}\"\n",
        upstream.configuration(judges.dir.path()),
        judges.dir.path().join("evidence.pem").display()
    );
    let service = Service::start(&config).await;
    let held = service.settle(upstream.simulator.sources().len()).await;
    let proven = async |seq: u64| loop {
        let (status, proof) = service.ask(&format!("/v1/events/{seq}/proof")).await;
        if status == StatusCode::OK {
            return proof;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    proven(held).await;
    let url = format!("{}/log", service.url);
    let (_, checkpoint) = service.ask("/log/checkpoint").await;
    judges.write("old", checkpoint.as_bytes());
    let of_log = ["--tiles", &url, "--log-key", &log_key];
    let verify = |command: &str, args: &[&str]| {
        judges.agrees("aics-tlog", &[&[command][..], &of_log, args].concat())
    };
    let witnessed = [
        "--witness-key",
        &witness_key,
        "--quorum",
        "1",
        "--note",
        "signed",
    ];
    let text = TlogProof::parse(proven(held).await.as_bytes()).unwrap();
    judges.write("signed", text.checkpoint.to_string().as_bytes());
    verify("verify-checkpoint", &witnessed);
    verify("verify-checkpoint", &["--origin", ORIGIN]);
    verify("verify-consistency", &["--old-checkpoint", "old"]);
    for seq in [1, 256, 257, held] {
        let proof = proven(seq).await;
        let leaf = TlogProof::parse(proof.as_bytes()).unwrap().extra.unwrap();
        let (name, index) = (format!("leaf{seq}"), (seq - 1).to_string());
        judges.write(&name, &leaf);
        verify("verify-inclusion", &["--leaf", &name, "--index", &index]);
    }
    let statements_url = format!("{url}/statements");
    judges.agrees(
        "aics-tlog",
        &[
            "verify-checkpoint",
            "--tiles",
            &statements_url,
            "--log-key",
            &statements_key,
        ],
    );
    service.stop().await.unwrap();

    // The files as they are, and with one flipped byte.
    let data = judges.dir.path().join("data/evidence");
    let log = fs::read_dir(data)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
        .join("events");
    let folder = log.display().to_string();
    let of_files = ["--tiles", &folder, "--log-key", &log_key];
    judges.agrees(
        "aics-tlog",
        &[&["verify-checkpoint"], &of_files[..]].concat(),
    );
    let first = ["--leaf", "leaf1", "--index", "0"];
    let inclusion = [&["verify-inclusion"], &of_files[..], &first].concat();
    judges.agrees("aics-tlog", &inclusion);
    let tile = log.join("tile/0/000");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[100] ^= 1;
    fs::write(&tile, bytes).unwrap();
    assert!(!judges.run("aics-tlog", &inclusion).status.success());
}
