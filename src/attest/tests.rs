//! The transparency log over a real log: what it shows, and what is left of it after kills, losses and restores.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::TimeDelta;
use serde_json::value::RawValue;

use super::*;
use crate::clock::from_micros;
use crate::durable::{Failpoints, StepFailure};
use crate::event::Arrival;
use crate::evidence::hash::root_of;
use crate::evidence::proof::check_consistency;
use crate::evidence::{Frontier, MerkleHash, TileId, TileKind, WitnessPolicy, bundle};
use crate::position::Source;
use crate::store::{FILE_NAME, Imported, StoreError};

const ORIGIN: &str = "log.example.com/orgtrail";

/// A service's parts that matter here: the log, and its transparency log.
struct Parts {
    store: Store,
    published: PublishedLogs,
    attest: Attest,
    clock: Clock,
}

fn config(dir: &Path, origin: &str) -> EvidenceConfig {
    EvidenceConfig {
        origin: origin.to_owned(),
        key_file: dir.join("key.pem"),
        checkpoint_every: TimeDelta::minutes(1),
        public: false,
        witnesses: Vec::new(),
        quorum: 0,
    }
}

impl Parts {
    fn open(dir: &Path) -> Self {
        Self::with(dir, ORIGIN, &Failpoints::default()).unwrap()
    }

    fn with(dir: &Path, origin: &str, failpoints: &Failpoints) -> Result<Self, StoreError> {
        let config = config(dir, origin);
        key_file::read_or_make(&config.key_file).unwrap();
        let store = Store::open(&dir.join("data"), failpoints.clone())?;
        let published = PublishedLogs::open(&config, &store, failpoints)?;
        let clock = Clock::manual(from_micros(1_785_000_000_000_000));
        let attest = Attest::new(store.clone(), config, published.clone(), clock.clone());
        Ok(Self {
            store,
            published,
            attest,
            clock,
        })
    }

    fn add(&self, n: std::ops::Range<u32>) {
        let entry = |n| Imported {
            source: Source::account("a").unwrap(),
            label: None,
            arrival: Arrival::read(
                RawValue::from_string(format!(
                    r#"{{"id":"{n}","action":{{"time":"2026-07-01T00:00:00Z"}}}}"#
                ))
                .unwrap(),
            ),
        };
        self.store.begin_import().unwrap();
        self.store
            .import(&n.map(entry).collect::<Vec<_>>(), from_micros(7))
            .unwrap();
    }

    /// Takes everything, and signs it.
    fn catch_up(&mut self) -> Result<(), AttestError> {
        self.clock.advance(TimeDelta::minutes(1));
        while self.attest.turn_once()?.has_more {}
        Ok(())
    }

    fn close(self) {
        self.store.close().unwrap();
    }

    fn size(&self) -> u64 {
        self.published
            .events
            .newest()
            .map_or(0, |newest| newest.head.size)
    }

    fn leaves(&self) -> Vec<Vec<u8>> {
        let rows = self.store.leaf_rows_after(Seq::ZERO, 100_000).unwrap();
        rows.iter().map(|row| leaf_of(row).to_bytes()).collect()
    }

    /// Reads everything that the newest checkpoint speaks for, as an auditor does, and compares it with the log.
    fn audit(&self) {
        let log = &self.published.events;
        let checkpoint = log.newest().unwrap();
        let key = key_file::read(&self.attest.config.key_file)
            .unwrap()
            .verifier(&log.origin);
        let policy = WitnessPolicy::of(key, &[], 0).unwrap();
        assert_eq!(
            policy.verify(&checkpoint.note).unwrap().head,
            checkpoint.head
        );
        let size = checkpoint.head.size;
        let mut frontier = Frontier::default();
        let leaves = self.leaves();
        for index in 0.. {
            let Some(tile) = TileId::in_tree(TileKind::Entries, index, size) else {
                break;
            };
            let bytes = log.tile(tile).unwrap().unwrap();
            for entry in bundle::entries(&bytes).unwrap() {
                assert_eq!(entry, leaves[frontier.size() as usize]);
                for (tile, hashes) in frontier.append(MerkleHash::of_leaf(entry)) {
                    assert_eq!(log.files.hashes(tile).unwrap(), hashes, "{tile}");
                }
            }
        }
        assert_eq!(
            (frontier.size(), frontier.root()),
            (size, checkpoint.head.root)
        );
        let loaded = Frontier::load(size, |tile| log.files.hashes(tile)).unwrap();
        assert_eq!(loaded, frontier);
    }

