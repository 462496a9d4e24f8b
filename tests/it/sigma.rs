//! Sigma rules as pySigma's Lucene backend converts them (`tests/data/sigma/convert.sh`), run as they are over entries that they
//! are meant to hit and to miss.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use orgtrail::engine::{Order, Range};
use orgtrail::position::Seq;
use orgtrail::query::parse;
use serde_json::value::RawValue;

use crate::engine_queries::Asked;
use crate::engine_vs_reference::engines;
use crate::reference::{Entry, matches, now};

/// A rule's entries.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    hits: Vec<Box<RawValue>>,
    misses: Vec<Box<RawValue>>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/sigma")
        .join(name)
}

fn names(name: &str) -> Vec<String> {
    let files = fs::read_dir(folder(name)).unwrap();
    let mut names: Vec<String> = files
        .map(|file| {
            file.unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn converted_sigma_rules_hit_what_they_should_and_nothing_else() {
    let cases = fs::read_to_string(folder("cases.json")).unwrap();
    let cases: BTreeMap<String, Cases> = serde_json::from_str(&cases).unwrap();
    let rules: Vec<String> = cases.keys().cloned().collect();
    assert_eq!(rules, names("rules"), "every rule has cases");
    assert_eq!(rules, names("queries"), "every rule is converted");
    assert!(rules.len() >= 40);

    // All entries are in one index, as they would be.
    let mut entries = Vec::new();
    let mut of_rule = BTreeMap::new();
    for (rule, cases) in &cases {
        let mut add = |bodies: &[Box<RawValue>]| -> Vec<usize> {
            bodies
                .iter()
                .map(|body| {
                    entries.push(Entry::new(entries.len() as u64 + 1, body.get()));
                    entries.len() - 1
                })
                .collect()
        };
        of_rule.insert(rule, (add(&cases.hits), add(&cases.misses)));
    }
    let dir = tempfile::tempdir().unwrap();
    let engines = engines(dir.path(), &entries, &[40]);
    for (rule, (hits, misses)) in of_rule {
        assert!(!hits.is_empty() && !misses.is_empty(), "{rule} has both");
        let text = fs::read_to_string(folder("queries").join(format!("{rule}.txt"))).unwrap();
        let query = parse(text.trim_end(), now()).unwrap_or_else(|error| panic!("{rule}: {error}"));
        let expect = entries
            .iter()
            .filter(|entry| matches(&query, entry))
            .count();
        for (engine, asked) in &engines {
            let asked = Asked::everything(asked.view());
            let (range, order, upto) = (Range::default(), Order::Ascending, Seq(u64::MAX));
            let found = asked.hits(&query, range, order, None, upto, 1_000).unwrap();
            let is_found = |at: &usize| found.iter().any(|hit| hit.seq == entries[*at].event.seq);
            for (list, is_hit) in [(&hits, true), (&misses, false)] {
                for at in list {
                    let entry = &entries[*at].event.entry;
                    assert_eq!(is_found(at), is_hit, "{rule} on {engine}: {entry}");
                }
            }
            assert_eq!(
                found.len(),
                expect,
                "{rule} on {engine} beside the reference"
            );
        }
    }
}
