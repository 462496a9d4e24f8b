//! `orgtrail rules backtest`: what a rule would have raised is what the follower raised.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use chrono::{DateTime, Utc};
use orgtrail::alert::AlertState;
use orgtrail::clock::Clock;
use orgtrail::detect::Detect;
use orgtrail::detect::backtest::{Backtest, BacktestLimits, BacktestRange};
use orgtrail::durable::Failpoints;
use orgtrail::event::Arrival;
use orgtrail::follow::Follower as _;
use orgtrail::metrics::Metrics;
use orgtrail::position::Source;
use orgtrail::rules::{Rule, Rules};
use orgtrail::store::alerts::{AlertFilter, AlertReader};
use orgtrail::store::{Imported, Store};
use orgtrail_simulator::{SimConfig, Simulator};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tempfile::TempDir;

fn now() -> DateTime<Utc> {
    "2026-08-03T12:00:00Z".parse().unwrap()
}

/// A log in a new directory.
fn log_of(entries: Vec<String>) -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
    store.begin_import().unwrap();
    let imported: Vec<Imported> = entries
        .into_iter()
        .map(|entry| Imported {
            source: Source::account("a").unwrap(),
            label: None,
            arrival: Arrival::read(RawValue::from_string(entry).unwrap()),
        })
        .collect();
    store.import(&imported, now()).unwrap();
    (dir, store)
}

/// The simulator's history, and every entry in the tests of the built-in rules.
fn entries(rules: &Rules) -> Vec<String> {
    let config = SimConfig {
        seed: 11,
        events: 500,
        ..SimConfig::default()
    };
    let simulator = Simulator::new(config, Clock::manual(now()).reader());
    let mut entries: Vec<String> = Vec::new();
    for source in simulator.sources() {
        entries.extend(simulator.walk(&source, now()));
    }
    let cases = rules.iter().flat_map(|rule| &rule.cases);
    let of_cases = cases.flat_map(|case| &case.entries);
    entries.extend(of_cases.map(ToString::to_string));
    entries
}

fn judge(store: &Store, rules: Rules) {
    let clock = Clock::manual(now());
    let mut detect = Detect::new(store.clone(), rules, Metrics::default(), clock);
    while detect.turn_once().unwrap().has_more {}
}

/// How many alerts of each rule are not retracted.
fn standing(store: &Store) -> BTreeMap<String, u64> {
    let (filter, reader) = (AlertFilter::default(), AlertReader::of_everything());
    let alerts = store.alerts(&filter, &reader, None, 100_000).unwrap();
    let mut standing = BTreeMap::new();
    for alert in alerts
        .iter()
        .filter(|alert| alert.state != AlertState::Retracted)
    {
        *standing.entry(alert.rule.id.clone()).or_default() += 1;
    }
    standing
}

#[test]
fn every_built_in_rule_would_have_raised_what_the_follower_raised() {
    let rules = Rules::built_in();
    let (_dir, store) = log_of(entries(&rules));
    judge(&store, rules.clone());
    let raised = standing(&store);
    assert!(raised.len() > 50, "{}", raised.len());
    let backtest = |rule: &Rule| {
        let backtest = Backtest {
            store: &store,
            rules: &rules,
            range: BacktestRange::default(),
            threads: 2,
            limits: BacktestLimits::default(),
            progress: &|_| {},
        };
        backtest.run(&[rule]).unwrap()
    };
    for rule in rules.iter() {
        let expected = raised.get(rule.id.as_str()).copied().unwrap_or_default();
        assert_eq!(
            backtest(rule).alerts,
            expected,
            "{} ({})",
            rule.title,
            rule.id
        );
    }
    // Nothing was written.
    assert_eq!(standing(&store), raised);
}

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ORGTRAIL_") {
            command.env_remove(name);
        }
    }
    let command = command
        .current_dir(dir)
        .args(["rules", "backtest", "--data-dir", "."]);
    command.args(args).output().unwrap()
}

