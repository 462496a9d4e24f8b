//! Witnesses of the transparency log, each a small server that keeps to tlog-witness, and one that does not.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use orgtrail::clock::Clock;
use orgtrail::evidence::proof::check_consistency;
use orgtrail::evidence::{
    LogKey, MerkleHash, SignedNote, TlogProof, TreeHead, VerifierKey, WitnessPolicy,
};
use orgtrail::position::rfc3339;
use orgtrail_simulator::SimConfig;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::harness::{Service, Upstream};

const ORIGIN: &str = "log.example.com/orgtrail";

/// What a witness does with what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Signs,
    Refuses,
    /// Signs with another key.
    Forges,
}

#[derive(Clone)]
struct TestWitness {
    name: String,
    key: LogKey,
    log: VerifierKey,
    inner: Arc<Mutex<WitnessMemory>>,
}

struct WitnessMemory {
    manner: Manner,
    /// What it has signed of each log.
    known: Vec<TreeHead>,
    /// How many of its signatures were of a tree that continues an earlier one.
    continued: u64,
}

impl TestWitness {
    fn new(seed: u8, log: &VerifierKey, manner: Manner) -> Self {
        let inner = WitnessMemory {
            manner,
            known: Vec::new(),
            continued: 0,
        };
        Self {
            name: format!("witness.example/{seed}"),
            key: LogKey::from_seed(&[seed; 32]),
            log: log.clone(),
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    fn set(&self, manner: Manner) {
        self.inner.lock().unwrap().manner = manner;
    }

    /// Its table in the configuration, and its server.
    async fn serve(&self, servers: &mut JoinSet<()>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/w/", listener.local_addr().unwrap());
        let router = Router::new().route("/w/add-checkpoint", post(add_checkpoint));
        let router = router.with_state(self.clone());
        servers.spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        let key = self.key.witness(&self.name);
        format!("[[evidence.witnesses]]\nurl = \"{url}\"\nkey = \"{key}\"\n")
    }
}

async fn add_checkpoint(State(witness): State<TestWitness>, body: String) -> Response {
    let mut memory = witness.inner.lock().unwrap();
    if memory.manner == Manner::Refuses {
        return (StatusCode::FORBIDDEN, "this log is not known\n").into_response();
    }
    let (lines, note) = body.split_once("\n\n").unwrap();
    let mut lines = lines.lines();
    let old: u64 = lines
        .next()
        .unwrap()
        .strip_prefix("old ")
        .unwrap()
        .parse()
        .unwrap();
    let proof: Vec<_> = lines.map(|line| MerkleHash::parse(line).unwrap()).collect();
    let note = SignedNote::parse(note.as_bytes()).unwrap();
    let head = TreeHead::parse(&note.text).unwrap();
    let log = VerifierKey::parse(&witness.log.to_string()).unwrap();
    let is_of_events = head.origin == log.name;
    assert!(!is_of_events || log.verify(&note).unwrap().is_some());
    let at = memory
        .known
        .iter()
        .position(|known| known.origin == head.origin);
    let known = at.map(|at| memory.known.remove(at));
    let size = known.as_ref().map_or(0, |known| known.size);
    if old != size {
        memory.known.extend(known);
        return (
            StatusCode::CONFLICT,
            [("content-type", "text/x.tlog.size")],
            format!("{size}\n"),
        )
            .into_response();
    }
    let root = known
        .as_ref()
        .map_or_else(MerkleHash::empty, |known| known.root);
    check_consistency(size, root, head.size, head.root, &proof).unwrap();
    memory.continued += u64::from(size > 0 && head.size > size);
    memory.known.push(head);
    let key = match memory.manner {
        Manner::Forges => LogKey::from_seed(&[200; 32]),
        _ => witness.key.clone(),
    };
    let mut signature = witness.key.cosign(&witness.name, &note.text, 1_785_000_000);
    signature.signature = key
        .cosign(&witness.name, &note.text, 1_785_000_000)
        .signature;
    signature.to_string().into_response()
}

struct Watched {
    dir: tempfile::TempDir,
    upstream: Upstream,
    key: LogKey,
    servers: JoinSet<()>,
}

impl Watched {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = LogKey::from_seed(&[7; 32]);
        fs::write(key_file(&dir), key.to_pem()).unwrap();
        let upstream = Upstream::new(SimConfig {
            events: 300,
            accounts: 1,
            days: 3,
            ..SimConfig::default()
        })
        .await;
        Self {
            dir,
            upstream,
            key,
            servers: JoinSet::new(),
        }
    }

    fn log(&self) -> VerifierKey {
        self.key.verifier(ORIGIN)
    }

    async fn start(&mut self, witnesses: &[&TestWitness], quorum: usize) -> Service {
        let mut config = format!(
            "{}\n[evidence]\norigin = \"{ORIGIN}\"\nkey_file = '{}'\ncheckpoint_every = \"1s\"\nquorum = {quorum}\n",
            self.upstream.configuration(self.dir.path()),
            key_file(&self.dir).display()
        );
        for witness in witnesses {
            config += &witness.serve(&mut self.servers).await;
        }
        Service::start(&config).await
    }
}

fn key_file(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("evidence.pem")
}

/// Waits for the proof of an event; gives how many of the witnesses have signed its checkpoint.
async fn proven(service: &Service, seq: u64, policy: &WitnessPolicy) -> usize {
    loop {
        let (status, text) = service.ask(&format!("/v1/events/{seq}/proof")).await;
        if status == StatusCode::OK {
            let proof = TlogProof::parse(text.as_bytes()).unwrap();
            return proof.verify(policy).unwrap().checkpoint.cosigned.len();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proofs_lead_to_checkpoints_that_the_quorum_has_signed() {
    let mut watched = Watched::new().await;
    let log = watched.log();
    let witnesses: Vec<_> = (0..3)
        .map(|seed| TestWitness::new(seed, &log, Manner::Signs))
        .collect();
    witnesses[1].set(Manner::Refuses);
    witnesses[2].set(Manner::Forges);
    let all: Vec<_> = witnesses.iter().collect();
    let service = watched.start(&all, 2).await;
    // One of two has signed: the checkpoint is shown without the other, and nothing waits for it.
    service
        .settle(watched.upstream.simulator.sources().len())
        .await;
    let keys: Vec<_> = witnesses
        .iter()
        .map(|one| one.key.witness(&one.name))
        .collect();
    let one = WitnessPolicy::of(log.clone(), &keys[..1], 1).unwrap();
    loop {
        let (_, note) = service.ask("/log/checkpoint").await;
        let note = SignedNote::parse(note.as_bytes());
        if note.is_ok_and(|note| one.verify(&note).is_ok()) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (status, _) = service.ask("/v1/events/1/proof").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let is_missing = |ready: &serde_json::Value| {
        let problems = ready["problems"].as_array().unwrap();
        problems
            .iter()
            .any(|problem| problem == "checkpoint not witnessed")
    };
    service.until("/readyz", is_missing).await;
    let (_, metrics) = service.ask("/metrics").await;
    assert!(
        metrics.contains("\norgtrail_evidence_missing_cosignatures 1"),
        "{metrics}"
    );

    // It signs after all.
    witnesses[1].set(Manner::Signs);
    let policy = WitnessPolicy::of(log, &keys, 2).unwrap();
    assert_eq!(proven(&service, 1, &policy).await, 2);
    service.until("/readyz", |ready| !is_missing(ready)).await;
    service.stop().await.unwrap();

    // After a restart the proof is there at once, and the witness knows the tree.
    let service = watched.start(&all, 2).await;
    assert_eq!(proven(&service, 1, &policy).await, 2);
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_that_knows_an_earlier_tree_is_given_the_proof_from_there() {
    let mut watched = Watched::new().await;
    let witness = TestWitness::new(1, &watched.log(), Manner::Signs);
    let policy =
        WitnessPolicy::of(watched.log(), &[witness.key.witness(&witness.name)], 1).unwrap();
    let service = watched.start(&[&witness], 1).await;
    let held = service
        .settle(watched.upstream.simulator.sources().len())
        .await;
    assert_eq!(proven(&service, held, &policy).await, 1);
    service.stop().await.unwrap();
    let known = |witness: &TestWitness| {
        let memory = witness.inner.lock().unwrap();
        let of_events = memory.known.iter().find(|known| known.origin == ORIGIN);
        of_events.map_or(0, |known| known.size)
    };
    assert!(known(&witness) >= held);

    let source = watched.upstream.simulator.sources().remove(0);
    let now = Clock::system().now();
    let entry = json!({"id": "witnessed", "action": {"time": rfc3339(now), "type": "create"}});
    let simulator = &watched.upstream.simulator;
    simulator.publish(&source, &entry.to_string(), now, now);
    let service = watched.start(&[&witness], 1).await;
    let found = service.until("/v1/events?q=id:witnessed", |page| {
        page["events"][0]["seq"].is_u64()
    });
    let seq = found.await["events"][0]["seq"].as_u64().unwrap();
    assert!(seq > held);
    assert_eq!(proven(&service, seq, &policy).await, 1);
    assert!(known(&witness) >= seq);
    assert!(witness.inner.lock().unwrap().continued > 0);
    service.stop().await.unwrap();
}
