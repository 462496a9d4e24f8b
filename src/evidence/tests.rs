//! The tree, its proofs and its notes beside other implementations of them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash, HashReader, Tile, TileHashReader, TileReader};

use super::hash::root_of;
use super::key::LogKey;
use super::proof::{Prover, check_consistency, check_inclusion};
use super::tile::{decode_hashes, encode_hashes};
use super::tlog_proof::TlogProof;
use super::witness_request;
use super::*;

const ORIGIN: &str = "log.example.com/orgtrail";

fn leaf(n: u64) -> Vec<u8> {
    format!("leaf {n}").into_bytes()
}

/// A tree of some size with its tiles as they are served: full ones, and the partial ones of that size.
struct Served {
    frontier: Frontier,
    tiles: BTreeMap<String, Vec<u8>>,
}

impl Served {
    fn of(size: u64) -> Self {
        let mut frontier = Frontier::default();
        let mut tiles = BTreeMap::new();
        for n in 0..size {
            for (tile, hashes) in frontier.append(MerkleHash::of_leaf(&leaf(n))) {
                tiles.insert(tile.to_string(), encode_hashes(&hashes));
            }
        }
        for (tile, hashes) in frontier.partial() {
            tiles.insert(tile.to_string(), encode_hashes(hashes));
        }
        Self { frontier, tiles }
    }

    fn size(&self) -> u64 {
        self.frontier.size()
    }

    fn read(&self, tile: TileId) -> Result<Vec<MerkleHash>, EvidenceError> {
        let bytes = self.tiles.get(&tile.to_string());
        let hashes = bytes.and_then(|bytes| decode_hashes(bytes));
        hashes.ok_or_else(|| EvidenceError::malformed(format!("no tile {tile}")))
    }

    /// Proves about the first `size` leaves, of which it may have more.
    fn prover(
        &self,
        size: u64,
    ) -> Prover<impl FnMut(TileId) -> Result<Vec<MerkleHash>, EvidenceError>> {
        Prover::new(size, |tile: TileId| {
            let whole = TileId::in_tree(tile.kind, tile.index, self.size()).unwrap();
            let mut hashes = self.read(whole)?;
            hashes.truncate(tile.width.into());
            Ok(hashes)
        })
    }
}