    /// Checks that the newest tree continues one that was shown before, and that all tiles of that are still served.
    fn continues(&self, shown: &ShownCheckpoint) {
        let log = &self.published.events;
        let newest = log.newest().unwrap().head;
        let (old, root) = (shown.head.size, shown.head.root);
        let hashes = |tile: TileId| {
            let bytes = log.tile(tile)?.unwrap();
            Ok::<_, AttestError>(crate::evidence::tile::decode_hashes(&bytes).unwrap())
        };
        let mut prover = crate::evidence::proof::Prover::new(newest.size, hashes);
        let proof = prover.consistency(old).unwrap();
        check_consistency(old, root, newest.size, newest.root, &proof).unwrap();
        assert_eq!(Frontier::load(old, hashes).unwrap().root(), root);
        let entries = TileId::in_tree(TileKind::Entries, (old - 1) / 256, old).unwrap();
        let bytes = log.tile(entries).unwrap().unwrap();
        assert_eq!(
            bundle::entries(&bytes).unwrap().len(),
            usize::from(entries.width)
        );
    }
}

#[test]
fn each_event_has_a_leaf_in_its_place_and_a_proof() {
    let dir = tempfile::tempdir().unwrap();
    let mut parts = Parts::open(dir.path());
    parts.catch_up().unwrap();
    assert_eq!(
        parts.published.events.newest(),
        None,
        "nothing is signed of an empty log"
    );
    parts.add(0..600);
    parts.catch_up().unwrap();
    assert_eq!(parts.size(), 600);
    parts.audit();
    let event = parts.store.event(Seq(300)).unwrap().unwrap();
    let leaf = String::from_utf8(parts.leaves()[299].clone()).unwrap();
    let expected = format!(
        r#"{{"received_at":"1970-01-01T00:00:00.000007Z","revision":0,"seq":300,"sha256":"{}","source":"accounts/a","time":"2026-07-01T00:00:00Z"}}"#,
        event.sha256.unwrap()
    );
    assert_eq!(leaf, expected);
    let key = key_file::read(&dir.path().join("key.pem")).unwrap();
    let policy = WitnessPolicy::of(key.verifier(ORIGIN), &[], 0).unwrap();
    for index in [0, 255, 256, 299, 599] {
        let proof = parts.published.events.proof(index).unwrap().unwrap();
        let record = proof.verify(&policy).unwrap();
        assert_eq!(EventLeaf::parse(&record.record).unwrap().seq, index + 1);
    }
    assert_eq!(parts.published.events.proof(600).unwrap(), None);
}

#[test]
fn a_checkpoint_is_signed_when_it_is_time_and_only_for_something_new() {
    let dir = tempfile::tempdir().unwrap();
    let mut parts = Parts::open(dir.path());
    parts.add(0..3);
    parts.catch_up().unwrap();
    parts.add(3..5);
    let turned = parts.attest.turn_once().unwrap();
    assert_eq!(
        (parts.size(), turned.next_in),
        (3, Some(TimeDelta::minutes(1)))
    );
    // What no checkpoint speaks for is not served.
    assert!(
        parts
            .published
            .events
            .tile(TileId::parse("tile/0/000.p/5").unwrap())
            .unwrap()
            .is_none()
    );
    assert!(
        parts
            .published
            .events
            .tile(TileId::parse("tile/0/000.p/3").unwrap())
            .unwrap()
            .is_some()
    );
    parts.clock.advance(TimeDelta::minutes(1));
    parts.attest.turn_once().unwrap();
    assert_eq!(parts.size(), 5);
    let shown = parts.published.events.newest();
    parts.catch_up().unwrap();
    assert_eq!(parts.published.events.newest(), shown);
}