fn answer(dir: &Path, args: &[&str]) -> Value {
    let output = run(dir, &[args, &["--json"]].concat());
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

/// Deletions, by actor and minute.
fn deletions() -> Vec<String> {
    let days = [
        ("2026-07-30", "u1", 6),
        ("2026-08-01", "u1", 3),
        ("2026-08-01", "u2", 4),
    ];
    let entries = days.iter().flat_map(|(day, actor, number)| {
        (0..*number).map(move |minute| {
            json!({
                "id": format!("{day}{actor}{minute}"),
                "action": {"time": format!("{day}T10:0{minute}:00Z"), "result": "success"},
                "actor": {"id": actor, "ip_address": format!("192.0.2.{}", minute / 2)},
                "raw": {"method": "DELETE", "uri": "/zones/z/x"},
            })
            .to_string()
        })
    });
    entries.collect()
}

const OWN: &str = "
title: Three deletions
id: three
correlation: {type: event_count, rules: [something_deleted], group-by: [actor.id], timespan: 1h, condition: {gte: 3}}
";

#[test]
fn a_backtest_says_how_many_alerts_there_would_have_been_on_which_day_and_in_which_groups() {
    let (dir, store) = log_of(deletions());
    fs::write(dir.path().join("own.yml"), OWN).unwrap();
    let expected = json!({
        "alerts": 3,
        "days": [{"date": "2026-07-30", "alerts": 1}, {"date": "2026-08-01", "alerts": 2}],
        "groups": [
            {"group": {"actor.id": "u1"}, "alerts": 2},
            {"group": {"actor.id": "u2"}, "alerts": 1},
        ],
    });
    // Beside a service that has the log.
    assert_eq!(answer(dir.path(), &["own.yml"]), expected);
    store.close().unwrap();
    drop(store);
    assert_eq!(answer(dir.path(), &["own.yml"]), expected);
    let part = answer(dir.path(), &["own.yml", "--since", "2026-08-01"]);
    assert_eq!(part["alerts"], 2);
    let part = answer(dir.path(), &["own.yml", "--before", "2026-07-30T10:02:00Z"]);
    assert_eq!(part["alerts"], 0, "the third is at that time");
    let shown = text(&run(dir.path(), &["own.yml"]));
    for expected in ["3 alerts in 13 events", "2026-08-01", "actor.id u1"] {
        assert!(shown.contains(expected), "{shown}");
    }
    // First seen: an address of each actor in each pair of minutes.
    let own = "
title: New address
id: new
logsource: {product: cloudflare, service: audit}
detection: {s: {first_seen: actor.ip_address}, condition: s}
";
    fs::write(dir.path().join("own.yml"), own).unwrap();
    assert_eq!(answer(dir.path(), &["own.yml"])["alerts"], 5);
}

#[test]
fn a_rule_of_a_file_is_taken_instead_of_a_built_in_one_with_its_id() {
    let (dir, _store) = log_of(deletions());
    let mass = "63daecb5-0945-54e9-b2a2-6688f3d0e4e3";
    assert_eq!(answer(dir.path(), &[mass])["alerts"], 0);
    let built_in = Rules::built_in();
    let rule = built_in
        .iter()
        .find(|rule| rule.id.as_str() == mass)
        .unwrap();
    let changed = rule.text.replace("gte: 50", "gte: 4");
    fs::write(dir.path().join("changed.yml"), changed).unwrap();
    assert_eq!(answer(dir.path(), &["changed.yml"])["alerts"], 2);
}

#[test]
fn a_backtest_that_cannot_be_made_says_why() {
    let (dir, _store) = log_of(Vec::new());
    let check = |args: &[&str], code: i32, expected: &str| {
        let output = run(dir.path(), args);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected), "{said}");
    };
    check(
        &["something_deletd"],
        1,
        "did you mean `something_deleted`?",
    );
    check(&["no-file.yml"], 1, "no-file.yml:1: cannot be read");
    fs::write(dir.path().join("own.yml"), OWN.replace("gte: 3", "gte: x")).unwrap();
    check(&["own.yml"], 1, "own.yml:4: ");
    fs::write(
        dir.path().join("own.yml"),
        OWN.replace("something_deleted", "nothing"),
    )
    .unwrap();
    check(&["own.yml"], 1, "`nothing` is not the id or name");
    let reversed = [
        "token_created",
        "--since",
        "2026-08-02",
        "--before",
        "2026-08-01",
    ];
    check(&reversed, 2, "`--before` is not after `--since`");
    check(&["token_created", "--since", "soon"], 2, "soon");
    check(
        &["token_created", "--data-dir", "elsewhere"],
        2,
        "--data-dir",
    );
    check(&["something_deleted"], 0, "raises nothing itself");
}