impl TileReader for Served {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &Tile| {
            // Their paths begin with the height.
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            let bytes = self.tiles.get(&path).cloned();
            bytes.ok_or(tlog_tiles::Error::InvalidInput(path))
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn theirs(hash: MerkleHash) -> Hash {
    Hash(hash.0)
}

fn theirs_of(hashes: &[MerkleHash]) -> Vec<Hash> {
    hashes.iter().map(|hash| theirs(*hash)).collect()
}

/// Sizes around which tiles and levels begin.
const SIZES: [u64; 16] = [
    0, 1, 2, 3, 7, 8, 9, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 66_000,
];

#[test]
fn another_implementation_reads_the_tiles_and_finds_the_same_tree() {
    for size in SIZES {
        let served = Served::of(size);
        let root = served.frontier.root();
        let reader = TileHashReader::new(size, theirs(root), &served);
        assert_eq!(
            tlog_tiles::tree_hash(size, &reader).unwrap(),
            theirs(root),
            "{size}"
        );
        for index in [0, 1, size / 2, size.saturating_sub(1)] {
            if index >= size {
                continue;
            }
            let ours = served.prover(size).inclusion(index).unwrap();
            let proof = tlog_tiles::prove_record(size, index, &reader).unwrap();
            assert_eq!(theirs_of(&ours), proof, "{index} of {size}");
            let record = tlog_tiles::record_hash(&leaf(index));
            tlog_tiles::check_record(&proof, size, theirs(root), index, record).unwrap();
        }
        for old in [1, 2, size / 3, size.saturating_sub(1), size] {
            if old == 0 || old > size {
                continue;
            }
            let ours = served.prover(size).consistency(old).unwrap();
            let proof = tlog_tiles::prove_tree(size, old, &reader).unwrap();
            assert_eq!(theirs_of(&ours), proof, "{old} of {size}");
            let old_root = served.prover(old).root().unwrap();
            tlog_tiles::check_tree(&proof, size, theirs(root), old, theirs(old_root)).unwrap();
        }
    }
}

#[test]
fn another_implementation_finds_a_flipped_bit_in_a_tile() {
    let mut served = Served::of(512);
    let root = served.frontier.root();
    served.tiles.get_mut("tile/0/001").unwrap()[77] ^= 1;
    let reader = TileHashReader::new(512, theirs(root), &served);
    let index = tlog_tiles::stored_hash_index(0, 300);
    assert!(reader.read_hashes(&[index]).is_err());
}

#[test]
fn the_edge_of_a_tree_is_read_back_from_its_tiles() {
    for size in SIZES {
        let served = Served::of(size);
        let loaded = Frontier::load(size, |tile| served.read(tile)).unwrap();
        assert_eq!(loaded, served.frontier, "{size}");
    }
    let served = Served::of(300);
    let missing = Frontier::load(300, |tile| {
        Ok::<_, EvidenceError>(served.read(tile)?[..1].to_vec())
    });
    assert!(missing.is_err());
}

#[test]
fn another_implementation_verifies_our_checkpoint() {
    let key = LogKey::from_seed(&[7; 32]);
    let head = TreeHead {
        origin: ORIGIN.to_owned(),
        size: 700,
        root: Served::of(700).frontier.root(),
    };
    let note = head.sign(&key);
    let verifier = StandardVerifier::new(&key.verifier(ORIGIN).to_string()).unwrap();
    let theirs = Note::from_bytes(note.to_string().as_bytes()).unwrap();
    theirs
        .verify(&VerifierList::new(vec![Box::new(verifier)]))
        .unwrap();
    let read = Checkpoint::from_bytes(theirs.text()).unwrap();
    assert_eq!((read.origin(), read.size()), (ORIGIN, 700));
    assert_eq!(read.hash().0, head.root.0);
    assert_eq!(
        SignedNote::parse(note.to_string().as_bytes()).unwrap(),
        note
    );
    assert_eq!(TreeHead::parse(&note.text).unwrap(), head);
}

#[test]
fn the_example_of_the_standard_for_notes_and_keys_is_read() {
    let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let key = VerifierKey::parse(vkey).unwrap();
    assert_eq!(key.to_string(), vkey);
    let note = SignedNote::parse(note.as_bytes()).unwrap();
    assert!(key.verify(&note).unwrap().is_some());
    let theirs = StandardVerifier::new(vkey).unwrap();
    assert_eq!(signed_note::Verifier::key_id(&theirs), key.id());
}

#[test]
fn a_key_is_kept_as_openssl_keeps_it_and_never_printed() {
    let seed: Vec<u8> = (0..32).collect();
    let key = LogKey::from_seed(&seed.try_into().unwrap());
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n";
    assert_eq!(key.to_pem(), pem);
    let read = LogKey::parse_pem(pem).unwrap();
    assert_eq!(read.verifier("a"), key.verifier("a"));
    assert_eq!(format!("{read:?}"), "LogKey(hidden)");
    assert_ne!(key.verifier("a").id(), key.verifier("b").id());
    let cut = pem.replace("MC4CAQ", "MC4");
    for wrong in [
        "",
        "hunter2",
        &cut,
        &pem.replace("MC4C", "MC5C"),
        &pem.replace("PRIVATE", "PUBLIC"),
    ] {
        let error = LogKey::parse_pem(wrong).unwrap_err().to_string();
        assert!(
            error.contains("PKCS #8") && !error.contains("hunter2"),
            "{error}"
        );
    }
}

#[test]
fn a_public_key_has_one_spelling() {
    let key = LogKey::from_seed(&[7; 32]).verifier(ORIGIN).to_string();
    let parts: Vec<&str> = key.splitn(3, '+').collect();
    let (name, id, encoded) = (parts[0], parts[1], parts[2]);
    assert!(VerifierKey::parse(&key).is_ok());
    for wrong in [
        String::new(),
        "a".into(),
        "a+b".into(),
        format!("x+{id}+{encoded}"),
        format!("{name}+00000000+{encoded}"),
        format!("{name}+{}+{encoded}", id.to_uppercase() + "0"),
        format!("{name}+{id}+"),
        format!("{name}+{id}+!"),
        format!("+{id}+{encoded}"),
        format!("a b+{id}+{encoded}"),
        "x".repeat(10_000),
    ] {
        assert!(VerifierKey::parse(&wrong).is_err(), "{wrong}");
    }
}

/// A log's key, three witnesses' keys, and a checkpoint that the first `count` of them have signed.
fn witnessed(count: usize) -> (LogKey, Vec<VerifierKey>, SignedNote) {
    let key = LogKey::from_seed(&[7; 32]);
    let witnesses: Vec<_> = (0..3)
        .map(|n| (format!("witness.example/{n}"), LogKey::from_seed(&[n; 32])))
        .collect();
    let served = Served::of(700);
    let root = served.frontier.root();
    let head = TreeHead {
        origin: ORIGIN.to_owned(),
        size: 700,
        root,
    };
    let mut note = head.sign(&key);
    let text = note.text.clone();
    note.add(
        witnesses
            .iter()
            .take(count)
            .map(|(name, key)| key.cosign(name, &text, 1_785_000_000)),
    );
    (
        key,
        witnesses
            .iter()
            .map(|(name, key)| key.witness(name))
            .collect(),
        note,
    )
}

#[test]
fn a_checkpoint_below_the_quorum_is_not_accepted() {
    for quorum in 0..=3 {
        for count in 0..=3 {
            let (key, witnesses, note) = witnessed(count);
            let policy = WitnessPolicy::of(key.verifier(ORIGIN), &witnesses, quorum).unwrap();
            let verified = policy.verify(&note);
            assert_eq!(verified.is_ok(), count >= quorum, "{count} for {quorum}");
            if let Ok(verified) = verified {
                assert_eq!(verified.cosigned.len(), count);
                assert!(verified.cosigned.iter().all(|(_, at)| *at == 1_785_000_000));
            }
        }
    }
    let (key, witnesses, _) = witnessed(0);
    assert!(WitnessPolicy::of(key.verifier(ORIGIN), &witnesses, 4).is_err());
}

#[test]
fn a_false_signature_of_a_known_key_is_found_and_one_of_an_unknown_key_ignored() {
    let (key, witnesses, note) = witnessed(3);
    let policy = WitnessPolicy::of(key.verifier(ORIGIN), &witnesses, 1).unwrap();
    let mut other = note.clone();
    other.add([LogKey::from_seed(&[99; 32]).cosign("witness.example/0", &note.text, 5)]);
    assert_eq!(policy.verify(&other).unwrap().cosigned.len(), 3);
    // The time is signed as well.
    let mut later = note.clone();
    later.signatures[3].signature[7] ^= 1;
    assert!(policy.verify(&later).is_err());
    let other_log = WitnessPolicy::of(key.verifier("another"), &witnesses, 1).unwrap();
    assert!(
        other_log
            .verify(&note)
            .unwrap_err()
            .to_string()
            .contains("has no log")
    );
    let other_key = LogKey::from_seed(&[8; 32]).verifier(ORIGIN);
    let other_key = WitnessPolicy::of(other_key, &witnesses, 1).unwrap();
    assert!(
        other_key
            .verify(&note)
            .unwrap_err()
            .to_string()
            .contains("has not signed")
    );
}

#[test]
fn groups_of_a_policy_are_counted_as_the_standard_says() {
    let (key, witnesses, _) = witnessed(0);
    let logs = format!(
        "# a comment\n\n \tlog {} https://log.example\n",
        key.verifier(ORIGIN)
    );
    let named: String = witnesses
        .iter()
        .enumerate()
        .map(|(n, key)| format!("witness {n} {key} https://w\n"))
        .collect();
    let check = |rules: &str, held: [bool; 4]| {
        let policy = WitnessPolicy::parse(format!("{logs}{named}{rules}").as_bytes()).unwrap();
        let found: Vec<bool> = (0..4)
            .map(|count| policy.verify(&witnessed(count).2).is_ok())
            .collect();
        assert_eq!(found, held, "{rules}");
    };
    check("quorum none", [true; 4]);
    check("quorum 1\n", [false, false, true, true]);
    check("group g any 0 1 2\nquorum g\n", [false, true, true, true]);
    check("group g all 0 1 2\nquorum g", [false, false, false, true]);
    check("group g 2 0 1 2\nquorum g", [false, false, true, true]);
    check(
        "group g any 1 2\ngroup h all g 0\nquorum h",
        [false, false, true, true],
    );
    for wrong in [
        "",
        "quorum 9",
        "quorum none\nquorum none",
        "group g 4 0 1 2\nquorum g",
        "group g 0 0\nquorum g",
        "group g any\nquorum none",
        "group g any none\nquorum none",
        "group 0 any 1\nquorum none",
        "group none any 1\nquorum none",
        "group g any 0 0\nquorum g",
        "group g any 0\ngroup h any 0\nquorum g",
        "group g any h\ngroup h any 0\nquorum g",
        "nonsense",
        "quorum none extra",
        "quorum none\r",
    ] {
        assert!(
            WitnessPolicy::parse(format!("{logs}{named}{wrong}").as_bytes()).is_err(),
            "{wrong}"
        );
    }
    let twice = format!("{logs}{named}witness again {}\nquorum none", witnesses[0]);
    let error = WitnessPolicy::parse(twice.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("line 7"), "{error}");
    let log_as_witness = format!("witness w {}\nquorum none", key.verifier("w"));
    assert!(WitnessPolicy::parse(log_as_witness.as_bytes()).is_err());
}

#[test]
fn both_logs_of_one_key_fit_into_a_policy() {
    let key = LogKey::from_seed(&[7; 32]);
    let statements = statements_origin(ORIGIN);
    let text = policy::text(&[key.verifier(ORIGIN), key.verifier(&statements)], &[], 0);
    let policy = WitnessPolicy::parse(text.as_bytes()).unwrap();
    for origin in [ORIGIN, &statements] {
        let head = TreeHead {
            origin: origin.to_owned(),
            size: 0,
            root: MerkleHash::empty(),
        };
        assert_eq!(policy.verify(&head.sign(&key)).unwrap().head, head);
    }
}

/// A proof of the leaf of an event, in the form of its file, and the policy that accepts it.
fn proof() -> (Vec<u8>, WitnessPolicy) {
    let key = LogKey::from_seed(&[7; 32]);
    let event = EventLeaf {
        received_at: Some("2026-07-01T00:00:00.000001Z".to_owned()),
        revision: Some(0),
        seq: 300,
        sha256: Some("ab".repeat(32)),
        source: Some("accounts/a".to_owned()),
        time: None,
    };
    let mut frontier = Frontier::default();
    let mut tiles = BTreeMap::new();
    for seq in 1..=400 {
        let leaf = EventLeaf {
            seq,
            ..event.clone()
        };
        tiles.extend(frontier.append(leaf.hash()));
    }
    tiles.extend(
        frontier
            .partial()
            .map(|(tile, hashes)| (tile, hashes.to_vec())),
    );
    let head = TreeHead {
        origin: ORIGIN.to_owned(),
        size: 400,
        root: frontier.root(),
    };
    let mut prover = Prover::new(400, |tile| Ok::<_, EvidenceError>(tiles[&tile].clone()));
    let proof = TlogProof {
        extra: Some(event.to_bytes()),
        index: 299,
        hashes: prover.inclusion(299).unwrap(),
        checkpoint: head.sign(&key),
    };
    let policy = WitnessPolicy::of(key.verifier(ORIGIN), &[], 0).unwrap();
    (proof.to_string().into_bytes(), policy)
}

#[test]
fn a_proof_verifies_and_any_flipped_bit_in_it_is_detected() {
    let (bytes, policy) = proof();
    let parsed = TlogProof::parse(&bytes).unwrap();
    assert_eq!(parsed.to_string().into_bytes(), bytes);
    let record = parsed.verify(&policy).unwrap();
    assert_eq!(EventLeaf::parse(&record.record).unwrap().seq, 300);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1 << bit;
            let verified = TlogProof::parse(&wrong).and_then(|proof| proof.verify(&policy));
            assert!(
                verified.is_err(),
                "bit {bit} of byte {at} is not checked: {}",
                String::from_utf8_lossy(&wrong)
            );
        }
    }
    for cut in 0..bytes.len() {
        assert!(
            TlogProof::parse(&bytes[..cut])
                .and_then(|proof| proof.verify(&policy))
                .is_err(),
            "{cut}"
        );
    }
}