/// Runs the parts with a failure at the `at`-th of all steps, and goes on after it as after a kill.
fn kill_at(at: u32, how: StepFailure) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let parts = Parts::open(dir.path());
    parts.add(0..250);
    parts.close();
    let met = std::sync::Arc::new(AtomicU32::new(0));
    let counted = std::sync::Arc::clone(&met);
    let failpoints = Failpoints::new(move |step| {
        let is_ours =
            super::steps::ALL.contains(&step) || step == crate::store::steps::SHOW_CHECKPOINT;
        (is_ours && counted.fetch_add(1, Ordering::SeqCst) == at).then_some(how)
    });
    let mut shown = Vec::new();
    let mut parts = Parts::with(dir.path(), ORIGIN, &failpoints).unwrap();
    let mut was_killed = false;
    for n in [250..255, 255..256, 256..300, 300..520] {
        parts.add(n);
        was_killed |= parts.catch_up().is_err();
        shown.extend(parts.published.events.newest());
        if was_killed {
            break;
        }
    }
    parts.close();
    let mut parts = Parts::open(dir.path());
    parts.add(300..560);
    parts.catch_up().unwrap();
    assert_eq!(parts.size(), parts.store.head().0);
    parts.audit();
    for checkpoint in &shown {
        parts.continues(checkpoint);
    }
    was_killed
}

#[test]
fn after_a_kill_at_any_step_no_checkpoint_is_taken_back() {
    for how in [StepFailure::Before, StepFailure::After] {
        let killed = (0..).take_while(|at| kill_at(*at, how)).count();
        assert!(killed > 20, "{killed} steps");
    }
}

#[test]
fn after_a_failed_turn_the_follower_goes_on_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    for at in 0..12 {
        let met = AtomicU32::new(0);
        let failpoints = Failpoints::new(move |step| {
            let is_ours =
                super::steps::ALL.contains(&step) || step == crate::store::steps::SHOW_CHECKPOINT;
            (is_ours && met.fetch_add(1, Ordering::SeqCst) == at).then_some(StepFailure::After)
        });
        let dir = dir.path().join(at.to_string());
        let mut parts = Parts::with(&dir, ORIGIN, &failpoints).unwrap();
        parts.add(0..300);
        for n in [300..305, 305..310] {
            if let Err(error) = parts.catch_up() {
                parts.attest.recover(error);
            }
            parts.add(n);
        }
        parts.catch_up().unwrap();
        assert_eq!(parts.size(), 310, "{at}");
        parts.audit();
    }
}

#[test]
fn tiles_that_were_lost_or_damaged_are_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut parts = Parts::open(dir.path());
    parts.add(0..600);
    parts.catch_up().unwrap();
    let shown = parts.published.events.newest().unwrap();
    let tiles = parts.published.events.files.dir().to_owned();
    parts.close();
    let damage = |what: &str| {
        let edge = tiles.join("tile/0/002.p/88");
        match what {
            "all" => fs::remove_dir_all(&tiles).unwrap(),
            "edge" => fs::write(&edge, [7; 88 * 32]).unwrap(),
            "cut" => fs::write(&edge, [7; 31]).unwrap(),
            _ => fs::write(tiles.join("tile/entries/002.p/88"), "").unwrap(),
        }
    };
    for what in ["all", "edge", "cut", "entries"] {
        damage(what);
        let mut parts = Parts::open(dir.path());
        parts.catch_up().unwrap();
        assert_eq!(parts.published.events.newest().unwrap(), shown, "{what}");
        parts.audit();
        parts.close();
    }
}

#[test]
fn rows_that_are_not_the_signed_ones_are_never_signed_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut parts = Parts::open(dir.path());
    parts.add(0..600);
    parts.catch_up().unwrap();
    let shown = parts.published.events.newest();
    let tiles = parts.published.events.files.dir().to_owned();
    parts.close();
    let other = rusqlite::Connection::open(dir.path().join("data").join(FILE_NAME)).unwrap();
    other
        .execute("UPDATE event SET received_us = 8 WHERE seq = 100", [])
        .unwrap();
    drop(other);
    fs::remove_dir_all(tiles.join("tile/0")).unwrap();
    let mut parts = Parts::open(dir.path());
    parts.add(600..601);
    let error = parts.catch_up().unwrap_err();
    assert!(error.to_string().contains("has another root"), "{error}");
    assert_eq!(parts.published.events.newest(), shown);
}