#[test]
fn a_leaf_has_the_form_that_is_promised() {
    let leaf = EventLeaf {
        received_at: Some("2026-07-01T00:00:00Z".to_owned()),
        revision: Some(0),
        seq: 812,
        sha256: None,
        source: Some("accounts/\u{7}\"ü".to_owned()),
        time: None,
    };
    let expected = r#"{"received_at":"2026-07-01T00:00:00Z","revision":0,"seq":812,"sha256":null,"source":"accounts/\u0007\"ü","time":null}"#;
    assert_eq!(String::from_utf8(leaf.to_bytes()).unwrap(), expected);
    assert_eq!(EventLeaf::parse(expected.as_bytes()).unwrap(), leaf);
    for wrong in [
        expected.replace(r#""seq":812"#, r#""seq": 812"#),
        expected.replace('ü', "\\u00fc"),
        expected.replace("812", "812.0"),
        expected.replace(r#","time":null"#, ""),
        expected.replace(r#"null}"#, r#"null,"x":1}"#),
        String::new(),
        "null".to_owned(),
    ] {
        assert!(EventLeaf::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
    let statement = StatementLeaf {
        before: "b".into(),
        entries: 1,
        lateness: None,
        scanned_at: None,
        since: "s".into(),
        source: "o".into(),
        state: "complete".into(),
    };
    let expected = r#"{"before":"b","entries":1,"lateness":null,"scanned_at":null,"since":"s","source":"o","state":"complete"}"#;
    assert_eq!(String::from_utf8(statement.to_bytes()).unwrap(), expected);
    assert_eq!(
        StatementLeaf::parse(expected.as_bytes()).unwrap(),
        statement
    );
}

#[test]
fn what_a_witness_is_asked_and_answers_has_the_form_of_the_standard() {
    let (_, witnesses, note) = witnessed(0);
    let proof = [MerkleHash::of_leaf(b"a")];
    let body = witness_request::add_checkpoint(12, &proof, &note).unwrap();
    assert_eq!(body, format!("old 12\n{}\n\n{note}", proof[0]));
    assert!(witness_request::add_checkpoint(12, &[proof[0]; 64], &note).is_err());

    let witness = LogKey::from_seed(&[0; 32]);
    let right = witness.cosign("witness.example/0", &note.text, 9);
    let foreign = LogKey::from_seed(&[50; 32]).cosign("another", &note.text, 9);
    let answer = format!("{foreign}{right}");
    let found = witness_request::cosignatures(answer.as_bytes(), &note, &witnesses[0]).unwrap();
    assert_eq!(found, std::slice::from_ref(&right));
    let mut false_one = right;
    false_one.signature[20] ^= 1;
    for wrong in [
        String::new(),
        "\n".into(),
        foreign.to_string(),
        false_one.to_string(),
        format!("{foreign}x\n"),
    ] {
        assert!(
            witness_request::cosignatures(wrong.as_bytes(), &note, &witnesses[0]).is_err(),
            "{wrong}"
        );
    }
    assert_eq!(witness_request::known_size(b"12\n"), Some(12));
    assert_eq!(witness_request::known_size(b"12 \n"), None);
    assert_eq!(witness_request::known_size(b"\xff"), None);
}

#[test]
fn notes_that_do_not_have_their_form_are_refused() {
    let (_, _, note) = witnessed(2);
    let good = note.to_string();
    assert!(SignedNote::parse(good.as_bytes()).is_ok());
    let (text, lines) = good.split_once("\n\n").unwrap();
    for wrong in [
        String::new(),
        "\n".into(),
        "\n\n".into(),
        text.to_owned(),
        format!("{text}\n\n"),
        good.replace("— ", "- "),
        good.trim_end().to_owned(),
        good.replace('\n', "\r\n"),
        format!("{good}\n"),
        format!("{good}x"),
        format!("\n\n{lines}"),
        good.replace("— log", "—  log"),
        format!("{text}\n\n{}", "— a AAAAAAA=\n".repeat(101)),
        "x".repeat(note::MAX_NOTE_BYTES + 1),
    ] {
        assert!(SignedNote::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
    for wrong in ["a\n1\n", "a\n01\nx\n", "\n1\nx\n", "a\n1\nAAAA\n", "a"] {
        assert!(TreeHead::parse(wrong).is_err(), "{wrong}");
    }
    let with_lines = format!("{}more\n", note.text);
    assert!(TreeHead::parse(&with_lines).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn proofs_of_trees_of_any_size_verify_and_prove_nothing_else(size in 1u64..1_500, a in any::<u64>(), b in any::<u64>(), bit in 0usize..256) {
        let served = Served::of(size);
        let hashes: Vec<_> = (0..size).map(|n| MerkleHash::of_leaf(&leaf(n))).collect();
        let root = root_of(&hashes);
        prop_assert_eq!(served.frontier.root(), root);
        let (index, old) = (a % size, 1 + b % size);
        let proof = served.prover(size).inclusion(index).unwrap();
        let own = hashes[index as usize];
        check_inclusion(own, index, size, root, &proof).unwrap();
        prop_assert!(check_inclusion(MerkleHash::of_leaf(b"x"), index, size, root, &proof).is_err());
        for other in [index + 1, size, u64::MAX, index ^ 1] {
            prop_assert!(check_inclusion(own, other, size, root, &proof).is_err());
        }
        for at in 0..proof.len() {
            let mut wrong = proof.clone();
            wrong[at].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(check_inclusion(own, index, size, root, &wrong).is_err());
            wrong.remove(at);
            prop_assert!(check_inclusion(own, index, size, root, &wrong).is_err());
        }
        let old_root = root_of(&hashes[..old as usize]);
        let proof = served.prover(size).consistency(old).unwrap();
        check_consistency(old, old_root, size, root, &proof).unwrap();
        prop_assert!(check_consistency(old, MerkleHash::of_leaf(b"x"), size, root, &proof).is_err());
        prop_assert!(check_consistency(old, old_root, size, MerkleHash::of_leaf(b"x"), &proof).is_err());
        for at in 0..proof.len() {
            let mut wrong = proof.clone();
            wrong[at].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(check_consistency(old, old_root, size, root, &wrong).is_err());
        }
    }

    #[test]
    fn nothing_that_is_read_makes_the_program_fail(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in "(c2sp.org/tlog-proof@v1|extra|index|log|witness|group|quorum|none|any|old|—|[ +\n]|[0-9A-Za-z/=]){0,80}") {
        for input in [bytes.as_slice(), text.as_bytes()] {
            let read = (SignedNote::parse(input), TlogProof::parse(input), WitnessPolicy::parse(input), bundle::entries(input));
            drop(read);
            let text = String::from_utf8_lossy(input);
            drop((TreeHead::parse(&text), VerifierKey::parse(&text), LogKey::parse_pem(&text), TileId::parse(&text)));
        }
    }
}