#[test]
fn an_older_copy_of_the_log_in_its_place_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("data").join(FILE_NAME);
    let copy = dir.path().join("copy.db");
    let mut parts = Parts::open(dir.path());
    parts.add(0..10);
    parts.catch_up().unwrap();
    parts.close();
    fs::copy(&database, &copy).unwrap();
    let mut parts = Parts::open(dir.path());
    parts.add(10..20);
    parts.catch_up().unwrap();
    parts.close();
    fs::copy(&copy, &database).unwrap();
    let mut parts = Parts::open(dir.path());
    parts.add(30..90);
    let error = parts.catch_up().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("an older copy has taken its place"),
        "{error}"
    );
    assert_eq!(parts.size(), 10);
}

#[test]
fn a_restored_log_signs_nothing_under_the_name_of_the_log_it_was_copied_from() {
    let dir = tempfile::tempdir().unwrap();
    let mut parts = Parts::open(dir.path());
    parts.add(0..10);
    parts.catch_up().unwrap();
    assert_eq!(parts.published.previous().unwrap(), None);
    let old = parts.published.events.newest().unwrap().note.to_string();
    parts
        .store
        .become_another(from_micros(1_785_000_000_000_000))
        .unwrap();
    parts.close();
    let mut parts = Parts::open(dir.path());
    parts.add(10..12);
    assert!(matches!(parts.catch_up(), Err(AttestError::UsedOrigin(origin)) if origin == ORIGIN));
    assert_eq!(parts.published.events.newest(), None);
    parts.close();
    let mut parts =
        Parts::with(dir.path(), "log.example.com/second", &Failpoints::default()).unwrap();
    parts.catch_up().unwrap();
    assert_eq!(parts.size(), 12);
    parts.audit();
    assert_eq!(parts.published.previous().unwrap(), Some(old.clone()));
    parts.close();
    // Back to the first name: it stays used.
    let mut parts = Parts::open(dir.path());
    assert!(parts.catch_up().is_err());
    assert_eq!(
        parts.published.previous().unwrap().unwrap().lines().next(),
        Some("log.example.com/second")
    );
}

#[test]
fn without_a_key_nothing_is_signed_until_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut parts = Parts::open(dir.path());
    parts.add(0..10);
    let key = dir.path().join("key.pem");
    fs::rename(&key, dir.path().join("away")).unwrap();
    let error = parts.catch_up().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`orgtrail evidence key` makes one"),
        "{error}"
    );
    parts.attest.recover(error);
    fs::rename(dir.path().join("away"), &key).unwrap();
    parts.catch_up().unwrap();
    assert_eq!(parts.size(), 10);
}

#[test]
fn a_damaged_row_stops_nothing_and_claims_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut parts = Parts::open(dir.path());
    parts.add(0..10);
    let other = rusqlite::Connection::open(dir.path().join("data").join(FILE_NAME)).unwrap();
    other
        .execute("DELETE FROM event WHERE seq = 4", [])
        .unwrap();
    parts.catch_up().unwrap();
    parts.audit();
    let leaf = String::from_utf8(parts.leaves()[3].clone()).unwrap();
    assert_eq!(
        leaf,
        r#"{"received_at":null,"revision":null,"seq":4,"sha256":null,"source":null,"time":null}"#
    );
}

#[test]
fn the_roots_of_all_sizes_are_those_of_the_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let mut parts = Parts::open(dir.path());
    for n in 0..20 {
        parts.add(n..n + 1);
        parts.catch_up().unwrap();
        let hashes: Vec<_> = parts
            .leaves()
            .iter()
            .map(|leaf| MerkleHash::of_leaf(leaf))
            .collect();
        assert_eq!(
            parts.published.events.newest().unwrap().head.root,
            root_of(&hashes)
        );
    }
}
